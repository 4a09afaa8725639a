//! A table: the rows of one shard of one segment, from memory to parts.

mod backup;
pub(crate) mod live_part;
pub(crate) mod manifest;
mod merge;
pub(crate) mod names;
mod open;
mod persist;
mod policy;
mod state;
mod write;

pub(crate) use state::TableState;
pub(crate) use write::Prepared;

use crate::cache::BlockCache;
use crate::clock::Clock;
use crate::counters::Counters;
use crate::fs::FileSystem;
use crate::memory::attributes::AttributeIndex;
use crate::options::EngineOptions;
use crate::reaper::{Quarantine, Reaper};
use crate::scan::TableSnapshot;
use crate::table_key::TableKey;
use arc_swap::ArcSwap;
use hashbrown::HashMap;
use manifest::ManifestCollector;
use parking_lot::Mutex;
use pipal_model::{MemoryPool, Reservation};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// What all tables of an engine share.
pub(crate) struct TableContext {
    pub fs: Arc<dyn FileSystem>,
    pub clock: Arc<dyn Clock>,
    pub cache: Arc<BlockCache>,
    pub reaper: Arc<Reaper>,
    pub quarantine: Arc<Quarantine>,
    pub counters: Arc<Counters>,
    pub options: EngineOptions,
    pub memory: TableMemory,
}

/// The shares of memory that tables use.
pub(crate) struct TableMemory {
    /// Rows in memory.
    pub rows: Arc<MemoryPool>,
    /// Parts that are being written.
    pub part_writers: Arc<MemoryPool>,
}

/// See the module.
pub(crate) struct Table {
    pub key: TableKey,
    dir: PathBuf,
    context: Arc<TableContext>,
    state: ArcSwap<TableState>,
    /// Held while the state is replaced, never during I/O.
    change: Mutex<()>,
    /// The rows in memory of the present state; nothing once the table is going away.
    rows_memory: Mutex<Reservation>,
    /// Last epoch that was given out; also numbers parts, so that no number is ever used again (D-10, D-11).
    last_epoch: AtomicU64,
    attributes: Mutex<Option<AttributeIndex>>,
    /// Held while a manifest is written: manifests of a table are written one after the other.
    manifests: Mutex<Manifests>,
    flushing: Mutex<()>,
    merging: AtomicBool,
    /// Merges that failed because of a part, by part id (L-09).
    merge_failures: Mutex<HashMap<u128, u32>>,
    merge_retry_at: AtomicI64,
    /// Clock times of the oldest unflushed row and of the newest part; `i64::MAX` when there is none.
    oldest_memory_at: AtomicI64,
    newest_part_at: AtomicI64,
    /// Set when the table's segment or group is going away: no more flushes and merges.
    closed: AtomicBool,
}

/// What is known of the manifests on disk.
#[derive(Default)]
struct Manifests {
    collector: ManifestCollector,
    /// Parts that a failed commit left on disk; removable once a newer manifest is durable.
    orphans: Vec<PathBuf>,
    dir_exists: bool,
}

impl Table {
    fn with_state(key: TableKey, dir: PathBuf, context: Arc<TableContext>, state: TableState) -> Self {
        let epoch = state.epoch;
        let rows_memory = Mutex::new(Reservation::new(&context.memory.rows, usize::MAX));
        Table {
            key,
            dir,
            context,
            state: ArcSwap::from_pointee(state),
            change: Mutex::new(()),
            rows_memory,
            last_epoch: AtomicU64::new(epoch),
            attributes: Mutex::new(None),
            manifests: Mutex::new(Manifests::default()),
            flushing: Mutex::new(()),
            merging: AtomicBool::new(false),
            merge_failures: Mutex::new(HashMap::new()),
            merge_retry_at: AtomicI64::new(i64::MIN),
            oldest_memory_at: AtomicI64::new(i64::MAX),
            newest_part_at: AtomicI64::new(i64::MAX),
            closed: AtomicBool::new(false),
        }
    }

    /// A table without rows. Its directory is made by the first flush.
    pub fn new(key: TableKey, dir: PathBuf, context: Arc<TableContext>) -> Self {
        Table::with_state(key, dir, context, TableState::new(0, 0, Vec::new()))
    }

    /// The present state.
    pub fn state(&self) -> Arc<TableState> {
        self.state.load_full()
    }

    /// What a query sees.
    pub fn snapshot(&self) -> TableSnapshot {
        self.state.load().snapshot(self.key.shard)
    }

    /// All rows of the table up to this log position are in parts.
    pub fn covered_seq(&self) -> u64 {
        self.state.load().covered_seq
    }

    /// Clock time since which rows wait in memory; none when nothing waits.
    pub fn oldest_memory_at(&self) -> Option<i64> {
        let at = self.oldest_memory_at.load(Ordering::SeqCst);
        (at != i64::MAX).then_some(at)
    }

    /// Bytes of the record of which series have which attributes.
    pub fn attribute_bytes(&self) -> usize {
        self.attributes.lock().as_ref().map_or(0, AttributeIndex::heap_bytes)
    }

    /// Stops flushes and merges for good; readers keep what they have.
    pub fn abandon(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.charge_rows(0);
    }

    /// Charges the rows in memory. They are acknowledged, so they cannot be refused; a flush gives them back.
    fn charge_rows(&self, bytes: usize) {
        let mut memory = self.rows_memory.lock();
        // Looked at under the lock, so that nothing is charged after the table was abandoned.
        memory.set(if self.is_abandoned() { 0 } else { bytes });
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn next_epoch(&self) -> u64 {
        self.last_epoch.fetch_add(1, Ordering::SeqCst) + 1
    }
}
