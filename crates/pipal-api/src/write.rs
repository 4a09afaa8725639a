//! Writing without an object per value: a message that stays bytes, and a view of measure writes over them.
//!
//! A generated `WriteRequest` allocates for every family, tag, field and text. On the write path the bytes of a
//! request are kept as they came ([`RawMessage`]) and read in place ([`MeasureWriteView`]), straight into columns.

mod cursor;
mod measure;
mod raw;
mod slot;
#[cfg(test)]
mod tests;

pub use measure::{DataPointView, MalformedWrite, MeasureWriteView, MetadataView};
pub use raw::RawMessage;
pub use slot::{IntArray, Slot, StrArray, WriteSlots};
