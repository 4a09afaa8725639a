//! The times of rows: a steady flow, so that time and number follow from each other.

/// When the rows of a run happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowClock {
    /// Time of row 0, Unix milliseconds.
    pub start_ms: i64,
    /// Rows per second of their own time, at least 1.
    pub rows_per_second: u32,
}

impl RowClock {
    /// Time of a row, Unix milliseconds.
    pub fn time_ms(&self, row: u64) -> i64 {
        self.start_ms + (row * 1000 / u64::from(self.rows_per_second.max(1))) as i64
    }

    /// The first row at or after a time.
    pub fn first_row_at(&self, time_ms: i64) -> u64 {
        let distance = u64::try_from(time_ms - self.start_ms).unwrap_or(0);
        (distance * u64::from(self.rows_per_second.max(1))).div_ceil(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_and_rows_follow_from_each_other(rows_per_second in 1u32..20_000, row in 0u64..5_000_000, back in 0i64..9) {
            let clock = RowClock { start_ms: 1_700_000_000_123, rows_per_second };
            let time = clock.time_ms(row);
            let first = clock.first_row_at(time);
            prop_assert!(first <= row && clock.time_ms(first) >= time);
            prop_assert!(first == 0 || clock.time_ms(first - 1) < time);
            prop_assert_eq!(clock.first_row_at(clock.start_ms - back), 0);
        }
    }
}
