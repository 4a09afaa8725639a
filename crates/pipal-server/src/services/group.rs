//! The registry of groups: schema calls, Inspect, and deletion as a task.

use super::node::NodeIdentity;
use super::validate;
use crate::api::common::{Catalog, Group};
use crate::api::database::group_registry_service_server::GroupRegistryService;
use crate::api::database::{
    DataInfo, GroupRegistryServiceCreateRequest, GroupRegistryServiceCreateResponse,
    GroupRegistryServiceDeleteRequest, GroupRegistryServiceDeleteResponse, GroupRegistryServiceExistRequest,
    GroupRegistryServiceExistResponse, GroupRegistryServiceGetRequest, GroupRegistryServiceGetResponse,
    GroupRegistryServiceInspectRequest, GroupRegistryServiceInspectResponse, GroupRegistryServiceListRequest,
    GroupRegistryServiceListResponse, GroupRegistryServiceQueryRequest, GroupRegistryServiceQueryResponse,
    GroupRegistryServiceUpdateRequest, GroupRegistryServiceUpdateResponse, LiaisonInfo, SegmentInfo,
    ShardInfo,
};
use crate::metrics::ServerMetrics;
use crate::registry::{DeleteGroup, Deletion, Inspection, Registry};
use crate::status::SchemaError;
use crate::time_text::rfc3339;
use pipal_engine::{GroupData, SegmentData, ShardData};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Label of the service in metrics.
const SERVICE: &str = "group";

/// The registry of groups on one node.
#[derive(Clone)]
pub struct GroupService {
    registry: Registry,
    identity: Arc<NodeIdentity>,
    metrics: Arc<ServerMetrics>,
}

impl GroupService {
    /// A service over this registry.
    pub fn new(registry: Registry, identity: Arc<NodeIdentity>, metrics: Arc<ServerMetrics>) -> Self {
        GroupService { registry, identity, metrics }
    }

    fn group(&self, name: &str) -> Result<Group, Status> {
        named(name)?;
        let state = self.registry.group(name).ok_or(SchemaError::NotFound)?;
        Ok(Group::clone(&state.definition))
    }

    /// The reply of Inspect. Groups of properties show no rows (server surface 2.8).
    fn inspected(&self, inspection: Inspection) -> GroupRegistryServiceInspectResponse {
        let Inspection { group, schemas, data } = inspection;
        let holds_rows = group.catalog() != Catalog::Property as i32;
        GroupRegistryServiceInspectResponse {
            group: Some(Group::clone(&group.definition)),
            schema_info: Some(schemas),
            data_info: if holds_rows { vec![self.data_info(&data)] } else { Vec::new() },
            liaison_info: if holds_rows { vec![LiaisonInfo::default()] } else { Vec::new() },
        }
    }

    fn data_info(&self, data: &GroupData) -> DataInfo {
        DataInfo {
            node: Some(self.identity.node()),
            segment_info: data.segments.iter().map(segment_info).collect(),
            data_size_bytes: signed(data.bytes()),
        }
    }
}

fn segment_info(segment: &SegmentData) -> SegmentInfo {
    let (start, end) = (segment.bounds.start, segment.bounds.end);
    SegmentInfo {
        segment_id: format!("{start}-{end}"),
        time_range_start: rfc3339(start),
        time_range_end: rfc3339(end),
        shard_info: segment.shards.iter().map(shard_info).collect(),
        series_index_info: None,
    }
}

