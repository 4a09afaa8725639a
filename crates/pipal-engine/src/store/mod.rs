//! Groups and their segments: where a row goes, what a query sees, what has expired.

mod group;
mod layout;
mod segment;

pub(crate) use group::Group;
pub use group::{GroupOptions, Route};
pub(crate) use layout::{
    DataDir, GroupEntry, civil_from_days, dropped_dir, is_dropped, parse_group_entry, parse_shard_dir_name,
    segment_dir_name, shard_dir_name,
};
pub(crate) use segment::{Segment, SegmentFile};
