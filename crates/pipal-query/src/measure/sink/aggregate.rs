//! Aggregation of one field (measure specification, 3.8).

use crate::measure::plan::{Aggregate, Function};
use crate::order::{SortKey, Sorter};
use crate::view::View;
use pipal_model::{Value, ValueRef};

/// Numbers per group.
pub(super) struct Aggregator<'a> {
    aggregate: &'a Aggregate,
    counts: Vec<i64>,
    ints: Vec<i64>,
    floats: Vec<f64>,
    /// Doubles whose sum depends on the order of rows, until that order is known.
    pending: Vec<(SortKey, u32, f64)>,
}

impl<'a> Aggregator<'a> {
    /// An aggregator without groups.
    pub fn new(aggregate: &'a Aggregate) -> Self {
        Aggregator {
            aggregate,
            counts: Vec::new(),
            ints: Vec::new(),
            floats: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Adds a group without values.
    pub fn add_group(&mut self) {
        let function = self.aggregate.function;
        self.counts.push(0);
        self.ints.push(match function {
            Function::Min => i64::MAX,
            Function::Max => i64::MIN,
            Function::Mean | Function::Count | Function::Sum => 0,
        });
        self.floats.push(match function {
            Function::Min => f64::MAX,
            Function::Max => f64::MIN,
            Function::Mean | Function::Count | Function::Sum => 0.0,
        });
    }

    /// True when the result depends on the order of rows.
    pub fn needs_order(&self) -> bool {
        self.aggregate.float && matches!(self.aggregate.function, Function::Sum | Function::Mean)
    }

    /// Adds rows of a view to a group.
    pub fn add(&mut self, group: u32, view: &View<'_>, rows: &[u32], sorter: &mut Sorter) {
        for &row in rows {
            let row = row as usize;
            let (_, schema_group) = view.series_of(row);
            let Some(column) = self.aggregate.columns[schema_group] else { continue };
            let number = match (view.column_value(column, row), self.aggregate.float) {
                (ValueRef::Int(v), false) => Value::Int(v),
                (ValueRef::Int(v), true) => Value::Float(v as f64),
                (ValueRef::Float(v), _) => Value::Float(v),
                _ => continue,
            };
            match number {
                Value::Int(v) => self.add_int(group as usize, v),
                Value::Float(v) if self.needs_order() => {
                    self.pending.push((sorter.key(view, row), group, v));
                }
                Value::Float(v) => self.add_float(group as usize, v),
                _ => {}
            }
        }
    }

    fn add_int(&mut self, group: usize, value: i64) {
        self.counts[group] += 1;
        let number = &mut self.ints[group];
        *number = match self.aggregate.function {
            Function::Sum | Function::Mean => number.wrapping_add(value),
            Function::Min => value.min(*number),
            Function::Max => value.max(*number),
            Function::Count => *number,
        };
    }

    /// The first value of a group replaces the start value, so that infinities survive; a NaN gives way to numbers.
    fn add_float(&mut self, group: usize, value: f64) {
        self.counts[group] += 1;
        let first = self.counts[group] == 1;
        let number = &mut self.floats[group];
        *number = match self.aggregate.function {
            Function::Sum | Function::Mean => *number + value,
            Function::Min if first || value < *number || number.is_nan() => value,
            Function::Max if first || value > *number || number.is_nan() => value,
            Function::Min | Function::Max | Function::Count => *number,
        };
    }

    /// Adds pending doubles in the order of their rows; all rows that come before them were given.
    pub fn settle(&mut self, sorter: &Sorter) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.sort_by(|a, b| sorter.compare(&a.0, &b.0));
        for (_, group, value) in pending.drain(..) {
            self.add_float(group as usize, value);
        }
        self.pending = pending;
    }

    /// The number of a group.
    pub fn number(&self, group: u32) -> Value {
        let group = group as usize;
        let count = self.counts[group];
        match (self.aggregate.function, self.aggregate.float) {
            (Function::Count, false) => Value::Int(count),
            (Function::Count, true) => Value::Float(count as f64),
            (Function::Mean, false) if count > 0 => Value::Int(self.ints[group].wrapping_div(count).max(1)),
            (Function::Mean, true) if count > 0 => Value::Float(mean_at_least_one(self.floats[group], count)),
            (_, false) => Value::Int(self.ints[group]),
            (_, true) => Value::Float(self.floats[group]),
        }
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.counts.capacity() * 24 + self.pending.capacity() * size_of::<(SortKey, u32, f64)>()
    }
}

/// Clients know means below 1 as 1. A NaN stays one.
fn mean_at_least_one(sum: f64, count: i64) -> f64 {
    let mean = sum / count as f64;
    if mean < 1.0 { 1.0 } else { mean }
}
