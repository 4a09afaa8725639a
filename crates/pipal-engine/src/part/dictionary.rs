//! The entity dictionary: all distinct entity bytes of a part, sorted; an entity's id is its rank.
//!
//! Blocks hold some 8 KiB of front-coded strings, compressed with zstd where that helps. A block in memory stays
//! front-coded; every [`RESTART_INTERVAL`]th string is kept whole beside it, so that a look-up is a binary search
//! and a short walk (Witten, Moffat, Bell: Managing Gigabytes, 4.1).
//!
//! ```text
//! block    0 and the strings, or 1, the length of the strings (LEB128) and a zstd frame of them
//! strings  number of strings, then per string: bytes shared with the one before, length of the rest, the rest
//! ```

use super::wire::{Decoded, Malformed, Reader, put_bytes, put_varint};
use crate::cache::CacheValue;
use pipal_codec::Effort;
use std::cmp::Ordering;

/// A block is closed when its front-coded strings reach this size.
pub(super) const DICTIONARY_BLOCK_BYTES: usize = 8 << 10;
/// Most bytes of one entity.
pub const ENTITY_BYTES_MAX: usize = 1 << 20;
/// Most bytes of the strings of a block: it was not full when the last one came.
const STRINGS_BYTES_MAX: usize = DICTIONARY_BLOCK_BYTES + ENTITY_BYTES_MAX + 64;
/// Strings between two that are kept whole in memory.
const RESTART_INTERVAL: usize = 16;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// Front-codes sorted strings until a block is full.
pub(super) struct DictionaryBuilder {
    /// None where zstd could not be set up; blocks are then stored plain.
    compressor: Option<zstd::bulk::Compressor<'static>>,
    strings: Vec<u8>,
    count: u64,
    first: Vec<u8>,
    last: Vec<u8>,
}

impl DictionaryBuilder {
    pub(super) fn new(effort: Effort) -> Self {
        let level = match effort {
            Effort::Fast => 1,
            Effort::Thorough => 6,
        };
        DictionaryBuilder {
            compressor: zstd::bulk::Compressor::new(level).ok(),
            strings: Vec::new(),
            count: 0,
            first: Vec::new(),
            last: Vec::new(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.strings.len() >= DICTIONARY_BLOCK_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends a string, which must be greater than the one before.
    pub(super) fn push(&mut self, string: &[u8]) {
        debug_assert!(self.count == 0 || *self.last < *string);
        let shared = if self.count == 0 { 0 } else { shared_prefix(&self.last, string) };
        if self.count == 0 {
            self.first.clear();
            self.first.extend_from_slice(string);
        }
        put_varint(shared as u64, &mut self.strings);
        put_bytes(&string[shared..], &mut self.strings);
        self.last.truncate(shared);
        self.last.extend_from_slice(&string[shared..]);
        self.count += 1;
    }

    /// Appends the block to `out` and gives its first string and its number of strings. The builder is empty
    /// afterwards.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> (Vec<u8>, u64) {
        let mut strings = Vec::with_capacity(self.strings.len() + 4);
        put_varint(self.count, &mut strings);
        strings.extend_from_slice(&self.strings);
        let compressed = self.compressor.as_mut().map(|zstd| zstd.compress(&strings));
        match compressed {
            Some(Ok(compressed)) if compressed.len() + 3 < strings.len() => {
                out.push(ZSTD);
                put_varint(strings.len() as u64, out);
                out.extend_from_slice(&compressed);
            }
            _ => {
                out.push(PLAIN);
                out.extend_from_slice(&strings);
            }
        }
        self.strings.clear();
        self.last.clear();
        (std::mem::take(&mut self.first), std::mem::take(&mut self.count))
    }
}

fn shared_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The shortest prefix of `next` that is greater than `last`; it separates two blocks as well as `next` itself.
pub(super) fn separator<'a>(last: &[u8], next: &'a [u8]) -> &'a [u8] {
    &next[..(shared_prefix(last, next) + 1).min(next.len())]
}

