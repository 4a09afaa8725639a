//! The face of streams: `banyandb.stream.v1.StreamService`. `Write` never gets here, see [`crate::write::WriteRoutes`].

use crate::api::stream::stream_service_server::StreamService;
use crate::api::stream::{
    DeleteExpiredSegmentsRequest, DeleteExpiredSegmentsResponse, QueryRequest, QueryResponse, WriteRequest,
    WriteResponse,
};
use crate::held::held;
use crate::metrics::ServerMetrics;
use crate::queries::Queries;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

/// Queries over gRPC.
pub struct StreamFace {
    /// Answers them.
    pub queries: Queries,
    /// Counts them.
    pub metrics: Arc<ServerMetrics>,
}

#[tonic::async_trait]
impl StreamService for StreamFace {
    type WriteStream = tokio_stream::Empty<Result<WriteResponse, Status>>;

    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<QueryResponse>, Status> {
        let request = request.into_inner();
        let group = request.groups.first().cloned().unwrap_or_default();
        let call = self.queries.query(request);
        self.metrics.unary.observe(&[&group, "stream", "query"], call).await.map(held)
    }

    async fn write(
        &self,
        _: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        Err(Status::internal("write streams have a route of their own"))
    }

    async fn delete_expired_segments(
        &self,
        _: Request<DeleteExpiredSegmentsRequest>,
    ) -> Result<Response<DeleteExpiredSegmentsResponse>, Status> {
        Err(Status::unimplemented("method DeleteExpiredSegments not implemented"))
    }
}
