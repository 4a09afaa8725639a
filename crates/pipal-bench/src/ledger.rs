//! What was sent and what was acknowledged, and the judgement that follows about every row read back.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::plan::{Chunking, WorkItem};

/// Which messages of a stream were answered with success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acknowledged {
    None,
    All,
    /// One bit per message, 64 to a word: the stream broke, or some messages were refused.
    Some(Vec<u64>),
}

impl Acknowledged {
    /// True if the message at this place of the stream was acknowledged.
    pub fn covers(&self, offset: u64) -> bool {
        match self {
            Acknowledged::None => false,
            Acknowledged::All => true,
            Acknowledged::Some(words) => {
                words.get((offset / 64) as usize).is_some_and(|word| word >> (offset % 64) & 1 == 1)
            }
        }
    }

    fn count(&self, messages: u64) -> u64 {
        match self {
            Acknowledged::All => messages,
            _ => (0..messages).filter(|&offset| self.covers(offset)).count() as u64,
        }
    }
}

/// A poisoned lock only says that another task panicked; the books stay usable for the report.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One write of one chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attempt {
    pass: u32,
    first_id: u64,
    acknowledged: Acknowledged,
}

/// All writes of a load. A chunk is one stream: what differs between its points is at most whether they were answered.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub chunking: Chunking,
    attempts: HashMap<(u32, u32), Vec<Attempt>>,
    buckets_end: u32,
}