/// A decoded block.
pub(super) struct DictionaryBlock {
    strings: Vec<u8>,
    count: usize,
    /// Every [`RESTART_INTERVAL`]th string, whole, one behind the other.
    restarts: Vec<u8>,
    /// Per restart: its end in `restarts` and the offset in `strings` behind its entry.
    places: Vec<(u32, u32)>,
}

impl CacheValue for DictionaryBlock {
    fn cache_bytes(&self) -> usize {
        self.strings.capacity() + self.restarts.capacity() + self.places.capacity() * 8
    }
}

impl DictionaryBlock {
    /// Reads a block and checks that its strings ascend.
    pub(super) fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let strings = match reader.u8()? {
            PLAIN => reader.rest().to_vec(),
            ZSTD => {
                let length = reader.varint()? as usize;
                if length > STRINGS_BYTES_MAX {
                    return Err(Malformed("dictionary strings within their limit"));
                }
                let strings = zstd::bulk::decompress(reader.rest(), length);
                strings.ok().filter(|s| s.len() == length).ok_or(Malformed("a zstd frame"))?
            }
            _ => return Err(Malformed("a known form of a dictionary block")),
        };
        DictionaryBlock { strings, count: 0, restarts: Vec::new(), places: Vec::new() }.indexed()
    }

    fn indexed(mut self) -> Decoded<Self> {
        let mut reader = Reader::new(&self.strings);
        self.count = reader.count(2)?;
        let mut current: Vec<u8> = Vec::new();
        for i in 0..self.count {
            let shared = reader.varint()? as usize;
            let rest = reader.bytes()?;
            // The string is greater than the one before exactly if it goes on greater where they part.
            let ascending = match current.get(shared) {
                Some(byte) => rest.first().is_some_and(|first| first > byte),
                None => shared == current.len() && (i == 0 || !rest.is_empty()),
            };
            if !ascending {
                return Err(Malformed("dictionary strings in ascending order"));
            }
            current.truncate(shared);
            current.extend_from_slice(rest);
            if i % RESTART_INTERVAL == 0 {
                self.restarts.extend_from_slice(&current);
                let behind = self.strings.len() - reader.rest().len();
                self.places.push((self.restarts.len() as u32, behind as u32));
            }
        }
        reader.end()?;
        self.restarts.shrink_to_fit();
        Ok(self)
    }

    /// Number of strings.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    fn restart(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.places[i - 1].0 as usize };
        &self.restarts[start..self.places[i].0 as usize]
    }

    /// Walks from a restart: gives rank and string until `visit` is false.
    fn walk(
        &self,
        restart: usize,
        buffer: &mut Vec<u8>,
        mut visit: impl FnMut(usize, &[u8]) -> bool,
    ) -> Decoded<()> {
        buffer.clear();
        buffer.extend_from_slice(self.restart(restart));
        let mut rank = restart * RESTART_INTERVAL;
        let mut reader = Reader::new(self.strings.get(self.places[restart].1 as usize..).unwrap_or_default());
        while visit(rank, buffer) {
            rank += 1;
            if rank >= self.count {
                break;
            }
            let shared = reader.varint()? as usize;
            buffer.truncate(shared);
            buffer.extend_from_slice(reader.bytes()?);
        }
        Ok(())
    }

    /// The number of strings smaller than `key`, and whether the next one equals it.
    pub(super) fn search(&self, key: &[u8], buffer: &mut Vec<u8>) -> Decoded<(usize, bool)> {
        let (mut low, mut high) = (0, self.places.len());
        while low < high {
            let middle = (low + high) / 2;
            if self.restart(middle) <= key { low = middle + 1 } else { high = middle }
        }
        let Some(restart) = low.checked_sub(1) else { return Ok((0, false)) };
        let mut found = (self.count, false);
        self.walk(restart, buffer, |rank, string| match string.cmp(key) {
            Ordering::Less => true,
            order => {
                found = (rank, order == Ordering::Equal);
                false
            }
        })?;
        Ok(found)
    }

    /// Puts the string of a rank of the block into `buffer`.
    pub(super) fn get(&self, rank: usize, buffer: &mut Vec<u8>) -> Decoded<()> {
        if rank >= self.count {
            return Err(Malformed("a rank of the dictionary block"));
        }
        self.walk(rank / RESTART_INTERVAL, buffer, |at, _| at < rank)
    }

    /// Gives the strings of an ascending list of ranks of the block.
    pub(super) fn get_many(
        &self,
        ranks: impl Iterator<Item = usize>,
        buffer: &mut Vec<u8>,
        mut visit: impl FnMut(&[u8]),
    ) -> Decoded<()> {
        let mut ranks = ranks.peekable();
        while let Some(&first) = ranks.peek() {
            if first >= self.count {
                return Err(Malformed("a rank of the dictionary block"));
            }
            // One walk serves all ranks until the next one is at least a restart further on.
            self.walk(first / RESTART_INTERVAL, buffer, |at, string| {
                if ranks.peek() == Some(&at) {
                    visit(string);
                    ranks.next();
                }
                ranks
                    .peek()
                    .is_some_and(|&next| next > at && next < self.count && next - at <= RESTART_INTERVAL)
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn block(strings: &BTreeSet<Vec<u8>>, effort: Effort) -> Vec<u8> {
        let mut builder = DictionaryBuilder::new(effort);
        strings.iter().for_each(|s| builder.push(s));
        let mut bytes = Vec::new();
        let (first, count) = builder.finish(&mut bytes);
        assert_eq!((Some(&first), count as usize), (strings.first(), strings.len()));
        bytes
    }

    proptest! {
        #[test]
        fn a_block_finds_and_gives_what_a_sorted_list_does(
            strings in prop::collection::btree_set(prop::collection::vec(0u8..4, 0..6), 1..120),
            keys in prop::collection::vec(prop::collection::vec(0u8..5, 0..7), 0..20),
            picks in prop::collection::btree_set(0usize..120, 0..20),
        ) {
            let list: Vec<&Vec<u8>> = strings.iter().collect();
            let block = DictionaryBlock::decode(&block(&strings, Effort::Fast)).unwrap();
            let mut buffer = Vec::new();
            prop_assert_eq!(block.len(), list.len());
            for key in keys.iter().chain(strings.iter()) {
                let want = (list.partition_point(|s| *s < key), strings.contains(key));
                prop_assert_eq!(block.search(key, &mut buffer).unwrap(), want);
            }
            for (rank, string) in list.iter().enumerate() {
                block.get(rank, &mut buffer).unwrap();
                prop_assert_eq!(&buffer, *string);
            }
            let picks: Vec<usize> = picks.into_iter().filter(|pick| *pick < list.len()).collect();
            let mut given: Vec<Vec<u8>> = Vec::new();
            block.get_many(picks.iter().copied(), &mut buffer, |s| given.push(s.to_vec())).unwrap();
            prop_assert_eq!(given, picks.iter().map(|&pick| list[pick].clone()).collect::<Vec<_>>());
            prop_assert!(block.get(list.len(), &mut buffer).is_err());
        }

        #[test]
        fn any_bytes_decode_to_a_sorted_block_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(block) = DictionaryBlock::decode(&bytes) {
                let mut last: Option<Vec<u8>> = None;
                for rank in 0..block.len() {
                    let mut buffer = Vec::new();
                    block.get(rank, &mut buffer).unwrap();
                    prop_assert!(last.is_none_or(|last| last < buffer));
                    last = Some(buffer);
                }
            }
        }

        #[test]
        fn a_separator_lies_between_its_neighbours(a in "[ab]{0,6}", b in "[ab]{0,6}") {
            let (last, next) = if a < b { (a, b) } else { (b, a) };
            prop_assume!(last < next);
            let separator = separator(last.as_bytes(), next.as_bytes());
            prop_assert!(last.as_bytes() < separator && separator <= next.as_bytes());
        }
    }
}
