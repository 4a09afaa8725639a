//! The head of a piece: the values of its tuples, and where its blocks lie.

use super::super::footer::{Extent, HEADER_BYTES};
use super::super::wire::{Decoded, Malformed, Reader, put_i64s, put_prefixed, put_varint};
use super::{BLOCK_ENTRIES, PiecePlace, TUPLES_MAX};
use crate::cache::CacheValue;
use pipal_codec::{Column, Effort, decode_column, encode_column};
use pipal_model::ColumnKey;

/// A block of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct BlockPlace {
    pub(in super::super) extent: Extent,
    pub(in super::super) entries: usize,
    pub(in super::super) least: i64,
    pub(in super::super) greatest: i64,
}

/// Appends a head. `tuples` has the values of the tuples and the number of rows of each, `keys` the blocks of each key.
pub(super) fn encode_head(
    rows: usize,
    values: &[Column],
    rows_of: &[i64],
    keys: &[Vec<BlockPlace>],
    effort: Effort,
    out: &mut Vec<u8>,
) {
    put_varint(rows as u64, out);
    put_varint(values.len() as u64, out);
    put_varint(rows_of.len() as u64, out);
    for column in values {
        put_prefixed(out, |out| encode_column(column, effort, out));
    }
    put_i64s(rows_of, effort, out);
    for blocks in keys {
        let list = |value: fn(&BlockPlace) -> i64| blocks.iter().map(value).collect::<Vec<i64>>();
        put_i64s(&list(|block| block.extent.length as i64), effort, out);
        put_i64s(&list(|block| block.least), effort, out);
        put_i64s(&list(|block| block.greatest), effort, out);
        blocks.iter().for_each(|block| out.extend_from_slice(&block.extent.crc.to_le_bytes()));
    }
}

/// A decoded head.
#[derive(Debug, PartialEq)]
pub(in super::super) struct PieceHead {
    /// Values of the tuples of the leading columns that the piece has kept, which are the first ones.
    pub(in super::super) values: Vec<Column>,
    /// Per tuple its rows.
    pub(in super::super) rows_of: Vec<u64>,
    /// Per key its blocks.
    pub(in super::super) keys: Vec<Vec<BlockPlace>>,
}

impl CacheValue for PieceHead {
    fn cache_bytes(&self) -> usize {
        let blocks: usize = self.keys.iter().map(|blocks| blocks.capacity() * size_of::<BlockPlace>()).sum();
        self.values.iter().map(Column::heap_bytes).sum::<usize>() + self.rows_of.capacity() * 8 + blocks
    }
}

impl PieceHead {
    /// Reads the head of a piece of a resource with these leading columns.
    pub(in super::super) fn decode(
        bytes: &[u8],
        place: &PiecePlace,
        leading: &[ColumnKey],
    ) -> Decoded<PieceHead> {
        let mut reader = Reader::new(bytes);
        let (rows, kept, tuples) = (reader.varint()?, reader.varint()? as usize, reader.varint()? as usize);
        let is_plausible = kept <= leading.len() && (1..=TUPLES_MAX).contains(&tuples);
        if rows != u64::from(place.rows) || !is_plausible {
            return Err(Malformed("a piece of companions that fits its directory"));
        }
        let mut values = Vec::with_capacity(kept);
        for column in leading.iter().take(kept) {
            let mut decoded = Column::new(column.ty);
            decode_column(column.ty, reader.bytes()?, tuples, 0..tuples, &mut decoded)?;
            if decoded.len() != tuples {
                return Err(Malformed("a value of each tuple"));
            }
            values.push(decoded);
        }
        let rows_of = reader.u64s(tuples)?;
        if rows_of.iter().try_fold(0u64, |sum, rows| sum.checked_add(*rows)) != Some(rows) {
            return Err(Malformed("rows of tuples that add up"));
        }
        let mut keys = Vec::with_capacity(place.bounds.len());
        for bounds in &place.bounds {
            keys.push(decode_blocks(&mut reader, place.rows as usize, *bounds)?);
        }
        reader.end()?;
        let mut head = PieceHead { values, rows_of, keys };
        head.place_blocks(place.head.offset)?;
        Ok(head)
    }

    /// The blocks lie one behind the other and end where the head begins.
    fn place_blocks(&mut self, head_offset: u64) -> Decoded<()> {
        let mut end = head_offset;
        for block in self.keys.iter_mut().flatten().rev() {
            let offset = end.checked_sub(block.extent.length).filter(|offset| *offset >= HEADER_BYTES as u64);
            end = offset.ok_or(Malformed("blocks of a companion inside the file"))?;
            block.extent.offset = end;
        }
        Ok(())
    }

    /// Where the first block lies.
    pub(in super::super) fn offset(&self) -> Option<u64> {
        self.keys.first()?.first().map(|block| block.extent.offset)
    }
}

fn decode_blocks(reader: &mut Reader<'_>, rows: usize, bounds: (i64, i64)) -> Decoded<Vec<BlockPlace>> {
    let count = rows.div_ceil(BLOCK_ENTRIES);
    let lengths = reader.u64s(count)?;
    let (least, greatest) = (reader.i64s(count)?, reader.i64s(count)?);
    let ascends = least.iter().zip(&greatest).all(|(least, greatest)| least <= greatest)
        && greatest.iter().zip(least.iter().skip(1)).all(|(before, next)| before <= next);
    if !ascends || (least.first(), greatest.last()) != (Some(&bounds.0), Some(&bounds.1)) {
        return Err(Malformed("keys of blocks in ascending order"));
    }
    let mut blocks = Vec::with_capacity(count);
    for (i, ((length, least), greatest)) in lengths.into_iter().zip(least).zip(greatest).enumerate() {
        let extent = Extent { offset: 0, length, crc: reader.u32()? };
        blocks.push(BlockPlace {
            extent,
            entries: (rows - i * BLOCK_ENTRIES).min(BLOCK_ENTRIES),
            least,
            greatest,
        });
    }
    Ok(blocks)
}
