//! Collects terms while a part is written: those of the present resource by column, those of earlier ones in blocks.

use super::super::dictionary::{DictionaryBuilder, separator};
use super::super::interner::Interner;
use super::super::wire::{put_bytes, put_i64s};
use super::{BLOCK_IDS_TARGET, put_key, stored};
use crate::rows::RowBatch;
use crate::terms::any_term;
use pipal_codec::{Effort, Presence, Validity};
use pipal_model::{Result, ValueRef};
use std::sync::Arc;

/// Most bytes that terms may take until the part is complete. Beyond, the column with the most terms of the present
/// resource is left without an index, and the part says so.
const TERMS_HEAP_BYTES_MAX: usize = 64 << 20;
/// Allocations up to this size are kept from one resource to the next.
const SPARE_BYTES_MAX: usize = 64 << 10;
/// A term that more than one in this many series have stands for all of them.
const COMMON_TERM_FRACTION: u64 = 4;

/// Terms of one column of the present resource.
#[derive(Default)]
struct ColumnTerms {
    /// Place in the column list.
    place: usize,
    terms: Interner,
    /// Number of the last term.
    recent: Option<u32>,
    /// Per term the entity, by number of arrival, that it was last seen with.
    last_entities: Vec<u32>,
    /// Term and entity, in the order of the rows.
    postings: Vec<(u32, u32)>,
}

impl ColumnTerms {
    fn add_value(&mut self, value: ValueRef<'_>, entity: u32, scratch: &mut Vec<u8>) -> Result<()> {
        let mut added = Ok(());
        any_term(value, |term| {
            added = self.add_term(stored(term, scratch), entity);
            added.is_err()
        });
        added
    }

    fn add_term(&mut self, term: &[u8], entity: u32) -> Result<()> {
        // Values repeat from row to row.
        let number = match self.recent {
            Some(recent) if self.terms.get(recent) == term => recent,
            _ => self.terms.number(term)?,
        };
        self.recent = Some(number);
        match self.last_entities.get_mut(number as usize) {
            Some(last) if *last == entity => return Ok(()),
            Some(last) => *last = entity,
            None => self.last_entities.push(entity),
        }
        self.postings.push((number, entity));
        Ok(())
    }

    fn heap_bytes(&self) -> usize {
        self.terms.heap_bytes() + self.last_entities.capacity() * 4 + self.postings.capacity() * 8
    }

    fn clear(&mut self) {
        self.terms.clear();
        self.recent = None;
        self.last_entities.clear();
        self.postings.clear();
    }
}

/// Terms of a part on their way.
pub(in super::super) struct TermWriter {
    /// Indexed columns of the present resource, by place.
    columns: Vec<ColumnTerms>,
    /// Empty columns with allocations.
    spare: Vec<ColumnTerms>,
    scratch: Vec<u8>,
    builder: DictionaryBuilder,
    key: Vec<u8>,
    /// The last key of the last complete block.
    last_key: Vec<u8>,
    blocks: TermBlocks,
    bytes_max: usize,
}

impl TermWriter {
    pub(in super::super) fn new(effort: Effort) -> Self {
        TermWriter {
            columns: Vec::new(),
            spare: Vec::new(),
            scratch: Vec::new(),
            builder: DictionaryBuilder::new(effort),
            key: Vec::new(),
            last_key: Vec::new(),
            blocks: TermBlocks::default(),
            bytes_max: TERMS_HEAP_BYTES_MAX,
        }
    }

    /// Replaces the limit, so that tests reach it.
    #[cfg(test)]
    pub(in super::super) fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Begins a resource with these indexed columns.
    pub(in super::super) fn begin(&mut self, indexed: &[bool]) {
        debug_assert!(self.columns.is_empty(), "the resource before was not ended");
        for (place, _) in indexed.iter().enumerate().filter(|(_, indexed)| **indexed) {
            let spare = self.spare.pop().unwrap_or_default();
            self.columns.push(ColumnTerms { place, ..spare });
        }
    }

    /// Takes rows of the present resource. `series` gives the number of the entity and the rows of each series.
    pub(in super::super) fn add(
        &mut self,
        rows: &RowBatch,
        series: impl Iterator<Item = (u32, u32)> + Clone,
    ) -> Result<()> {
        for column in &mut self.columns {
            let Some(values) = rows.columns.get(column.place) else { continue };
            if matches!(values.validity(), Validity::All(Presence::Absent | Presence::Null)) {
                continue;
            }
            let mut next = 0;
            for (entity, count) in series.clone() {
                let end = next + count as usize;
                for row in next..end {
                    column.add_value(values.get(row), entity, &mut self.scratch)?;
                }
                next = end;
            }
        }
        self.keep_limit();
        Ok(())
    }

    /// A column that takes too much is forgotten: an index of it must be complete or not be there.
    fn keep_limit(&mut self) {
        while self.heap_bytes() > self.bytes_max {
            let largest = (0..self.columns.len()).max_by_key(|&i| self.columns[i].heap_bytes());
            let Some(largest) = largest else { return };
            self.columns.remove(largest);
            self.spare.clear();
        }
    }

