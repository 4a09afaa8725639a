//! One cache for everything that is read from parts: verified bytes and small decoded directories.
//!
//! An entry gets in only after its checksum matched, so a hit needs no check. Hits take a shared lock on one of
//! a few shards; a scan of much data does not drive out what is used often (the cache is a Clock-PRO variant).
//! Concurrent loads of one entry wait for the first of them. An entry larger than a shard's part of the limit
//! is handed out and not kept.

use pipal_model::{Error, Result};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Number of shards; each holds that fraction of the limit.
const SHARDS: usize = 8;
/// What an entry costs beyond its value: key, slot and reference count.
const ENTRY_OVERHEAD_BYTES: usize = 96;
/// Typical weight of an entry, from which the cache sizes its tables.
const ENTRY_BYTES_TYPICAL: u64 = 16 << 10;

/// Something that may live in the cache.
pub trait CacheValue: Any + Send + Sync {
    /// Bytes held; must not change while the value is cached.
    fn cache_bytes(&self) -> usize;
}

impl CacheValue for Vec<u8> {
    fn cache_bytes(&self) -> usize {
        self.capacity()
    }
}

/// Names a cached value: the open file that it came from and its place in there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockKey {
    /// What [`BlockCache::new_owner`] gave to the open file.
    pub owner: u64,
    /// Offset of the bytes in the file.
    pub offset: u64,
}

#[derive(Clone)]
struct Entry {
    value: Arc<dyn Any + Send + Sync>,
    bytes: u64,
}

#[derive(Clone)]
struct EntryWeight;

impl quick_cache::Weighter<BlockKey, Entry> for EntryWeight {
    fn weight(&self, _: &BlockKey, entry: &Entry) -> u64 {
        entry.bytes
    }
}

/// Counters since the cache was made, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Look-ups that found their value.
    pub hits: u64,
    /// Look-ups that had to load it.
    pub misses: u64,
    /// Bytes held now.
    pub bytes: u64,
    /// Bytes that may be held.
    pub limit_bytes: u64,
}

/// A sharded cache with a limit in bytes that can be changed at run time.
pub struct BlockCache {
    entries: quick_cache::sync::Cache<BlockKey, Entry, EntryWeight>,
    owners: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl BlockCache {
    /// An empty cache that holds at most `limit_bytes`.
    pub fn new(limit_bytes: u64) -> Self {
        let options = quick_cache::OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity((limit_bytes / ENTRY_BYTES_TYPICAL).clamp(1024, 1 << 20) as usize)
            .weight_capacity(limit_bytes)
            .build();
        let entries = match options {
            Ok(options) => quick_cache::sync::Cache::with_options(
                options,
                EntryWeight,
                Default::default(),
                Default::default(),
            ),
            // The builder fails only without sizes, which were given; this is the same cache with more shards.
            Err(_) => quick_cache::sync::Cache::with_weighter(1024, limit_bytes, EntryWeight),
        };
        BlockCache { entries, owners: AtomicU64::new(0), hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// A number for an open file, different from all others given by this cache.
    pub fn new_owner(&self) -> u64 {
        self.owners.fetch_add(1, Ordering::Relaxed)
    }

    /// The value of `key`, and true if it was in the cache; otherwise `load` makes it. A failed load is not
    /// remembered. One key must always be asked for with one type.
    pub fn get_or_load<T: CacheValue>(
        &self,
        key: BlockKey,
        load: impl FnOnce() -> Result<T>,
    ) -> Result<(Arc<T>, bool)> {
        let mut hit = true;
        let entry = self.entries.get_or_insert_with(&key, || {
            hit = false;
            let value = load()?;
            let bytes = (value.cache_bytes() + size_of::<T>() + ENTRY_OVERHEAD_BYTES) as u64;
            Ok::<_, Error>(Entry { value: Arc::new(value), bytes })
        });
        let counter = if hit { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        match entry?.value.downcast::<T>() {
            Ok(value) => Ok((value, hit)),
            Err(_) => Err(Error::internal("read cache", format!("{key:?} holds a value of another type"))),
        }
    }

    /// Changes the limit; entries beyond it go at once.
    pub fn set_limit_bytes(&self, limit_bytes: u64) {
        self.entries.set_capacity(limit_bytes);
    }

    /// Drops everything; open files load again what they need.
    pub fn clear(&self) {
        self.entries.clear();
    }

    /// Counters and sizes.
    pub fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: self.entries.weight(),
            limit_bytes: self.entries.capacity(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(offset: u64) -> BlockKey {
        BlockKey { owner: 1, offset }
    }

    #[test]
    fn a_value_is_loaded_once_and_a_failure_is_not_remembered() {
        let cache = BlockCache::new(1 << 20);
        let failed = cache.get_or_load::<Vec<u8>>(key(0), || Err(Error::corrupt("read", "file", "checksum")));
        assert!(failed.is_err());
        let (value, hit) = cache.get_or_load(key(0), || Ok(vec![1u8])).unwrap();
        assert!(!hit && *value == [1]);
        let (value, hit) = cache.get_or_load::<Vec<u8>>(key(0), || panic!("must not load again")).unwrap();
        assert!(hit && *value == [1]);
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses), (1, 2));
    }

    #[test]
    fn the_limit_holds_and_can_be_changed() {
        let cache = BlockCache::new(1 << 20);
        for i in 0..1000 {
            cache.get_or_load(key(i), || Ok(vec![0u8; 10_000])).unwrap();
            assert!(cache.stats().bytes <= 1 << 20);
        }
        assert!(cache.stats().bytes > 1 << 19, "a full cache must use its limit");
        cache.set_limit_bytes(1 << 16);
        assert!(cache.stats().bytes <= 1 << 16);
    }

    #[test]
    fn values_larger_than_a_shard_are_handed_out_and_not_kept() {
        let cache = BlockCache::new(1 << 16);
        let (value, _) = cache.get_or_load(key(0), || Ok(vec![7u8; 1 << 16])).unwrap();
        assert_eq!(value.len(), 1 << 16);
        assert_eq!(cache.stats().bytes, 0);
    }

    #[test]
    fn a_value_in_use_outlives_its_eviction() {
        let cache = BlockCache::new(1 << 20);
        let (value, _) = cache.get_or_load(key(0), || Ok(vec![7u8; 100])).unwrap();
        cache.clear();
        assert_eq!(*value, vec![7u8; 100]);
    }
}
