//! How much memory open write streams may hold, each and all together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most bytes that one stream keeps until its end. A stream of 10,000 rows needs about 2 MiB.
pub const STREAM_BYTES_MAX: usize = 128 << 20;

/// A stream reserves this much at a time, so that a row seldom touches the counter that all streams share.
const RESERVE_STEP: usize = 64 << 10;

/// The bytes that all open write streams share.
pub struct StreamBudget {
    limit: usize,
    used: AtomicUsize,
}

impl StreamBudget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(StreamBudget { limit, used: AtomicUsize::new(0) })
    }

    /// Bytes reserved now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn reserve(&self, bytes: usize) -> bool {
        let grow = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow).is_ok()
    }
}

/// What one stream has reserved; given back on drop.
pub struct Reservation {
    budget: Arc<StreamBudget>,
    stream_max: usize,
    held: usize,
}

impl Reservation {
    /// An empty reservation of a stream that may hold `stream_max` bytes.
    pub fn new(budget: &Arc<StreamBudget>, stream_max: usize) -> Self {
        Reservation { budget: budget.clone(), stream_max, held: 0 }
    }

    /// Makes sure that `bytes` in all are reserved. False when the stream or all streams together are at their
    /// limit; what was reserved before stays.
    pub fn cover(&mut self, bytes: usize) -> bool {
        if bytes <= self.held {
            return true;
        }
        if bytes > self.stream_max {
            return false;
        }
        let step = (bytes - self.held).next_multiple_of(RESERVE_STEP);
        if !self.budget.reserve(step) {
            return false;
        }
        self.held += step;
        true
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_stop_at_their_own_and_at_the_shared_limit_and_give_everything_back() {
        let budget = StreamBudget::new(3 * RESERVE_STEP);
        let mut first = Reservation::new(&budget, 2 * RESERVE_STEP);
        assert!(first.cover(1));
        assert!(first.cover(2 * RESERVE_STEP));
        assert!(!first.cover(2 * RESERVE_STEP + 1), "the limit of the stream");
        let mut second = Reservation::new(&budget, usize::MAX);
        assert!(second.cover(RESERVE_STEP));
        assert!(!second.cover(RESERVE_STEP + 1), "the limit of all streams");
        assert!(second.cover(RESERVE_STEP), "what is reserved stays");
        drop(first);
        assert!(second.cover(RESERVE_STEP + 1));
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
