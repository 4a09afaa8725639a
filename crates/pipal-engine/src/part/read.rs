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
use crate::row_ranges::RowRanges;
use crate::rows::{
    EntitySelector, GivenRows, ReadLimit, ReadRequest, ReadStats, ResourceHead, ResourceKey, RowBatch,
    RowSource, SeriesCursor, SeriesList, TermMatch,
};
use crate::scan::RowPredicate;
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
        self.select_series(key, selector, None)
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

    fn useful_rows(&self, key: &ResourceKey, predicate: &RowPredicate) -> Result<Option<RowRanges>> {
        self.find_useful_rows(key, predicate)
    }

    fn series_within(
        &self,
        key: &ResourceKey,
        selector: &EntitySelector,
        rows: &RowRanges,
    ) -> Result<SeriesList> {
        self.select_series(key, selector, Some(rows))
    }

    fn companion(&self, key: &ResourceKey, by: &OrderKey) -> Result<Option<Companion<'_>>> {
        self.open_companion(key, by)
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
        if out.columns.len() != request.columns.len() {
            return Err(inconsistent("a batch that does not fit the request"));
        }
        let index = self.index()?;
        let resource = self.find_resource(&index, request.key)?;
        let Some(resource) = resource.filter(|resource| resource.time.overlaps(&request.time)) else {
            cursor.skip_to(series, u64::MAX);
            return Ok(());
        };
        let schema = self.misled(index.schemas.get(resource.schema))?;
        let columns = request.columns.iter().map(|key| schema.position(key)).collect();
        let first = out.len();
        let sink = Sink { out, first, bytes: 0, given, limit: request.limit, columns };
        let groups = GroupCursor::new(self, &index);
        let mut reader = SeriesReader {
            groups,
            resource: &resource,
            schema_columns: schema.columns.len(),
            time: request.time,
            rows: request.rows,
            sink,
            stats,
        };
        reader.read(series, cursor)
    }
}

/// Where rows go.
struct Sink<'a> {
    out: &'a mut RowBatch,
    /// Rows that were there before.
    first: usize,
    /// Bytes of the texts of the rows given.
    bytes: usize,
    given: &'a mut Vec<GivenRows>,
    limit: ReadLimit,
    /// Per wanted column its place in the schema.
    columns: Vec<Option<usize>>,
}

impl Sink<'_> {
    /// Rows that may still be given; 0 when the limit is reached.
    fn room(&self) -> usize {
        let rows = self.out.len() - self.first;
        if self.limit.is_reached(rows, self.bytes) { 0 } else { self.limit.rows - rows }
    }
}

/// Rows of one series inside a chunk.
struct Span {
    /// The series, as a position among the wanted ones.
    wanted: u32,
    /// Rows of the chunk.
    rows: Range<usize>,
}

/// Rows of a chunk that are given.
struct Survivors {
    ranges: Vec<Range<usize>>,
    /// Where the limit on rows ended the reading: the span and the first row of the chunk that was not given.
    cut: Option<(usize, usize)>,
}

struct SeriesReader<'a> {
    groups: GroupCursor<'a>,
    resource: &'a ResourceEntry,
    schema_columns: usize,
    time: TimeRange,
    rows: Option<&'a RowRanges>,
    sink: Sink<'a>,
    stats: &'a mut ReadStats,
}

