//! Doubles, bit for bit.
//!
//! The integer encodings apply to the *ordered bits* of a double: its bits as `i64`, with all but the sign
//! flipped when negative, so that integer order is the IEEE total order (`f64::total_cmp`).
//!
//! `Decimal` (after ALP, "Adaptive Lossless floating-Point Compression", SIGMOD 2024): byte exponent `e`
//! (0 to 22); varint number of exceptions; with exceptions: sized integer stream of their positions
//! (ascending), 8 bytes little-endian each; then an integer stream `d`. A value is `d / 10^e`, rounded once.
//! ALP multiplies by a rounded inverse; the division is exact for every decimal of up to 15 digits, and
//! the common divisor of the integer encoding takes the place of ALP's second exponent.
//! Values that do not come back bit for bit (-0.0, NaN, infinities, full mantissas) are exceptions.
//!
//! `Split` (after ALP-RD, same paper): byte shift `s` (1 to 63); sized integer stream of `ordered bits >> s`
//! (arithmetic shift); the low `s` bits of all values, packed.

use std::ops::Range;

use pipal_model::value::write_varint;

use crate::bits::{pack, packed_len, unpack_with};
use crate::encoding::{Effort, Encoding};
use crate::error::DecodeError;
use crate::ints::{self, decode_i64s_at, encode_i64s};
use crate::reader::{Reader, write_sized};

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// The ordered bits of a double.
pub fn ordered_bits(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

/// The double with these ordered bits.
pub fn from_ordered_bits(ordered: i64) -> f64 {
    f64::from_bits((ordered ^ ((ordered >> 63) as u64 >> 1) as i64) as u64)
}

/// Appends the body of a column of doubles and tells its encoding.
pub(crate) fn encode_body(values: &[f64], effort: Effort, out: &mut Vec<u8>) -> Encoding {
    if values.is_empty() {
        return Encoding::Empty;
    }
    let at = out.len();
    let decimal_power = find_power(values);
    if let Some(power) = decimal_power {
        write_decimal(values, power, effort, out);
    }
    let decimal_bytes = out.len() - at;
    // Decimals that halve the raw size leave little to the encodings of bits.
    if decimal_power.is_some() && decimal_bytes * 2 <= values.len() * 8 {
        return Encoding::Decimal;
    }
    let ordered: Vec<i64> = values.iter().map(|v| ordered_bits(*v)).collect();
    let mut best = Vec::new();
    let mut encoding = ints::encode_body(&ordered, effort, &mut best);
    if let Some(shift) = find_shift(&ordered) {
        let mut split = Vec::new();
        write_split(&ordered, shift, effort, &mut split);
        if split.len() < best.len() {
            (best, encoding) = (split, Encoding::Split);
        }
    }
    if decimal_power.is_some() && decimal_bytes <= best.len() {
        return Encoding::Decimal;
    }
    out.truncate(at);
    out.extend_from_slice(&best);
    encoding
}

/// The integer `d` with `d / 10^power == value`, bit for bit.
fn decimal(value: f64, power: f64) -> Option<i64> {
    /// Doubles below this convert to `i64` exactly when they are whole.
    const LIMIT: f64 = 9.0e18;
    /// From here on doubles are whole, and adding a half would change them.
    const WHOLE: f64 = (1u64 << 52) as f64;
    let scaled = value * power;
    let magnitude = scaled.abs();
    // The comparison also turns away NaN. Without SSE 4.1, rounding would be a call.
    let half = if magnitude < WHOLE { 0.5f64.copysign(scaled) } else { 0.0 };
    let whole = if magnitude < LIMIT { (scaled + half) as i64 } else { return None };
    ((whole as f64 / power).to_bits() == value.to_bits()).then_some(whole)
}

/// The power of ten at which a sample costs least as decimals, if any helps at all.
fn find_power(values: &[f64]) -> Option<usize> {
    const SAMPLE: usize = 64;
    const EXCEPTION_BITS: usize = 64 + 13;
    let stride = values.len().div_ceil(SAMPLE).max(1);
    let sample: Vec<f64> = values.iter().copied().step_by(stride).collect();
    let mut needed = [0usize; POWERS.len()];
    for &value in &sample {
        let least = POWERS.iter().position(|&power| decimal(value, power).is_some());
        if let Some(slot) = least.and_then(|e| needed.get_mut(e)) {
            *slot += 1;
        }
    }
    let cost = |power: f64| {
        let whole = || sample.iter().filter_map(|&v| decimal(v, power));
        let span = whole().max().unwrap_or(0).wrapping_sub(whole().min().unwrap_or(0)) as u64;
        let count = whole().count();
        count * crate::bits::width_of(span) as usize + (sample.len() - count) * EXCEPTION_BITS
    };
    let candidates = POWERS.iter().enumerate().filter(|(e, _)| needed.get(*e).is_some_and(|n| *n > 0));
    let best = candidates.map(|(e, &power)| (cost(power), e)).min()?;
    (best.0 < sample.len() * 64).then_some(best.1)
}

fn write_decimal(values: &[f64], exponent: usize, effort: Effort, out: &mut Vec<u8>) {
    let power = POWERS.get(exponent).copied().unwrap_or(1.0);
    let mut positions = Vec::new();
    let mut exceptions = Vec::new();
    let mut digits = Vec::with_capacity(values.len());
    // Exceptions repeat their neighbour, which costs the integer encoding least.
    let mut previous = values.iter().find_map(|&v| decimal(v, power)).unwrap_or(0);
    for (i, &value) in values.iter().enumerate() {
        match decimal(value, power) {
            Some(whole) => previous = whole,
            None => {
                positions.push(i as i64);
                exceptions.extend_from_slice(&value.to_bits().to_le_bytes());
            }
        }
        digits.push(previous);
    }
    out.push(exponent as u8);
    write_varint(positions.len() as u64, out);
    if !positions.is_empty() {
        write_sized(out, |out| encode_i64s(&positions, effort, out));
        out.extend_from_slice(&exceptions);
    }
    encode_i64s(&digits, effort, out);
}

/// The shift at which a sample of ordered bits costs least when split.
fn find_shift(ordered: &[i64]) -> Option<u32> {
    const SAMPLE: usize = 256;
    if ordered.len() < 8 {
        return None;
    }
    let stride = ordered.len().div_ceil(SAMPLE).max(1);
    let mut scratch = Vec::new();
    let shifts = [36, 40, 44, 48, 52];
    let costs = shifts.iter().map(|&shift| {
        let upper: Vec<i64> = ordered.iter().step_by(stride).map(|o| o >> shift).collect();
        scratch.clear();
        ints::encode_body(&upper, Effort::Fast, &mut scratch);
        (scratch.len() * 8 + upper.len() * shift as usize, shift)
    });
    costs.min().map(|(_, shift)| shift)
}

fn write_split(ordered: &[i64], shift: u32, effort: Effort, out: &mut Vec<u8>) {
    let upper: Vec<i64> = ordered.iter().map(|o| o >> shift).collect();
    out.push(shift as u8);
    write_sized(out, |out| encode_i64s(&upper, effort, out));
    pack(ordered.iter().map(|o| *o as u64), shift, out);
}

/// Fills `out` with the values from `start` on of a body of `count` values.
pub(crate) fn decode_body(
    encoding: Encoding,
    reader: Reader<'_>,
    count: usize,
    start: usize,
    out: &mut [f64],
) -> Result<(), DecodeError> {
    if out.is_empty() {
        return Ok(());
    }
    match encoding {
        Encoding::Decimal => decode_decimal(reader, count, start, out),
        Encoding::Split => decode_split(reader, count, start, out),
        _ => {
            let mut ordered = vec![0; out.len()];
            ints::decode_body(encoding, reader, count, start, &mut ordered)?;
            out.iter_mut().zip(ordered).for_each(|(slot, o)| *slot = from_ordered_bits(o));
            Ok(())
        }
    }
}

/// The head of a `Decimal` body.
struct DecimalHead<'a> {
    power: f64,
    exception_count: usize,
    positions: Option<Reader<'a>>,
    exceptions: &'a [u8],
}

