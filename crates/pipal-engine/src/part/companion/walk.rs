//! Walking a companion: the rows of a resource in the order of a key, from either end.

use super::cursor::{Course, Cursor};
use super::open::Companion;
use crate::scan::CancelToken;
use pipal_codec::Column;
use pipal_model::{ColumnKey, ErrorKind, Result};
use std::collections::BinaryHeap;

/// What leading values tell of the rows that have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// None passes.
    No,
    /// Other values decide.
    Open,
    /// All pass.
    Yes,
}

/// Tells rows apart by their leading values.
pub trait LeadingFilter {
    /// A verdict for each of `tuples` combinations of values: `values` has a column per column of `columns`, with one
    /// slot per combination. A verdict that is missing counts as open.
    fn verdicts(&self, columns: &[ColumnKey], values: &[Column], tuples: usize) -> Vec<Verdict>;
}

/// Where a walk begins, and where it ends.
#[derive(Clone, Copy, Debug)]
pub struct WalkRequest {
    /// From the greatest key to the least.
    pub descending: bool,
    /// Least and greatest key that are wanted.
    pub keys: (i64, i64),
}

impl WalkRequest {
    /// A number that is the greater the earlier rows with this key come.
    pub(super) fn rank(&self, key: i64) -> i64 {
        if self.descending { key } else { !key }
    }

    /// True when a key between these two may be wanted.
    pub(super) fn overlaps(&self, least: i64, greatest: i64) -> bool {
        least <= self.keys.1 && self.keys.0 <= greatest
    }
}

/// A row that a walk met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderedRow {
    /// Its key.
    pub key: i64,
    /// Its number.
    pub row: u64,
    /// True when its leading values say that it passes, false when other values decide.
    pub passes: bool,
}

/// What came of going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Rows, of which there may be more.
    Rows,
    /// There are no more rows.
    End,
    /// The companion is damaged, which was logged: the rows have to be looked at one by one.
    Unreadable,
}

/// A walk.
pub struct Walk<'a> {
    course: Course<'a>,
    cursors: Vec<Cursor>,
    /// Pieces with the rank of their next row, or of their best one as long as they were not opened.
    queue: BinaryHeap<(i64, usize)>,
}

impl Companion<'_> {
    /// Walks over the rows that `filter` does not rule out.
    pub fn walk<'a>(
        &'a self,
        request: WalkRequest,
        filter: &'a dyn LeadingFilter,
        cancel: &'a CancelToken,
    ) -> Walk<'a> {
        let course = Course { companion: self, request, filter, cancel };
        let mut walk = Walk { course, cursors: Vec::new(), queue: BinaryHeap::new() };
        for piece in 0..self.pieces().len() {
            walk.cursors.push(Cursor::default());
            if let Some((least, greatest)) = self.bounds_of(piece).filter(|b| request.overlaps(b.0, b.1)) {
                let best = if request.descending { greatest } else { least };
                walk.queue.push((request.rank(best), piece));
            }
        }
        walk
    }
}

impl Walk<'_> {
    /// Replaces `out` by the next rows, `most` at most, ordered by key. Rows with keys beyond `worst` are not wanted
    /// any more, now or later.
    pub fn next(&mut self, most: usize, worst: Option<i64>, out: &mut Vec<OrderedRow>) -> Result<Step> {
        out.clear();
        let floor = worst.map_or(i64::MIN, |worst| self.course.request.rank(worst));
        match self.fill(most, floor, out) {
            Ok(()) => Ok(if out.is_empty() { Step::End } else { Step::Rows }),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::error!(%error, "a companion cannot be read; all rows are looked at");
                Ok(Step::Unreadable)
            }
            Err(error) => Err(error),
        }
    }

    fn fill(&mut self, most: usize, floor: i64, out: &mut Vec<OrderedRow>) -> Result<()> {
        while out.len() < most {
            let Some((rank, piece)) = self.queue.pop().filter(|(rank, _)| *rank >= floor) else {
                self.queue.clear();
                return Ok(());
            };
            let Some(cursor) = self.cursors.get_mut(piece) else { continue };
            out.extend(cursor.take());
            if cursor.next_key().is_none() {
                cursor.refill(&self.course, piece, floor)?;
            }
            if let Some(key) = cursor.next_key() {
                let next = self.course.request.rank(key);
                debug_assert!(next <= rank, "keys come in their order");
                self.queue.push((next, piece));
            }
        }
        Ok(())
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.cursors.capacity() * size_of::<Cursor>()
            + self.cursors.iter().map(Cursor::heap_bytes).sum::<usize>()
            + self.queue.capacity() * 16
    }
}
