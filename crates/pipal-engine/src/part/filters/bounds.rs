//! Blocks of bounds, in memory and read back.

use super::super::wire::{Decoded, Malformed, Reader};
use super::SPAN_CHUNKS_MAX;
use crate::cache::CacheValue;
use crate::rows::CHUNK_ROWS_MAX;
use crate::terms::ordered_number;
use pipal_codec::{Column, ColumnData, Presence, Validity};
use std::ops::Range;

pub(super) const HAS_BOUNDS: u8 = 1;
pub(super) const HAS_FILTER: u8 = 2;

/// What is known of the values of a column of numbers in a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct ChunkBounds {
    /// Rows without a value.
    pub(super) missing: u32,
    /// Least value in its ordered form; 0 without values.
    pub(super) least: i64,
    /// Greatest value; 0 without values.
    pub(super) greatest: i64,
}

impl ChunkBounds {
    /// The bounds of a column of numbers.
    pub(in super::super) fn of(column: &Column) -> Self {
        let rows = column.len();
        let none = ChunkBounds { missing: rows as u32, ..ChunkBounds::default() };
        let (mut found, mut least, mut greatest) = (0u32, i64::MAX, i64::MIN);
        let mut take = |number: i64| {
            found += 1;
            least = least.min(number);
            greatest = greatest.max(number);
        };
        match (column.validity(), column.data()) {
            (Validity::All(Presence::Null | Presence::Absent), _) => {}
            (Validity::All(Presence::Value), ColumnData::I64(values)) => {
                values.iter().copied().for_each(take);
            }
            _ => (0..rows).filter_map(|row| ordered_number(column.get(row))).for_each(&mut take),
        }
        if found == 0 { none } else { ChunkBounds { missing: rows as u32 - found, least, greatest } }
    }

    /// True when a value may lie between these.
    pub(super) fn may_have(&self, rows: u32, least: i64, greatest: i64) -> bool {
        self.missing < rows && self.least <= greatest && least <= self.greatest
    }
}

/// A column of a span.
#[derive(Debug)]
pub(in super::super) struct SpanColumn {
    /// Place in the column list.
    pub(super) place: usize,
    /// Per chunk, for columns of numbers.
    pub(super) bounds: Option<Vec<ChunkBounds>>,
    /// True when the filter of the column is in the part.
    pub(super) has_filter: bool,
}

/// A decoded block.
#[derive(Debug)]
pub(in super::super) struct SpanBlock {
    /// First row of the span.
    pub(super) first_row: u64,
    /// Rows of each chunk.
    pub(super) chunks: Vec<u32>,
    columns: Vec<SpanColumn>,
}

impl CacheValue for SpanBlock {
    fn cache_bytes(&self) -> usize {
        let bounds = |column: &SpanColumn| column.bounds.as_ref().map_or(0, Vec::capacity);
        self.chunks.capacity() * 4
            + self.columns.capacity() * size_of::<SpanColumn>()
            + self.columns.iter().map(bounds).sum::<usize>() * size_of::<ChunkBounds>()
    }
}

impl SpanBlock {
    /// Reads the block of a span that begins at this row and has so many.
    pub(in super::super) fn decode(bytes: &[u8], first_row: u64, rows: u64) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let count = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
        if !(1..=SPAN_CHUNKS_MAX).contains(&count) {
            return Err(Malformed("a number of chunks within its limit"));
        }
        let mut chunks = Vec::with_capacity(count);
        for rows in reader.u64s(count)? {
            let rows = u32::try_from(rows).ok().filter(|r| (1..=CHUNK_ROWS_MAX as u32).contains(r));
            chunks.push(rows.ok_or(Malformed("a chunk's number of rows within its limit"))?);
        }
        if chunks.iter().map(|rows| u64::from(*rows)).sum::<u64>() != rows {
            return Err(Malformed("chunks that fill their span"));
        }
        let column_count = reader.count(2)?;
        let mut columns = Vec::with_capacity(column_count);
        let mut next = 0usize;
        for _ in 0..column_count {
            let gap = reader.varint_u32()? as usize;
            let place = next.checked_add(gap).ok_or(Malformed("a place of a column"))?;
            next = place + 1;
            let flags = reader.u8()?;
            if flags == 0 || flags & !(HAS_BOUNDS | HAS_FILTER) != 0 {
                return Err(Malformed("known flags of a column"));
            }
            let bounds = match flags & HAS_BOUNDS {
                0 => None,
                _ => Some(decode_bounds(&mut reader, &chunks)?),
            };
            columns.push(SpanColumn { place, bounds, has_filter: flags & HAS_FILTER != 0 });
        }
        reader.end()?;
        Ok(SpanBlock { first_row, chunks, columns })
    }

    /// What is known of the column at a place.
    pub(in super::super) fn column(&self, place: usize) -> Option<&SpanColumn> {
        let at = self.columns.binary_search_by_key(&place, |column| column.place).ok()?;
        self.columns.get(at)
    }

    /// All columns that something is known of, by place.
    pub(super) fn columns(&self) -> &[SpanColumn] {
        &self.columns
    }

    /// The rows of each chunk.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        let mut next = self.first_row;
        self.chunks.iter().map(move |rows| {
            let start = next;
            next += u64::from(*rows);
            start..next
        })
    }
}

fn decode_bounds(reader: &mut Reader<'_>, chunks: &[u32]) -> Decoded<Vec<ChunkBounds>> {
    let missing = reader.u64s(chunks.len())?;
    let least = reader.i64s(chunks.len())?;
    let spreads = reader.i64s(chunks.len())?;
    let mut bounds = Vec::with_capacity(chunks.len());
    for ((missing, rows), (least, spread)) in missing.iter().zip(chunks).zip(least.iter().zip(&spreads)) {
        let greatest = least.wrapping_add(*spread);
        if *missing > u64::from(*rows) || greatest < *least {
            return Err(Malformed("bounds of a chunk"));
        }
        bounds.push(ChunkBounds { missing: *missing as u32, least: *least, greatest });
    }
    Ok(bounds)
}
