//! Looking up terms: from a column and terms to the entities that have one.

use super::super::index::{BlockList, BlockPlace, PartIndex};
use super::super::lookup::EntityCursor;
use super::super::reader::Part;
use super::super::resources::ResourceEntry;
use super::{PieceHead, TermBlock, TermRows, block_key, hash_of};
use crate::rows::{EntitySelector, ResourceKey, TermMatch};
use pipal_model::{ColumnKey, Result};
use std::ops::Range;
use std::sync::Arc;

impl Part {
    /// The entities of a resource of which a row has one of the terms.
    pub(in super::super) fn match_terms(
        &self,
        key: &ResourceKey,
        column: &ColumnKey,
        terms: &[Box<[u8]>],
        limit: usize,
    ) -> Result<TermMatch> {
        let none = TermMatch::Entities(Vec::new());
        let index = self.index()?;
        let Some(resource) = self.find_resource(&index, key)? else { return Ok(none) };
        let list = self.misled(index.schemas.get(resource.schema))?;
        let Some(place) = list.position(column) else { return Ok(none) };
        if !list.has_terms(place) {
            return Ok(TermMatch::Unknown);
        }
        let mut hashes: Vec<u32> = terms.iter().map(|term| hash_of(term)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let place = (resource.first_row, place as u32);
        let list = TermList { part: self, blocks: &index.terms, leads_to_max: self.summary().series, place };
        match list.find(&hashes, limit)? {
            None => Ok(TermMatch::TooMany),
            Some(TermRows::All) => self.all_entities(&resource, limit),
            Some(TermRows::These(rows)) => {
                let ids = self.entities_at(&index, &resource, &rows)?;
                let mut entities = Vec::with_capacity(ids.len());
                EntityCursor::new(self, &index).each(&ids, |entity| entities.push(entity.to_vec()))?;
                Ok(TermMatch::Entities(entities))
            }
        }
    }

    /// Ids of the entities whose series begin at these rows of a resource, which ascend.
    pub(in super::super) fn entities_at(
        &self,
        index: &PartIndex,
        resource: &ResourceEntry,
        rows: &[u64],
    ) -> Result<Vec<u64>> {
        let mut ids = Vec::with_capacity(rows.len());
        let mut loaded = LoadedSeries { rows: 0..0, starts: Vec::new(), ids: Vec::new() };
        for row in rows {
            let row = resource.first_row.saturating_add(*row);
            if !loaded.rows.contains(&row) {
                loaded = self.series_around(index, row)?;
            }
            let at = loaded.starts.binary_search(&row).ok().filter(|_| row < resource.end_row());
            let id = at.and_then(|at| loaded.ids.get(at)).ok_or_else(|| self.wrong("a row of no series"))?;
            ids.push(*id);
        }
        Ok(ids)
    }

    /// Ids of the entities whose series hold these rows of the part, which ascend.
    pub(in super::super) fn entities_around(
        &self,
        index: &PartIndex,
        resource: &ResourceEntry,
        rows: &[u64],
    ) -> Result<Vec<u64>> {
        let mut ids = Vec::with_capacity(rows.len());
        let mut loaded = LoadedSeries { rows: 0..0, starts: Vec::new(), ids: Vec::new() };
        for row in rows {
            if !loaded.rows.contains(row) {
                loaded = self.series_around(index, *row)?;
            }
            let behind = loaded.starts.partition_point(|start| start <= row);
            let at = behind.checked_sub(1).filter(|_| *row < resource.end_row());
            let id = at.and_then(|at| loaded.ids.get(at)).ok_or_else(|| self.wrong("a row of no series"))?;
            ids.push(*id);
        }
        Ok(ids)
    }

    fn series_around(&self, index: &PartIndex, row: u64) -> Result<LoadedSeries> {
        let place = self.misled(index.series.get(index.series.find_first(row).unwrap_or(0)))?;
        let page = self.series_page(place)?;
        let behind = page.blocks().partition_point(|block| block.first_row <= row);
        let entry = behind.checked_sub(1).and_then(|at| page.blocks().get(at));
        let entry = entry.ok_or_else(|| self.wrong("a row of no series"))?;
        let block = self.file.located(place.extent.offset, page.block(entry))?;
        let mut next = block.first_row;
        let mut starts = Vec::with_capacity(block.rows.len());
        for rows in &block.rows {
            starts.push(next);
            next += u64::from(*rows);
        }
        Ok(LoadedSeries { rows: block.first_row..next, starts, ids: block.ids })
    }

    fn all_entities(&self, resource: &ResourceEntry, limit: usize) -> Result<TermMatch> {
        if resource.series > limit as u64 {
            return Ok(TermMatch::TooMany);
        }
        let series = self.select_series(&resource.key, &EntitySelector::All, None)?;
        Ok(TermMatch::Entities((0..series.len()).map(|i| series.entity(i).to_vec()).collect()))
    }
}

/// The list of terms of a column.
pub(in super::super) struct TermList<'a> {
    pub(in super::super) part: &'a Part,
    /// Blocks of the section.
    pub(in super::super) blocks: &'a BlockList,
    /// Most that a hash leads to.
    pub(in super::super) leads_to_max: u64,
    /// First row and place of the column, by which the list is named.
    pub(in super::super) place: (u64, u32),
}

impl TermList<'_> {
    fn key(&self, hash: u32) -> [u8; 16] {
        block_key(self.place.0, self.place.1, hash)
    }

    fn block(&self, place: &BlockPlace) -> Result<Arc<TermBlock>> {
        let part = self.part;
        let decode = || part.file.load_as(place.extent, |bytes| TermBlock::decode(bytes, self.leads_to_max));
        Ok(part.cached(place.extent.offset, decode)?.0)
    }

    /// What the hashes, which ascend, lead to together; none when that is more than `limit`.
    pub(in super::super) fn find(&self, hashes: &[u32], limit: usize) -> Result<Option<TermRows>> {
        let file = &self.part.file;
        let mut rows = Vec::new();
        let mut rest = hashes;
        while let Some(&first) = rest.first() {
            let key = self.key(first);
            let Some(number) = self.blocks.find_key(&key) else {
                rest = &rest[1..];
                continue;
            };
            let at = self.part.misled(self.blocks.get(number))?;
            let block = self.block(at)?;
            let piece = block.pieces().partition_point(|piece| piece.key() <= key);
            let head = piece.checked_sub(1).and_then(|piece| block.pieces().get(piece));
            let Some(head) = head.filter(|head| (head.first_row, head.place) == self.place) else {
                rest = &rest[1..];
                continue;
            };
            // One decoded piece serves all hashes before the next one.
            let next = block.pieces().get(piece).map(PieceHead::key);
            let is_before = |hash: &u32| match next {
                Some(next) => self.key(*hash) < next,
                None => self.blocks.find_key(&self.key(*hash)) == Some(number),
            };
            let (inside, behind) = rest.split_at(rest.partition_point(is_before).max(1));
            let piece = file.located(at.extent.offset, block.piece(head))?;
            for hash in inside {
                match file.located(at.extent.offset, piece.find(*hash))? {
                    None => {}
                    Some(TermRows::All) => return Ok(Some(TermRows::All)),
                    Some(TermRows::These(more)) => rows.extend(more),
                }
                if rows.len() > limit {
                    return Ok(None);
                }
            }
            rest = behind;
        }
        rows.sort_unstable();
        rows.dedup();
        Ok(Some(TermRows::These(rows)))
    }
}

/// Series of a decoded block: their rows, and per series first row and entity.
struct LoadedSeries {
    rows: Range<u64>,
    starts: Vec<u64>,
    ids: Vec<u64>,
}