fn shard_info(shard: &ShardData) -> ShardInfo {
    ShardInfo {
        shard_id: shard.shard,
        data_count: signed(shard.rows),
        data_size_bytes: signed(shard.bytes),
        part_count: signed(shard.file_parts + shard.memory_runs),
        file_part_count: signed(shard.file_parts),
        ..ShardInfo::default()
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn named(group: &str) -> Result<(), Status> {
    match group.is_empty() {
        true => Err(Status::invalid_argument("group is required")),
        false => Ok(()),
    }
}

fn missing() -> Status {
    Status::invalid_argument("group is required")
}

#[tonic::async_trait]
impl GroupRegistryService for GroupService {
    async fn create(
        &self,
        request: Request<GroupRegistryServiceCreateRequest>,
    ) -> Result<Response<GroupRegistryServiceCreateResponse>, Status> {
        let request = request.into_inner();
        validate(&request)?;
        let call = async { Ok(self.registry.create_group(request.group.ok_or_else(missing)?).await?) };
        let mod_revision = self.metrics.registry.observe(&["", SERVICE, "create"], call).await?;
        Ok(Response::new(GroupRegistryServiceCreateResponse { mod_revision }))
    }

    async fn update(
        &self,
        request: Request<GroupRegistryServiceUpdateRequest>,
    ) -> Result<Response<GroupRegistryServiceUpdateResponse>, Status> {
        let request = request.into_inner();
        validate(&request)?;
        let call = async { Ok(self.registry.update_group(request.group.ok_or_else(missing)?).await?) };
        let mod_revision = self.metrics.registry.observe(&["", SERVICE, "update"], call).await?;
        Ok(Response::new(GroupRegistryServiceUpdateResponse { mod_revision }))
    }

    async fn delete(
        &self,
        request: Request<GroupRegistryServiceDeleteRequest>,
    ) -> Result<Response<GroupRegistryServiceDeleteResponse>, Status> {
        let request = request.into_inner();
        let group = request.group.clone();
        let call = async {
            named(&request.group)?;
            let GroupRegistryServiceDeleteRequest { group, dry_run, force, data_only } = request;
            Ok(self.registry.delete_group(DeleteGroup { group, dry_run, force, data_only }).await?)
        };
        let schema_info = match self.metrics.registry.observe(&[&group, SERVICE, "delete"], call).await? {
            Deletion::Planned(schema_info) => Some(schema_info),
            Deletion::Started => None,
        };
        let response = GroupRegistryServiceDeleteResponse { schema_info, ..Default::default() };
        Ok(Response::new(response))
    }

    async fn get(
        &self,
        request: Request<GroupRegistryServiceGetRequest>,
    ) -> Result<Response<GroupRegistryServiceGetResponse>, Status> {
        let call = async { self.group(&request.into_inner().group) };
        let group = self.metrics.registry.observe(&["", SERVICE, "get"], call).await?;
        Ok(Response::new(GroupRegistryServiceGetResponse { group: Some(group) }))
    }

    async fn list(
        &self,
        _request: Request<GroupRegistryServiceListRequest>,
    ) -> Result<Response<GroupRegistryServiceListResponse>, Status> {
        let call = async {
            let groups = self.registry.groups();
            Ok(groups.iter().map(|state| Group::clone(&state.definition)).collect())
        };
        let group = self.metrics.registry.observe(&["", SERVICE, "list"], call).await?;
        Ok(Response::new(GroupRegistryServiceListResponse { group }))
    }

    async fn exist(
        &self,
        request: Request<GroupRegistryServiceExistRequest>,
    ) -> Result<Response<GroupRegistryServiceExistResponse>, Status> {
        let group = request.into_inner().group;
        let call = async {
            named(&group)?;
            Ok(self.registry.group(&group).is_some())
        };
        let has_group = self.metrics.registry.observe(&["", SERVICE, "exist"], call).await?;
        Ok(Response::new(GroupRegistryServiceExistResponse { has_group }))
    }

    async fn inspect(
        &self,
        request: Request<GroupRegistryServiceInspectRequest>,
    ) -> Result<Response<GroupRegistryServiceInspectResponse>, Status> {
        let group = request.into_inner().group;
        let call = async {
            named(&group)?;
            Ok(self.registry.inspect(&group).await?)
        };
        let inspection = self.metrics.registry.observe(&[&group, SERVICE, "inspect"], call).await?;
        Ok(Response::new(self.inspected(inspection)))
    }

    async fn query(
        &self,
        request: Request<GroupRegistryServiceQueryRequest>,
    ) -> Result<Response<GroupRegistryServiceQueryResponse>, Status> {
        let group = request.into_inner().group;
        let call = async {
            named(&group)?;
            let task = self.registry.deletion_task(&group);
            task.ok_or_else(|| Status::unknown(format!("deletion task for group {group} not found")))
        };
        let task = self.metrics.registry.observe(&[&group, SERVICE, "query"], call).await?;
        Ok(Response::new(GroupRegistryServiceQueryResponse { task: Some(task) }))
    }
}
