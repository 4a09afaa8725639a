//! What the commit log's entries hold: rows of a request, or the end of a group.
//!
//! An entry of rows is: kind 1, a byte with bit 0 set in the last and bit 1 in the first entry of its request,
//! and per table:
//! group, segment start and end (8 bytes each), shard (4), number of layouts and their fingerprints (16 bytes
//! each), number of rows, number of bytes, rows (see `row_format`). Numbers without a size are varints. The
//! layouts themselves are definitions of the log, so that each log file explains itself.
//! An entry of kind 2 is the group (8 bytes) whose rows, here and before, are gone.

use crate::batch::{TableRows, WriteBatch};
use crate::table_key::{GroupId, SegmentBounds, TableKey};
use hashbrown::HashMap;
use pipal_model::value::{read_varint, write_varint};
use pipal_model::{Error, Layout, Result};
use std::sync::Arc;

const KIND_ROWS: u8 = 1;
const KIND_DROP_GROUP: u8 = 2;
const LAST: u8 = 1;
const FIRST: u8 = 2;

/// Rows of a request beyond this many bytes go into further entries of the same request.
pub(crate) const ENTRY_BYTES_TARGET: usize = 8 << 20;

/// Layouts by fingerprint, as far as the log has defined them.
pub(crate) type Definitions = HashMap<u128, Arc<Layout>>;

/// One entry, read back.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Rows of a request; the request is complete with the entry that says `last`.
    Rows { tables: Vec<TableRows>, first: bool, last: bool },
    /// A group was deleted; see [`dropped_group`].
    DropGroup,
}

/// The entries of a request, in order, each with the layouts it needs.
pub(crate) fn encode_rows(batch: &WriteBatch) -> Vec<(Vec<u8>, Vec<Arc<Layout>>)> {
    let mut entries = Vec::new();
    let mut current = EntryWriter::new();
    for table in batch.table_rows() {
        let mut row = 0;
        while row < table.offsets.len() {
            let room = ENTRY_BYTES_TARGET.saturating_sub(current.bytes.len());
            let start = table.offsets[row] as usize;
            let fits = table.offsets[row..].partition_point(|&o| (o as usize) < start + room);
            let end = row + fits.max(1);
            current.table(table, row..end);
            row = end;
            if current.bytes.len() >= ENTRY_BYTES_TARGET {
                entries.push(std::mem::replace(&mut current, EntryWriter::new()));
            }
        }
    }
    if !current.layouts.is_empty() || entries.is_empty() {
        entries.push(current);
    }
    if let Some(first) = entries.first_mut() {
        first.bytes[1] |= FIRST;
    }
    if let Some(last) = entries.last_mut() {
        last.bytes[1] |= LAST;
    }
    entries.into_iter().map(|e| (e.bytes, e.layouts)).collect()
}

struct EntryWriter {
    bytes: Vec<u8>,
    layouts: Vec<Arc<Layout>>,
}

impl EntryWriter {
    fn new() -> Self {
        EntryWriter { bytes: vec![KIND_ROWS, 0], layouts: Vec::new() }
    }

    fn table(&mut self, table: &TableRows, rows: std::ops::Range<usize>) {
        let start = table.offsets[rows.start] as usize;
        let end = table.offsets.get(rows.end).map_or(table.bytes.len(), |&o| o as usize);
        let out = &mut self.bytes;
        out.extend_from_slice(&table.key.group.to_le_bytes());
        out.extend_from_slice(&table.key.segment.start.to_le_bytes());
        out.extend_from_slice(&table.key.segment.end.to_le_bytes());
        out.extend_from_slice(&table.key.shard.to_le_bytes());
        write_varint(table.layouts.len() as u64, out);
        for layout in &table.layouts {
            out.extend_from_slice(&layout.fingerprint().to_le_bytes());
        }
        write_varint(rows.len() as u64, out);
        write_varint((end - start) as u64, out);
        out.extend_from_slice(&table.bytes[start..end]);
        self.layouts.extend(table.layouts.iter().cloned());
    }
}

/// The entry that ends a group.
pub(crate) fn encode_drop_group(group: GroupId) -> Vec<u8> {
    let mut out = vec![KIND_DROP_GROUP];
    out.extend_from_slice(&group.to_le_bytes());
    out
}

/// The group that an entry ends, if it does that.
pub(crate) fn dropped_group(payload: &[u8]) -> Option<GroupId> {
    let (&kind, rest) = payload.split_first()?;
    (kind == KIND_DROP_GROUP).then(|| rest.try_into().ok().map(u64::from_le_bytes)).flatten()
}

/// Reads an entry. Its checksum was right, so anything malformed in it is a defect or a format from the future.
pub(crate) fn decode(payload: &[u8], definitions: &Definitions) -> Result<Entry> {
    decode_inner(payload, definitions).ok_or_else(|| {
        Error::corrupt("read log entry", "entry", "the entry does not follow the format of this version")
    })
}

fn decode_inner(payload: &[u8], definitions: &Definitions) -> Option<Entry> {
    let mut cursor = Cursor(payload);
    match cursor.array::<1>()?[0] {
        KIND_ROWS => {
            let flags = cursor.array::<1>()?[0];
            let mut tables = Vec::new();
            while !cursor.0.is_empty() {
                tables.push(decode_table(&mut cursor, definitions)?);
            }
            Some(Entry::Rows { tables, first: flags & FIRST != 0, last: flags & LAST != 0 })
        }
        KIND_DROP_GROUP => {
            cursor.array::<8>()?;
            cursor.0.is_empty().then_some(Entry::DropGroup)
        }
        _ => None,
    }
}

fn decode_table(cursor: &mut Cursor<'_>, definitions: &Definitions) -> Option<TableRows> {
    let key = TableKey {
        group: u64::from_le_bytes(cursor.array()?),
        segment: SegmentBounds {
            start: i64::from_le_bytes(cursor.array()?),
            end: i64::from_le_bytes(cursor.array()?),
        },
        shard: u32::from_le_bytes(cursor.array()?),
    };
    let count = cursor.varint()?;
    let mut layouts = Vec::new();
    for _ in 0..count {
        layouts.push(definitions.get(&u128::from_le_bytes(cursor.array()?))?.clone());
    }
    let rows = cursor.varint()?;
    let length = cursor.varint()?;
    TableRows::parse(key, layouts, cursor.take(length)?, rows)
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn varint(&mut self) -> Option<usize> {
        let (value, used) = read_varint(self.0)?;
        self.0 = &self.0[used..];
        usize::try_from(value).ok()
    }
}
