//! Top-N aggregations: windows that are kept while measures are written, and the call that reads them (measure
//! specification 4).
//!
//! A write stream takes down what aggregations need of its rows ([`tap`]); when the rows are stored they go to the
//! processor ([`processor`]), a thread that keeps the rows of open windows ([`rows`]) and about once a second
//! publishes the rankings of those that changed, as rows of the measure `_top_n_result` ([`store`]).
//!
//! # Why a restart loses nothing
//!
//! A window is a function of the stored rows of its source measure: per series and time the greatest version counts,
//! and a ranking is cut only when it is published. So what must survive a crash is only the knowledge which windows
//! have rows that no published ranking has. The ledger keeps it ([`store`]): the request that stores rows of a window
//! also stores, in the same atomic batch, that the window is pending, unless a stored row says so already; the batch
//! that publishes a window takes that back, unless a request with rows of the window is still on its way. Rows of the
//! ledger and rankings replace each other by version, and versions are given out by one counter under the lock of
//! the windows, so "pending" never loses against a publication that did not see the row. After a start the pending
//! windows are read from the source measure and published; the other windows of the ledger are known to be stored,
//! and are read when a row comes for them. A window that neither the process nor the ledger knows had no row since
//! the aggregation was created, so it starts empty: rows that were written before are not counted.
//!
//! Two things cannot be told from stored rows. A window that was open when its aggregation was created counts the
//! earlier rows of that window too once it had to be read again. And a row that did not send a tag reads like one
//! that sent null, so that a negated condition accepts it then.
//!
//! # Overload
//!
//! Writers never wait. When the queue to the processor or the memory of the windows is full, rows are dropped from
//! there, not from storage, and their windows are read again from storage before they are published.

mod criteria;
mod definition;
mod interval;
mod marks;
mod names;
mod processor;
mod queue;
mod recover;
mod rows;
mod service;
mod store;
mod summary;
mod tap;
#[cfg(test)]
mod tests;

pub use tap::{MessagePlace, RowTap, Sealed, Tap, taps_of};

use crate::api::database::TopNAggregation;
use crate::registry::{CompiledResource, Registry, SchemaObject};
use definition::Definition;
use hashbrown::HashMap;
use marks::Aggregation;
use parking_lot::{Mutex, RwLock};
use pipal_engine::{Clock, Engine, GroupId};
use pipal_model::MemoryPool;
use processor::Processor;
use queue::Queue;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tap::Stored;

/// Incarnation of the group and name of an aggregation.
type Key = (GroupId, Box<str>);

/// Changed windows are published this often.
const PUBLISH_INTERVAL: Duration = Duration::from_secs(1);

/// The processor of all aggregations; clones share it.
#[derive(Clone)]
pub struct TopN(Arc<Inner>);

struct Inner {
    engine: Engine,
    registry: Registry,
    clock: Arc<dyn Clock>,
    /// The greatest version that was given out.
    versions: AtomicI64,
    aggregations: RwLock<HashMap<Key, Arc<Aggregation>>>,
    queue: Queue,
    processor: Mutex<Processor>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for TopN {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TopN of {} aggregations", self.0.aggregations.read().len())
    }
}

impl TopN {
    /// A processor whose windows take from `memory`. It does nothing until [`TopN::recover`] and [`TopN::start`].
    pub fn new(engine: Engine, registry: Registry, clock: Arc<dyn Clock>, memory: &Arc<MemoryPool>) -> Self {
        TopN(Arc::new(Inner {
            engine,
            registry,
            clock,
            versions: AtomicI64::new(0),
            aggregations: RwLock::default(),
            queue: Queue::default(),
            processor: Mutex::new(Processor::new(memory)),
            thread: Mutex::new(None),
        }))
    }

    /// Starts the thread that publishes. Without it [`TopN::tick`] does, as tests want it.
    pub fn start(&self) -> std::io::Result<()> {
        let top_n = self.clone();
        let run = move || {
            while top_n.0.queue.wait(PUBLISH_INTERVAL) {
                top_n.guarded_tick();
            }
            top_n.guarded_tick();
        };
        *self.0.thread.lock() = Some(std::thread::Builder::new().name("top-n".to_owned()).spawn(run)?);
        Ok(())
    }

