//! Deletion of a group, or of its rows alone, as a task that survives a restart (server surface 2.7).
//!
//! The task is durable and the gate closed before Delete is answered: no write is acknowledged and then
//! deleted. All objects of the group go in one atomic change, then the rows. An interrupted task goes on at
//! the next start; it names the incarnation that it deletes, so it cannot hit a group of the same name that
//! was made later.

use super::builtin::DELETION_TASK;
use super::change::{document, timestamp, tombstone};
use super::groups::incarnation;
use super::inspect::schema_info;
use super::kind::Kind;
use super::space::{GroupSpace, GroupState};
use super::store::{Document, DocumentKey};
use super::{Registry, detached};
use crate::api::database::{GroupDeletionTask, SchemaInfo, group_deletion_task::Phase};
use crate::status::SchemaError;
use pipal_engine::GroupId;
use pipal_model::Error;
use prost::Message;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

/// A running task that says nothing for longer may be started again.
const STALE_AFTER_NANOS: i64 = 600_000_000_000;

/// Most tasks that are remembered; beyond it the oldest finished ones are forgotten.
const MAX_TASKS: usize = 4_096;

/// The kinds that a task counts, under the names that it counts them by.
const COUNTED: [(Kind, &str); 7] = [
    (Kind::IndexRuleBinding, "index_rule_binding"),
    (Kind::IndexRule, "index_rule"),
    (Kind::Property, "property"),
    (Kind::Stream, "stream"),
    (Kind::Measure, "measure"),
    (Kind::Trace, "trace"),
    (Kind::TopNAggregation, "topn_aggregation"),
];

/// A request to delete a group.
#[derive(Clone, Debug, Default)]
pub struct DeleteGroup {
    /// Name of the group.
    pub group: String,
    /// Only say what would go.
    pub dry_run: bool,
    /// Delete the group although it has rows.
    pub force: bool,
    /// Keep the schema.
    pub data_only: bool,
}

/// What a request to delete a group led to.
#[derive(Debug)]
pub enum Deletion {
    /// A dry run: these objects would go.
    Planned(SchemaInfo),
    /// The task is on its way.
    Started,
}

impl Registry {
    /// Starts the deletion of a group, or says what it would delete.
    ///
    /// # Errors
    /// `Denied` for internal groups, `NotFound`, `Precondition` when the group has rows and the request does
    /// not force, `Refused` while a task runs, `Storage`.
    pub async fn delete_group(&self, request: DeleteGroup) -> Result<Deletion, SchemaError> {
        if request.group == DELETION_TASK {
            let text = format!("cannot delete internal system group {}", request.group);
            return Err(SchemaError::Denied(text));
        }
        let registry = self.clone();
        detached(async move { registry.delete_group_now(&request).await }).await
    }

    /// The newest deletion task of a group name.
    pub fn deletion_task(&self, group: &str) -> Option<GroupDeletionTask> {
        self.0.tasks.read().get(group).cloned()
    }

    async fn delete_group_now(&self, request: &DeleteGroup) -> Result<Deletion, SchemaError> {
        let name = request.group.as_str();
        let _guard = self.0.locks.group(name, true).await;
        let (space, state) = self.existing(name).ok_or(SchemaError::NotFound)?;
        if request.dry_run {
            return Ok(Deletion::Planned(schema_info(&space)));
        }
        let bytes = self.group_data(&state).await?.bytes();
        if bytes > 0 && !request.force {
            let text = format!("group {name} is not empty, use force=true to delete non-empty groups");
            return Err(SchemaError::Precondition(text));
        }
        if self.deletion_task(name).is_some_and(|task| self.blocks(&task)) {
            return Err(SchemaError::Refused(format!(
                "deletion task for group {name} is already in progress"
            )));
        }
        let task = self.new_task(&space, request.data_only, bytes);
        self.store_task(name, state.id, task.clone()).await?;
        state.mark_deleting();
        self.spawn_deletion(name, state.id, task);
        Ok(Deletion::Started)
    }

