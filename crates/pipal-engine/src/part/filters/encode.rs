//! Blocks of bounds on their way to the file.

use super::super::wire::{put_i64s, put_varint};
use super::bounds::{ChunkBounds, HAS_BOUNDS, HAS_FILTER};
use pipal_codec::Effort;

/// A column of a span that is written.
pub(super) struct ColumnDraft<'a> {
    pub(super) place: usize,
    pub(super) bounds: Option<&'a [ChunkBounds]>,
    pub(super) has_filter: bool,
}

/// A complete block.
pub(in super::super) struct BoundsDraft {
    pub(in super::super) first_row: u64,
    pub(in super::super) rows: u64,
    pub(in super::super) bytes: Vec<u8>,
}

impl BoundsDraft {
    /// Encodes the block of a span. Columns are sorted by place.
    pub(super) fn new(first_row: u64, chunks: &[u32], columns: &[ColumnDraft<'_>], effort: Effort) -> Self {
        let mut bytes = Vec::new();
        let rows: Vec<i64> = chunks.iter().map(|rows| i64::from(*rows)).collect();
        put_varint(chunks.len() as u64, &mut bytes);
        put_i64s(&rows, effort, &mut bytes);
        put_varint(columns.len() as u64, &mut bytes);
        let mut next = 0;
        for column in columns {
            put_varint((column.place - next) as u64, &mut bytes);
            next = column.place + 1;
            let bounds_flag = if column.bounds.is_some() { HAS_BOUNDS } else { 0 };
            bytes.push(bounds_flag | if column.has_filter { HAS_FILTER } else { 0 });
            let Some(bounds) = column.bounds else { continue };
            let mut put = |value: fn(&ChunkBounds) -> i64| {
                put_i64s(&bounds.iter().map(value).collect::<Vec<i64>>(), effort, &mut bytes);
            };
            put(|bounds| i64::from(bounds.missing));
            put(|bounds| bounds.least);
            put(|bounds| bounds.greatest.wrapping_sub(bounds.least));
        }
        bytes.shrink_to_fit();
        BoundsDraft { first_row, rows: rows.iter().map(|rows| *rows as u64).sum(), bytes }
    }
}
