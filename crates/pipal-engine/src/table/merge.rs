//! Merging neighbouring parts of a table.

use super::Table;
use super::policy::{Candidate, MergeLimits, choose};
use crate::options::MERGE_FAILURES_MAX;
use crate::part::merge_bytes;
use crate::rows::RowSource;
use crate::scan::CancelToken;
use crate::table::live_part::LivePart;
use crate::table::persist::Inputs;
use pipal_codec::Effort;
use pipal_model::{Error, ErrorKind, Reservation, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// First pause after a failed merge; it doubles with each further failure of the same part (L-09).
const RETRY_NANOS_MIN: i64 = 1_000_000_000;
/// What a merge holds whatever its inputs are: batches of rows, a row group, the buffer of the file.
const MERGE_BATCHES_BYTES: usize = 8 << 20;
/// Longest pause.
const RETRY_NANOS_MAX: i64 = 60_000_000_000;

/// A merge that is due: its inputs, in the order of the log.
pub(crate) struct DueMerge {
    inputs: Vec<Arc<LivePart>>,
}

impl DueMerge {
    /// Bytes that the merge reads; small merges go first.
    pub fn bytes(&self) -> u64 {
        self.inputs.iter().map(|p| p.part().file_bytes()).sum()
    }

    /// About the memory that the merge will hold, see [`merge_bytes`].
    pub fn writer_bytes(&self) -> usize {
        MERGE_BATCHES_BYTES.saturating_add(merge_bytes(self.inputs.iter().map(|p| p.part())))
    }
}

impl Table {
    /// The merge to do next, if one is due.
    pub fn due_merge(&self) -> Option<DueMerge> {
        let now = self.context.clock.now();
        if self.is_abandoned()
            || self.merging.load(Ordering::SeqCst)
            || now < self.merge_retry_at.load(Ordering::SeqCst)
        {
            return None;
        }
        let state = self.state.load();
        if state.parts.len() < 2 {
            return None;
        }
        let failures = self.merge_failures.lock();
        let failed = |p: &Arc<LivePart>| {
            failures.get(&p.part().identity().id).is_some_and(|n| *n >= MERGE_FAILURES_MAX)
        };
        let candidates: Vec<Candidate> = state
            .parts
            .iter()
            .map(|p| Candidate { bytes: p.part().file_bytes(), mergeable: !failed(p) })
            .collect();
        let options = &self.context.options;
        let newest = self.newest_part_at.load(Ordering::SeqCst);
        let cool_nanos =
            i64::try_from(options.merge_cool_age_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let limits = MergeLimits {
            inputs_min: options.merge_inputs_min,
            inputs_max: options.merge_inputs_max,
            output_bytes_max: options.part_bytes_max,
            // A table that got no part since it was opened has cooled too.
            cooled: newest == i64::MAX || now.saturating_sub(newest) >= cool_nanos,
        };
        let range = choose(&candidates, limits)?;
        Some(DueMerge { inputs: state.parts[range].to_vec() })
    }

    /// Does a merge, for which `memory` was reserved. False when another one is running or the table is going away.
    pub fn merge(&self, due: DueMerge, memory: Reservation, cancel: &CancelToken) -> Result<bool> {
        if self.is_abandoned() || self.merging.swap(true, Ordering::SeqCst) {
            return Ok(false);
        }
        let result = self.merge_inputs(&due.inputs, memory, cancel);
        if let Err(error) = &result {
            self.note_failure(&due.inputs, error);
        }
        self.merging.store(false, Ordering::SeqCst);
        self.clean_up_if_abandoned();
        result.map(|()| true)
    }

    fn merge_inputs(
        &self,
        inputs: &[Arc<LivePart>],
        memory: Reservation,
        cancel: &CancelToken,
    ) -> Result<()> {
        let started = std::time::Instant::now();
        let (Some(first), Some(last)) = (inputs.first(), inputs.last()) else { return Ok(()) };
        let ids: Vec<u128> = inputs.iter().map(|p| p.part().identity().id).collect();
        let log_range = (first.part().identity().log_first, last.part().identity().log_last);
        let sources = inputs.iter().map(|p| p.clone() as Arc<dyn RowSource>).collect();
        let merged = Inputs { sources, log_range, parents: ids.clone() };
        let new = self.write_part(merged, Effort::Thorough, memory, cancel)?;
        let (rows, bytes) = new.as_ref().map_or((0, 0), |n| (n.rows, n.bytes));
        self.commit(new, &ids, None, 0)?;
        let counters = &self.context.counters;
        counters.merges.add(1);
        counters.merge_inputs.add(inputs.len() as u64);
        counters.merge_rows.add(rows);
        counters.merge_bytes.add(bytes);
        counters.merge_micros.add(started.elapsed().as_micros() as u64);
        Ok(())
    }

    /// Blames the part that the error names; without a name nobody is blamed and only time passes.
    fn note_failure(&self, inputs: &[Arc<LivePart>], error: &Error) {
        if matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::FailedPrecondition) {
            return;
        }
        self.context.counters.merge_errors.add(1);
        let path_of = |p: &&Arc<LivePart>| error.subject().contains(&*p.path().to_string_lossy());
        let mut failures = self.merge_failures.lock();
        let blamed = inputs.iter().find(path_of);
        let count = blamed.map_or(1, |part| {
            let count = failures.entry(part.part().identity().id).or_insert(0);
            *count += 1;
            *count
        });
        let pause = RETRY_NANOS_MIN.saturating_mul(1 << count.min(6)).min(RETRY_NANOS_MAX);
        self.merge_retry_at.store(self.context.clock.now().saturating_add(pause), Ordering::SeqCst);
        tracing::warn!(table = %self.key, %error, count, "a merge failed");
    }
}
