//! Row groups and their index, the `primary` section.
//!
//! A row group is one chunk, or several consecutive chunks packed together: their number, then per chunk its
//! rows and its length, then the chunks. Groups follow each other in the `rows` section. The index holds per
//! group its rows, length, checksum and times, in blocks of up to [`GROUPS_PER_BLOCK`] groups.

use super::wire::{Decoded, Malformed, Reader, put_i64s, put_varint};
use crate::cache::CacheValue;
use crate::rows::CHUNK_ROWS_MAX;
use pipal_codec::Effort;
use pipal_model::TimeRange;

/// Most groups of one block of the index.
pub(super) const GROUPS_PER_BLOCK: usize = 256;

/// Where a row group lies and what it spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupEntry {
    pub(super) first_row: u64,
    pub(super) rows: u64,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) crc: u32,
    pub(super) time: TimeRange,
}

impl GroupEntry {
    pub(super) fn end_row(&self) -> u64 {
        self.first_row + self.rows
    }
}

/// Appends a block of the index. First row and offset of the first group are kept by the index above.
pub(super) fn encode_primary_block(groups: &[GroupEntry], effort: Effort, out: &mut Vec<u8>) {
    let column = |value: fn(&GroupEntry) -> i64| groups.iter().map(value).collect::<Vec<i64>>();
    put_varint(groups.len() as u64, out);
    put_i64s(&column(|group| group.rows as i64), effort, out);
    put_i64s(&column(|group| group.length as i64), effort, out);
    put_i64s(&column(|group| group.time.begin), effort, out);
    put_i64s(&column(|group| group.time.end), effort, out);
    for group in groups {
        out.extend_from_slice(&group.crc.to_le_bytes());
    }
}

/// A decoded block of the index.
pub(super) struct PrimaryBlock(pub(super) Vec<GroupEntry>);

impl CacheValue for PrimaryBlock {
    fn cache_bytes(&self) -> usize {
        self.0.capacity() * size_of::<GroupEntry>()
    }
}

impl PrimaryBlock {
    /// Reads a block whose first group has this first row and offset.
    pub(super) fn decode(bytes: &[u8], first_row: u64, offset: u64) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let count = reader.count(4)?;
        if count == 0 || count > GROUPS_PER_BLOCK {
            return Err(Malformed("a number of groups within its limit"));
        }
        let rows = reader.u64s(count)?;
        let lengths = reader.u64s(count)?;
        let begins = reader.i64s(count)?;
        let ends = reader.i64s(count)?;
        let (mut first_row, mut offset) = (first_row, offset);
        let mut groups = Vec::with_capacity(count);
        for i in 0..count {
            let time = TimeRange { begin: begins[i], end: ends[i] };
            let group =
                GroupEntry { first_row, rows: rows[i], offset, length: lengths[i], crc: reader.u32()?, time };
            first_row = first_row.checked_add(group.rows).ok_or(Malformed("a row number"))?;
            offset = offset.checked_add(group.length).ok_or(Malformed("an offset"))?;
            if group.rows == 0 || time.begin > time.end {
                return Err(Malformed("a row group with rows"));
            }
            groups.push(group);
        }
        reader.end()?;
        Ok(PrimaryBlock(groups))
    }

    /// The group that holds a row, and its place in the block.
    pub(super) fn find(&self, row: u64) -> Decoded<GroupEntry> {
        let after = self.0.partition_point(|group| group.first_row <= row);
        let group = after.checked_sub(1).and_then(|i| self.0.get(i)).filter(|group| row < group.end_row());
        group.copied().ok_or(Malformed("a row of the index"))
    }
}

/// Collects chunks until a row group is full.
#[derive(Default)]
pub(super) struct GroupBuilder {
    chunks: Vec<(usize, usize)>,
    bytes: Vec<u8>,
    rows: u64,
    time: Option<TimeRange>,
}

