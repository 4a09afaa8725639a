//! `Packed` and `Delta`: integers as small offsets in frames.
//!
//! Both turn value `v` into `q = (v - base) / divisor`, where base is the least value and divisor divides all
//! differences (all arithmetic wraps modulo 2^64). Common head:
//! signed varint base; byte `frame_code | zigzag << 6 | divided << 7`; when divided: varint divisor.
//! `frame_code` 0 means one frame; `k` means frames of `64 << k` values, the last one shorter.
//!
//! `Packed`, per frame: varint frame base (only with several frames), then a [block](crate::block) of
//! `q - frame base`.
//! `Delta`, after the head: varint greatest `q`; per frame: varint first `q`, signed varint reference
//! difference, then a block of `difference - reference` for all but the first value. With the zigzag flag the
//! numbers in the block are zigzag-mapped, so that differences may lie on both sides of the reference.

use pipal_model::value::{unzigzag, write_varint, zigzag};

use super::classes;
use crate::bits::width_of;
use crate::block::{self, Block, Plan};
use crate::encoding::{Effort, Encoding};
use crate::error::DecodeError;
use crate::reader::Reader;

const DIVIDED: u8 = 0x80;
const ZIGZAG: u8 = 0x40;
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
            if divisor == 0 || !offset.is_multiple_of(divisor) {
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

    /// Appends the `Classes` body of the offsets.
    pub(super) fn write_classes(&self, out: &mut Vec<u8>) {
        classes::write(self.base, self.divisor, &self.values, out);
    }

    /// The cheapest way to write the offsets in frames, as `Packed` or as `Delta`.
    pub(super) fn best_frames(&self, effort: Effort) -> Frames {
        let kinds = self.promising_kinds(effort);
        let codes = |kind| frame_codes(kind, self.values.len(), effort).iter();
        let candidates =
            kinds.flat_map(|kind| codes(kind).map(move |&code| Frames::new(&self.values, kind, code)));
        candidates.min_by_key(|frames| frames.bytes).unwrap_or_default()
    }

    /// The kind that is cheapest for a sample, or for merges also those that come close.
    fn promising_kinds(&self, effort: Effort) -> impl Iterator<Item = FrameKind> {
        /// Neighbouring values that are sampled together, so that their differences count.
        const STRETCH: usize = 128;
        let stretches = if effort == Effort::Fast { 4 } else { 12 };
        let stride = self.values.len() / stretches;
        let mut sample = Vec::new();
        if stride > STRETCH {
            let stretches = self.values.chunks(stride).filter_map(|chunk| chunk.get(..STRETCH));
            sample.extend(stretches.flatten());
        }
        // Frame code 1 is one frame per stretch. Short lists are their own sample.
        let (values, code) = if sample.is_empty() { (&self.values, 0) } else { (&sample, 1) };
        let costs = FrameKind::ALL.map(|kind| (Frames::new(values, kind, code).bytes, kind));
        let least = costs.iter().map(|(bytes, _)| *bytes).min().unwrap_or(0);
        let limit = if effort == Effort::Fast { least } else { least + least / 10 };
        costs.into_iter().filter(move |(bytes, _)| *bytes <= limit).map(|(_, kind)| kind)
    }

    /// Appends the body and tells its encoding.
    pub(super) fn write(&self, frames: &Frames, out: &mut Vec<u8>) -> Encoding {
        let zigzag_flag = if frames.kind == FrameKind::Zigzag { ZIGZAG } else { 0 };
        let divided = if self.divisor == 1 { 0 } else { DIVIDED };
        write_varint(zigzag(self.base), out);
        out.push(frames.code | zigzag_flag | divided);
        if divided != 0 {
            write_varint(self.divisor, out);
        }
        if frames.kind != FrameKind::Packed {
            write_varint(self.values.iter().copied().max().unwrap_or(0), out);
        }
        let mut residuals = frames.residuals.as_slice();
        for frame in &frames.frames {
            if frames.kind != FrameKind::Packed {
                write_varint(frame.first, out);
                write_varint(zigzag(frame.base as i64), out);
            } else if frames.code != 0 {
                write_varint(frame.base, out);
            }
            let (own, rest) = residuals.split_at_checked(frame.count).unwrap_or((residuals, &[]));
            block::write(own, frame.plan, out);
            residuals = rest;
        }
        if frames.kind == FrameKind::Packed { Encoding::Packed } else { Encoding::Delta }
    }
}

/// What the numbers in the blocks of frames are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// Offsets from the least of the frame.
    #[default]
    Packed,
    /// Differences between neighbours less the least difference.
    Delta,
    /// Differences between neighbours less the median difference, zigzag-mapped: where most steps are equal,
    /// the few others become patches.
    Zigzag,
}

impl FrameKind {
    const ALL: [FrameKind; 3] = [FrameKind::Packed, FrameKind::Delta, FrameKind::Zigzag];
}