impl<'a> DecimalHead<'a> {
    fn parse(reader: &mut Reader<'a>, count: usize) -> Result<Self, DecodeError> {
        let at = *reader;
        let exponent = reader.byte()?;
        let power = POWERS.get(usize::from(exponent)).copied();
        let power = power.ok_or_else(|| at.error("decimal exponent above 22"))?;
        let exception_count = reader.count(count, "more exceptions than values")?;
        if exception_count == 0 {
            return Ok(DecimalHead { power, exception_count, positions: None, exceptions: &[] });
        }
        let positions = Some(reader.sized_section()?);
        let exceptions = reader.take(exception_count.saturating_mul(8))?;
        Ok(DecimalHead { power, exception_count, positions, exceptions })
    }

    fn exceptions(&self) -> impl Iterator<Item = f64> {
        self.exceptions.as_chunks::<8>().0.iter().map(|raw| f64::from_bits(u64::from_le_bytes(*raw)))
    }
}

fn decode_decimal(
    mut reader: Reader<'_>,
    count: usize,
    start: usize,
    out: &mut [f64],
) -> Result<(), DecodeError> {
    let head = DecimalHead::parse(&mut reader, count)?;
    let mut digits = vec![0; out.len()];
    decode_i64s_at(reader, count, start, &mut digits)?;
    for (slot, &whole) in out.iter_mut().zip(&digits) {
        *slot = whole as f64 / head.power;
    }
    let Some(positions_reader) = head.positions else { return Ok(()) };
    let mut positions = vec![0; head.exception_count];
    decode_i64s_at(positions_reader, head.exception_count, 0, &mut positions)?;
    for (position, value) in positions.into_iter().zip(head.exceptions()) {
        let position = usize::try_from(position).ok().filter(|&p| p < count);
        let position = position.ok_or_else(|| positions_reader.error("exception outside of the values"))?;
        if let Some(slot) = position.checked_sub(start).and_then(|i| out.get_mut(i)) {
            *slot = value;
        }
    }
    Ok(())
}

