//! Logged requests become visible, one after the other, in the order of the log.

use super::{Logged, Work};
use crate::batch::TableRows;
use crate::groups::Groups;
use crate::table::{Prepared, Table};
use crate::table_key::GroupId;
use parking_lot::Mutex;
use pipal_model::Result;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Lets readers see requests as a whole although they span tables: the number is odd while pointers are being
/// swapped, and readers that met another number before and after loading their pointers load them again.
#[derive(Debug, Default)]
pub(crate) struct PublishGate(AtomicU64);

impl PublishGate {
    fn begin(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn end(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Runs `load` until no request became visible meanwhile. Swaps take microseconds, so this hardly repeats.
    pub fn read<T>(&self, mut load: impl FnMut() -> T) -> T {
        loop {
            let before = self.0.load(Ordering::SeqCst);
            if before.is_multiple_of(2) {
                let loaded = load();
                fence(Ordering::SeqCst);
                if self.0.load(Ordering::SeqCst) == before {
                    return loaded;
                }
            }
            std::hint::spin_loop();
        }
    }
}

/// Applies logged requests. Used by one thread at a time.
pub(crate) struct Applier {
    groups: Arc<Groups>,
    gate: Arc<PublishGate>,
    /// All requests up to this log position have been applied.
    applied_seq: AtomicU64,
    /// Deletions of groups whose directory could not be renamed yet; they pin the log.
    pending_drops: Mutex<BTreeMap<u64, GroupId>>,
}

impl Applier {
    pub fn new(groups: Arc<Groups>, gate: Arc<PublishGate>, applied_seq: u64) -> Self {
        Applier { groups, gate, applied_seq: AtomicU64::new(applied_seq), pending_drops: Mutex::default() }
    }

    /// All requests up to this log position are visible.
    pub fn applied_seq(&self) -> u64 {
        self.applied_seq.load(Ordering::SeqCst)
    }

    /// The first log position that a deletion still needs.
    pub fn first_pending_drop(&self) -> Option<u64> {
        self.pending_drops.lock().keys().next().copied()
    }

    /// Applies a request and answers its writer.
    pub fn apply(&self, logged: Logged) {
        let Logged { seqs, request } = logged;
        let result = match request.work {
            Work::Rows(tables) => self.apply_rows(tables, seqs),
            Work::DropGroup(group) => self.apply_drop(group, seqs.1),
            Work::Barrier => Ok(()),
        };
        self.applied_seq.fetch_max(seqs.1, Ordering::SeqCst);
        if let Err(error) = &result {
            tracing::error!(%error, seq = seqs.1, "a logged request could not be applied");
        }
        (request.done)(result);
    }

    /// Makes the rows of a request visible together.
    pub fn apply_rows(&self, rows: Vec<TableRows>, seqs: (u64, u64)) -> Result<()> {
        let mut targets: Vec<(Arc<Table>, TableRows)> = Vec::with_capacity(rows.len());
        for table_rows in rows {
            // A group that is gone by now takes its rows with it: the deletion comes later in the log or is
            // on its way there.
            if let Some(table) = self.groups.table(&table_rows.key) {
                targets.push((table, table_rows));
            }
        }
        // Always the same order, so that preparing never waits for a lock in a circle.
        targets.sort_by_key(|(table, _)| table.key);
        let mut prepared: Vec<Prepared<'_>> = Vec::with_capacity(targets.len());
        for (table, table_rows) in &mut targets {
            let empty = TableRows::new(table.key);
            prepared.push(table.prepare(std::mem::replace(table_rows, empty), seqs)?);
        }
        self.gate.begin();
        prepared.into_iter().for_each(Prepared::publish);
        self.gate.end();
        self.groups.counters().requests_written.add(1);
        Ok(())
    }

    fn apply_drop(&self, group: GroupId, seq: u64) -> Result<()> {
        let result = self.groups.drop_group(group);
        if result.is_err() {
            self.pending_drops.lock().insert(seq, group);
        }
        result
    }

    /// Tries again what failed.
    pub fn retry_drops(&self) {
        let pending: Vec<(u64, GroupId)> = self.pending_drops.lock().iter().map(|(s, g)| (*s, *g)).collect();
        for (seq, group) in pending {
            match self.groups.drop_group(group) {
                Ok(()) => {
                    self.pending_drops.lock().remove(&seq);
                }
                Err(error) => tracing::warn!(%error, group, "the files of a deleted group stay for now"),
            }
        }
    }
}
