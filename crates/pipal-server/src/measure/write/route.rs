//! Routes `Write` past the generated code, which would decode every point into a tree of structs.

use super::codec::{Reply, WriteCodec};
use super::stream::ReplyStream;
use super::writer::WriteContext;
use bytes::Bytes;
use pipal_api::measure::v1::measure_service_server::{MeasureService, MeasureServiceServer};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::codec::CompressionEncoding;
use tonic::codegen::{Body, BoxFuture, Service, StdError, http};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};

const WRITE_PATH: &str = "/banyandb.measure.v1.MeasureService/Write";

/// The measure service: `Write` takes raw messages, every other method the generated way.
pub struct MeasureRoutes<T> {
    generated: MeasureServiceServer<T>,
    write: WriteRoute,
}

impl<T: MeasureService> MeasureRoutes<T> {
    /// Puts the write route in front of the generated service. A message of more than `message_bytes_max` ends
    /// its stream.
    pub fn new(service: Arc<T>, context: Arc<WriteContext>, message_bytes_max: usize) -> Self {
        let generated = MeasureServiceServer::from_arc(service)
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(message_bytes_max);
        MeasureRoutes { generated, write: WriteRoute { context, message_bytes_max } }
    }
}

impl<T> Clone for MeasureRoutes<T> {
    fn clone(&self) -> Self {
        MeasureRoutes { generated: self.generated.clone(), write: self.write.clone() }
    }
}

impl<T: MeasureService> NamedService for MeasureRoutes<T> {
    const NAME: &'static str = <MeasureServiceServer<T> as NamedService>::NAME;
}

impl<T, B> Service<http::Request<B>> for MeasureRoutes<T>
where
    T: MeasureService,
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        if request.uri().path() != WRITE_PATH {
            return self.generated.call(request);
        }
        let route = self.write.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(WriteCodec)
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(route.message_bytes_max);
            Ok(grpc.streaming(route, request).await)
        })
    }
}

/// Starts the writer of each stream.
#[derive(Clone)]
struct WriteRoute {
    context: Arc<WriteContext>,
    message_bytes_max: usize,
}

impl StreamingService<Bytes> for WriteRoute {
    type Response = Reply;
    type ResponseStream = ReplyStream<Streaming<Bytes>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        std::future::ready(Ok(Response::new(WriteContext::replies(&self.context, request.into_inner()))))
    }
}

#[cfg(test)]
mod tests;