/// Frames that are planned but not written.
#[derive(Debug, Default)]
pub(super) struct Frames {
    kind: FrameKind,
    code: u8,
    frames: Vec<Frame>,
    residuals: Vec<u64>,
    /// Estimated size of the body.
    bytes: usize,
}

#[derive(Debug)]
struct Frame {
    first: u64,
    base: u64,
    count: usize,
    plan: Plan,
}

impl Frames {
    pub(super) fn new(offsets: &[u64], kind: FrameKind, code: u8) -> Self {
        let mut frames = Frames { kind, code, ..Frames::default() };
        frames.residuals.reserve(offsets.len());
        for values in offsets.chunks(frame_len(code, offsets.len())) {
            frames.add(values);
        }
        frames
    }

    fn add(&mut self, values: &[u64]) {
        let at = self.residuals.len();
        let first = values.first().copied().unwrap_or(0);
        let base = match (self.kind, self.code) {
            (FrameKind::Packed, 0) => {
                self.residuals.extend_from_slice(values);
                0
            }
            (FrameKind::Packed, _) => {
                let base = values.iter().copied().min().unwrap_or(0);
                self.residuals.extend(values.iter().map(|q| q - base));
                base
            }
            (kind, _) => {
                let pairs = values.iter().zip(values.iter().skip(1));
                self.residuals.extend(pairs.map(|(a, b)| b.wrapping_sub(*a)));
                reduce_deltas(kind, self.residuals.get_mut(at..).unwrap_or_default())
            }
        };
        let residuals = self.residuals.get(at..).unwrap_or_default();
        let plan = block::plan(residuals);
        let base_bytes = width_of(base).div_ceil(7) as usize;
        let first_bytes =
            if self.kind == FrameKind::Packed { 0 } else { width_of(first).div_ceil(7) as usize };
        self.bytes += plan.bytes + base_bytes + first_bytes;
        self.frames.push(Frame { first, base, count: residuals.len(), plan });
    }
}

/// Subtracts the reference difference from all, and gives it.
fn reduce_deltas(kind: FrameKind, deltas: &mut [u64]) -> u64 {
    if kind == FrameKind::Delta {
        let least = deltas.iter().map(|d| *d as i64).min().unwrap_or(0) as u64;
        deltas.iter_mut().for_each(|d| *d = d.wrapping_sub(least));
        return least;
    }
    let mut sample: Vec<i64> =
        deltas.iter().step_by(deltas.len().div_ceil(128).max(1)).map(|d| *d as i64).collect();
    let middle = sample.len() / 2;
    let median = if sample.is_empty() { 0 } else { *sample.select_nth_unstable(middle).1 as u64 };
    deltas.iter_mut().for_each(|d| *d = zigzag(d.wrapping_sub(median) as i64));
    median
}

/// Frame codes worth trying.
fn frame_codes(kind: FrameKind, count: usize, effort: Effort) -> &'static [u8] {
    match (kind, effort) {
        _ if count <= 256 => &[0],
        (FrameKind::Packed, Effort::Fast) => &[2],
        (FrameKind::Packed, Effort::Thorough) => &[0, 1, 2, 4],
        // Reading one value sums up the differences of its frame, so frames stay short.
        (_, Effort::Fast) => &[4],
        (_, Effort::Thorough) => &[2, 4],
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
    zigzag: bool,
    divisor: u64,
}

impl Head {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let base = reader.signed()?;
        let start = *reader;
        let shape = reader.byte()?;
        let frame_code = shape & !(DIVIDED | ZIGZAG);
        if frame_code > MAX_FRAME_CODE {
            return Err(start.error("unknown frame length"));
        }
        let divisor = if shape & DIVIDED != 0 { reader.varint()? } else { 1 };
        Ok(Head { base, frame_code, zigzag: shape & ZIGZAG != 0, divisor })
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
        let reference = reader.signed()? as u64;
        let block = Block::parse(reader, length.saturating_sub(1))?;
        sum_deltas(&head, &block, (first, reference), skip, slots);
        Ok(())
    })
}

/// Fills `slots` with the values of a delta frame from index `skip` on.
fn sum_deltas(
    head: &Head,
    block: &Block<'_>,
    (first, reference): (u64, u64),
    skip: usize,
    slots: &mut [i64],
) {
    // A frame that ends before the slots is only parsed.
    if slots.is_empty() {
        return;
    }
    let difference = |r| (if head.zigzag { unzigzag(r) as u64 } else { r }).wrapping_add(reference);
    let mut q = first;
    let mut buffer = [0u64; 64];
    let mut done = 0;
    while done < skip {
        let step = (skip - done).min(buffer.len());
        let (deltas, _) = buffer.split_at_mut(step);
        block.unpack(done, deltas, difference);
        q = deltas.iter().fold(q, |q, d| q.wrapping_add(*d));
        done += step;
    }
    let Some((head_slot, tail)) = slots.split_first_mut() else { return };
    *head_slot = head.value(q);
    block.unpack(skip, tail, |r| difference(r) as i64);
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
