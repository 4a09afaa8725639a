//! Segments of all groups, in order, united where their times overlap.

use super::ReadPlan;
use crate::context::QueryContext;
use crate::error::{QueryError, QueryResult};
use pipal_engine::scan::SegmentSnapshot;
use pipal_model::TimeRange;

/// How much longer a growing slice is than the one before.
const SLICE_GROWTH: u64 = 16;

/// Segments whose times overlap.
pub(super) struct Region {
    /// First nanosecond of the first segment.
    pub start: i64,
    end: i64,
    /// Position of the group, and its segment.
    pub segments: Vec<(usize, SegmentSnapshot)>,
}

impl Region {
    /// The part of `time` inside the region, cut into about `count` pieces of equal length.
    pub fn slices(&self, time: TimeRange, count: u64, newest_first: bool) -> Vec<TimeRange> {
        self.cut(time, count, 1, newest_first)
    }

    /// The part of `time` inside the region, cut into pieces of growing length, the first one of about 1 / `count`.
    pub fn growing_slices(&self, time: TimeRange, count: u64, newest_first: bool) -> Vec<TimeRange> {
        self.cut(time, count, SLICE_GROWTH, newest_first)
    }

    fn cut(&self, time: TimeRange, count: u64, growth: u64, newest_first: bool) -> Vec<TimeRange> {
        let mut begin = time.begin.max(self.start);
        let mut end = time.end.min(self.end);
        if count < 2 || begin > end {
            return vec![time];
        }
        let mut length = (end.abs_diff(begin) / count).saturating_add(1);
        let mut slices = Vec::new();
        loop {
            let step = i64::try_from(length - 1).unwrap_or(i64::MAX);
            let slice = match newest_first {
                true => TimeRange { begin: end.saturating_sub(step).max(begin), end },
                false => TimeRange { begin, end: begin.saturating_add(step).min(end) },
            };
            slices.push(slice);
            if slice.begin == begin && slice.end == end {
                return slices;
            }
            match newest_first {
                true => end = slice.begin - 1,
                false => begin = slice.end + 1,
            }
            length = length.saturating_mul(growth);
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
            for (growth, newest_first) in [(1, false), (1, true), (16, false), (16, true)] {
                let slices = region.cut(time, count, growth, newest_first);
                for t in 100..=200 {
                    let holders = slices.iter().filter(|slice| slice.contains(t)).count();
                    assert_eq!(holders, usize::from(time.contains(t)), "{t} of {time:?} in {count}");
                }
                let is_ordered = |pair: &[TimeRange]| (pair[0].end < pair[1].begin) != newest_first;
                assert!(slices.windows(2).all(is_ordered), "{slices:?}");
            }
        }
        let lengths: Vec<i64> = (region.growing_slices(TimeRange::ALL, 50, true).iter())
            .map(|slice| slice.end - slice.begin + 1)
            .collect();
        assert_eq!(lengths, [3, 48, 50]);
        let unbounded = Region { start: i64::MIN, end: i64::MAX, segments: Vec::new() };
        let slices = unbounded.slices(TimeRange::ALL, 3, false);
        assert_eq!((slices[0].begin, slices[slices.len() - 1].end), (i64::MIN, i64::MAX));
    }
}
