//! The resource directory: what each resource of a part is and where its series list begins.
//!
//! Blocks of some 4 KiB hold entries sorted by key. A block begins with the least and the greatest time of its
//! resources and its number of entries; an entry is
//! ```text
//! kind and policy  1 byte: kind + 16 x policy
//! name             bytes shared with the name before, length of the rest, the rest
//! schema           number in the schema table
//! rows, series     counts
//! times            distance of its least time from the block's, of its greatest from the block's
//! series list      page and block in the page
//! ```
//! All numbers are LEB128. First rows follow from the index above and the counts.

use super::wire::{Decoded, Malformed, Reader, put_bytes, put_varint};
use crate::cache::CacheValue;
use crate::rows::{ResourceKey, RowKind};
use pipal_model::{RowPolicy, TimeRange};
use std::sync::Arc;

/// A block is closed when its entries reach this estimate of their size.
pub(super) const DIRECTORY_BLOCK_BYTES: usize = 4 << 10;
/// What an entry is estimated to take beside its name.
pub(super) const DIRECTORY_ENTRY_BYTES: usize = 14;

/// A resource of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResourceEntry {
    pub(super) key: ResourceKey,
    pub(super) policy: RowPolicy,
    pub(super) schema: u32,
    pub(super) first_row: u64,
    pub(super) rows: u64,
    pub(super) series: u64,
    pub(super) time: TimeRange,
    pub(super) page: u32,
    pub(super) block: u32,
}

impl ResourceEntry {
    pub(super) fn end_row(&self) -> u64 {
        self.first_row + self.rows
    }
}

/// A key as bytes that sort like it: kind, name.
pub(super) fn key_bytes(key: &ResourceKey) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + key.name.len());
    bytes.push(key.kind as u8);
    bytes.extend_from_slice(key.name.as_bytes());
    bytes
}

/// Appends a block of the directory.
pub(super) fn encode_directory_block(entries: &[ResourceEntry], out: &mut Vec<u8>) {
    let begin = entries.iter().map(|entry| entry.time.begin).min().unwrap_or(0);
    let end = entries.iter().map(|entry| entry.time.end).max().unwrap_or(0);
    out.extend_from_slice(&begin.to_le_bytes());
    out.extend_from_slice(&end.to_le_bytes());
    put_varint(entries.len() as u64, out);
    let mut last: &[u8] = &[];
    for entry in entries {
        let name = entry.key.name.as_bytes();
        let shared = last.iter().zip(name).take_while(|(a, b)| a == b).count();
        out.push(entry.key.kind as u8 | entry.policy.code() << 4);
        put_varint(shared as u64, out);
        put_bytes(&name[shared..], out);
        put_varint(u64::from(entry.schema), out);
        put_varint(entry.rows, out);
        put_varint(entry.series, out);
        put_varint(entry.time.begin.abs_diff(begin), out);
        put_varint(end.abs_diff(entry.time.end), out);
        put_varint(u64::from(entry.page), out);
        put_varint(u64::from(entry.block), out);
        last = name;
    }
}

/// A decoded block of the directory, never empty.
pub(super) struct DirectoryBlock(pub(super) Vec<ResourceEntry>);

impl CacheValue for DirectoryBlock {
    fn cache_bytes(&self) -> usize {
        let names: usize = self.0.iter().map(|entry| entry.key.name.len() + 16).sum();
        names + self.0.capacity() * size_of::<ResourceEntry>()
    }
}

