//! Columns for property tests, and what must hold for every encoded column.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::ops::Range;

use pipal_codec::{
    Column, ColumnData, Effort, Presence, ValueBounds, column_bounds, decode_column, encode_column,
};
use pipal_model::{ColumnType, ValueRef};
use proptest::prelude::*;

pub fn ints_column(values: &[i64]) -> Column {
    let mut column = Column::new(ColumnType::Int);
    values.iter().for_each(|v| column.push(ValueRef::Int(*v)));
    column
}

pub fn floats_column(values: &[f64]) -> Column {
    let mut column = Column::new(ColumnType::Float);
    values.iter().for_each(|v| column.push(ValueRef::Float(*v)));
    column
}

pub fn texts_column<T: AsRef<[u8]>>(values: &[T]) -> Column {
    let mut column = Column::new(ColumnType::Str);
    values.iter().for_each(|v| column.push(ValueRef::Str(v.as_ref())));
    column
}

/// The column with some rows replaced by missing ones: pattern entries 1 and 2 mean null and absent.
pub fn with_gaps(column: &Column, pattern: &[u8]) -> Column {
    let mut out = Column::new(column.column_type());
    for row in 0..column.len() {
        match pattern.get(row % pattern.len().max(1)) {
            Some(1) => out.push(ValueRef::Null),
            Some(2) => out.push(ValueRef::Absent),
            _ => out.push(column.get(row)),
        }
    }
    out
}

pub fn encode(column: &Column, effort: Effort) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_column(column, effort, &mut bytes);
    bytes
}