    /// Publishes what is left and ends the thread. Rows that come later wait in the ledger for the next start.
    pub fn stop(&self) {
        self.0.queue.stop();
        if let Some(thread) = self.0.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of Top-N ended in a panic");
        }
    }

    /// A defect in one window must not stop the others for good.
    fn guarded_tick(&self) {
        if catch_unwind(AssertUnwindSafe(|| self.tick())).is_err() {
            tracing::error!("a panic while publishing Top-N windows; they are tried again");
        }
    }

    /// Takes the rows that were stored since the last tick, and publishes the windows that changed.
    pub fn tick(&self) {
        let mut processor = self.0.processor.lock();
        for stored in self.0.queue.take() {
            processor.apply(stored);
        }
        processor.publish(self);
    }

    fn enqueue(&self, stored: Stored) {
        self.0.queue.push(stored);
    }

    fn engine(&self) -> &Engine {
        &self.0.engine
    }

    fn now(&self) -> i64 {
        self.0.clock.now()
    }

    /// The time, or more where the clock stands or goes back: no two versions are equal.
    fn next_version(&self) -> i64 {
        let now = self.now();
        let next = |last: i64| now.max(last.saturating_add(1));
        let last = self.0.versions.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| Some(next(last)));
        next(last.unwrap_or_default())
    }

    /// An aggregation of a measure, compiled; none when it can rank nothing.
    fn aggregation(
        &self,
        measure: &CompiledResource,
        message: &TopNAggregation,
    ) -> Option<(Arc<Aggregation>, Arc<Definition>)> {
        let known = self.known(measure.group.id, measure.group.name(), message.name());
        let mut newest = known.definition.lock();
        let revisions = (message.revision(), measure.revision());
        if let Some(definition) = newest.as_ref().filter(|known| known.revisions == revisions) {
            let definition = definition.clone();
            drop(newest);
            return Some((known, definition));
        }
        let definition = Arc::new(Definition::compile(message, measure)?);
        // Revisions may run ahead of the clock; what is written for a definition is younger than it.
        self.0.versions.fetch_max(message.revision(), Ordering::SeqCst);
        *newest = Some(definition.clone());
        drop(newest);
        Some((known, definition))
    }

    /// The aggregation of this name, whether it is defined at the moment or not.
    fn known(&self, group: GroupId, group_name: &str, name: &str) -> Arc<Aggregation> {
        let key = (group, Box::from(name));
        if let Some(known) = self.0.aggregations.read().get(&key) {
            return known.clone();
        }
        let mut all = self.0.aggregations.write();
        all.entry(key).or_insert_with(|| Arc::new(Aggregation::new(group, group_name, name))).clone()
    }

    /// What the registry says about an aggregation now; none when it is deleted or ranks nothing.
    fn current(&self, aggregation: &Aggregation) -> Option<Arc<Definition>> {
        let message = self.0.registry.get::<TopNAggregation>(&aggregation.group_name, &aggregation.name)?;
        let source = message.source_measure.as_ref()?;
        let measure = self.0.registry.measure(&aggregation.group_name, &source.name)?;
        if measure.group.id != aggregation.group || measure.group.is_deleting() {
            return None;
        }
        // Only aggregations that the measure knows are fed.
        measure.aggregations.iter().find(|known| known.name() == message.name())?;
        self.aggregation(&measure, &message).map(|(_, definition)| definition)
    }

    /// Forgets the aggregations of groups that are gone.
    fn forget_dropped_groups(&self) {
        let registry = &self.0.registry;
        let exists = |known: &Aggregation| {
            registry.group(&known.group_name).is_some_and(|group| group.id == known.group)
        };
        let all_exist = self.0.aggregations.read().values().all(|known| exists(known));
        if !all_exist {
            self.0.aggregations.write().retain(|_, known| exists(known));
        }
    }
}
