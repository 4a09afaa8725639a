//! Requests that wait for the log.

use super::Request;
use crate::options::COMMIT_GROUP_BYTES_MAX;
use parking_lot::{Condvar, Mutex};
use pipal_model::{Error, ErrorKind, MemoryPool, Reservation, Result};
use std::collections::VecDeque;
use std::sync::Arc;

struct State {
    waiting: VecDeque<Request>,
    bytes: usize,
    /// Memory for `bytes`.
    memory: Reservation,
    is_closed: bool,
}

/// A bounded queue; a request beyond its bytes is refused, so memory stays bounded whatever clients do.
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

impl State {
    fn take_room(&mut self, bytes: usize) -> Result<()> {
        if self.is_closed {
            return Err(closed());
        }
        let waiting = self.bytes.saturating_add(bytes);
        if self.bytes == 0 {
            self.memory.charge(waiting);
        } else if let Err(refusal) = self.memory.cover(waiting) {
            let detail = format!("requests of {} bytes wait for the log already: {refusal}", self.bytes);
            return Err(Error::new(ErrorKind::ResourceExhausted, "write", detail));
        }
        self.bytes = waiting;
        Ok(())
    }
}

impl Queue {
    /// A queue of the bytes that `memory` gives; an only request is always taken.
    pub fn new(memory: &Arc<MemoryPool>) -> Self {
        let memory = Reservation::new(memory, usize::MAX);
        let state = State { waiting: VecDeque::new(), bytes: 0, memory, is_closed: false };
        Queue { state: Mutex::new(state), wake: Condvar::new() }
    }

    /// Adds a request. On refusal the request's writer has been told already.
    pub fn push(&self, request: Request) {
        let mut state = self.state.lock();
        if let Err(error) = state.take_room(request.bytes) {
            drop(state);
            return (request.done)(Err(error));
        }
        state.waiting.push_back(request);
        self.wake.notify_one();
    }

    /// Takes all that waits, up to the bytes of a group; none once the queue is closed and empty.
    pub fn take_group(&self) -> Option<Vec<Request>> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() {
            if state.is_closed {
                return None;
            }
            self.wake.wait(&mut state);
        }
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(request) = state.waiting.pop_front() {
            bytes += request.bytes;
            state.bytes -= request.bytes;
            group.push(request);
            if bytes >= COMMIT_GROUP_BYTES_MAX {
                break;
            }
        }
        let waiting = state.bytes;
        state.memory.set(waiting);
        Some(group)
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// Refuses further requests; those that wait are still done.
    pub fn close(&self) {
        self.state.lock().is_closed = true;
        self.wake.notify_all();
    }
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "write", "the database is closing")
}
