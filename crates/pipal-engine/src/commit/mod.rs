//! From a request to durable, visible rows: one queue, one log, one order.
//!
//! Requests wait in a queue; whoever writes the log takes all that wait as one group, appends and syncs it at
//! once, without a timer, and whoever arrives meanwhile joins the next group. Then the rows are applied in the
//! order of the log and the writers are answered. While one group is applied the next one is being synced.

mod apply;
mod queue;

pub(crate) use apply::{Applier, PublishGate};
pub(crate) use queue::{Queue, closed};

use crate::batch::{TableRows, WriteBatch};
use crate::counters::Counters;
use crate::entry::{encode_drop_group, encode_rows};
use crate::log::{Definition, Log, LogEntry};
use crate::options::AckLevel;
use crate::table_key::GroupId;
use hashbrown::HashMap;
use parking_lot::Mutex;
use pipal_model::{Error, ErrorKind, Layout, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a writer learns the outcome; called once, from a thread of the engine.
pub(crate) type Done = Box<dyn FnOnce(Result<()>) + Send>;

/// What a request does once it is in the log.
pub(crate) enum Work {
    Rows(Vec<TableRows>),
    DropGroup(GroupId),
    /// Nothing: its turn shows that everything before it is done.
    Barrier,
}

/// A request on its way into the log.
pub(crate) struct Request {
    entries: Vec<(Vec<u8>, Vec<Arc<Layout>>)>,
    pub work: Work,
    pub bytes: usize,
    pub done: Done,
}

impl Request {
    pub fn rows(batch: WriteBatch, done: Done) -> Self {
        let entries = encode_rows(&batch);
        let bytes = batch.bytes();
        Request { entries, work: Work::Rows(batch.into_tables()), bytes, done }
    }

    pub fn barrier(done: Done) -> Self {
        Request { entries: Vec::new(), work: Work::Barrier, bytes: 0, done }
    }

    pub fn drop_group(group: GroupId, done: Done) -> Self {
        Request {
            entries: vec![(encode_drop_group(group), Vec::new())],
            work: Work::DropGroup(group),
            bytes: 0,
            done,
        }
    }
}

/// A request that is in the log: its first and last position there.
pub(crate) struct Logged {
    pub seqs: (u64, u64),
    pub request: Request,
}

/// The writing side of the log.
pub(crate) struct Committer {
    /// None once the log was closed.
    log: Mutex<Option<Log>>,
    ack: AckLevel,
    counters: Arc<Counters>,
    definitions: Mutex<HashMap<u128, Arc<Definition>>>,
    log_bytes: AtomicU64,
}

impl Committer {
    pub fn new(log: Log, ack: AckLevel, counters: Arc<Counters>) -> Self {
        let committer = Committer {
            log_bytes: AtomicU64::new(log.total_bytes()),
            log: Mutex::new(Some(log)),
            ack,
            counters,
            definitions: Mutex::new(HashMap::new()),
        };
        committer.note_size(&committer.log.lock());
        committer
    }

    fn note_size(&self, log: &Option<Log>) {
        let Some(log) = log else { return };
        self.log_bytes.store(log.total_bytes(), Ordering::Relaxed);
    }

    /// Bytes of the log.
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    /// Writes a group of requests to the log, and syncs it when the acknowledgement level asks for that. Those that
    /// are in it are returned, in order; the others have been answered.
    pub fn log_group(&self, requests: Vec<Request>) -> Vec<Logged> {
        let mut slot = self.log.lock();
        let mut payloads: Vec<(Vec<u8>, Vec<Arc<Definition>>)> = Vec::new();
        let mut logged = Vec::with_capacity(requests.len());
        let mut seq = slot.as_ref().map_or(0, Log::next_seq);
        for mut request in requests {
            let first = seq;
            for (payload, layouts) in std::mem::take(&mut request.entries) {
                payloads.push((payload, self.definitions(&layouts)));
                seq += 1;
            }
            logged.push(Logged { seqs: (first, seq.saturating_sub(1)), request });
        }
        let bytes: usize = payloads.iter().map(|(payload, _)| payload.len()).sum();
        let entries: Vec<LogEntry<'_>> =
            payloads.iter().map(|(payload, definitions)| LogEntry { payload, definitions }).collect();
        let result = match &mut *slot {
            _ if entries.is_empty() => Ok(()),
            Some(log) => self.write(log, &entries),
            None => Err(closed()),
        };
        self.counters.log_bytes_written.add(bytes as u64);
        self.note_size(&slot);
        drop(slot);
        match result {
            Ok(()) => logged,
            Err(error) => {
                tracing::error!(%error, requests = logged.len(), "requests could not be written to the log");
                self.counters.requests_failed.add(logged.len() as u64);
                logged.into_iter().for_each(|l| (l.request.done)(Err(error.clone())));
                Vec::new()
            }
        }
    }

    fn write(&self, log: &mut Log, entries: &[LogEntry<'_>]) -> Result<()> {
        log.append(entries)?;
        match self.ack {
            AckLevel::Synced => {
                self.counters.log_syncs.add(1);
                log.sync()
            }
            AckLevel::Logged | AckLevel::Received => Ok(()),
        }
    }

    fn definitions(&self, layouts: &[Arc<Layout>]) -> Vec<Arc<Definition>> {
        let mut known = self.definitions.lock();
        let definition = |layout: &Arc<Layout>| {
            let entry = known.entry(layout.fingerprint()).or_insert_with(|| {
                let mut bytes = Vec::new();
                layout.encode(&mut bytes);
                Arc::new(Definition { fingerprint: layout.fingerprint(), bytes })
            });
            entry.clone()
        };
        layouts.iter().map(definition).collect()
    }

    /// Syncs what was appended without a sync.
    pub fn sync(&self) -> Result<()> {
        self.counters.log_syncs.add(1);
        self.log.lock().as_mut().map_or(Ok(()), Log::sync)
    }

    /// Lets go of log files whose entries are all at or before `covered_seq`.
    pub fn release(&self, covered_seq: u64) -> Result<()> {
        let mut slot = self.log.lock();
        let Some(log) = &mut *slot else { return Ok(()) };
        let failure = log.release(covered_seq).failure;
        self.note_size(&slot);
        failure.map_or(Ok(()), Err)
    }

    /// Ends the log; nothing can be written any more.
    pub fn close(&self) -> Result<()> {
        let log = self.log.lock().take();
        log.map_or(Ok(()), Log::close)
    }

    /// An error when a sync failed and nothing can be written any more.
    pub fn check(&self) -> Result<()> {
        if self.log.lock().as_ref().is_some_and(Log::is_failed) {
            let detail = "a sync of the log failed; the database takes no writes until it is started again";
            return Err(Error::new(ErrorKind::ReadOnly, "write", detail));
        }
        Ok(())
    }
}
