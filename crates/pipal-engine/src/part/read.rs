//! Reading rows: from series to row groups to chunks, decoding whole ranges where many series are wanted and
//! single ranges where few are.

use super::Companion;
use super::chunk::{ChunkView, StoredColumn};
use super::index::PartIndex;
use super::lookup::each_resource;
use super::primary::{ChunkEntry, GroupEntry, PrimaryBlock, RowGroup};
use super::reader::{Part, inconsistent};
use super::resources::ResourceEntry;
use super::wire::Decoded;
use crate::rows::{
    EntitySelector, ReadRequest, ReadStats, ResourceHead, ResourceKey, RowBatch, RowSource, SeriesList,
    TermMatch,
};
use pipal_codec::{Column, ColumnData, Presence, decode_column};
use pipal_model::{ColumnKey, OrderKey, Result, TimeRange};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

/// Ranges of rows that cover at least a fourth of what they span are decoded as one range.
const SPARSE_FACTOR: usize = 4;
/// Text is compressed in pages, so decoding two ranges apart may cost the same page twice.
const SPARSE_FACTOR_TEXT: usize = 32;

impl RowSource for Part {
    fn resources(&self) -> Result<Vec<ResourceHead>> {
        let index = self.index()?;
        let mut heads = Vec::new();
        each_resource(self, &index, |entry| {
            heads.push(self.head(&index, entry)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(heads)
    }

    fn resource(&self, key: &ResourceKey) -> Result<Option<ResourceHead>> {
        let index = self.index()?;
        let entry = self.find_resource(&index, key)?;
        entry.map(|entry| self.head(&index, &entry)).transpose()
    }

    fn time_range(&self) -> Option<TimeRange> {
        self.summary().time
    }

    fn series(&self, key: &ResourceKey, selector: &EntitySelector) -> Result<SeriesList> {
        self.select_series(key, selector)
    }

    fn series_bound(&self, key: &ResourceKey) -> Result<u64> {
        let index = self.index()?;
        Ok(self.find_resource(&index, key)?.map_or(0, |resource| resource.series))
    }

    fn entities_with_terms(
        &self,
        key: &ResourceKey,
        column: &ColumnKey,
        terms: &[Box<[u8]>],
        limit: usize,
    ) -> Result<TermMatch> {
        self.match_terms(key, column, terms, limit)
    }

    fn companion(&self, key: &ResourceKey, by: &OrderKey) -> Result<Option<Companion<'_>>> {
        self.open_companion(key, by)
    }

    fn read(
        &self,
        request: &ReadRequest<'_>,
        series: &SeriesList,
        selection: Range<usize>,
        out: &mut RowBatch,
        counts: &mut Vec<u32>,
        stats: &mut ReadStats,
    ) -> Result<()> {
        if out.columns.len() != request.columns.len() || selection.end > series.len() {
            return Err(inconsistent("a batch or a selection that does not fit the request"));
        }
        let first_count = counts.len();
        counts.resize(first_count + selection.len(), 0);
        let index = self.index()?;
        let Some(resource) = self.find_resource(&index, request.key)? else { return Ok(()) };
        if selection.is_empty() || !resource.time.overlaps(&request.time) {
            return Ok(());
        }
        let schema = self.misled(index.schemas.get(resource.schema))?;
        let columns = request.columns.iter().map(|key| schema.position(key)).collect();
        let given = Sink { out, counts: &mut counts[first_count..], columns };
        let groups = GroupCursor::new(self, &index);
        let mut reader = SelectionReader {
            groups,
            resource: &resource,
            schema_columns: schema.columns.len(),
            time: request.time,
            sink: given,
            stats,
        };
        reader.read(series, selection)
    }
}

/// Where rows go.
struct Sink<'a> {
    out: &'a mut RowBatch,
    /// Rows given per selected series.
    counts: &'a mut [u32],
    /// Per wanted column its place in the schema.
    columns: Vec<Option<usize>>,
}

/// Rows of one series inside a chunk.
struct Span {
    /// Number of the series in the selection.
    series: usize,
    /// Rows of the chunk.
    rows: Range<usize>,
}

struct SelectionReader<'a> {
    groups: GroupCursor<'a>,
    resource: &'a ResourceEntry,
    schema_columns: usize,
    time: TimeRange,
    sink: Sink<'a>,
    stats: &'a mut ReadStats,
}

