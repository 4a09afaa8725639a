//! Series lists: per resource the ids of its entities and the rows of each, the `series` section.
//!
//! A list is cut into blocks of up to [`SERIES_BLOCK_MAX`] series; blocks of consecutive resources are packed into
//! pages of some 16 KiB, the unit of reading. A page begins with its number of blocks and, per block, length,
//! series, id of the first entity and rows; thus a look-up is a binary search and one small decode.
//! A block holds the gaps between entity ids less one, and the rows per series, as integer lists.

use super::wire::{Decoded, Malformed, Reader, put_i64s, put_varint};
use crate::cache::CacheValue;
use pipal_codec::Effort;

/// Most series of one block.
pub(super) const SERIES_BLOCK_MAX: usize = 1024;
/// A page is closed when its blocks reach this size.
const SERIES_PAGE_BYTES: usize = 16 << 10;

/// Appends a block and gives its rows. `ids` ascend; `rows` has one count per id.
fn encode_block(ids: &[u64], rows: &[u32], effort: Effort, out: &mut Vec<u8>) -> u64 {
    debug_assert!(!ids.is_empty() && ids.len() <= SERIES_BLOCK_MAX && ids.len() == rows.len());
    let gaps: Vec<i64> = ids.windows(2).map(|pair| (pair[1] - pair[0] - 1) as i64).collect();
    let counts: Vec<i64> = rows.iter().map(|&rows| i64::from(rows)).collect();
    put_i64s(&gaps, effort, out);
    put_i64s(&counts, effort, out);
    rows.iter().map(|&rows| u64::from(rows)).sum()
}

/// Packs blocks into pages.
#[derive(Default)]
pub(super) struct SeriesPageBuilder {
    directory: Vec<u8>,
    blocks: Vec<u8>,
    count: u32,
    first_id: u64,
}

impl SeriesPageBuilder {
    pub(super) fn is_full(&self) -> bool {
        self.blocks.len() >= SERIES_PAGE_BYTES
    }

    /// Blocks so far; the next one gets this number in the page.
    pub(super) fn len(&self) -> u32 {
        self.count
    }

    /// Appends a block and gives its rows.
    pub(super) fn push(&mut self, ids: &[u64], rows: &[u32], effort: Effort) -> u64 {
        let start = self.blocks.len();
        let total = encode_block(ids, rows, effort, &mut self.blocks);
        let first_id = ids.first().copied().unwrap_or(0);
        if self.count == 0 {
            self.first_id = first_id;
        }
        put_varint((self.blocks.len() - start) as u64, &mut self.directory);
        put_varint(ids.len() as u64, &mut self.directory);
        put_varint(first_id, &mut self.directory);
        put_varint(total, &mut self.directory);
        self.count += 1;
        total
    }

    /// The page and the id of its first entity. The builder is empty afterwards.
    pub(super) fn finish(&mut self) -> (Vec<u8>, u64) {
        let mut page = Vec::with_capacity(5 + self.directory.len() + self.blocks.len());
        put_varint(u64::from(self.count), &mut page);
        page.extend_from_slice(&self.directory);
        page.extend_from_slice(&self.blocks);
        let first_id = self.first_id;
        *self = SeriesPageBuilder::default();
        (page, first_id)
    }
}

/// A block in a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockEntry {
    offset: usize,
    length: usize,
    pub(super) series: usize,
    pub(super) first_id: u64,
    pub(super) first_row: u64,
    pub(super) rows: u64,
}

/// A loaded page.
pub(super) struct SeriesPage {
    bytes: Vec<u8>,
    blocks: Vec<BlockEntry>,
}

impl CacheValue for SeriesPage {
    fn cache_bytes(&self) -> usize {
        self.bytes.capacity() + self.blocks.capacity() * size_of::<BlockEntry>()
    }
}

