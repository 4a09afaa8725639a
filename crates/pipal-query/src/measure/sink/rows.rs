//! The first rows in order, in bounded memory.
//!
//! Rows collect until there are about twice as many as needed; then the better half is kept, and what is worse than
//! its last row is ruled out from then on. A row costs constant work on average, and memory depends on the limit
//! of the query alone.

use super::{Outcome, sorted_positions};
use crate::measure::buffer::RowBuffer;
use crate::measure::order::{Order, SortKey, Sorter};
use crate::measure::plan::Plan;
use crate::measure::view::View;
use pipal_model::TimeRange;

/// Rows that may collect beyond the needed ones before the worse half is dropped.
const SLACK_ROWS: usize = 8192;

/// See the module.
pub(crate) struct RowsSink<'a> {
    plan: &'a Plan,
    sorter: Sorter,
    rows: RowBuffer,
    keys: Vec<SortKey>,
    /// Most rows that the result needs.
    needed: usize,
    bounded: bool,
    /// The worst row that can still be part of the result.
    worst: Option<SortKey>,
}

impl<'a> RowsSink<'a> {
    pub fn new(plan: &'a Plan, bounded: bool) -> Self {
        let ranking = plan.top.as_ref().map(|top| top.ranking.clone());
        RowsSink {
            plan,
            sorter: Sorter::new(plan.order.clone(), ranking),
            rows: RowBuffer::new(&plan.shape),
            keys: Vec::new(),
            needed: plan.rows_needed().unwrap_or(usize::MAX),
            bounded,
            worst: None,
        }
    }

    pub fn take(&mut self, view: &View<'_>, rows: &[u32]) {
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

    fn drop_worse(&mut self) {
        let mut positions: Vec<u32> = (0..self.keys.len() as u32).collect();
        if self.needed > 0 {
            let compare =
                |a: &u32, b: &u32| self.sorter.compare(&self.keys[*a as usize], &self.keys[*b as usize]);
            let (_, worst, _) = positions.select_nth_unstable_by(self.needed - 1, compare);
            self.worst = Some(self.keys[*worst as usize]);
        }
        positions.truncate(self.needed);
        positions.sort_unstable();
        self.rows = self.rows.gather(&self.plan.shape, &positions);
        self.keys = positions.iter().map(|position| self.keys[*position as usize]).collect();
    }

    /// Later regions hold nothing but worse rows when rows are ordered by time alone.
    pub fn is_satisfied(&self) -> bool {
        if self.needed == 0 {
            return true;
        }
        let by_time = matches!(self.sorter.order(), Order::Time { .. }) && self.plan.top.is_none();
        self.bounded && by_time && self.keys.len() >= self.needed
    }

    pub fn narrow(&self, time: TimeRange) -> TimeRange {
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

    pub fn heap_bytes(&self) -> usize {
        self.rows.heap_bytes() + self.keys.capacity() * size_of::<SortKey>() + self.sorter.heap_bytes()
    }

    pub fn finish(self) -> Outcome {
        let mut order = sorted_positions(&self.sorter, &self.keys);
        order.truncate(self.needed);
        Outcome { rows: self.rows, order, numbers: Vec::new() }
    }
}
