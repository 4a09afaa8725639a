//! The section `companions`: where the pieces lie.

use super::super::footer::{Extent, HEADER_BYTES};
use super::super::wire::{Decoded, Malformed, Reader, put_varint};
use super::PIECE_ROWS_MAX;
use crate::cache::CacheValue;
use pipal_model::orders::ORDER_KEYS_MAX;
use std::ops::Range;

/// A piece as the directory knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct PiecePlace {
    /// First row, in the numbers of the part.
    pub(in super::super) first_row: u64,
    pub(in super::super) rows: u32,
    /// The head; the blocks lie before it.
    pub(in super::super) head: Extent,
    /// Per key the least and the greatest.
    pub(in super::super) bounds: Vec<(i64, i64)>,
}

impl PiecePlace {
    pub(in super::super) fn end_row(&self) -> u64 {
        self.first_row + u64::from(self.rows)
    }
}

/// All pieces of a part, in the order of rows and of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Directory(pub(in super::super) Vec<PiecePlace>);

impl CacheValue for Directory {
    fn cache_bytes(&self) -> usize {
        let bounds: usize = self.0.iter().map(|piece| piece.bounds.capacity() * 16).sum();
        self.0.capacity() * size_of::<PiecePlace>() + bounds
    }
}

impl Directory {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(self.0.len() as u64, out);
        for piece in &self.0 {
            put_varint(piece.first_row, out);
            put_varint(u64::from(piece.rows), out);
            put_varint(piece.head.offset, out);
            put_varint(piece.head.length, out);
            out.extend_from_slice(&piece.head.crc.to_le_bytes());
            put_varint(piece.bounds.len() as u64, out);
            for (least, greatest) in &piece.bounds {
                out.extend_from_slice(&least.to_le_bytes());
                out.extend_from_slice(&greatest.to_le_bytes());
            }
        }
    }

    pub(in super::super) fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let count = reader.count(9)?;
        let mut directory = Directory(Vec::with_capacity(count));
        let (mut row, mut offset) = (0u64, HEADER_BYTES as u64);
        for _ in 0..count {
            let piece = decode_place(&mut reader)?;
            let end = piece.first_row.checked_add(u64::from(piece.rows));
            if piece.first_row < row || piece.head.offset < offset {
                return Err(Malformed("pieces of companions in the order of rows"));
            }
            row = end.ok_or(Malformed("a row number"))?;
            offset = piece.head.end();
            directory.0.push(piece);
        }
        reader.end()?;
        Ok(directory)
    }

    /// The pieces with rows in a range of which each piece lies inside or outside.
    pub(super) fn within(&self, rows: &Range<u64>) -> &[PiecePlace] {
        let begin = self.0.partition_point(|piece| piece.first_row < rows.start);
        let end = self.0.partition_point(|piece| piece.first_row < rows.end);
        self.0.get(begin..end).unwrap_or_default()
    }
}

fn decode_place(reader: &mut Reader<'_>) -> Decoded<PiecePlace> {
    let (first_row, rows) = (reader.varint()?, reader.varint_u32()?);
    let head = Extent { offset: reader.varint()?, length: reader.varint()?, crc: reader.u32()? };
    let keys = reader.count(16)?;
    if !(1..=PIECE_ROWS_MAX as u32).contains(&rows) || !(1..=ORDER_KEYS_MAX).contains(&keys) {
        return Err(Malformed("a piece of companions within its limits"));
    }
    let mut bounds = Vec::with_capacity(keys);
    for _ in 0..keys {
        let (least, greatest) = (reader.i64()?, reader.i64()?);
        if least > greatest {
            return Err(Malformed("bounds of keys"));
        }
        bounds.push((least, greatest));
    }
    Ok(PiecePlace { first_row, rows, head, bounds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_reads_back_and_its_cuts_are_refused() {
        let place = |first_row, rows, offset| PiecePlace {
            first_row,
            rows,
            head: Extent { offset, length: 300, crc: 7 },
            bounds: vec![(i64::MIN, i64::MAX), (0, 0)],
        };
        let directory = Directory(vec![place(5, 10, 100), place(15, 1, 500), place(400, 9, 900)]);
        let mut bytes = Vec::new();
        directory.encode(&mut bytes);
        assert_eq!(Directory::decode(&bytes), Ok(directory.clone()));
        for cut in 0..bytes.len() {
            assert!(Directory::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert_eq!(directory.within(&(5..16)), &directory.0[..2]);
        assert_eq!(directory.within(&(16..400)), &[]);
        for wrong in [vec![place(5, 10, 100), place(14, 1, 500)], vec![place(5, 1, 900), place(6, 1, 1000)]] {
            let mut bytes = Vec::new();
            Directory(wrong).encode(&mut bytes);
            assert!(Directory::decode(&bytes).is_err());
        }
    }
}
