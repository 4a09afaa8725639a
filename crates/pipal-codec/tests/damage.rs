//! Damaged encodings are errors or other values, never a panic and never too many rows.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use pipal_codec::{Column, Effort, column_bounds, decode_column, decode_i64s};
use pipal_model::ColumnType;
use proptest::prelude::*;

/// Reads damaged bytes in all ways; an output column must stay whole.
fn read_everything(ty: ColumnType, bytes: &[u8], rows: usize) {
    let mut out = Column::new(ty);
    out.push_missing(pipal_codec::Presence::Null, 1);
    let mut expected = 1;
    for range in [0..rows, rows / 2..rows, 0..rows.min(1), rows..rows] {
        if decode_column(ty, bytes, rows, range.clone(), &mut out).is_ok() {
            expected += range.len();
        }
        assert_eq!(out.len(), expected);
        (0..out.len()).for_each(|row| {
            out.get(row);
        });
        out.push_missing(pipal_codec::Presence::Absent, 1);
        expected += 1;
    }
    let _ = column_bounds(ty, bytes, rows);
    let mut values = Vec::new();
    let _ = decode_i64s(bytes, rows, 0..rows, &mut values);
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Head(u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, u8),
    Rows(usize),
}

fn any_damage() -> impl Strategy<Value = Vec<Damage>> {
    let one = prop_oneof![
        4 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
        2 => any::<u8>().prop_map(Damage::Head),
        1 => any::<prop::sample::Index>().prop_map(Damage::Cut),
        1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        1 => (0usize..2000).prop_map(Damage::Rows),
    ];
    prop::collection::vec(one, 1..4)
}

fn apply(damages: &[Damage], bytes: &mut Vec<u8>, rows: &mut usize) {
    for damage in damages {
        let length = bytes.len().max(1);
        match damage {
            Damage::Flip(at, byte) => {
                if let Some(slot) = bytes.get_mut(at.index(length)) {
                    *slot = *byte;
                }
            }
            Damage::Head(byte) => bytes.first_mut().into_iter().for_each(|slot| *slot = *byte),
            Damage::Cut(at) => bytes.truncate(at.index(length)),
            Damage::Insert(at, byte) => bytes.insert(at.index(length).min(bytes.len()), *byte),
            Damage::Rows(count) => *rows = *count,
        }
    }
}

fn damage_and_read(column: &Column, damages: &[Damage]) {
    for effort in [Effort::Fast, Effort::Thorough] {
        let (mut bytes, mut rows) = (encode(column, effort), column.len());
        apply(damages, &mut bytes, &mut rows);
        for ty in [column.column_type(), ColumnType::Int, ColumnType::Float, ColumnType::Str] {
            read_everything(ty, &bytes, rows);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn ints(values in any_ints(), pattern in any_pattern(), damages in any_damage()) {
        damage_and_read(&with_gaps(&ints_column(&values), &pattern), &damages);
    }

    #[test]
    fn floats(values in any_floats(), pattern in any_pattern(), damages in any_damage()) {
        damage_and_read(&with_gaps(&floats_column(&values), &pattern), &damages);
    }

    #[test]
    fn texts(values in any_texts(), pattern in any_pattern(), damages in any_damage()) {
        damage_and_read(&with_gaps(&texts_column(&values), &pattern), &damages);
    }

    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..60), rows in 0usize..9000) {
        for ty in [ColumnType::Int, ColumnType::Float, ColumnType::Str] {
            read_everything(ty, &bytes, rows);
        }
    }
}
