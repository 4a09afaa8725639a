//! Apply and Delete: look up, decide, write, and answer once it is durable.
//!
//! A change goes on when its caller goes away, since its lock may be given back only after its rows are visible.

use super::apply::{Application, merged};
use super::gate::{property_group, target_of};
use super::locks::DocumentLocks;
use super::queries::status_of_query;
use crate::api::common::Metadata;
use crate::api::property::{ApplyRequest, ApplyResponse, DeleteRequest, DeleteResponse};
use crate::query_threads::QueryThreads;
use crate::registry::{Registry, RevisionClock};
use crate::services::validate;
use crate::status::status_of;
use pipal_engine::{CancelToken, Clock, Engine, WriteBatch};
use pipal_model::{Error, MemoryPool, Reservation};
use pipal_query::budget::{Budget, QUERY_BYTES_MAX};
use pipal_query::property::document::{layout, push_document, push_tombstone};
use pipal_query::property::{PropertyGroup, find, live_documents};
use prost::Message;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tonic::Status;

/// Documents that a Delete of a whole name marks in one request to the engine.
pub(super) const DELETES_PER_BATCH: usize = 1_000;

/// Most changes that run or wait for their turn. One more is refused at once.
const CHANGES_MAX: usize = 4_096;

/// Changes documents, whichever face a change comes through; clones share the locks.
#[derive(Clone)]
pub struct PropertyChanges(Arc<Inner>);

struct Inner {
    registry: Registry,
    engine: Engine,
    memory: Arc<MemoryPool>,
    /// Where documents are looked up.
    threads: QueryThreads,
    revisions: RevisionClock,
    locks: DocumentLocks,
    admitted: Arc<Semaphore>,
}

impl PropertyChanges {
    /// Changes documents in this engine. Look-ups share `memory` with queries.
    pub fn new(registry: Registry, engine: Engine, memory: Arc<MemoryPool>, clock: Arc<dyn Clock>) -> Self {
        PropertyChanges(Arc::new(Inner {
            registry,
            engine,
            memory,
            threads: QueryThreads::default(),
            revisions: RevisionClock::new(clock, 0),
            locks: DocumentLocks::default(),
            admitted: Arc::new(Semaphore::new(CHANGES_MAX)),
        }))
    }

    /// Writes a document, or changes some of its tags.
    ///
    /// # Errors
    /// Those of [`Application::admit`], and those of the engine.
    pub async fn apply(&self, request: ApplyRequest) -> Result<ApplyResponse, Status> {
        let application = Application::admit(&self.0.registry, request)?;
        let held = self.0.hold(application.property.encoded_len())?;
        let inner = self.0.clone();
        detached(async move {
            let _held = held;
            inner.apply(application).await
        })
        .await
    }

    /// Deletes a document, or all of a name. It is no error when there is none.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` without group or name, those of [`property_group`], and those of the engine.
    pub async fn delete(&self, request: DeleteRequest) -> Result<DeleteResponse, Status> {
        validate(&request)?;
        let group = target_of(&*property_group(&self.0.registry, &request.group)?);
        let DeleteRequest { name, id, .. } = request;
        let held = self.0.hold(name.len() + id.len())?;
        let inner = self.0.clone();
        detached(async move {
            let _held = held;
            match id.is_empty() {
                true => inner.delete_all(group, name).await,
                false => inner.delete_one(group, name, id).await,
            }
        })
        .await?;
        Ok(DeleteResponse { deleted: true })
    }
}

impl Inner {
    /// Room for a change and its bytes, since callers that go away leave their changes behind.
    fn hold(&self, bytes: usize) -> Result<(OwnedSemaphorePermit, Reservation), Status> {
        let refused = || Status::resource_exhausted("too many changes of properties wait already");
        let permit = self.admitted.clone().try_acquire_owned().map_err(|_| refused())?;
        let mut reservation = Reservation::new(&self.memory, usize::MAX);
        reservation.cover(bytes).map_err(|refusal| Status::resource_exhausted(refusal.to_string()))?;
        Ok((permit, reservation))
    }

    async fn apply(self: Arc<Self>, application: Application) -> Result<ApplyResponse, Status> {
        let metadata = application.property.metadata.clone().unwrap_or_default();
        let id = application.property.id.clone();
        let _turn = self.locks.document(application.group.id, &metadata.name, &id).await;
        let inner = self.clone();
        let prepare = move |cancel: &CancelToken| inner.next_version(application, cancel);
        let (batch, response) = self.threads.run(prepare, panicked).await??;
        self.commit(batch).await?;
        Ok(response)
    }

