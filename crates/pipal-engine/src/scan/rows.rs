//! The scan: rows of chosen series, batch by batch.

use super::gather::{Piece, Take, gather};
use super::{CancelToken, MergedSeries};
use crate::rows::{CHUNK_ROWS_MAX, ReadRequest, ReadStats, ResourceKey, RowBatch, RowSource};
use pipal_model::{ColumnKey, Error, Result, RowPolicy, TimeRange};
use std::sync::Arc;

/// Series are read together until this many stored rows may come of them.
const ROWS_PER_ROUND: u64 = CHUNK_ROWS_MAX as u64;
/// Most series that are read together.
const SERIES_PER_ROUND: usize = 1024;

/// What to scan.
#[derive(Clone, Copy, Debug)]
pub struct ScanRequest<'a> {
    /// The resource.
    pub key: &'a ResourceKey,
    /// Rows outside are left out. A row that is replaced by one outside is not brought back.
    pub time: TimeRange,
    /// Columns wanted, in the order of the batches.
    pub columns: &'a [ColumnKey],
    /// Bit-equal rows of the `Collapse` policy become one; only right when `columns` are all columns.
    pub collapse: bool,
}

/// Rows of one batch.
#[derive(Clone, Debug, Default)]
pub struct ScanBatch {
    /// Per row the index of its series.
    pub series: Vec<u32>,
    /// The rows.
    pub rows: RowBatch,
}

impl ScanBatch {
    /// A batch without rows for these columns.
    pub fn new(columns: &[ColumnKey]) -> Self {
        ScanBatch { series: Vec::new(), rows: RowBatch::new(columns) }
    }
}

/// Gives rows in the order of (series, time), with the identity rules applied over all sources. Tombstones are
/// given too.
pub struct Scan<'a> {
    sources: &'a [Arc<dyn RowSource>],
    policy: Option<RowPolicy>,
    request: ScanRequest<'a>,
    series: &'a MergedSeries,
    chosen: &'a [u32],
    cancel: &'a CancelToken,
    next: usize,
    buffers: Vec<RowBatch>,
    takes: Vec<Take>,
    /// Series and number of rows, in the order of the takes.
    take_series: Vec<(u32, u32)>,
    next_take: usize,
    next_series: usize,
    stats: ReadStats,
}

impl<'a> Scan<'a> {
    pub(super) fn new(
        sources: &'a [Arc<dyn RowSource>],
        policy: Option<RowPolicy>,
        request: ScanRequest<'a>,
        series: &'a MergedSeries,
        chosen: &'a [u32],
        cancel: &'a CancelToken,
    ) -> Self {
        Scan {
            sources,
            policy,
            request,
            series,
            chosen,
            cancel,
            next: 0,
            buffers: sources.iter().map(|_| RowBatch::new(request.columns)).collect(),
            takes: Vec::new(),
            take_series: Vec::new(),
            next_take: 0,
            next_series: 0,
            stats: ReadStats::default(),
        }
    }

    /// What was read so far.
    pub fn stats(&self) -> ReadStats {
        self.stats
    }

    /// Replaces the rows of `out`, which has the request's columns, by the next ones: at most
    /// [`CHUNK_ROWS_MAX`]. False at the end.
    pub fn next_batch(&mut self, out: &mut ScanBatch) -> Result<bool> {
        out.series.clear();
        out.rows.clear();
        while self.next_take >= self.takes.len() {
            if self.next >= self.chosen.len() {
                return Ok(false);
            }
            self.cancel.check()?;
            self.read_round()?;
        }
        let first = self.next_take;
        let mut rows = 0;
        while let Some(take) = self.takes.get_mut(self.next_take) {
            let room = CHUNK_ROWS_MAX - rows;
            if room == 0 {
                break;
            }
            if take.length as usize > room {
                self.split_take(room as u32);
            }
            rows += self.takes[self.next_take].length as usize;
            self.next_take += 1;
        }
        self.emit(first, out);
        Ok(true)
    }

    fn split_take(&mut self, room: u32) {
        let take = &mut self.takes[self.next_take];
        let rest = Take { start: take.start + room, length: take.length - room, ..*take };
        take.length = room;
        self.takes.insert(self.next_take + 1, rest);
    }

