//! Time ranges, segment intervals and the one function that maps a time to its segment. All of it is UTC.

/// Nanoseconds of one hour.
pub const HOUR_NANOS: i64 = 3_600_000_000_000;
/// Nanoseconds of one day.
pub const DAY_NANOS: i64 = 24 * HOUR_NANOS;

/// A range of nanoseconds since the epoch, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// First nanosecond inside.
    pub begin: i64,
    /// Last nanosecond inside.
    pub end: i64,
}

impl TimeRange {
    /// Everything.
    pub const ALL: TimeRange = TimeRange { begin: i64::MIN, end: i64::MAX };

    /// True when `time` is inside.
    pub fn contains(&self, time: i64) -> bool {
        self.begin <= time && time <= self.end
    }

    /// True when the ranges share at least one nanosecond.
    pub fn overlaps(&self, other: &TimeRange) -> bool {
        self.begin <= other.end && other.begin <= self.end
    }

    /// True when every nanosecond of `other` is inside.
    pub fn covers(&self, other: &TimeRange) -> bool {
        self.begin <= other.begin && other.end <= self.end
    }
}

/// Unit of a segment interval or of a time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntervalUnit {
    /// 3,600 seconds.
    Hour,
    /// 86,400 seconds.
    Day,
}

/// A number of hours or days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Unit.
    pub unit: IntervalUnit,
    /// Number of units, at least 1.
    pub num: u32,
}

impl Interval {
    /// The length in nanoseconds, at least one unit, capped at the range of time itself.
    pub fn nanos(&self) -> i64 {
        let unit = match self.unit {
            IntervalUnit::Hour => HOUR_NANOS,
            IntervalUnit::Day => DAY_NANOS,
        };
        unit.saturating_mul(i64::from(self.num.max(1)))
    }

    /// The half-open grid cell `[start, end)` that holds `time`, on a grid counted from the epoch.
    /// Cells that would leave the range of time are cut at its ends.
    pub fn cell(&self, time: i64) -> (i64, i64) {
        let length = self.nanos();
        let start = time.saturating_sub(time.rem_euclid(length));
        (start, start.saturating_add(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_aligned_to_the_epoch_and_hold_their_time() {
        let day = Interval { unit: IntervalUnit::Day, num: 1 };
        assert_eq!(day.cell(0), (0, DAY_NANOS));
        assert_eq!(day.cell(-1), (-DAY_NANOS, 0));
        assert_eq!(day.cell(DAY_NANOS - 1), (0, DAY_NANOS));
        let hours = Interval { unit: IntervalUnit::Hour, num: 6 };
        let (start, end) = hours.cell(7 * HOUR_NANOS + 5);
        assert_eq!((start, end), (6 * HOUR_NANOS, 12 * HOUR_NANOS));
        for time in [i64::MIN, i64::MIN + 1, i64::MAX - 1] {
            let (start, end) = day.cell(time);
            assert!(start <= time && time < end, "{time}");
        }
    }
}
