//! `Packed` and `Delta`: integers as small offsets in frames.
//!
//! Both turn value `v` into `q = (v - base) / divisor`, where base is the least value and divisor divides all
//! differences (all arithmetic wraps modulo 2^64). Common head:
//! signed varint base; byte `frame_code | divided << 7`; when divided: varint divisor.
//! `frame_code` 0 means one frame; `k` means frames of `64 << k` values, the last one shorter.
//!
//! `Packed`, per frame: varint frame base (only with several frames), then a [block](crate::block) of
//! `q - frame base`.
//! `Delta`, after the head: varint greatest `q`; per frame: varint first `q`, signed varint least difference,
//! then a block of `difference - least difference` for all but the first value.

use pipal_model::value::{write_varint, zigzag};

use crate::block::{self, Block};
use crate::error::DecodeError;
use crate::reader::Reader;

const DIVIDED: u8 = 0x80;
const MAX_FRAME_CODE: u8 = 7;

/// Integers reduced to offsets from their least value in units of their common divisor.
pub(super) struct Offsets {
    base: i64,
    divisor: u64,
    pub(super) values: Vec<u64>,
}

impl Offsets {
    pub(super) fn of(values: &[i64]) -> Self {
        let base = values.iter().copied().min().unwrap_or(0);
        let mut divisor = 0;
        for &value in values {
            let offset = value.wrapping_sub(base) as u64;
            if divisor == 0 || offset % divisor != 0 {
                divisor = greatest_common_divisor(divisor, offset);
            }
            if divisor == 1 {
                break;
            }
        }
        let divisor = divisor.max(1);
        let offsets = values.iter().map(|v| v.wrapping_sub(base) as u64);
        let values = if divisor == 1 { offsets.collect() } else { offsets.map(|q| q / divisor).collect() };
        Offsets { base, divisor, values }
    }

    fn write_head(&self, frame_code: u8, out: &mut Vec<u8>) {
        write_varint(zigzag(self.base), out);
        let divided = if self.divisor == 1 { 0 } else { DIVIDED };
        out.push(frame_code | divided);
        if divided != 0 {
            write_varint(self.divisor, out);
        }
    }

    pub(super) fn write_packed(&self, frame_code: u8, out: &mut Vec<u8>) {
        self.write_head(frame_code, out);
        if frame_code == 0 {
            return block::write(&self.values, block::plan(&self.values), out);
        }
        let mut residuals = Vec::new();
        for frame in self.values.chunks(frame_len(frame_code, self.values.len())) {
            let base = frame.iter().copied().min().unwrap_or(0);
            residuals.clear();
            residuals.extend(frame.iter().map(|q| q - base));
            write_varint(base, out);
            block::write(&residuals, block::plan(&residuals), out);
        }
    }

    pub(super) fn write_delta(&self, frame_code: u8, out: &mut Vec<u8>) {
        self.write_head(frame_code, out);
        write_varint(self.values.iter().copied().max().unwrap_or(0), out);
        let mut residuals = Vec::new();
        for frame in self.values.chunks(frame_len(frame_code, self.values.len())) {
            let deltas = || frame.iter().zip(frame.iter().skip(1)).map(|(a, b)| b.wrapping_sub(*a) as i64);
            let least = deltas().min().unwrap_or(0);
            residuals.clear();
            residuals.extend(deltas().map(|d| d.wrapping_sub(least) as u64));
            write_varint(frame.first().copied().unwrap_or(0), out);
            write_varint(zigzag(least), out);
            block::write(&residuals, block::plan(&residuals), out);
        }
    }
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn frame_len(frame_code: u8, count: usize) -> usize {
    if frame_code == 0 { count.max(1) } else { 64 << frame_code }
}

struct Head {
    base: i64,
    frame_code: u8,
    divisor: u64,
}

impl Head {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let base = reader.signed()?;
        let start = *reader;
        let shape = reader.byte()?;
        let frame_code = shape & !DIVIDED;
        if frame_code > MAX_FRAME_CODE {
            return Err(start.error("unknown frame length"));
        }
        let divisor = if shape & DIVIDED != 0 { reader.varint()? } else { 1 };
        Ok(Head { base, frame_code, divisor })
    }

    fn value(&self, q: u64) -> i64 {
        self.base.wrapping_add(q.wrapping_mul(self.divisor) as i64)
    }

