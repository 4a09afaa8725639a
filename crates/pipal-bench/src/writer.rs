//! Sends a plan of streams, several at a time, closed loop or at a fixed rate, and keeps the books.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::connection::Connections;
use crate::crash::journal::Journal;
use crate::latency::Latencies;
use crate::ledger::{Ledger, lock};
use crate::load::Load;
use crate::message_ids::MessageIds;
use crate::plan::WorkItem;
use crate::write_stream::{StreamOutcome, write_stream};

/// The time that the client grants a stream of 10,000 points; later ends are counted.
pub const CLIENT_DEADLINE: Duration = Duration::from_secs(10);
/// Faults that are kept as text; all are counted.
const FAULT_TEXTS_MAX: usize = 10;

/// How a plan is sent.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// Streams at a time.
    pub streams: usize,
    /// Points per second (open loop); `None`: as fast as the server answers.
    pub points_per_second: Option<f64>,
    /// A stream that takes longer has failed.
    pub deadline: Duration,
    /// Every how many streams one point is read back at once; 0 never.
    pub check_every: u64,
    /// End with the first failed stream: the server is gone.
    pub stop_on_failure: bool,
}

/// What one run of a writer did.
#[derive(Debug, Default)]
pub struct WriteTotals {
    pub streams: u64,
    pub failed_streams: u64,
    /// Streams that took longer than the real client waits.
    pub late_streams: u64,
    pub points_sent: u64,
    pub points_acknowledged: u64,
    pub bad_replies: u64,
    pub bytes_sent: u64,
    /// Acknowledgement times; in an open loop from the scheduled start.
    pub acknowledgements: Latencies,
    pub reads_checked: u64,
    pub reads_wrong: u64,
    pub fault_texts: Vec<String>,
    pub elapsed: Duration,
}

impl WriteTotals {
    /// True if every point was acknowledged and every check read found its point.
    pub fn is_clean(&self) -> bool {
        let answered = self.points_sent == self.points_acknowledged;
        answered && self.failed_streams == 0 && self.bad_replies == 0 && self.reads_wrong == 0
    }

    fn fault(&mut self, text: String) {
        if self.fault_texts.len() < FAULT_TEXTS_MAX {
            self.fault_texts.push(text);
        }
    }

    /// Adds one stream's outcome; `waited` is the time from its scheduled start to its opening.
    pub fn take(&mut self, outcome: StreamOutcome, waited: Duration) {
        self.streams += 1;
        self.points_sent += outcome.sent;
        self.points_acknowledged += outcome.acknowledged;
        self.bad_replies += outcome.bad_replies;
        self.bytes_sent += outcome.sent_bytes;
        self.late_streams += u64::from(outcome.elapsed > CLIENT_DEADLINE);
        self.acknowledgements.record(waited + outcome.elapsed);
        for text in outcome.fault_texts {
            self.fault(text);
        }
        if let Some(failure) = outcome.failure {
            self.failed_streams += 1;
            self.fault(failure);
        }
    }

    fn absorb(&mut self, other: WriteTotals) {
        self.streams += other.streams;
        self.failed_streams += other.failed_streams;
        self.late_streams += other.late_streams;
        self.points_sent += other.points_sent;
        self.points_acknowledged += other.points_acknowledged;
        self.bad_replies += other.bad_replies;
        self.bytes_sent += other.bytes_sent;
        self.acknowledgements.absorb(other.acknowledgements);
        self.reads_checked += other.reads_checked;
        self.reads_wrong += other.reads_wrong;
        other.fault_texts.into_iter().for_each(|text| self.fault(text));
    }
}

/// The plan of a run and its timetable.
struct Timetable {
    plan: Box<dyn Iterator<Item = WorkItem> + Send>,
    started: Instant,
    points: u64,
}

/// A stream that is due.
struct Due {
    item: WorkItem,
    first_id: u64,
    at: Option<Instant>,
}

/// Writes one load; ledger and ids live as long as the load, over several plans.
pub struct Writer<L> {
    pub load: L,
    connections: Arc<Connections>,
    options: WriterOptions,
    ids: MessageIds,
    ledger: Mutex<Ledger>,
    journal: Option<Mutex<Journal>>,
    streams_opened: AtomicU64,
    stopped: AtomicBool,
}

