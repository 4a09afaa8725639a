//! How far a load has come while it is written and read at the same time.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ledger::lock;

/// What a reader may expect of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It was acknowledged: it must be there.
    Must,
    /// It was sent: it may be there.
    May,
    /// Nobody has sent it.
    Never,
}

impl Presence {
    /// The same without the duty to be there.
    pub fn at_most_may(self) -> Self {
        if self == Presence::Must { Presence::May } else { self }
    }
}

/// Rows below `acknowledged` are acknowledged, rows from `sent` on were never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    pub acknowledged: u64,
    pub sent: u64,
}

impl Reach {
    /// A load that is complete.
    pub fn complete(rows: u64) -> Self {
        Reach { acknowledged: rows, sent: rows }
    }

    /// What to expect of a row.
    pub fn presence(&self, row: u64) -> Presence {
        match row {
            row if row < self.acknowledged => Presence::Must,
            row if row < self.sent => Presence::May,
            _ => Presence::Never,
        }
    }
}

/// The reach of a load that is being written, stream by stream.
#[derive(Debug)]
pub struct Progress {
    rows_per_stream: u64,
    acknowledged: AtomicU64,
    sent: AtomicU64,
    /// Streams acknowledged ahead of one that is not.
    ahead: Mutex<BTreeSet<u64>>,
}

impl Progress {
    /// A load of which nothing was sent.
    pub fn new(rows_per_stream: u64) -> Self {
        Progress {
            rows_per_stream,
            acknowledged: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            ahead: Mutex::default(),
        }
    }

    /// A load that was written before.
    pub fn complete(rows: u64) -> Self {
        let progress = Self::new(1);
        progress.acknowledged.store(rows, Ordering::SeqCst);
        progress.sent.store(rows, Ordering::SeqCst);
        progress
    }

    /// A load that was written before and may be continued with the next whole stream.
    pub fn complete_streams(rows: u64, rows_per_stream: u64) -> Self {
        Progress { rows_per_stream, ..Self::complete(rows) }
    }

    /// Notes that the stream is about to be sent.
    pub fn sent(&self, stream: u64) {
        self.sent.fetch_max((stream + 1) * self.rows_per_stream, Ordering::SeqCst);
    }

    /// Notes that the stream was acknowledged completely.
    pub fn acknowledged(&self, stream: u64) {
        let mut ahead = lock(&self.ahead);
        ahead.insert(stream);
        let mut next = self.acknowledged.load(Ordering::SeqCst) / self.rows_per_stream;
        while ahead.remove(&next) {
            next += 1;
        }
        self.acknowledged.store(next * self.rows_per_stream, Ordering::SeqCst);
    }

    /// The reach at this moment.
    pub fn reach(&self) -> Reach {
        let acknowledged = self.acknowledged.load(Ordering::SeqCst);
        Reach { acknowledged, sent: self.sent.load(Ordering::SeqCst) }
    }

    /// The reach for an answer to a query that was sent at `before`: what was acknowledged then, what was sent since.
    pub fn since(&self, before: Reach) -> Reach {
        Reach { acknowledged: before.acknowledged, sent: self.sent.load(Ordering::SeqCst) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unbroken_row_of_streams_is_acknowledged() {
        let progress = Progress::new(10);
        (0..4).for_each(|stream| progress.sent(stream));
        progress.acknowledged(1);
        progress.acknowledged(3);
        assert_eq!(progress.reach(), Reach { acknowledged: 0, sent: 40 });
        let before = progress.reach();
        progress.acknowledged(0);
        progress.sent(4);
        assert_eq!(progress.reach(), Reach { acknowledged: 20, sent: 50 });
        assert_eq!(progress.since(before), Reach { acknowledged: 0, sent: 50 });
        let presences = [19, 20, 49, 50].map(|row| progress.reach().presence(row));
        assert_eq!(presences, [Presence::Must, Presence::May, Presence::May, Presence::Never]);
        assert_eq!(Progress::complete(7).reach(), Reach::complete(7));
    }
}
