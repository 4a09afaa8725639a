//! What every layer shares: typed values, row layouts, series keys, time, and the vocabulary of errors.
//!
//! Nothing here does I/O, knows a protocol or knows how rows are stored.

pub mod analyzer;
pub mod error;
pub mod layout;
pub mod memory;
pub mod orders;
pub mod series;
pub mod time;
pub mod value;

pub use analyzer::Analyzer;
pub use error::{Error, ErrorKind, Result};
pub use layout::{ColumnDef, ColumnKey, Layout, RowPolicy};
pub use memory::{MemoryLedger, MemoryPool, Refusal, Reservation, Share, ShareUse};
pub use orders::{OrderKey, Orders};
pub use time::{Interval, IntervalUnit, TimeRange};
pub use value::{ColumnType, Value, ValueRef};
