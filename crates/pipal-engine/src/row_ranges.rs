//! Sets of row numbers of one source, as ranges.

use std::ops::Range;

/// Row numbers in ascending ranges that neither overlap nor touch each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowRanges(Vec<Range<u64>>);

impl RowRanges {
    /// Appends rows; they must not begin before the end of the rows so far.
    pub fn push(&mut self, rows: Range<u64>) {
        debug_assert!(
            self.0.last().is_none_or(|last| last.end <= rows.start),
            "rows must be pushed in order"
        );
        match self.0.last_mut() {
            _ if rows.is_empty() => {}
            Some(last) if last.end == rows.start => last.end = rows.end,
            _ => self.0.push(rows),
        }
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of rows.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// The first rows of the set that are not before `row`.
    pub fn at_or_after(&self, row: u64) -> Option<Range<u64>> {
        let range = self.0.get(self.0.partition_point(|range| range.end <= row))?;
        Some(range.start.max(row)..range.end)
    }

    /// The shortest range that has all rows of the set inside `rows`; none without such rows.
    pub fn hull(&self, rows: Range<u64>) -> Option<Range<u64>> {
        let start = self.at_or_after(rows.start)?.start;
        let before_end = self.0.partition_point(|range| range.start < rows.end).checked_sub(1)?;
        let end = self.0.get(before_end)?.end.min(rows.end);
        (start < end).then_some(start..end)
    }

    /// What a series, given by its first row and number of rows, has of the set: from the first to the last of them.
    pub(crate) fn cut_series(&self, first_row: u64, count: u32) -> Option<(u64, u32)> {
        let hull = self.hull(first_row..first_row + u64::from(count))?;
        Some((hull.start, (hull.end - hull.start) as u32))
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Range<u64>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_answer_like_a_list_of_rows(
            lengths in prop::collection::vec((0u64..4, 0u64..4), 0..12),
            row in 0u64..60,
            length in 0u64..30,
        ) {
            let (mut ranges, mut rows, mut next) = (RowRanges::default(), Vec::new(), 0);
            for (gap, length) in lengths {
                ranges.push(next + gap..next + gap + length);
                rows.extend(next + gap..next + gap + length);
                next += gap + length;
            }
            prop_assert_eq!(ranges.len(), rows.len() as u64);
            prop_assert_eq!(ranges.is_empty(), rows.is_empty());
            let first = rows.iter().copied().find(|known| *known >= row);
            prop_assert_eq!(ranges.at_or_after(row).map(|range| range.start), first);
            if let Some(range) = ranges.at_or_after(row) {
                prop_assert!(range.clone().all(|known| rows.contains(&known)) && !rows.contains(&range.end));
            }
            let inside: Vec<u64> = rows.iter().copied().filter(|r| (row..row + length).contains(r)).collect();
            let hull = inside.first().zip(inside.last()).map(|(first, last)| *first..*last + 1);
            prop_assert_eq!(ranges.hull(row..row + length), hull);
        }
    }
}
