//! Writing without an object per value: a message that stays bytes, and a view of writes over them.
//!
//! A generated `WriteRequest` allocates for every family, tag, field and text. On the write path the bytes of a
//! request are kept as they came ([`RawMessage`]) and read in place ([`WriteView`]), straight into columns.

mod cursor;
mod measure;
mod raw;
mod slot;
mod stream;
#[cfg(test)]
mod tests;
mod trace;
mod view;

pub use raw::RawMessage;
pub use slot::{IntArray, Slot, StrArray, WriteSlots};
pub use view::{MalformedWrite, MetadataView, Model, TRACE_FAMILY, ValueView, WriteView};