    /// A value that is not below `value(q)`.
    fn ceiling(&self, q: u64) -> i64 {
        let span = i128::from(q).saturating_mul(i128::from(self.divisor));
        i64::try_from(i128::from(self.base).saturating_add(span)).unwrap_or(i64::MAX)
    }
}

/// Calls `visit(slots, skip, frame values, reader at the frame)` for each frame that `out` needs; `skip` values
/// of the frame come before the slots. Frames before are parsed with no slots to find their end.
fn for_each_frame<'a>(
    reader: &mut Reader<'a>,
    frame_code: u8,
    (count, start): (usize, usize),
    mut out: &mut [i64],
    mut visit: impl FnMut(&mut Reader<'a>, usize, usize, &mut [i64]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let frame_len = frame_len(frame_code, count);
    let mut first = 0;
    while !out.is_empty() {
        let length = frame_len.min(count.saturating_sub(first));
        let skip = start.saturating_sub(first).min(length);
        let wanted = (length - skip).min(out.len());
        let (slots, rest) = out.split_at_mut(wanted);
        visit(reader, length, skip, slots)?;
        out = rest;
        first += length;
    }
    Ok(())
}

pub(super) fn decode_packed(
    mut reader: Reader<'_>,
    count: usize,
    start: usize,
    out: &mut [i64],
) -> Result<(), DecodeError> {
    let head = Head::parse(&mut reader)?;
    for_each_frame(&mut reader, head.frame_code, (count, start), out, |reader, length, skip, slots| {
        let base = if head.frame_code == 0 { 0 } else { reader.varint()? };
        let block = Block::parse(reader, length)?;
        block.unpack(skip, slots, |r| head.value(base.wrapping_add(r)));
        Ok(())
    })
}

pub(super) fn decode_delta(
    mut reader: Reader<'_>,
    count: usize,
    start: usize,
    out: &mut [i64],
) -> Result<(), DecodeError> {
    let head = Head::parse(&mut reader)?;
    reader.varint()?;
    for_each_frame(&mut reader, head.frame_code, (count, start), out, |reader, length, skip, slots| {
        let first = reader.varint()?;
        let least = reader.signed()? as u64;
        let block = Block::parse(reader, length.saturating_sub(1))?;
        sum_deltas(&head, &block, (first, least), skip, slots);
        Ok(())
    })
}

/// Fills `slots` with the values of a delta frame from index `skip` on.
fn sum_deltas(head: &Head, block: &Block<'_>, (first, least): (u64, u64), skip: usize, slots: &mut [i64]) {
    // A frame that ends before the slots is only parsed.
    if slots.is_empty() {
        return;
    }
    let mut q = first;
    let mut buffer = [0u64; 64];
    let mut done = 0;
    while done < skip {
        let step = (skip - done).min(buffer.len());
        let (deltas, _) = buffer.split_at_mut(step);
        block.unpack(done, deltas, |r| r.wrapping_add(least));
        q = deltas.iter().fold(q, |q, d| q.wrapping_add(*d));
        done += step;
    }
    let Some((head_slot, tail)) = slots.split_first_mut() else { return };
    *head_slot = head.value(q);
    block.unpack(skip, tail, |r| r.wrapping_add(least) as i64);
    for slot in tail {
        q = q.wrapping_add(*slot as u64);
        *slot = head.value(q);
    }
}

/// Bounds of a `Packed` body.
pub(super) fn packed_bounds(mut reader: Reader<'_>, count: usize) -> Result<(i64, i64), DecodeError> {
    let head = Head::parse(&mut reader)?;
    let frame_len = frame_len(head.frame_code, count);
    let mut greatest = 0;
    let mut first = 0;
    while first < count {
        let length = frame_len.min(count - first);
        let base = if head.frame_code == 0 { 0 } else { reader.varint()? };
        greatest = greatest.max(base.saturating_add(Block::parse(&mut reader, length)?.upper_bound()));
        first += length;
    }
    Ok((head.base, head.ceiling(greatest)))
}

/// Bounds of a `Delta` body.
pub(super) fn delta_bounds(mut reader: Reader<'_>) -> Result<(i64, i64), DecodeError> {
    let head = Head::parse(&mut reader)?;
    let greatest = reader.varint()?;
    Ok((head.base, head.ceiling(greatest)))
}
