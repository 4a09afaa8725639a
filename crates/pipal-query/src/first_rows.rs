//! The first rows in order, in bounded memory.
//!
//! Rows collect until there are about twice as many as needed; then the better half is kept, and what is worse than
//! its last row is ruled out from then on. A row costs constant work on average, and memory depends on the limit
//! of the query alone.
//!
//! Where rows of one id are one, the first of them in order stays, and as many different ids as needed are kept. A
//! row that is worse than the last of these can be ruled out as before: better rows of the same ids only move those
//! ids forward, so there are always enough ids before it.

use crate::buffer::RowBuffer;
use crate::order::{Order, SortKey, Sorter};
use crate::read::{RowSink, Slicing};
use crate::shape::Shape;
use crate::view::View;
use hashbrown::HashSet;
use pipal_model::{TimeRange, ValueRef};

/// Rows that may collect beyond the needed ones before the worse half is dropped.
const SLACK_ROWS: usize = 8192;

/// Least rows of the first slice of a region, where reading it may be enough.
const FIRST_SLICE_ROWS: u64 = 1 << 16;

/// See the module.
pub(crate) struct FirstRows<'a> {
    shape: &'a Shape,
    sorter: Sorter,
    rows: RowBuffer,
    keys: Vec<SortKey>,
    /// Most rows that the result needs.
    needed: usize,
    bounded: bool,
    /// Column of the shape with the id of a row, where rows of one group and id are one.
    id_column: Option<usize>,
    /// The worst row that can still be part of the result.
    worst: Option<SortKey>,
}

impl<'a> FirstRows<'a> {
    /// A sink for the `needed` first rows, or for all of them. Without `bounded`, rows are never ruled out before all
    /// were seen.
    pub fn new(shape: &'a Shape, sorter: Sorter, needed: Option<usize>, bounded: bool) -> Self {
        FirstRows {
            shape,
            sorter,
            rows: RowBuffer::new(shape),
            keys: Vec::new(),
            needed: needed.unwrap_or(usize::MAX),
            bounded,
            id_column: None,
            worst: None,
        }
    }

    /// Keeps of the rows of one group and one id the first in order only. The id is an integer in a column of the
    /// shape; a row without it is like no other. Rows of equal times are in the order of their ids.
    pub fn distinct_by(mut self, id_column: usize) -> Self {
        self.id_column = Some(id_column);
        self.sorter.break_ties_by(id_column);
        self
    }

    /// Rows, and which of them are the result, in order.
    pub fn finish(self) -> (RowBuffer, Vec<u32>) {
        let mut order = self.sorter.sorted_positions(&self.keys);
        self.retain_first_of_ids(&mut order);
        order.truncate(self.needed);
        (self.rows, order)
    }

    /// Keeps the positions of rows whose id no earlier position has.
    fn retain_first_of_ids(&self, positions: &mut Vec<u32>) {
        let Some(column) = self.id_column else { return };
        let mut seen = HashSet::with_capacity(positions.len());
        self.rows.with_view(|view| {
            positions.retain(|position| match view.column_value(column, *position as usize) {
                ValueRef::Int(id) => {
                    let (_, group) = view.series_of(*position as usize);
                    seen.insert((group, id))
                }
                _ => true,
            });
        });
    }

    fn drop_worse(&mut self) {
        let mut positions = match self.id_column {
            Some(_) => {
                let mut positions = self.sorter.sorted_positions(&self.keys);
                self.retain_first_of_ids(&mut positions);
                positions
            }
            None => self.partitioned_positions(),
        };
        if positions.len() >= self.needed && self.needed > 0 {
            let worst = positions[self.needed - 1];
            self.worst = Some(self.keys[worst as usize]);
        }
        positions.truncate(self.needed);
        // Rows of equal keys stay in the order in which they came.
        positions.sort_unstable();
        self.rows = self.rows.gather(self.shape, &positions);
        self.keys = positions.iter().map(|position| self.keys[*position as usize]).collect();
    }

    /// All positions, those of the needed rows before the others and the worst of them at its place.
    fn partitioned_positions(&self) -> Vec<u32> {
        let mut positions: Vec<u32> = (0..self.keys.len() as u32).collect();
        if (1..=positions.len()).contains(&self.needed) {
            let compare =
                |a: &u32, b: &u32| self.sorter.compare(&self.keys[*a as usize], &self.keys[*b as usize]);
            positions.select_nth_unstable_by(self.needed - 1, compare);
        }
        positions
    }
}

impl RowSink for FirstRows<'_> {
    fn take(&mut self, view: &View<'_>, rows: &[u32]) {
        let mut last = None;
        for &row in rows {
            let key = self.sorter.key(view, row as usize);
            if self.worst.is_some_and(|worst| self.sorter.compare(&key, &worst).is_gt()) {
                continue;
            }
            let series = view.row_series[row as usize];
            let kept = match last {
                Some((known, kept)) if known == series => kept,
                _ => self.rows.push_series(view.series, series as usize),
            };
            last = Some((series, kept));
            self.rows.push_row(view, row as usize, kept);
            self.keys.push(key);
        }
        if self.keys.len() >= self.needed.saturating_add(self.needed.max(SLACK_ROWS)) {
            self.drop_worse();
        }
    }

    /// Whether there are rows of enough ids is known only after they were dropped down to one per id.
    fn end_region(&mut self) {
        let may_suffice = self.id_column.is_some() && self.worst.is_none() && self.keys.len() >= self.needed;
        if may_suffice && self.bounded && self.sorter.is_by_time() {
            self.drop_worse();
        }
    }

    /// Later regions hold nothing but worse rows when rows are ordered by time alone.
    fn is_satisfied(&self) -> bool {
        if self.needed == 0 {
            return true;
        }
        let enough = match self.id_column {
            Some(_) => self.worst.is_some(),
            None => self.keys.len() >= self.needed,
        };
        self.bounded && self.sorter.is_by_time() && enough
    }

    fn narrow(&self, time: TimeRange) -> TimeRange {
        let bound =
            self.worst.as_ref().filter(|_| self.bounded).and_then(|worst| self.sorter.time_bound(worst));
        match (bound, self.sorter.order()) {
            (Some(bound), Order::Time { descending: false }) => {
                TimeRange { end: time.end.min(bound), ..time }
            }
            (Some(bound), Order::Time { descending: true }) => {
                TimeRange { begin: time.begin.max(bound), ..time }
            }
            _ => time,
        }
    }

    /// Where time alone orders, the first rows of a region may be all that is needed of it.
    fn slicing(&self) -> Slicing {
        if !self.bounded || !self.sorter.is_by_time() {
            return Slicing::Whole;
        }
        let needed = u64::try_from(self.needed).unwrap_or(u64::MAX);
        Slicing::Growing(needed.saturating_mul(4).max(FIRST_SLICE_ROWS))
    }

    fn heap_bytes(&self) -> usize {
        self.rows.heap_bytes() + self.keys.capacity() * size_of::<SortKey>() + self.sorter.heap_bytes()
    }
}
