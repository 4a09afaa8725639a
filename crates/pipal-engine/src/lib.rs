//! The storage engine: commit log, memory tables, parts, manifests, merge, retention, budgets.
//!
//! It knows rows, layouts and row policies, and nothing of protobuf, of the schema registry or of an async
//! runtime. Clock and files are traits, so that tests can stop time and cut the power.

pub mod backup;
pub mod batch;
pub mod cache;
pub mod clock;
mod commit;
mod counters;
mod engine;
mod entry;
pub mod fs;
mod groups;
pub mod inspect;
pub mod log;
mod memory;
pub mod options;
pub mod part;
mod reaper;
mod row_format;
pub mod row_ranges;
pub mod rows;
pub mod scan;
mod series_cursor;
mod store;
mod table;
pub mod table_key;
mod terms;

pub use batch::{Row, WriteBatch};
pub use clock::{Clock, ManualClock, SystemClock};
pub use counters::CounterValues;
pub use engine::{Engine, EngineStats, GroupData, RecoveryReport, SegmentData, ShardData};
pub use options::{AckLevel, EngineOptions};
pub use scan::{
    CancelToken, MergedSeries, Narrowed, RowPredicate, Scan, ScanBatch, ScanRequest, SegmentSnapshot,
    Snapshot, TableSnapshot, TermFilter,
};
pub use store::{GroupOptions, Route};
pub use table_key::{GroupId, SYSTEM_GROUP, SegmentBounds, TableKey};
pub use terms::ordered_float;
