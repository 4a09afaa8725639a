//! Front-coded dictionaries: sorted distinct byte strings in blocks of about 4 KiB.
//!
//! A block is a list of entries: varint length of the prefix shared with the entry before (0 for the first),
//! varint length of the rest, the rest. The caller keeps, per block, its first key, its first ordinal and its
//! place, and may compress it. Front coding is described in "Managing Gigabytes", Witten, Moffat, Bell.

use pipal_model::value::{read_varint, write_varint};

use crate::error::DecodeError;

/// A block is closed once it holds this many bytes.
pub const BLOCK_BYTES: usize = 4096;

/// Keys above this length are malformed when read.
pub const MAX_KEY_BYTES: usize = 1 << 26;

/// A finished block of a dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Ordinal of the first key, counted from 0 over all blocks.
    pub first_ordinal: u64,
    /// Number of keys.
    pub key_count: u32,
    /// The first key, for the caller's directory of blocks.
    pub first_key: Vec<u8>,
    /// The encoded keys.
    pub bytes: Vec<u8>,
}

/// Cuts ascending keys into blocks.
#[derive(Debug, Default)]
pub struct Writer {
    block: Option<Block>,
    previous: Vec<u8>,
    keys: u64,
}

impl Writer {
    /// A writer without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key, greater than the one before. Gives the block that it completes, if it does.
    ///
    /// # Errors
    /// A key that does not ascend is refused, as is one above [`MAX_KEY_BYTES`]; the writer is unchanged.
    pub fn push(&mut self, key: &[u8]) -> Result<Option<Block>, DecodeError> {
        if self.keys > 0 && self.previous.as_slice() >= key {
            return Err(DecodeError::new("keys do not ascend", self.keys as usize));
        }
        if key.len() > MAX_KEY_BYTES {
            return Err(DecodeError::new("key too long", self.keys as usize));
        }
        let first_ordinal = self.keys;
        let fresh = || Block { first_ordinal, key_count: 0, first_key: key.to_vec(), bytes: Vec::new() };
        let block = self.block.get_or_insert_with(fresh);
        let shared = if block.key_count == 0 { 0 } else { shared_prefix(&self.previous, key) };
        let rest = key.get(shared..).unwrap_or_default();
        write_varint(shared as u64, &mut block.bytes);
        write_varint(rest.len() as u64, &mut block.bytes);
        block.bytes.extend_from_slice(rest);
        block.key_count += 1;
        self.keys += 1;
        self.previous.truncate(shared);
        self.previous.extend_from_slice(rest);
        let full = block.bytes.len() >= BLOCK_BYTES;
        Ok(if full { self.block.take() } else { None })
    }

    /// Number of keys so far.
    pub fn key_count(&self) -> u64 {
        self.keys
    }

    /// The last block, if it has keys.
    pub fn finish(self) -> Option<Block> {
        self.block
    }
}

fn shared_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// Walks the keys of a block. Not an `Iterator`, since each key borrows from the cursor.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    offset: usize,
    key: Vec<u8>,
    shared: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor before the first key of a block.
    pub fn new(bytes: &'a [u8]) -> Self {
        Cursor { rest: bytes, offset: 0, key: Vec::new(), shared: 0 }
    }

    /// The next key; none at the end.
    ///
    /// # Errors
    /// Malformed bytes.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<&[u8]>, DecodeError> {
        Ok(if self.advance()? { Some(&self.key) } else { None })
    }

    fn advance(&mut self) -> Result<bool, DecodeError> {
        if self.rest.is_empty() {
            return Ok(false);
        }
        let shared = self.length(self.key.len(), "shared prefix longer than the key before")?;
        let length = self.length(MAX_KEY_BYTES - shared, "key too long")?;
        let at = self.offset;
        let split = self.rest.split_at_checked(length);
        let (rest_of_key, rest) = split.ok_or_else(|| DecodeError::new("key cut off", at))?;
        self.key.truncate(shared);
        self.key.extend_from_slice(rest_of_key);
        self.shared = shared;
        self.rest = rest;
        self.offset += length;
        Ok(true)
    }

    fn length(&mut self, limit: usize, what: &'static str) -> Result<usize, DecodeError> {
        let error = DecodeError::new(what, self.offset);
        let (value, used) = read_varint(self.rest).ok_or(error)?;
        self.rest = self.rest.get(used..).unwrap_or_default();
        self.offset += used;
        usize::try_from(value).ok().filter(|&v| v <= limit).ok_or(error)
    }
}

/// The index in the block of the first key that is not less than `key`, and whether it equals `key`. The
/// number of keys when all are less.
///
/// # Errors
/// Malformed bytes before that key.
pub fn lower_bound(bytes: &[u8], key: &[u8]) -> Result<(usize, bool), DecodeError> {
    let mut cursor = Cursor::new(bytes);
    // Length of the prefix that `key` shares with the key under the cursor. Keys ascend, so while the cursor
    // is below `key`, a neighbour that shares more than `matched` bytes with it is still below: no comparison.
    let mut matched = 0;
    let mut index = 0;
    while cursor.advance()? {
        if cursor.shared <= matched {
            let from = cursor.shared;
            let (candidate, target) = (cursor.key.get(from..), key.get(from..));
            let (candidate, target) = (candidate.unwrap_or_default(), target.unwrap_or_default());
            match candidate.cmp(target) {
                std::cmp::Ordering::Less => matched = from + shared_prefix(candidate, target),
                std::cmp::Ordering::Equal => return Ok((index, true)),
                std::cmp::Ordering::Greater => return Ok((index, false)),
            }
        }
        index += 1;
    }
    Ok((index, false))
}

/// The index of `key` in the block, if it is there.
///
/// # Errors
/// Malformed bytes before that key.
pub fn find(bytes: &[u8], key: &[u8]) -> Result<Option<usize>, DecodeError> {
    lower_bound(bytes, key).map(|(index, equal)| equal.then_some(index))
}

/// Sets `out` to the key at `index` of the block; false when the block has fewer keys.
///
/// # Errors
/// Malformed bytes before that key.
pub fn get(bytes: &[u8], index: usize, out: &mut Vec<u8>) -> Result<bool, DecodeError> {
    let mut cursor = Cursor::new(bytes);
    for _ in 0..=index {
        if !cursor.advance()? {
            return Ok(false);
        }
    }
    out.clear();
    out.extend_from_slice(&cursor.key);
    Ok(true)
}
