//! The generated face of `PropertyService`.

use super::changes::PropertyChanges;
use super::queries::PropertyQueries;
use crate::api::property::property_service_server::PropertyService;
use crate::api::property::{
    ApplyRequest, ApplyResponse, DeleteRequest, DeleteResponse, QueryRequest, QueryResponse,
};
use crate::held::held;
use crate::metrics::ServerMetrics;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Properties over gRPC.
pub struct PropertyFace {
    /// Answers queries.
    pub queries: PropertyQueries,
    /// Makes changes.
    pub changes: PropertyChanges,
    /// Counts both.
    pub metrics: Arc<ServerMetrics>,
}

const SERVICE: &str = "property";

#[tonic::async_trait]
impl PropertyService for PropertyFace {
    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyResponse>, Status> {
        let request = request.into_inner();
        let metadata = request.property.as_ref().and_then(|property| property.metadata.as_ref());
        let group = metadata.map_or_else(String::new, |metadata| metadata.group.clone());
        let call = self.changes.apply(request);
        self.metrics.unary.observe(&[&group, SERVICE, "apply"], call).await.map(Response::new)
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        let request = request.into_inner();
        let group = request.group.clone();
        let call = self.changes.delete(request);
        self.metrics.unary.observe(&[&group, SERVICE, "delete"], call).await.map(Response::new)
    }

    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<QueryResponse>, Status> {
        let request = request.into_inner();
        let group = request.groups.first().cloned().unwrap_or_default();
        let call = self.queries.query(request);
        self.metrics.unary.observe(&[&group, SERVICE, "query"], call).await.map(held)
    }
}
