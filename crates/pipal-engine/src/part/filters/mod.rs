//! Bounds and filters: which chunks of a resource can have rows that a query asks for, without reading them. The
//! sections `bounds` and `filters`.
//!
//! Consecutive chunks of a resource form a *span*. Per span there is one block of bounds: the rows of each chunk, of
//! columns of numbers the least and the greatest value and the number of rows without one, and which columns have
//! filters in the span:
//!
//! ```text
//! block     number of chunks (LEB128); rows of each: integer list; number of columns (LEB128); the columns
//! column    place in the column list, less the place before and 1 (LEB128), flags (u8: 1 bounds, 2 filter);
//!           with bounds three integer lists: rows without a value, least values, greatest values less the least
//! ```
//!
//! A filter leads from the hashes of terms to the chunks of the span that have them. It has the form of the lists of
//! the term index (`part/terms/`), named by the first row of the span and the place of the column, with chunks of the
//! span in place of rows. So one look-up reads one block of some 8 KiB per span and term, whatever the number of
//! chunks, and a term that most chunks have takes a few bytes. A Bloom filter per chunk would be half as large for
//! terms of one chunk, but each look-up would read all of them, and find one chunk in a hundred by mistake.
//!
//! Only resources of the policy `Collapse` have them: a row of another policy may replace one that matches, so that no
//! chunk could be left out.

mod bounds;
mod encode;
mod lookup;
mod verify;
mod writer;

pub(super) use bounds::{ChunkBounds, SpanBlock};
pub(super) use encode::BoundsDraft;
pub(super) use verify::FilterCheck;
pub(super) use writer::{FILTERS_HEAP_BYTES_MAX, FilterWriter, SPAN_HEAP_BYTES_MAX};

use super::terms::HASH_BITS;

/// Resources with fewer rows in a part have neither: reading them is as quick.
pub(super) const FILTERED_ROWS_MIN: u64 = 128;
/// Most chunks of a span.
pub(super) const SPAN_CHUNKS_MAX: usize = 1024;
/// Bits of a hash beyond those that number the hashes of a list: one in 256 look-ups finds a chunk too many.
const FALSE_HIT_BITS: u32 = 8;

/// Bits of the hashes of a filter of this many.
fn bits_for(hashes: usize) -> u32 {
    (usize::BITS - hashes.leading_zeros() + FALSE_HIT_BITS).min(HASH_BITS)
}
