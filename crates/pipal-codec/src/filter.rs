//! A split-block Bloom filter: "no" is certain, "maybe" is wrong for about 1 % of the keys that are not there.
//!
//! The scheme is that of "Cache-, Hash- and Space-Efficient Bloom Filters" (Putze, Sanders, Singler, 2007) in
//! the split form of Impala and Parquet: a key selects one block of 256 bits and sets one bit in each of its
//! eight words, so a probe touches one cache line. The bytes are our own.
//!
//! Layout: byte format (1), then the blocks, 8 words of 32 bits little-endian each. The hash is XXH3-64 with
//! seed 0. Block: `(upper half of the hash * number of blocks) >> 32`. Bit of word `i`:
//! `(lower half of the hash * SALTS[i] mod 2^32) >> 27`. A filter without blocks has no keys.

use xxhash_rust::xxh3::xxh3_64;

use crate::error::DecodeError;

/// Bits that a distinct key takes: in tenths, since 10.5 is where the error falls to 1 %.
const TENTH_BITS_PER_KEY: usize = 105;

/// No filter is larger; with more keys than fit at full accuracy the share of wrong answers grows instead.
pub const MAX_FILTER_BYTES: usize = 16 << 20;

const FORMAT: u8 = 1;
const BLOCK_BYTES: usize = 32;
const BLOCK_BITS: usize = BLOCK_BYTES * 8;

/// Odd multipliers, one per word: the first 32 bits of the fractions of square roots of primes, made odd.
const SALTS: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f373, 0xa54f_f53b, 0x510e_527f, 0x9b05_688d, 0x1f83_d9ab, 0x5be0_cd19];

/// The hash of a key, for callers that probe many filters.
pub fn key_hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// Collects keys; 8 bytes are held per key.
#[derive(Debug, Default)]
pub struct FilterBuilder {
    hashes: Vec<u64>,
}

impl FilterBuilder {
    /// A builder without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key; adding it again changes nothing.
    pub fn insert(&mut self, key: &[u8]) {
        self.insert_hash(key_hash(key));
    }

    /// Adds a key by its [`key_hash`].
    pub fn insert_hash(&mut self, hash: u64) {
        self.hashes.push(hash);
    }

    /// Appends the filter of the keys so far and forgets them.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        let bits = self.hashes.len().saturating_mul(TENTH_BITS_PER_KEY).div_ceil(10);
        let block_count = bits.div_ceil(BLOCK_BITS).min(MAX_FILTER_BYTES / BLOCK_BYTES);
        let mut blocks = vec![[0u32; 8]; block_count];
        for hash in self.hashes.drain(..) {
            if let Some(block) = blocks.get_mut(block_of(hash, block_count)) {
                block.iter_mut().zip(masks(hash)).for_each(|(word, mask)| *word |= mask);
            }
        }
        out.push(FORMAT);
        out.extend(blocks.iter().flatten().flat_map(|word| word.to_le_bytes()));
    }
}

fn block_of(hash: u64, block_count: usize) -> usize {
    ((u128::from(hash >> 32) * block_count as u128) >> 32) as usize
}

fn masks(hash: u64) -> [u32; 8] {
    SALTS.map(|salt| 1 << ((hash as u32).wrapping_mul(salt) >> 27))
}

/// A filter over bytes that [`FilterBuilder::finish`] wrote.
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    blocks: &'a [[u8; BLOCK_BYTES]],
}

impl<'a> Filter<'a> {
    /// Looks at the frame of a filter; its contents need no check.
    ///
    /// # Errors
    /// An unknown format, a length that is no number of blocks, or more than [`MAX_FILTER_BYTES`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (format, rest) = bytes.split_first().ok_or(DecodeError::new("empty filter", 0))?;
        if *format != FORMAT {
            return Err(DecodeError::new("unknown filter format", 0));
        }
        let (blocks, tail) = rest.as_chunks::<BLOCK_BYTES>();
        if !tail.is_empty() || rest.len() > MAX_FILTER_BYTES {
            return Err(DecodeError::new("filter length out of bounds", 1));
        }
        Ok(Filter { blocks })
    }

    /// False only when the key was not inserted.
    pub fn may_contain(&self, key: &[u8]) -> bool {
        self.may_contain_hash(key_hash(key))
    }

    /// [`Filter::may_contain`] by the key's [`key_hash`].
    pub fn may_contain_hash(&self, hash: u64) -> bool {
        let Some(block) = self.blocks.get(block_of(hash, self.blocks.len())) else { return false };
        let words = block.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
        words.zip(masks(hash)).all(|(word, mask)| word & mask != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filter_of(keys: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
        let mut builder = FilterBuilder::new();
        keys.into_iter().for_each(|key| builder.insert(&key));
        let mut bytes = Vec::new();
        builder.finish(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn never_denies_a_key(keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..500)) {
            let bytes = filter_of(keys.clone());
            let filter = Filter::parse(&bytes).unwrap();
            for key in &keys {
                prop_assert!(filter.may_contain(key));
            }
        }

        #[test]
        fn any_bytes_are_a_filter_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200), key in any::<u64>()) {
            if let Ok(filter) = Filter::parse(&bytes) {
                filter.may_contain_hash(key);
            }
        }
    }

    #[test]
    fn wrong_answers_and_size_stay_near_the_plan() {
        let key = |i: u32| format!("trace-{i}").into_bytes();
        let bytes = filter_of((0..20_000).map(key));
        assert!(bytes.len() <= 20_000 * 11 / 8, "{} bytes", bytes.len());
        let filter = Filter::parse(&bytes).unwrap();
        let wrong = (20_000..120_000).filter(|i| filter.may_contain(&key(*i))).count();
        assert!(wrong < 1_500, "{wrong} of 100,000 absent keys pass");
        assert!(wrong > 300, "{wrong} of 100,000 is too good to be true: are keys hashed twice?");
    }

    #[test]
    fn repeated_keys_take_no_room_and_no_keys_deny_everything() {
        assert_eq!(filter_of(vec![b"a".to_vec(); 1000]).len(), 1 + BLOCK_BYTES);
        let empty = filter_of([]);
        assert_eq!(empty.len(), 1);
        assert!(!Filter::parse(&empty).unwrap().may_contain(b"a"));
    }
}
