//! Bit packing: numbers of one width as a little-endian bit stream, lowest bits first.
//!
//! Number `i` of width `w` occupies the bits `i*w .. (i+1)*w`, where bit `b` is bit `b % 8` of byte `b / 8`.
//! `n` numbers take `ceil(n*w / 8)` bytes; unused bits of the last byte are zero.

/// Bits needed for `value`; 0 for 0.
pub(crate) fn width_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// Bytes that `count` numbers of `width` bits take. None when that overflows.
pub(crate) fn packed_len(count: usize, width: u32) -> Option<usize> {
    count.checked_mul(width as usize).map(|bits| bits.div_ceil(8))
}

/// Appends numbers of `width` bits; higher bits are dropped.
pub(crate) fn pack(values: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let mut writer = Writer::default();
    values.for_each(|value| writer.push(value, width));
    writer.finish(out);
}

/// Writes numbers of changing width as one bit stream.
#[derive(Default)]
pub(crate) struct Writer {
    words: Vec<u8>,
    buffer: u128,
    filled: u32,
}

impl Writer {
    /// Appends the lowest `width` bits of `value`.
    pub(crate) fn push(&mut self, value: u64, width: u32) {
        let mask = u64::MAX.checked_shr(64 - width).unwrap_or(0);
        self.buffer |= u128::from(value & mask) << self.filled;
        self.filled += width;
        if self.filled >= 64 {
            self.words.extend_from_slice(&(self.buffer as u64).to_le_bytes());
            self.buffer >>= 64;
            self.filled -= 64;
        }
    }

    /// Bits written so far.
    pub(crate) fn bit_len(&self) -> u64 {
        self.words.len() as u64 * 8 + u64::from(self.filled)
    }

    /// Appends the stream to `out`, the last byte filled up with zero bits.
    pub(crate) fn finish(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.words);
        let tail = (self.buffer as u64).to_le_bytes();
        out.extend_from_slice(tail.get(..self.filled.div_ceil(8) as usize).unwrap_or(&tail));
    }
}

/// Eight bytes at `offset`, zeros beyond the end.
fn window(bytes: &[u8], offset: usize) -> u64 {
    let rest = bytes.get(offset..).unwrap_or_default();
    if let Some(chunk) = rest.first_chunk::<8>() {
        return u64::from_le_bytes(*chunk);
    }
    rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// The number at `index`; zero bits beyond the end of `bytes`.
pub(crate) fn get(bytes: &[u8], width: u32, index: usize) -> u64 {
    read(bytes, index * width as usize, width)
}

/// At least [`MAX_WINDOW_WIDTH`] bits from position `bit` on; zero bits beyond the end.
pub(crate) fn window_at(bytes: &[u8], bit: usize) -> u64 {
    window(bytes, bit / 8) >> (bit % 8)
}

/// The `width` bits at position `bit`; zero bits beyond the end.
pub(crate) fn read(bytes: &[u8], bit: usize, width: u32) -> u64 {
    if width == 0 {
        return 0;
    }
    let shift = (bit % 8) as u32;
    let low = window(bytes, bit / 8) >> shift;
    let high = if shift + width > 64 { window(bytes, bit / 8 + 8) << (64 - shift) } else { 0 };
    (low | high) & (u64::MAX >> (64 - width))
}

/// Fills `out` with the numbers from index `start`, each passed through `map`. Numbers beyond the end of
/// `bytes` read as zeros: callers check lengths with [`packed_len`].
pub(crate) fn unpack_with<T>(bytes: &[u8], width: u32, start: usize, out: &mut [T], map: impl Fn(u64) -> T) {
    if width == 0 {
        out.iter_mut().for_each(|slot| *slot = map(0));
        return;
    }
    let fast = if width <= MAX_WINDOW_WIDTH { windowed_count(bytes.len(), width, start) } else { 0 };
    let (head, tail) = out.split_at_mut(fast.min(out.len()));
    let mask = u64::MAX >> (64 - width);
    let mut bit = start * width as usize;
    for slot in head.iter_mut() {
        let word = bytes.get(bit / 8..bit / 8 + 8).and_then(|chunk| chunk.first_chunk::<8>());
        *slot = map((u64::from_le_bytes(word.copied().unwrap_or_default()) >> (bit % 8)) & mask);
        bit += width as usize;
    }
    let done = start + head.len();
    for (i, slot) in tail.iter_mut().enumerate() {
        *slot = map(get(bytes, width, done + i));
    }
}

/// Widest number that one unaligned window of 64 bits always holds.
pub(crate) const MAX_WINDOW_WIDTH: u32 = 57;

/// How many numbers from `start` on have their window of eight bytes inside `length` bytes.
fn windowed_count(length: usize, width: u32, start: usize) -> usize {
    let Some(last_offset) = length.checked_sub(8) else { return 0 };
    let last_index = (last_offset * 8 + 7) / width as usize;
    (last_index + 1).saturating_sub(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packed_numbers_come_back(width in 0u32..=64, values in prop::collection::vec(any::<u64>(), 0..300), start in 0usize..300) {
            let mask = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
            let mut bytes = Vec::new();
            pack(values.iter().copied(), width, &mut bytes);
            prop_assert_eq!(Some(bytes.len()), packed_len(values.len(), width));
            let start = start.min(values.len());
            let mut out = vec![0; values.len() - start];
            unpack_with(&bytes, width, start, &mut out, |v| v);
            for (i, got) in out.iter().enumerate() {
                prop_assert_eq!(*got, values[start + i] & mask);
                prop_assert_eq!(get(&bytes, width, start + i), *got);
            }
        }
    }
}
