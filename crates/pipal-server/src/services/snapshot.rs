//! Backup snapshots over the network (server surface 2.10).
//!
//! A snapshot always holds everything, as of one instant: the rows of all groups and the schemas. So all entries of
//! an answer lead to one directory, and the groups of a request only choose which catalogs are listed.

use crate::api::common::Catalog;
use crate::api::database::snapshot_request::Group as Asked;
use crate::api::database::snapshot_service_server::SnapshotService as SnapshotRpc;
use crate::api::database::{Snapshot, SnapshotRequest, SnapshotResponse};
use crate::registry::Registry;
use pipal_engine::backup::TakenSnapshot;
use pipal_engine::{Engine, GroupId};
use pipal_model::{Error, Result};
use std::sync::Arc;
use tokio::sync::Mutex;
use tonic::{Request, Response, Status};

/// In the order of an answer; the schemas come last.
const CATALOGS: [Catalog; 4] = [Catalog::Stream, Catalog::Measure, Catalog::Trace, Catalog::Property];
/// By this clients tell the schemas from the property data, which have the same catalog.
const SCHEMA_PREFIX: &str = "schema-property/";

/// Takes snapshots below the data directory.
#[derive(Clone)]
pub struct SnapshotService {
    engine: Engine,
    registry: Registry,
    /// One after the other, and those that wait hold no thread.
    turn: Arc<Mutex<()>>,
}

impl SnapshotService {
    /// A service over the engine; the registry tells which group is of which catalog.
    pub fn new(engine: Engine, registry: Registry) -> Self {
        SnapshotService { engine, registry, turn: Arc::default() }
    }

    /// Takes a snapshot in a thread that may wait. It is taken to its end even if the caller goes away.
    async fn take(&self) -> Result<TakenSnapshot> {
        let (engine, turn) = (self.engine.clone(), self.turn.clone().lock_owned().await);
        let take = move || {
            let _turn = turn;
            engine.take_snapshot()
        };
        let taken = tokio::task::spawn_blocking(take).await;
        taken.unwrap_or_else(|lost| Err(Error::internal("take snapshot", lost.to_string())))
    }

    /// The catalogs to list: those that were asked for, with a group that `has_rows`.
    fn catalogs(&self, asked: &[Asked], has_rows: impl Fn(GroupId) -> bool) -> Vec<Catalog> {
        let groups = self.registry.groups();
        let is_listed = |catalog: &Catalog| {
            groups.iter().any(|group| {
                let matches = |a: &Asked| {
                    a.catalog == group.catalog() && (a.group.is_empty() || a.group == group.name())
                };
                group.catalog() == *catalog as i32
                    && (asked.is_empty() || asked.iter().any(matches))
                    && has_rows(group.id)
            })
        };
        CATALOGS.into_iter().filter(is_listed).collect()
    }
}

#[tonic::async_trait]
impl SnapshotRpc for SnapshotService {
    async fn snapshot(
        &self,
        request: Request<SnapshotRequest>,
    ) -> std::result::Result<Response<SnapshotResponse>, Status> {
        let asked = request.into_inner().groups;
        let taken = self.take().await;
        let (name, error) = match &taken {
            Ok(snapshot) => (snapshot.name.clone(), String::new()),
            Err(error) => (String::new(), error.to_string()),
        };
        let catalogs = match &taken {
            Ok(snapshot) => {
                let with_rows = snapshot.listing.groups();
                self.catalogs(&asked, |id| with_rows.contains(&id))
            }
            // The call stays OK; every catalog that should have been in the snapshot says why it is not.
            Err(_) => self.catalogs(&asked, |_| true),
        };
        let entry = |catalog: Catalog, name| Snapshot { catalog: catalog as i32, name, error: error.clone() };
        let mut snapshots: Vec<Snapshot> =
            catalogs.into_iter().map(|catalog| entry(catalog, name.clone())).collect();
        snapshots.push(entry(Catalog::Property, format!("{SCHEMA_PREFIX}{name}")));
        Ok(Response::new(SnapshotResponse { snapshots }))
    }
}
