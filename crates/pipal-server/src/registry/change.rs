//! Create, Update and Delete of every kind of object but groups.

use super::kind::SchemaObject;
use super::space::GroupSpace;
use super::store::{Document, DocumentKey};
use super::{Deleted, Registry, detached};
use crate::status::SchemaError;
use pipal_model::Reservation;
use prost_types::Timestamp;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Registry {
    /// Stores a new object and answers its revision. Of concurrent calls for one name exactly one succeeds.
    ///
    /// # Errors
    /// `Refused` by a business rule, `NotFound` without the group, `AlreadyExists`, `Storage`, also for want of memory.
    pub async fn create<T: SchemaObject>(&self, mut object: T) -> Result<i64, SchemaError> {
        object.complete_new();
        object.check().map_err(SchemaError::Refused)?;
        let registry = self.clone();
        detached(async move { registry.create_now(object).await }).await
    }

    async fn create_now<T: SchemaObject>(&self, mut object: T) -> Result<i64, SchemaError> {
        let (group, name) = (object.group().to_owned(), object.name().to_owned());
        let _group = self.0.locks.group(&group, T::EXCLUSIVE).await;
        let _object = self.0.locks.object(T::KIND, &group, &name).await;
        self.check_group(&object)?;
        if self.get::<T>(&group, &name).is_some() {
            return Err(SchemaError::AlreadyExists);
        }
        self.check_room()?;
        let created_at = object.created_at();
        let revision = self.0.revisions.next();
        stamp(&mut object, revision, created_at);
        let memory = self.reserve(&object)?;
        self.put(vec![document(&object, 0)]).await?;
        self.publish(&self.space_or_new(&group), Arc::new(object), memory);
        Ok(revision)
    }

    /// Replaces an object and answers its revision, the old one when nothing has changed.
    ///
    /// # Errors
    /// As Create; `Refused` also when the object does not exist or would lose stored rows.
    pub async fn update<T: SchemaObject>(&self, object: T) -> Result<i64, SchemaError> {
        let registry = self.clone();
        detached(async move { registry.update_now(object).await }).await
    }

    async fn update_now<T: SchemaObject>(&self, mut object: T) -> Result<i64, SchemaError> {
        let (group, name) = (object.group().to_owned(), object.name().to_owned());
        let _group = self.0.locks.group(&group, T::EXCLUSIVE).await;
        let _object = self.0.locks.object(T::KIND, &group, &name).await;
        let stored = self.get::<T>(&group, &name);
        object.check().map_err(SchemaError::Refused)?;
        object.complete_update(stored.as_deref())?;
        self.check_group(&object)?;
        let stored = stored.ok_or_else(|| not_exist(&group, &name))?;
        if stored.content() == object.content() {
            return Ok(stored.revision());
        }
        let refused = |text| SchemaError::Refused(format!("validation failed: {text}"));
        stored.check_update(&object).map_err(refused)?;
        let revision = self.0.revisions.next();
        stamp(&mut object, revision, stored.created_at());
        let memory = self.reserve(&object)?;
        self.put(vec![document(&object, 0)]).await?;
        self.publish(&self.space_or_new(&group), Arc::new(object), memory);
        Ok(revision)
    }

    /// Deletes an object. Rows that were written to it stay.
    ///
    /// # Errors
    /// `Storage`; that there was no such object is no error.
    pub async fn delete<T: SchemaObject>(&self, group: &str, name: &str) -> Result<Deleted, SchemaError> {
        let (registry, group, name) = (self.clone(), group.to_owned(), name.to_owned());
        detached(async move { registry.delete_now::<T>(&group, &name).await }).await
    }

    async fn delete_now<T: SchemaObject>(&self, group: &str, name: &str) -> Result<Deleted, SchemaError> {
        let _group = self.0.locks.group(group, T::EXCLUSIVE).await;
        let _object = self.0.locks.object(T::KIND, group, name).await;
        let space = self.space(group).filter(|space| T::table(space).get(name).is_some());
        let Some(space) = space else {
            return Ok(Deleted { deleted: false, time: self.0.revisions.now() });
        };
        let revision = self.0.revisions.next();
        self.put(vec![tombstone(T::KIND, group, name, revision)]).await?;
        if space.withdraw::<T>(name) {
            self.0.objects.fetch_sub(1, Ordering::Relaxed);
        }
        self.announce(revision);
        Ok(Deleted { deleted: true, time: revision })
    }

    /// Shows a stored object to readers and wakes who waits for it.
    pub(super) fn publish<T: SchemaObject>(&self, space: &GroupSpace, object: Arc<T>, memory: Reservation) {
        let revision = object.revision();
        if space.publish(object, memory) {
            self.0.objects.fetch_add(1, Ordering::Relaxed);
        }
        self.announce(revision);
    }

    fn check_group<T: SchemaObject>(&self, object: &T) -> Result<(), SchemaError> {
        if !T::NEEDS_GROUP {
            return Ok(());
        }
        let space = self.space(object.group()).filter(|space| space.state().is_some());
        object.check_group(&*space.ok_or(SchemaError::NotFound)?)
    }
}

/// The answer to an Update of an object that does not exist.
pub(super) fn not_exist(group: &str, name: &str) -> SchemaError {
    SchemaError::Refused(format!("schema {group}/{name} not exist"))
}

/// Sets revision and times. `updated_at` is the time of the revision.
pub(super) fn stamp<T: SchemaObject>(object: &mut T, revision: i64, created_at: Option<Timestamp>) {
    let updated_at = timestamp(revision);
    object.set_times(Some(updated_at), created_at.or(Some(updated_at)));
    if let Some(metadata) = object.metadata_mut() {
        metadata.mod_revision = revision;
    }
}

/// Nanoseconds since the epoch as a protobuf timestamp.
pub(super) fn timestamp(nanos: i64) -> Timestamp {
    const SECOND_NANOS: i64 = 1_000_000_000;
    // The remainder is below 10^9.
    Timestamp { seconds: nanos.div_euclid(SECOND_NANOS), nanos: nanos.rem_euclid(SECOND_NANOS) as i32 }
}

/// The document of a stamped object. Of groups it carries the incarnation.
pub(super) fn document<T: SchemaObject>(object: &T, incarnation: u64) -> Document {
    Document {
        key: DocumentKey { kind: T::KIND, group: object.group().into(), name: object.name().into() },
        revision: object.revision(),
        incarnation,
        body: Some(object.encode_to_vec()),
    }
}

/// The document that says that an object is deleted.
pub(super) fn tombstone(kind: super::Kind, group: &str, name: &str, revision: i64) -> Document {
    let key = DocumentKey { kind, group: group.into(), name: name.into() };
    Document { key, revision, incarnation: 0, body: None }
}