impl<L: Load> Writer<L> {
    /// A writer of `load` that continues the books of `ledger`.
    pub fn new(
        load: L,
        ledger: Ledger,
        journal: Option<Journal>,
        connections: Arc<Connections>,
        options: WriterOptions,
    ) -> Self {
        Writer {
            load,
            connections,
            options,
            ids: MessageIds::default(),
            ledger: Mutex::new(ledger),
            journal: journal.map(Mutex::new),
            streams_opened: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        }
    }

    /// Looks into the ledger.
    pub fn with_ledger<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        look(&lock(&self.ledger))
    }

    /// Lets running streams finish and opens no other.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Sends the whole plan, or until stopped.
    pub async fn run(
        self: &Arc<Self>,
        plan: impl Iterator<Item = WorkItem> + Send + 'static,
    ) -> Result<WriteTotals, String> {
        self.stopped.store(false, Ordering::Relaxed);
        let started = Instant::now();
        let timetable = Arc::new(Mutex::new(Timetable { plan: Box::new(plan), started, points: 0 }));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..self.options.streams.max(1) {
            tasks.spawn(Arc::clone(self).send_until_done(Arc::clone(&timetable)));
        }
        let mut totals = WriteTotals::default();
        while let Some(done) = tasks.join_next().await {
            totals.absorb(done.map_err(|error| format!("a writer failed: {error}"))??);
        }
        totals.elapsed = started.elapsed();
        Ok(totals)
    }

    async fn send_until_done(
        self: Arc<Self>,
        timetable: Arc<Mutex<Timetable>>,
    ) -> Result<WriteTotals, String> {
        let mut totals = WriteTotals::default();
        while let Some(due) = self.next_due(&timetable)? {
            if let Some(at) = due.at {
                tokio::time::sleep_until(at.into()).await;
            }
            let clean = self.send(&due, &mut totals).await?;
            if !clean && self.options.stop_on_failure {
                self.stop();
            }
        }
        Ok(totals)
    }

    /// Takes the next stream of the plan. Its ids are reserved in the same critical section, so that a later pass over
    /// the same points always has greater versions.
    fn next_due(&self, timetable: &Mutex<Timetable>) -> Result<Option<Due>, String> {
        if self.stopped.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut timetable = lock(timetable);
        let Some(item) = timetable.plan.next() else { return Ok(None) };
        let mut ledger = lock(&self.ledger);
        let points = ledger.chunking.points(item.chunk);
        let count = points.end - points.start;
        let first_id = self.ids.reserve(count);
        if let Some(journal) = &self.journal {
            lock(journal).sent(item, first_id)?;
        }
        ledger.sent(item, first_id);
        self.load.sent(item);
        let at = self.options.points_per_second.map(|rate| {
            timetable.started + Duration::from_secs_f64(timetable.points as f64 / rate.max(f64::MIN_POSITIVE))
        });
        timetable.points += count;
        Ok(Some(Due { item, first_id, at }))
    }

    /// Sends one stream; true if it is clean.
    async fn send(&self, due: &Due, totals: &mut WriteTotals) -> Result<bool, String> {
        let points = self.with_ledger(|ledger| ledger.chunking.points(due.item.chunk));
        let Due { item, first_id, at } = *due;
        let batch = self.load.encode(item, points, first_id);
        let waited = at.map_or(Duration::ZERO, |at| at.elapsed());
        let outcome = write_stream(self.connections.take()?, batch, self.options.deadline).await;
        let (clean, which) = (outcome.is_clean(), outcome.which());
        totals.take(outcome, waited);
        if let Some(journal) = &self.journal {
            lock(journal).acknowledged(item, first_id, &which)?;
        }
        self.load.acknowledged(item, &which);
        lock(&self.ledger).acknowledged(item, first_id, which);
        if !clean {
            return Ok(false);
        }
        let opened = self.streams_opened.fetch_add(1, Ordering::Relaxed);
        if self.options.check_every > 0 && opened.is_multiple_of(self.options.check_every) {
            totals.reads_checked += 1;
            if let Err(text) = self.load.read_back(&self.connections, &self.ledger, item, opened).await {
                totals.reads_wrong += 1;
                totals.fault(format!("read your write: {text}"));
            }
        }
        Ok(true)
    }
}
