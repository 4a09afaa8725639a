//! Ordered companions: the rows of a resource in the order of a number other than the sort key.
//!
//! The schema of a resource may name *keys* by which its rows are asked for (the time, or columns with numbers) and
//! *leading* columns that such questions fix (see [`pipal_model::Orders`]). A resource of at least
//! [`COMPANION_ROWS_MIN`] rows then has pieces, each of which covers up to [`PIECE_ROWS_MAX`] consecutive rows, so that
//! writing sorts in bounded memory. A piece numbers the distinct combinations of leading values of its rows (*tuples*)
//! and lists, per key, its rows in the order of (key, row) with the number of the tuple of each. A walk merges the
//! pieces from either end; it asks its caller once per piece and tuple whether rows with these values may pass, and so
//! gives, without reading any row, the next rows that may.
//!
//! Pieces lie in the section `rows`, each behind the row groups that were complete when it was; the section
//! `companions` is the directory that leads to them. Bytes are described in `docs/format/part.md`:
//!
//! ```text
//! directory number of pieces; per piece: first row, rows, offset and length of its head (LEB128), crc of it,
//!           number of keys (LEB128), per key the least and the greatest (i64 each)
//! piece     blocks of all keys, one behind the other, then the head
//! head      rows, kept leading columns, tuples (LEB128); per kept column its length and the encoded column of the
//!           tuples' values; rows per tuple: integer list; per key, of its blocks: lengths, least keys, greatest
//!           keys: integer lists, and a crc u32 each
//! block     of up to 4,096 entries: keys; rows, counted from the first of the piece; numbers of tuples, if there are
//!           several: integer lists
//! ```

mod block;
mod cursor;
mod directory;
mod head;
mod open;
mod point;
mod tuples;
mod verify;
mod walk;
mod writer;

pub(super) use block::EntryBlock;
pub(super) use directory::{Directory, PiecePlace};
pub(super) use head::PieceHead;
pub use open::Companion;
pub use walk::{LeadingFilter, OrderedRow, Step, Verdict, Walk, WalkRequest};
pub(super) use writer::{CompanionWriter, WRITER_BYTES_MAX};

/// Resources with fewer rows in a part have no companions: reading them all is as cheap.
pub(super) const COMPANION_ROWS_MIN: u64 = 1024;
/// Most rows of a piece.
pub(super) const PIECE_ROWS_MAX: usize = 1 << 17;
/// Most entries of a block; all blocks of a key but the last have as many.
pub(super) const BLOCK_ENTRIES: usize = 4096;
/// Most tuples of a piece. With more, the last leading column is given up, and so on: its conditions are then tested
/// with the rows.
const TUPLES_MAX: usize = 1 << 14;
/// Most bytes of the values of the tuples of a piece; with more, likewise.
const TUPLE_BYTES_MAX: usize = 1 << 20;
