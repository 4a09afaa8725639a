//! Rows of requests become runs in memory.

use super::{Table, TableState};
use crate::batch::TableRows;
use crate::memory::attributes::AttributeIndex;
use crate::memory::{MemRun, merge_runs};
use crate::rows::RowSource;
use crate::table::state::Frozen;
use parking_lot::MutexGuard;
use pipal_model::Result;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A new state of a table that is ready to become visible. Until then the table cannot change otherwise.
pub(crate) struct Prepared<'a> {
    table: &'a Table,
    state: Arc<TableState>,
    memory_bytes: usize,
    rows: u64,
    _change: MutexGuard<'a, ()>,
}

impl Prepared<'_> {
    /// Makes the rows visible; only swaps a pointer.
    pub fn publish(self) {
        let context = &self.table.context;
        self.table.state.store(self.state);
        self.table.charge_rows(self.memory_bytes);
        context.counters.rows_written.add(self.rows);
        self.table.oldest_memory_at.fetch_min(context.clock.now(), Ordering::SeqCst);
    }
}

impl Table {
    /// Builds the state with the rows of one request, whose first and last log position are given. Called in the order of the log, by one thread.
    pub fn prepare(&self, rows: TableRows, seqs: (u64, u64)) -> Result<Prepared<'_>> {
        let count = rows.offsets.len() as u64;
        let run = {
            let mut attributes = self.attributes.lock();
            let index = match &mut *attributes {
                Some(index) => index,
                empty => empty.insert(self.rebuild_attributes()?),
            };
            MemRun::of_request(rows, seqs, index)?
        };
        let change = self.change.lock();
        let old = self.state.load();
        let mut active = old.active.to_vec();
        active.push(Arc::new(run));
        merge_small_runs(&mut active)?;
        let mut state =
            TableState { epoch: self.next_epoch(), active: active.into(), ..TableState::clone(&old) };
        if state.active_bytes() >= self.context.options.table_memory_bytes_max {
            freeze(&mut state);
        }
        let memory_bytes = state.memory_bytes();
        Ok(Prepared { table: self, state: Arc::new(state), memory_bytes, rows: count, _change: change })
    }

    fn rebuild_attributes(&self) -> Result<AttributeIndex> {
        let state = self.state.load();
        let parts = state.parts.iter().map(|p| p.clone() as Arc<dyn RowSource>);
        let runs = state.runs().map(|r| r.clone() as Arc<dyn RowSource>);
        AttributeIndex::rebuild(&parts.chain(runs).collect::<Vec<_>>())
    }

    /// Freezes the rows in memory, so that a flush takes all that is visible now.
    pub(super) fn freeze_active(&self) {
        let _change = self.change.lock();
        let old = self.state.load();
        if old.active.is_empty() {
            return;
        }
        let mut state = TableState { epoch: self.next_epoch(), ..TableState::clone(&old) };
        freeze(&mut state);
        self.state.store(Arc::new(state));
    }
}

fn freeze(state: &mut TableState) {
    let last_seq = state.active.iter().map(|r| r.last_seq).max().unwrap_or(state.covered_seq);
    let mut frozen = state.frozen.to_vec();
    frozen.push(Frozen { runs: std::mem::replace(&mut state.active, Arc::new([])), last_seq });
    state.frozen = frozen.into();
}

/// Keeps sizes falling by at least half from run to run, so that a table has few runs and a row is copied a
/// logarithmic number of times.
fn merge_small_runs(runs: &mut Vec<Arc<MemRun>>) -> Result<()> {
    let mut start = runs.len().saturating_sub(1);
    let mut tail = runs.last().map_or(0, |r| r.row_count());
    while start > 0 && runs[start - 1].row_count() <= 2 * tail {
        start -= 1;
        tail += runs[start].row_count();
    }
    if runs.len() - start > 1 {
        let merged = merge_runs(&runs[start..])?;
        runs.truncate(start);
        runs.push(Arc::new(merged));
    }
    Ok(())
}
