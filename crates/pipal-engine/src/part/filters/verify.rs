//! Checks bounds and filters against the rows: bounds are exact, and no term of a chunk is missing.

use super::super::index::PartIndex;
use super::super::reader::Part;
use super::super::schema::ColumnList;
use super::super::terms::{HASH_BITS, PieceHead, TermBlock, TermRows, posting_of};
use super::writer::distinct_hashes;
use super::{ChunkBounds, SPAN_CHUNKS_MAX, SpanBlock};
use pipal_codec::Column;
use pipal_model::Result;
use std::collections::BTreeMap;

/// Takes all chunks of a part in their order.
pub(in super::super) struct FilterCheck<'a> {
    part: &'a Part,
    index: &'a PartIndex,
    /// Spans that begin before the next row.
    spans: usize,
    span: Option<SpanCheck>,
    pieces: PieceCursor<'a>,
}

/// A span whose chunks are checked.
struct SpanCheck {
    block: SpanBlock,
    /// Filters by the place of their column.
    filters: BTreeMap<usize, FilterList>,
    /// Number of the present chunk.
    chunk: usize,
}

/// A filter in memory.
#[derive(Default)]
struct FilterList {
    bits: u32,
    /// Hashes that stand for all chunks, ascending.
    everywhere: Vec<u32>,
    /// Sorted.
    postings: Vec<u64>,
}

impl<'a> FilterCheck<'a> {
    pub(in super::super) fn new(part: &'a Part, index: &'a PartIndex) -> Self {
        let pieces = PieceCursor { part, index, block: None, next_block: 0, hashes: 0, last: None };
        FilterCheck { part, index, spans: 0, span: None, pieces }
    }

    /// Begins a chunk of a resource with these columns.
    pub(in super::super) fn begin_chunk(&mut self, list: &ColumnList, row: u64, rows: u32) -> Result<()> {
        if let Some(span) = &mut self.span {
            span.chunk += 1;
            if span.chunk >= span.block.chunks.len() {
                self.span = None;
            }
        }
        let begins = self.index.bounds.find_first(row) == Some(self.spans);
        if let (None, true) = (&self.span, begins) {
            self.span = Some(self.open_span(list)?);
            self.spans += 1;
        }
        let Some(span) = &self.span else { return Ok(()) };
        let expected = span.block.ranges().nth(span.chunk);
        if expected != Some(row..row + u64::from(rows)) {
            return Err(self.part.wrong("bounds of other chunks than there are"));
        }
        Ok(())
    }

    fn open_span(&mut self, list: &ColumnList) -> Result<SpanCheck> {
        let place = self.part.misled(self.index.bounds.get(self.spans))?;
        let decode = |bytes: Vec<u8>| SpanBlock::decode(&bytes, place.first, place.second);
        let block = self.part.file.load_as(place.extent, decode)?;
        let mut filters = self.pieces.filters_of(block.first_row, block.chunks.len())?;
        for column in block.columns() {
            let is_filtered = list.filters.get(column.place).copied().flatten().is_some();
            if column.has_filter && !is_filtered {
                return Err(self.part.wrong("a filter of a column that has none"));
            }
            if column.has_filter {
                // Without terms there is no list.
                filters.entry(column.place).or_default();
            } else if filters.contains_key(&column.place) {
                return Err(self.part.wrong("a filter that is not announced"));
            }
        }
        if filters.keys().any(|place| block.column(*place).is_none()) {
            return Err(self.part.wrong("a filter that is not announced"));
        }
        Ok(SpanCheck { block, filters, chunk: 0 })
    }

    /// Checks a column of the present chunk.
    pub(in super::super) fn column(&self, list: &ColumnList, place: usize, values: &Column) -> Result<()> {
        let Some(span) = &self.span else { return Ok(()) };
        let bounds = span.block.column(place).and_then(|column| column.bounds.as_ref());
        if bounds.is_some_and(|bounds| bounds.get(span.chunk) != Some(&ChunkBounds::of(values))) {
            return Err(self.part.wrong("bounds that are not those of the rows"));
        }
        let filter = span.filters.get(&place).zip(list.filters.get(place).copied().flatten());
        let Some((filter, analyzer)) = filter else { return Ok(()) };
        let mut hashes = Vec::new();
        let complete = distinct_hashes(Some(values), analyzer, &mut hashes);
        if !complete || !hashes.iter().all(|hash| filter.has(*hash, span.chunk as u32)) {
            return Err(self.part.wrong("a filter without a term of its rows"));
        }
        Ok(())
    }

