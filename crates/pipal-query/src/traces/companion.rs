//! A search of one source by its ordered companion: rows come in the order of the key, so that the search ends when
//! no better key is left.
//!
//! The companion tells from the leading values which rows cannot pass, and often which do. The others are read, some
//! columns of some rows, which costs many times what a row costs in a scan: when the filter lets so few of them pass
//! that a share of the source would have to be read, a scan is the better way.

use super::best::Best;
use super::find::{ColumnSet, PlacedFilter, id_of};
use crate::budget::Budget;
use crate::error::QueryResult;
use crate::row_filter::RowFilter;
use pipal_engine::CancelToken;
use pipal_engine::part::{Companion, OrderedRow, Step, WalkRequest};
use pipal_engine::rows::ReadStats;

/// So many rows are looked at first; twice as many each further time.
const ROWS_AT_FIRST: usize = 16;
/// Most rows that are looked at together.
const ROWS_AT_ONCE_MAX: usize = 4096;
/// A row that is read counts as so many of which only the trace is looked up: much of a chunk is decoded for it.
const LOOKS_PER_READ: u64 = 256;

/// A search.
pub(super) struct CompanionSearch<'a> {
    /// The companion.
    pub companion: &'a Companion<'a>,
    /// What spans must meet.
    pub filter: &'a RowFilter,
    /// The group that the source belongs to.
    pub group: usize,
    /// True when the greatest keys are wanted.
    pub descending: bool,
    /// Least and greatest key that are wanted.
    pub keys: (i64, i64),
    /// After so many looks at rows a scan is taken to be the better way.
    pub looks_max: u64,
    /// Tells the query to stop.
    pub cancel: &'a CancelToken,
    /// What the query may hold.
    pub budget: &'a Budget,
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Searched {
    /// All spans of the source that can matter were offered.
    Done,
    /// The source has to be scanned: the filter rejects nearly everything, or the companion is damaged.
    Scan,
}

impl CompanionSearch<'_> {
    /// Offers the traces of the source that may be among the best `needed`. Adds to `read` the rows that were read.
    pub fn run(&self, needed: usize, best: &mut Best, read: &mut u64) -> QueryResult<Searched> {
        if needed as u64 > self.looks_max {
            return Ok(Searched::Scan);
        }
        let request = WalkRequest { descending: self.descending, keys: self.keys };
        let mut walk = self.companion.walk(request, self.filter, self.cancel);
        let mut at_once = needed.clamp(ROWS_AT_FIRST, ROWS_AT_ONCE_MAX);
        let (mut rows, mut looks, mut traces) = (Vec::new(), 0, 0);
        loop {
            self.cancel.check()?;
            match walk.next(at_once, best.worst_key(), &mut rows)? {
                Step::End => return Ok(Searched::Done),
                Step::Unreadable => return Ok(Searched::Scan),
                Step::Rows => {}
            }
            let row_bytes = 2 * rows.capacity() * size_of::<OrderedRow>();
            let held_bytes = best.heap_bytes() + walk.heap_bytes() + row_bytes;
            self.budget.check(held_bytes)?;
            let open = rows.iter().filter(|row| !row.passes).count() as u64;
            looks += rows.len() as u64 + open * LOOKS_PER_READ;
            if looks > self.looks_max {
                return Ok(Searched::Scan);
            }
            // Rows are read in the order of the file.
            rows.sort_unstable_by_key(|row: &OrderedRow| row.row);
            self.drop_rejected(&mut rows, held_bytes)?;
            *read += open;
            traces += self.offer(&rows, best)?;
            // This tells the walk which keys are of no use any more.
            best.settle();
            // If as few come from now on, so many looks are needed for as many as are wanted.
            if looks.saturating_mul(needed as u64) / traces.max(1) > self.looks_max {
                return Ok(Searched::Scan);
            }
            at_once = (2 * at_once).min(ROWS_AT_ONCE_MAX);
        }
    }

    /// Removes the rows that the filter rejects.
    fn drop_rejected(&self, rows: &mut Vec<OrderedRow>, held_bytes: usize) -> QueryResult<()> {
        let open: Vec<u64> = rows.iter().filter(|row| !row.passes).map(|row| row.row).collect();
        if open.is_empty() {
            return Ok(());
        }
        let mut columns = ColumnSet::default();
        let placed = PlacedFilter::new(self.filter, &mut columns);
        let values = self.companion.read(&open, columns.keys(), &mut ReadStats::default())?;
        let value_bytes: usize = values.iter().map(|column| column.heap_bytes()).sum();
        self.budget.check(held_bytes + 2 * value_bytes + open.capacity() * 8)?;
        let mut passing: Vec<u32> = (0..open.len() as u32).collect();
        placed.retain(&values, open.len(), &mut passing);
        let mut passing = passing.into_iter().filter_map(|at| open.get(at as usize)).peekable();
        rows.retain(|row| row.passes || passing.next_if(|passing| **passing == row.row).is_some());
        Ok(())
    }

    /// Offers the traces of rows, which are in the order of the source. Returns their number.
    fn offer(&self, rows: &[OrderedRow], best: &mut Best) -> QueryResult<u64> {
        let wanted: Vec<OrderedRow> = rows.iter().filter(|row| best.is_wanted(row.key)).copied().collect();
        let numbers: Vec<u64> = wanted.iter().map(|row| row.row).collect();
        let mut scratch = Vec::new();
        let traces = self.companion.entities(&numbers, |at, entity| {
            if let Some(row) = wanted.get(at) {
                best.offer(row.key, id_of(entity, &mut scratch), self.group);
            }
        })?;
        Ok(traces as u64)
    }
}

#[cfg(test)]
mod tests;
