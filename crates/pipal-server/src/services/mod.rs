//! The gRPC services, except those of the data models.

mod barrier;
mod group;
mod health;
mod node;
mod registries;
mod schema_status;
mod snapshot;
#[cfg(test)]
mod tests;

pub use barrier::BarrierService;
pub use group::GroupService;
pub use health::{CheckRequest, CheckResponse, HealthServer, HealthService};
pub use node::{NodeIdentity, NodeService};
pub use registries::SchemaService;
pub use schema_status::SchemaStatusService;
pub use snapshot::SnapshotService;

use crate::api::schema::SchemaKey;
use crate::registry::{Kind, Registry};
use pipal_api::validate::Validate;
use tonic::Status;

/// Most keys of one request to the barrier or to the schema status.
const MAX_KEYS: usize = 10_000;

/// Checks the field rules of a request.
///
/// # Errors
/// `INVALID_ARGUMENT` with all broken rules.
pub fn validate(request: &impl Validate) -> Result<(), Status> {
    request.validate().map_err(|broken| Status::invalid_argument(broken.to_string()))
}

fn check_keys(keys: &[SchemaKey]) -> Result<(), Status> {
    match keys.len() <= MAX_KEYS {
        true => Ok(()),
        false => Err(Status::invalid_argument(format!("too many keys: max={MAX_KEYS}"))),
    }
}

/// The revision of what a key names; none when it does not exist or the kind is unknown.
fn revision_of(registry: &Registry, key: &SchemaKey) -> Option<i64> {
    registry.revision_of(Kind::from_barrier_name(&key.kind)?, &key.group, &key.name)
}
