//! Contents of byte strings, plain or in zstd frames.
//!
//! Layout: byte kind; kind 0: the bytes; kind 1: varint number of frames, per frame varint length and varint
//! compressed length, then the compressed frames. A frame ends with the value that takes it to 64 KiB, so a
//! value lies in one frame and a range of rows inflates only the frames that it touches.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;

use pipal_model::value::write_varint;
use zstd::bulk::{Compressor, Decompressor};

use crate::encoding::Effort;
use crate::error::DecodeError;
use crate::reader::Reader;

/// A frame is closed once it holds this many bytes.
pub const FRAME_BYTES: usize = 64 * 1024;

/// The most bytes that one frame may claim to inflate to: a frame is at most [`FRAME_BYTES`] and one value.
pub const MAX_FRAME_BYTES: usize = 1 << 30;

/// Fewer bytes than this are never compressed: the frame would outweigh the gain.
const MIN_COMPRESSED_BYTES: usize = 40;

/// zstd cannot do better than a block of 128 KiB in 4 bytes; a frame that claims more is malformed.
const MAX_RATIO: usize = 128 * 1024 / 4;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

thread_local! {
    /// Compression contexts are large; each thread keeps one.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Appends the contents of values, compressed when that saves at least an eighth.
pub(crate) fn write(values: &[&[u8]], effort: Effort, out: &mut Vec<u8>) {
    let total: usize = values.iter().map(|v| v.len()).sum();
    if total >= MIN_COMPRESSED_BYTES {
        let at = out.len();
        if write_frames(values, effort, out).is_some() && out.len() - at <= total - total / 8 {
            return;
        }
        out.truncate(at);
    }
    out.push(PLAIN);
    values.iter().for_each(|v| out.extend_from_slice(v));
}

fn write_frames(values: &[&[u8]], effort: Effort, out: &mut Vec<u8>) -> Option<()> {
    let mut directory = Vec::new();
    let mut frames = Vec::new();
    let mut frame_count = 0;
    let mut raw = Vec::new();
    for (i, value) in values.iter().enumerate() {
        raw.extend_from_slice(value);
        if raw.len() < FRAME_BYTES && i + 1 < values.len() {
            continue;
        }
        let compressed = compress(&raw, effort)?;
        write_varint(raw.len() as u64, &mut directory);
        write_varint(compressed.len() as u64, &mut directory);
        frames.extend_from_slice(&compressed);
        frame_count += 1;
        raw.clear();
    }
    out.push(ZSTD);
    write_varint(frame_count, out);
    out.extend_from_slice(&directory);
    out.extend_from_slice(&frames);
    Some(())
}

/// One zstd frame without checksum and size, which are stored elsewhere. None when zstd fails, for lack of memory.
fn compress(raw: &[u8], effort: Effort) -> Option<Vec<u8>> {
    let level = match effort {
        Effort::Fast => 1,
        Effort::Thorough => 6,
    };
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Compressor::new(level).ok();
        }
        let compressor = slot.as_mut()?;
        compressor.set_compression_level(level).ok()?;
        compressor.include_contentsize(false).ok()?;
        compressor.compress(raw).ok()
    })
}

fn inflate(frame: &[u8], length: usize, reader: &Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Decompressor::new().ok();
        }
        let decompressor = slot.as_mut().ok_or_else(|| reader.error("no memory for zstd"))?;
        let raw = decompressor.decompress(frame, length);
        let raw = raw.map_err(|_| reader.error("malformed zstd frame"))?;
        if raw.len() == length { Ok(raw) } else { Err(reader.error("zstd frame of another length")) }
    })
}

/// The bytes at `range` of the contents that `reader` starts at.
pub(crate) fn read<'a>(mut reader: Reader<'a>, range: Range<usize>) -> Result<Cow<'a, [u8]>, DecodeError> {
    let start = reader;
    match reader.byte()? {
        PLAIN => {
            reader.take(range.start)?;
            Ok(Cow::Borrowed(reader.take(range.len())?))
        }
        ZSTD => read_frames(reader, range),
        _ => Err(start.error("unknown kind of contents")),
    }
}

fn read_frames<'a>(mut reader: Reader<'a>, range: Range<usize>) -> Result<Cow<'a, [u8]>, DecodeError> {
    let frame_count = reader.count(reader.remaining(), "more frames than bytes")?;
    let mut directory = reader;
    for _ in 0..frame_count {
        reader.varint()?;
        reader.varint()?;
    }
    let mut out = Vec::new();
    let mut first = 0usize;
    for _ in 0..frame_count {
        let at = directory;
        let length = directory.count(MAX_FRAME_BYTES, "frame too long")?;
        let compressed_len = directory.count(reader.remaining(), "frame beyond the end")?;
        if length / MAX_RATIO > compressed_len {
            return Err(at.error("frame longer than its bytes can hold"));
        }
        let frame = reader.take(compressed_len)?;
        let end = first.checked_add(length).ok_or_else(|| at.error("frames too long"))?;
        if end > range.start && first < range.end {
            let raw = inflate(frame, length, &at)?;
            if first <= range.start && range.end <= end && range.len() == length {
                return Ok(Cow::Owned(raw));
            }
            let from = range.start.saturating_sub(first);
            let to = range.end.min(end) - first;
            out.extend_from_slice(raw.get(from..to).unwrap_or_default());
        }
        first = end;
    }
    if out.len() != range.len() {
        return Err(directory.error("contents end before the values do"));
    }
    Ok(Cow::Owned(out))
}
