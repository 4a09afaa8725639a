//! The engine's own threads: one that writes the log, one that applies, one that flushes and expires, one that
//! merges, one that removes files. All of them stop when the engine closes.

use super::Engine;
use crate::commit::Logged;
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Groups of requests that are logged and wait to be applied.
const LOGGED_GROUPS_MAX: usize = 4;
/// Maintenance looks around this often even if nobody rings.
const MAINTENANCE_PERIOD: Duration = Duration::from_millis(200);
/// Merges are looked for this often even if nobody rings.
const MERGE_PERIOD: Duration = Duration::from_millis(500);
/// Disk space is asked for this often.
const DISK_PERIOD: Duration = Duration::from_secs(1);

/// Wakes a thread that waits for work.
#[derive(Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    wake: Condvar,
}

impl Bell {
    pub fn ring(&self) {
        *self.rung.lock() = true;
        self.wake.notify_all();
    }

    fn wait(&self, timeout: Duration) {
        let mut rung = self.rung.lock();
        if !*rung {
            self.wake.wait_for(&mut rung, timeout);
        }
        *rung = false;
    }
}

/// Handles of the threads, to wait for their end.
#[derive(Default)]
pub(super) struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Threads {
    /// Rings the bells and waits for all threads; they look at the engine's closed flag.
    pub fn stop(&self, bells: &[&Bell]) {
        for thread in std::mem::take(&mut *self.0.lock()) {
            bells.iter().for_each(|bell| bell.ring());
            if thread.join().is_err() {
                tracing::error!("a thread of the engine had panicked");
            }
        }
    }

    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) {
        match std::thread::Builder::new().name(name.into()).spawn(run) {
            Ok(handle) => self.0.lock().push(handle),
            Err(error) => tracing::error!(%error, name, "a thread of the engine could not be started"),
        }
    }
}

pub(super) fn start(engine: &Engine) {
    let (sender, receiver) = sync_channel(LOGGED_GROUPS_MAX);
    let threads = &engine.0.threads;
    let e = engine.clone();
    threads.spawn("pipal-log", move || run_log(&e, &sender));
    let e = engine.clone();
    threads.spawn("pipal-apply", move || run_apply(&e, &receiver));
    let e = engine.clone();
    threads.spawn("pipal-flush", move || run_maintenance(&e));
    let e = engine.clone();
    threads.spawn("pipal-merge", move || run_merges(&e));
    let e = engine.clone();
    threads.spawn("pipal-reap", move || run_reaper(&e));
}

fn run_log(engine: &Engine, applier: &SyncSender<Vec<Logged>>) {
    while let Some(requests) = engine.0.queue.take_group() {
        let logged = engine.0.committer.log_group(requests);
        if let Err(lost) = applier.send(logged) {
            lost.0.into_iter().for_each(|l| (l.request.done)(Err(crate::commit::closed())));
        }
        engine.sync_behind_acknowledgement();
    }
}

fn run_apply(engine: &Engine, logged: &Receiver<Vec<Logged>>) {
    while let Ok(group) = logged.recv() {
        group.into_iter().for_each(|l| engine.0.applier.apply(l));
        if engine.is_flush_urgent() {
            engine.0.maintenance.ring();
        }
    }
}

fn run_maintenance(engine: &Engine) {
    let mut retention_at = Instant::now();
    let mut disk_at = Instant::now();
    let retention_period = Duration::from_millis(engine.0.context.options.retention_interval_ms);
    while !engine.0.is_closed.load(Ordering::SeqCst) {
        engine.0.maintenance.wait(MAINTENANCE_PERIOD);
        if engine.flush_due() > 0 {
            engine.0.merges.ring();
        }
        engine.0.context.cache.settle();
        if disk_at.elapsed() >= DISK_PERIOD {
            disk_at = Instant::now();
            engine.check_disk();
        }
        if retention_at.elapsed() >= retention_period {
            retention_at = Instant::now();
            if let Err(error) = engine.run_retention() {
                tracing::error!(%error, "expired segments could not be removed");
            }
        }
    }
}

fn run_merges(engine: &Engine) {
    while !engine.0.is_closed.load(Ordering::SeqCst) {
        match engine.merge_once() {
            Ok(true) => {}
            // The failure was logged with its table; its pause keeps this loop from turning fast.
            Ok(false) | Err(_) => engine.0.merges.wait(MERGE_PERIOD),
        }
    }
}

fn run_reaper(engine: &Engine) {
    while !engine.0.is_closed.load(Ordering::SeqCst) {
        engine.0.context.reaper.wait(MERGE_PERIOD);
        if engine.0.context.reaper.run().is_err() {
            // What failed waits in the queue; trying at once would only fail again.
            engine.0.merges.wait(MERGE_PERIOD);
        }
    }
}