fn split_head<'a>(reader: &mut Reader<'a>) -> Result<(u32, Reader<'a>), DecodeError> {
    let at = *reader;
    let shift = u32::from(reader.byte()?);
    if !(1..=63).contains(&shift) {
        return Err(at.error("split outside of the 64 bits"));
    }
    Ok((shift, reader.sized_section()?))
}

fn decode_split(
    mut reader: Reader<'_>,
    count: usize,
    start: usize,
    out: &mut [f64],
) -> Result<(), DecodeError> {
    let (shift, upper_reader) = split_head(&mut reader)?;
    let at = reader;
    let length = packed_len(count, shift).ok_or_else(|| at.error("too many values"))?;
    let lower = reader.take(length)?;
    let mut ordered = vec![0; out.len()];
    decode_i64s_at(upper_reader, count, start, &mut ordered)?;
    unpack_with(lower, shift, start, out, f64::from_bits);
    for (slot, upper) in out.iter_mut().zip(ordered) {
        *slot = from_ordered_bits(upper.wrapping_shl(shift) | slot.to_bits() as i64);
    }
    Ok(())
}

/// Bounds in total order that no value of a body lies outside of. `count` is not 0.
pub(crate) fn bounds_of_body(
    encoding: Encoding,
    mut reader: Reader<'_>,
    count: usize,
) -> Result<Option<Range<f64>>, DecodeError> {
    match encoding {
        Encoding::Decimal => {
            let head = DecimalHead::parse(&mut reader, count)?;
            let Some((least, greatest)) = ints::bounds_of_stream(reader, count)? else { return Ok(None) };
            let whole = least as f64 / head.power..greatest as f64 / head.power;
            Ok(Some(head.exceptions().fold(whole, |bounds, v| {
                let start = if v.total_cmp(&bounds.start).is_lt() { v } else { bounds.start };
                let end = if v.total_cmp(&bounds.end).is_gt() { v } else { bounds.end };
                start..end
            })))
        }
        Encoding::Split => {
            let (shift, upper) = split_head(&mut reader)?;
            let Some((least, greatest)) = ints::bounds_of_stream(upper, count)? else { return Ok(None) };
            // Bounds of the upper bits may be loose, so that they exceed what the shift leaves room for.
            let greatest = greatest.min(i64::MAX >> shift) << shift | ((1 << shift) - 1);
            let least = least.max(i64::MIN >> shift) << shift;
            Ok(Some(from_ordered_bits(least)..from_ordered_bits(greatest)))
        }
        _ => {
            let bounds = ints::bounds_of_body(encoding, reader, count)?;
            Ok(bounds.map(|(least, greatest)| from_ordered_bits(least)..from_ordered_bits(greatest)))
        }
    }
}