    /// Checks that nothing is left over.
    pub(in super::super) fn finish(self) -> Result<()> {
        let ended = self.span.is_none_or(|span| span.chunk + 1 == span.block.chunks.len());
        let hashes = self.part.summary().filter_hashes;
        if !ended || self.spans != self.index.bounds.len() || !self.pieces.has_ended(hashes) {
            return Err(self.part.wrong("bounds or filters of no rows"));
        }
        Ok(())
    }
}

impl FilterList {
    fn has(&self, hash: u32, chunk: u32) -> bool {
        let Some(kept) = hash.checked_shr(HASH_BITS - self.bits) else { return false };
        self.everywhere.binary_search(&kept).is_ok()
            || self.postings.binary_search(&posting_of(kept, chunk)).is_ok()
    }
}

/// All pieces of filters, in their order.
struct PieceCursor<'a> {
    part: &'a Part,
    index: &'a PartIndex,
    /// A loaded block and its next piece.
    block: Option<(TermBlock, usize)>,
    next_block: usize,
    /// Hashes of the pieces so far.
    hashes: u64,
    last: Option<[u8; 16]>,
}

impl PieceCursor<'_> {
    fn filters_of(&mut self, first_row: u64, chunks: usize) -> Result<BTreeMap<usize, FilterList>> {
        let mut filters: BTreeMap<usize, FilterList> = BTreeMap::new();
        loop {
            if self.block.as_ref().is_none_or(|(block, next)| *next >= block.pieces().len())
                && !self.load_block()?
            {
                return Ok(filters);
            }
            let Some((block, next)) = &mut self.block else { return Ok(filters) };
            let Some(head) = block.pieces().get(*next).filter(|head| head.first_row == first_row) else {
                return Ok(filters);
            };
            *next += 1;
            if self.last.replace(head.key()) >= Some(head.key()) {
                return Err(self.part.wrong("filters out of order"));
            }
            self.hashes += head.hashes as u64;
            let filter = filters.entry(head.place as usize).or_default();
            let read = add_piece(block, head, filter);
            let behind = self.part.misled(read)?;
            if behind > chunks as u64 {
                return Err(self.part.wrong("a filter that leads to no chunk"));
            }
        }
    }

    /// False behind the last block.
    fn load_block(&mut self) -> Result<bool> {
        self.block = None;
        if self.next_block >= self.index.filters.len() {
            return Ok(false);
        }
        let place = self.part.misled(self.index.filters.get(self.next_block))?;
        let decode = |bytes: Vec<u8>| TermBlock::decode(bytes, SPAN_CHUNKS_MAX as u64);
        let block = self.part.file.load_as(place.extent, decode)?;
        let leads_here =
            |piece: &PieceHead| self.index.filters.find_key(&piece.key()) == Some(self.next_block);
        if place.first != self.hashes || !block.pieces().iter().all(leads_here) {
            return Err(self.part.wrong("blocks of filters out of order"));
        }
        self.next_block += 1;
        self.block = Some((block, 0));
        Ok(true)
    }

    fn has_ended(&self, hashes: u64) -> bool {
        let at_end = self.block.as_ref().is_none_or(|(block, next)| *next == block.pieces().len());
        at_end && self.next_block == self.index.filters.len() && self.hashes == hashes
    }
}

/// Adds the hashes of a piece; tells the number behind the last chunk that they lead to.
fn add_piece(
    block: &TermBlock,
    head: &PieceHead,
    filter: &mut FilterList,
) -> super::super::wire::Decoded<u64> {
    let piece = block.piece(head)?;
    filter.bits = head.bits;
    let mut behind = 0;
    for rank in 0..head.hashes {
        let hash = piece.hash(rank);
        match piece.rows(rank)? {
            TermRows::All => filter.everywhere.push(hash),
            TermRows::These(chunks) => {
                behind = behind.max(chunks.last().map_or(0, |last| last + 1));
                filter.postings.extend(chunks.iter().map(|chunk| posting_of(hash, *chunk as u32)));
            }
        }
    }
    Ok(behind)
}
