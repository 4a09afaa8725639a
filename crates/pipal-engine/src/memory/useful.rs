//! Rows in memory that a predicate accepts: the values of each row are looked at.

use super::run::{MemRun, RunResource};
use crate::row_format::ValueReader;
use crate::row_ranges::RowRanges;
use crate::scan::RowPredicate;
use pipal_model::{ColumnKey, Error, Result, ValueRef};
use std::ops::Range;

fn malformed() -> Error {
    Error::internal("read memory run", "a row in memory does not fit its layout")
}

impl MemRun {
    /// The rows of a resource that a predicate accepts.
    pub(super) fn accepted_rows(
        &self,
        resource: &RunResource,
        predicate: &RowPredicate,
    ) -> Result<RowRanges> {
        let name = &*resource.head.key.name;
        let mut columns = Vec::new();
        predicate.add_columns(&mut columns);
        // Per layout the number of the asked column at each place.
        let mut asked: Vec<Vec<Option<usize>>> = Vec::with_capacity(self.layouts.len());
        for layout in &self.layouts {
            let definitions = if layout.resource() == name { layout.columns() } else { &[] };
            let mut places = vec![None; definitions.len()];
            for (number, column) in columns.iter().enumerate() {
                if let Some(place) = definitions.iter().position(|d| d.key == **column) {
                    places[place] = Some(number);
                }
            }
            let behind = places.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
            places.truncate(behind);
            asked.push(places);
        }
        let mut accepted = RowRanges::default();
        let mut values = Vec::new();
        for at in resource.rows.clone() {
            let row = self.rows.get(at).ok_or_else(malformed)?;
            let head = self.head_of(row)?;
            let layout = self.layouts.get(head.layout as usize).ok_or_else(malformed)?;
            let mut reader = ValueReader::new(layout, head.body);
            values.clear();
            values.resize(columns.len(), ValueRef::Absent);
            for number in asked.get(head.layout as usize).ok_or_else(malformed)? {
                let value = reader.next_value().ok_or_else(malformed)?;
                if let Some(slot) = number.and_then(|number| values.get_mut(number)) {
                    *slot = value;
                }
            }
            let value_of = |key: &ColumnKey| {
                let number = columns.iter().position(|column| *column == key);
                number.and_then(|number| values.get(number).copied()).unwrap_or(ValueRef::Absent)
            };
            if predicate.accepts(&value_of) {
                accepted.push(at as u64..at as u64 + 1);
            }
        }
        Ok(accepted)
    }
}

/// The numbers that are among the rows of use.
pub(super) fn numbers_of_use(numbers: Range<u64>, rows: Option<&RowRanges>) -> impl Iterator<Item = u64> {
    let mut next = numbers.start;
    std::iter::from_fn(move || {
        let number = match rows {
            Some(rows) => rows.at_or_after(next)?.start,
            None => next,
        };
        next = number + 1;
        (number < numbers.end).then_some(number)
    })
}
