//! What one holder has of a share.

use super::{MemoryPool, Refusal};
use std::sync::Arc;

/// Holders that grow bit by bit take this much at a time, so that a row seldom touches the counters that all of them
/// share.
pub(super) const RESERVE_STEP: usize = 64 << 10;

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

    /// A reservation of exactly `bytes`, for holders that do not grow. Errors: the limit that has no room for it.
    pub fn exactly(pool: &Arc<MemoryPool>, bytes: usize) -> Result<Self, Refusal> {
        pool.reserve(bytes).inspect_err(|refusal| pool.count(*refusal))?;
        Ok(Reservation { pool: pool.clone(), bytes_max: bytes, held: bytes })
    }

    /// A reservation of exactly `bytes` for what is there already and cannot be refused.
    pub fn charged(pool: &Arc<MemoryPool>, bytes: usize) -> Self {
        pool.charge(bytes);
        Reservation { pool: pool.clone(), bytes_max: bytes, held: bytes }
    }

    /// Bytes reserved.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Makes sure that `bytes` in all are reserved; rounds up where there is room. Errors: the limit at which the
    /// holder, its share or the process is; what was reserved before stays.
    pub fn cover(&mut self, bytes: usize) -> Result<(), Refusal> {
        if bytes <= self.held {
            return Ok(());
        }
        let reserved = self.try_grow(bytes - self.held, bytes);
        self.held += *reserved.as_ref().unwrap_or(&0);
        reserved.map(|_| ()).inspect_err(|refusal| self.pool.count(*refusal))
    }

    fn try_grow(&self, missing: usize, bytes: usize) -> Result<usize, Refusal> {
        if bytes > self.bytes_max {
            return Err(Refusal::Holder(self.bytes_max));
        }
        let step = missing.checked_next_multiple_of(RESERVE_STEP).unwrap_or(missing);
        match self.pool.reserve(step) {
            Ok(()) => Ok(step),
            Err(_) => self.pool.reserve(missing).map(|()| missing),
        }
    }

    /// Makes sure that `bytes` in all are charged, whatever the limits are; rounds up.
    pub fn charge(&mut self, bytes: usize) {
        if bytes > self.held {
            let step = (bytes - self.held).next_multiple_of(RESERVE_STEP);
            self.pool.charge(step);
            self.held += step;
        }
    }

    /// Holds exactly `bytes` from now on, whatever the limits are.
    pub fn set(&mut self, bytes: usize) {
        if bytes > self.held {
            self.pool.charge(bytes - self.held);
        } else {
            self.pool.give_back(self.held - bytes);
        }
        self.held = bytes;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.pool.give_back(self.held);
    }
}
