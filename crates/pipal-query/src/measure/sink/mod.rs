//! Sinks: what becomes of the rows that the reading finds. Rows may arrive in any order of series and shards, in
//! regions of time; inside a series of a region they arrive by rising time.

mod aggregate;
mod groups;

use super::plan::{Operation, Plan};
use crate::buffer::RowBuffer;
use crate::first_rows::FirstRows;
use crate::order::Sorter;
use crate::read::{RowSink, Slicing};
use crate::view::View;
use groups::GroupsSink;
use pipal_model::{TimeRange, Value};

/// The sink of a plan.
pub(crate) enum Sink<'a> {
    /// Keeps the first rows in order.
    Rows(Box<FirstRows<'a>>),
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
            Operation::Rows => {
                let ranking = plan.top.as_ref().map(|top| top.ranking.clone());
                let sorter = Sorter::new(plan.order.clone(), ranking);
                Sink::Rows(Box::new(FirstRows::new(&plan.shape, sorter, plan.rows_needed(), bounded)))
            }
            Operation::FirstOfGroup(_) | Operation::Aggregate(..) => {
                Sink::Groups(Box::new(GroupsSink::new(plan)))
            }
        }
    }

    /// The result.
    pub fn finish(self) -> Outcome {
        match self {
            Sink::Rows(sink) => {
                let (rows, order) = sink.finish();
                Outcome { rows, order, numbers: Vec::new() }
            }
            Sink::Groups(sink) => sink.finish(),
        }
    }
}

impl RowSink for Sink<'_> {
    fn take(&mut self, view: &View<'_>, rows: &[u32]) {
        match self {
            Sink::Rows(sink) => sink.take(view, rows),
            Sink::Groups(sink) => sink.take(view, rows),
        }
    }

    fn end_region(&mut self) {
        if let Sink::Groups(sink) = self {
            sink.end_region();
        }
    }

    fn is_satisfied(&self) -> bool {
        matches!(self, Sink::Rows(sink) if sink.is_satisfied())
    }

    fn narrow(&self, time: TimeRange) -> TimeRange {
        match self {
            Sink::Rows(sink) => sink.narrow(time),
            Sink::Groups(_) => time,
        }
    }

    fn slicing(&self) -> Slicing {
        match self {
            Sink::Rows(sink) => sink.slicing(),
            Sink::Groups(sink) if sink.holds_regions() => Slicing::Equal,
            Sink::Groups(_) => Slicing::Whole,
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Sink::Rows(sink) => sink.heap_bytes(),
            Sink::Groups(sink) => sink.heap_bytes(),
        }
    }
}