    /// Ends the present resource. Tells which of its columns are indexed.
    pub(in super::super) fn end(&mut self, first_row: u64, series: u64, columns: usize) -> Arc<[bool]> {
        let mut indexed = vec![false; columns];
        for mut column in std::mem::take(&mut self.columns) {
            if let Some(flag) = indexed.get_mut(column.place) {
                *flag = true;
            }
            self.end_column(&mut column, first_row, series);
            column.clear();
            if column.heap_bytes() <= SPARE_BYTES_MAX {
                self.spare.push(column);
            }
        }
        indexed.into()
    }

    fn end_column(&mut self, column: &mut ColumnTerms, first_row: u64, series: u64) {
        let order = column.terms.sorted();
        let mut ranks = vec![0u32; order.len()];
        for (rank, &number) in order.iter().enumerate() {
            ranks[number as usize] = rank as u32;
        }
        // The sort is stable: the entities of a term stay in their order.
        column.postings.sort_by_key(|(number, _)| ranks[*number as usize]);
        for postings in column.postings.chunk_by(|a, b| a.0 == b.0) {
            let Some((number, _)) = postings.first() else { continue };
            put_key(first_row, column.place as u32, column.terms.get(*number), &mut self.key);
            self.builder.push(&self.key);
            let is_common = postings.len() as u64 * COMMON_TERM_FRACTION > series;
            let kept = if is_common { &[][..] } else { postings };
            self.blocks.counts.push(kept.len() as u32);
            self.blocks.entities.extend(kept.iter().map(|(_, entity)| *entity));
            if self.builder.is_full() || self.blocks.open_ids() >= BLOCK_IDS_TARGET {
                self.close_block();
            }
        }
    }

    fn close_block(&mut self) {
        let blocks = &mut self.blocks;
        let (first, _) = self.builder.finish(&mut blocks.keys);
        let key = if blocks.ends.is_empty() { &[][..] } else { separator(&self.last_key, &first) };
        blocks.ends.push(BlockEnd {
            separator: key.into(),
            keys: blocks.keys.len(),
            counts: blocks.counts.len(),
            entities: blocks.entities.len(),
        });
        self.last_key.clear();
        self.last_key.extend_from_slice(&self.key);
    }

    /// All blocks. The writer is empty afterwards.
    pub(in super::super) fn finish(&mut self) -> TermBlocks {
        if !self.builder.is_empty() {
            self.close_block();
        }
        std::mem::take(&mut self.blocks)
    }

    /// Bytes held.
    pub(in super::super) fn heap_bytes(&self) -> usize {
        self.blocks.heap_bytes()
            + self.columns.iter().chain(&self.spare).map(ColumnTerms::heap_bytes).sum::<usize>()
    }
}

/// Blocks whose keys are encoded and whose entities have only their numbers of arrival: ids are ranks, known when all
/// entities are.
#[derive(Default)]
pub(in super::super) struct TermBlocks {
    keys: Vec<u8>,
    counts: Vec<u32>,
    entities: Vec<u32>,
    ends: Vec<BlockEnd>,
}

struct BlockEnd {
    separator: Box<[u8]>,
    keys: usize,
    counts: usize,
    entities: usize,
}

/// A block to be written.
pub(in super::super) struct BlockOfTerms<'a> {
    /// A shortest string above the block before and not above this one.
    pub(in super::super) key: &'a [u8],
    keys: &'a [u8],
    /// Per term the number of its entities; 0 for all.
    pub(in super::super) counts: &'a [u32],
    entities: &'a [u32],
}

impl TermBlocks {
    /// Ids of the block that was not closed yet.
    fn open_ids(&self) -> usize {
        self.entities.len() - self.ends.last().map_or(0, |end| end.entities)
    }

    /// The blocks in their order.
    pub(in super::super) fn blocks(&self) -> impl Iterator<Item = BlockOfTerms<'_>> {
        let (mut keys, mut counts, mut entities) = (0, 0, 0);
        self.ends.iter().map(move |end| BlockOfTerms {
            key: &end.separator,
            keys: &self.keys[std::mem::replace(&mut keys, end.keys)..end.keys],
            counts: &self.counts[std::mem::replace(&mut counts, end.counts)..end.counts],
            entities: &self.entities[std::mem::replace(&mut entities, end.entities)..end.entities],
        })
    }

    fn heap_bytes(&self) -> usize {
        self.keys.capacity() + (self.counts.capacity() + self.entities.capacity()) * 4
    }
}

impl BlockOfTerms<'_> {
    /// Appends the block; `ids` holds the id of each entity by number of arrival.
    pub(in super::super) fn encode(&self, ids: &[u64], effort: Effort, out: &mut Vec<u8>) {
        put_bytes(self.keys, out);
        let counts: Vec<i64> = self.counts.iter().map(|count| i64::from(*count)).collect();
        put_i64s(&counts, effort, out);
        let mut gaps = Vec::with_capacity(self.entities.len());
        let mut start = 0;
        for count in self.counts {
            let end = start + *count as usize;
            let mut least = 0;
            for entity in &self.entities[start..end] {
                let id = ids[*entity as usize];
                debug_assert!(id >= least, "the entities of a term ascend");
                gaps.push((id - least) as i64);
                least = id + 1;
            }
            start = end;
        }
        put_i64s(&gaps, effort, out);
    }
}