impl GroupBuilder {
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Bytes of the chunks so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.chunks.capacity() * size_of::<(usize, usize)>()
    }

    /// Takes a chunk of `rows` rows in this time range, which `write` appends.
    pub(super) fn add(&mut self, rows: usize, time: TimeRange, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.chunks.push((rows, self.bytes.len() - start));
        self.rows += rows as u64;
        self.time = Some(match self.time {
            None => time,
            Some(old) => TimeRange { begin: old.begin.min(time.begin), end: old.end.max(time.end) },
        });
    }

    /// Ends the group: its directory, its chunks, its rows and times. The builder is empty afterwards.
    pub(super) fn finish<R>(&mut self, write: impl FnOnce(&[u8], &[u8], u64, TimeRange) -> R) -> R {
        let mut directory = Vec::with_capacity(2 + 5 * self.chunks.len());
        put_varint(self.chunks.len() as u64, &mut directory);
        for &(rows, length) in &self.chunks {
            put_varint(rows as u64, &mut directory);
            put_varint(length as u64, &mut directory);
        }
        let result = write(&directory, &self.bytes, self.rows, self.time.unwrap_or(TimeRange::ALL));
        self.chunks.clear();
        self.bytes.clear();
        self.rows = 0;
        self.time = None;
        result
    }
}

/// A chunk in a loaded row group; rows are relative to the group.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkEntry {
    pub(super) first_row: u32,
    pub(super) rows: u32,
    offset: u32,
    length: u32,
}

/// A loaded row group.
pub(super) struct RowGroup {
    bytes: Vec<u8>,
    chunks: Vec<ChunkEntry>,
}

impl CacheValue for RowGroup {
    fn cache_bytes(&self) -> usize {
        self.bytes.capacity() + self.chunks.capacity() * size_of::<ChunkEntry>()
    }
}

impl RowGroup {
    /// Reads the directory of a group of `rows` rows.
    pub(super) fn decode(bytes: Vec<u8>, rows: u64) -> Decoded<Self> {
        let mut reader = Reader::new(&bytes);
        let count = reader.count(2)?;
        let mut chunks = Vec::with_capacity(count);
        let (mut first_row, mut end) = (0u32, 0u64);
        for _ in 0..count {
            let rows = reader.varint_u32()?;
            let length = reader.varint_u32()?;
            if rows == 0 || rows as usize > CHUNK_ROWS_MAX {
                return Err(Malformed("a chunk's number of rows within its limit"));
            }
            let offset = u32::try_from(end).map_err(|_| Malformed("a row group below 4 GiB"))?;
            chunks.push(ChunkEntry { first_row, rows, offset, length });
            first_row = first_row.checked_add(rows).ok_or(Malformed("a row number"))?;
            end += u64::from(length);
        }
        let directory_bytes = bytes.len() - reader.rest().len();
        if end != reader.rest().len() as u64 || u64::from(first_row) != rows {
            return Err(Malformed("chunks that fill their row group"));
        }
        let base = u32::try_from(directory_bytes).map_err(|_| Malformed("a row group below 4 GiB"))?;
        for chunk in &mut chunks {
            chunk.offset = chunk.offset.checked_add(base).ok_or(Malformed("a row group below 4 GiB"))?;
        }
        Ok(RowGroup { bytes, chunks })
    }

    pub(super) fn chunks(&self) -> &[ChunkEntry] {
        &self.chunks
    }

    /// The chunk that holds a row of the group.
    pub(super) fn find(&self, row: u64) -> Decoded<ChunkEntry> {
        let after = self.chunks.partition_point(|chunk| u64::from(chunk.first_row) <= row);
        after.checked_sub(1).and_then(|i| self.chunks.get(i)).copied().ok_or(Malformed("a row of the group"))
    }

    pub(super) fn bytes_of(&self, chunk: ChunkEntry) -> Decoded<&[u8]> {
        let range = chunk.offset as usize..chunk.offset as usize + chunk.length as usize;
        self.bytes.get(range).ok_or(Malformed("a chunk inside its row group"))
    }
}