pub fn same_value(a: ValueRef<'_>, b: ValueRef<'_>) -> bool {
    match (a, b) {
        (ValueRef::Float(a), ValueRef::Float(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

pub fn assert_rows(column: &Column, range: Range<usize>, decoded: &Column, skip: usize) {
    assert_eq!(decoded.len(), skip + range.len());
    for (i, row) in range.enumerate() {
        let (want, got) = (column.get(row), decoded.get(skip + i));
        assert!(same_value(want, got), "row {row}: wrote {want:?}, read {got:?}");
    }
    let slots = match decoded.data() {
        ColumnData::I64(values) => values.len(),
        ColumnData::F64(values) => values.len(),
        ColumnData::Bytes(values) => values.len(),
    };
    assert_eq!(slots, decoded.len(), "one slot per row");
}

/// Whole, range, appended and empty reads give what was written, and bounds contain every value.
pub fn assert_round_trip(column: &Column, bytes: &[u8], ranges: &[(usize, usize)]) {
    let (ty, rows) = (column.column_type(), column.len());
    let mut whole = Column::new(ty);
    decode_column(ty, bytes, rows, 0..rows, &mut whole).unwrap();
    assert_rows(column, 0..rows, &whole, 0);
    for &(a, b) in ranges {
        let (a, b) = (a % (rows + 1), b % (rows + 1));
        let range = a.min(b)..a.max(b);
        let mut part = Column::new(ty);
        decode_column(ty, bytes, rows, range.clone(), &mut part).unwrap();
        assert_rows(column, range.clone(), &part, 0);
        let before = part.len();
        decode_column(ty, bytes, rows, range.clone(), &mut part).unwrap();
        assert_rows(column, range, &part, before);
    }
    assert_bounds(column, bytes);
}

fn assert_bounds(column: &Column, bytes: &[u8]) {
    let bounds = column_bounds(column.column_type(), bytes, column.len()).unwrap();
    let present = (0..column.len()).filter(|row| column.presence(*row) == Presence::Value);
    assert_eq!(bounds.value_count, present.clone().count());
    for row in present {
        match (&bounds.values, column.get(row)) {
            (ValueBounds::Unknown, _) => {}
            (ValueBounds::I64(a, b), ValueRef::Int(v) | ValueRef::Timestamp(v)) => {
                assert!(*a <= v && v <= *b, "{v} outside of {a}..={b}");
            }
            (ValueBounds::F64(a, b), ValueRef::Float(v)) => {
                assert!(a.total_cmp(&v).is_le() && v.total_cmp(b).is_le(), "{v} outside of {a}..={b}");
            }
            (ValueBounds::Bytes(a, b), ValueRef::Str(v) | ValueRef::Binary(v)) => {
                assert!(a.as_slice() <= v && v <= b.as_slice());
            }
            (bounds, value) => panic!("{bounds:?} for {value:?}"),
        }
    }
}

pub fn assert_both_efforts(column: &Column, ranges: &[(usize, usize)]) {
    for effort in [Effort::Fast, Effort::Thorough] {
        assert_round_trip(column, &encode(column, effort), ranges);
    }
}

/// Integer lists of many shapes: constant, ramps, noise, outliers, extremes, repeats.
pub fn any_ints() -> impl Strategy<Value = Vec<i64>> {
    let edge = prop_oneof![
        Just(i64::MIN),
        Just(i64::MAX),
        Just(0),
        Just(-1),
        Just(i64::MAX - 1),
        any::<i64>(),
        -3i64..3,
    ];
    let len = 0usize..700;
    prop_oneof![
        prop::collection::vec(edge, 0..40),
        prop::collection::vec(any::<i64>(), len.clone()),
        prop::collection::vec(0i64..1000, len.clone()),
        (any::<i64>(), any::<i64>(), len.clone())
            .prop_map(|(a, d, n)| (0..n as i64).map(|i| a.wrapping_add(d.wrapping_mul(i))).collect()),
        (any::<i64>(), 1i64..1_000_000, prop::collection::vec(0i64..50, len.clone()))
            .prop_map(|(a, g, v)| v.into_iter().map(|q| a.wrapping_add(q * g)).collect()),
        (any::<i64>(), prop::collection::vec(-5i64..50, len.clone())).prop_map(|(mut a, v)| {
            v.into_iter()
                .map(|d| {
                    a = a.wrapping_add(d);
                    a
                })
                .collect()
        }),
        (prop::collection::vec(any::<i64>(), 1..9), prop::collection::vec(0usize..9, len.clone()))
            .prop_map(|(d, v)| v.into_iter().map(|i| d[i % d.len()]).collect()),
        (prop::collection::vec(any::<i64>(), 1..30), len).prop_map(|(period, n)| period
            .iter()
            .copied()
            .cycle()
            .take(n)
            .collect()),
        (prop::collection::vec((any::<i64>(), 1usize..40), 1..20))
            .prop_map(|runs| runs.into_iter().flat_map(|(v, n)| std::iter::repeat_n(v, n)).collect()),
        (
            prop::collection::vec(0i64..16, 1..600),
            prop::collection::vec((any::<prop::sample::Index>(), any::<i64>()), 0..5)
        )
            .prop_map(|(mut v, outliers)| {
                for (at, value) in outliers {
                    let at = at.index(v.len());
                    v[at] = value;
                }
                v
            }),
    ]
}

/// Doubles of many shapes: decimals, all bit patterns, specials.
pub fn any_floats() -> impl Strategy<Value = Vec<f64>> {
    let special = prop_oneof![
        Just(-0.0f64),
        Just(0.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(f64::MIN_POSITIVE),
        Just(f64::from_bits(1)),
        Just(f64::from_bits(0xfff8_dead_beef_0001)),
        Just(f64::MAX),
        Just(1e300),
    ];
    let decimal = (-1_000_000i64..1_000_000, 0i32..6).prop_map(|(d, e)| d as f64 / 10f64.powi(e));
    prop_oneof![
        prop::collection::vec(any::<u64>().prop_map(f64::from_bits), 0..300),
        prop::collection::vec(decimal.clone(), 0..600),
        prop::collection::vec(prop_oneof![9 => decimal, 1 => special.clone()], 0..600),
        prop::collection::vec(special, 0..40),
        prop::collection::vec(0.0f64..1.0, 0..600),
        prop::collection::vec((0u32..5000).prop_map(f64::from), 0..300),
        (any::<u64>(), 0usize..100).prop_map(|(b, n)| vec![f64::from_bits(b); n]),
    ]
}

/// Byte strings of many shapes: few distinct, distinct, long, empty.
pub fn any_texts() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        prop::collection::vec(bytes.clone(), 0..300),
        prop::collection::vec("[a-c]{0,3}".prop_map(String::into_bytes), 0..300),
        (prop::collection::vec(bytes.clone(), 1..6), prop::collection::vec(0usize..6, 0..600))
            .prop_map(|(d, v)| v.into_iter().map(|i| d[i % d.len()].clone()).collect()),
        (bytes, 0usize..50).prop_map(|(b, n)| vec![b; n]),
        (0usize..400)
            .prop_map(|n| (0..n).map(|i| format!("service-{}/endpoint/{i}", i % 7).into_bytes()).collect()),
        prop::collection::vec((0usize..40_000, any::<u8>()).prop_map(|(n, b)| vec![b; n]), 0..12),
    ]
}

pub fn any_pattern() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(vec![0]),
        prop::collection::vec(prop_oneof![Just(0u8), Just(1)], 1..40),
        prop::collection::vec(prop_oneof![Just(0u8), Just(2)], 1..300),
        prop::collection::vec(0u8..3, 1..300),
        prop::collection::vec(1u8..3, 1..9),
        (1usize..200, 1usize..200).prop_map(|(a, b)| [vec![0; a], vec![1; b]].concat()),
    ]
}

pub fn any_ranges() -> impl Strategy<Value = Vec<(usize, usize)>> {
    prop::collection::vec((0usize..800, 0usize..800), 0..6)
}
