//! Column and page encodings and checksums: pure functions without I/O.
//!
//! Everything that is written here comes back bit for bit, by ranges of rows where it pays. Decoders take
//! untrusted bytes: malformed input is a [`DecodeError`], never a panic. Checksums are the caller's job.

mod bits;
pub mod blob;
mod block;
pub mod checksum;
pub mod column;
mod columns;
mod encoding;
mod error;
pub mod floats;
pub mod frontcode;
pub mod ints;
pub mod product;
mod reader;
mod texts;
mod validity;

pub use column::{Column, ColumnData, Presence, Validity};
pub use columns::{
    ColumnBounds, MAX_COLUMN_ROWS, ValueBounds, column_bounds, column_encoding, decode_column, encode_column,
};
pub use encoding::{Effort, Encoding};
pub use error::DecodeError;
pub use ints::{decode_i64s, decode_i64s_keyed, encode_i64s, encode_i64s_keyed, i64_at};
