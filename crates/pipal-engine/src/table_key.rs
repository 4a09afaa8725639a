//! Names of groups, segments and tables.

use pipal_model::TimeRange;

/// Incarnation of a group: assigned by the schema registry, strictly increasing, never used again, so that the
/// rows of a deleted group never come back under its name.
pub type GroupId = u64;

/// The group of the schema documents: unsegmented, one shard.
pub const SYSTEM_GROUP: GroupId = 0;

/// Time span of a segment in nanoseconds, half open, UTC. Unsegmented groups have one that holds all time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentBounds {
    /// First nanosecond inside.
    pub start: i64,
    /// First nanosecond behind.
    pub end: i64,
}

impl SegmentBounds {
    /// The segment of an unsegmented group.
    pub const UNBOUNDED: SegmentBounds = SegmentBounds { start: i64::MIN, end: i64::MAX };

    /// True when the segment may hold rows of the range. The unbounded segment also holds the last nanosecond.
    pub fn overlaps(&self, range: &TimeRange) -> bool {
        self.start <= range.end && (range.begin < self.end || *self == Self::UNBOUNDED)
    }

    /// True when a row of this time belongs into the segment.
    pub fn contains(&self, time: i64) -> bool {
        *self == Self::UNBOUNDED || (self.start <= time && time < self.end)
    }
}

/// One table: the rows of one shard of one segment of one group, of all its resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableKey {
    /// Incarnation of the group.
    pub group: GroupId,
    /// Segment.
    pub segment: SegmentBounds,
    /// Shard inside the segment.
    pub shard: u32,
}

impl std::fmt::Display for TableKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "group {:016x} segment {} shard {}", self.group, self.segment.start, self.shard)
    }
}
