//! The `meta` section: the schema table, and for each section made of blocks where they lie and what leads to
//! them. It is decoded once and kept in the cache.

use super::footer::{Contents, Extent, Section};
use super::schema::SchemaTable;
use super::wire::{Decoded, Malformed, Reader, put_bytes, put_i64s, put_varint};
use crate::cache::CacheValue;
use crate::rows::ResourceKey;
use pipal_codec::Effort;

/// A block while the part is written: its bytes, its key, and how much of its unit (entities, rows, ...) it has.
#[derive(Clone, Debug, Default)]
pub(super) struct BlockDraft {
    pub(super) length: u64,
    pub(super) crc: u32,
    /// What is searched for: first bytes or nothing.
    pub(super) key: Vec<u8>,
    /// The number at which the block begins: entity id or row.
    pub(super) first: u64,
    /// A second such number: the first id of a page of series, the offset of the first row group.
    pub(super) second: u64,
}

/// Blocks of one section.
#[derive(Debug, Default)]
pub(super) struct BlockList {
    blocks: Vec<BlockPlace>,
    keys: Vec<u8>,
}

/// A block of a section.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockPlace {
    pub(super) extent: Extent,
    key_end: u32,
    pub(super) first: u64,
    pub(super) second: u64,
}

impl BlockList {
    /// Appends the list; lists without keys or second numbers spend next to nothing on them.
    pub(super) fn encode(blocks: &[BlockDraft], effort: Effort, out: &mut Vec<u8>) {
        let column =
            |value: fn(&BlockDraft) -> u64| blocks.iter().map(|b| value(b) as i64).collect::<Vec<i64>>();
        put_varint(blocks.len() as u64, out);
        put_i64s(&column(|block| block.length), effort, out);
        put_i64s(&column(|block| block.first), effort, out);
        put_i64s(&column(|block| block.second), effort, out);
        for block in blocks {
            out.extend_from_slice(&block.crc.to_le_bytes());
        }
        for block in blocks {
            put_bytes(&block.key, out);
        }
    }

    /// Reads a list whose blocks fill `section`.
    pub(super) fn decode(reader: &mut Reader<'_>, section: Extent) -> Decoded<Self> {
        let count = reader.count(5)?;
        let lengths = reader.u64s(count)?;
        let firsts = reader.u64s(count)?;
        let seconds = reader.u64s(count)?;
        let mut list = BlockList { blocks: Vec::with_capacity(count), keys: Vec::new() };
        let mut offset = section.offset;
        for i in 0..count {
            let extent = Extent { offset, length: lengths[i], crc: reader.u32()? };
            offset = offset.checked_add(lengths[i]).ok_or(Malformed("an offset"))?;
            list.blocks.push(BlockPlace { extent, key_end: 0, first: firsts[i], second: seconds[i] });
        }
        for block in &mut list.blocks {
            list.keys.extend_from_slice(reader.bytes()?);
            block.key_end = u32::try_from(list.keys.len()).map_err(|_| Malformed("keys below 4 GiB"))?;
        }
        let ascending = list.blocks.windows(2).all(|pair| pair[0].first < pair[1].first);
        if offset != section.end() || !ascending {
            return Err(Malformed("ascending blocks that fill their section"));
        }
        Ok(list)
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn get(&self, i: usize) -> Decoded<&BlockPlace> {
        self.blocks.get(i).ok_or(Malformed("a block of the section"))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &BlockPlace> {
        self.blocks.iter()
    }

    fn key(&self, i: usize) -> &[u8] {
        let start = i.checked_sub(1).map_or(0, |before| self.blocks[before].key_end as usize);
        &self.keys[start..self.blocks[i].key_end as usize]
    }

    /// The last block whose key is not greater than `key`; none when all are greater.
    pub(super) fn find_key(&self, key: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.blocks.len());
        while low < high {
            let middle = (low + high) / 2;
            if self.key(middle) <= key { low = middle + 1 } else { high = middle }
        }
        low.checked_sub(1)
    }

    /// The last block that begins at `number` or before; none when all begin behind it.
    pub(super) fn find_first(&self, number: u64) -> Option<usize> {
        self.count_first_below(number.saturating_add(1)).checked_sub(1)
    }

    /// Blocks that begin before `number`.
    pub(super) fn count_first_below(&self, number: u64) -> usize {
        self.blocks.partition_point(|block| block.first < number)
    }

    fn heap_bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<BlockPlace>() + self.keys.capacity()
    }
}

/// The decoded section.
#[derive(Debug, Default)]
pub(super) struct PartIndex {
    pub(super) schemas: SchemaTable,
    /// Keys: least strings that separate the blocks. First: id of the first entity.
    pub(super) entities: BlockList,
    /// Keys: those of the first piece. First: number of the first hash.
    pub(super) terms: BlockList,
    /// First: first row of the span. Second: its number of rows.
    pub(super) bounds: BlockList,
    /// Keys: those of the first piece. First: number of the first hash.
    pub(super) filters: BlockList,
    /// Keys: kind and name of the first resource. First: its first row.
    pub(super) resources: BlockList,
    /// First: first row of the page. Second: id of its first entity.
    pub(super) series: BlockList,
    /// First: first row of the first group. Second: its offset.
    pub(super) primary: BlockList,
}

impl CacheValue for PartIndex {
    fn cache_bytes(&self) -> usize {
        let lists = [
            &self.entities,
            &self.terms,
            &self.bounds,
            &self.filters,
            &self.resources,
            &self.series,
            &self.primary,
        ];
        self.schemas.heap_bytes() + lists.iter().map(|list| list.heap_bytes()).sum::<usize>()
    }
}

impl PartIndex {
    pub(super) fn decode(bytes: &[u8], contents: &Contents) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let index = PartIndex {
            schemas: SchemaTable::decode(&mut reader)?,
            entities: BlockList::decode(&mut reader, contents.section(Section::Entities))?,
            terms: BlockList::decode(&mut reader, contents.section(Section::Terms))?,
            bounds: BlockList::decode(&mut reader, contents.section(Section::Bounds))?,
            filters: BlockList::decode(&mut reader, contents.section(Section::Filters))?,
            resources: BlockList::decode(&mut reader, contents.section(Section::Resources))?,
            series: BlockList::decode(&mut reader, contents.section(Section::Series))?,
            primary: BlockList::decode(&mut reader, contents.section(Section::Primary))?,
        };
        reader.end()?;
        let starts_at_zero = |list: &BlockList| list.blocks.first().is_some_and(|block| block.first == 0);
        let lists = [&index.entities, &index.resources, &index.series, &index.primary];
        // Without an indexed column there are no terms, and without a filtered one no filters.
        let may_be_empty = |list: &BlockList| list.len() == 0 || starts_at_zero(list);
        if !may_be_empty(&index.terms)
            || !may_be_empty(&index.filters)
            || !lists.into_iter().all(starts_at_zero)
        {
            return Err(Malformed("sections that begin with number 0"));
        }
        Ok(index)
    }

    /// The block of the directory that holds `key` if any does.
    pub(super) fn directory_block(&self, key: &ResourceKey) -> Option<usize> {
        self.resources.find_key(&super::resources::key_bytes(key))
    }
}
