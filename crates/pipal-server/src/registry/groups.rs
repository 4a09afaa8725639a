//! Create and Update of groups. They differ from other objects in that a group owns rows: each incarnation of
//! one has an id that the storage knows, and a measure group brings a built-in measure along.

use super::change::{document, not_exist, stamp};
use super::kind::SchemaObject;
use super::space::{GroupSpace, GroupState};
use super::{Registry, builtin, detached, rules};
use crate::api::common::{Catalog, Group};
use crate::api::database::Measure;
use crate::status::SchemaError;
use pipal_engine::GroupId;
use pipal_model::{Error, Reservation};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Registry {
    /// Stores a new group, opens its rows and answers its revision.
    ///
    /// # Errors
    /// As [`Registry::create`].
    pub async fn create_group(&self, group: Group) -> Result<i64, SchemaError> {
        group.check().map_err(SchemaError::Refused)?;
        let registry = self.clone();
        detached(async move { registry.create_group_now(group).await }).await
    }

    async fn create_group_now(&self, mut group: Group) -> Result<i64, SchemaError> {
        let name = group.name().to_owned();
        let _guard = self.0.locks.group(&name, true).await;
        if self.group(&name).is_some() {
            return Err(SchemaError::AlreadyExists);
        }
        self.check_room()?;
        let created_at = group.created_at();
        let revision = self.0.revisions.next();
        stamp(&mut group, revision, created_at);
        let id = incarnation(revision);
        let memory = self.reserve(&group)?;
        let state = Arc::new(GroupState::new(id, Arc::new(group)));
        // The rows are opened first: an incarnation without a group is harmless, a group without rows
        // to write to would be a lie.
        self.put_storage(&state).await?;
        let built_in = self.missing_built_in(&state.definition);
        let mut documents = vec![document(&*state.definition, id)];
        documents.extend(built_in.iter().map(|measure| document(measure, 0)));
        self.put(documents).await?;
        self.publish_group(&name, state, memory, built_in);
        Ok(revision)
    }

    /// Replaces a group and answers its revision, the old one when nothing has changed. Shards, intervals and
    /// time to live reach the storage at once.
    ///
    /// # Errors
    /// As [`Registry::update`].
    pub async fn update_group(&self, group: Group) -> Result<i64, SchemaError> {
        group.check().map_err(SchemaError::Refused)?;
        let registry = self.clone();
        detached(async move { registry.update_group_now(group).await }).await
    }

    async fn update_group_now(&self, mut group: Group) -> Result<i64, SchemaError> {
        let name = group.name().to_owned();
        let _guard = self.0.locks.group(&name, true).await;
        let (space, stored) = self.existing(&name).ok_or_else(|| not_exist("", &name))?;
        if stored.definition.content() == group.content() {
            return Ok(stored.definition.revision());
        }
        if rules::has_sampler(&group) && space.traces.len() > 1 {
            return Err(SchemaError::Precondition(rules::only_one_trace(&name)));
        }
        let revision = self.0.revisions.next();
        stamp(&mut group, revision, stored.definition.created_at());
        let memory = self.reserve(&group)?;
        let state = Arc::new(stored.with_definition(group));
        let built_in = self.missing_built_in(&state.definition);
        let mut documents = vec![document(&*state.definition, state.id)];
        documents.extend(built_in.iter().map(|measure| document(measure, 0)));
        self.put(documents).await?;
        let applied = match state.options == stored.options {
            true => Ok(()),
            false => self.put_storage(&state).await,
        };
        // What is on disk is what readers see, also when the storage could not take the new options.
        self.publish_group(&name, state, memory, built_in);
        applied.map(|()| revision)
    }

    /// The space and the state of a group that exists.
    pub(super) fn existing(&self, name: &str) -> Option<(Arc<GroupSpace>, Arc<GroupState>)> {
        let space = self.space(name)?;
        let state = space.state()?;
        Some((space, state))
    }

    /// Opens the rows of a group, or gives them its options, on a thread that may wait for the disk.
    pub(super) async fn put_storage(&self, state: &GroupState) -> Result<(), SchemaError> {
        let (storage, id, options) = (self.0.storage.clone(), state.id, state.options);
        let put = tokio::task::spawn_blocking(move || storage.put_group(id, options));
        let lost = |lost: tokio::task::JoinError| Err(Error::internal("open group", lost.to_string()));
        Ok(put.await.unwrap_or_else(lost)?)
    }

    /// Shows a stored group to readers, with the built-in measure that was stored together with it.
    pub(super) fn publish_group(
        &self,
        name: &str,
        state: Arc<GroupState>,
        memory: Reservation,
        built_in: Option<Measure>,
    ) {
        let space = self.space_or_new(name);
        let revision = state.definition.revision();
        if space.state().is_none() {
            self.0.objects.fetch_add(1, Ordering::Relaxed);
        }
        space.publish_group(state, memory);
        if let Some(measure) = built_in {
            // It is small, and a group of measures is nothing without it.
            let memory = self.charge(&measure);
            self.publish(&space, Arc::new(measure), memory);
        }
        self.announce(revision);
    }

    /// The stamped built-in measure, when the group is one of measures and has none.
    fn missing_built_in(&self, group: &Group) -> Option<Measure> {
        let is_there = self.get::<Measure>(group.name(), builtin::TOP_N_RESULT).is_some();
        if group.catalog != Catalog::Measure as i32 || is_there {
            return None;
        }
        let mut measure = builtin::top_n_result(group.name());
        stamp(&mut measure, self.0.revisions.next(), None);
        Some(measure)
    }
}

/// The incarnation that a revision starts. Revisions are positive and never repeat, 0 is the system group.
pub(super) fn incarnation(revision: i64) -> GroupId {
    revision.unsigned_abs()
}