    /// Copies takes column by column, which keeps one destination hot.
    fn emit(&mut self, first: usize, out: &mut ScanBatch) {
        let takes = &self.takes[first..self.next_take];
        for take in takes {
            let rows = take.start as usize..(take.start + take.length) as usize;
            out.rows.extend_head(&self.buffers[take.source as usize], rows);
        }
        for (i, column) in out.rows.columns.iter_mut().enumerate() {
            for take in takes {
                let rows = take.start as usize..(take.start + take.length) as usize;
                column.extend_from(&self.buffers[take.source as usize].columns[i], rows);
            }
        }
        let mut missing = out.rows.len();
        while missing > 0 {
            let Some((series, count)) = self.take_series.get_mut(self.next_series) else { break };
            let given = (*count as usize).min(missing);
            out.series.resize(out.series.len() + given, *series);
            *count -= given as u32;
            missing -= given;
            if *count == 0 {
                self.next_series += 1;
            }
        }
    }

    fn read_round(&mut self) -> Result<()> {
        let start = self.next;
        let mut rows = 0;
        while self.next < self.chosen.len() && self.next - start < SERIES_PER_ROUND {
            rows += self.series.stored_rows(self.chosen[self.next] as usize);
            if self.next > start && rows > ROWS_PER_ROUND {
                break;
            }
            self.next += 1;
        }
        let round = &self.chosen[start..self.next];
        self.takes.clear();
        self.take_series.clear();
        self.next_take = 0;
        self.next_series = 0;
        let Some(policy) = self.policy else { return Ok(()) };
        let counts = self.read_sources(policy, round)?;
        self.gather_round(policy, round, &counts);
        Ok(())
    }

    /// Reads the round's series from each source; returns the counts per source, in the order of the series.
    fn read_sources(&mut self, policy: RowPolicy, round: &[u32]) -> Result<Vec<Vec<u32>>> {
        let mut wanted: Vec<Vec<u32>> = vec![Vec::new(); self.sources.len()];
        for series in round {
            for (source, index) in self.series.hits(*series as usize) {
                wanted[*source as usize].push(*index);
            }
        }
        // Where an entity has one row only, its time can rule it out but must not bring back an older one.
        let time = if policy.one_row_per_entity() { TimeRange::ALL } else { self.request.time };
        let request = ReadRequest { key: self.request.key, time, columns: self.request.columns, rows: None };
        let mut counts = vec![Vec::new(); self.sources.len()];
        for (source, indices) in wanted.iter().enumerate() {
            let buffer = &mut self.buffers[source];
            buffer.clear();
            let list = self.series.list(source);
            for run in indices.chunk_by(|a, b| a + 1 == *b) {
                let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
                let selection = *first as usize..*last as usize + 1;
                self.sources[source].read(
                    &request,
                    list,
                    selection,
                    buffer,
                    &mut counts[source],
                    &mut self.stats,
                )?;
            }
            if counts[source].len() != indices.len() || !buffer.is_consistent() {
                return Err(Error::internal("scan", "a source gave another number of series than asked for"));
            }
        }
        Ok(counts)
    }

    fn gather_round(&mut self, policy: RowPolicy, round: &[u32], counts: &[Vec<u32>]) {
        let mut next_count = vec![0usize; self.sources.len()];
        let mut next_row = vec![0u32; self.sources.len()];
        let mut pieces: Vec<Piece> = Vec::new();
        for series in round {
            pieces.clear();
            for (source, _) in self.series.hits(*series as usize) {
                let at = *source as usize;
                let count = counts[at][next_count[at]];
                next_count[at] += 1;
                let first = next_row[at];
                next_row[at] += count;
                if count > 0 {
                    pieces.push(Piece { source: *source, rows: first..first + count });
                }
            }
            if pieces.is_empty() {
                continue;
            }
            let ScanRequest { time, collapse, .. } = self.request;
            let rows = gather(policy, collapse, time, &mut pieces, &self.buffers, &mut self.takes);
            if rows > 0 {
                self.take_series.push((*series, rows));
            }
        }
    }
}
