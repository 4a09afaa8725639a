//! Builds companions while a part is written: a piece goes to the file as soon as it is complete.

use super::block::encode_block;
use super::head::{BlockPlace, encode_head};
use super::tuples::Tuples;
use super::{BLOCK_ENTRIES, COMPANION_ROWS_MIN, Directory, PIECE_ROWS_MAX, PiecePlace, TUPLE_BYTES_MAX};
use crate::part::output::Output;
use crate::rows::{ResourceHead, RowBatch};
use pipal_codec::Effort;
use pipal_model::orders::ORDER_KEYS_MAX;
use pipal_model::{ColumnKey, ColumnType, OrderKey, Result, ValueRef};

/// Sorting takes this much per row of the piece.
const SORT_ROW_BYTES: usize = 16;
/// About the most that building holds: tuples and keys of the rows of a piece, and what sorting them takes.
pub(in super::super) const WRITER_BYTES_MAX: usize =
    PIECE_ROWS_MAX * (4 + 8 * ORDER_KEYS_MAX + SORT_ROW_BYTES) + 2 * TUPLE_BYTES_MAX;

/// Keys of the rows of the present piece.
struct KeyList {
    /// Place of the column; none for the time.
    place: Option<usize>,
    keys: Vec<i64>,
}

/// Companions of a part on their way.
pub(in super::super) struct CompanionWriter {
    effort: Effort,
    rows_min: u64,
    piece_rows_max: usize,
    /// Leading columns of the present resource.
    leading: Vec<(usize, ColumnType)>,
    /// One per key of the present resource; none when it has no orders.
    lists: Vec<KeyList>,
    /// First row of the present piece, and rows of the resource before it.
    first_row: u64,
    rows_before: u64,
    tuples: Tuples,
    directory: Directory,
    /// Bytes of all pieces.
    bytes: u64,
}

impl CompanionWriter {
    pub(in super::super) fn new(effort: Effort) -> Self {
        CompanionWriter {
            effort,
            rows_min: COMPANION_ROWS_MIN,
            piece_rows_max: PIECE_ROWS_MAX,
            leading: Vec::new(),
            lists: Vec::new(),
            first_row: 0,
            rows_before: 0,
            tuples: Tuples::default(),
            directory: Directory::default(),
            bytes: 0,
        }
    }

    /// Replaces the limits, so that tests reach them.
    #[cfg(test)]
    pub(in super::super) fn set_limits(&mut self, rows_min: u64, piece_rows_max: usize) {
        (self.rows_min, self.piece_rows_max) = (rows_min, piece_rows_max);
    }

    /// Begins a resource at this row of the part. The one before was ended.
    pub(in super::super) fn begin(&mut self, head: &ResourceHead, first_row: u64) {
        let place = |key: &ColumnKey| head.columns.binary_search(key).ok();
        let list = |key: &OrderKey| match key {
            OrderKey::Time => KeyList { place: None, keys: Vec::new() },
            OrderKey::Column(column) => KeyList { place: place(column), keys: Vec::new() },
        };
        self.lists = head.orders.keys().iter().map(list).collect();
        self.leading = head.orders.leading().iter().filter_map(|key| Some((place(key)?, key.ty))).collect();
        (self.first_row, self.rows_before) = (first_row, 0);
        self.tuples.begin(&self.leading);
    }

    /// Takes rows of the present resource.
    pub(in super::super) fn add(&mut self, rows: &RowBatch, out: &mut Output) -> Result<()> {
        if self.lists.is_empty() {
            return Ok(());
        }
        for row in 0..rows.len() {
            self.tuples.push(rows, row);
            for list in &mut self.lists {
                list.keys.push(match list.place {
                    None => rows.times.get(row).copied().unwrap_or(0),
                    Some(place) => number(rows, place, row),
                });
            }
            if self.tuples.of_row().len() >= self.piece_rows_max {
                self.put_piece(out)?;
            }
        }
        Ok(())
    }

    /// Ends the present resource.
    pub(in super::super) fn end(&mut self, out: &mut Output) -> Result<()> {
        let rows = self.tuples.of_row().len();
        if !self.lists.is_empty() && rows > 0 && self.rows_before + rows as u64 >= self.rows_min {
            self.put_piece(out)?;
        }
        self.lists.clear();
        self.tuples.begin(&[]);
        Ok(())
    }

    fn put_piece(&mut self, out: &mut Output) -> Result<()> {
        let rows = self.tuples.of_row().len();
        let start = out.position();
        let (mut keys, mut bounds) = (Vec::with_capacity(self.lists.len()), Vec::new());
        for list in &mut self.lists {
            let blocks = put_blocks(&list.keys, &self.tuples, out)?;
            list.keys.clear();
            let least = blocks.first().map_or(0, |block| block.least);
            bounds.push((least, blocks.last().map_or(least, |block| block.greatest)));
            keys.push(blocks);
        }
        let mut rows_of = vec![0i64; self.tuples.len()];
        for tuple in self.tuples.of_row() {
            if let Some(rows) = rows_of.get_mut(*tuple as usize) {
                *rows += 1;
            }
        }
        let mut head = Vec::new();
        encode_head(rows, self.tuples.values(), &rows_of, &keys, self.effort, &mut head);
        let head = out.put(&[&head])?;
        self.directory.0.push(PiecePlace { first_row: self.first_row, rows: rows as u32, head, bounds });
        self.bytes += out.position() - start;
        self.first_row += rows as u64;
        self.rows_before += rows as u64;
        self.tuples.begin(&self.leading);
        Ok(())
    }

    /// The encoded directory.
    pub(in super::super) fn directory(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.directory.encode(&mut bytes);
        bytes
    }

    /// Bytes of all pieces in the file.
    pub(in super::super) fn written_bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes held, with those that sorting the present piece will take.
    pub(in super::super) fn heap_bytes(&self) -> usize {
        let keys: usize = self.lists.iter().map(|list| list.keys.capacity() * 8).sum();
        let sorting = self.tuples.of_row().len() * SORT_ROW_BYTES;
        keys + sorting
            + self.tuples.heap_bytes()
            + self.directory.0.capacity() * (size_of::<PiecePlace>() + 16 * ORDER_KEYS_MAX)
    }
}

/// The key in a column: 0 where there is no number.
fn number(rows: &RowBatch, place: usize, row: usize) -> i64 {
    match rows.columns.get(place).map(|column| column.get(row)) {
        Some(ValueRef::Int(number) | ValueRef::Timestamp(number)) => number,
        _ => 0,
    }
}

/// Writes the rows of a piece in the order of one key.
fn put_blocks(keys: &[i64], tuples: &Tuples, out: &mut Output) -> Result<Vec<BlockPlace>> {
    let mut entries: Vec<(i64, u32)> = keys.iter().copied().zip(0..).collect();
    entries.sort_unstable();
    let of_row = (tuples.len() > 1).then(|| tuples.of_row());
    let mut blocks = Vec::with_capacity(entries.len().div_ceil(BLOCK_ENTRIES));
    let mut bytes = Vec::new();
    for block in entries.chunks(BLOCK_ENTRIES) {
        let (Some((least, _)), Some((greatest, _))) = (block.first(), block.last()) else { continue };
        bytes.clear();
        encode_block(block, of_row, &mut bytes);
        let extent = out.put(&[&bytes])?;
        blocks.push(BlockPlace { extent, entries: block.len(), least: *least, greatest: *greatest });
    }
    Ok(blocks)
}
