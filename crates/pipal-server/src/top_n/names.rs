//! Byte strings with numbers, one behind the other in one allocation: a window has tens of thousands of them.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// Distinct byte strings, numbered from 0 in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    /// Where each name ends in `bytes`, and the next one begins.
    ends: Vec<usize>,
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Names {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The number of a name, which is added if it is new.
    pub fn number(&mut self, name: &[u8]) -> u32 {
        let Names { bytes, ends, numbers, hasher } = self;
        let hash = |number: &u32| hasher.hash_one(name_at(bytes, ends, *number));
        let is_same = |number: &u32| name_at(bytes, ends, *number) == name;
        let entry = numbers.entry(hasher.hash_one(name), is_same, hash);
        let new = ends.len() as u32;
        let number = *entry.or_insert(new).get();
        if number == new {
            bytes.extend_from_slice(name);
            ends.push(bytes.len());
        }
        number
    }

    /// The name of a number; empty for a number that was not given out.
    pub fn name(&self, number: u32) -> &[u8] {
        name_at(&self.bytes, &self.ends, number)
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        /// A table is filled to seven eighths, and has a byte of its own per slot.
        const SLOT_BYTES: usize = (size_of::<u32>() + 1) * 8 / 7 + 1;
        self.bytes.capacity()
            + self.ends.capacity() * size_of::<usize>()
            + self.numbers.capacity() * SLOT_BYTES
    }
}

fn name_at<'a>(bytes: &'a [u8], ends: &[usize], number: u32) -> &'a [u8] {
    let number = number as usize;
    let start = number.checked_sub(1).and_then(|before| ends.get(before).copied()).unwrap_or(0);
    ends.get(number).and_then(|end| bytes.get(start..*end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_numbers_of_their_first_arrival() {
        let mut names = Names::default();
        let all: Vec<String> = (0..1_000).map(|i| "x".repeat(i % 7) + &i.to_string()).collect();
        for round in 0..2 {
            for (i, name) in all.iter().enumerate() {
                assert_eq!(names.number(name.as_bytes()), i as u32, "round {round}");
            }
        }
        assert_eq!(names.number(b""), 1_000);
        assert!((all.iter().enumerate()).all(|(i, name)| names.name(i as u32) == name.as_bytes()));
        assert_eq!((names.len(), names.name(1_000), names.name(1_001)), (1_001, &[][..], &[][..]));
    }
}
