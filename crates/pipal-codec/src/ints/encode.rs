//! Chooses and writes the encoding of an integer stream.
//!
//! `Constant`: signed varint value. `Ramp`: signed varint first value, signed varint step.
//! `Raw`: 8 bytes little-endian per value. `Paged`: per page of 8192 values its length as 4 bytes
//! little-endian, then the pages, each a stream. The others are described where they are implemented.

use pipal_model::value::{write_varint, zigzag};

use super::PAGE_VALUES;
use super::framed::Offsets;
use super::repeats::{count_runs, find_period, write_dictionary, write_periodic, write_runs};
use crate::bits::width_of;
use crate::encoding::{Effort, Encoding, header_byte};

/// Appends the body of a stream and tells its encoding.
pub(crate) fn encode_body(values: &[i64], effort: Effort, out: &mut Vec<u8>) -> Encoding {
    if values.len() > PAGE_VALUES {
        write_pages(values, effort, out);
        return Encoding::Paged;
    }
    if let Some(encoding) = encode_regular(values, out) {
        return encoding;
    }
    let mut best = Trial::start(values);
    if let Some(period) = find_period(values) {
        best.attempt(Encoding::Periodic, |out| write_periodic(values, period, effort, out));
    }
    // Many repetitions of a short period leave nothing to gain.
    if best.size * 32 > values.len() * 8 {
        best.try_plain(values, effort);
        best.try_repeats(values, effort);
    }
    best.finish(values, out)
}

/// Appends a stream (header byte and body) that contains no other streams.
pub(super) fn encode_nested(values: &[i64], effort: Effort, out: &mut Vec<u8>) {
    let at = out.len();
    out.push(0);
    let encoding = encode_regular(values, out).unwrap_or_else(|| {
        let mut best = Trial::start(values);
        best.try_plain(values, effort);
        best.finish(values, out)
    });
    if let Some(slot) = out.get_mut(at) {
        *slot = header_byte(encoding, 0);
    }
}

/// Values without any information beyond their first two.
fn encode_regular(values: &[i64], out: &mut Vec<u8>) -> Option<Encoding> {
    let Some(&first) = values.first() else { return Some(Encoding::Empty) };
    let step = values.get(1).map_or(0, |second| second.wrapping_sub(first));
    let regular = values.iter().zip(values.iter().skip(1)).all(|(a, b)| b.wrapping_sub(*a) == step);
    if !regular {
        return None;
    }
    write_varint(zigzag(first), out);
    if step == 0 {
        return Some(Encoding::Constant);
    }
    write_varint(zigzag(step), out);
    Some(Encoding::Ramp)
}

/// With fewer values the code table of `Classes` outweighs its gain.
const MIN_CLASSES_VALUES: usize = 128;

/// The smallest body found so far.
struct Trial {
    /// `Raw` until something smaller is found; its bytes are then made at the end.
    encoding: Encoding,
    bytes: Vec<u8>,
    size: usize,
    scratch: Vec<u8>,
}

impl Trial {
    fn start(values: &[i64]) -> Self {
        Trial { encoding: Encoding::Raw, bytes: Vec::new(), size: values.len() * 8, scratch: Vec::new() }
    }

    /// Appends the winner and tells its encoding.
    fn finish(self, values: &[i64], out: &mut Vec<u8>) -> Encoding {
        match self.encoding {
            Encoding::Raw => out.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            _ => out.extend_from_slice(&self.bytes),
        }
        self.encoding
    }

    fn attempt(&mut self, encoding: Encoding, write: impl FnOnce(&mut Vec<u8>)) {
        self.scratch.clear();
        write(&mut self.scratch);
        self.keep_smaller(encoding);
    }

    fn keep_smaller(&mut self, encoding: Encoding) {
        if self.scratch.len() < self.size {
            self.size = self.scratch.len();
            std::mem::swap(&mut self.scratch, &mut self.bytes);
            self.encoding = encoding;
        }
    }

    fn try_plain(&mut self, values: &[i64], effort: Effort) {
        let offsets = Offsets::of(values);
        let frames = offsets.best_frames(effort);
        self.scratch.clear();
        let encoding = offsets.write(&frames, &mut self.scratch);
        self.keep_smaller(encoding);
        if effort == Effort::Thorough && values.len() >= MIN_CLASSES_VALUES {
            self.scratch.clear();
            offsets.write_classes(&mut self.scratch);
            // Decoding takes some four times as long as unpacking, which a small gain does not pay for.
            if self.scratch.len() + self.size / 20 < self.size {
                self.keep_smaller(Encoding::Classes);
            }
        }
    }

    fn try_repeats(&mut self, values: &[i64], effort: Effort) {
        if count_runs(values) * 3 <= values.len() {
            self.attempt(Encoding::Runs, |out| write_runs(values, effort, out));
        }
        let best_bits = self.size * 8 / values.len().max(1);
        if let Some(distinct) = distinct_values(values, effort, best_bits) {
            self.attempt(Encoding::Dictionary, |out| write_dictionary(values, &distinct, effort, out));
        }
    }
}

/// The distinct values in ascending order, if they are few enough for a dictionary to pay.
/// `best_bits` is what a value costs without one.
fn distinct_values(values: &[i64], effort: Effort, best_bits: usize) -> Option<Vec<i64>> {
    /// This many values are looked at before all are sorted.
    const SAMPLE: usize = 256;
    if values.len() < 16 {
        return None;
    }
    let limit = values.len() / 4;
    if values.len() > SAMPLE {
        let stride = values.len() / SAMPLE;
        let mut sample: Vec<i64> = values.iter().copied().step_by(stride).collect();
        sample.sort_unstable();
        sample.dedup();
        let code_bits = width_of(sample.len() as u64 - 1) as usize;
        let most = if effort == Effort::Fast { SAMPLE / 4 } else { SAMPLE / 2 };
        if sample.len() > most || (effort == Effort::Fast && best_bits <= code_bits) {
            return None;
        }
    }
    let mut distinct = values.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    (distinct.len() <= limit).then_some(distinct)
}

fn write_pages(values: &[i64], effort: Effort, out: &mut Vec<u8>) {
    let directory = out.len();
    let pages = values.len().div_ceil(PAGE_VALUES);
    out.resize(directory + pages * 4, 0);
    for (page, chunk) in values.chunks(PAGE_VALUES).enumerate() {
        let start = out.len();
        super::encode_i64s(chunk, effort, out);
        let length = (out.len() - start) as u32;
        if let Some(slot) = out.get_mut(directory + page * 4..directory + page * 4 + 4) {
            slot.copy_from_slice(&length.to_le_bytes());
        }
    }
}
