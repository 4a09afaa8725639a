//! A part together with what must happen when the last reader lets go of it.

use crate::part::{Companion, Part};
use crate::reaper::Reaper;
use crate::row_ranges::RowRanges;
use crate::rows::{
    EntitySelector, GivenRows, ReadRequest, ReadStats, ResourceHead, ResourceKey, RowBatch, RowSource,
    SeriesCursor, SeriesList, TermMatch,
};
use crate::scan::RowPredicate;
use pipal_model::{ColumnKey, OrderKey, Result, TimeRange};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A part that snapshots share. When it was replaced, the last snapshot that lets go of it hands its file to the
/// reaper; nothing is deleted in the thread of a query.
pub(crate) struct LivePart {
    part: Part,
    number: u64,
    path: PathBuf,
    replaced: AtomicBool,
    reaper: Arc<Reaper>,
}

impl LivePart {
    pub fn new(part: Part, number: u64, path: PathBuf, reaper: Arc<Reaper>) -> Self {
        LivePart { part, number, path, replaced: AtomicBool::new(false), reaper }
    }

    /// The part.
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// Its number, which is its file's name.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its file.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Says that a durable manifest no longer lists the part.
    pub fn mark_replaced(&self) {
        self.replaced.store(true, Ordering::SeqCst);
    }
}

impl Drop for LivePart {
    fn drop(&mut self) {
        if self.replaced.load(Ordering::SeqCst) {
            self.reaper.add_file(self.path.clone());
        }
    }
}

impl RowSource for LivePart {
    fn resources(&self) -> Result<Vec<ResourceHead>> {
        self.part.resources()
    }

    fn resource(&self, key: &ResourceKey) -> Result<Option<ResourceHead>> {
        self.part.resource(key)
    }

    fn time_range(&self) -> Option<TimeRange> {
        self.part.time_range()
    }

    fn series(&self, key: &ResourceKey, selector: &EntitySelector) -> Result<SeriesList> {
        self.part.series(key, selector)
    }

    fn series_bound(&self, key: &ResourceKey) -> Result<u64> {
        self.part.series_bound(key)
    }

    fn entities_with_terms(
        &self,
        key: &ResourceKey,
        column: &ColumnKey,
        terms: &[Box<[u8]>],
        limit: usize,
    ) -> Result<TermMatch> {
        self.part.entities_with_terms(key, column, terms, limit)
    }

    fn useful_rows(&self, key: &ResourceKey, predicate: &RowPredicate) -> Result<Option<RowRanges>> {
        self.part.useful_rows(key, predicate)
    }

    fn series_within(
        &self,
        key: &ResourceKey,
        selector: &EntitySelector,
        rows: &RowRanges,
    ) -> Result<SeriesList> {
        self.part.series_within(key, selector, rows)
    }

    fn companion(&self, key: &ResourceKey, by: &OrderKey) -> Result<Option<Companion<'_>>> {
        self.part.companion(key, by)
    }

    fn read(
        &self,
        request: &ReadRequest<'_>,
        series: &SeriesList,
        cursor: &mut SeriesCursor,
        out: &mut RowBatch,
        given: &mut Vec<GivenRows>,
        stats: &mut ReadStats,
    ) -> Result<()> {
        self.part.read(request, series, cursor, out, given, stats)
    }
}