    /// Looks the document up and makes its next version. Called with its lock held.
    fn next_version(
        &self,
        application: Application,
        cancel: &CancelToken,
    ) -> Result<(WriteBatch, ApplyResponse), Status> {
        let Application { group, mut property, replaces } = application;
        let metadata = property.metadata.take().unwrap_or_default();
        let found = find(&self.engine, &group, &metadata.name, &property.id, &self.budget(), cancel)
            .map_err(|error| status_of_query(&error))?;
        let (newest, previous) = found.map_or((i64::MIN, None), |(head, live)| (head.version, live));
        let created = previous.is_none();
        let revision = self.revisions.next_above(newest);
        let mut create_revision = revision;
        if let Some(previous) = previous {
            create_revision = previous.metadata.as_ref().map_or(revision, |m| m.create_revision);
            if !replaces {
                property.tags = merged(property.tags, previous.tags);
            }
        }
        let tags_num = u32::try_from(property.tags.len()).unwrap_or(u32::MAX);
        let layout = layout(&metadata.name);
        property.metadata = Some(Metadata { create_revision, mod_revision: revision, ..metadata });
        let mut batch = WriteBatch::new();
        push_document(&mut batch, &group, &layout, property).map_err(|error| status_of(&error))?;
        Ok((batch, ApplyResponse { created, tags_num }))
    }

    async fn delete_one(
        self: Arc<Self>,
        group: PropertyGroup,
        name: String,
        id: String,
    ) -> Result<(), Status> {
        let _turn = self.locks.document(group.id, &name, &id).await;
        let inner = self.clone();
        let prepare = move |cancel: &CancelToken| {
            let found = find(&inner.engine, &group, &name, &id, &inner.budget(), cancel)
                .map_err(|error| status_of_query(&error))?;
            let Some((head, Some(_))) = found else { return Ok(None) };
            inner.tombstones(&group, &name, &[(id, head.version)]).map(Some)
        };
        match self.threads.run(prepare, panicked).await?? {
            Some(batch) => self.commit(batch).await,
            None => Ok(()),
        }
    }

    async fn delete_all(self: Arc<Self>, group: PropertyGroup, name: String) -> Result<(), Status> {
        let _turn = self.locks.name(group.id, &name).await;
        let inner = self.clone();
        let (of_group, of_name) = (group.clone(), name.clone());
        let list = move |cancel: &CancelToken| {
            live_documents(&inner.engine, &of_group, &of_name, &inner.budget(), cancel)
                .map_err(|error| status_of_query(&error))
        };
        let documents = self.threads.run(list, panicked).await??;
        for some in documents.chunks(DELETES_PER_BATCH) {
            self.commit(self.tombstones(&group, &name, some)?).await?;
        }
        Ok(())
    }

    /// Marks documents, given by id and version, as deleted. A tombstone is newer than what it hides.
    fn tombstones(
        &self,
        group: &PropertyGroup,
        name: &str,
        documents: &[(String, i64)],
    ) -> Result<WriteBatch, Status> {
        let layout = layout(name);
        let mut batch = WriteBatch::new();
        for (id, version) in documents {
            let revision = self.revisions.next_above(*version);
            push_tombstone(&mut batch, group, &layout, id, revision).map_err(|error| status_of(&error))?;
        }
        Ok(batch)
    }

    /// Returns once the rows are durable and visible.
    async fn commit(&self, batch: WriteBatch) -> Result<(), Status> {
        let (done, durable) = oneshot::channel();
        self.engine.commit(batch, move |result| {
            // The receiver waits below and is gone only when the runtime stops.
            let _ = done.send(result);
        });
        let lost = |_| Err(Error::internal("write property", "the engine dropped the completion"));
        durable.await.unwrap_or_else(lost).map_err(|error| status_of(&error))
    }

    fn budget(&self) -> Budget {
        Budget::new(&self.memory, QUERY_BYTES_MAX)
    }
}

fn panicked() -> Status {
    Status::internal("the look-up of a property panicked")
}

/// Runs a change to its end even when the caller goes away meanwhile.
async fn detached<T: Send + 'static>(
    change: impl Future<Output = Result<T, Status>> + Send + 'static,
) -> Result<T, Status> {
    tokio::spawn(change).await.unwrap_or_else(|lost| Err(Status::internal(lost.to_string())))
}
