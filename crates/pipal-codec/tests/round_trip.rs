//! Every column comes back bit for bit, whole and by ranges.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use pipal_codec::{
    Effort, Encoding, column_encoding, decode_i64s, decode_i64s_keyed, encode_i64s, encode_i64s_keyed, i64_at,
};
use proptest::prelude::*;

proptest! {
    #[test]
    fn ints(values in any_ints(), pattern in any_pattern(), ranges in any_ranges()) {
        assert_both_efforts(&ints_column(&values), &ranges);
        assert_both_efforts(&with_gaps(&ints_column(&values), &pattern), &ranges);
    }

    #[test]
    fn floats(values in any_floats(), pattern in any_pattern(), ranges in any_ranges()) {
        assert_both_efforts(&floats_column(&values), &ranges);
        assert_both_efforts(&with_gaps(&floats_column(&values), &pattern), &ranges);
    }

    #[test]
    fn texts(values in any_texts(), pattern in any_pattern(), ranges in any_ranges()) {
        assert_both_efforts(&texts_column(&values), &ranges);
        assert_both_efforts(&with_gaps(&texts_column(&values), &pattern), &ranges);
    }

    #[test]
    fn streams(values in any_ints(), ranges in any_ranges()) {
        for effort in [Effort::Fast, Effort::Thorough] {
            let mut bytes = Vec::new();
            encode_i64s(&values, effort, &mut bytes);
            for &(a, b) in &ranges {
                let (a, b) = (a % (values.len() + 1), b % (values.len() + 1));
                let range = a.min(b)..a.max(b);
                let mut out = vec![7];
                decode_i64s(&bytes, values.len(), range.clone(), &mut out).unwrap();
                prop_assert_eq!(&out[1..], &values[range]);
            }
            for index in 0..values.len().min(50) {
                prop_assert_eq!(i64_at(&bytes, values.len(), index).unwrap(), values[index]);
            }
        }
    }
}

proptest! {
    #[test]
    fn keyed_streams(
        rows in prop::collection::vec((0usize..9, -20i64..2000), 0..500),
        bases in prop::collection::vec(any::<i64>(), 9),
        ranges in any_ranges(),
    ) {
        let keys: Vec<i64> = rows.iter().map(|(key, _)| bases[*key] / 7).collect();
        let values: Vec<i64> = rows.iter().map(|(key, value)| bases[*key].wrapping_add(*value)).collect();
        for effort in [Effort::Fast, Effort::Thorough] {
            let mut bytes = Vec::new();
            encode_i64s_keyed(&values, &keys, effort, &mut bytes);
            for &(a, b) in &ranges {
                let (a, b) = (a % (values.len() + 1), b % (values.len() + 1));
                let range = a.min(b)..a.max(b);
                let mut out = vec![7];
                decode_i64s_keyed(&bytes, values.len(), range.clone(), &keys[range.clone()], &mut out).unwrap();
                prop_assert_eq!(&out[1..], &values[range]);
            }
        }
    }
}

/// Frames before the range used to be summed over their end (an assertion of the block reader).
#[test]
fn ranges_in_late_frames_of_delta_columns() {
    let mut value = 0;
    let values: Vec<i64> = (0..8000)
        .map(|i| {
            value += 1000 + i * i % 17;
            value
        })
        .collect();
    assert_both_efforts(&ints_column(&values), &[(3000, 3100), (1023, 1025), (7999, 8000)]);
}

#[test]
fn long_streams_are_paged() {
    let values: Vec<i64> = (0..30_000).map(|i| i * i % 7919).collect();
    let mut bytes = Vec::new();
    encode_i64s(&values, Effort::Fast, &mut bytes);
    for range in [0..30_000, 8191..8193, 16_384..16_385, 29_999..30_000, 30_000..30_000] {
        let mut out = Vec::new();
        decode_i64s(&bytes, values.len(), range.clone(), &mut out).unwrap();
        assert_eq!(out, values[range]);
    }
    assert_eq!(i64_at(&bytes, values.len(), 20_000).unwrap(), values[20_000]);
    assert!(i64_at(&bytes, values.len(), 30_000).is_err());
}

#[test]
fn large_columns_of_many_frames_and_zstd_frames() {
    let values: Vec<i64> = (0..8192).map(|i| (i % 30) * 60_000 + (i / 30) % 3).collect();
    assert_both_efforts(&ints_column(&values), &[(100, 230), (8000, 8192), (0, 1)]);
    let texts: Vec<String> =
        (0..8192).map(|i| format!("GET /orders/{}/items?page={}", i * 7919 % 10_007, i)).collect();
    assert_both_efforts(&texts_column(&texts), &[(100, 230), (8000, 8192), (4000, 4001)]);
}

#[test]
fn each_encoding_of_floats_and_texts_is_chosen_for_what_it_is_made_for() {
    let noise = |i: u64| {
        let x = (i ^ i >> 30).wrapping_add(1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    };
    let chosen = |column| column_encoding(&encode(&column, Effort::Fast)).unwrap();
    let floats = |f: &dyn Fn(u64) -> f64| floats_column(&(0..500).map(f).collect::<Vec<_>>());
    assert_eq!(chosen(floats(&|i| (noise(i) >> 54) as f64 / 100.0)), Encoding::Decimal);
    assert_eq!(chosen(floats(&|i| (noise(i) >> 11) as f64 / (1u64 << 53) as f64)), Encoding::Split);
    assert_eq!(chosen(floats(&|i| f64::from_bits(noise(i)))), Encoding::Raw);
    assert_eq!(chosen(floats(&|_| f64::NAN)), Encoding::Constant);
    assert_eq!(chosen(floats(&|i| (noise(i / 50) as f64).sqrt().recip())), Encoding::Runs);
    assert_eq!(chosen(texts_column(&["a"; 9])), Encoding::Constant);
    assert_eq!(
        chosen(texts_column(&(0..500).map(|i| format!("{}", i % 7)).collect::<Vec<_>>())),
        Encoding::Dictionary
    );
    assert_eq!(chosen(texts_column(&(0..500).map(|i| format!("{i}")).collect::<Vec<_>>())), Encoding::Slices);
}

/// Alternating presence is the worst case of runs, long stretches are the worst case of bitmaps.
#[test]
fn validity_of_extreme_patterns() {
    let values: Vec<i64> = (0..2048).collect();
    for pattern in [&[0u8, 1][..], &[0, 2], &[0, 1, 2], &[1, 2], &[0, 0, 1], &[0; 1]] {
        assert_both_efforts(
            &with_gaps(&ints_column(&values), pattern),
            &[(0, 1), (3, 77), (2047, 2048), (64, 128)],
        );
    }
    let halves: Vec<u8> = (0..2048).map(|row| if row < 1024 { 0 } else { 2 }).collect();
    let column = with_gaps(&ints_column(&values), &halves);
    assert_both_efforts(&column, &[(1000, 1030)]);
    assert!(encode(&column, Effort::Fast).len() < 16);
}

/// zstd packs zeros 30,000 to 1, close to the ratio beyond which a frame is taken for malformed.
#[test]
fn very_large_and_very_compressible_values() {
    let values = [vec![0u8; 10 << 20], vec![7u8; 5 << 20], Vec::new(), b"x".to_vec()];
    assert_both_efforts(&texts_column(&values), &[(0, 1), (1, 2), (2, 4), (1, 4)]);
}
