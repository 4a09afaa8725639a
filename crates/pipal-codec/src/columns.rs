//! Whole columns: header byte, validity, body of the values that are there.

use std::borrow::Cow;
use std::ops::Range;

use pipal_model::ColumnType;

use crate::column::{BytesData, Column, ColumnData, Presence, Validity};
use crate::encoding::{Effort, Encoding, header_byte, read_header};
use crate::error::DecodeError;
use crate::reader::Reader;
use crate::validity::{self, Presences};
use crate::{floats, ints, texts};

/// The most rows that one encoded column may have. The engine's chunks are much shorter; the bound keeps
/// malformed metadata from asking for absurd allocations.
pub const MAX_COLUMN_ROWS: usize = 1 << 20;

/// Appends a column. Not length-prefixed; the caller keeps its length, its type and the number of rows.
/// The column has at most [`MAX_COLUMN_ROWS`] rows.
pub fn encode_column(column: &Column, effort: Effort, out: &mut Vec<u8>) {
    debug_assert!(column.len() <= MAX_COLUMN_ROWS);
    let mode = validity::mode_of(column.validity(), column.len());
    let at = out.len();
    out.push(0);
    let encoding = match (mode, column.validity()) {
        (0, _) => encode_values(column, None, effort, out),
        (_, Validity::Mixed(list)) if list.contains(&Presence::Value) => {
            validity::write_mixed(list, out);
            encode_values(column, Some(list), effort, out)
        }
        (validity::MIXED, Validity::Mixed(list)) => {
            validity::write_mixed(list, out);
            Encoding::Empty
        }
        _ => Encoding::Empty,
    };
    if let Some(slot) = out.get_mut(at) {
        *slot = header_byte(encoding, mode);
    }
}

/// Appends the body of the values that are there; without a list, all are.
fn encode_values(column: &Column, list: Option<&[Presence]>, effort: Effort, out: &mut Vec<u8>) -> Encoding {
    fn keep<'a, T: Copy>(values: &'a [T], list: Option<&[Presence]>) -> Cow<'a, [T]> {
        let Some(list) = list else { return Cow::Borrowed(values) };
        let present = values.iter().zip(list).filter(|(_, presence)| **presence == Presence::Value);
        Cow::Owned(present.map(|(value, _)| *value).collect())
    }
    match column.data() {
        ColumnData::I64(values) => ints::encode_body(&keep(values, list), effort, out),
        ColumnData::F64(values) => floats::encode_body(&keep(values, list), effort, out),
        ColumnData::Bytes(values) => {
            let slices: Vec<&[u8]> = (0..values.len()).map(|row| values.get(row)).collect();
            texts::encode_body(&keep(&slices, list), effort, out)
        }
    }
}

/// An encoded column whose header is parsed.
struct Parsed<'a> {
    encoding: Encoding,
    presences: Presences<'a>,
    body: Reader<'a>,
}

impl<'a> Parsed<'a> {
    fn new(bytes: &'a [u8], rows: usize) -> Result<Self, DecodeError> {
        let mut body = Reader::new(bytes);
        if rows > MAX_COLUMN_ROWS {
            return Err(body.error("more rows than a column may have"));
        }
        let (encoding, mode) = read_header(&mut body)?;
        let presences = Presences::parse(mode, rows, &mut body)?;
        Ok(Parsed { encoding, presences, body })
    }
}

/// Appends the rows at `range` of a column of `rows` rows to `out`, which is of type `ty` and is unchanged
/// after an error.
///
/// # Errors
/// Malformed bytes, a range outside of the rows, or an `out` of another type. Memory is bounded by `rows` (at
/// most [`MAX_COLUMN_ROWS`]), by the length of `bytes`, and by [`crate::blob::MAX_FRAME_BYTES`] per frame.
pub fn decode_column(
    ty: ColumnType,
    bytes: &[u8],
    rows: usize,
    range: Range<usize>,
    out: &mut Column,
) -> Result<(), DecodeError> {
    if out.column_type() != ty {
        return Err(DecodeError::new("column of another type", 0));
    }
    if range.start > range.end || range.end > rows {
        return Err(DecodeError::new("range outside of the column", 0));
    }
    let parsed = Parsed::new(bytes, rows)?;
    let wanted = Wanted {
        count: parsed.presences.count_values(0..rows),
        start: parsed.presences.count_values(0..range.start),
        length: parsed.presences.count_values(range.clone()),
    };
    match out.data_mut() {
        ColumnData::I64(values) => append(values, &parsed, range.clone(), wanted.length, |slots| {
            ints::decode_body(parsed.encoding, parsed.body, wanted.count, wanted.start, slots)
        })?,
        ColumnData::F64(values) => append(values, &parsed, range.clone(), wanted.length, |slots| {
            floats::decode_body(parsed.encoding, parsed.body, wanted.count, wanted.start, slots)
        })?,
        ColumnData::Bytes(values) => append_bytes(values, &parsed, range.clone(), wanted)?,
    }
    parsed.presences.for_each_run(range, |presence, length| out.added(length, presence));
    Ok(())
}

