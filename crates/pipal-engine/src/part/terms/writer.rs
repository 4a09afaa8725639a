//! Collects terms while a part is written: those of the present resource by column, those of earlier ones in blocks.

use super::encode::{ListWriter, TermBlocks};
use super::{INDEXED_SERIES_MIN, bits_for, hash_of, posting_of};
use crate::rows::RowBatch;
use crate::terms::any_term;
use pipal_codec::{Effort, Presence, Validity};
use std::sync::Arc;

/// Most bytes that terms may take until the part is complete. Beyond, the column with the most terms of the present
/// resource is left without lists, and the part says so.
pub(in super::super) const TERMS_HEAP_BYTES_MAX: usize = 64 << 20;
/// Allocations up to this size are kept from one resource to the next.
const SPARE_BYTES_MAX: usize = 64 << 10;
/// A hash that more than one in this many series have stands for all of them.
const COMMON_FRACTION: u64 = 4;

/// Terms of one column of the present resource.
#[derive(Default)]
struct ColumnTerms {
    /// Place in the column list.
    place: usize,
    /// Hash of a term in the upper half, first row of a series in the lower.
    postings: Vec<u64>,
}

impl ColumnTerms {
    fn add(&mut self, term: &[u8], series_row: u32) {
        let posting = posting_of(hash_of(term), series_row);
        // Values repeat from row to row.
        if self.postings.last() != Some(&posting) {
            self.postings.push(posting);
        }
    }

    fn sort(&mut self) {
        self.postings.sort_unstable();
        self.postings.dedup();
    }

    fn heap_bytes(&self) -> usize {
        self.postings.capacity() * 8
    }
}

/// Terms of a part on their way.
pub(in super::super) struct TermWriter {
    bytes_max: usize,
    /// Indexed columns of the present resource, by place.
    columns: Vec<ColumnTerms>,
    /// Empty columns with allocations.
    spare: Vec<ColumnTerms>,
    /// First rows of the series of a batch; between batches the first row of the last series.
    series_rows: Vec<u32>,
    lists: ListWriter,
}

impl TermWriter {
    pub(in super::super) fn new(effort: Effort) -> Self {
        TermWriter {
            bytes_max: TERMS_HEAP_BYTES_MAX,
            columns: Vec::new(),
            spare: Vec::new(),
            series_rows: Vec::new(),
            lists: ListWriter::new(effort),
        }
    }

    /// Replaces the limit, so that tests reach it.
    #[cfg(test)]
    pub(in super::super) fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Begins a resource with these indexed columns.
    pub(in super::super) fn begin(&mut self, indexed: &[bool]) {
        debug_assert!(self.columns.is_empty(), "the resource before was not ended");
        for (place, _) in indexed.iter().enumerate().filter(|(_, indexed)| **indexed) {
            let spare = self.spare.pop().unwrap_or_default();
            self.columns.push(ColumnTerms { place, ..spare });
        }
    }

    /// Takes rows of the present resource, of which `rows_before` came before. `series` has the entity and the rows of
    /// each series; the first one may go on from the batch before.
    pub(in super::super) fn add(
        &mut self,
        rows: &RowBatch,
        rows_before: u64,
        series: &[(&[u8], u32)],
        same_series: bool,
    ) {
        let end = rows_before.saturating_add(rows.len() as u64);
        if end > u64::from(u32::MAX) {
            // Rows beyond have no numbers here.
            self.columns.clear();
        }
        if self.columns.is_empty() {
            return;
        }
        self.number_series(rows_before as u32, series, same_series);
        for column in &mut self.columns {
            let Some(values) = rows.columns.get(column.place) else { continue };
            if matches!(values.validity(), Validity::All(Presence::Absent | Presence::Null)) {
                continue;
            }
            let mut next = 0;
            for ((_, count), series_row) in series.iter().zip(&self.series_rows) {
                let end = next + *count as usize;
                for row in next..end {
                    any_term(values.get(row), |term| {
                        column.add(term, *series_row);
                        false
                    });
                }
                next = end;
            }
        }
        self.keep_limit();
    }

    fn number_series(&mut self, rows_before: u32, series: &[(&[u8], u32)], same_series: bool) {
        let going_on = self.series_rows.last().copied().filter(|_| same_series);
        self.series_rows.clear();
        let mut next = rows_before;
        for (_, count) in series {
            self.series_rows.push(next);
            next += count;
        }
        if let (Some(row), Some(first)) = (going_on, self.series_rows.first_mut()) {
            *first = row;
        }
    }

    /// A column that takes too much is forgotten: lists are complete or not there.
    fn keep_limit(&mut self) {
        while self.heap_bytes() > self.bytes_max {
            self.spare.clear();
            let largest = (0..self.columns.len()).max_by_key(|&i| self.columns[i].postings.len());
            let Some(largest) = largest else { return };
            let column = &mut self.columns[largest];
            // Rows of a series that take turns in their terms leave many equal postings.
            let before = column.postings.len();
            column.sort();
            if column.postings.len() > before / 2 {
                self.columns.remove(largest);
            } else {
                column.postings.shrink_to_fit();
            }
        }
    }

    /// Ends the present resource. Tells which of its columns have lists.
    pub(in super::super) fn end(&mut self, first_row: u64, series: u64, columns: usize) -> Arc<[bool]> {
        let mut built = vec![false; columns];
        for mut column in std::mem::take(&mut self.columns) {
            if let Some(flag) = built.get_mut(column.place).filter(|_| series >= INDEXED_SERIES_MIN) {
                *flag = true;
                column.sort();
                let place = (first_row, column.place as u32);
                self.lists.put(&column.postings, place, bits_for, series / COMMON_FRACTION);
            }
            column.postings.clear();
            if column.heap_bytes() <= SPARE_BYTES_MAX {
                self.spare.push(column);
            }
        }
        built.into()
    }

    /// All blocks. The writer is empty afterwards.
    pub(in super::super) fn finish(&mut self) -> TermBlocks {
        self.lists.finish()
    }

    /// Bytes held.
    pub(in super::super) fn heap_bytes(&self) -> usize {
        self.lists.heap_bytes()
            + self.columns.iter().chain(&self.spare).map(ColumnTerms::heap_bytes).sum::<usize>()
    }
}
