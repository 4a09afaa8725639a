//! Every column comes back bit for bit, whole and by ranges.

mod common;

use common::*;
use pipal_codec::{Effort, decode_i64s, decode_i64s_keyed, encode_i64s, encode_i64s_keyed, i64_at};
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
