//! From the values of a message to a row, by a mapping, without an allocation per message or value.

use super::mapping::Mapping;
use pipal_api::write::{Slot, WriteSlots};
use pipal_model::series::{ShardHasher, push_entity_value};
use pipal_model::value::{encode_int_array, encode_str_array};
use pipal_model::{Error, ValueRef};
use prost_types::Timestamp;

/// Rows of up to this many columns are gathered on the stack.
const INLINE_COLUMNS: usize = 32;
/// Rows of up to this many key tags are gathered on the stack.
const INLINE_KEYS: usize = 16;

/// What identifies and what fills a row.
pub struct RowParts<'r> {
    /// Entity bytes, see [`pipal_model::series`].
    pub entity: &'r [u8],
    /// Shard among those of the group.
    pub shard: u32,
    /// One value per column of the layout.
    pub values: &'r [ValueRef<'r>],
}

/// Why a message gives no row.
#[derive(Debug)]
pub enum RowFault {
    /// It ends before a tag of the entity or of the sharding key (measure specification 2.4, row 6).
    KeyTagMissing,
    /// It is acknowledged and not kept (2.6).
    NotKept,
    /// It is refused.
    Refused(Error),
}

/// Buffers that one stream uses for all its rows.
#[derive(Debug, Default)]
pub struct RowScratch {
    entity: Vec<u8>,
    arrays: ArrayBuffer,
}

impl RowScratch {
    /// Builds the row of a message and hands it to `take`. `shard_seed` is what the
    /// hash of the shard takes before the key: the name of the resource, and nothing for traces.
    pub fn with_row<T>(
        &mut self,
        mapping: &Mapping,
        slots: &WriteSlots<'_>,
        shard_seed: &str,
        shard_num: u32,
        take: impl FnOnce(RowParts<'_>) -> Result<T, RowFault>,
    ) -> Result<T, RowFault> {
        self.arrays.fill(slots);
        let mut inline = [ValueRef::Null; INLINE_COLUMNS];
        let mut spilled = Vec::new();
        let values = sized(&mut inline, &mut spilled, mapping.columns(), ValueRef::Null);
        let mut inline_keys = [None; INLINE_KEYS];
        let mut spilled_keys = Vec::new();
        let keys = sized(&mut inline_keys, &mut spilled_keys, mapping.keys_named().len(), None);

        let mut arrays = self.arrays.iter();
        let mut families = 0;
        for (position, tags) in slots.families().enumerate() {
            families += 1;
            let targets = mapping.family(position);
            for (at, slot) in tags.iter().enumerate() {
                let value = value_of(slot, &mut arrays);
                let Some(targets) = targets.get(at) else { continue };
                if let Some(key) = targets.key.and_then(|key| keys.get_mut(key)) {
                    *key = Some(value);
                }
                if let Some(column) = targets.column.and_then(|column| values.get_mut(column)) {
                    *column = stored(value, mapping.keeps_empty_arrays());
                }
            }
        }
        for (position, slot) in slots.fields().iter().enumerate() {
            if let Some(column) = mapping.field(position).and_then(|column| values.get_mut(column)) {
                *column = value_of(slot, &mut arrays);
            }
        }

        if mapping.keys_named().iter().zip(&*keys).any(|(named, key)| *named && key.is_none()) {
            return Err(RowFault::KeyTagMissing);
        }
        if mapping.has_surplus_families(families) {
            return Err(RowFault::NotKept);
        }
        let key = |at: usize| keys.get(at).copied().flatten().unwrap_or(ValueRef::Null);
        self.entity.clear();
        if !mapping.entity().iter().all(|&at| push_entity_value(key(at), &mut self.entity)) {
            return Err(RowFault::NotKept);
        }
        let shard = shard_of(shard_seed, mapping.sharding().iter().map(|&at| key(at)), shard_num);
        take(RowParts { entity: &self.entity, shard, values })
    }
}

/// The first `len` of `inline`, or as many of `spilled` when they are more.
fn sized<'b, T: Copy>(inline: &'b mut [T], spilled: &'b mut Vec<T>, len: usize, empty: T) -> &'b mut [T] {
    match inline.get_mut(..len) {
        Some(inline) => inline,
        None => {
            spilled.resize(len, empty);
            spilled
        }
    }
}

fn shard_of<'v>(seed: &str, values: impl Iterator<Item = ValueRef<'v>>, shard_num: u32) -> u32 {
    if shard_num <= 1 {
        return 0;
    }
    let mut hasher = ShardHasher::new(seed);
    values.for_each(|value| hasher.push(value));
    hasher.shard(shard_num)
}

/// The value of a slot; `arrays` gives the stored form of the next array.
fn value_of<'v>(slot: &Slot<'v>, arrays: &mut impl Iterator<Item = &'v [u8]>) -> ValueRef<'v> {
    match *slot {
        Slot::Unset | Slot::Null => ValueRef::Null,
        Slot::Str(text) => ValueRef::Str(text),
        Slot::Int(value) => ValueRef::Int(value),
        Slot::Binary(bytes) => ValueRef::Binary(bytes),
        Slot::Float(value) => ValueRef::Float(value),
        Slot::Timestamp(time) => nanos_of(time).map_or(ValueRef::Null, ValueRef::Timestamp),
        Slot::StrArray(_) => arrays.next().map_or(ValueRef::Null, ValueRef::StrArray),
        Slot::IntArray(_) => arrays.next().map_or(ValueRef::Null, ValueRef::IntArray),
    }
}

/// What a column keeps of a value.
fn stored(value: ValueRef<'_>, keeps_empty_arrays: bool) -> ValueRef<'_> {
    match value {
        ValueRef::StrArray([]) | ValueRef::IntArray([]) if !keeps_empty_arrays => ValueRef::Null,
        other => other,
    }
}

/// Nanoseconds since the epoch, if 64 bits hold them.
fn nanos_of(time: Timestamp) -> Option<i64> {
    i64::try_from(i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)).ok()
}

/// The arrays of one message in their stored form, in order.
#[derive(Debug, Default)]
struct ArrayBuffer {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl ArrayBuffer {
    fn fill(&mut self, slots: &WriteSlots<'_>) {
        self.bytes.clear();
        self.ends.clear();
        for slot in slots.families().flatten() {
            match slot {
                Slot::StrArray(array) => encode_str_array(array.iter(), &mut self.bytes),
                Slot::IntArray(array) => encode_int_array(array.iter(), &mut self.bytes),
                _ => continue,
            }
            self.ends.push(self.bytes.len());
        }
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let array = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            array
        })
    }
}
