//! Lists, pieces and blocks of terms on their way to the file.

use super::super::wire::{put_i64s, put_varint};
use super::{BLOCK_BYTES, HASH_BITS, PIECE_HASHES_MAX, block_key};
use pipal_codec::Effort;

/// Writes lists of terms. The term index leads from terms to rows at which series begin; filters lead to chunks by the
/// same bytes.
pub(in super::super) struct ListWriter {
    effort: Effort,
    piece: PieceBuilder,
    blocks: TermBlocks,
}

impl ListWriter {
    pub(in super::super) fn new(effort: Effort) -> Self {
        ListWriter { effort, piece: PieceBuilder::default(), blocks: TermBlocks::default() }
    }

    /// Writes the list of a column, which is named by a first row and its place. A posting is a hash in the upper half
    /// and where it leads to in the lower; they are sorted and distinct. `bits_for` tells the bits of a hash for a
    /// number of distinct ones; a hash that leads to more than `common` stands for everything.
    pub(in super::super) fn put(
        &mut self,
        postings: &[u64],
        place: (u64, u32),
        bits_for: impl Fn(usize) -> u32,
        common: u64,
    ) {
        let hashes = postings.chunk_by(|a, b| a >> HASH_BITS == b >> HASH_BITS).count();
        let bits = bits_for(hashes);
        let shift = 64 - bits;
        let mut rows: Vec<u32> = Vec::new();
        for postings in postings.chunk_by(|a, b| a >> shift == b >> shift) {
            rows.clear();
            rows.extend(postings.iter().map(|posting| *posting as u32));
            rows.sort_unstable();
            rows.dedup();
            if rows.len() as u64 > common {
                rows.clear();
            }
            self.piece.push(postings[0] >> shift, &rows);
            if self.piece.is_full() {
                self.put_piece(place, bits);
            }
        }
        if !self.piece.is_empty() {
            self.put_piece(place, bits);
        }
    }

    fn put_piece(&mut self, place: (u64, u32), bits: u32) {
        self.blocks.push(&self.piece, place, bits, self.effort);
        self.piece.clear();
    }

    /// All blocks. The writer is empty afterwards.
    pub(in super::super) fn finish(&mut self) -> TermBlocks {
        let mut blocks = std::mem::take(&mut self.blocks);
        blocks.close();
        blocks
    }

    pub(in super::super) fn heap_bytes(&self) -> usize {
        self.blocks.heap_bytes()
    }
}

/// A piece of a list.
#[derive(Default)]
struct PieceBuilder {
    hashes: Vec<i64>,
    counts: Vec<i64>,
    gaps: Vec<i64>,
}

impl PieceBuilder {
    /// Appends a hash and the rows of its series; none for all series.
    fn push(&mut self, hash: u64, rows: &[u32]) {
        self.hashes.push(hash as i64);
        self.counts.push(rows.len() as i64);
        let mut least = 0;
        for row in rows {
            self.gaps.push(i64::from(*row) - least);
            least = i64::from(*row) + 1;
        }
    }

    fn is_full(&self) -> bool {
        self.hashes.len() >= PIECE_HASHES_MAX || self.gaps.len() >= PIECE_HASHES_MAX
    }

    fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    fn clear(&mut self) {
        self.hashes.clear();
        self.counts.clear();
        self.gaps.clear();
    }
}

/// Encoded blocks.
#[derive(Default)]
pub(in super::super) struct TermBlocks {
    /// Complete blocks, one behind the other.
    bytes: Vec<u8>,
    /// Per complete block its key, its end in `bytes` and its number of hashes.
    blocks: Vec<([u8; 16], usize, u64)>,
    /// Heads, pieces, number of pieces, key and number of hashes of the block that is not complete.
    heads: Vec<u8>,
    pieces: Vec<u8>,
    count: u64,
    key: [u8; 16],
    hashes: u64,
}

impl TermBlocks {
    /// Appends a piece of the list of a resource, named by its first row, and a place of a column.
    fn push(&mut self, piece: &PieceBuilder, (first_row, place): (u64, u32), bits: u32, effort: Effort) {
        let first_hash = (piece.hashes.first().copied().unwrap_or(0) as u32) << (HASH_BITS - bits);
        let start = self.pieces.len();
        put_i64s(&piece.hashes, effort, &mut self.pieces);
        put_i64s(&piece.counts, effort, &mut self.pieces);
        put_i64s(&piece.gaps, effort, &mut self.pieces);
        if self.count == 0 {
            self.key = block_key(first_row, place, first_hash);
        }
        put_varint(first_row, &mut self.heads);
        put_varint(u64::from(place), &mut self.heads);
        self.heads.push(bits as u8);
        self.heads.extend_from_slice(&first_hash.to_le_bytes());
        put_varint(piece.hashes.len() as u64, &mut self.heads);
        put_varint(piece.gaps.len() as u64, &mut self.heads);
        put_varint((self.pieces.len() - start) as u64, &mut self.heads);
        self.count += 1;
        self.hashes += piece.hashes.len() as u64;
        if self.pieces.len() >= BLOCK_BYTES {
            self.close();
        }
    }

    /// Completes the last block.
    fn close(&mut self) {
        if self.count == 0 {
            return;
        }
        put_varint(std::mem::take(&mut self.count), &mut self.bytes);
        self.bytes.append(&mut self.heads);
        self.bytes.append(&mut self.pieces);
        self.blocks.push((self.key, self.bytes.len(), std::mem::take(&mut self.hashes)));
    }

    /// Key, bytes and number of hashes of each block, in order.
    pub(in super::super) fn iter(&self) -> impl Iterator<Item = (&[u8; 16], &[u8], u64)> {
        let mut start = 0;
        self.blocks.iter().map(move |(key, end, hashes)| {
            let bytes = &self.bytes[std::mem::replace(&mut start, *end)..*end];
            (key, bytes, *hashes)
        })
    }

    fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.heads.capacity() + self.pieces.capacity() + self.blocks.capacity() * 32
    }
}