/// What the rules of versions say about one row that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The row is the write number `pass` of its point; its values still have to be compared.
    Write { pass: u32 },
    /// An older write than one that was acknowledged.
    Stale { acknowledged_version: u64 },
    /// No write of this point had that version.
    NeverSent,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(chunking: Chunking) -> Self {
        Ledger { chunking, attempts: HashMap::new(), buckets_end: 0 }
    }

    /// Notes a stream that is about to be sent.
    pub fn sent(&mut self, item: WorkItem, first_id: u64) {
        let attempt = Attempt { pass: item.pass, first_id, acknowledged: Acknowledged::None };
        self.attempts.entry((item.bucket, item.chunk)).or_default().push(attempt);
        self.buckets_end = self.buckets_end.max(item.bucket + 1);
    }

    /// Notes which messages of the stream were answered with success. False if the stream is unknown.
    pub fn acknowledged(&mut self, item: WorkItem, first_id: u64, which: Acknowledged) -> bool {
        let attempts = self.attempts.get_mut(&(item.bucket, item.chunk));
        let attempt = attempts.and_then(|list| list.iter_mut().find(|attempt| attempt.first_id == first_id));
        attempt.map(|attempt| attempt.acknowledged = which).is_some()
    }

    /// The number of buckets from 0 that may hold rows.
    pub fn buckets_end(&self) -> u32 {
        self.buckets_end
    }

    /// Streams noted, and how many of them were acknowledged completely.
    pub fn streams(&self) -> (usize, usize) {
        let all = self.attempts.values().flatten();
        all.fold((0, 0), |(sent, acked), attempt| {
            (sent + 1, acked + usize::from(attempt.acknowledged == Acknowledged::All))
        })
    }

    /// The greatest pass noted.
    pub fn pass_max(&self) -> Option<u32> {
        self.attempts.values().flatten().map(|attempt| attempt.pass).max()
    }

    /// Distinct points that were acknowledged at least once.
    pub fn acknowledged_points(&self) -> u64 {
        let of_chunk = |(&(_, chunk), list): (&(u32, u32), &Vec<Attempt>)| {
            let points = self.chunking.points(chunk);
            let count = points.end - points.start;
            match list.iter().any(|attempt| attempt.acknowledged == Acknowledged::All) {
                true => count,
                // Broken streams are rare: the union of their points is approximated by the fullest.
                false => list.iter().map(|attempt| attempt.acknowledged.count(count)).max().unwrap_or(0),
            }
        };
        self.attempts.iter().map(of_chunk).sum()
    }

    fn attempts(&self, bucket: u32, point: u64) -> (&[Attempt], u64) {
        let chunk = self.chunking.chunk_of(point);
        let offset = point - self.chunking.points(chunk).start;
        (self.attempts.get(&(bucket, chunk)).map_or(&[], Vec::as_slice), offset)
    }

    /// The version that a read must at least return; `None` if the point may be absent.
    pub fn acknowledged_version(&self, bucket: u32, point: u64) -> Option<u64> {
        let (attempts, offset) = self.attempts(bucket, point);
        attempts
            .iter()
            .filter(|attempt| attempt.acknowledged.covers(offset))
            .map(|attempt| attempt.first_id + offset)
            .max()
    }

    /// True if the point was sent at least once, acknowledged or not.
    pub fn was_sent(&self, bucket: u32, point: u64) -> bool {
        !self.attempts(bucket, point).0.is_empty()
    }

    /// Judges a row of the point by its version.
    pub fn judge(&self, bucket: u32, point: u64, version: u64) -> Judgement {
        let (attempts, offset) = self.attempts(bucket, point);
        let Some(written) = attempts.iter().find(|attempt| attempt.first_id + offset == version) else {
            return Judgement::NeverSent;
        };
        match self.acknowledged_version(bucket, point) {
            Some(acknowledged_version) if acknowledged_version > version => {
                Judgement::Stale { acknowledged_version }
            }
            _ => Judgement::Write { pass: written.pass },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: WorkItem = WorkItem { bucket: 2, chunk: 1, pass: 0 };
    const SECOND: WorkItem = WorkItem { pass: 1, ..FIRST };

    fn ledger() -> Ledger {
        let mut ledger = Ledger::new(Chunking { points_per_bucket: 25, points_per_stream: 10 });
        ledger.sent(FIRST, 1_000);
        ledger.sent(SECOND, 2_000);
        ledger
    }

    #[test]
    fn a_point_without_acknowledgement_may_be_absent_or_any_write() {
        let ledger = ledger();
        assert_eq!(ledger.acknowledged_version(2, 13), None);
        assert_eq!(ledger.judge(2, 13, 1_003), Judgement::Write { pass: 0 });
        assert_eq!(ledger.judge(2, 13, 2_003), Judgement::Write { pass: 1 });
    }

    #[test]
    fn an_acknowledged_write_forbids_older_ones_only() {
        let mut ledger = ledger();
        assert!(ledger.acknowledged(FIRST, 1_000, Acknowledged::All));
        assert_eq!(ledger.judge(2, 13, 2_003), Judgement::Write { pass: 1 }, "sent later, may have arrived");
        assert!(ledger.acknowledged(SECOND, 2_000, Acknowledged::All));
        assert_eq!(ledger.judge(2, 13, 1_003), Judgement::Stale { acknowledged_version: 2_003 });
        assert_eq!(ledger.acknowledged_version(2, 13), Some(2_003));
    }

    #[test]
    fn versions_of_other_points_and_buckets_were_never_sent() {
        let ledger = ledger();
        for (bucket, point, version) in [(2, 13, 1_004), (2, 3, 1_003), (1, 13, 1_003), (2, 23, 1_003)] {
            assert_eq!(ledger.judge(bucket, point, version), Judgement::NeverSent);
        }
    }

    #[test]
    fn acknowledged_points_count_each_point_once() {
        let mut ledger = ledger();
        assert_eq!(ledger.acknowledged_points(), 0);
        ledger.acknowledged(FIRST, 1_000, Acknowledged::All);
        ledger.acknowledged(SECOND, 2_000, Acknowledged::All);
        let last = WorkItem { bucket: 0, chunk: 2, pass: 0 };
        ledger.sent(last, 3_000);
        ledger.acknowledged(last, 3_000, Acknowledged::All);
        assert_eq!(ledger.acknowledged_points(), 10 + 5);
        assert!(
            !ledger.acknowledged(last, 4_000, Acknowledged::All),
            "an unknown stream is no acknowledgement"
        );
        assert_eq!(ledger.streams(), (3, 3));
    }

    #[test]
    fn a_broken_stream_binds_only_the_points_that_were_answered() {
        let mut ledger = ledger();
        assert!(ledger.acknowledged(FIRST, 1_000, Acknowledged::Some(vec![0b1000])));
        assert_eq!(ledger.acknowledged_version(2, 13), Some(1_003));
        assert_eq!(ledger.acknowledged_version(2, 12), None);
        assert_eq!(ledger.acknowledged_points(), 1);
        assert_eq!(ledger.streams(), (2, 0));
        assert!(!Acknowledged::Some(vec![u64::MAX]).covers(64));
    }
}