    /// Goes on with a task that a stop interrupted.
    pub(super) fn resume_deletion(&self, group: &str, incarnation: GroupId, task: GroupDeletionTask) {
        if let Some(state) = self.group(group).filter(|state| state.id == incarnation) {
            state.mark_deleting();
        }
        self.spawn_deletion(group, incarnation, task);
    }

    /// Closes the gate at once and does the rest in the background.
    fn spawn_deletion(&self, group: &str, incarnation: GroupId, task: GroupDeletionTask) {
        let (done, drained) = oneshot::channel();
        let done = move |result| {
            // The task waits for it; when the runtime stops, nobody does.
            let _ = done.send(result);
        };
        self.0.storage.close_gate(incarnation, Box::new(done));
        let (registry, group) = (self.clone(), group.to_owned());
        tokio::spawn(async move {
            // An earlier run may have dropped the rows already; then there is no gate to wait at.
            let _ = drained.await;
            registry.run_deletion(&group, incarnation, task).await;
        });
    }

    async fn run_deletion(&self, group: &str, incarnation: GroupId, mut task: GroupDeletionTask) {
        let data_only = task.total_counts.is_empty();
        task.current_phase = Phase::InProgress as i32;
        task.message = "deleting data files".to_owned();
        self.show_task(group, &mut task);
        let result = match data_only {
            true => self.replace_rows(group, incarnation).await,
            false => self.delete_schemas(group, incarnation, &mut task).await,
        };
        let result = match result {
            Ok(()) => self.drop_rows(incarnation).await,
            failed => failed,
        };
        match result {
            Ok(()) => {
                task.current_phase = Phase::Completed as i32;
                let what = if data_only { "data files" } else { "group" };
                task.message = format!("{what} deleted successfully");
            }
            Err(error) => {
                task.current_phase = Phase::Failed as i32;
                task.message = tonic::Status::from(error).message().to_owned();
                tracing::error!(group, error = %task.message, "deletion of a group failed");
            }
        }
        if let Err(error) = self.store_task(group, incarnation, task).await {
            tracing::error!(group, ?error, "the outcome of a group's deletion could not be stored");
        }
    }

    /// Deletes the group and all its objects in one change, unless an earlier run has done so.
    async fn delete_schemas(
        &self,
        name: &str,
        incarnation: GroupId,
        task: &mut GroupDeletionTask,
    ) -> Result<(), SchemaError> {
        let _guard = self.0.locks.group(name, true).await;
        let existing = self.existing(name).filter(|(_, state)| state.id == incarnation);
        if let Some((space, _)) = existing {
            let revision = self.0.revisions.next();
            let members = COUNTED.iter().flat_map(|(kind, _)| {
                space.names(*kind).into_iter().map(|member| tombstone(*kind, name, &member, revision))
            });
            let mut documents: Vec<Document> = members.collect();
            documents.push(tombstone(Kind::Group, "", name, revision));
            task.total_counts = counts(&space);
            self.put(documents).await?;
            self.0.spaces.write().remove(name);
            self.0.objects.fetch_sub(space.withdraw_all(), Ordering::Relaxed);
            self.announce(revision);
        }
        task.deleted_counts = task.total_counts.clone();
        Ok(())
    }

    /// Gives the group a new, empty incarnation, unless an earlier run has done so.
    async fn replace_rows(&self, name: &str, old: GroupId) -> Result<(), SchemaError> {
        let _guard = self.0.locks.group(name, true).await;
        let Some((space, state)) = self.existing(name).filter(|(_, state)| state.id == old) else {
            return Ok(());
        };
        let revision = self.0.revisions.next();
        let next = Arc::new(GroupState::new(incarnation(revision), state.definition.clone()));
        self.put_storage(&next).await?;
        // The message stays as it is, only the document around it is new.
        self.put(vec![Document { revision, ..document(&*next.definition, next.id) }]).await?;
        let memory = self.charge(&*next.definition);
        space.publish_group(next, memory);
        Ok(())
    }