/// The series of a decoded block.
#[derive(Default)]
pub(super) struct SeriesBlock {
    pub(super) ids: Vec<u64>,
    pub(super) rows: Vec<u32>,
    pub(super) first_row: u64,
}

impl SeriesPage {
    /// Reads a page whose first block begins at this row.
    pub(super) fn decode(bytes: Vec<u8>, first_row: u64) -> Decoded<Self> {
        let mut reader = Reader::new(&bytes);
        let count = reader.count(4)?;
        let mut blocks = Vec::with_capacity(count);
        let (mut first_row, mut end) = (first_row, 0usize);
        for _ in 0..count {
            let length = reader.varint()? as usize;
            let series = reader.varint()? as usize;
            let first_id = reader.varint()?;
            let rows = reader.varint()?;
            if series == 0 || series > SERIES_BLOCK_MAX {
                return Err(Malformed("a number of series within its limit"));
            }
            blocks.push(BlockEntry { offset: end, length, series, first_id, first_row, rows });
            first_row = first_row.checked_add(rows).ok_or(Malformed("a row number"))?;
            end = end.checked_add(length).ok_or(Malformed("a length"))?;
        }
        if end != reader.rest().len() {
            return Err(Malformed("blocks that fill their page"));
        }
        let base = bytes.len() - reader.rest().len();
        blocks.iter_mut().for_each(|block| block.offset += base);
        Ok(SeriesPage { bytes, blocks })
    }

    pub(super) fn blocks(&self) -> &[BlockEntry] {
        &self.blocks
    }

    /// Decodes a block.
    pub(super) fn block(&self, entry: &BlockEntry) -> Decoded<SeriesBlock> {
        let bytes = self.bytes.get(entry.offset..entry.offset + entry.length);
        let mut reader = Reader::new(bytes.ok_or(Malformed("a block inside its page"))?);
        let gaps = reader.u64s(entry.series - 1)?;
        let counts = reader.u64s(entry.series)?;
        reader.end()?;
        let mut ids = Vec::with_capacity(entry.series);
        let mut id = entry.first_id;
        ids.push(id);
        for gap in gaps {
            id = gap.checked_add(1).and_then(|step| id.checked_add(step)).ok_or(Malformed("an entity id"))?;
            ids.push(id);
        }
        let mut rows = Vec::with_capacity(entry.series);
        let mut total = 0u64;
        for count in counts {
            let count = u32::try_from(count).ok().filter(|&count| count > 0);
            let count = count.ok_or(Malformed("a number of rows of a series"))?;
            total += u64::from(count);
            rows.push(count);
        }
        if total != entry.rows {
            return Err(Malformed("rows of series that add up"));
        }
        Ok(SeriesBlock { ids, rows, first_row: entry.first_row })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pages_give_back_their_blocks(
            lists in prop::collection::vec(prop::collection::vec((1u64..100, 1u32..1000), 1..50), 1..20),
            first_row in 0u64..1 << 40,
        ) {
            let mut builder = SeriesPageBuilder::default();
            let mut want = Vec::new();
            for list in &lists {
                let ids: Vec<u64> = list.iter().scan(0, |id, (gap, _)| { *id += gap; Some(*id) }).collect();
                let rows: Vec<u32> = list.iter().map(|(_, rows)| *rows).collect();
                builder.push(&ids, &rows, Effort::Fast);
                want.push((ids, rows));
            }
            let (bytes, first_id) = builder.finish();
            prop_assert_eq!(first_id, want[0].0[0]);
            let page = SeriesPage::decode(bytes, first_row).unwrap();
            let mut row = first_row;
            prop_assert_eq!(page.blocks().len(), want.len());
            for (entry, (ids, rows)) in page.blocks().iter().zip(want) {
                let block = page.block(entry).unwrap();
                prop_assert_eq!(block.first_row, row);
                row += rows.iter().map(|&r| u64::from(r)).sum::<u64>();
                prop_assert_eq!((block.ids, block.rows), (ids, rows));
            }
        }
    }
}
