//! Writes a part: rows first, chunk by chunk as they come; then everything that leads to them.

use super::chunk::encode_chunk;
use super::companion::CompanionWriter;
use super::entities::EntityInterner;
use super::filters::FilterWriter;
use super::footer::{Footer, Section};
use super::order::{Continuation, OrderCheck};
use super::output::Output;
use super::primary::{GroupBuilder, GroupEntry};
use super::regions::Regions;
use super::resources::ResourceEntry;
use super::schema::{ColumnList, SchemaBuilder};
use super::terms::TermWriter;
use super::{CHUNK_BYTES_MAX, GROUP_BYTES_TARGET, PARENTS_MAX, PartIdentity, PartSummary, footer, sections};
use crate::fs::FileSystem;
use crate::rows::{CHUNK_ROWS_MAX, ResourceHead, RowBatch, RowKind};
use pipal_codec::column::BytesData;
use pipal_codec::{ColumnData, Effort, Presence, Validity};
use pipal_model::{Analyzer, ColumnKey, Error, ErrorKind, Orders, Result, TimeRange};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Most bytes that the values of one row of a part may take together.
pub const ROW_BYTES_MAX: usize = 256 << 20;

/// What an entity costs besides its bytes: its end, its slot among the hashes, and two numbers when they are sorted.
pub(super) const ENTITY_OVERHEAD_BYTES: usize = 8 + 5 + 4 + 8;

/// A series of the resource it follows: entity by number of arrival, rows.
pub(super) struct SeriesDraft {
    pub(super) entity: u32,
    pub(super) rows: u32,
}

/// What is known when all rows are written.
pub(super) struct Draft {
    pub(super) out: Output,
    pub(super) effort: Effort,
    pub(super) identity: PartIdentity,
    pub(super) summary: PartSummary,
    pub(super) schemas: SchemaBuilder,
    pub(super) entities: EntityInterner,
    pub(super) terms: TermWriter,
    pub(super) filters: FilterWriter,
    pub(super) companions: CompanionWriter,
    /// Series of all resources, in their order.
    pub(super) series: Vec<SeriesDraft>,
    pub(super) resources: Vec<ResourceEntry>,
    pub(super) groups: Vec<GroupEntry>,
    pub(super) regions: Regions,
}

/// Writes one part under a temporary name. Unless [`PartWriter::finish`] succeeds, the file is removed when the
/// writer is dropped.
///
/// Held in memory: the distinct entities, 8 bytes per series, some 100 per resource and 60 per row group, and up to a
/// limit each the terms of indexed columns, the filters, and one piece of companions.
pub struct PartWriter {
    draft: Draft,
    order: OrderCheck,
    /// Columns of the present resource.
    columns: Arc<[ColumnKey]>,
    indexed: Arc<[bool]>,
    filters: Arc<[Option<Analyzer>]>,
    orders: Arc<Orders>,
    /// Region of each column of the present resource.
    families: Vec<usize>,
    /// Rows of the present resource that do not fill a chunk yet.
    pending: RowBatch,
    pending_bytes: usize,
    group: GroupBuilder,
    /// True from the first error on: what is in the file is then unknown.
    broken: bool,
}

impl PartWriter {
    /// Creates the file `<path>.tmp` (mode 0600).
    pub fn create(
        fs: &Arc<dyn FileSystem>,
        path: &Path,
        identity: PartIdentity,
        effort: Effort,
    ) -> Result<Self> {
        if identity.parents.len() > PARENTS_MAX {
            return Err(Error::internal("write part", "more parents than a part may have"));
        }
        let mut out = Output::create(fs, path)?;
        out.put(&[&footer::encode_header()])?;
        out.end_section();
        let draft = Draft {
            out,
            effort,
            identity,
            summary: PartSummary { format_version: super::FORMAT_VERSION, ..PartSummary::default() },
            schemas: SchemaBuilder::default(),
            entities: EntityInterner::default(),
            terms: TermWriter::new(effort),
            filters: FilterWriter::new(effort),
            companions: CompanionWriter::new(effort),
            series: Vec::new(),
            resources: Vec::new(),
            groups: Vec::new(),
            regions: Regions::default(),
        };
        Ok(PartWriter {
            draft,
            order: OrderCheck::default(),
            columns: Arc::new([]),
            indexed: Arc::new([]),
            filters: Arc::new([]),
            orders: Arc::default(),
            families: Vec::new(),
            pending: RowBatch::default(),
            pending_bytes: 0,
            group: GroupBuilder::default(),
            broken: false,
        })
    }

