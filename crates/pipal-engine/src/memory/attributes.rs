//! Which attributes each series of a table has: enough to decide whether a row sets them anew.
//!
//! The last row of a request per series becomes the series' attributes if it has none, or if the row has an
//! attribute that the stored ones lack (measure specification, 2.7). Deciding needs the names of the attributes
//! that a series has, not their values; the few distinct sets of names are numbered, and a series costs some 25 bytes.
//! The index is derived from the attribute rows of the table's sources and can be rebuilt from them at any time.

use crate::rows::{
    GivenRows, ReadLimit, ReadRequest, ReadStats, ResourceKey, RowBatch, RowKind, RowSource, SeriesCursor,
};
use hashbrown::HashMap;
use pipal_codec::Presence;
use pipal_model::{ColumnKey, Error, ErrorKind, Layout, Result, TimeRange};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

/// What is read at once while the index is rebuilt.
const REBUILD_LIMIT: ReadLimit = ReadLimit { rows: 4096, bytes: 1 << 20 };

/// Attributes that each series has.
#[derive(Default)]
pub(crate) struct AttributeIndex {
    /// Number of the set of attributes per series, keyed by a 128-bit hash of resource and entity.
    series: HashMap<SeriesHash, u32, BuildHasherDefault<PassThrough>>,
    /// Sets of attributes, sorted by key.
    sets: Vec<Box<[ColumnKey]>>,
    set_numbers: HashMap<Box<[ColumnKey]>, u32>,
    /// Set of a row by its layout and the attributes that it has values for.
    row_sets: HashMap<(u128, Box<[bool]>), u32>,
    covers: HashMap<(u32, u32), bool>,
}

/// A 128-bit hash of resource and entity. As four numbers it is not padded to 16 bytes together with a number beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SeriesHash([u32; 4]);

impl SeriesHash {
    fn of(entity: &[u8], seed: u64) -> Self {
        let hash = xxh3_128_with_seed(entity, seed);
        SeriesHash([hash as u32, (hash >> 32) as u32, (hash >> 64) as u32, (hash >> 96) as u32])
    }
}

impl Hash for SeriesHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [low, high, ..] = self.0;
        state.write_u64(u64::from(high) << 32 | u64::from(low));
    }
}

/// The part of the key that all series of a resource share.
pub(crate) fn resource_seed(resource: &str) -> u64 {
    xxh3_64(resource.as_bytes())
}

impl AttributeIndex {
    /// Reads the attribute rows of sources, oldest first. What is damaged is passed over: queries report it, and a
    /// database with one damaged block must open and take writes; the rows that come store their attributes anew.
    pub fn rebuild(sources: &[std::sync::Arc<dyn RowSource>]) -> Result<Self> {
        let mut index = AttributeIndex::default();
        for source in sources {
            let heads = source.resources().or_else(|error| pass_over_damage(error).map(|()| Vec::new()))?;
            for head in heads.iter().filter(|head| head.key.kind == RowKind::Attribute) {
                index.take_source(source.as_ref(), &head.key, &head.columns).or_else(pass_over_damage)?;
            }
        }
        Ok(index)
    }

    fn take_source(
        &mut self,
        source: &dyn RowSource,
        key: &ResourceKey,
        columns: &[ColumnKey],
    ) -> Result<()> {
        let series = source.series(key, &crate::rows::EntitySelector::All)?;
        let request = ReadRequest { key, time: TimeRange::ALL, columns, rows: None, limit: REBUILD_LIMIT };
        let seed = resource_seed(&key.name);
        let mut cursor = SeriesCursor::whole(&series);
        let mut batch = RowBatch::new(columns);
        let mut given = Vec::new();
        while !cursor.is_at_end() {
            batch.clear();
            given.clear();
            let stats = &mut ReadStats::default();
            source.read(&request, &series, &mut cursor, &mut batch, &mut given, stats)?;
            let mut row = 0;
            for GivenRows { wanted, rows } in &given {
                let has = |c: &usize| batch.columns[*c].presence(row) == Presence::Value;
                let set = (0..columns.len()).filter(has).map(|c| columns[c].clone()).collect();
                let number = self.number(set);
                self.series.insert(SeriesHash::of(series.entity(*wanted as usize), seed), number);
                row += *rows as usize;
            }
        }
        Ok(())
    }

    /// Decides for the last row of a request of a series: true when its attributes must be stored, which the
    /// index then takes for done. `present` tells per attribute column of `attributes` whether the row has it.
    pub fn must_store(
        &mut self,
        seed: u64,
        entity: &[u8],
        attributes: &Layout,
        present: Box<[bool]>,
    ) -> bool {
        let row_set = self.row_set(attributes, present);
        let key = SeriesHash::of(entity, seed);
        let Some(stored) = self.series.get(&key).copied() else {
            self.series.insert(key, row_set);
            return true;
        };
        if stored == row_set || self.is_covered(stored, row_set) {
            return false;
        }
        self.series.insert(key, row_set);
        true
    }

    fn row_set(&mut self, attributes: &Layout, present: Box<[bool]>) -> u32 {
        let cache_key = (attributes.fingerprint(), present);
        if let Some(number) = self.row_sets.get(&cache_key) {
            return *number;
        }
        let columns = attributes.columns().iter().zip(cache_key.1.iter());
        let mut set: Vec<ColumnKey> = columns.filter(|(_, has)| **has).map(|(c, _)| c.key.clone()).collect();
        set.sort();
        let number = self.number(set.into());
        self.row_sets.insert(cache_key, number);
        number
    }

    fn number(&mut self, set: Box<[ColumnKey]>) -> u32 {
        if let Some(number) = self.set_numbers.get(&set) {
            return *number;
        }
        let number = self.sets.len() as u32;
        self.sets.push(set.clone());
        self.set_numbers.insert(set, number);
        number
    }

    fn is_covered(&mut self, stored: u32, row: u32) -> bool {
        let sets = &self.sets;
        *self.covers.entry((stored, row)).or_insert_with(|| {
            sets[row as usize].iter().all(|key| sets[stored as usize].binary_search(key).is_ok())
        })
    }

    /// Bytes held, to be charged.
    pub fn heap_bytes(&self) -> usize {
        self.series.capacity() * (size_of::<(SeriesHash, u32)>() + 2) + self.sets.len() * 256
    }
}

/// Every other error stays one: what cannot be read now may be readable later.
fn pass_over_damage(error: Error) -> Result<()> {
    if error.kind() != ErrorKind::Corrupt {
        return Err(error);
    }
    tracing::error!(%error, "attributes of series cannot be read");
    Ok(())
}

/// The keys are hashes already.
#[derive(Default)]
struct PassThrough(u64);

impl Hasher for PassThrough {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}
