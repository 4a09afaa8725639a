//! What the registry needs from the storage of rows: a trait, so that it is tested without an engine.

use super::store::Completion;
use crate::api::common::{Catalog, Group, IntervalRule, interval_rule::Unit};
use pipal_engine::table_key::{GroupId, SegmentBounds};
use pipal_model::{Interval, IntervalUnit, Result};

/// How the rows of a group are divided and how long they live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupOptions {
    /// Length of a segment; none for groups of documents, which are not divided by time.
    pub segment_interval: Option<Interval>,
    /// How long a segment lives behind its end; none is for ever.
    pub ttl: Option<Interval>,
    /// Shards of a new segment.
    pub shard_num: u32,
}

impl GroupOptions {
    /// The options of a group that passed its rules.
    pub fn of(group: &Group) -> Self {
        let options = group.resource_opts.clone().unwrap_or_default();
        let documents = group.catalog == Catalog::Property as i32;
        let interval =
            |rule: Option<IntervalRule>| rule.filter(|_| !documents).map(|rule| interval_of(&rule));
        GroupOptions {
            segment_interval: interval(options.segment_interval),
            ttl: interval(options.ttl),
            shard_num: options.shard_num.max(1),
        }
    }
}

fn interval_of(rule: &IntervalRule) -> Interval {
    let unit = match rule.unit == Unit::Hour as i32 {
        true => IntervalUnit::Hour,
        false => IntervalUnit::Day,
    };
    Interval { unit, num: rule.num }
}

/// The rows of one group, for Inspect and for the decision whether a group is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupData {
    /// Segments, ascending by start.
    pub segments: Vec<SegmentData>,
}

impl GroupData {
    /// Bytes of all segments, in parts and in memory.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(SegmentData::bytes).sum()
    }
}

/// The rows of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentData {
    /// Time span.
    pub bounds: SegmentBounds,
    /// Shards that have rows.
    pub shards: Vec<ShardData>,
}

impl SegmentData {
    /// Bytes of all shards.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes).sum()
    }
}

/// The rows of one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardData {
    /// Number of the shard.
    pub shard: u32,
    /// Rows, superseded ones included.
    pub rows: u64,
    /// Bytes in parts and in memory.
    pub bytes: u64,
    /// Parts in memory and in files.
    pub parts: u64,
    /// Parts in files.
    pub file_parts: u64,
}

/// Opens, closes and drops the rows of groups.
pub trait GroupStorage: Send + Sync {
    /// Opens the rows of an incarnation, or gives it new options. May wait for the disk.
    fn put_group(&self, id: GroupId, options: GroupOptions) -> Result<()>;
    /// Says which incarnations exist; the rows of all others go.
    fn retain_groups(&self, live: &[GroupId]);
    /// Refuses writes to the incarnation from now on.
    fn close_gate(&self, id: GroupId);
    /// Drops all rows of an incarnation for good, then calls `done`.
    fn drop_group(&self, id: GroupId, done: Completion);
    /// What the incarnation holds.
    fn group_data(&self, id: GroupId) -> Result<GroupData>;
}
