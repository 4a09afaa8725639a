//! Message ids from a nanosecond clock: the client leaves `version` unset, so that the id becomes the version.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Hands out blocks of ids that only grow, also when the clock does not.
#[derive(Debug, Default)]
pub struct MessageIds {
    next: AtomicU64,
}

impl MessageIds {
    /// The first of `count` consecutive ids, none of them handed out before.
    pub fn reserve(&self, count: u64) -> u64 {
        let now = now_nanos();
        let taken =
            self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| Some(next.max(now) + count));
        // The closure never declines, so both arms hold the former value.
        let (Ok(former) | Err(former)) = taken;
        former.max(now)
    }
}

/// Unix nanoseconds of the wall clock.
pub fn now_nanos() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |elapsed| elapsed.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_never_overlap_and_follow_the_clock() {
        let ids = MessageIds::default();
        let before = now_nanos();
        let mut end = before;
        for count in [10_000, 1, 1_000_000_000_000, 5] {
            let first = ids.reserve(count);
            assert!(first >= end, "{first} lies before the end {end} of the former block");
            end = first + count;
        }
    }
}
