//! One cache for everything that is read from parts: verified bytes and small decoded directories.
//!
//! An entry gets in only after its checksum matched, so a hit needs no check. Hits take a shared lock on one of
//! a few shards; a scan of much data does not drive out what is used often (the cache is a Clock-PRO variant).
//! Concurrent loads of one entry wait for the first of them. An entry larger than a shard's part of the limit
//! is handed out and not kept.
//!
//! What the cache holds is charged to its share of the memory of the process. When the process is short of memory the
//! cache gives back what exceeds its share's allowance, down to an eighth of its limit, below which queries would only
//! read the same directories over and over.

use parking_lot::Mutex;
use pipal_model::{Error, MemoryLedger, MemoryPool, Reservation, Result, Share};
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

/// The limit changes by this part of it, so that it does not follow every byte that others take.
const LIMIT_STEPS: usize = 16;
/// The least limit, in the same parts.
const LIMIT_STEPS_MIN: usize = 2;

/// What the cache holds, as far as the ledger knows.
struct Charge {
    memory: Reservation,
    limit_bytes: u64,
}

/// A sharded cache with a limit in bytes that follows the memory of the process.
pub struct BlockCache {
    entries: quick_cache::sync::Cache<BlockKey, Entry, EntryWeight>,
    pool: Arc<MemoryPool>,
    charge: Mutex<Charge>,
    owners: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl BlockCache {
    /// An empty cache that holds at most `limit_bytes` and is charged to nobody.
    pub fn new(limit_bytes: u64) -> Self {
        let limit = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
        BlockCache::charged(MemoryLedger::unlimited().share(Share::Cache, limit))
    }

    /// An empty cache that holds at most what `pool` allows it.
    pub fn charged(pool: Arc<MemoryPool>) -> Self {
        let limit_bytes = pool.limit() as u64;
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
        let charge = Mutex::new(Charge { memory: Reservation::new(&pool, usize::MAX), limit_bytes });
        let [owners, hits, misses] = [0, 0, 0].map(AtomicU64::new);
        BlockCache { entries, pool, charge, owners, hits, misses }
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
        if !hit {
            self.settle();
        }
        match entry?.value.downcast::<T>() {
            Ok(value) => Ok((value, hit)),
            Err(_) => Err(Error::internal("read cache", format!("{key:?} holds a value of another type"))),
        }
    }

    /// Gives back what the process is short of, and charges what is held. Called after every change of what is held,
    /// and now and then, since others may have become short.
    pub fn settle(&self) {
        // Whoever has the lock, or comes next, charges what is there then.
        let Some(mut charge) = self.charge.try_lock() else { return };
        let (limit, step) = (self.pool.limit(), self.pool.limit() / LIMIT_STEPS);
        let allowed = match self.pool.allowance() {
            allowance if allowance >= limit => limit,
            allowance => (allowance - allowance % step.max(1)).max(step * LIMIT_STEPS_MIN),
        };
        if allowed as u64 != charge.limit_bytes {
            charge.limit_bytes = allowed as u64;
            self.entries.set_capacity(charge.limit_bytes);
        }
        let held = usize::try_from(self.entries.weight()).unwrap_or(usize::MAX);
        charge.memory.set(held);
    }

    /// Drops everything; open files load again what they need.
    pub fn clear(&self) {
        self.entries.clear();
        self.settle();
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
    fn the_limit_holds_and_yields_to_those_who_cannot_be_refused() {
        let ledger = MemoryLedger::new(2 << 20);
        let cache = BlockCache::charged(ledger.share(Share::Cache, 1 << 20));
        for i in 0..1000 {
            cache.get_or_load(key(i), || Ok(vec![0u8; 10_000])).unwrap();
            assert!(cache.stats().bytes <= 1 << 20);
        }
        assert!(cache.stats().bytes > 1 << 19, "a full cache must use its limit");
        assert_eq!(ledger.used() as u64, cache.stats().bytes, "what is held is charged");
        let mut rows = Reservation::charged(&ledger.share(Share::Rows, 2 << 20), (2 << 20) - (1 << 18));
        cache.settle();
        assert!(cache.stats().bytes <= 1 << 18 && !ledger.is_overdrawn());
        rows.set(3 << 20);
        cache.settle();
        let least = cache.stats();
        assert!(least.bytes > 0 && least.limit_bytes == 1 << 17, "something stays: {least:?}");
        rows.set(0);
        cache.settle();
        assert_eq!(cache.stats().limit_bytes, 1 << 20);
        assert_eq!(ledger.used() as u64, cache.stats().bytes);
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
