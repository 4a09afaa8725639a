//! A lane: the rows of one source that a scan has read and not given yet.

use crate::rows::{GivenRows, ReadRequest, ReadStats, RowBatch, RowSource, SeriesCursor, SeriesList};
use pipal_model::{Error, Result};
use std::ops::Range;

/// Rows of one source, read in the order of (series, time) as far as there is room. The rows themselves lie in a batch
/// beside the lane.
#[derive(Debug, Default)]
pub(super) struct Lane {
    cursor: SeriesCursor,
    /// Per wanted series its number in the scan.
    series: Vec<u32>,
    /// What was read, as runs of rows of one series each.
    pieces: Vec<LanePiece>,
    /// The first piece that was not taken as a whole.
    next: usize,
    given: Vec<GivenRows>,
}

#[derive(Clone, Debug)]
struct LanePiece {
    series: u32,
    rows: Range<u32>,
}

/// Up to where a lane has been read: all rows before (series, time) are in it. Without a time nothing of the series is
/// known to be complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Frontier {
    pub series: u32,
    pub time: Option<i64>,
}

impl Lane {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.cursor.clear();
        self.series.clear();
        self.pieces.clear();
        self.next = 0;
    }

    /// Wants a series of the source, whose number in the scan is `series`.
    pub fn want(&mut self, index: u32, series: u32) {
        self.cursor.push(index);
        self.series.push(series);
    }

    /// True when the source has nothing more.
    pub fn is_at_end(&self) -> bool {
        self.cursor.is_at_end()
    }

    /// True when all rows that were read have been taken.
    pub fn is_empty(&self) -> bool {
        self.next >= self.pieces.len()
    }

    /// Bytes held, without the rows.
    pub fn heap_bytes(&self) -> usize {
        self.cursor.heap_bytes()
            + self.series.capacity() * 4
            + self.pieces.capacity() * size_of::<LanePiece>()
    }

    /// Up to where the lane has been read; none at the end.
    pub fn frontier(&self, rows: &RowBatch) -> Option<Frontier> {
        let (wanted, done) = self.cursor.position();
        let series = *self.series.get(wanted)?;
        let last = self.pieces.last().filter(|piece| done > 0 && piece.series == series);
        let time = last.and_then(|piece| rows.times.get((piece.rows.end - 1) as usize).copied());
        Some(Frontier { series, time })
    }

    /// Reads on.
    pub fn refill(
        &mut self,
        source: &dyn RowSource,
        list: &SeriesList,
        request: &ReadRequest<'_>,
        rows: &mut RowBatch,
        stats: &mut ReadStats,
    ) -> Result<()> {
        self.drop_taken(request, rows);
        let (position, first) = (self.cursor.position(), rows.len());
        self.given.clear();
        source.read(request, list, &mut self.cursor, rows, &mut self.given, stats)?;
        let given: usize = self.given.iter().map(|given| given.rows as usize).sum();
        if first + given != rows.len() || !rows.is_consistent() || self.cursor.position() == position {
            return Err(Error::internal("scan", "a source gave other rows than it told, or none at all"));
        }
        let mut start = first as u32;
        for GivenRows { wanted, rows } in &self.given {
            let series = self.series.get(*wanted as usize).copied();
            let series =
                series.ok_or_else(|| Error::internal("scan", "rows of a series that is not wanted"))?;
            let end = start + rows;
            match self.pieces.last_mut() {
                Some(last) if last.series == series => last.rows.end = end,
                _ => self.pieces.push(LanePiece { series, rows: start..end }),
            }
            start = end;
        }
        Ok(())
    }

    /// Forgets rows that were taken, once they are at least half of all: a row is copied once at most on average.
    fn drop_taken(&mut self, request: &ReadRequest<'_>, rows: &mut RowBatch) {
        let Some(taken) = self.pieces.get(self.next).map(|piece| piece.rows.start) else {
            rows.clear();
            self.pieces.clear();
            self.next = 0;
            return;
        };
        if (taken as usize) < rows.len().div_ceil(2) {
            return;
        }
        let mut left = RowBatch::new(request.columns);
        left.extend_from(rows, taken as usize..rows.len());
        *rows = left;
        self.pieces.drain(..self.next);
        self.next = 0;
        for piece in &mut self.pieces {
            piece.rows = piece.rows.start - taken..piece.rows.end - taken;
        }
    }

    /// Takes the rows of a series for which `is_before` holds, which are the first ones; empty without such.
    pub fn take(&mut self, series: u32, times: &[i64], is_before: impl Fn(i64) -> bool) -> Range<u32> {
        let Some(piece) = self.pieces.get_mut(self.next).filter(|piece| piece.series == series) else {
            return 0..0;
        };
        let Range { start, end } = piece.rows.clone();
        let before = times.get(start as usize..end as usize).unwrap_or_default();
        let cut = start + before.partition_point(|time| is_before(*time)) as u32;
        piece.rows.start = cut;
        if cut == end {
            self.next += 1;
        }
        start..cut
    }
}