impl SelectionReader<'_> {
    fn read(&mut self, series: &SeriesList, selection: Range<usize>) -> Result<()> {
        let mut pending =
            PendingSeries { series, selection: selection.clone(), at: selection.start, done: 0 };
        let mut spans = Vec::new();
        while let Some(row) = pending.next_row() {
            if row < self.resource.first_row || row >= self.resource.end_row() {
                return Err(inconsistent("a series of another resource or source"));
            }
            let entry = self.groups.find(row, self.stats)?;
            if !entry.time.overlaps(&self.time) {
                self.stats.row_groups_pruned += 1;
                pending.skip_to(entry.end_row());
                continue;
            }
            let group = self.groups.load(entry, self.stats)?;
            let chunk = self.groups.part.file.located(entry.offset, group.find(row - entry.first_row))?;
            let first_row = entry.first_row + u64::from(chunk.first_row);
            spans.clear();
            pending.take_until(first_row, first_row + u64::from(chunk.rows), &mut spans);
            let result = self.read_chunk(&group, chunk, &spans);
            self.groups.part.file.located(entry.offset, result)?;
        }
        Ok(())
    }

    fn read_chunk(&mut self, group: &RowGroup, chunk: ChunkEntry, spans: &[Span]) -> Decoded<()> {
        let view = ChunkView::parse(group.bytes_of(chunk)?, chunk.rows as usize, self.schema_columns)?;
        let first = self.sink.out.times.len();
        let survivors = self.read_times(&view, spans)?;
        let count = self.sink.out.times.len() - first;
        if count == 0 {
            return Ok(());
        }
        self.stats.rows += count as u64;
        self.read_versions(&view, &survivors, first)?;
        self.read_tombstones(&view, &survivors, first);
        for (column, place) in self.sink.out.columns.iter_mut().zip(&self.sink.columns) {
            match place {
                None => column.push_missing(Presence::Absent, count),
                Some(place) => read_column(view.column(*place)?, view.rows(), &survivors, count, column)?,
            }
        }
        Ok(())
    }

    /// Gives the times inside the time range, counts them per series, and tells the ranges of rows they are of.
    fn read_times(&mut self, view: &ChunkView<'_>, spans: &[Span]) -> Decoded<Vec<Range<usize>>> {
        let mut survivors: Vec<Range<usize>> = Vec::with_capacity(spans.len());
        let wanted = spans.iter().map(|span| span.rows.len()).sum();
        let mut times = Vec::new();
        let mut decoded = 0..0;
        for (i, span) in spans.iter().enumerate() {
            if span.rows.start >= decoded.end || i == 0 {
                let whole = span.rows.start..spans.last().map_or(span.rows.end, |last| last.rows.end);
                decoded = if is_dense(wanted, &whole, SPARSE_FACTOR) { whole } else { span.rows.clone() };
                times.clear();
                view.decode_times(decoded.clone(), &mut times)?;
            }
            let times = &times[span.rows.start - decoded.start..span.rows.end - decoded.start];
            let begin = times.partition_point(|&time| time < self.time.begin);
            let end = times.partition_point(|&time| time <= self.time.end).max(begin);
            if begin == end {
                continue;
            }
            self.sink.out.times.extend_from_slice(&times[begin..end]);
            if let Some(count) = self.sink.counts.get_mut(span.series) {
                *count += (end - begin) as u32;
            }
            let range = span.rows.start + begin..span.rows.start + end;
            match survivors.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => survivors.push(range),
            }
        }
        Ok(survivors)
    }

    fn read_versions(
        &mut self,
        view: &ChunkView<'_>,
        survivors: &[Range<usize>],
        first: usize,
    ) -> Decoded<()> {
        let RowBatch { times, versions, .. } = &mut *self.sink.out;
        let mut given = first;
        for range in survivors {
            let end = given + range.len();
            view.decode_versions(range.clone(), &times[given..end], versions)?;
            given = end;
        }
        Ok(())
    }

    fn read_tombstones(&mut self, view: &ChunkView<'_>, survivors: &[Range<usize>], first: usize) {
        let RowBatch { times, deleted, .. } = &mut *self.sink.out;
        if view.has_tombstones() {
            deleted.resize(first, false);
            deleted.extend(survivors.iter().cloned().flatten().map(|row| view.is_deleted(row)));
        } else if !deleted.is_empty() {
            deleted.resize(times.len(), false);
        }
    }
}

