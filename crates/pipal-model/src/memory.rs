//! Shares of the memory of the process: whoever needs memory by the request reserves it from one before, and is
//! refused when the share is used up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Holders reserve this much at a time, so that a row seldom touches the counter that all of them share.
const RESERVE_STEP: usize = 64 << 10;

/// The bytes that all holders of one kind share, say all open write streams or all running queries.
#[derive(Debug)]
pub struct MemoryPool {
    limit: usize,
    used: AtomicUsize,
}

impl MemoryPool {
    /// A pool of `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(MemoryPool { limit, used: AtomicUsize::new(0) })
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

/// What one holder has reserved; given back on drop.
#[derive(Debug)]
pub struct Reservation {
    pool: Arc<MemoryPool>,
    bytes_max: usize,
    held: usize,
}

impl Reservation {
    /// An empty reservation of a holder that may have `bytes_max` bytes.
    pub fn new(pool: &Arc<MemoryPool>, bytes_max: usize) -> Self {
        Reservation { pool: pool.clone(), bytes_max, held: 0 }
    }

    /// Makes sure that `bytes` in all are reserved. False when the holder or all of them together are at their
    /// limit; what was reserved before stays.
    pub fn cover(&mut self, bytes: usize) -> bool {
        if bytes <= self.held {
            return true;
        }
        if bytes > self.bytes_max {
            return false;
        }
        let step = (bytes - self.held).next_multiple_of(RESERVE_STEP);
        if !self.pool.reserve(step) {
            return false;
        }
        self.held += step;
        true
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.pool.used.fetch_sub(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_stop_at_their_own_and_at_the_shared_limit_and_give_everything_back() {
        let pool = MemoryPool::new(3 * RESERVE_STEP);
        let mut first = Reservation::new(&pool, 2 * RESERVE_STEP);
        assert!(first.cover(1));
        assert!(first.cover(2 * RESERVE_STEP));
        assert!(!first.cover(2 * RESERVE_STEP + 1), "the limit of the holder");
        let mut second = Reservation::new(&pool, usize::MAX);
        assert!(second.cover(RESERVE_STEP));
        assert!(!second.cover(RESERVE_STEP + 1), "the limit of all");
        assert!(second.cover(RESERVE_STEP), "what is reserved stays");
        drop(first);
        assert!(second.cover(RESERVE_STEP + 1));
        drop(second);
        assert_eq!(pool.used(), 0);
    }
}
