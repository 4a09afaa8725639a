//! `Product`: an integer column that is nearly the product of two others.
//!
//! SkyWalking stores count, sum and mean of every latency. The mean is the quotient of the other two, so the sum
//! is mean times count and a remainder below count: of three columns only two and a remainder need storing,
//! which is about half of the sum's bits, or all of them where the mean was exact.
//!
//! Layout: header byte (`Product`, mode 0), then the column of `value - a * b` (wrapping) in any other encoding. Rows
//! of a factor without value count as 0. Which columns are the factors is for the caller to store.

use std::ops::Range;

use pipal_model::ColumnType;

use crate::column::{Column, ColumnData, Presence};
use crate::columns::{decode_column, encode_column};
use crate::encoding::{Effort, Encoding, header_byte, read_header};
use crate::error::DecodeError;
use crate::reader::Reader;

/// More integer columns than this are not searched for products.
const MAX_COLUMNS: usize = 8;

/// A column and the two whose product it nearly is, by their indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// The column to be stored as distances.
    pub target: usize,
    /// The columns to multiply; they must be decoded to read the target.
    pub factors: [usize; 2],
}

/// Looks for a column that is nearly the product of two others, by a sample of rows. All columns have the same
/// number of rows. Encoding decides whether it pays.
pub fn find_product(columns: &[Column]) -> Option<Product> {
    let ints: Vec<(usize, &[i64])> = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.column_type() == ColumnType::Int)
        .filter_map(|(i, column)| values_of(column).map(|values| (i, values)))
        .take(MAX_COLUMNS)
        .collect();
    for (a, a_values) in &ints {
        for (b, b_values) in ints.iter().filter(|(b, _)| b > a) {
            let others = ints.iter().filter(|(target, _)| target != a && target != b);
            for (target, values) in others {
                if is_near_product(values, a_values, b_values) {
                    return Some(Product { target: *target, factors: [*a, *b] });
                }
            }
        }
    }
    None
}

fn values_of(column: &Column) -> Option<&[i64]> {
    match column.data() {
        ColumnData::I64(values) => Some(values),
        _ => None,
    }
}

/// Whether most of a sample of rows lie closer to the product than the greater factor, and are well above it
/// themselves (else any column of small numbers would do).
fn is_near_product(values: &[i64], a_values: &[i64], b_values: &[i64]) -> bool {
    const SAMPLE: usize = 32;
    let stride = values.len().div_ceil(SAMPLE).max(1);
    let rows = values.iter().zip(a_values).zip(b_values).step_by(stride);
    let (mut seen, mut near) = (0, 0);
    for ((&value, &a), &b) in rows {
        let factor = a.unsigned_abs().max(b.unsigned_abs());
        let distance = value.wrapping_sub(a.wrapping_mul(b)).unsigned_abs();
        seen += 1;
        near += usize::from(distance <= factor && value.unsigned_abs() / 4 >= factor);
    }
    seen > 0 && near * 4 >= seen * 3
}

/// Appends an integer column, as distances from the product of two columns of the same length where that is
/// smaller, else as [`encode_column`] does.
pub fn encode_product_column(column: &Column, factors: [&Column; 2], effort: Effort, out: &mut Vec<u8>) {
    let at = out.len();
    encode_column(column, effort, out);
    let Some(distances) = distances(column, factors) else { return };
    let mut encoded = vec![header_byte(Encoding::Product, 0)];
    encode_column(&distances, effort, &mut encoded);
    if encoded.len() < out.len() - at {
        out.truncate(at);
        out.extend_from_slice(&encoded);
    }
}

fn distances(column: &Column, factors: [&Column; 2]) -> Option<Column> {
    if column.column_type() != ColumnType::Int || factors.iter().any(|f| f.len() != column.len()) {
        return None;
    }
    let mut distances = column.clone();
    let ColumnData::I64(values) = distances.data_mut() else { return None };
    // Slots of missing rows get distances too; they are not stored.
    shift_by_product(values, factors.map(values_of), i64::wrapping_sub)?;
    Some(distances)
}

/// Applies `shift(value, a * b)` to all values.
fn shift_by_product(
    values: &mut [i64],
    [a, b]: [Option<&[i64]>; 2],
    shift: impl Fn(i64, i64) -> i64,
) -> Option<()> {
    for (value, (a, b)) in values.iter_mut().zip(a?.iter().zip(b?)) {
        *value = shift(*value, a.wrapping_mul(*b));
    }
    Some(())
}

/// Whether reading the column takes its factors.
///
/// # Errors
/// An empty slice or an unknown encoding.
pub fn is_product_column(bytes: &[u8]) -> Result<bool, DecodeError> {
    read_header(&mut Reader::new(bytes)).map(|(encoding, _)| encoding == Encoding::Product)
}

/// Appends the rows at `range` of a column that [`encode_product_column`] wrote. `factors` hold the rows of the
/// range, and nothing else. `out` is unchanged after an error.
///
/// # Errors
/// As [`decode_column`], and factors of another type or length.
pub fn decode_product_column(
    bytes: &[u8],
    rows: usize,
    range: Range<usize>,
    factors: [&Column; 2],
    out: &mut Column,
) -> Result<(), DecodeError> {
    if !is_product_column(bytes)? {
        return decode_column(ColumnType::Int, bytes, rows, range, out);
    }
    if factors.iter().any(|f| f.len() != range.len()) || factors.iter().any(|f| values_of(f).is_none()) {
        return Err(DecodeError::new("factors do not fit the column", 0));
    }
    let before = out.len();
    decode_column(ColumnType::Int, bytes.get(1..).unwrap_or_default(), rows, range, out)?;
    let missing: Vec<usize> =
        (before..out.len()).filter(|row| out.presence(*row) != Presence::Value).collect();
    if let ColumnData::I64(values) = out.data_mut() {
        let slots = values.get_mut(before..).unwrap_or_default();
        shift_by_product(slots, factors.map(values_of), i64::wrapping_add);
        for row in missing {
            values.get_mut(row).into_iter().for_each(|slot| *slot = 0);
        }
    }
    Ok(())
}
