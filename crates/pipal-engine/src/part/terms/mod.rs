//! The term index: which series have which terms in the indexed columns of a resource, the `terms` section.
//!
//! Terms are kept as hashes. A look-up may find a series too many, which the caller's own evaluation leaves out, and
//! never one too few; in return an entry takes some four bytes whatever the length of its term. The terms themselves,
//! front-coded and compressed, took five times as much and made a part of documents half as large again. Conditions that
//! need the order of terms are not answered here.
//!
//! A **list** holds the terms of one column of one resource, sorted by hash: the first bits of a 32-bit hash, so many
//! that one look-up in a thousand finds what is not there. Per hash it has the
//! first rows of the series that have the term; a hash that more than a fourth of the series have stands for all of
//! them, because reading them all is then as cheap. Lists are cut into pieces, and pieces are packed into blocks, the
//! unit of reading, checksum and cache:
//!
//! ```text
//! block    number of pieces, then per piece its head, then the pieces
//! head     first row of the resource, place of the column (LEB128), bits of a hash (u8), first hash filled up to 32
//!          bits (u32), number of hashes, number of rows, length of the piece (LEB128)
//! piece    hashes: integer list; rows per hash, 0 for all series: integer list;
//!          per hash the first row, counted from that of the resource, then gaps less one: integer list
//! ```

mod block;
mod encode;
mod lookup;
mod verify;
mod writer;

pub(super) use block::{PieceHead, TermBlock, TermRows};
pub(super) use encode::{ListWriter, TermBlocks};
pub(super) use lookup::TermList;
pub(super) use writer::{TERMS_HEAP_BYTES_MAX, TermWriter};

use xxhash_rust::xxh3::xxh3_64;

/// Resources with fewer series in a part have no lists: all of their series are candidates. Flushed parts hold a few
/// dozen rows of each of thousands of measures; lists would cost a tenth of them and save next to nothing.
pub(super) const INDEXED_SERIES_MIN: u64 = 128;
/// Bits of a hash beyond those that number the hashes of a list: one in 1,024 look-ups finds what is not there.
const FALSE_HIT_BITS: u32 = 10;
/// Bits of a whole hash.
pub(super) const HASH_BITS: u32 = 32;
/// Most hashes of a piece. A piece is also cut when it has this many rows.
const PIECE_HASHES_MAX: usize = 4096;
/// A block is closed when its pieces reach this size.
const BLOCK_BYTES: usize = 8 << 10;

/// The hash of a term.
pub(super) fn hash_of(term: &[u8]) -> u32 {
    (xxh3_64(term) >> (64 - HASH_BITS)) as u32
}

/// A hash with what it leads to; postings sort by their hashes.
pub(super) fn posting_of(hash: u32, leads_to: u32) -> u64 {
    u64::from(hash) << HASH_BITS | u64::from(leads_to)
}

/// Bits of the hashes of a list of this many.
fn bits_for(hashes: usize) -> u32 {
    (usize::BITS - hashes.leading_zeros() + FALSE_HIT_BITS).min(HASH_BITS)
}

/// What blocks are found by: big-endian, so that keys sort like numbers.
fn block_key(first_row: u64, place: u32, hash: u32) -> [u8; 16] {
    let number = u128::from(first_row) << 64 | u128::from(place) << 32 | u128::from(hash);
    number.to_be_bytes()
}