    /// Appends rows of one resource. `series` names consecutive entities and the rows of each, which add up to
    /// the rows of the batch (1 to [`CHUNK_ROWS_MAX`]); the batch's columns follow `head.columns`. A resource may
    /// take many batches and a series may go on in the next one. Batches come in the order of the part; a
    /// violation is an `Internal` error (SE-022). After an error only dropping the writer makes sense.
    pub fn append(&mut self, head: &ResourceHead, series: &[(&[u8], u32)], rows: &RowBatch) -> Result<()> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(Error::internal("write part", "the writer has failed before"));
        }
        let continuation = self.order.accept(head, series, rows)?;
        if continuation.new_resource {
            self.begin_resource(head)?;
        }
        self.count_rows(continuation, series, rows)?;
        let Draft { resources, terms, companions, out, .. } = &mut self.draft;
        let rows_of_resource = resources.last().map_or(0, |resource| resource.rows);
        let rows_before = rows_of_resource - rows.len() as u64;
        terms.add(rows, rows_before, series, continuation.same_series);
        companions.add(rows, out)?;
        self.take_rows(rows)?;
        self.broken = false;
        Ok(())
    }

    /// Replaces the limit of terms in memory.
    #[cfg(test)]
    pub(super) fn set_term_bytes_max(&mut self, bytes_max: usize) {
        self.draft.terms.set_bytes_max(bytes_max);
    }

    /// Replaces the limits of filters: of memory, and of the chunks of a span.
    #[cfg(test)]
    pub(super) fn set_filter_limits(&mut self, bytes_max: usize, chunks_max: usize) {
        self.draft.filters.set_limits(bytes_max, chunks_max);
    }

    /// Replaces the limits of companions.
    #[cfg(test)]
    pub(super) fn set_companion_limits(&mut self, rows_min: u64, piece_rows_max: usize) {
        self.draft.companions.set_limits(rows_min, piece_rows_max);
    }

    /// Bytes of the file so far, without what is buffered per chunk and row group.
    pub fn written_bytes(&self) -> u64 {
        self.draft.out.position()
    }

    /// Bytes held in memory, with those that sorting the entities will take at the end.
    pub fn heap_bytes(&self) -> usize {
        self.draft.entities.heap_bytes()
            + self.draft.entities.len() * (4 + 8)
            + self.draft.out.heap_bytes()
            + self.draft.terms.heap_bytes()
            + self.draft.filters.heap_bytes()
            + self.draft.companions.heap_bytes()
            + self.draft.series.capacity() * size_of::<SeriesDraft>()
            + self.draft.resources.capacity() * size_of::<ResourceEntry>()
            + self.draft.groups.capacity() * size_of::<GroupEntry>()
            + self.pending.heap_bytes()
            + self.group.heap_bytes()
    }

    /// Completes the file: writes directories, identity and footer, and makes it durable. It keeps its
    /// temporary name; the caller links it into place. A part without rows is refused.
    pub fn finish(mut self) -> Result<PartSummary> {
        if self.broken {
            return Err(Error::internal("write part", "the writer has failed before"));
        }
        self.end_resource()?;
        self.flush_group()?;
        let Draft { resources, .. } = &self.draft;
        if resources.is_empty() {
            return Err(Error::internal("write part", "a part without rows"));
        }
        let mut draft = self.draft;
        let mut contents = sections::write(&mut draft)?;
        contents.regions = draft.regions.list(draft.companions.written_bytes());
        let contents = draft.out.put(&[&contents.encode()])?;
        if contents.length > u64::from(footer::CONTENTS_BYTES_MAX) {
            return Err(Error::internal("write part", "a table of contents above its limit"));
        }
        let file_length = draft.out.position() + footer::FOOTER_BYTES as u64;
        let footer = Footer { contents, file_length, id: draft.identity.id };
        draft.out.put(&[&footer.encode()])?;
        draft.summary.file_bytes = file_length;
        draft.out.complete()?;
        Ok(draft.summary)
    }

    fn begin_resource(&mut self, head: &ResourceHead) -> Result<()> {
        self.end_resource()?;
        self.draft.terms.begin(&head.indexed);
        (self.columns, self.indexed) = (Arc::clone(&head.columns), Arc::clone(&head.indexed));
        self.filters = Arc::clone(&head.filters);
        self.orders = Arc::clone(&head.orders);
        self.families.clear();
        for column in head.columns.iter() {
            self.families.push(self.draft.regions.family(&column.family));
        }
        let fits = self.pending.columns.iter().map(|c| c.column_type()).eq(head.columns.iter().map(|c| c.ty));
        if !fits {
            self.pending = RowBatch::new(&head.columns);
        }
        let first_row = self.draft.resources.last().map_or(0, ResourceEntry::end_row);
        self.draft.filters.begin(head, first_row);
        self.draft.companions.begin(head, first_row);
        self.draft.resources.push(ResourceEntry {
            key: head.key.clone(),
            policy: head.policy,
            schema: 0,
            first_row,
            rows: 0,
            series: 0,
            time: TimeRange { begin: i64::MAX, end: i64::MIN },
            page: 0,
            block: 0,
        });
        Ok(())
    }

    /// Completes the present resource. Only now is it known which of its columns have lists of terms.
    fn end_resource(&mut self) -> Result<()> {
        self.flush_pending()?;
        let Draft { resources, terms, filters, companions, schemas, out, .. } = &mut self.draft;
        filters.end();
        companions.end(out)?;
        let Some(resource) = resources.last_mut() else { return Ok(()) };
        let with_terms = terms.end(resource.first_row, resource.series, self.columns.len());
        let (columns, indexed) = (Arc::clone(&self.columns), Arc::clone(&self.indexed));
        let (filters, orders) = (Arc::clone(&self.filters), Arc::clone(&self.orders));
        resource.schema = schemas.number(ColumnList { columns, indexed, with_terms, filters, orders });
        Ok(())
    }

    /// Counts series, rows and times of a batch.
    fn count_rows(
        &mut self,
        continuation: Continuation,
        series: &[(&[u8], u32)],
        rows: &RowBatch,
    ) -> Result<()> {
        let Some(resource) = self.draft.resources.last_mut() else { return Ok(()) };
        let mut fresh = series;
        if let (true, Some(last), Some((&(_, count), rest))) =
            (continuation.same_series, self.draft.series.last_mut(), series.split_first())
        {
            let total = last.rows.checked_add(count);
            last.rows =
                total.ok_or_else(|| Error::internal("write part", "a series of more than 2^32 rows"))?;
            fresh = rest;
        }
        for &(entity, rows) in fresh {
            let entity = self.draft.entities.number(entity)?;
            self.draft.series.push(SeriesDraft { entity, rows });
        }
        resource.series += fresh.len() as u64;
        resource.rows += rows.len() as u64;
        let time = time_range(&rows.times);
        resource.time = union(resource.time, time);
        let summary = &mut self.draft.summary;
        summary.series += fresh.len() as u64;
        summary.rows[resource.key.kind as usize] += rows.len() as u64;
        if resource.key.kind == RowKind::Data {
            summary.time = Some(summary.time.map_or(time, |old| union(old, time)));
        }
        Ok(())
    }

    /// Makes chunks of as many rows as fit, and keeps the rest.
    fn take_rows(&mut self, rows: &RowBatch) -> Result<()> {
        let texts = texts_of(rows);
        let mut start = 0;
        while start < rows.len() {
            let (count, bytes) = self.rows_that_fit(&texts, start..rows.len())?;
            let whole = count == rows.len() && self.pending.is_empty();
            // A large batch is encoded where it lies; a small one may share a chunk with the next.
            if whole && (count >= CHUNK_ROWS_MAX / 2 || bytes >= CHUNK_BYTES_MAX / 2) {
                return self.add_chunk(rows);
            }
            self.pending.extend_from(rows, start..start + count);
            self.pending_bytes += bytes;
            start += count;
            if start < rows.len() {
                self.flush_pending()?;
            }
        }
        Ok(())
    }

    /// How many of these rows fit into the present chunk, and the bytes of their texts. It is at least one if the
    /// chunk is empty.
    fn rows_that_fit(&self, texts: &[&BytesData], rows: Range<usize>) -> Result<(usize, usize)> {
        let most = (CHUNK_ROWS_MAX - self.pending.len()).min(rows.len());
        if texts.is_empty() {
            return Ok((most, 0));
        }
        let mut bytes = 0;
        for row in rows.start..rows.start + most {
            let row_bytes: usize = texts.iter().map(|values| values.get(row).len()).sum();
            if row_bytes > ROW_BYTES_MAX {
                return Err(Error::new(ErrorKind::ResourceExhausted, "write part", "a row above its limit"));
            }
            let is_first = row == rows.start && self.pending.is_empty();
            if !is_first && self.pending_bytes + bytes + row_bytes > CHUNK_BYTES_MAX {
                return Ok((row - rows.start, bytes));
            }
            bytes += row_bytes;
        }
        Ok((most, bytes))
    }

    fn flush_pending(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut rows = std::mem::take(&mut self.pending);
        let result = self.add_chunk(&rows);
        rows.clear();
        self.pending = rows;
        self.pending_bytes = 0;
        result
    }

    fn add_chunk(&mut self, rows: &RowBatch) -> Result<()> {
        let time = time_range(&rows.times);
        self.draft.filters.add_chunk(rows);
        // A large chunk gets a group of its own: who reads it has no use for the small ones before it.
        if rows.len() >= CHUNK_ROWS_MAX / 4 {
            self.flush_group()?;
        }
        let (families, effort, regions) = (&self.families, self.draft.effort, &mut self.draft.regions);
        self.group.add(rows.len(), time, |out| encode_chunk(rows, families, effort, regions, out));
        if self.group.len() >= GROUP_BYTES_TARGET { self.flush_group() } else { Ok(()) }
    }

    fn flush_group(&mut self) -> Result<()> {
        if self.group.is_empty() {
            return Ok(());
        }
        let Draft { out, groups, .. } = &mut self.draft;
        let first_row = groups.last().map_or(0, GroupEntry::end_row);
        let group = self.group.finish(|directory, chunks, rows, time| {
            let extent = out.put(&[directory, chunks])?;
            let (offset, length, crc) = (extent.offset, extent.length, extent.crc);
            Ok::<_, Error>(GroupEntry { first_row, rows, offset, length, crc, time })
        })?;
        if u32::try_from(group.length).is_err() {
            return Err(Error::new(ErrorKind::ResourceExhausted, "write part", "a row group above 4 GiB"));
        }
        groups.push(group);
        self.draft.summary.row_groups += 1;
        Ok(())
    }
}

/// Columns whose values take bytes of their own.
fn texts_of(rows: &RowBatch) -> Vec<&BytesData> {
    let texts = rows.columns.iter().filter_map(|column| match (column.data(), column.validity()) {
        (_, Validity::All(Presence::Absent | Presence::Null)) => None,
        (ColumnData::Bytes(values), _) => Some(values),
        (ColumnData::I64(_) | ColumnData::F64(_), _) => None,
    });
    texts.collect()
}

fn time_range(times: &[i64]) -> TimeRange {
    let none = TimeRange { begin: i64::MAX, end: i64::MIN };
    times.iter().fold(none, |range, &t| TimeRange { begin: range.begin.min(t), end: range.end.max(t) })
}

fn union(a: TimeRange, b: TimeRange) -> TimeRange {
    TimeRange { begin: a.begin.min(b.begin), end: a.end.max(b.end) }
}

/// The sections as [`sections::write`] ends them.
pub(super) fn end_section(draft: &mut Draft, contents: &mut footer::Contents, section: Section) {
    contents.set(section, draft.out.end_section());
}

/// Cuts `range` into pieces of at most `size`.
pub(super) fn pieces(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(size).map(move |start| start..(start + size).min(end))
}
