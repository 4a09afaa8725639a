//! Sinks: what becomes of the rows that the reading finds. Rows may arrive in any order of series and shards, in
//! regions of time; inside a series of a region they arrive by rising time.

mod aggregate;
mod groups;
mod rows;

use super::buffer::RowBuffer;
use super::order::{SortKey, Sorter};
use super::plan::{Operation, Plan};
use super::view::View;
use groups::GroupsSink;
use pipal_model::{TimeRange, Value};
use rows::RowsSink;

/// The sink of a plan.
pub(crate) enum Sink<'a> {
    /// Keeps the first rows in order.
    Rows(Box<RowsSink<'a>>),
    /// Keeps the first row of each group, and aggregates.
    Groups(Box<GroupsSink<'a>>),
}

/// Result rows in order: kept rows, and the aggregated number of each if there is one.
pub(crate) struct Outcome {
    /// Kept rows.
    pub rows: RowBuffer,
    /// Which of them are the result, in order.
    pub order: Vec<u32>,
    /// Per result row its aggregated number; empty without aggregation.
    pub numbers: Vec<Value>,
}

impl<'a> Sink<'a> {
    /// The sink that the plan needs. Without `bounded`, rows are never ruled out before all were seen.
    pub fn new(plan: &'a Plan, bounded: bool) -> Self {
        match plan.operation {
            Operation::Rows => Sink::Rows(Box::new(RowsSink::new(plan, bounded))),
            Operation::FirstOfGroup(_) | Operation::Aggregate(..) => {
                Sink::Groups(Box::new(GroupsSink::new(plan)))
            }
        }
    }

    /// Takes the listed rows of a view.
    pub fn take(&mut self, view: &View<'_>, rows: &[u32]) {
        match self {
            Sink::Rows(sink) => sink.take(view, rows),
            Sink::Groups(sink) => sink.take(view, rows),
        }
    }

    /// Tells that all rows of a region of time were given.
    pub fn end_region(&mut self) {
        if let Sink::Groups(sink) = self {
            sink.end_region();
        }
    }

    /// True when no row of a later region can change the result.
    pub fn is_satisfied(&self) -> bool {
        matches!(self, Sink::Rows(sink) if sink.is_satisfied())
    }

    /// The part of `time` whose rows can still change the result.
    pub fn narrow(&self, time: TimeRange) -> TimeRange {
        match self {
            Sink::Rows(sink) => sink.narrow(time),
            Sink::Groups(_) => time,
        }
    }

    /// True when rows are held until [`Sink::end_region`], so that regions of many rows should be cut in time.
    pub fn holds_regions(&self) -> bool {
        matches!(self, Sink::Groups(sink) if sink.holds_regions())
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Sink::Rows(sink) => sink.heap_bytes(),
            Sink::Groups(sink) => sink.heap_bytes(),
        }
    }

    /// The result.
    pub fn finish(self) -> Outcome {
        match self {
            Sink::Rows(sink) => sink.finish(),
            Sink::Groups(sink) => sink.finish(),
        }
    }
}

/// Positions of the keys in their order; positions of equal keys keep theirs.
fn sorted_positions(sorter: &Sorter, keys: &[SortKey]) -> Vec<u32> {
    let mut positions: Vec<u32> = (0..keys.len() as u32).collect();
    if !keys.is_sorted_by(|a, b| sorter.compare(a, b).is_le()) {
        positions.sort_by(|a, b| sorter.compare(&keys[*a as usize], &keys[*b as usize]));
    }
    positions
}