    async fn drop_rows(&self, incarnation: GroupId) -> Result<(), SchemaError> {
        let (done, dropped) = oneshot::channel();
        let done = move |result| {
            // The receiver waits below and is gone only when the runtime stops.
            let _ = done.send(result);
        };
        self.0.storage.drop_group(incarnation, Box::new(done));
        let lost = |_| Err(Error::internal("drop group", "the storage dropped the completion"));
        Ok(dropped.await.unwrap_or_else(lost)?)
    }

    fn blocks(&self, task: &GroupDeletionTask) -> bool {
        let updated = task.updated_at.as_ref().map_or(0, |at| at.seconds.saturating_mul(1_000_000_000));
        is_running(task) && self.0.revisions.now().saturating_sub(updated) < STALE_AFTER_NANOS
    }

    fn new_task(&self, space: &GroupSpace, data_only: bool, bytes: u64) -> GroupDeletionTask {
        let now = timestamp(self.0.revisions.now());
        let zero = |(_, name): &(Kind, &str)| ((*name).to_owned(), 0);
        let (total_counts, deleted_counts) = match data_only {
            true => Default::default(),
            false => (counts(space), COUNTED.iter().map(zero).collect()),
        };
        GroupDeletionTask {
            current_phase: Phase::Pending as i32,
            total_counts,
            deleted_counts,
            total_data_size_bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
            message: "waiting for in-flight requests to complete".to_owned(),
            created_at: Some(now),
            updated_at: Some(now),
            ..GroupDeletionTask::default()
        }
    }

    fn show_task(&self, group: &str, task: &mut GroupDeletionTask) {
        task.updated_at = Some(timestamp(self.0.revisions.now()));
        self.0.tasks.write().insert(group.into(), task.clone());
    }

    /// Makes a task durable and then visible, and forgets an old one when there are too many.
    async fn store_task(
        &self,
        group: &str,
        incarnation: GroupId,
        mut task: GroupDeletionTask,
    ) -> Result<(), SchemaError> {
        let revision = self.0.revisions.next();
        let key = DocumentKey { kind: Kind::DeletionTask, group: group.into(), name: "".into() };
        let forgotten = self.task_to_forget(group);
        let mut documents = vec![Document { key, revision, incarnation, body: Some(task.encode_to_vec()) }];
        documents.extend(forgotten.iter().map(|old| tombstone(Kind::DeletionTask, old, "", revision)));
        self.put(documents).await?;
        if let Some(old) = forgotten {
            self.0.tasks.write().remove(&old);
        }
        self.show_task(group, &mut task);
        Ok(())
    }

    fn task_to_forget(&self, group: &str) -> Option<Box<str>> {
        let tasks = self.0.tasks.read();
        if tasks.len() < MAX_TASKS || tasks.contains_key(group) {
            return None;
        }
        let finished = tasks.iter().filter(|(_, task)| !is_running(task));
        let oldest =
            finished.min_by_key(|(_, task)| task.updated_at.as_ref().map(|at| (at.seconds, at.nanos)));
        oldest.map(|(group, _)| group.clone())
    }
}

/// True until a task has completed or failed.
pub(super) fn is_running(task: &GroupDeletionTask) -> bool {
    task.current_phase == Phase::Pending as i32 || task.current_phase == Phase::InProgress as i32
}

/// How many objects of each kind there are; every kind is named, also without objects.
fn counts(space: &GroupSpace) -> HashMap<String, i32> {
    let count = |(kind, name): &(Kind, &str)| {
        ((*name).to_owned(), i32::try_from(space.names(*kind).len()).unwrap_or(i32::MAX))
    };
    COUNTED.iter().map(count).collect()
}
