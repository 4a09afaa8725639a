//! How far the wanted series of a source have been read.

use crate::rows::SeriesList;

/// Series of one source that are wanted, and the first of their stored rows that was not read yet. Sources read
/// piece by piece, so that neither a series with millions of rows nor rows of megabytes are ever held as a whole.
#[derive(Clone, Debug, Default)]
pub struct SeriesCursor {
    /// Ascending indices into the list of the source.
    wanted: Vec<u32>,
    /// The present series, as a position in `wanted`, and how many of its stored rows are done.
    at: usize,
    done: u32,
}

/// Stored rows of the present series that were not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingRows {
    /// The series, as a position among the wanted ones.
    pub wanted: u32,
    /// The next row, as the source numbers them.
    pub first_row: u64,
    /// Number of rows from there on.
    pub rows: u32,
}

impl SeriesCursor {
    /// At the first row of these series, ascending indices into the list of a source.
    pub fn new(wanted: Vec<u32>) -> Self {
        SeriesCursor { wanted, at: 0, done: 0 }
    }

    /// At the first row of all series of a list.
    pub fn whole(list: &SeriesList) -> Self {
        SeriesCursor::new((0..list.len() as u32).collect())
    }

    /// Wants nothing, and keeps its allocation.
    pub fn clear(&mut self) {
        self.wanted.clear();
        (self.at, self.done) = (0, 0);
    }

    /// Wants one more series, which is greater than all wanted before.
    pub fn push(&mut self, index: u32) {
        debug_assert!(self.wanted.last().is_none_or(|last| *last < index), "series must be wanted in order");
        self.wanted.push(index);
    }

    /// True when everything was read.
    pub fn is_at_end(&self) -> bool {
        self.at >= self.wanted.len()
    }

    /// The present series, as a position among the wanted ones, and how many of its stored rows are done.
    pub fn position(&self) -> (usize, u32) {
        (self.at, self.done)
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.wanted.capacity() * size_of::<u32>()
    }

    /// What is to be read next of the list that the series are of; none at the end.
    pub fn pending(&mut self, list: &SeriesList) -> Option<PendingRows> {
        while let Some(&index) = self.wanted.get(self.at) {
            let (first, rows) = list.rows(index as usize);
            if self.done < rows {
                let (first_row, rows) = (first + u64::from(self.done), rows - self.done);
                return Some(PendingRows { wanted: self.at as u32, first_row, rows });
            }
            self.at += 1;
            self.done = 0;
        }
        None
    }

    /// Takes `rows` of the pending ones for done.
    pub fn advance(&mut self, list: &SeriesList, rows: u32) {
        let Some(&index) = self.wanted.get(self.at) else { return };
        self.done += rows;
        if self.done >= list.rows(index as usize).1 {
            self.at += 1;
            self.done = 0;
        }
    }

    /// Takes all rows before `end`, as the source numbers them, for done.
    pub fn skip_to(&mut self, list: &SeriesList, end: u64) {
        while let Some(pending) = self.pending(list).filter(|pending| pending.first_row < end) {
            self.advance(list, pending.rows_before(end));
        }
    }

    /// Goes back to a row of a series that was passed.
    pub fn go_back(&mut self, list: &SeriesList, wanted: u32, row: u64) {
        let Some(&index) = self.wanted.get(wanted as usize) else { return };
        self.at = wanted as usize;
        self.done = row.saturating_sub(list.rows(index as usize).0) as u32;
    }
}

impl PendingRows {
    /// How many of the rows lie before `end`.
    pub fn rows_before(&self, end: u64) -> u32 {
        u64::from(self.rows).min(end.saturating_sub(self.first_row)) as u32
    }
}
