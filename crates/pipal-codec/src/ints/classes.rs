//! `Classes`: integers of very different magnitude, near their entropy.
//!
//! The class of an offset is its bit width. Each value is the prefix code of its class (Huffman, at most 11
//! bits) followed by the bits below the leading one: what the value costs follows its magnitude, where bit
//! packing charges the same for all. Latencies and counts, which are log-normal, shrink by a tenth to a fifth.
//! Elias' gamma code (1975) with the unary length replaced by a Huffman code.
//!
//! Layout: head as in `framed` (signed base, byte `divided << 7`, divisor); byte number of classes `c` (widths
//! 0 to `c - 1`); their code lengths in 4 bits each, packed (0: no value of that width); for each full frame of
//! 256 values that another follows, its length in bits: varint least, [block](crate::block) of the rest;
//! then the bit stream, lowest bits first. Codes are canonical (ascending length, then class), stored with
//! their first bit lowest.

use pipal_model::value::{write_varint, zigzag};

use super::huffman::{self, DecodeTable, MAX_CODE_BITS};
use crate::bits::{self, width_of};
use crate::block::{self, Block};
use crate::error::DecodeError;
use crate::reader::Reader;

/// Values that are decoded from one known position of the bit stream.
const FRAME_VALUES: usize = 256;
const MAX_CLASSES: usize = 65;
const DIVIDED: u8 = 0x80;

/// Appends the body for offsets `q = (value - base) / divisor`.
pub(super) fn write(base: i64, divisor: u64, offsets: &[u64], out: &mut Vec<u8>) {
    let mut frequencies = [0u32; MAX_CLASSES];
    for &q in offsets {
        if let Some(slot) = frequencies.get_mut(width_of(q) as usize) {
            *slot += 1;
        }
    }
    let class_count = frequencies.iter().rposition(|&n| n > 0).map_or(0, |last| last + 1);
    let lengths = huffman::code_lengths(frequencies.get(..class_count).unwrap_or_default());
    write_varint(zigzag(base), out);
    out.push(if divisor == 1 { 0 } else { DIVIDED });
    if divisor != 1 {
        write_varint(divisor, out);
    }
    out.push(class_count as u8);
    bits::pack(lengths.iter().map(|l| u64::from(*l)), 4, out);
    let codes = huffman::codes(&lengths);
    let mut stream = bits::Writer::default();
    let mut frame_bits = Vec::new();
    for frame in offsets.chunks(FRAME_VALUES) {
        let start = stream.bit_len();
        for &q in frame {
            let class = width_of(q);
            let (code, length) = codes.get(class as usize).copied().unwrap_or_default();
            stream.push(u64::from(code), length);
            stream.push(q, class.saturating_sub(1));
        }
        frame_bits.push(stream.bit_len() - start);
    }
    frame_bits.pop();
    write_frame_bits(&mut frame_bits, out);
    stream.finish(out);
}

fn write_frame_bits(frame_bits: &mut [u64], out: &mut Vec<u8>) {
    let Some(least) = frame_bits.iter().copied().min() else { return };
    frame_bits.iter_mut().for_each(|n| *n -= least);
    write_varint(least, out);
    block::write(frame_bits, block::plan(frame_bits), out);
}

struct Head {
    base: i64,
    divisor: u64,
    class_count: usize,
}

impl Head {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let base = reader.signed()?;
        let start = *reader;
        let divisor = match reader.byte()? {
            0 => 1,
            DIVIDED => reader.varint()?,
            _ => return Err(start.error("unknown shape of classes")),
        };
        let class_count = usize::from(reader.byte()?);
        if class_count > MAX_CLASSES {
            return Err(start.error("too many classes"));
        }
        Ok(Head { base, divisor, class_count })
    }
}

pub(super) fn decode(
    mut reader: Reader<'_>,
    count: usize,
    start: usize,
    out: &mut [i64],
) -> Result<(), DecodeError> {
    let head = Head::parse(&mut reader)?;
    let at = reader;
    let packed = reader.take(head.class_count.div_ceil(2))?;
    let mut lengths = [0u8; MAX_CLASSES];
    let lengths = lengths.get_mut(..head.class_count).unwrap_or_default();
    bits::unpack_with(packed, 4, 0, lengths, |l| l as u8);
    let table = DecodeTable::new(lengths).ok_or_else(|| at.error("malformed prefix code"))?;
    let first_frame = start / FRAME_VALUES;
    let mut position = frame_position(&mut reader, count, first_frame)?;
    let at = reader;
    let stream = reader.rest();
    let value = |q: u64| head.base.wrapping_add(q.wrapping_mul(head.divisor) as i64);
    let unknown = || at.error("unknown code");
    for _ in first_frame * FRAME_VALUES..start {
        read_one(stream, &table, &mut position).ok_or_else(unknown)?;
    }
    for slot in out {
        *slot = value(read_one(stream, &table, &mut position).ok_or_else(unknown)?);
    }
    if position > stream.len() * 8 {
        return Err(at.error("cut off"));
    }
    Ok(())
}

/// Reads the lengths of the frames and gives the bit at which `frame` starts.
fn frame_position(reader: &mut Reader<'_>, count: usize, frame: usize) -> Result<usize, DecodeError> {
    let stored = count.div_ceil(FRAME_VALUES).saturating_sub(1);
    if stored == 0 {
        return Ok(0);
    }
    let least = reader.varint()?;
    let block = Block::parse(reader, stored)?;
    let mut frame_bits = vec![0; frame];
    block.unpack(0, &mut frame_bits, |n| n.wrapping_add(least));
    // Positions beyond the stream are found later; here it matters that they do not overflow.
    let limit = reader.remaining() as u64 * 8;
    let sum = frame_bits.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
    if sum > limit { Err(reader.error("frame beyond the end")) } else { Ok(sum as usize) }
}

/// The offset at a bit position, which moves behind it. Bits beyond the end are zeros.
fn read_one(stream: &[u8], table: &DecodeTable, position: &mut usize) -> Option<u64> {
    let window = bits::window_at(stream, *position);
    let (class, length) = table.look_up(window)?;
    let mantissa_bits = u32::from(class).saturating_sub(1);
    let length = u32::from(length);
    let start = *position + length as usize;
    *position = start + mantissa_bits as usize;
    let low = if mantissa_bits <= bits::MAX_WINDOW_WIDTH - MAX_CODE_BITS {
        window >> length & !(u64::MAX << mantissa_bits)
    } else {
        bits::read(stream, start, mantissa_bits)
    };
    Some(low | u64::from(class > 0) << mantissa_bits)
}

/// Bounds of a body: the base, and the greatest offset of the widest class.
pub(super) fn bounds(mut reader: Reader<'_>) -> Result<(i64, i64), DecodeError> {
    let head = Head::parse(&mut reader)?;
    let greatest = if head.class_count < 2 { 0 } else { u64::MAX >> (MAX_CLASSES - head.class_count) };
    let span = i128::from(greatest).saturating_mul(i128::from(head.divisor));
    let ceiling = i64::try_from(i128::from(head.base).saturating_add(span)).unwrap_or(i64::MAX);
    Ok((head.base, ceiling))
}
