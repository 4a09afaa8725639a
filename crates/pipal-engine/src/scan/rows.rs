//! The scan: rows of chosen series, batch by batch.
//!
//! Every source is read by a [`Lane`] of its own, some thousand rows at a time. What all lanes have read completely is
//! merged and given; then the lanes that held the others up read on. So memory is bounded by the number of sources, however many
//! rows a series has and however large they are. Only rows of one series at one nanosecond are held together.

use super::gather::{Piece, Take, gather};
use super::lane::{Frontier, Lane};
use super::{CancelToken, MergedSeries};
use crate::rows::{CHUNK_ROWS_MAX, ReadLimit, ReadRequest, ReadStats, ResourceKey, RowBatch, RowSource};
use pipal_model::{ColumnKey, Result, RowPolicy, TimeRange};
use std::sync::Arc;

/// Most series that are looked for together.
const SERIES_PER_ROUND: usize = 1024;
/// What is read at once from all sources together; each of them reads a chunk or a row at least.
const STEP: ReadLimit = ReadLimit { rows: CHUNK_ROWS_MAX, bytes: 4 << 20 };
/// However many sources there are, each reads at least this part of the rows of a step.
const LANES_MAX: usize = 16;

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
    /// Series of the present round, as a range of `chosen`: the first one that was not given, and the end.
    next: usize,
    round_end: usize,
    step: ReadLimit,
    /// One lane and one batch per source.
    lanes: Vec<Lane>,
    buffers: Vec<RowBatch>,
    pieces: Vec<Piece>,
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
            round_end: 0,
            step: STEP,
            lanes: sources.iter().map(|_| Lane::default()).collect(),
            buffers: sources.iter().map(|_| RowBatch::new(request.columns)).collect(),
            pieces: Vec::new(),
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

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.buffers.iter().map(RowBatch::heap_bytes).sum::<usize>()
            + self.lanes.iter().map(Lane::heap_bytes).sum::<usize>()
            + self.takes.capacity() * size_of::<Take>()
            + self.take_series.capacity() * 8
    }

    /// Replaces the rows of `out`, which has the request's columns, by the next ones: at most
    /// [`CHUNK_ROWS_MAX`]. False at the end.
    pub fn next_batch(&mut self, out: &mut ScanBatch) -> Result<bool> {
        out.series.clear();
        out.rows.clear();
        let Some(policy) = self.policy else { return Ok(false) };
        while self.next_take >= self.takes.len() {
            if self.next >= self.chosen.len() {
                return Ok(false);
            }
            self.cancel.check()?;
            self.step(policy)?;
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

    /// Reads on and merges what is complete.
    fn step(&mut self, policy: RowPolicy) -> Result<()> {
        self.takes.clear();
        self.take_series.clear();
        self.next_take = 0;
        self.next_series = 0;
        if self.next >= self.round_end {
            self.start_round();
        }
        self.refill(policy)?;
        let frontier = self.frontier();
        while self.next < self.round_end {
            let series = self.chosen[self.next];
            match frontier {
                Some(frontier) if frontier.series <= series => {
                    if let Some(time) = frontier.time.filter(|_| frontier.series == series) {
                        self.gather_before(policy, series, time);
                    }
                    break;
                }
                _ => self.gather(policy, series, |_| true),
            }
            self.next += 1;
        }
        Ok(())
    }

    fn start_round(&mut self) {
        self.round_end = self.chosen.len().min(self.next + SERIES_PER_ROUND);
        self.lanes.iter_mut().for_each(Lane::clear);
        for series in &self.chosen[self.next..self.round_end] {
            for (source, index) in self.series.hits(*series as usize) {
                self.lanes[*source as usize].want(*index, *series);
            }
        }
    }

    /// The least of what the lanes have read up to; none when all are at their end.
    fn frontier(&self) -> Option<Frontier> {
        self.lanes.iter().zip(&self.buffers).filter_map(|(lane, rows)| lane.frontier(rows)).min()
    }

    /// Lets the lanes read on that are empty or hold the others up.
    fn refill(&mut self, policy: RowPolicy) -> Result<()> {
        let frontier = self.frontier();
        let active = self.lanes.iter().filter(|lane| !lane.is_at_end()).count().max(1);
        let rows_min = (self.step.rows / LANES_MAX).max(1);
        let limit = ReadLimit {
            rows: (self.step.rows / active).max(rows_min),
            bytes: (self.step.bytes / active).max(1),
        };
        // Where an entity has one row only, its time can rule it out but must not bring back an older one.
        let time = if policy.one_row_per_entity() { TimeRange::ALL } else { self.request.time };
        let request =
            ReadRequest { key: self.request.key, time, columns: self.request.columns, rows: None, limit };
        for (i, (lane, rows)) in self.lanes.iter_mut().zip(&mut self.buffers).enumerate() {
            if lane.is_at_end() || !lane.is_empty() && lane.frontier(rows) != frontier {
                continue;
            }
            let list = self.series.list(i);
            lane.refill(&*self.sources[i], list, &request, rows, &mut self.stats)?;
        }
        Ok(())
    }

    /// Merges the rows of a series that is read up to a time in all lanes. A source has one row of a time where rows are
    /// told apart by their times; otherwise more rows of that time may follow, with which these may be equal.
    fn gather_before(&mut self, policy: RowPolicy, series: u32, time: i64) {
        match policy {
            RowPolicy::Versioned => self.gather(policy, series, |row| row <= time),
            _ if policy.one_row_per_entity() => {}
            _ => self.gather(policy, series, |row| row < time),
        }
    }

    fn gather(&mut self, policy: RowPolicy, series: u32, is_before: impl Fn(i64) -> bool) {
        self.pieces.clear();
        for (source, _) in self.series.hits(series as usize) {
            let times = &self.buffers[*source as usize].times;
            let rows = self.lanes[*source as usize].take(series, times, &is_before);
            if !rows.is_empty() {
                self.pieces.push(Piece { source: *source, rows });
            }
        }
        if self.pieces.is_empty() {
            return;
        }
        let ScanRequest { time, collapse, .. } = self.request;
        let rows = gather(policy, collapse, time, &mut self.pieces, &self.buffers, &mut self.takes);
        if rows > 0 {
            self.take_series.push((series, rows));
        }
    }
}

#[cfg(test)]
mod tests;
