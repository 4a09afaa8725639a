//! Timestamps of the wire, of rows and of the ranges of queries.

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_MILLISECOND: i32 = 1_000_000;

/// Why a timestamp is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFault {
    /// It is not a whole millisecond.
    NotMilliseconds,
    /// It does not fit into 64 bits of nanoseconds since the epoch.
    OutOfRange,
}

/// Nanoseconds since the epoch of a protobuf timestamp: a whole millisecond between the years 1677 and 2262
/// (measure specification 2.4, row 3).
pub fn time_of(seconds: i64, nanos: i32) -> Result<i64, TimeFault> {
    if nanos % NANOS_PER_MILLISECOND != 0 {
        return Err(TimeFault::NotMilliseconds);
    }
    if !(0..NANOS_PER_SECOND as i32).contains(&nanos) {
        return Err(TimeFault::OutOfRange);
    }
    // The second that holds the least time is itself out of range, so the sum is taken in 128 bits.
    let time = i128::from(seconds) * i128::from(NANOS_PER_SECOND) + i128::from(nanos);
    i64::try_from(time).map_err(|_| TimeFault::OutOfRange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_milliseconds_within_64_bits_of_nanoseconds_are_times() {
        use TimeFault::{NotMilliseconds, OutOfRange};
        let cases = [
            (0, 0, Ok(0)),
            (1, 999_000_000, Ok(1_999_000_000)),
            (1, 999_999_999, Err(NotMilliseconds)),
            (1, 1, Err(NotMilliseconds)),
            (-1, 0, Ok(-NANOS_PER_SECOND)),
            (0, -1_000_000, Err(OutOfRange)),
            (0, 1_000_000_000, Err(OutOfRange)),
            // 1677-09-21T00:12:43.145224192Z and the first whole millisecond behind it.
            (-9_223_372_037, 145_000_000, Err(OutOfRange)),
            (-9_223_372_037, 146_000_000, Ok(i64::MIN + 775_808)),
            // 2262-04-11T23:47:16.854775807Z and the last whole millisecond before it.
            (9_223_372_036, 854_000_000, Ok(i64::MAX - 775_807)),
            (9_223_372_036, 855_000_000, Err(OutOfRange)),
            (i64::MAX, 0, Err(OutOfRange)),
            (i64::MIN, 0, Err(OutOfRange)),
        ];
        for (seconds, nanos, want) in cases {
            assert_eq!(time_of(seconds, nanos), want, "{seconds} s {nanos} ns");
        }
    }
}
