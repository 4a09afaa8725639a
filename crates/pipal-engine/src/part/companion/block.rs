//! A block: up to [`BLOCK_ENTRIES`] entries of one key, kept encoded and decoded by ranges.

use super::super::wire::{Decoded, Malformed, Reader, put_i64s};
use crate::cache::CacheValue;
use pipal_codec::{Effort, decode_i64s};
use std::ops::Range;

/// Appends a block: rows with their keys, in the order of both, and the tuple of each unless there is only one. The
/// rows look random, so that trying all encodings would save a fifteenth and take as long as the rest of a merge.
pub(super) fn encode_block(entries: &[(i64, u32)], tuples: Option<&[u32]>, out: &mut Vec<u8>) {
    let effort = Effort::Fast;
    let list = |value: &dyn Fn(&(i64, u32)) -> i64| entries.iter().map(value).collect::<Vec<i64>>();
    put_i64s(&list(&|(key, _)| *key), effort, out);
    put_i64s(&list(&|(_, row)| i64::from(*row)), effort, out);
    if let Some(tuples) = tuples {
        let tuple_of = |(_, row): &(i64, u32)| i64::from(tuples.get(*row as usize).copied().unwrap_or(0));
        put_i64s(&list(&tuple_of), effort, out);
    }
}

/// A loaded block.
#[derive(Debug)]
pub(in super::super) struct EntryBlock {
    bytes: Vec<u8>,
    entries: usize,
    keys: Range<usize>,
    rows: Range<usize>,
    /// None when all entries have the only tuple.
    tuples: Option<Range<usize>>,
}

impl CacheValue for EntryBlock {
    fn cache_bytes(&self) -> usize {
        self.bytes.capacity() + size_of::<EntryBlock>()
    }
}

impl EntryBlock {
    /// Tells the lists of a block of `entries` apart.
    pub(in super::super) fn decode(bytes: Vec<u8>, entries: usize, with_tuples: bool) -> Decoded<Self> {
        let mut reader = Reader::new(&bytes);
        let mut list = || {
            let length = reader.bytes()?.len();
            let end = bytes.len() - reader.rest().len();
            Ok::<_, Malformed>(end - length..end)
        };
        let (keys, rows) = (list()?, list()?);
        let tuples = if with_tuples { Some(list()?) } else { None };
        reader.end()?;
        Ok(EntryBlock { bytes, entries, keys, rows, tuples })
    }

    fn list(&self, list: &Range<usize>, range: Range<usize>) -> Decoded<Vec<i64>> {
        let bytes = self.bytes.get(list.clone()).ok_or(Malformed("a list inside its block"))?;
        let mut values = Vec::with_capacity(range.len());
        decode_i64s(bytes, self.entries, range, &mut values)?;
        Ok(values)
    }

    /// Keys of a range of entries.
    pub(in super::super) fn keys(&self, range: Range<usize>) -> Decoded<Vec<i64>> {
        self.list(&self.keys, range)
    }

    /// Rows of a range of entries.
    pub(in super::super) fn rows(&self, range: Range<usize>) -> Decoded<Vec<i64>> {
        self.list(&self.rows, range)
    }

    /// Tuples of a range of entries.
    pub(in super::super) fn tuples(&self, range: Range<usize>) -> Decoded<Vec<i64>> {
        match &self.tuples {
            Some(tuples) => self.list(tuples, range),
            None => Ok(vec![0; range.len()]),
        }
    }
}
