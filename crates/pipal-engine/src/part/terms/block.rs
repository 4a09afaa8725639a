//! Blocks of the term index, read back.

use super::super::wire::{Decoded, Malformed, Reader};
use super::{HASH_BITS, PIECE_HASHES_MAX, block_key};
use crate::cache::CacheValue;
use pipal_codec::decode_i64s;

/// The head of a piece in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct PieceHead {
    /// First row of the resource.
    pub(in super::super) first_row: u64,
    /// Place of the column.
    pub(in super::super) place: u32,
    pub(in super::super) bits: u32,
    first_hash: u32,
    pub(in super::super) hashes: usize,
    rows: usize,
    offset: usize,
    length: usize,
}

impl PieceHead {
    /// What pieces are sorted by.
    pub(in super::super) fn key(&self) -> [u8; 16] {
        block_key(self.first_row, self.place, self.first_hash)
    }
}

/// A loaded block; pieces are still encoded.
pub(in super::super) struct TermBlock {
    bytes: Vec<u8>,
    pieces: Vec<PieceHead>,
}

impl CacheValue for TermBlock {
    fn cache_bytes(&self) -> usize {
        self.bytes.capacity() + self.pieces.capacity() * size_of::<PieceHead>()
    }
}

impl TermBlock {
    /// Reads a block of a part with this many series, counted per resource.
    pub(in super::super) fn decode(bytes: Vec<u8>, series: u64) -> Decoded<Self> {
        let mut reader = Reader::new(&bytes);
        let count = reader.count(10)?;
        let mut pieces: Vec<PieceHead> = Vec::with_capacity(count);
        let mut end = 0usize;
        for _ in 0..count {
            let piece = decode_head(&mut reader, series, end)?;
            if pieces.last().is_some_and(|last| last.key() >= piece.key()) {
                return Err(Malformed("pieces of terms in ascending order"));
            }
            end = end.checked_add(piece.length).ok_or(Malformed("a length"))?;
            pieces.push(piece);
        }
        if count == 0 || end != reader.rest().len() {
            return Err(Malformed("pieces of terms that fill their block"));
        }
        let base = bytes.len() - end;
        pieces.iter_mut().for_each(|piece| piece.offset += base);
        Ok(TermBlock { bytes, pieces })
    }

    /// The pieces in their order.
    pub(in super::super) fn pieces(&self) -> &[PieceHead] {
        &self.pieces
    }

    /// Decodes a piece; the rows of its hashes stay encoded.
    pub(in super::super) fn piece(&self, head: &PieceHead) -> Decoded<TermPiece<'_>> {
        let bytes = self.bytes.get(head.offset..head.offset + head.length);
        let mut reader = Reader::new(bytes.ok_or(Malformed("a piece inside its block"))?);
        let hashes = reader.u64s(head.hashes)?;
        let counts = reader.u64s(head.hashes)?;
        let gaps = reader.bytes()?;
        reader.end()?;
        let ascends = hashes.windows(2).all(|pair| pair[0] < pair[1]);
        let first = hashes.first().map(|hash| hash << (HASH_BITS - head.bits));
        let fits = hashes.last().is_some_and(|last| last >> head.bits == 0);
        if !ascends || !fits || first != Some(u64::from(head.first_hash)) {
            return Err(Malformed("ascending hashes of terms"));
        }
        let mut ends = Vec::with_capacity(counts.len());
        let mut total = 0u64;
        for count in counts {
            total = total.saturating_add(count);
            ends.push(total.min(u64::from(u32::MAX)) as u32);
        }
        if total != head.rows as u64 {
            return Err(Malformed("rows of terms that add up"));
        }
        Ok(TermPiece { bits: head.bits, hashes, ends, gaps })
    }
}

fn decode_head(reader: &mut Reader<'_>, series: u64, offset: usize) -> Decoded<PieceHead> {
    let (first_row, place) = (reader.varint()?, reader.varint_u32()?);
    let (bits, first_hash) = (u32::from(reader.u8()?), reader.u32()?);
    let (hashes, rows) = (reader.varint()?, reader.varint()?);
    let length = usize::try_from(reader.varint()?).map_err(|_| Malformed("a length"))?;
    let rows_max = series.saturating_add(PIECE_HASHES_MAX as u64).min(u64::from(u32::MAX));
    let plausible = (1..=HASH_BITS).contains(&bits) && (1..=PIECE_HASHES_MAX as u64).contains(&hashes);
    if !plausible || rows > rows_max {
        return Err(Malformed("a piece of terms within its limits"));
    }
    let (hashes, rows) = (hashes as usize, rows as usize);
    Ok(PieceHead { first_row, place, bits, first_hash, hashes, rows, offset, length })
}

/// A decoded piece.
pub(in super::super) struct TermPiece<'a> {
    bits: u32,
    hashes: Vec<u64>,
    /// Per hash the end of its rows.
    ends: Vec<u32>,
    gaps: &'a [u8],
}

/// What an entry says of its term.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum TermRows {
    /// Each series of the resource may have it.
    All,
    /// The series that begin at these rows may have it, ascending, counted from the first row of the resource.
    These(Vec<u64>),
}

impl TermPiece<'_> {
    /// The entry of a hash.
    pub(super) fn find(&self, hash: u32) -> Decoded<Option<TermRows>> {
        let kept = u64::from(hash >> (HASH_BITS - self.bits));
        self.hashes.binary_search(&kept).ok().map(|rank| self.rows(rank)).transpose()
    }

    /// The first bits of the hash of an entry; 0 behind the last.
    pub(in super::super) fn hash(&self, rank: usize) -> u32 {
        self.hashes.get(rank).map_or(0, |hash| *hash as u32)
    }

    /// An entry by its place.
    pub(in super::super) fn rows(&self, rank: usize) -> Decoded<TermRows> {
        let start = rank.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        let (Some(start), Some(&end)) = (start, self.ends.get(rank)) else {
            return Err(Malformed("a hash of the piece"));
        };
        if start == end {
            return Ok(TermRows::All);
        }
        let total = self.ends.last().map_or(0, |end| *end as usize);
        let mut gaps = Vec::with_capacity((end - start) as usize);
        decode_i64s(self.gaps, total, start as usize..end as usize, &mut gaps)?;
        let mut rows = Vec::with_capacity(gaps.len());
        let mut least = 0u64;
        for gap in gaps {
            let row = u64::try_from(gap).ok().and_then(|gap| least.checked_add(gap));
            let row = row.filter(|row| *row < u64::MAX).ok_or(Malformed("a row number"))?;
            rows.push(row);
            least = row + 1;
        }
        Ok(TermRows::These(rows))
    }
}