impl DirectoryBlock {
    /// Reads a block whose first resource begins at this row.
    pub(super) fn decode(bytes: &[u8], first_row: u64) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let block_time = TimeRange { begin: reader.i64()?, end: reader.i64()? };
        let count = reader.count(10)?;
        if count == 0 {
            return Err(Malformed("a directory block with entries"));
        }
        let mut entries: Vec<ResourceEntry> = Vec::with_capacity(count);
        let (mut first_row, mut name) = (first_row, Vec::new());
        for _ in 0..count {
            let entry = decode_entry(&mut reader, block_time, first_row, &mut name)?;
            if entries.last().is_some_and(|last| last.key >= entry.key) {
                return Err(Malformed("resources in ascending order"));
            }
            first_row = first_row.checked_add(entry.rows).ok_or(Malformed("a row number"))?;
            entries.push(entry);
        }
        reader.end()?;
        Ok(DirectoryBlock(entries))
    }

    pub(super) fn find(&self, key: &ResourceKey) -> Option<&ResourceEntry> {
        let place = self.0.binary_search_by(|entry| entry.key.cmp(key)).ok()?;
        self.0.get(place)
    }
}

fn decode_entry(
    reader: &mut Reader<'_>,
    block_time: TimeRange,
    first_row: u64,
    name: &mut Vec<u8>,
) -> Decoded<ResourceEntry> {
    let code = reader.u8()?;
    let kind = match code & 0xf {
        0 => RowKind::Attribute,
        1 => RowKind::Data,
        _ => return Err(Malformed("a kind of rows")),
    };
    let policy = RowPolicy::from_code(code >> 4).ok_or(Malformed("a row policy"))?;
    let shared = reader.varint()? as usize;
    if shared > name.len() {
        return Err(Malformed("a prefix of the name before"));
    }
    name.truncate(shared);
    name.extend_from_slice(reader.bytes()?);
    let text = std::str::from_utf8(name).map_err(|_| Malformed("a name in UTF-8"))?;
    let key = ResourceKey { kind, name: Arc::from(text) };
    let schema = reader.varint_u32()?;
    let (rows, series) = (reader.varint()?, reader.varint()?);
    let begin = block_time.begin.checked_add_unsigned(reader.varint()?);
    let end = block_time.end.checked_sub_unsigned(reader.varint()?);
    let (page, block) = (reader.varint_u32()?, reader.varint_u32()?);
    let (Some(begin), Some(end)) = (begin, end) else { return Err(Malformed("a time")) };
    if series == 0 || series > rows || begin > end || first_row.checked_add(rows).is_none() {
        return Err(Malformed("a resource with rows and series"));
    }
    let time = TimeRange { begin, end };
    Ok(ResourceEntry { key, policy, schema, first_row, rows, series, time, page, block })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Vec<ResourceEntry>> {
        let time = (any::<i64>(), any::<i64>());
        let counts = (1u64..1 << 40, 0u64..1000, any::<u32>(), any::<u32>(), any::<u32>());
        let entry = (any::<bool>(), "[a-c_]{0,5}", 1u8..5, time, counts);
        prop::collection::vec(entry, 1..40).prop_map(|raw| {
            let mut entries: Vec<ResourceEntry> = raw
                .into_iter()
                .map(|(data, name, policy, (a, b), (rows, series, schema, page, block))| ResourceEntry {
                    key: ResourceKey {
                        kind: if data { RowKind::Data } else { RowKind::Attribute },
                        name: name.into(),
                    },
                    policy: RowPolicy::from_code(policy).unwrap(),
                    schema,
                    first_row: 0,
                    rows,
                    series: series.clamp(1, rows),
                    time: TimeRange { begin: a.min(b), end: a.max(b) },
                    page,
                    block,
                })
                .collect();
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            entries.dedup_by(|a, b| a.key == b.key);
            let mut first_row = 7;
            for entry in &mut entries {
                entry.first_row = first_row;
                first_row += entry.rows;
            }
            entries
        })
    }

    proptest! {
        #[test]
        fn a_block_gives_back_its_entries(entries in entries()) {
            let mut bytes = Vec::new();
            encode_directory_block(&entries, &mut bytes);
            let block = DirectoryBlock::decode(&bytes, 7).unwrap();
            prop_assert_eq!(&block.0, &entries);
            for entry in &entries {
                prop_assert_eq!(block.find(&entry.key), Some(entry));
            }
            for cut in 0..bytes.len() {
                prop_assert!(DirectoryBlock::decode(&bytes[..cut], 7).is_err());
            }
        }
    }
}