/// The values, among those that are there, that a range of rows needs.
#[derive(Clone, Copy)]
struct Wanted {
    /// Values of the whole column.
    count: usize,
    /// Values before the range.
    start: usize,
    /// Values in the range.
    length: usize,
}

fn append<T: Copy + Default>(
    out: &mut Vec<T>,
    parsed: &Parsed<'_>,
    range: Range<usize>,
    length: usize,
    decode: impl FnOnce(&mut [T]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let before = out.len();
    out.resize(before + range.len(), T::default());
    let slots = out.get_mut(before..).unwrap_or_default();
    let (_, values) = slots.split_at_mut(range.len() - length);
    if let Err(error) = decode(values) {
        out.truncate(before);
        return Err(error);
    }
    parsed.presences.spread(range, slots, T::default());
    Ok(())
}

fn append_bytes(
    out: &mut BytesData,
    parsed: &Parsed<'_>,
    range: Range<usize>,
    wanted: Wanted,
) -> Result<(), DecodeError> {
    let (before, stored) = (out.len(), out.stored_bytes());
    out.push_views((0, 0), range.len() - wanted.length);
    let values = wanted.start..wanted.start + wanted.length;
    if let Err(error) = texts::decode_body(parsed.encoding, parsed.body, wanted.count, values, out) {
        out.truncate(before, stored);
        return Err(error);
    }
    parsed.presences.spread(range, out.views_mut(before), (0, 0));
    Ok(())
}

/// How a column is stored, for tools that explain files.
///
/// # Errors
/// An empty slice or an unknown encoding.
pub fn column_encoding(bytes: &[u8]) -> Result<Encoding, DecodeError> {
    read_header(&mut Reader::new(bytes)).map(|(encoding, _)| encoding)
}

/// The range of the values of a column. No value lies outside of it; it may be wider than need be.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueBounds {
    /// Nothing is known without decoding.
    Unknown,
    /// There is no value at all.
    Empty,
    /// Least and greatest, of `Int` and `Timestamp`.
    I64(i64, i64),
    /// Least and greatest in total order (`f64::total_cmp`: -0.0 below 0.0, NaN at the ends).
    F64(f64, f64),
    /// Least and greatest in order of bytes.
    Bytes(Vec<u8>, Vec<u8>),
}

/// What the head of an encoded column tells. Made for pruning: it may exclude a chunk only if no row matches.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnBounds {
    /// Rows that have a value.
    pub value_count: usize,
    /// Range of the values.
    pub values: ValueBounds,
}

/// Statistics of a column of `rows` rows, without decoding its values.
///
/// # Errors
/// Malformed bytes, as far as they are looked at.
pub fn column_bounds(ty: ColumnType, bytes: &[u8], rows: usize) -> Result<ColumnBounds, DecodeError> {
    let Parsed { encoding, presences, body } = Parsed::new(bytes, rows)?;
    if encoding == Encoding::Product {
        // The column of distances knows which rows have a value; its bounds are those of the distances.
        let value_count = Parsed::new(body.rest(), rows)?.presences.count_values(0..rows);
        return Ok(ColumnBounds { value_count, values: ValueBounds::Unknown });
    }
    let value_count = presences.count_values(0..rows);
    if value_count == 0 {
        return Ok(ColumnBounds { value_count, values: ValueBounds::Empty });
    }
    let values = match ty {
        ColumnType::Int | ColumnType::Timestamp => ints::bounds_of_body(encoding, body, value_count)?
            .map_or(ValueBounds::Unknown, |(least, greatest)| ValueBounds::I64(least, greatest)),
        ColumnType::Float => floats::bounds_of_body(encoding, body, value_count)?
            .map_or(ValueBounds::Unknown, |bounds| ValueBounds::F64(bounds.start, bounds.end)),
        ColumnType::Str | ColumnType::Binary | ColumnType::StrArray | ColumnType::IntArray => {
            texts::bounds_of_body(encoding, body, value_count)?
                .map_or(ValueBounds::Unknown, |bounds| ValueBounds::Bytes(bounds.start, bounds.end))
        }
    };
    Ok(ColumnBounds { value_count, values })
}
