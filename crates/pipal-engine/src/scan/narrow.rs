//! Narrowing: a table without the rows that a predicate rules out.

use super::{RowPredicate, TableSnapshot};
use crate::row_ranges::RowRanges;
use crate::rows::{
    EntitySelector, GivenRows, ReadRequest, ReadStats, ResourceHead, ResourceKey, RowBatch, RowSource,
    SeriesCursor, SeriesList, TermMatch,
};
use pipal_model::{ColumnKey, ErrorKind, Result, RowPolicy, TimeRange};
use std::sync::Arc;

/// Predicates of more conditions are not asked: each may look at all rows in memory.
const CONDITIONS_MAX: usize = 32;

/// A table as far as a predicate leaves rows of it.
#[derive(Clone, Debug)]
pub struct Narrowed {
    /// Sources that may have rows of use. Only good for rows of the resource that was asked for.
    pub table: TableSnapshot,
    /// Sources that could rule rows out, and did.
    pub sources_narrowed: usize,
    /// Of these, without any row of use.
    pub sources_left_out: usize,
    /// Rows of use of the others.
    pub rows_of_use: u64,
    /// Bytes that the numbers of the rows of use take.
    pub heap_bytes: usize,
}

impl TableSnapshot {
    /// The table without rows of a resource that the predicate rules out; all rows of the selected series that it
    /// accepts stay. Resources of other policies than `Collapse` stay whole, because their rows replace each other. A
    /// damaged filter is logged and not asked.
    pub fn narrowed(
        &self,
        key: &ResourceKey,
        predicate: &RowPredicate,
        selectors: &[EntitySelector],
    ) -> Result<Narrowed> {
        let mut narrowed = Narrowed {
            table: self.clone(),
            sources_narrowed: 0,
            sources_left_out: 0,
            rows_of_use: 0,
            heap_bytes: 0,
        };
        let may_ask = *predicate != RowPredicate::All && predicate.conditions() <= CONDITIONS_MAX;
        let stands_alone = |head: ResourceHead| head.policy == RowPolicy::Collapse;
        if !may_ask || !self.head(key)?.is_some_and(stands_alone) {
            return Ok(narrowed);
        }
        // Rows in memory are looked at one by one, which is only worth it where all would be read.
        let reads_all = selectors.iter().any(|selector| matches!(selector, EntitySelector::All));
        let mut sources: Vec<Arc<dyn RowSource>> = Vec::with_capacity(self.sources.len());
        let mut parts = 0;
        for (number, source) in self.sources.iter().enumerate() {
            let is_part = number < self.parts;
            let useful = match is_part || reads_all {
                true => useful_rows(source, key, predicate)?,
                false => None,
            };
            narrowed.sources_narrowed += usize::from(useful.is_some());
            let source: Arc<dyn RowSource> = match useful {
                Some(rows) if rows.is_empty() => {
                    narrowed.sources_left_out += 1;
                    continue;
                }
                Some(rows) => {
                    narrowed.heap_bytes += rows.heap_bytes();
                    narrowed.rows_of_use += rows.len();
                    Arc::new(NarrowedSource { source: Arc::clone(source), key: key.clone(), rows })
                }
                None => Arc::clone(source),
            };
            parts += usize::from(is_part);
            sources.push(source);
        }
        narrowed.table = TableSnapshot::new(self.shard, parts, sources);
        Ok(narrowed)
    }
}

fn useful_rows(
    source: &Arc<dyn RowSource>,
    key: &ResourceKey,
    predicate: &RowPredicate,
) -> Result<Option<RowRanges>> {
    source.useful_rows(key, predicate).or_else(|error| {
        if error.kind() != ErrorKind::Corrupt {
            return Err(error);
        }
        tracing::error!(%error, "filters cannot be read; all rows are looked at");
        Ok(None)
    })
}

/// A source that gives of one resource only rows of use.
struct NarrowedSource {
    source: Arc<dyn RowSource>,
    key: ResourceKey,
    rows: RowRanges,
}

impl NarrowedSource {
    fn rows_of(&self, key: &ResourceKey) -> Option<&RowRanges> {
        (*key == self.key).then_some(&self.rows)
    }
}

impl RowSource for NarrowedSource {
    fn resources(&self) -> Result<Vec<ResourceHead>> {
        self.source.resources()
    }

    fn resource(&self, key: &ResourceKey) -> Result<Option<ResourceHead>> {
        self.source.resource(key)
    }

    fn time_range(&self) -> Option<TimeRange> {
        self.source.time_range()
    }

    fn series(&self, key: &ResourceKey, selector: &EntitySelector) -> Result<SeriesList> {
        match self.rows_of(key) {
            Some(rows) => self.source.series_within(key, selector, rows),
            None => self.source.series(key, selector),
        }
    }

    fn series_bound(&self, key: &ResourceKey) -> Result<u64> {
        let bound = self.source.series_bound(key)?;
        Ok(self.rows_of(key).map_or(bound, |rows| bound.min(rows.len())))
    }

    fn entities_with_terms(
        &self,
        key: &ResourceKey,
        column: &ColumnKey,
        terms: &[Box<[u8]>],
        limit: usize,
    ) -> Result<TermMatch> {
        self.source.entities_with_terms(key, column, terms, limit)
    }

    fn useful_rows(&self, key: &ResourceKey, predicate: &RowPredicate) -> Result<Option<RowRanges>> {
        self.source.useful_rows(key, predicate)
    }

    fn series_within(
        &self,
        key: &ResourceKey,
        selector: &EntitySelector,
        rows: &RowRanges,
    ) -> Result<SeriesList> {
        self.source.series_within(key, selector, rows)
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
        let request = ReadRequest { rows: self.rows_of(request.key), ..*request };
        self.source.read(&request, series, cursor, out, given, stats)
    }
}
