//! Reading a log file from front to back with bounded memory.

use super::format::{RECORD_HEADER_BYTES, RECORD_MAGIC, RecordHeader};
use crate::fs::ReadableFile;
use pipal_model::Result;
use std::sync::Arc;

/// Bytes read at once, unless one record needs more.
pub(super) const CHUNK_BYTES: usize = 256 << 10;

/// A file of which a stretch is in memory.
pub(super) struct Window {
    file: Arc<dyn ReadableFile>,
    size: u64,
    start: u64,
    buffer: Vec<u8>,
}

impl Window {
    /// A window on a file whose length from now on is taken to be what it is now.
    pub(super) fn new(file: Arc<dyn ReadableFile>) -> Result<Self> {
        let size = file.size()?;
        Ok(Window { file, size, start: 0, buffer: Vec::new() })
    }

    /// Length of the file.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// So many bytes from `offset` on; nothing when the file ends earlier.
    pub(super) fn get(&mut self, offset: u64, length: usize) -> Result<Option<&[u8]>> {
        if offset.checked_add(length as u64).is_none_or(|end| end > self.size) {
            return Ok(None);
        }
        let inside = offset >= self.start && offset + length as u64 <= self.start + self.buffer.len() as u64;
        if !inside {
            self.read(offset, length)?;
        }
        let at = (offset - self.start) as usize;
        Ok(self.buffer.get(at..at + length))
    }

    fn read(&mut self, offset: u64, length: usize) -> Result<()> {
        let rest = usize::try_from(self.size - offset).unwrap_or(usize::MAX);
        let count = length.max(CHUNK_BYTES.min(rest));
        self.buffer.clear();
        self.buffer.shrink_to(4 * count);
        self.buffer.resize(count, 0);
        self.start = offset;
        let read = self.file.read_exact_at(&mut self.buffer, offset);
        if read.is_err() {
            self.buffer.clear();
        }
        read
    }

    /// The record header at an offset, if there is a valid one.
    pub(super) fn header_at(&mut self, file_id: u64, offset: u64) -> Result<Option<RecordHeader>> {
        let bytes = self.get(offset, RECORD_HEADER_BYTES)?;
        Ok(bytes.and_then(|bytes| RecordHeader::decode(bytes, file_id, offset)))
    }

    /// The offset of the first valid record header in `from..to`.
    pub(super) fn find_header(&mut self, file_id: u64, from: u64, to: u64) -> Result<Option<u64>> {
        let mut at = from;
        let to = to.min(self.size);
        while to.saturating_sub(at) >= RECORD_HEADER_BYTES as u64 {
            let count = CHUNK_BYTES.min((to - at) as usize);
            let Some(bytes) = self.get(at, count)? else { break };
            let Some(found) = bytes.windows(RECORD_MAGIC.len()).position(|bytes| *bytes == RECORD_MAGIC)
            else {
                at += (count - RECORD_MAGIC.len() + 1) as u64;
                continue;
            };
            at += found as u64;
            if self.header_at(file_id, at)?.is_some() {
                return Ok((at < to).then_some(at));
            }
            at += 1;
        }
        Ok(None)
    }
}
