//! The engine as its users see it.

mod backup;
mod maintain;
mod recover;
mod stats;
mod threads;

pub use recover::RecoveryReport;
pub use stats::{EngineStats, GroupData, SegmentData, ShardData};

use crate::backup::Shelf;
use crate::batch::WriteBatch;
use crate::clock::Clock;
use crate::commit::{Applier, Committer, PublishGate, Queue, Request, closed};
use crate::fs::FileSystem;
use crate::groups::Groups;
use crate::options::EngineOptions;
use crate::scan::{CancelToken, Snapshot};
use crate::store::{GroupOptions, Route};
use crate::table::TableContext;
use crate::table_key::{GroupId, SYSTEM_GROUP};
use parking_lot::Mutex;
use pipal_model::{Error, ErrorKind, Result, TimeRange};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use threads::{Bell, Threads};

/// A handle of the database's storage; clones share it.
///
/// The last handle does not close it: call [`Engine::close`], else only what was logged is durable.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    context: Arc<TableContext>,
    groups: Arc<Groups>,
    gate: Arc<PublishGate>,
    queue: Queue,
    committer: Committer,
    applier: Applier,
    /// Without threads of our own, requests are done by the caller, one at a time.
    inline: Mutex<()>,
    is_closed: AtomicBool,
    /// Snapshots below the data directory; locked while one is made.
    shelf: Mutex<Shelf>,
    is_disk_full: AtomicBool,
    stop_merges: CancelToken,
    /// How often the present merge was put off for want of memory.
    merge_put_offs: AtomicU32,
    maintenance: Bell,
    merges: Bell,
    threads: Threads,
    /// Held for the life of the engine, so that no second process opens the directory (D-24).
    _lock: Box<dyn Send + Sync>,
}

impl Engine {
    /// Opens the data directory `root`, which is made if it is absent, and replays the log.
    ///
    /// Errors: the directory is in use, the disk fails. Damaged files are no errors; the report lists them.
    pub fn open(
        fs: Arc<dyn FileSystem>,
        clock: Arc<dyn Clock>,
        root: &Path,
        options: EngineOptions,
    ) -> Result<(Engine, RecoveryReport)> {
        let (inner, report) = recover::open(fs, clock, root, options)?;
        let engine = Engine(Arc::new(inner));
        engine.check_disk();
        if engine.0.context.options.background {
            threads::start(&engine);
        }
        Ok((engine, report))
    }

    /// Opens a group or changes its options. Also called at start for every group that the registry knows.
    pub fn put_group(&self, id: GroupId, options: GroupOptions) -> Result<()> {
        if options.shard_num == 0 {
            return Err(Error::invalid("open group", "the number of shards is 0"));
        }
        self.0.groups.put(id, options);
        Ok(())
    }

    /// Groups that have files or rows although the registry, which knows `live`, does not know them. Their files
    /// are left alone.
    pub fn unknown_groups(&self, live: &[GroupId]) -> Vec<GroupId> {
        let mut unknown: Vec<GroupId> = self.0.groups.all().iter().map(|g| g.id).collect();
        unknown.retain(|id| *id != SYSTEM_GROUP && !live.contains(id));
        unknown
    }

    /// Refuses writes to a group from now on. `done` is called once all earlier ones have been answered.
    pub fn close_gate(&self, id: GroupId, done: impl FnOnce(Result<()>) + Send + 'static) {
        match self.0.groups.get(id) {
            Ok(group) => group.close_gate(),
            Err(error) => return done(Err(error)),
        }
        self.submit(Request::barrier(Box::new(done)));
    }

    /// Deletes a group: durable when `done` is called; its files go in the background.
    pub fn drop_group(&self, id: GroupId, done: impl FnOnce(Result<()>) + Send + 'static) {
        if let Ok(group) = self.0.groups.get(id) {
            group.close_gate();
        }
        self.submit(Request::drop_group(id, Box::new(done)));
    }

    /// Where a row belongs; makes its segment if need be. Errors: `FailedPrecondition` once the gate is closed,
    /// `NotFound` for an unknown group, `ResourceExhausted` when the group has too many segments.
    pub fn route(&self, id: GroupId, time: i64) -> Result<Route> {
        let route = self.0.groups.get(id)?.route(time)?;
        if route == Route::Expired {
            self.0.context.counters.rows_expired.add(1);
        }
        Ok(route)
    }

    /// True while requests should wait before they take more memory. Reading a client's stream pauses then.
    pub fn has_room(&self) -> bool {
        let rows = &self.0.context.memory.rows;
        rows.used() + self.0.queue.bytes() < rows.limit()
    }

    /// Writes the rows of a request. `done` is called from a thread of the engine once they are durable, as far
    /// as the acknowledgement level asks for it, and visible; or with the error that kept them out entirely.
    pub fn commit(&self, batch: WriteBatch, done: impl FnOnce(Result<()>) + Send + 'static) {
        if let Err(error) = self.check_writable(&batch) {
            self.0.context.counters.requests_failed.add(1);
            return done(Err(error));
        }
        self.submit(Request::rows(batch, Box::new(done)));
    }

    /// [`Engine::commit`] for callers that can wait.
    pub fn commit_blocking(&self, batch: WriteBatch) -> Result<()> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.commit(batch, move |result| {
            // The receiver waits below; if its thread died there is nobody to tell.
            let _ = sender.send(result);
        });
        receiver.recv().unwrap_or_else(|_| Err(closed()))
    }

    fn check_writable(&self, batch: &WriteBatch) -> Result<()> {
        self.0.committer.check()?;
        let mut is_system = true;
        for table in batch.tables() {
            self.0.groups.get(table.group)?.check_gate()?;
            is_system &= table.group == SYSTEM_GROUP;
        }
        // Schema changes are small, and deleting groups is how an operator makes room.
        if !is_system && self.0.is_disk_full.load(Ordering::Relaxed) {
            let detail = "the disk is used beyond the high watermark";
            return Err(Error::new(ErrorKind::DiskFull, "write", detail));
        }
        Ok(())
    }

    fn submit(&self, request: Request) {
        if self.0.is_closed.load(Ordering::SeqCst) {
            return (request.done)(Err(closed()));
        }
        if self.0.context.options.background {
            return self.0.queue.push(request);
        }
        let _one_at_a_time = self.0.inline.lock();
        for logged in self.0.committer.log_group(vec![request]) {
            self.0.applier.apply(logged);
        }
    }

    /// What a query of this time range sees: whole requests only, and no expired segment.
    pub fn snapshot(&self, id: GroupId, range: TimeRange) -> Result<Snapshot> {
        self.0.gate.read(|| self.0.groups.snapshot(id, range))
    }

    /// True once writes are refused because a sync failed.
    pub fn is_read_only(&self) -> bool {
        self.0.committer.check().is_err()
    }

    /// Stops taking requests, flushes what is in memory and stops all threads. May be called again.
    pub fn close(&self) -> Result<()> {
        if self.0.is_closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        self.0.queue.close();
        self.0.stop_merges.cancel();
        self.0.threads.stop(&[&self.0.maintenance, &self.0.merges]);
        let flushed = self.flush();
        let reaped = self.reap();
        flushed.and(self.0.committer.close()).and(reaped)
    }
}
