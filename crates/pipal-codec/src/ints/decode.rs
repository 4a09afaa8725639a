//! Reads integer streams.

use super::classes;
use super::framed::{decode_delta, decode_packed, delta_bounds, packed_bounds};
use super::repeats::{
    decode_dictionary, decode_periodic, decode_runs, dictionary_bounds, periodic_parts, run_heads,
};
use super::{MAX_NESTING, PAGE_VALUES};
use crate::encoding::{Encoding, read_header};
use crate::error::DecodeError;
use crate::reader::Reader;

/// Fills `out` with the values from `start` on of a stream of `count` values. `depth` bounds the streams in
/// streams that malformed bytes may claim.
pub(super) fn decode_nested(
    mut reader: Reader<'_>,
    count: usize,
    start: usize,
    out: &mut [i64],
    depth: u32,
) -> Result<(), DecodeError> {
    let at = reader;
    let (encoding, mode) = read_header(&mut reader)?;
    if mode != 0 {
        return Err(at.error("integer stream with a validity mode"));
    }
    let depth = depth.checked_sub(1).ok_or_else(|| at.error("streams nested too deep"))?;
    decode_at_depth(encoding, reader, count, start, out, depth)
}

/// Fills `out` with the values from `start` on of the body of a stream of `count` values.
pub(crate) fn decode_body(
    encoding: Encoding,
    reader: Reader<'_>,
    count: usize,
    start: usize,
    out: &mut [i64],
) -> Result<(), DecodeError> {
    decode_at_depth(encoding, reader, count, start, out, MAX_NESTING)
}

fn decode_at_depth(
    encoding: Encoding,
    mut reader: Reader<'_>,
    count: usize,
    start: usize,
    out: &mut [i64],
    depth: u32,
) -> Result<(), DecodeError> {
    if out.is_empty() {
        return Ok(());
    }
    match encoding {
        Encoding::Constant => out.fill(reader.signed()?),
        Encoding::Ramp => {
            let first = reader.signed()?;
            let step = reader.signed()?;
            let mut value = first.wrapping_add(step.wrapping_mul(start as i64));
            for slot in out {
                *slot = value;
                value = value.wrapping_add(step);
            }
        }
        Encoding::Packed => decode_packed(reader, count, start, out)?,
        Encoding::Delta => decode_delta(reader, count, start, out)?,
        Encoding::Classes => classes::decode(reader, count, start, out)?,
        Encoding::Raw => decode_raw(reader, start, out)?,
        Encoding::Dictionary => decode_dictionary(reader, count, start, out, depth)?,
        Encoding::Runs => decode_runs(reader, count, start, out, depth)?,
        Encoding::Periodic => decode_periodic(reader, count, start, out, depth)?,
        Encoding::Paged => decode_pages(reader, count, start, out, depth)?,
        Encoding::Empty => return Err(reader.error("no values where some are expected")),
        Encoding::Keyed => return Err(reader.error("keys are needed to read this stream")),
        Encoding::Product => return Err(reader.error("factors are needed to read this column")),
        Encoding::Decimal | Encoding::Split | Encoding::Slices => {
            return Err(reader.error("not an encoding of integers"));
        }
    }
    Ok(())
}

fn decode_raw(mut reader: Reader<'_>, start: usize, out: &mut [i64]) -> Result<(), DecodeError> {
    reader.take(start.saturating_mul(8))?;
    let bytes = reader.take(out.len().saturating_mul(8))?;
    for (slot, chunk) in out.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *slot = i64::from_le_bytes(*chunk);
    }
    Ok(())
}

fn decode_pages(
    mut reader: Reader<'_>,
    count: usize,
    start: usize,
    mut out: &mut [i64],
    depth: u32,
) -> Result<(), DecodeError> {
    let directory = reader.take(count.div_ceil(PAGE_VALUES).saturating_mul(4))?;
    for (page, length) in directory.as_chunks::<4>().0.iter().enumerate() {
        let section = reader.section(u32::from_le_bytes(*length) as usize)?;
        let first = page * PAGE_VALUES;
        let values = PAGE_VALUES.min(count - first);
        let skip = start.saturating_sub(first).min(values);
        let (slots, rest) = out.split_at_mut((values - skip).min(out.len()));
        if !slots.is_empty() {
            decode_nested(section, values, skip, slots, depth)?;
        }
        out = rest;
        if out.is_empty() {
            return Ok(());
        }
    }
    Err(reader.error("pages end before the values do"))
}

/// Bounds that no value of a body lies outside of, where they are cheap to tell. `count` is not 0.
pub(crate) fn bounds_of_body(
    encoding: Encoding,
    reader: Reader<'_>,
    count: usize,
) -> Result<Option<(i64, i64)>, DecodeError> {
    bounds_at_depth(encoding, reader, count, MAX_NESTING)
}

/// Bounds of a whole stream, as [`bounds_of_body`].
pub(crate) fn bounds_of_stream(reader: Reader<'_>, count: usize) -> Result<Option<(i64, i64)>, DecodeError> {
    nested_bounds(reader, count, MAX_NESTING)
}

fn nested_bounds(
    mut reader: Reader<'_>,
    count: usize,
    depth: u32,
) -> Result<Option<(i64, i64)>, DecodeError> {
    let at = reader;
    let (encoding, _) = read_header(&mut reader)?;
    let depth = depth.checked_sub(1).ok_or_else(|| at.error("streams nested too deep"))?;
    bounds_at_depth(encoding, reader, count, depth)
}

fn bounds_at_depth(
    encoding: Encoding,
    mut reader: Reader<'_>,
    count: usize,
    depth: u32,
) -> Result<Option<(i64, i64)>, DecodeError> {
    Ok(match encoding {
        Encoding::Constant => {
            let value = reader.signed()?;
            Some((value, value))
        }
        Encoding::Ramp => ramp_bounds(reader.signed()?, reader.signed()?, count),
        Encoding::Packed => Some(packed_bounds(reader, count)?),
        Encoding::Delta => Some(delta_bounds(reader)?),
        Encoding::Classes => Some(classes::bounds(reader)?),
        Encoding::Dictionary => Some(dictionary_bounds(reader, count, depth)?),
        Encoding::Runs => {
            let (runs, heads) = run_heads(reader, count)?;
            nested_bounds(heads, runs, depth)?
        }
        Encoding::Periodic => {
            let (period, stream) = periodic_parts(&mut reader, count)?;
            nested_bounds(stream, period, depth)?
        }
        _ => None,
    })
}

fn ramp_bounds(first: i64, step: i64, count: usize) -> Option<(i64, i64)> {
    let span = i128::from(step) * (count as i128 - 1);
    let last = i64::try_from(i128::from(first) + span).ok()?;
    Some((first.min(last), first.max(last)))
}
