//! Column and page encodings, filters and checksums: pure functions without I/O.

pub mod column;

pub use column::{Column, ColumnData, Presence, Validity};
