//! Frame-of-reference blocks with patches: small unsigned numbers bit-packed at one width, the few larger
//! ones completed from a list ("Super-Scalar RAM-CPU Cache Compression", ICDE 2006: PFOR).
//!
//! Layout: byte `width | patched << 7`; when patched: varint patch count, byte patch width; then the low
//! `width` bits of all numbers packed; when patched: positions packed at the width of `count - 1`, then the
//! bits above `width` of those numbers packed at the patch width.

use pipal_model::value::write_varint;

use crate::bits::{get, pack, packed_len, unpack_with, width_of};
use crate::error::DecodeError;
use crate::reader::Reader;

const PATCHED: u8 = 0x80;

/// How a block is written, and what it costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    width: u32,
    patch_width: u32,
    patches: usize,
    /// Size of the block in bytes, give or take rounding.
    pub(crate) bytes: usize,
}

/// Chooses the cheapest width for a block.
pub(crate) fn plan(values: &[u64]) -> Plan {
    let mut by_width = [0usize; 65];
    for &value in values {
        if let Some(slot) = by_width.get_mut(width_of(value) as usize) {
            *slot += 1;
        }
    }
    let widest = by_width.iter().rposition(|&n| n > 0).unwrap_or(0) as u32;
    let position_width = position_width(values.len());
    let whole = (values.len() * widest as usize).div_ceil(8) + 1;
    let mut best = Plan { width: widest, patch_width: 0, patches: 0, bytes: whole };
    let mut patches = 0;
    for width in (0..widest).rev() {
        patches += by_width.get(width as usize + 1).copied().unwrap_or(0);
        let patch_width = widest - width;
        let bits = (position_width + patch_width) as usize * patches;
        let bytes = (values.len() * width as usize).div_ceil(8) + bits.div_ceil(8) + 4;
        if bytes < best.bytes {
            best = Plan { width, patch_width, patches, bytes };
        }
    }
    best
}

/// Appends a block.
pub(crate) fn write(values: &[u64], plan: Plan, out: &mut Vec<u8>) {
    let Plan { width, patch_width, patches, .. } = plan;
    if patches == 0 {
        out.push(width as u8);
        pack(values.iter().copied(), width, out);
        return;
    }
    out.push(width as u8 | PATCHED);
    write_varint(patches as u64, out);
    out.push(patch_width as u8);
    pack(values.iter().copied(), width, out);
    let exceeding = || values.iter().enumerate().filter(move |(_, v)| width_of(**v) > width);
    pack(exceeding().map(|(i, _)| i as u64), position_width(values.len()), out);
    pack(exceeding().map(|(_, &v)| v >> width), patch_width, out);
}

fn position_width(count: usize) -> u32 {
    width_of(count.saturating_sub(1) as u64)
}

/// A parsed block; its numbers are still packed.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    count: usize,
    width: u32,
    payload: &'a [u8],
    patches: usize,
    patch_width: u32,
    positions: &'a [u8],
    highs: &'a [u8],
}

impl<'a> Block<'a> {
    /// Reads the frame of a block of `count` numbers and skips its contents.
    pub(crate) fn parse(reader: &mut Reader<'a>, count: usize) -> Result<Self, DecodeError> {
        let start = *reader;
        let first = reader.byte()?;
        let width = u32::from(first & !PATCHED);
        if width > 64 {
            return Err(start.error("bit width above 64"));
        }
        let (mut patches, mut patch_width) = (0, 0);
        if first & PATCHED != 0 {
            patches = reader.count(count, "more patches than values")?;
            patch_width = u32::from(reader.byte()?);
            if patch_width == 0 || width + patch_width > 64 {
                return Err(start.error("patch width out of bounds"));
            }
        }
        let mut packed = |count, width| {
            let length = packed_len(count, width).ok_or_else(|| start.error("block too long"))?;
            reader.take(length)
        };
        let payload = packed(count, width)?;
        let positions = packed(patches, position_width(count))?;
        let highs = packed(patches, patch_width)?;
        Ok(Block { count, width, payload, patches, patch_width, positions, highs })
    }

    /// Fills `out` with the numbers from `start` on, passed through `map`.
    pub(crate) fn unpack<T>(&self, start: usize, out: &mut [T], map: impl Fn(u64) -> T) {
        debug_assert!(start + out.len() <= self.count);
        unpack_with(self.payload, self.width, start, out, &map);
        for patch in 0..self.patches {
            let position = get(self.positions, position_width(self.count), patch) as usize;
            let Some(slot) = position.checked_sub(start).and_then(|i| out.get_mut(i)) else { continue };
            let high = get(self.highs, self.patch_width, patch);
            *slot = map(get(self.payload, self.width, position) | high << self.width);
        }
    }

    /// No number of the block is greater.
    pub(crate) fn upper_bound(&self) -> u64 {
        let width = self.width + self.patch_width;
        if width == 0 { 0 } else { u64::MAX >> (64 - width) }
    }
}
