//! Numbers entities in the order of their arrival while a part is written, and sorts them at the end.

use hashbrown::HashTable;
use pipal_model::{Error, ErrorKind, Result};
use xxhash_rust::xxh3::xxh3_64;

/// Most distinct entities of a part, so that a draft of a series fits 8 bytes.
const ENTITIES_MAX: usize = u32::MAX as usize;

/// Distinct entities by number of arrival.
#[derive(Default)]
pub(super) struct EntityInterner {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    table: HashTable<u32>,
}

impl EntityInterner {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, number: u32) -> &[u8] {
        slice(&self.bytes, &self.ends, number)
    }

    /// The number of an entity, given on first sight.
    pub(super) fn number(&mut self, entity: &[u8]) -> Result<u32> {
        let (bytes, ends) = (&self.bytes, &self.ends);
        let hash = xxh3_64(entity);
        if let Some(&number) = self.table.find(hash, |&number| slice(bytes, ends, number) == entity) {
            return Ok(number);
        }
        if self.ends.len() >= ENTITIES_MAX {
            return Err(Error::new(ErrorKind::ResourceExhausted, "write part", "too many distinct entities"));
        }
        let number = self.ends.len() as u32;
        self.bytes.extend_from_slice(entity);
        self.ends.push(self.bytes.len());
        let (bytes, ends) = (&self.bytes, &self.ends);
        self.table.insert_unique(hash, number, |&number| xxh3_64(slice(bytes, ends, number)));
        Ok(number)
    }

    /// All numbers in the order of their entities.
    pub(super) fn sorted(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.ends.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| self.get(a).cmp(self.get(b)));
        order
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 8 + self.table.capacity() * 5
    }
}

fn slice<'a>(bytes: &'a [u8], ends: &[usize], number: u32) -> &'a [u8] {
    let number = number as usize;
    let start = number.checked_sub(1).map_or(0, |before| ends[before]);
    &bytes[start..ends[number]]
}
