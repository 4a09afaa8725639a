//! Work that nobody asked for: flushes, merges, retention, letting go of the log. Each is also a barrier that a
//! caller can wait for.

use super::Engine;
use crate::options::{AckLevel, MERGE_PUT_OFFS_MAX};
use crate::store::Segment;
use crate::table::Table;
use pipal_model::{Reservation, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Flushes begin when memory is this full, in percent of its maximum.
const MEMORY_HIGH_PERCENT: u64 = 60;
/// The same while the process uses more memory than it may.
const MEMORY_OVERDRAWN_PERCENT: u64 = 30;

impl Engine {
    /// Flushes everything that is visible now, and lets go of the log behind it.
    pub fn flush(&self) -> Result<()> {
        let mut first_error = None;
        for (segment, table) in self.0.groups.tables() {
            if let Err(error) = self.flush_table(&segment, &table) {
                first_error.get_or_insert(error);
            }
        }
        if let Err(error) = self.release_log() {
            first_error.get_or_insert(error);
        }
        first_error.map_or(Ok(()), Err)
    }

    fn flush_table(&self, segment: &Arc<Segment>, table: &Arc<Table>) -> Result<bool> {
        if table.state().runs().next().is_none() {
            return Ok(false);
        }
        segment.flush_table(table).inspect_err(|error| {
            self.0.context.counters.flush_errors.add(1);
            tracing::error!(table = %table.key, %error, "a flush failed; the rows stay in memory and in the log");
        })
    }

    /// True when a flush should not wait for its age.
    pub(super) fn is_flush_urgent(&self) -> bool {
        self.is_memory_high() || self.0.committer.log_bytes() >= self.0.context.options.log_bytes_max
    }

    fn is_memory_high(&self) -> bool {
        let is_overdrawn = self.0.context.options.memory.is_overdrawn();
        let percent = if is_overdrawn { MEMORY_OVERDRAWN_PERCENT } else { MEMORY_HIGH_PERCENT };
        let rows = &self.0.context.memory.rows;
        rows.used() as u64 * 100 >= rows.limit() as u64 * percent
    }

    /// Flushes the tables whose rows are old enough, frozen, too many, or pin the log. Returns their number.
    pub fn flush_due(&self) -> usize {
        let mut count = 0;
        for (segment, table) in self.due_tables() {
            count += usize::from(self.flush_table(&segment, &table).unwrap_or(false));
        }
        self.0.applier.retry_drops();
        if let Err(error) = self.release_log() {
            tracing::error!(%error, "log files that are not needed any more could not be removed");
        }
        count
    }

    fn due_tables(&self) -> Vec<(Arc<Segment>, Arc<Table>)> {
        let options = &self.0.context.options;
        let age = i64::try_from(options.flush_age_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let now = self.0.context.clock.now();
        let mut tables = self.0.groups.tables();
        let mut due = Vec::new();
        tables.retain(|(segment, table)| {
            let is_old = table.oldest_memory_at().is_some_and(|at| now.saturating_sub(at) >= age);
            let is_due = is_old || !table.state().frozen.is_empty();
            if is_due {
                due.push((segment.clone(), table.clone()));
            }
            !is_due
        });
        if self.0.committer.log_bytes() >= options.log_bytes_max {
            // Whatever is in memory pins the log; the oldest half goes first, the rest at the next look.
            let pinned = |table: &Arc<Table>| table.state().first_unflushed_seq().unwrap_or(u64::MAX);
            tables.sort_by_key(|(_, table)| pinned(table));
            let half = tables.len().div_ceil(2);
            due.extend(tables.drain(..half));
        }
        if self.is_memory_high() {
            tables.sort_by_key(|(_, table)| std::cmp::Reverse(table.state().memory_bytes()));
            due.extend(tables.drain(..tables.len().min(1)));
        }
        due
    }

    /// Lets go of log files that all tables have covered.
    pub(super) fn release_log(&self) -> Result<()> {
        // Read before the tables: what is applied later can only lie behind.
        let mut covered = self.0.applier.applied_seq();
        for (_, table) in self.0.groups.tables() {
            if let Some(first) = table.state().first_unflushed_seq() {
                covered = covered.min(first.saturating_sub(1));
            }
        }
        if let Some(first) = self.0.applier.first_pending_drop() {
            covered = covered.min(first.saturating_sub(1));
        }
        self.0.committer.release(covered)
    }

    /// Does the smallest merge that is due. False when none is, or when it was put off for want of memory.
    pub fn merge_once(&self) -> Result<bool> {
        let due = self.0.groups.tables().into_iter().filter_map(|(_, t)| t.due_merge().map(|due| (t, due)));
        let Some((table, due)) = due.min_by_key(|(_, due)| due.bytes()) else { return Ok(false) };
        let Some(memory) = self.merge_memory(due.writer_bytes()) else {
            self.0.context.counters.merges_put_off.add(1);
            return Ok(false);
        };
        table.merge(due, memory, &self.0.stop_merges)
    }

    /// Memory for a merge that is expected to hold `bytes`; none when the merge has to wait.
    fn merge_memory(&self, bytes: usize) -> Option<Reservation> {
        let (pool, put_offs) = (&self.0.context.memory.part_writers, &self.0.merge_put_offs);
        // What needs more than there can ever be takes all of it.
        let bytes = bytes.min(pool.limit());
        let mut memory = Reservation::new(pool, usize::MAX);
        if let Err(refusal) = memory.cover(bytes) {
            if put_offs.fetch_add(1, Ordering::Relaxed) < MERGE_PUT_OFFS_MAX {
                tracing::debug!(%refusal, bytes, "a merge is put off");
                return None;
            }
            memory.charge(bytes);
        }
        put_offs.store(0, Ordering::Relaxed);
        Some(memory)
    }

    /// Merges until nothing is due or the next merge is put off.
    pub fn wait_merges(&self) -> Result<()> {
        while self.merge_once()? {}
        Ok(())
    }

    /// Removes expired segments; returns their number.
    pub fn run_retention(&self) -> Result<u64> {
        self.0.groups.expire()
    }

    /// Removes files that are provably not needed any more.
    pub fn reap(&self) -> Result<()> {
        self.0.context.reaper.run()
    }

    /// Compares the use of the disk with the watermarks; between them nothing changes.
    pub fn check_disk(&self) {
        let options = &self.0.context.options;
        let Ok(space) = self.0.context.fs.space(self.0.groups.root()) else { return };
        if space.total == 0 {
            return;
        }
        let used = u64::from(options.disk_high_watermark_percent.min(100));
        let used_percent = (space.total - space.free.min(space.total)) * 100 / space.total;
        let was_full = self.0.is_disk_full.load(Ordering::Relaxed);
        let limit = if was_full { u64::from(options.disk_low_watermark_percent).min(used) } else { used };
        let is_full = used_percent >= limit;
        if is_full != was_full {
            tracing::warn!(used_percent, limit, is_full, "the disk crossed a watermark");
        }
        self.0.is_disk_full.store(is_full, Ordering::Relaxed);
    }

    /// Where writers do not wait for a sync, it follows right after.
    pub(super) fn sync_behind_acknowledgement(&self) {
        if self.0.context.options.ack == AckLevel::Synced {
            return;
        }
        if let Err(error) = self.0.committer.sync() {
            tracing::error!(%error, "the log could not be synced");
        }
    }
}
