//! From names to row numbers: directory, dictionary and series lists.

use super::dictionary::DictionaryBlock;
use super::index::{BlockPlace, PartIndex};
use super::reader::Part;
use super::resources::{DirectoryBlock, ResourceEntry};
use super::schema::ColumnList;
use super::series::{SERIES_BLOCK_MAX, SeriesBlock, SeriesPage};
use super::wire::Malformed;
use crate::row_ranges::RowRanges;
use crate::rows::{EntitySelector, ResourceHead, ResourceKey, SeriesList};
use pipal_model::Result;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

impl Part {
    pub(super) fn directory_block(&self, place: &BlockPlace) -> Result<Arc<DirectoryBlock>> {
        let decode = || self.file.load_as(place.extent, |bytes| DirectoryBlock::decode(&bytes, place.first));
        Ok(self.cached(place.extent.offset, decode)?.0)
    }

    pub(super) fn dictionary_block(&self, place: &BlockPlace) -> Result<Arc<DictionaryBlock>> {
        let decode = || self.file.load_as(place.extent, |bytes| DictionaryBlock::decode(&bytes));
        Ok(self.cached(place.extent.offset, decode)?.0)
    }

    pub(super) fn series_page(&self, place: &BlockPlace) -> Result<Arc<SeriesPage>> {
        let decode = || self.file.load_as(place.extent, |bytes| SeriesPage::decode(bytes, place.first));
        Ok(self.cached(place.extent.offset, decode)?.0)
    }

    /// A number that the part itself gave and that leads nowhere.
    pub(super) fn misled<T>(&self, result: Result<T, Malformed>) -> Result<T> {
        self.file.located(self.contents.end(), result)
    }

    pub(super) fn find_resource(
        &self,
        index: &PartIndex,
        key: &ResourceKey,
    ) -> Result<Option<ResourceEntry>> {
        let Some(block) = index.directory_block(key) else { return Ok(None) };
        let place = self.misled(index.resources.get(block))?;
        Ok(self.directory_block(place)?.find(key).cloned())
    }

    pub(super) fn head(&self, index: &PartIndex, entry: &ResourceEntry) -> Result<ResourceHead> {
        let list = self.misled(index.schemas.get(entry.schema))?.clone();
        let ColumnList { columns, indexed, filters, orders, .. } = list;
        Ok(ResourceHead { key: entry.key.clone(), policy: entry.policy, columns, indexed, filters, orders })
    }

    /// Entities smaller than `key`, and whether `key` is one.
    fn rank(&self, index: &PartIndex, key: &[u8], buffer: &mut Vec<u8>) -> Result<(u64, bool)> {
        let Some(block) = index.entities.find_key(key) else { return Ok((0, false)) };
        let place = self.misled(index.entities.get(block))?;
        let (rank, found) = self.misled(self.dictionary_block(place)?.search(key, buffer))?;
        Ok((place.first + rank as u64, found))
    }

    /// The selected series of a resource; with `rows`, only what they have of these, from the first to the last one.
    pub(super) fn select_series(
        &self,
        key: &ResourceKey,
        selector: &EntitySelector,
        rows: Option<&RowRanges>,
    ) -> Result<SeriesList> {
        let index = self.index()?;
        let Some(resource) = self.find_resource(&index, key)? else { return Ok(SeriesList::default()) };
        let finder = SeriesFinder { part: self, index: &index, resource: &resource, rows };
        match selector {
            EntitySelector::All => finder.between(0..self.summary().entities),
            EntitySelector::Prefix(prefix) => {
                let mut buffer = Vec::new();
                let begin = self.rank(&index, prefix, &mut buffer)?.0;
                let end = match successor(prefix) {
                    Some(after) => self.rank(&index, &after, &mut buffer)?.0,
                    None => self.summary().entities,
                };
                finder.between(begin..end)
            }
            EntitySelector::Exact(entities) => finder.exact(entities),
        }
    }
}

/// The least string that is greater than all that begin with `prefix`; none if there is no such string.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte < u8::MAX)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}

/// Finds series of one resource.
struct SeriesFinder<'a> {
    part: &'a Part,
    index: &'a PartIndex,
    resource: &'a ResourceEntry,
    /// If given, of series only what they have of these rows.
    rows: Option<&'a RowRanges>,
}

/// Where a block of a series list lies.
#[derive(Clone, Copy, PartialEq, Eq)]
struct BlockAddress {
    page: usize,
    block: usize,
}

