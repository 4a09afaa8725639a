//! Segments of all groups, in order, united where their times overlap.

use super::super::QueryContext;
use super::super::plan::Plan;
use super::refuse_unservable;
use crate::error::QueryResult;
use pipal_engine::scan::SegmentSnapshot;

/// Segments whose times overlap.
pub(super) struct Region {
    /// First nanosecond of the first segment.
    pub start: i64,
    end: i64,
    /// Position of the group, and its segment.
    pub segments: Vec<(usize, SegmentSnapshot)>,
}

/// The regions of a query, oldest first. Errors: criteria that name no series although there are segments.
pub(super) fn of(context: &QueryContext<'_>, plan: &Plan) -> QueryResult<Vec<Region>> {
    let mut segments: Vec<(usize, SegmentSnapshot)> = Vec::new();
    for (position, (group, group_plan)) in context.groups.iter().zip(&plan.groups).enumerate() {
        let snapshot = context.snapshots.snapshot(group.id, context.time)?;
        if snapshot.segments.is_empty() {
            continue;
        }
        refuse_unservable(group_plan)?;
        segments.extend(snapshot.segments.into_iter().map(|segment| (position, segment)));
    }
    segments.sort_by_key(|(_, segment)| segment.bounds.start);
    let mut regions: Vec<Region> = Vec::new();
    for (group, segment) in segments {
        let (start, end) = (segment.bounds.start, segment.bounds.end);
        match regions.last_mut() {
            Some(last) if start < last.end => {
                last.end = last.end.max(end);
                last.segments.push((group, segment));
            }
            _ => regions.push(Region { start, end, segments: vec![(group, segment)] }),
        }
    }
    Ok(regions)
}
