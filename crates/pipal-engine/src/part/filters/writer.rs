//! Collects bounds and terms while a part is written, chunk by chunk.

use super::super::terms::{ListWriter, TermBlocks, hash_of, posting_of};
use super::bounds::ChunkBounds;
use super::encode::{BoundsDraft, ColumnDraft};
use super::{FILTERED_ROWS_MIN, SPAN_CHUNKS_MAX, bits_for};
use crate::rows::{ResourceHead, RowBatch};
use crate::terms::each_filter_term;
use pipal_codec::{Column, Effort, Presence, Validity};
use pipal_model::{Analyzer, ColumnType, RowPolicy};

/// Most bytes that filters and bounds may take until the part is complete. Beyond, what follows has bounds only.
pub(in super::super) const FILTERS_HEAP_BYTES_MAX: usize = 64 << 20;
/// A span is closed when it has so many postings.
const SPAN_POSTINGS_MAX: usize = 1 << 20;
/// What the postings of a span may hold; vectors that grew may be half empty.
pub(in super::super) const SPAN_HEAP_BYTES_MAX: usize = 2 * 8 * SPAN_POSTINGS_MAX;
/// Most distinct terms of a column in a chunk. A chunk with more is a span of its own without that filter.
const CHUNK_TERMS_MAX: usize = 1 << 16;
/// A hash that more than this part of the chunks have stands for all of them.
const COMMON: (u64, u64) = (3, 4);

/// A column with a filter.
struct FilteredColumn {
    place: usize,
    analyzer: Analyzer,
    /// Distinct hashes of the present chunk, sorted; none when there are too many.
    chunk: Option<Vec<u32>>,
    /// Of the present span.
    postings: Vec<u64>,
    /// False when a chunk of the present span had too many terms.
    is_complete: bool,
}

/// A column of numbers with the bounds of each chunk of the present span.
struct BoundedColumn {
    place: usize,
    bounds: Vec<ChunkBounds>,
}

/// Bounds and filters of a part on their way.
pub(in super::super) struct FilterWriter {
    effort: Effort,
    bytes_max: usize,
    chunks_max: usize,
    /// False while the present resource has neither bounds nor filters.
    is_active: bool,
    filtered: Vec<FilteredColumn>,
    bounded: Vec<BoundedColumn>,
    /// Rows of each chunk of the present span, and its first row.
    chunks: Vec<u32>,
    first_row: u64,
    /// True once a span of the present resource was closed.
    has_span: bool,
    lists: ListWriter,
    blocks: Vec<BoundsDraft>,
    block_bytes: usize,
}

impl FilterWriter {
    pub(in super::super) fn new(effort: Effort) -> Self {
        FilterWriter {
            effort,
            bytes_max: FILTERS_HEAP_BYTES_MAX,
            chunks_max: SPAN_CHUNKS_MAX,
            is_active: false,
            filtered: Vec::new(),
            bounded: Vec::new(),
            chunks: Vec::new(),
            first_row: 0,
            has_span: false,
            lists: ListWriter::new(effort),
            blocks: Vec::new(),
            block_bytes: 0,
        }
    }

    /// Replaces the limits, so that tests reach them.
    #[cfg(test)]
    pub(in super::super) fn set_limits(&mut self, bytes_max: usize, chunks_max: usize) {
        (self.bytes_max, self.chunks_max) = (bytes_max, chunks_max);
    }

    /// Begins a resource at this row; the one before was ended.
    pub(in super::super) fn begin(&mut self, head: &ResourceHead, first_row: u64) {
        self.is_active = head.policy == RowPolicy::Collapse;
        self.filtered.clear();
        self.bounded.clear();
        (self.first_row, self.has_span) = (first_row, false);
        if !self.is_active {
            return;
        }
        for (place, (column, used)) in head.uses().enumerate() {
            if matches!(column.ty, ColumnType::Int | ColumnType::Timestamp | ColumnType::Float) {
                self.bounded.push(BoundedColumn { place, bounds: Vec::new() });
            }
            if let Some(analyzer) = used.filter.filter(|_| self.has_room()) {
                let (chunk, postings) = (Some(Vec::new()), Vec::new());
                self.filtered.push(FilteredColumn { place, analyzer, chunk, postings, is_complete: true });
            }
        }
    }

    /// Takes the next chunk of the present resource.
    pub(in super::super) fn add_chunk(&mut self, rows: &RowBatch) {
        if !self.is_active {
            return;
        }
        let mut too_many = false;
        for column in &mut self.filtered {
            column.collect(rows.columns.get(column.place));
            too_many |= column.chunk.is_none();
        }
        if too_many {
            self.close_span();
        }
        let number = self.chunks.len() as u32;
        self.chunks.push(rows.len() as u32);
        for column in &mut self.bounded {
            let values = rows.columns.get(column.place);
            column.bounds.push(values.map(ChunkBounds::of).unwrap_or_default());
        }
        let mut postings = 0;
        for column in &mut self.filtered {
            column.is_complete &= column.chunk.is_some();
            let hashes = column.chunk.get_or_insert_default().drain(..);
            column.postings.extend(hashes.map(|hash| posting_of(hash, number)));
            postings += column.postings.len();
        }
        if too_many || postings >= SPAN_POSTINGS_MAX || self.chunks.len() >= self.chunks_max {
            self.close_span();
        }
        if !self.has_room() {
            self.filtered.clear();
        }
    }

