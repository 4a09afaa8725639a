//! Looking up terms: from a column and terms to the entities that have one.

use super::super::dictionary::DictionaryBlock;
use super::super::index::{BlockPlace, PartIndex};
use super::super::lookup::EntityCursor;
use super::super::reader::Part;
use super::super::resources::ResourceEntry;
use super::super::wire::{Decoded, Malformed, Reader};
use super::{BLOCK_IDS_TARGET, put_key, stored};
use crate::cache::CacheValue;
use crate::rows::{EntitySelector, ResourceKey, TermMatch};
use pipal_codec::decode_i64s;
use pipal_model::{ColumnKey, Result};
use std::sync::Arc;

/// A loaded block: keys in memory as a block of entities, ids still encoded.
pub(in super::super) struct TermBlock {
    keys: DictionaryBlock,
    /// Per key the end of its ids.
    ends: Vec<u32>,
    gaps: Vec<u8>,
}

/// What an entry says of its term.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum TermIds {
    /// Each series of the resource may have it.
    All,
    /// These entities have it, ascending.
    These(Vec<u64>),
}

impl CacheValue for TermBlock {
    fn cache_bytes(&self) -> usize {
        self.keys.cache_bytes() + self.ends.capacity() * 4 + self.gaps.capacity()
    }
}

impl TermBlock {
    /// Reads a block of a part with this many entities.
    pub(in super::super) fn decode(bytes: &[u8], entities: u64) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let keys = DictionaryBlock::decode(reader.bytes()?)?;
        let most = entities.saturating_add(BLOCK_IDS_TARGET as u64).min(u64::from(u32::MAX));
        let mut total = 0u64;
        let mut ends = Vec::with_capacity(keys.len());
        for count in reader.u64s(keys.len())? {
            let sum = total.checked_add(count).filter(|sum| *sum <= most);
            total = sum.ok_or(Malformed("a number of entities within its limit"))?;
            ends.push(total as u32);
        }
        let gaps = reader.bytes()?.to_vec();
        reader.end()?;
        Ok(TermBlock { keys, ends, gaps })
    }

    /// Number of terms.
    pub(in super::super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Puts the key of an entry into `buffer`.
    pub(in super::super) fn key(&self, rank: usize, buffer: &mut Vec<u8>) -> Decoded<()> {
        self.keys.get(rank, buffer)
    }

    /// The entry with this key.
    pub(in super::super) fn find(
        &self,
        key: &[u8],
        entities: u64,
        buffer: &mut Vec<u8>,
    ) -> Decoded<Option<TermIds>> {
        match self.keys.search(key, buffer)? {
            (rank, true) => self.ids(rank, entities).map(Some),
            _ => Ok(None),
        }
    }

    /// The ids of an entry of a part with this many entities.
    pub(in super::super) fn ids(&self, rank: usize, entities: u64) -> Decoded<TermIds> {
        let start = rank.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        let (Some(start), Some(&end)) = (start, self.ends.get(rank)) else {
            return Err(Malformed("a rank of the block of terms"));
        };
        if start == end {
            return Ok(TermIds::All);
        }
        let total = self.ends.last().map_or(0, |end| *end as usize);
        let mut gaps = Vec::with_capacity((end - start) as usize);
        decode_i64s(&self.gaps, total, start as usize..end as usize, &mut gaps)?;
        let mut ids = Vec::with_capacity(gaps.len());
        let mut least = 0u64;
        for gap in gaps {
            let id = u64::try_from(gap).ok().and_then(|gap| least.checked_add(gap));
            let id = id.filter(|id| *id < entities).ok_or(Malformed("an entity id"))?;
            ids.push(id);
            least = id + 1;
        }
        Ok(TermIds::These(ids))
    }
}

impl Part {
    fn term_block(&self, place: &BlockPlace) -> Result<Arc<TermBlock>> {
        let entities = self.summary().entities;
        let decode = || self.file.load_as(place.extent, |bytes| TermBlock::decode(&bytes, entities));
        Ok(self.cached(place.extent.offset, decode)?.0)
    }

    fn find_term(&self, index: &PartIndex, key: &[u8], buffer: &mut Vec<u8>) -> Result<Option<TermIds>> {
        let Some(block) = index.terms.find_key(key) else { return Ok(None) };
        let place = self.misled(index.terms.get(block))?;
        let found = self.term_block(place)?.find(key, self.summary().entities, buffer);
        self.file.located(place.extent.offset, found)
    }

    /// The entities of a resource of which a row has one of the terms, which are sorted.
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
        if !list.is_indexed(place) {
            return Ok(TermMatch::Unknown);
        }
        let mut ids: Vec<u64> = Vec::new();
        let (mut entry, mut scratch, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
        for term in terms {
            put_key(resource.first_row, place as u32, stored(term, &mut scratch), &mut entry);
            match self.find_term(&index, &entry, &mut buffer)? {
                None => {}
                Some(TermIds::All) => return self.all_entities(&resource, limit),
                Some(TermIds::These(more)) => ids.extend(more),
            }
            if ids.len() > limit {
                return Ok(TermMatch::TooMany);
            }
        }
        ids.sort_unstable();
        ids.dedup();
        let mut entities = Vec::with_capacity(ids.len());
        EntityCursor::new(self, &index).each(&ids, |entity| entities.push(entity.to_vec()))?;
        Ok(TermMatch::Entities(entities))
    }

    fn all_entities(&self, resource: &ResourceEntry, limit: usize) -> Result<TermMatch> {
        if resource.series > limit as u64 {
            return Ok(TermMatch::TooMany);
        }
        let series = self.select_series(&resource.key, &EntitySelector::All)?;
        Ok(TermMatch::Entities((0..series.len()).map(|i| series.entity(i).to_vec()).collect()))
    }
}
