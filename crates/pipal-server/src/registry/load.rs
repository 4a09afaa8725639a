//! Start of a registry: every stored document becomes visible, the storage learns which groups there are, and
//! deletions that a stop interrupted go on.

use super::groups::incarnation;
use super::kind::{Kind, SchemaObject};
use super::locks::Locks;
use super::revision::RevisionClock;
use super::space::GroupState;
use super::storage::GroupStorage;
use super::store::{Document, SchemaStore};
use super::{Inner, Registry, builtin};
use crate::api::common::Group;
use crate::api::database::{
    GroupDeletionTask, IndexRule, IndexRuleBinding, Measure, Property, Stream, TopNAggregation, Trace,
};
use crate::status::SchemaError;
use pipal_engine::GroupId;
use pipal_engine::clock::Clock;
use pipal_model::{Error, MemoryPool};
use std::sync::Arc;
use tokio::sync::watch;

/// A deletion that was on its way when the process stopped.
struct Interrupted {
    group: Box<str>,
    incarnation: GroupId,
    task: GroupDeletionTask,
}

impl Registry {
    /// Opens the registry over a store, on a tokio runtime. Objects are charged to `memory`; those that are stored already
    /// also when it has no room for them. Once this returns, readers see all that was stored.
    ///
    /// # Errors
    /// `Storage`, among them a document that cannot be read: without it the registry would not know a group,
    /// and the rows of that group would be taken for garbage.
    pub async fn open(
        store: Arc<dyn SchemaStore>,
        storage: Arc<dyn GroupStorage>,
        clock: Arc<dyn Clock>,
        memory: Arc<MemoryPool>,
    ) -> Result<Registry, SchemaError> {
        let mut documents = store.load()?;
        // Groups come first, and rules before the bindings that name them, so that little is compiled twice.
        documents.sort_by(|a, b| a.key.cmp(&b.key));
        let floor = documents.iter().map(|document| document.revision).max().unwrap_or(0);
        let registry = Registry(Arc::new(Inner {
            store,
            storage,
            revisions: RevisionClock::new(clock, floor),
            locks: Locks::default(),
            spaces: Default::default(),
            tasks: Default::default(),
            objects: Default::default(),
            memory,
            applied: watch::Sender::new(floor),
        }));
        let mut interrupted = Vec::new();
        for document in &documents {
            let Some(body) = document.body.as_deref() else { continue };
            if let Some(deletion) = registry.load(document, body)? {
                interrupted.push(deletion);
            }
        }
        registry.open_groups(&interrupted).await?;
        registry.add_built_ins().await?;
        for Interrupted { group, incarnation, task } in interrupted {
            registry.resume_deletion(&group, incarnation, task);
        }
        Ok(registry)
    }

    fn load(&self, document: &Document, body: &[u8]) -> Result<Option<Interrupted>, SchemaError> {
        match document.key.kind {
            Kind::Group => {
                let group: Group = decode(document, body)?;
                let memory = self.charge(&group);
                let state = GroupState::new(document.incarnation, Arc::new(group));
                self.publish_group(&document.key.name, Arc::new(state), memory, None);
            }
            Kind::Stream => self.load_object::<Stream>(document, body)?,
            Kind::Measure => self.load_object::<Measure>(document, body)?,
            Kind::Trace => self.load_object::<Trace>(document, body)?,
            Kind::Property => self.load_object::<Property>(document, body)?,
            Kind::IndexRule => self.load_object::<IndexRule>(document, body)?,
            Kind::IndexRuleBinding => self.load_object::<IndexRuleBinding>(document, body)?,
            Kind::TopNAggregation => self.load_object::<TopNAggregation>(document, body)?,
            Kind::DeletionTask => return self.load_task(document, body),
        }
        Ok(None)
    }

    fn load_object<T: SchemaObject>(&self, document: &Document, body: &[u8]) -> Result<(), SchemaError> {
        let object: T = decode(document, body)?;
        let memory = self.charge(&object);
        self.publish(&self.space_or_new(&document.key.group), Arc::new(object), memory);
        Ok(())
    }

    fn load_task(&self, document: &Document, body: &[u8]) -> Result<Option<Interrupted>, SchemaError> {
        let task: GroupDeletionTask = decode(document, body)?;
        let group = document.key.group.clone();
        self.0.tasks.write().insert(group.clone(), task.clone());
        let runs = super::deletion::is_running(&task);
        Ok(runs.then_some(Interrupted { group, incarnation: document.incarnation, task }))
    }

    /// Opens the rows of every group, and of incarnations that are being deleted, so that they can be dropped.
    async fn open_groups(&self, interrupted: &[Interrupted]) -> Result<(), SchemaError> {
        let groups = self.groups();
        for group in &groups {
            self.put_storage(group).await?;
        }
        let going = interrupted.iter().map(|deletion| deletion.incarnation);
        let live: Vec<GroupId> = groups.iter().map(|group| group.id).chain(going).collect();
        let unknown = self.0.storage.unknown_groups(&live);
        if !unknown.is_empty() {
            tracing::warn!(?unknown, "rows of unknown groups are left alone");
        }
        Ok(())
    }

    async fn add_built_ins(&self) -> Result<(), SchemaError> {
        if self.group(builtin::DELETION_TASK).is_none() {
            self.create_group(builtin::deletion_task_group()).await?;
        }
        if self.get::<Property>(builtin::DELETION_TASK, builtin::DELETION_TASK).is_none() {
            self.create(builtin::deletion_task_property()).await?;
        }
        debug_assert!(self.groups().iter().all(|group| group.id != incarnation(0)), "0 is the system group");
        Ok(())
    }
}

fn decode<T: prost::Message + Default>(document: &Document, body: &[u8]) -> Result<T, SchemaError> {
    let corrupt = |cause: prost::DecodeError| {
        let key = &document.key;
        let subject = format!("{} {}/{}", key.kind.name(), key.group, key.name);
        Error::corrupt("load schema", subject, cause.to_string())
    };
    Ok(T::decode(body).map_err(corrupt)?)
}
