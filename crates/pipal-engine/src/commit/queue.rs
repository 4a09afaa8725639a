//! Requests that wait for the log.

use super::Request;
use crate::options::COMMIT_GROUP_BYTES_MAX;
use parking_lot::{Condvar, Mutex};
use pipal_model::{Error, ErrorKind};
use std::collections::VecDeque;

#[derive(Default)]
struct State {
    waiting: VecDeque<Request>,
    bytes: usize,
    is_closed: bool,
}

/// A bounded queue; a request beyond its bytes is refused, so memory stays bounded whatever clients do.
pub(crate) struct Queue {
    bytes_max: usize,
    state: Mutex<State>,
    wake: Condvar,
}

impl Queue {
    /// A queue of at most `bytes_max` bytes; an only request may be larger.
    pub fn new(bytes_max: usize) -> Self {
        Queue { bytes_max, state: Mutex::default(), wake: Condvar::new() }
    }

    /// Adds a request. On refusal the request's writer has been told already.
    pub fn push(&self, request: Request) {
        let mut state = self.state.lock();
        let refusal = if state.is_closed {
            Some(closed())
        } else if state.bytes > 0 && state.bytes + request.bytes > self.bytes_max {
            let detail = format!("requests of {} bytes wait for the log already", state.bytes);
            Some(Error::new(ErrorKind::ResourceExhausted, "write", detail))
        } else {
            None
        };
        if let Some(error) = refusal {
            drop(state);
            return (request.done)(Err(error));
        }
        state.bytes += request.bytes;
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
