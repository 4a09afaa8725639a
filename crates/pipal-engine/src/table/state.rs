//! The state of a table that readers see: immutable, replaced as a whole, read without a lock (SE-060 to SE-069).

use super::live_part::LivePart;
use crate::memory::MemRun;
use crate::rows::RowSource;
use crate::scan::TableSnapshot;
use std::sync::Arc;

/// Runs that take no more rows and wait to be flushed.
#[derive(Clone)]
pub(crate) struct Frozen {
    /// In the order of the log.
    pub runs: Arc<[Arc<MemRun>]>,
    /// All rows of the table up to this log position are in these runs, older frozen ones, or parts.
    pub last_seq: u64,
}

/// What a table consists of, in the order of the log: parts, frozen runs, active runs.
#[derive(Clone)]
pub(crate) struct TableState {
    /// Grows by one with every change.
    pub epoch: u64,
    /// All rows up to this log position are in the parts.
    pub covered_seq: u64,
    pub parts: Arc<[Arc<LivePart>]>,
    pub frozen: Arc<[Frozen]>,
    pub active: Arc<[Arc<MemRun>]>,
}

impl TableState {
    pub fn new(epoch: u64, covered_seq: u64, parts: Vec<Arc<LivePart>>) -> Self {
        TableState { epoch, covered_seq, parts: parts.into(), frozen: Arc::new([]), active: Arc::new([]) }
    }

    /// All runs, oldest first.
    pub fn runs(&self) -> impl Iterator<Item = &Arc<MemRun>> {
        self.frozen.iter().flat_map(|f| f.runs.iter()).chain(self.active.iter())
    }

    /// Bytes of rows in memory.
    pub fn memory_bytes(&self) -> usize {
        self.runs().map(|r| r.heap_bytes()).sum()
    }

    /// Bytes of rows that still take more.
    pub fn active_bytes(&self) -> usize {
        self.active.iter().map(|r| r.heap_bytes()).sum()
    }

    /// The first log position that is in memory only.
    pub fn first_unflushed_seq(&self) -> Option<u64> {
        self.runs().map(|r| r.first_seq).min()
    }

    /// False when there is nothing to keep.
    pub fn has_rows(&self) -> bool {
        !self.parts.is_empty() || self.runs().next().is_some()
    }

    /// The last log position of the rows in parts and memory.
    pub fn last_seq(&self) -> u64 {
        self.runs().map(|r| r.last_seq).max().map_or(self.covered_seq, |last| last.max(self.covered_seq))
    }

    /// What a query sees. Sources are not left out by time here: attributes count whatever their time, and each
    /// source prunes its own rows.
    pub fn snapshot(&self, shard: u32) -> TableSnapshot {
        let parts = self.parts.iter().map(|p| p.clone() as Arc<dyn RowSource>);
        let runs = self.runs().map(|r| r.clone() as Arc<dyn RowSource>);
        TableSnapshot::new(shard, self.parts.len(), parts.chain(runs).collect())
    }
}
