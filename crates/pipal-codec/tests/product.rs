//! Columns stored as distances from a product.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use pipal_codec::product::{
    Product, decode_product_column, encode_product_column, find_product, is_product_column,
};
use pipal_codec::{Column, Effort, Presence, column_bounds, decode_column};
use pipal_model::ColumnType;
use proptest::prelude::*;

proptest! {
    #[test]
    fn come_back_whatever_the_factors(
        values in any_ints(),
        a in any_ints(),
        b in any_ints(),
        near in any::<bool>(),
        pattern in any_pattern(),
        ranges in any_ranges(),
    ) {
        let rows = values.len().min(a.len()).min(b.len());
        let (a, b) = (&a[..rows], &b[..rows]);
        let product = |i: usize| a[i].wrapping_mul(b[i]).wrapping_add(values[i] % 3);
        let values: Vec<i64> = (0..rows).map(|i| if near { product(i) } else { values[i] }).collect();
        let column = with_gaps(&ints_column(&values), &pattern);
        let factors = [with_gaps(&ints_column(a), &pattern), ints_column(b)];
        let mut bytes = Vec::new();
        encode_product_column(&column, [&factors[0], &factors[1]], Effort::Fast, &mut bytes);
        let bounds = column_bounds(ColumnType::Int, &bytes, rows).unwrap();
        let present = (0..rows).filter(|row| column.presence(*row) == Presence::Value).count();
        prop_assert_eq!(bounds.value_count, present);
        for (x, y) in ranges {
            let (x, y) = (x % (rows + 1), y % (rows + 1));
            let range = x.min(y)..x.max(y);
            let part = |c: &Column| {
                let mut part = Column::new(ColumnType::Int);
                part.extend_from(c, range.clone());
                part
            };
            let mut out = Column::new(ColumnType::Int);
            decode_product_column(&bytes, rows, range.clone(), [&part(&factors[0]), &part(&factors[1])], &mut out).unwrap();
            assert_rows(&column, range.clone(), &out, 0);
            if is_product_column(&bytes).unwrap() && rows > 0 {
                prop_assert!(decode_column(ColumnType::Int, &bytes, rows, 0..rows, &mut out).is_err());
            }
        }
    }
}

/// Mean, count and sum of latencies, the mean rounded down as SkyWalking does.
#[test]
fn the_sum_beside_mean_and_count_is_found_and_shrinks() {
    let counts: Vec<i64> = (0..4000).map(|i| 20 + i * 7919 % 300).collect();
    let sums: Vec<i64> = (0..4000).map(|i| counts[i as usize] * (50 + i * 104_729 % 90) + i % 20).collect();
    let means: Vec<i64> = sums.iter().zip(&counts).map(|(sum, count)| sum / count).collect();
    let names = texts_column(&vec!["x"; 4000]);
    let columns = [names, ints_column(&counts), ints_column(&sums), ints_column(&means)];
    assert_eq!(find_product(&columns), Some(Product { target: 2, factors: [1, 3] }));
    assert_eq!(find_product(&columns[..3]), None);
    let mut bytes = Vec::new();
    encode_product_column(&columns[2], [&columns[1], &columns[3]], Effort::Fast, &mut bytes);
    assert!(bytes.len() * 2 < encode(&columns[2], Effort::Fast).len());
}
