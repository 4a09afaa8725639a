//! Who this server is: version, node, cluster state (server surface 1.4, 2.10).

use crate::api::common::service_server::Service as VersionService;
use crate::api::common::{ApiVersion, GetApiVersionRequest, GetApiVersionResponse, Metadata};
use crate::api::database::cluster_state_service_server::ClusterStateService;
use crate::api::database::node_query_service_server::NodeQueryService;
use crate::api::database::{
    GetClusterStateRequest, GetClusterStateResponse, GetCurrentNodeRequest, GetCurrentNodeResponse, Node,
    Role,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;
use tonic::{Request, Response, Status};

/// The node that a process is.
#[derive(Clone, Debug)]
pub struct NodeIdentity {
    /// `<host>:<grpc port>`: the name and the gRPC address.
    pub name: String,
    /// `<host>:<http port>`.
    pub http_address: String,
    /// Labels that the operator gave.
    pub labels: HashMap<String, String>,
    /// Start of the process.
    pub created_at: SystemTime,
}

impl NodeIdentity {
    /// The node as a message, with all three roles: one process is the whole database.
    pub fn node(&self) -> Node {
        Node {
            metadata: Some(Metadata { name: self.name.clone(), ..Metadata::default() }),
            roles: vec![Role::Meta as i32, Role::Data as i32, Role::Liaison as i32],
            grpc_address: self.name.clone(),
            http_address: self.http_address.clone(),
            created_at: Some(self.created_at.into()),
            labels: self.labels.clone(),
            ..Node::default()
        }
    }
}

/// Answers for the node and its version.
#[derive(Clone)]
pub struct NodeService {
    identity: Arc<NodeIdentity>,
    api_version: Arc<str>,
}

impl NodeService {
    /// A service for this node. Clients compare `api_version` for equality with what they support.
    pub fn new(identity: Arc<NodeIdentity>, api_version: &str) -> Self {
        NodeService { identity, api_version: api_version.into() }
    }
}

#[tonic::async_trait]
impl VersionService for NodeService {
    async fn get_api_version(
        &self,
        _request: Request<GetApiVersionRequest>,
    ) -> Result<Response<GetApiVersionResponse>, Status> {
        let revision = concat!("pipal-", env!("CARGO_PKG_VERSION")).to_owned();
        let version = ApiVersion { version: self.api_version.to_string(), revision };
        Ok(Response::new(GetApiVersionResponse { version: Some(version) }))
    }
}

#[tonic::async_trait]
impl NodeQueryService for NodeService {
    async fn get_current_node(
        &self,
        _request: Request<GetCurrentNodeRequest>,
    ) -> Result<Response<GetCurrentNodeResponse>, Status> {
        Ok(Response::new(GetCurrentNodeResponse { node: Some(self.identity.node()) }))
    }
}

#[tonic::async_trait]
impl ClusterStateService for NodeService {
    async fn get_cluster_state(
        &self,
        _request: Request<GetClusterStateRequest>,
    ) -> Result<Response<GetClusterStateResponse>, Status> {
        Ok(Response::new(GetClusterStateResponse::default()))
    }
}
