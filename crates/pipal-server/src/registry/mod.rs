//! The schema registry: groups, streams, measures, traces, property schemas, index rules, bindings and Top-N
//! aggregations, all through one implementation (server surface 2 and 3.1).
//!
//! A change is checked, stamped with a revision, stored durably, shown to readers, and only then answered.
//! Readers see the newest published state and never wait for a change. A change goes on when its caller goes
//! away, so that what is on disk is always what readers see.

mod builtin;
mod change;
mod compiled;
mod deletion;
mod engine_store;
mod groups;
mod inspect;
mod interval;
mod kind;
mod load;
mod locks;
mod memory;
mod revision;
mod rules;
mod space;
mod storage;
mod store;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod update_rules;

pub use compiled::{CompiledResource, bound_rules};
pub use deletion::{DeleteGroup, Deletion};
pub use engine_store::{EngineGroups, EngineStore};
pub use inspect::Inspection;
pub use kind::{Kind, SchemaObject};
pub use revision::RevisionClock;
pub use space::{GroupSpace, GroupState, Table};
pub use storage::GroupStorage;
pub use store::{Completion, Document, DocumentKey, MemoryStore, SchemaStore};

use crate::api::database::GroupDeletionTask;
use crate::status::SchemaError;
use hashbrown::HashMap;
use locks::Locks;
use parking_lot::RwLock;
use pipal_api::write::Model;
use pipal_model::{Error, MemoryPool};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{oneshot, watch};

/// Most schema objects that a registry keeps. The busiest known client has 5,500.
pub const MAX_OBJECTS: usize = 500_000;

/// A handle to the registry; clones share it.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    store: Arc<dyn SchemaStore>,
    storage: Arc<dyn GroupStorage>,
    revisions: RevisionClock,
    locks: Locks,
    spaces: RwLock<HashMap<Box<str>, Arc<GroupSpace>>>,
    tasks: RwLock<HashMap<Box<str>, GroupDeletionTask>>,
    objects: AtomicUsize,
    /// The memory of all objects.
    memory: Arc<MemoryPool>,
    /// The greatest revision that readers see.
    applied: watch::Sender<i64>,
}

/// What a Delete of an object did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// False when there was no such object.
    pub deleted: bool,
    /// Nanoseconds since the epoch.
    pub time: i64,
}

impl Registry {
    /// The group of this name. Answers from memory.
    pub fn group(&self, name: &str) -> Option<Arc<GroupState>> {
        self.space(name)?.state()
    }

    /// The resource of this name, compiled with its group and its index rules. Answers from memory: two hash
    /// lookups under read locks that a change holds only for the moment of the exchange.
    pub fn resource(&self, model: Model, group: &str, name: &str) -> Option<Arc<CompiledResource>> {
        self.space(group)?.resource(model, name)
    }

    /// [`Registry::resource`] for a measure.
    pub fn measure(&self, group: &str, name: &str) -> Option<Arc<CompiledResource>> {
        self.resource(Model::Measure, group, name)
    }

    /// The stored message of an object.
    pub fn get<T: SchemaObject>(&self, group: &str, name: &str) -> Option<Arc<T>> {
        T::table(&*self.space(group)?).get(name)
    }

    /// All objects of a kind in a group, sorted by name.
    pub fn list<T: SchemaObject>(&self, group: &str) -> Vec<Arc<T>> {
        self.space(group).map_or_else(Vec::new, |space| T::table(&space).all())
    }

    /// All groups, internal ones included, sorted by name.
    pub fn groups(&self) -> Vec<Arc<GroupState>> {
        let mut groups: Vec<_> = self.0.spaces.read().values().filter_map(|space| space.state()).collect();
        groups.sort_by(|a, b| a.name().cmp(b.name()));
        groups
    }

    /// The revision of an object as readers see it; none when it does not exist. Groups have an empty `group`.
    pub fn revision_of(&self, kind: Kind, group: &str, name: &str) -> Option<i64> {
        let space = if kind == Kind::Group { name } else { group };
        self.space(space)?.revision(kind, name)
    }

    /// The greatest revision that readers see, with a way to wait for the next one.
    pub fn applied(&self) -> watch::Receiver<i64> {
        self.0.applied.subscribe()
    }

    /// Everything under the name of one group.
    pub fn space(&self, group: &str) -> Option<Arc<GroupSpace>> {
        self.0.spaces.read().get(group).cloned()
    }

    fn space_or_new(&self, group: &str) -> Arc<GroupSpace> {
        if let Some(space) = self.space(group) {
            return space;
        }
        let mut spaces = self.0.spaces.write();
        spaces.entry(group.into()).or_insert_with(|| Arc::new(GroupSpace::new(group))).clone()
    }

    /// Stores documents and waits until they are durable.
    async fn put(&self, documents: Vec<Document>) -> Result<(), SchemaError> {
        let (done, durable) = oneshot::channel();
        let done = move |result| {
            // The receiver waits below and is gone only when the runtime stops.
            let _ = done.send(result);
        };
        self.0.store.put(documents, Box::new(done));
        let lost = |_| Err(Error::internal("put schema", "the store dropped the completion"));
        Ok(durable.await.unwrap_or_else(lost)?)
    }

    /// Makes a published revision known to those who wait for it.
    fn announce(&self, revision: i64) {
        self.0.applied.send_if_modified(|applied| {
            let newer = revision > *applied;
            *applied = revision.max(*applied);
            newer
        });
    }

    fn check_room(&self) -> Result<(), SchemaError> {
        if self.0.objects.load(Ordering::Relaxed) < MAX_OBJECTS {
            return Ok(());
        }
        let text = format!("the registry holds its maximum of {MAX_OBJECTS} objects");
        Err(Error::new(pipal_model::ErrorKind::ResourceExhausted, "create schema", text).into())
    }
}

/// Runs a change to its end even when the caller goes away meanwhile.
async fn detached<T: Send + 'static>(
    change: impl Future<Output = Result<T, SchemaError>> + Send + 'static,
) -> Result<T, SchemaError> {
    match tokio::spawn(change).await {
        Ok(result) => result,
        Err(lost) => Err(Error::internal("change schema", lost.to_string()).into()),
    }
}
