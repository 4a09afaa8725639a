//! Segments of all groups, in order, united where their times overlap.

use super::ReadPlan;
use crate::context::QueryContext;
use crate::error::{QueryError, QueryResult};
use pipal_engine::scan::SegmentSnapshot;
use pipal_model::TimeRange;

/// Segments whose times overlap.
pub(super) struct Region {
    /// First nanosecond of the first segment.
    pub start: i64,
    end: i64,
    /// Position of the group, and its segment.
    pub segments: Vec<(usize, SegmentSnapshot)>,
}

impl Region {
    /// The part of `time` inside the region, cut into about `count` pieces of equal length, oldest first.
    pub fn slices(&self, time: TimeRange, count: u64) -> Vec<TimeRange> {
        let begin = time.begin.max(self.start);
        let end = time.end.min(self.end);
        if count < 2 || begin > end {
            return vec![time];
        }
        let length = (end.abs_diff(begin) / count).saturating_add(1);
        let step = i64::try_from(length).unwrap_or(i64::MAX);
        let mut slices = Vec::new();
        let mut from = begin;
        loop {
            let to = from.saturating_add(step - 1).min(end);
            slices.push(TimeRange { begin: from, end: to });
            if to >= end {
                return slices;
            }
            from = to + 1;
        }
    }
}

/// The regions of a query, oldest first. Errors: criteria that cannot be served although there are segments.
pub(super) fn of(context: &QueryContext<'_>, plan: &ReadPlan<'_>) -> QueryResult<Vec<Region>> {
    let mut segments: Vec<(usize, SegmentSnapshot)> = Vec::new();
    for (position, (group, group_plan)) in context.groups.iter().zip(&plan.groups).enumerate() {
        let snapshot = context.snapshots.snapshot(group.id, context.time)?;
        if snapshot.segments.is_empty() {
            continue;
        }
        if let Some(refusal) = group_plan.refusal {
            return Err(QueryError::invalid(refusal));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_the_overlap_once() {
        let region = Region { start: 100, end: 200, segments: Vec::new() };
        for (begin, end, count) in [(0, 500, 7), (120, 121, 5), (150, 150, 3), (0, 500, 1000)] {
            let time = TimeRange { begin, end };
            let slices = region.slices(time, count);
            for t in 100..=200 {
                let holders = slices.iter().filter(|slice| slice.contains(t)).count();
                assert_eq!(holders, usize::from(time.contains(t)), "{t} of {time:?} in {count}");
            }
        }
        let unbounded = Region { start: i64::MIN, end: i64::MAX, segments: Vec::new() };
        let slices = unbounded.slices(TimeRange::ALL, 3);
        assert_eq!((slices[0].begin, slices[slices.len() - 1].end), (i64::MIN, i64::MAX));
    }
}
