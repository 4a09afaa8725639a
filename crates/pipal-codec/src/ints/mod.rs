//! Integer streams: exact encodings of `i64` lists with access by range.
//!
//! A stream is a header byte (see [`crate::encoding`]) and a body. The number of values is not stored: whoever
//! stores the stream knows it.

mod classes;
mod decode;
mod encode;
mod framed;
mod huffman;
mod keyed;
mod repeats;
#[cfg(test)]
mod tests;

use std::ops::Range;

use decode::decode_nested;
pub(crate) use decode::{bounds_of_body, bounds_of_stream, decode_body};
pub(crate) use encode::encode_body;
use encode::encode_nested;
pub use keyed::{decode_i64s_keyed, encode_i64s_keyed};

use crate::encoding::{Effort, header_byte};
use crate::error::DecodeError;
use crate::reader::Reader;

/// Streams longer than this are cut into pages that decode independently.
pub const PAGE_VALUES: usize = 8192;

/// Streams may contain streams (a dictionary and its codes) this deep; more is malformed.
const MAX_NESTING: u32 = 4;

/// Appends a stream of integers. Not length-prefixed; the caller keeps its length and the number of values.
pub fn encode_i64s(values: &[i64], effort: Effort, out: &mut Vec<u8>) {
    let at = out.len();
    out.push(0);
    let encoding = encode_body(values, effort, out);
    if let Some(slot) = out.get_mut(at) {
        *slot = header_byte(encoding, 0);
    }
}

/// Appends the values at `range` of a stream of `rows` values to `out`, which is unchanged after an error.
pub fn decode_i64s(
    bytes: &[u8],
    rows: usize,
    range: Range<usize>,
    out: &mut Vec<i64>,
) -> Result<(), DecodeError> {
    if range.start > range.end || range.end > rows {
        return Err(DecodeError::new("range outside of the stream", 0));
    }
    let before = out.len();
    out.resize(before + range.len(), 0);
    let slots = out.get_mut(before..).unwrap_or_default();
    let result = decode_i64s_at(Reader::new(bytes), rows, range.start, slots);
    if result.is_err() {
        out.truncate(before);
    }
    result
}

/// The value at `index` of a stream of `rows` values, without decoding others where the encoding allows it.
pub fn i64_at(bytes: &[u8], rows: usize, index: usize) -> Result<i64, DecodeError> {
    if index >= rows {
        return Err(DecodeError::new("index outside of the stream", 0));
    }
    let mut value = [0];
    decode_i64s_at(Reader::new(bytes), rows, index, &mut value)?;
    Ok(value[0])
}

/// Fills `out` with the values from `start` on of a stream of `count` values; `start + out.len() <= count`.
pub(crate) fn decode_i64s_at(
    reader: Reader<'_>,
    count: usize,
    start: usize,
    out: &mut [i64],
) -> Result<(), DecodeError> {
    debug_assert!(start + out.len() <= count);
    decode_nested(reader, count, start, out, MAX_NESTING)
}
