//! Which groups take properties (property specification, 1.3).

use crate::api::common::Catalog;
use crate::registry::{GroupState, Registry};
use pipal_query::property::PropertyGroup;
use std::sync::Arc;
use tonic::Status;

/// A group that properties may be applied to, deleted from and queried in.
///
/// # Errors
/// `UNKNOWN` when there is no such group or it is one of another catalog, `FAILED_PRECONDITION` when it is being
/// deleted.
pub fn property_group(registry: &Registry, name: &str) -> Result<Arc<GroupState>, Status> {
    let group = registry.group(name).ok_or_else(|| Status::unknown(format!("group {name} not found")))?;
    if group.is_deleting() {
        return Err(Status::failed_precondition(format!("group {name} is pending deletion")));
    }
    if group.catalog() != Catalog::Property as i32 {
        return Err(Status::unknown(format!("group {name} is not allowed to have properties")));
    }
    match &group.definition.resource_opts {
        None => Err(Status::unknown(format!("group {name} has no resource options"))),
        Some(options) if options.shard_num == 0 => {
            Err(Status::unknown(format!("group {name} has no shard number")))
        }
        Some(_) => Ok(group),
    }
}

/// What reading and writing the documents of a group needs.
pub fn target_of(group: &GroupState) -> PropertyGroup {
    PropertyGroup { id: group.id, name: group.name().into(), shard_num: group.options.shard_num }
}
