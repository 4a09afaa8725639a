//! The distinct combinations of leading values of a piece, numbered in the order in which they come.

use super::{TUPLE_BYTES_MAX, TUPLES_MAX};
use crate::rows::RowBatch;
use hashbrown::HashMap;
use pipal_codec::Column;
use pipal_model::{ColumnType, ValueRef};

/// What a tuple costs beside its bytes.
const TUPLE_OVERHEAD_BYTES: usize = 64;

/// Tuples of the rows so far.
#[derive(Default)]
pub(super) struct Tuples {
    /// Places and types of the leading columns that are kept; none at first.
    kept: Vec<(usize, ColumnType)>,
    /// Per kept column the value of each tuple.
    values: Vec<Column>,
    numbers: HashMap<Box<[u8]>, u32>,
    /// Bytes of the keys of `numbers`.
    bytes: usize,
    /// Per row its tuple.
    of_row: Vec<u32>,
    present: Vec<u8>,
    last: Vec<u8>,
}

impl Tuples {
    /// Begins anew with these leading columns.
    pub(super) fn begin(&mut self, leading: &[(usize, ColumnType)]) {
        self.kept = leading.to_vec();
        self.values = leading.iter().map(|(_, ty)| Column::new(*ty)).collect();
        self.numbers.clear();
        self.bytes = 0;
        self.of_row.clear();
    }

    /// Values of the tuples, one column per leading column that is kept.
    pub(super) fn values(&self) -> &[Column] {
        &self.values
    }

    /// Number of tuples.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Per row its tuple.
    pub(super) fn of_row(&self) -> &[u32] {
        &self.of_row
    }

    /// Takes the next row.
    pub(super) fn push(&mut self, batch: &RowBatch, row: usize) {
        self.present.clear();
        for (place, _) in &self.kept {
            let value = batch.columns.get(*place).map_or(ValueRef::Absent, |column| column.get(row));
            put_value(value, &mut self.present);
        }
        // Neighbours are often spans of one service.
        if let (Some(last), true) = (self.of_row.last(), self.present == self.last) {
            self.of_row.push(*last);
            return;
        }
        let number = match self.numbers.get(&self.present[..]) {
            Some(number) => *number,
            None => self.add(batch, row),
        };
        self.of_row.push(number);
        std::mem::swap(&mut self.last, &mut self.present);
        while self.is_too_large() && !self.kept.is_empty() {
            self.give_up_a_column();
        }
    }

    fn add(&mut self, batch: &RowBatch, row: usize) -> u32 {
        let number = self.numbers.len() as u32;
        self.bytes += self.present.len();
        self.numbers.insert(self.present.as_slice().into(), number);
        for ((place, _), column) in self.kept.iter().zip(&mut self.values) {
            column.push(batch.columns.get(*place).map_or(ValueRef::Absent, |values| values.get(row)));
        }
        number
    }

    fn is_too_large(&self) -> bool {
        self.numbers.len() > TUPLES_MAX || self.bytes > TUPLE_BYTES_MAX
    }

    /// Numbers the tuples anew without the last column.
    fn give_up_a_column(&mut self) {
        let tuples = self.numbers.len();
        self.kept.pop();
        let old = std::mem::take(&mut self.values);
        self.values = self.kept.iter().map(|(_, ty)| Column::new(*ty)).collect();
        self.numbers = HashMap::new();
        self.bytes = 0;
        let mut renumbered = Vec::with_capacity(tuples);
        for tuple in 0..tuples {
            self.present.clear();
            old.iter()
                .take(self.kept.len())
                .for_each(|column| put_value(column.get(tuple), &mut self.present));
            let next = self.numbers.len() as u32;
            let number = *self.numbers.entry(self.present.as_slice().into()).or_insert(next);
            if number == next {
                self.bytes += self.present.len();
                self.values.iter_mut().zip(&old).for_each(|(to, from)| to.push(from.get(tuple)));
            }
            renumbered.push(number);
        }
        for number in &mut self.of_row {
            *number = renumbered.get(*number as usize).copied().unwrap_or(0);
        }
        // What was last is of another form.
        self.last = vec![u8::MAX];
    }

    /// Bytes held.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes
            + self.numbers.capacity() * TUPLE_OVERHEAD_BYTES
            + self.values.iter().map(Column::heap_bytes).sum::<usize>()
            + self.of_row.capacity() * 4
            + self.present.capacity()
            + self.last.capacity()
    }
}

/// Appends a value such that different values of one column give different bytes, also in front of others.
fn put_value(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Absent => out.push(0),
        ValueRef::Null => out.push(1),
        ValueRef::Int(number) | ValueRef::Timestamp(number) => {
            out.push(2);
            out.extend_from_slice(&number.to_le_bytes());
        }
        ValueRef::Float(number) => {
            out.push(2);
            out.extend_from_slice(&number.to_bits().to_le_bytes());
        }
        ValueRef::Str(bytes)
        | ValueRef::Binary(bytes)
        | ValueRef::StrArray(bytes)
        | ValueRef::IntArray(bytes) => {
            out.push(3);
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::RowBatch;
    use pipal_model::ColumnKey;

    fn batch(rows: &[(&str, i64)]) -> RowBatch {
        let key = |name: &str, ty| ColumnKey { family: "t".into(), name: name.into(), ty };
        let mut batch = RowBatch::new(&[key("s", ColumnType::Str), key("n", ColumnType::Int)]);
        for (text, number) in rows {
            batch.columns[0].push(ValueRef::Str(text.as_bytes()));
            batch.columns[1].push(ValueRef::Int(*number));
        }
        batch
    }

    const LEADING: [(usize, ColumnType); 2] = [(0, ColumnType::Str), (1, ColumnType::Int)];

    #[test]
    fn equal_values_have_one_number() {
        let rows = [("a", 1), ("a", 1), ("a", 2), ("", 1), ("a", 1)];
        let batch = batch(&rows);
        let mut tuples = Tuples::default();
        tuples.begin(&LEADING);
        (0..rows.len()).for_each(|row| tuples.push(&batch, row));
        assert_eq!((tuples.of_row(), tuples.len()), (&[0, 0, 1, 2, 0][..], 3));
        assert_eq!(tuples.values()[1].get(1), ValueRef::Int(2));
        tuples.begin(&[]);
        (0..3).for_each(|row| tuples.push(&batch, row));
        assert_eq!((tuples.of_row(), tuples.len(), tuples.values().len()), (&[0, 0, 0][..], 1, 0));
    }

    #[test]
    fn a_column_of_too_many_values_is_given_up() {
        let mut tuples = Tuples::default();
        tuples.begin(&LEADING);
        let rows = TUPLES_MAX as i64 + 10;
        for i in 0..rows {
            tuples.push(&batch(&[(if i % 3 == 0 { "a" } else { "b" }, i)]), 0);
        }
        assert_eq!((tuples.len(), tuples.values().len()), (2, 1));
        let expected: Vec<u32> = (0..rows).map(|i| u32::from(i % 3 != 0)).collect();
        assert_eq!(tuples.of_row(), expected);
        let large = "x".repeat(TUPLE_BYTES_MAX);
        tuples.push(&batch(&[(&large, 1)]), 0);
        assert_eq!((tuples.len(), tuples.values().len()), (1, 0));
        assert!(tuples.of_row().iter().all(|tuple| *tuple == 0));
    }
}
