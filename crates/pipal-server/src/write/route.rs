//! Routes `Write` past the generated code, which would decode every point into a tree of structs.

use super::codec::{Reply, WriteCodec};
use super::stream::ReplyStream;
use super::writer::WriteContext;
use bytes::Bytes;
use pipal_api::write::Model;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::codec::CompressionEncoding;
use tonic::codegen::{Body, BoxFuture, Service, StdError, http};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};

/// A service of a model: `Write` takes raw messages, every other method the generated way.
#[derive(Clone)]
pub struct WriteRoutes<G> {
    generated: G,
    path: Arc<str>,
    write: WriteRoute,
}

impl<G: NamedService> WriteRoutes<G> {
    /// Puts the write route in front of the generated service. A message of more than `message_bytes_max` ends
    /// its stream.
    pub fn new(model: Model, generated: G, context: Arc<WriteContext>, message_bytes_max: usize) -> Self {
        let path = format!("/{}/Write", G::NAME).into();
        WriteRoutes { generated, path, write: WriteRoute { model, context, message_bytes_max } }
    }
}

impl<G: NamedService> NamedService for WriteRoutes<G> {
    const NAME: &'static str = G::NAME;
}

impl<G, B> Service<http::Request<B>> for WriteRoutes<G>
where
    G: Service<http::Request<B>, Response = http::Response<tonic::body::Body>, Error = Infallible>,
    G::Future: Send + 'static,
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
        if request.uri().path() != &*self.path {
            return Box::pin(self.generated.call(request));
        }
        let route = self.write.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(WriteCodec(route.model))
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(route.message_bytes_max);
            Ok(grpc.streaming(route, request).await)
        })
    }
}

/// Starts the writer of each stream.
#[derive(Clone)]
struct WriteRoute {
    model: Model,
    context: Arc<WriteContext>,
    message_bytes_max: usize,
}

impl StreamingService<Bytes> for WriteRoute {
    type Response = Reply;
    type ResponseStream = ReplyStream<Streaming<Bytes>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        std::future::ready(Ok(Response::new(WriteContext::replies(
            &self.context,
            self.model,
            request.into_inner(),
        ))))
    }
}

#[cfg(test)]
mod tests;
