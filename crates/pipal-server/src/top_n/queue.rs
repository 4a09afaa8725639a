//! From the engine's threads to the processor: bounded by bytes, and never waited for.

use super::tap::Stored;
use parking_lot::{Condvar, Mutex};
use std::time::Duration;

/// Bytes of stored rows that wait for the processor. Beyond it only their windows are handed over.
const QUEUE_BYTES_MAX: usize = 16 << 20;
/// The processor is woken early when this much waits.
const WAKE_BYTES: usize = QUEUE_BYTES_MAX / 4;

/// See the module.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Stored>,
    bytes: usize,
    is_stopped: bool,
}

impl Queue {
    /// Adds stored rows, or only their windows when there is no room.
    pub fn push(&self, mut stored: Stored) {
        let mut state = self.state.lock();
        if state.bytes.saturating_add(stored.bytes()) > QUEUE_BYTES_MAX {
            (stored.rows, stored.texts) = (Vec::new(), Vec::new());
        }
        state.bytes += stored.bytes();
        state.waiting.push(stored);
        if state.bytes >= WAKE_BYTES {
            self.changed.notify_one();
        }
    }

    /// Everything that waits, oldest first.
    pub fn take(&self) -> Vec<Stored> {
        let mut state = self.state.lock();
        state.bytes = 0;
        std::mem::take(&mut state.waiting)
    }

    /// Waits until much is there, or this long; false once the queue is stopped.
    pub fn wait(&self, longest: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.is_stopped && state.bytes < WAKE_BYTES {
            self.changed.wait_for(&mut state, longest);
        }
        !state.is_stopped
    }

    /// Ends the waiting.
    pub fn stop(&self) {
        self.state.lock().is_stopped = true;
        self.changed.notify_all();
    }
}
