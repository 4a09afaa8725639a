//! Every encoding is forced on values that it would not be chosen for, and chosen for those it is made for.

use proptest::prelude::*;

use super::framed::{FrameKind, Frames, Offsets};
use super::repeats::{write_dictionary, write_periodic, write_runs};
use super::{bounds_of_body, decode_body, encode_i64s};
use crate::encoding::{Effort, Encoding, read_header};
use crate::reader::Reader;

fn any_values() -> impl Strategy<Value = Vec<i64>> {
    let value = prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), -9i64..9, Just(1 << 40)];
    prop_oneof![
        prop::collection::vec(value, 1..400),
        prop::collection::vec(-3i64..3, 1..400),
        prop::collection::vec((0i64..99).prop_map(|v| v * 1_000_000 - 7), 1..400),
    ]
}

/// Reads the body at several ranges and compares.
fn check(encoding: Encoding, body: &[u8], values: &[i64], start: usize) {
    let start = start % values.len();
    for range in [0..values.len(), start..values.len(), start..start + 1, 0..start] {
        let mut out = vec![0; range.len()];
        decode_body(encoding, Reader::new(body), values.len(), range.start, &mut out).unwrap();
        assert_eq!(out, &values[range]);
    }
    damage(encoding, body, values.len(), start);
}

/// Damaged bodies may give other values, nothing worse.
fn damage(encoding: Encoding, body: &[u8], count: usize, salt: usize) {
    for i in 0..body.len().min(24) {
        let mut damaged = body.to_vec();
        let at = (i + salt) % 24 % body.len();
        damaged[at] ^= 1 << (i % 8) | (salt as u8 & 0x91);
        if salt.is_multiple_of(3) {
            damaged.truncate(body.len() - i % body.len());
        }
        let mut out = vec![0; count - salt % count];
        let _ = decode_body(encoding, Reader::new(&damaged), count, salt % count, &mut out);
        let _ = bounds_of_body(encoding, Reader::new(&damaged), count);
    }
}

proptest! {
    #[test]
    fn frames_of_every_kind_and_length(values in any_values(), start in 0usize..400) {
        let offsets = Offsets::of(&values);
        for kind in [FrameKind::Packed, FrameKind::Delta, FrameKind::Zigzag] {
            for code in [0, 1, 2, 7] {
                let mut body = Vec::new();
                let encoding = offsets.write(&Frames::new(&offsets.values, kind, code), &mut body);
                check(encoding, &body, &values, start);
            }
        }
    }

    #[test]
    fn classes(values in any_values(), start in 0usize..400) {
        let mut body = Vec::new();
        Offsets::of(&values).write_classes(&mut body);
        check(Encoding::Classes, &body, &values, start);
    }

    #[test]
    fn raw(values in any_values(), start in 0usize..400) {
        let body: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        check(Encoding::Raw, &body, &values, start);
    }

    #[test]
    fn repeats(values in any_values(), start in 0usize..400) {
        let mut distinct = values.clone();
        distinct.sort_unstable();
        distinct.dedup();
        for effort in [Effort::Fast, Effort::Thorough] {
            let mut body = Vec::new();
            write_dictionary(&values, &distinct, effort, &mut body);
            check(Encoding::Dictionary, &body, &values, start);
            body.clear();
            write_runs(&values, effort, &mut body);
            check(Encoding::Runs, &body, &values, start);
            body.clear();
            write_periodic(&values, values.len(), effort, &mut body);
            check(Encoding::Periodic, &body, &values, start);
        }
    }
}

fn chosen(values: &[i64]) -> Encoding {
    let mut bytes = Vec::new();
    encode_i64s(values, Effort::Fast, &mut bytes);
    read_header(&mut Reader::new(&bytes)).unwrap().0
}

#[test]
fn each_encoding_is_chosen_for_what_it_is_made_for() {
    // The finaliser of SplitMix64: no structure that differences could show.
    let noise = |i: u64| {
        let x = (i ^ i >> 30).wrapping_add(1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ x >> 31) as i64
    };
    let of = |n: u64, f: &dyn Fn(u64) -> i64| (0..n).map(f).collect::<Vec<i64>>();
    assert_eq!(chosen(&[]), Encoding::Empty);
    assert_eq!(chosen(&[7; 9]), Encoding::Constant);
    assert_eq!(chosen(&of(30, &|i| i as i64 * 60 - 5)), Encoding::Ramp);
    assert_eq!(chosen(&of(500, &|i| noise(i) & 0xff)), Encoding::Packed);
    assert_eq!(chosen(&of(500, &|i| i as i64 * 1000 + (noise(i) & 7))), Encoding::Delta);
    assert_eq!(chosen(&of(500, &noise)), Encoding::Raw);
    assert_eq!(chosen(&of(500, &|i| noise(noise(i) as u64 >> 62))), Encoding::Dictionary);
    assert_eq!(chosen(&of(500, &|i| noise(i / 40))), Encoding::Runs);
    assert_eq!(chosen(&of(500, &|i| noise(i % 100))), Encoding::Periodic);
    assert_eq!(chosen(&of(9000, &|i| i as i64)), Encoding::Paged);
}
