//! Revisions: wall-clock nanoseconds that only ever grow, also over restarts and when the clock steps back.

use pipal_engine::clock::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Hands out revisions (server surface 2.2). Each is greater than all before it, and close to the wall clock
/// whenever the clock behaves.
pub struct RevisionClock {
    clock: Arc<dyn Clock>,
    last: AtomicI64,
}

impl RevisionClock {
    /// A clock whose first revision is greater than `floor`, the greatest revision that was ever stored.
    pub fn new(clock: Arc<dyn Clock>, floor: i64) -> Self {
        RevisionClock { clock, last: AtomicI64::new(floor) }
    }

    /// The next revision, in nanoseconds since the epoch.
    pub fn next(&self) -> i64 {
        self.next_above(i64::MIN)
    }

    /// The next revision that is also greater than `floor`.
    pub fn next_above(&self, floor: i64) -> i64 {
        let now = self.clock.now().max(floor.saturating_add(1));
        let step = |last: i64| Some(now.max(last.saturating_add(1)));
        let last = self.last.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step);
        last.map_or(now, |last| now.max(last.saturating_add(1)))
    }

    /// The wall clock, in nanoseconds since the epoch.
    pub fn now(&self) -> i64 {
        self.clock.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipal_engine::clock::ManualClock;

    #[test]
    fn revisions_grow_when_the_clock_stands_still_or_steps_back() {
        let clock = Arc::new(ManualClock::new(1_000));
        let revisions = RevisionClock::new(clock.clone(), 0);
        assert_eq!(revisions.next(), 1_000);
        assert_eq!(revisions.next(), 1_001);
        clock.set(10);
        assert_eq!(revisions.next(), 1_002);
        clock.set(5_000);
        assert_eq!(revisions.next(), 5_000);
    }

    #[test]
    fn a_revision_is_above_its_floor_and_all_later_ones_are_above_it() {
        let revisions = RevisionClock::new(Arc::new(ManualClock::new(10)), 0);
        assert_eq!(revisions.next_above(7_000), 7_001);
        assert_eq!(revisions.next_above(5), 7_002);
    }

    #[test]
    fn a_restart_with_a_clock_in_the_past_goes_on_above_what_was_stored() {
        let revisions = RevisionClock::new(Arc::new(ManualClock::new(10)), 7_000);
        assert_eq!(revisions.next(), 7_001);
    }

    #[test]
    fn threads_never_get_the_same_revision() {
        let revisions = Arc::new(RevisionClock::new(Arc::new(ManualClock::new(1)), 0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let revisions = revisions.clone();
                std::thread::spawn(move || (0..1_000).map(|_| revisions.next()).collect::<Vec<_>>())
            })
            .collect();
        let mut all: Vec<i64> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4_000);
    }
}
