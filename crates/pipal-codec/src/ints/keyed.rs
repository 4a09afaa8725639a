//! `Keyed`: integers that follow a key known to the reader, such as versions that follow the time of the row.
//!
//! A client that numbers its writes gives all rows of one time bucket neighbouring versions, whichever series
//! they belong to. Sorted by series and time, these versions jump with every row; relative to the least version
//! of their time they hardly change.
//!
//! Layout: varint number of distinct keys; sized stream of them in ascending order; sized stream of the least
//! value per key; stream of the distances of the values from these (wrapping). Only a reader that has the keys
//! of the rows can read it; [`encode_i64s_keyed`] writes a plain stream where that is smaller.

use std::ops::Range;

use pipal_model::value::write_varint;

use super::{decode_i64s, decode_i64s_at, encode_i64s};
use crate::encoding::{Effort, Encoding, header_byte, read_header};
use crate::error::DecodeError;
use crate::reader::{Reader, write_sized};

/// Appends a stream of values that may depend on `keys`, which has one key per value.
pub fn encode_i64s_keyed(values: &[i64], keys: &[i64], effort: Effort, out: &mut Vec<u8>) {
    debug_assert_eq!(values.len(), keys.len());
    let at = out.len();
    encode_i64s(values, effort, out);
    let Some(table) = KeyTable::of(values, keys) else { return };
    // The table alone costs about this much; small streams need no trial.
    if out.len() - at <= table.keys.len() + MIN_TABLE_BYTES {
        return;
    }
    let mut keyed = vec![header_byte(Encoding::Keyed, 0)];
    write_varint(table.keys.len() as u64, &mut keyed);
    write_sized(&mut keyed, |out| encode_i64s(&table.keys, effort, out));
    write_sized(&mut keyed, |out| encode_i64s(&table.bases, effort, out));
    let mut finder = Finder::new(&table.keys);
    let base = |key| finder.find(key).and_then(|i| table.bases.get(i)).copied().unwrap_or(0);
    let bases: Vec<i64> = keys.iter().copied().map(base).collect();
    let distances: Vec<i64> = values.iter().zip(bases).map(|(v, base)| v.wrapping_sub(base)).collect();
    encode_i64s(&distances, effort, &mut keyed);
    if keyed.len() < out.len() - at {
        out.truncate(at);
        out.extend_from_slice(&keyed);
    }
}

const MIN_TABLE_BYTES: usize = 20;

/// Appends the values at `range` of a stream of `rows` values; `keys` are the keys of the rows of the range.
///
/// # Errors
/// As [`decode_i64s`], and keys that the stream does not know.
pub fn decode_i64s_keyed(
    bytes: &[u8],
    rows: usize,
    range: Range<usize>,
    keys: &[i64],
    out: &mut Vec<i64>,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(bytes);
    let (encoding, _) = read_header(&mut reader)?;
    if encoding != Encoding::Keyed {
        return decode_i64s(bytes, rows, range, out);
    }
    if range.start > range.end || range.end > rows || keys.len() != range.len() {
        return Err(DecodeError::new("range outside of the stream", 0));
    }
    let before = out.len();
    out.resize(before + range.len(), 0);
    let slots = out.get_mut(before..).unwrap_or_default();
    let result = decode_distances(reader, rows, range.start, keys, slots);
    if result.is_err() {
        out.truncate(before);
    }
    result
}

fn decode_distances(
    mut reader: Reader<'_>,
    rows: usize,
    start: usize,
    keys: &[i64],
    out: &mut [i64],
) -> Result<(), DecodeError> {
    let distinct = reader.count(rows, "more keys than values")?;
    let (key_reader, base_reader) = (reader.sized_section()?, reader.sized_section()?);
    let mut table = KeyTable { keys: vec![0; distinct], bases: vec![0; distinct] };
    decode_i64s_at(key_reader, distinct, 0, &mut table.keys)?;
    decode_i64s_at(base_reader, distinct, 0, &mut table.bases)?;
    decode_i64s_at(reader, rows, start, out)?;
    let mut finder = Finder::new(&table.keys);
    for (slot, &key) in out.iter_mut().zip(keys) {
        let base = finder.find(key).and_then(|i| table.bases.get(i));
        *slot = base.ok_or_else(|| key_reader.error("key without values"))?.wrapping_add(*slot);
    }
    Ok(())
}

/// Distinct keys in ascending order, each with the least of its values.
struct KeyTable {
    keys: Vec<i64>,
    bases: Vec<i64>,
}

impl KeyTable {
    /// None when keys repeat too little for the table to pay.
    fn of(values: &[i64], keys: &[i64]) -> Option<Self> {
        let mut distinct = keys.to_vec();
        // The stable sort is quick on rows of series after series: it merges ascending runs.
        distinct.sort();
        distinct.dedup();
        if distinct.len() < 2 || distinct.len() * 4 > values.len() {
            return None;
        }
        let mut bases = vec![i64::MAX; distinct.len()];
        let mut finder = Finder::new(&distinct);
        for (&key, &value) in keys.iter().zip(values) {
            if let Some(base) = finder.find(key).and_then(|i| bases.get_mut(i)) {
                *base = value.min(*base);
            }
        }
        Some(KeyTable { keys: distinct, bases })
    }
}

/// Finds keys that tend to ascend and start over, as times of series after series do.
struct Finder<'a> {
    keys: &'a [i64],
    next: usize,
}

impl<'a> Finder<'a> {
    fn new(keys: &'a [i64]) -> Self {
        Finder { keys, next: 0 }
    }

    fn find(&mut self, key: i64) -> Option<usize> {
        if self.keys.get(self.next) != Some(&key) {
            self.next = self.keys.binary_search(&key).ok()?;
        }
        let found = self.next;
        self.next = if found + 1 < self.keys.len() { found + 1 } else { 0 };
        Some(found)
    }
}
