//! Barriers: waiting until a change of the schema is seen (server surface 2.9). One process has one member,
//! and it sees a change before the change is answered, so most calls return at once.

use super::{check_keys, revision_of};
use crate::api::schema::schema_barrier_service_server::SchemaBarrierService;
use crate::api::schema::{
    AwaitRevisionAppliedRequest, AwaitRevisionAppliedResponse, AwaitSchemaAppliedRequest,
    AwaitSchemaAppliedResponse, AwaitSchemaDeletedRequest, AwaitSchemaDeletedResponse, NodeLaggard,
    SchemaKey,
};
use crate::registry::Registry;
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

/// How long a request without a timeout waits.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait; a client that wants more asks again.
const MAX_TIMEOUT: Duration = Duration::from_secs(600);

/// The barrier service.
pub struct BarrierService {
    registry: Registry,
    /// Name of the only member, as laggard.
    member: String,
}

impl BarrierService {
    /// A barrier over this registry on the node of this name.
    pub fn new(registry: Registry, node: &str) -> Self {
        BarrierService { registry, member: format!("liaison-{node}") }
    }

    /// Looks again with every change until nothing is missing or the time is over; the answer is what is.
    async fn wait(
        &self,
        timeout: Option<prost_types::Duration>,
        look: impl Fn(i64) -> Option<NodeLaggard>,
    ) -> Option<NodeLaggard> {
        let mut applied = self.registry.applied();
        let deadline = Instant::now() + timeout_of(timeout);
        loop {
            let revision = *applied.borrow_and_update();
            let laggard = look(revision)?;
            match tokio::time::timeout_at(deadline, applied.changed()).await {
                Ok(Ok(())) => continue,
                _ => return Some(NodeLaggard { node: self.member.clone(), ..laggard }),
            }
        }
    }
}

fn timeout_of(timeout: Option<prost_types::Duration>) -> Duration {
    let timeout = timeout.and_then(|timeout| Duration::try_from(timeout).ok());
    timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(DEFAULT_TIMEOUT).min(MAX_TIMEOUT)
}

#[tonic::async_trait]
impl SchemaBarrierService for BarrierService {
    async fn await_revision_applied(
        &self,
        request: Request<AwaitRevisionAppliedRequest>,
    ) -> Result<Response<AwaitRevisionAppliedResponse>, Status> {
        let request = request.into_inner();
        let look = |applied: i64| {
            let lags = applied < request.min_revision;
            lags.then(|| NodeLaggard { current_mod_revision: applied, ..NodeLaggard::default() })
        };
        let laggard = self.wait(request.timeout, look).await;
        let applied = laggard.is_none();
        Ok(Response::new(AwaitRevisionAppliedResponse { applied, laggards: laggard.into_iter().collect() }))
    }

    async fn await_schema_applied(
        &self,
        request: Request<AwaitSchemaAppliedRequest>,
    ) -> Result<Response<AwaitSchemaAppliedResponse>, Status> {
        let request = request.into_inner();
        check_keys(&request.keys)?;
        let is_missing = |(i, key): &(usize, &SchemaKey)| {
            let least = request.min_revisions.get(*i).copied().unwrap_or(0);
            revision_of(&self.registry, key).is_none_or(|revision| revision < least)
        };
        let look = |_| {
            let missing = request.keys.iter().enumerate().filter(is_missing);
            let missing_keys: Vec<SchemaKey> = missing.map(|(_, key)| key.clone()).collect();
            let lags = !missing_keys.is_empty();
            lags.then(|| NodeLaggard { missing_keys, ..NodeLaggard::default() })
        };
        let laggard = self.wait(request.timeout, look).await;
        let applied = laggard.is_none();
        Ok(Response::new(AwaitSchemaAppliedResponse { applied, laggards: laggard.into_iter().collect() }))
    }

    async fn await_schema_deleted(
        &self,
        request: Request<AwaitSchemaDeletedRequest>,
    ) -> Result<Response<AwaitSchemaDeletedResponse>, Status> {
        let request = request.into_inner();
        check_keys(&request.keys)?;
        let look = |_| {
            let present = request.keys.iter().filter(|key| revision_of(&self.registry, key).is_some());
            let still_present_keys: Vec<SchemaKey> = present.cloned().collect();
            let lags = !still_present_keys.is_empty();
            lags.then(|| NodeLaggard { still_present_keys, ..NodeLaggard::default() })
        };
        let laggard = self.wait(request.timeout, look).await;
        let applied = laggard.is_none();
        Ok(Response::new(AwaitSchemaDeletedResponse { applied, laggards: laggard.into_iter().collect() }))
    }
}