    fn has_room(&self) -> bool {
        self.heap_bytes() <= self.bytes_max
    }

    /// Ends the present resource.
    pub(in super::super) fn end(&mut self) {
        let rows: u64 = self.chunks.iter().map(|rows| u64::from(*rows)).sum();
        if self.is_active && (self.has_span || rows >= FILTERED_ROWS_MIN) {
            self.close_span();
        }
        self.chunks.clear();
        self.is_active = false;
    }

    fn close_span(&mut self) {
        if self.chunks.is_empty() {
            return;
        }
        let (most, of) = COMMON;
        let common = self.chunks.len() as u64 * most / of;
        for column in &mut self.filtered {
            column.postings.sort_unstable();
            if column.is_complete {
                let place = (self.first_row, column.place as u32);
                self.lists.put(&column.postings, place, bits_for, common);
            }
        }
        let block = BoundsDraft::new(self.first_row, &self.chunks, &self.columns(), self.effort);
        self.block_bytes += size_of::<BoundsDraft>() + block.bytes.len();
        self.first_row += block.rows;
        self.blocks.push(block);
        self.has_span = true;
        self.chunks.clear();
        for column in &mut self.filtered {
            column.postings.clear();
            column.is_complete = true;
        }
        self.bounded.iter_mut().for_each(|column| column.bounds.clear());
    }

    /// The columns of the present span, by place.
    fn columns(&self) -> Vec<ColumnDraft<'_>> {
        let bounded = self.bounded.iter().map(|column| ColumnDraft {
            place: column.place,
            bounds: Some(&column.bounds),
            has_filter: false,
        });
        let mut columns: Vec<ColumnDraft<'_>> = bounded.collect();
        for column in self.filtered.iter().filter(|column| column.is_complete) {
            let place = column.place;
            match columns.binary_search_by_key(&place, |column| column.place) {
                Ok(at) => columns[at].has_filter = true,
                Err(at) => columns.insert(at, ColumnDraft { place, bounds: None, has_filter: true }),
            }
        }
        columns
    }

    /// All blocks of filters and of bounds. The writer is empty afterwards.
    pub(in super::super) fn finish(&mut self) -> (TermBlocks, Vec<BoundsDraft>) {
        self.block_bytes = 0;
        (self.lists.finish(), std::mem::take(&mut self.blocks))
    }

    /// Bytes held.
    pub(in super::super) fn heap_bytes(&self) -> usize {
        let of_filtered = |column: &FilteredColumn| {
            column.postings.capacity() * 8 + column.chunk.as_ref().map_or(0, Vec::capacity) * 4
        };
        let of_bounded = |column: &BoundedColumn| column.bounds.capacity() * size_of::<ChunkBounds>();
        self.lists.heap_bytes()
            + self.block_bytes
            + self.filtered.iter().map(of_filtered).sum::<usize>()
            + self.bounded.iter().map(of_bounded).sum::<usize>()
    }
}

impl FilteredColumn {
    /// Collects the hashes of the terms of a chunk.
    fn collect(&mut self, values: Option<&Column>) {
        let mut hashes = self.chunk.take().unwrap_or_default();
        self.chunk = distinct_hashes(values, self.analyzer, &mut hashes).then_some(hashes);
    }
}

/// Replaces `hashes` by those of the terms of a column, sorted and distinct; false when there are too many.
pub(super) fn distinct_hashes(values: Option<&Column>, analyzer: Analyzer, hashes: &mut Vec<u32>) -> bool {
    hashes.clear();
    let is_missing =
        |values: &&Column| matches!(values.validity(), Validity::All(Presence::Absent | Presence::Null));
    let Some(values) = values.filter(|values| !is_missing(values)) else { return true };
    let mut last = None;
    for row in 0..values.len() {
        let value = values.get(row);
        // Values repeat from row to row, and making words of text is work.
        if last.replace(value) == Some(value) {
            continue;
        }
        let mut too_many = false;
        each_filter_term(value, analyzer, |term| {
            if too_many {
                return;
            }
            hashes.push(hash_of(term));
            if hashes.len() >= 2 * CHUNK_TERMS_MAX {
                hashes.sort_unstable();
                hashes.dedup();
                too_many = hashes.len() > CHUNK_TERMS_MAX;
            }
        });
        if too_many {
            hashes.clear();
            return false;
        }
    }
    hashes.sort_unstable();
    hashes.dedup();
    hashes.len() <= CHUNK_TERMS_MAX
}
