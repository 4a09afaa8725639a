//! The generated face of `MeasureService`. `Write` never gets here, see [`crate::write::WriteRoutes`].

use crate::api::measure::measure_service_server::MeasureService;
use crate::api::measure::{
    DeleteExpiredSegmentsRequest, DeleteExpiredSegmentsResponse, InternalQueryRequest, InternalQueryResponse,
    QueryRequest, QueryResponse, TopNRequest, TopNResponse, WriteRequest, WriteResponse,
};
use crate::held::held;
use crate::metrics::ServerMetrics;
use crate::queries::Queries;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

/// Queries over gRPC.
pub struct MeasureFace {
    /// Answers them.
    pub queries: Queries,
    /// Counts them.
    pub metrics: Arc<ServerMetrics>,
}

#[tonic::async_trait]
impl MeasureService for MeasureFace {
    type WriteStream = tokio_stream::Empty<Result<WriteResponse, Status>>;

    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<QueryResponse>, Status> {
        let request = request.into_inner();
        let group = request.groups.first().cloned().unwrap_or_default();
        let call = self.queries.query(request);
        self.metrics.unary.observe(&[&group, "measure", "query"], call).await.map(held)
    }

    async fn write(
        &self,
        _: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        Err(Status::internal("write streams have a route of their own"))
    }

    async fn top_n(&self, request: Request<TopNRequest>) -> Result<Response<TopNResponse>, Status> {
        let request = request.into_inner();
        let group = request.groups.first().cloned().unwrap_or_default();
        let call = self.queries.top_n(request);
        self.metrics.unary.observe(&[&group, "measure", "topn"], call).await.map(held)
    }

    async fn internal_query(
        &self,
        _: Request<InternalQueryRequest>,
    ) -> Result<Response<InternalQueryResponse>, Status> {
        Err(not_implemented("InternalQuery"))
    }

    async fn delete_expired_segments(
        &self,
        _: Request<DeleteExpiredSegmentsRequest>,
    ) -> Result<Response<DeleteExpiredSegmentsResponse>, Status> {
        Err(not_implemented("DeleteExpiredSegments"))
    }
}

fn not_implemented(method: &str) -> Status {
    Status::unimplemented(format!("method {method} not implemented"))
}
