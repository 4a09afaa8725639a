//! The term index: which entities have which terms in the indexed columns of a resource, the `terms` section.
//!
//! Entries are sorted by key and lie in blocks, front-coded like the entities. A key is the first row of the resource
//! and the place of the column in its list, both big-endian so that keys sort like numbers, and the term. An entry
//! holds the ids of the entities that have the term; a term that more than a fourth of the series have is listed
//! without them and stands for all series of the resource, because reading them all is then as cheap.
//!
//! ```text
//! block    length of the keys (LEB128), keys as in a block of entities
//!          per key the number of its ids, 0 for all series of the resource: integer list
//!          ids, per key the first one, then gaps less one: integer list
//! ```
//!
//! Blocks rather than an automaton over all terms (FST): a block is loaded, checked and cached alone, like everything
//! else in a part, and the keys that lead to it cost some bytes per 8 KiB; an automaton is in memory as a whole.

mod reader;
mod verify;
mod writer;

pub(super) use reader::TermBlock;
pub(super) use writer::TermWriter;

use xxhash_rust::xxh3::xxh3_128;

/// Longest term that is stored as it is. Of a longer one the beginning and a hash are stored.
const TERM_BYTES_MAX: usize = 256;
/// Bytes of a long term that stand before its hash.
const TERM_PREFIX_BYTES: usize = 32;
/// A block is closed when it has this many ids, if its keys did not fill it before.
const BLOCK_IDS_TARGET: usize = 4096;

/// The form of a term in the index. Two long terms may share one; then a look-up finds the entities of both.
fn stored<'a>(term: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if term.len() <= TERM_BYTES_MAX {
        return term;
    }
    scratch.clear();
    scratch.extend_from_slice(&term[..TERM_PREFIX_BYTES]);
    scratch.extend_from_slice(&xxh3_128(term).to_be_bytes());
    scratch
}

/// Makes the key of an entry.
fn put_key(first_row: u64, place: u32, stored_term: &[u8], key: &mut Vec<u8>) {
    key.clear();
    key.extend_from_slice(&first_row.to_be_bytes());
    key.extend_from_slice(&place.to_be_bytes());
    key.extend_from_slice(stored_term);
}

/// First row of the resource, place of the column; none if the key is too short.
fn parse_key(key: &[u8]) -> Option<(u64, u32)> {
    let (row, rest) = key.split_first_chunk()?;
    let (place, _) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*row), u32::from_be_bytes(*place)))
}