impl SeriesFinder<'_> {
    /// The block that holds `id` if any does: the last one that begins with `id` or less, or the first.
    fn locate(&self, id: u64) -> Result<BlockAddress> {
        let first = BlockAddress { page: self.resource.page as usize, block: self.resource.block as usize };
        if self.resource.series <= SERIES_BLOCK_MAX as u64 {
            return Ok(first);
        }
        // All pages between the first one and the last one that begins inside the resource begin with a block of it.
        let pages_end = self.index.series.count_first_below(self.resource.end_row());
        let (mut low, mut high) = (first.page + 1, pages_end.max(first.page + 1));
        while low < high {
            let middle = (low + high) / 2;
            let begins = self.part.misled(self.index.series.get(middle))?.second;
            if begins <= id { low = middle + 1 } else { high = middle }
        }
        let page = low - 1;
        let start = if page == first.page { first.block } else { 0 };
        let place = self.part.misled(self.index.series.get(page))?;
        let loaded = self.part.series_page(place)?;
        let blocks = loaded.blocks().get(start..).unwrap_or_default();
        let blocks_end = blocks.partition_point(|block| block.first_row < self.resource.end_row());
        let after = blocks[..blocks_end].partition_point(|block| block.first_id <= id);
        Ok(BlockAddress { page, block: start + after.saturating_sub(1) })
    }

    /// The decoded block at an address that may point behind the end of its page, and the address of the next;
    /// none behind the end of the resource.
    fn block(&self, at: BlockAddress) -> Result<Option<(SeriesBlock, BlockAddress)>> {
        if at.page >= self.index.series.len() {
            return Ok(None);
        }
        let place = self.part.misled(self.index.series.get(at.page))?;
        let page = self.part.series_page(place)?;
        let Some(entry) = page.blocks().get(at.block) else {
            return self.block_of_next_page(at);
        };
        if entry.first_row >= self.resource.end_row() {
            return Ok(None);
        }
        let block = self.part.file.located(place.extent.offset, page.block(entry))?;
        Ok(Some((block, BlockAddress { page: at.page, block: at.block + 1 })))
    }

    fn block_of_next_page(&self, at: BlockAddress) -> Result<Option<(SeriesBlock, BlockAddress)>> {
        // A page is never empty, so this goes one page further at most.
        if at.block == 0 {
            return Err(self.part.file.corrupt(0, "an empty page of series"));
        }
        self.block(BlockAddress { page: at.page + 1, block: 0 })
    }

    /// What a series has of the rows of use: first row and count.
    fn cut(&self, row: u64, count: u32) -> Option<(u64, u32)> {
        match self.rows {
            Some(rows) => rows.cut_series(row, count),
            None => Some((row, count)),
        }
    }

    /// All series whose entity ids are in `ids`.
    fn between(&self, ids: Range<u64>) -> Result<SeriesList> {
        let mut list = SeriesList::default();
        if ids.is_empty() {
            return Ok(list);
        }
        let mut strings = EntityCursor::new(self.part, self.index);
        let mut next = self.locate(ids.start)?;
        while let Some((block, following)) = self.block(next)? {
            next = following;
            let begin = block.ids.partition_point(|&id| id < ids.start);
            let end = block.ids.partition_point(|&id| id < ids.end);
            let mut row = block.first_row + sum(&block.rows[..begin]);
            let (mut ids, mut places) = (Vec::new(), Vec::new());
            for (&id, &count) in block.ids[begin..end].iter().zip(&block.rows[begin..end]) {
                if let Some(place) = self.cut(row, count) {
                    ids.push(id);
                    places.push(place);
                }
                row += u64::from(count);
            }
            let mut places = places.into_iter();
            strings.each(&ids, |entity| {
                if let Some((row, count)) = places.next() {
                    list.push(entity, row, count);
                }
            })?;
            if end < block.ids.len() {
                break;
            }
        }
        Ok(list)
    }

    /// The series of these entities, which are sorted and distinct.
    fn exact(&self, entities: &[Vec<u8>]) -> Result<SeriesList> {
        let mut list = SeriesList::default();
        let mut buffer = Vec::new();
        let mut loaded: Option<(BlockAddress, SeriesBlock)> = None;
        for entity in entities {
            let (id, found) = self.part.rank(self.index, entity, &mut buffer)?;
            if !found {
                continue;
            }
            let address = self.locate(id)?;
            if loaded.as_ref().is_none_or(|(at, _)| *at != address) {
                loaded = self.block(address)?.map(|(block, _)| (address, block));
            }
            let Some((_, block)) = &loaded else { continue };
            let Ok(place) = block.ids.binary_search(&id) else { continue };
            let row = block.first_row + sum(&block.rows[..place]);
            if let Some((row, count)) = self.cut(row, block.rows[place]) {
                list.push(entity, row, count);
            }
        }
        Ok(list)
    }
}

fn sum(rows: &[u32]) -> u64 {
    rows.iter().map(|&rows| u64::from(rows)).sum()
}

/// Gives the strings of ascending entity ids.
pub(super) struct EntityCursor<'a> {
    part: &'a Part,
    index: &'a PartIndex,
    buffer: Vec<u8>,
}

impl<'a> EntityCursor<'a> {
    pub(super) fn new(part: &'a Part, index: &'a PartIndex) -> Self {
        EntityCursor { part, index, buffer: Vec::new() }
    }

    pub(super) fn each(&mut self, mut ids: &[u64], mut visit: impl FnMut(&[u8])) -> Result<()> {
        while let Some(&first) = ids.first() {
            let number = self.index.entities.find_first(first).unwrap_or(0);
            let place = self.part.misled(self.index.entities.get(number))?;
            let block = self.part.dictionary_block(place)?;
            let end = place.first + block.len() as u64;
            let (inside, rest) = ids.split_at(ids.partition_point(|&id| id < end));
            if inside.is_empty() {
                return Err(self.part.file.corrupt(place.extent.offset, "an entity id that no block has"));
            }
            let ranks = inside.iter().map(|&id| (id - place.first) as usize);
            let given = block.get_many(ranks, &mut self.buffer, &mut visit);
            self.part.file.located(place.extent.offset, given)?;
            ids = rest;
        }
        Ok(())
    }
}

/// Calls `visit` with all entries of the directory until it breaks.
pub(super) fn each_resource(
    part: &Part,
    index: &PartIndex,
    mut visit: impl FnMut(&ResourceEntry) -> Result<ControlFlow<()>>,
) -> Result<()> {
    for place in index.resources.iter() {
        for entry in &part.directory_block(place)?.0 {
            if visit(entry)?.is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}