impl SeriesReader<'_> {
    fn read(&mut self, series: &SeriesList, cursor: &mut SeriesCursor) -> Result<()> {
        let mut spans = Vec::new();
        while let Some(pending) = cursor.pending(series) {
            if self.sink.room() == 0 {
                break;
            }
            let row = pending.first_row;
            if row < self.resource.first_row || row >= self.resource.end_row() {
                return Err(inconsistent("a series of another resource or source"));
            }
            if let Some(rows) = self.rows {
                // What comes before the next row of use is not even looked up.
                let next = rows.at_or_after(row).map_or(self.resource.end_row(), |rows| rows.start);
                if next > row {
                    cursor.skip_to(series, next);
                    continue;
                }
            }
            let entry = self.groups.find(row, self.stats)?;
            if !entry.time.overlaps(&self.time) {
                self.stats.row_groups_pruned += 1;
                cursor.skip_to(series, entry.end_row());
                continue;
            }
            let group = self.groups.load(entry, self.stats)?;
            let chunk = self.groups.part.file.located(entry.offset, group.find(row - entry.first_row))?;
            let first_row = entry.first_row + u64::from(chunk.first_row);
            // Rows that time cannot leave out are taken as far as there is room for them.
            let most = if self.time.covers(&entry.time) { self.sink.room() } else { usize::MAX };
            take_spans(cursor, series, first_row..first_row + u64::from(chunk.rows), most, &mut spans);
            let result = self.read_chunk(&group, chunk, &spans);
            if let Some((span, row)) = self.groups.part.file.located(entry.offset, result)? {
                cursor.go_back(series, spans[span].wanted, first_row + row as u64);
                break;
            }
        }
        Ok(())
    }

    /// Gives the rows of the spans, and tells where the limit on rows cut them.
    fn read_chunk(
        &mut self,
        group: &RowGroup,
        chunk: ChunkEntry,
        spans: &[Span],
    ) -> Decoded<Option<(usize, usize)>> {
        let view = ChunkView::parse(group.bytes_of(chunk)?, chunk.rows as usize, self.schema_columns)?;
        let first = self.sink.out.times.len();
        let Survivors { ranges, cut } = self.read_times(&view, spans)?;
        let count = self.sink.out.times.len() - first;
        if count == 0 {
            return Ok(cut);
        }
        self.stats.rows += count as u64;
        self.read_versions(&view, &ranges, first)?;
        self.read_tombstones(&view, &ranges, first);
        for (column, place) in self.sink.out.columns.iter_mut().zip(&self.sink.columns) {
            match place {
                None => column.push_missing(Presence::Absent, count),
                Some(place) => read_column(view.column(*place)?, view.rows(), &ranges, count, column)?,
            }
        }
        self.sink.bytes += self.sink.out.text_bytes(first..first + count);
        Ok(cut)
    }

    /// Gives the times inside the time range, notes them per series, and tells the rows that they are of.
    fn read_times(&mut self, view: &ChunkView<'_>, spans: &[Span]) -> Decoded<Survivors> {
        let mut ranges: Vec<Range<usize>> = Vec::with_capacity(spans.len());
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
            let given = (end - begin).min(self.sink.room());
            let range = span.rows.start + begin..span.rows.start + begin + given;
            if given > 0 {
                self.sink.out.times.extend_from_slice(&times[begin..begin + given]);
                GivenRows::push(self.sink.given, span.wanted, given as u32);
                match ranges.last_mut() {
                    Some(last) if last.end == range.start => last.end = range.end,
                    _ => ranges.push(range.clone()),
                }
            }
            if given < end - begin {
                return Ok(Survivors { ranges, cut: Some((i, range.end)) });
            }
        }
        Ok(Survivors { ranges, cut: None })
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

/// Takes pending rows that lie in the rows `chunk` of a chunk, `most` at most, for done, and gives them as spans.
fn take_spans(
    cursor: &mut SeriesCursor,
    series: &SeriesList,
    chunk: Range<u64>,
    most: usize,
    spans: &mut Vec<Span>,
) {
    spans.clear();
    let mut room = most;
    while let Some(pending) = cursor.pending(series).filter(|pending| chunk.contains(&pending.first_row)) {
        let start = (pending.first_row - chunk.start) as usize;
        let taken = room.min(pending.rows_before(chunk.end) as usize);
        if taken == 0 {
            break;
        }
        spans.push(Span { wanted: pending.wanted, rows: start..start + taken });
        cursor.advance(series, taken as u32);
        room -= taken;
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