/// True when ranges with `wanted` rows together should be decoded as the one range `whole` that spans them.
fn is_dense(wanted: usize, whole: &Range<usize>, factor: usize) -> bool {
    wanted * factor >= whole.len()
}

/// Appends the rows in `ranges`, `count` together, of a stored column.
pub(super) fn read_column(
    stored: StoredColumn<'_>,
    rows: usize,
    ranges: &[Range<usize>],
    count: usize,
    out: &mut Column,
) -> Decoded<()> {
    let bytes = match stored {
        StoredColumn::Missing(presence) => {
            out.push_missing(presence, count);
            return Ok(());
        }
        StoredColumn::Encoded(bytes) => bytes,
    };
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { return Ok(()) };
    let whole = first.start..last.end;
    let factor = if matches!(out.data(), ColumnData::Bytes(_)) { SPARSE_FACTOR_TEXT } else { SPARSE_FACTOR };
    if ranges.len() > 1 && is_dense(count, &whole, factor) {
        let mut spanned = Column::new(out.column_type());
        decode_column(out.column_type(), bytes, rows, whole.clone(), &mut spanned)?;
        for range in ranges {
            out.extend_from(&spanned, range.start - whole.start..range.end - whole.start);
        }
        return Ok(());
    }
    for range in ranges {
        decode_column(out.column_type(), bytes, rows, range.clone(), out)?;
    }
    Ok(())
}

/// The selected series that were not read to their end yet.
struct PendingSeries<'a> {
    series: &'a SeriesList,
    selection: Range<usize>,
    /// The present series and how many of its rows are done.
    at: usize,
    done: u32,
}

impl PendingSeries<'_> {
    fn next_row(&mut self) -> Option<u64> {
        while self.at < self.selection.end {
            let (first, rows) = self.series.rows(self.at);
            if self.done < rows {
                return Some(first + u64::from(self.done));
            }
            self.at += 1;
            self.done = 0;
        }
        None
    }

    /// Takes rows of the present series up to `end`; gives their number.
    fn advance(&mut self, row: u64, end: u64) -> u64 {
        let (first, rows) = self.series.rows(self.at);
        let taken = (first + u64::from(rows)).min(end) - row;
        self.done += taken as u32;
        taken
    }

    fn skip_to(&mut self, end: u64) {
        while let Some(row) = self.next_row().filter(|&row| row < end) {
            self.advance(row, end);
        }
    }

    /// Gives the spans in a chunk of rows `first..end`.
    fn take_until(&mut self, first: u64, end: u64, spans: &mut Vec<Span>) {
        while let Some(row) = self.next_row().filter(|&row| first <= row && row < end) {
            let start = (row - first) as usize;
            let taken = self.advance(row, end) as usize;
            spans.push(Span { series: self.at - self.selection.start, rows: start..start + taken });
        }
    }
}

/// Finds and loads row groups in ascending order, and keeps the present one.
pub(super) struct GroupCursor<'a> {
    part: &'a Part,
    index: &'a PartIndex,
    block: Option<(usize, Arc<PrimaryBlock>)>,
    group: Option<(GroupEntry, Arc<RowGroup>)>,
}

impl<'a> GroupCursor<'a> {
    pub(super) fn new(part: &'a Part, index: &'a PartIndex) -> Self {
        GroupCursor { part, index, block: None, group: None }
    }

    pub(super) fn find(&mut self, row: u64, stats: &mut ReadStats) -> Result<GroupEntry> {
        if let Some((entry, _)) = &self.group
            && entry.first_row <= row
            && row < entry.end_row()
        {
            return Ok(*entry);
        }
        let number = self.index.primary.find_first(row).unwrap_or(0);
        let block = match &self.block {
            Some((present, block)) if *present == number => Arc::clone(block),
            _ => self.part.primary_block(self.index, number)?,
        };
        let entry = self.part.misled(block.find(row))?;
        self.block = Some((number, block));
        stats.row_groups_considered += 1;
        Ok(entry)
    }

    pub(super) fn load(&mut self, entry: GroupEntry, stats: &mut ReadStats) -> Result<Arc<RowGroup>> {
        if let Some((present, group)) = &self.group
            && *present == entry
        {
            return Ok(Arc::clone(group));
        }
        let (group, hit) = self.part.row_group(&entry)?;
        stats.row_groups_read += 1;
        stats.cache_hits += u64::from(hit);
        stats.file_bytes += if hit { 0 } else { entry.length };
        self.group = Some((entry, Arc::clone(&group)));
        Ok(group)
    }
}
