//! `grpc.health.v1.Health`: the server as a whole is serving from the moment it listens (server surface 1.8).
//!
//! The service is written out by hand since the published crate knows neither List nor the texts that clients see.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt, wrappers::WatchStream};
use tonic::body::Body as ResponseBody;
use tonic::codegen::{Body, BoxFuture, Context, Poll, Service, StdError, http};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// `HealthCheckRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CheckRequest {
    /// Name of a service; empty for the server as a whole.
    #[prost(string, tag = "1")]
    pub service: String,
}

/// `HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CheckResponse {
    /// See [`ServingStatus`].
    #[prost(enumeration = "ServingStatus", tag = "1")]
    pub status: i32,
}

/// `HealthListRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListRequest {}

/// `HealthListResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListResponse {
    /// The status of each service by name.
    #[prost(map = "string, message", tag = "1")]
    pub statuses: HashMap<String, CheckResponse>,
}

/// `HealthCheckResponse.ServingStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ServingStatus {
    /// Never sent.
    Unknown = 0,
    /// The server answers.
    Serving = 1,
    /// Never sent: a server that stops closes its connections.
    NotServing = 2,
    /// There is no service of this name.
    ServiceUnknown = 3,
}

const SERVING: CheckResponse = CheckResponse { status: ServingStatus::Serving as i32 };
const SERVICE_UNKNOWN: CheckResponse = CheckResponse { status: ServingStatus::ServiceUnknown as i32 };

/// The three calls.
#[derive(Clone)]
pub struct HealthService {
    /// Becomes true when the server stops; watches end then.
    stopping: watch::Receiver<bool>,
}

type Watched = Pin<Box<dyn Stream<Item = Result<CheckResponse, Status>> + Send>>;

impl HealthService {
    /// A service whose watches end when `stopping` becomes true.
    pub fn new(stopping: watch::Receiver<bool>) -> Self {
        HealthService { stopping }
    }

    fn check(request: &CheckRequest) -> Result<CheckResponse, Status> {
        match request.service.as_str() {
            "" => Ok(SERVING),
            _ => Err(Status::not_found("unknown service")),
        }
    }

    fn list() -> ListResponse {
        ListResponse { statuses: HashMap::from([(String::new(), SERVING)]) }
    }

    fn watch(&self, request: &CheckRequest) -> Watched {
        let status = if request.service.is_empty() { SERVING } else { SERVICE_UNKNOWN };
        let open = WatchStream::new(self.stopping.clone()).take_while(|stopping| !stopping);
        let silent = open.filter_map(|_| None);
        Box::pin(tokio_stream::once(Ok(status)).chain(silent))
    }
}

/// Routes the calls of the service.
#[derive(Clone)]
pub struct HealthServer(pub HealthService);

impl NamedService for HealthServer {
    const NAME: &'static str = "grpc.health.v1.Health";
}

impl<B> Service<http::Request<B>> for HealthServer
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<ResponseBody>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let call = Call(self.0.clone());
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/grpc.health.v1.Health/Check" => {
                    let codec = ProstCodec::<CheckResponse, CheckRequest>::default();
                    Grpc::new(codec).unary(call, request).await
                }
                "/grpc.health.v1.Health/List" => {
                    let codec = ProstCodec::<ListResponse, ListRequest>::default();
                    Grpc::new(codec).unary(call, request).await
                }
                "/grpc.health.v1.Health/Watch" => {
                    let codec = ProstCodec::<CheckResponse, CheckRequest>::default();
                    Grpc::new(codec).server_streaming(call, request).await
                }
                _ => Status::unimplemented("").into_http(),
            })
        })
    }
}

/// One call, whichever it is.
struct Call(HealthService);

type Answer<T> = std::future::Ready<Result<Response<T>, Status>>;

impl UnaryService<CheckRequest> for Call {
    type Response = CheckResponse;
    type Future = Answer<CheckResponse>;

    fn call(&mut self, request: Request<CheckRequest>) -> Self::Future {
        std::future::ready(HealthService::check(request.get_ref()).map(Response::new))
    }
}

impl UnaryService<ListRequest> for Call {
    type Response = ListResponse;
    type Future = Answer<ListResponse>;

    fn call(&mut self, _request: Request<ListRequest>) -> Self::Future {
        std::future::ready(Ok(Response::new(HealthService::list())))
    }
}

impl ServerStreamingService<CheckRequest> for Call {
    type Response = CheckResponse;
    type ResponseStream = Watched;
    type Future = Answer<Watched>;

    fn call(&mut self, request: Request<CheckRequest>) -> Self::Future {
        std::future::ready(Ok(Response::new(self.0.watch(request.get_ref()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_watch_tells_once_and_ends_with_the_server() {
        let (stop, stopping) = watch::channel(false);
        let service = HealthService::new(stopping);
        let mut whole = service.watch(&CheckRequest::default());
        assert_eq!(whole.next().await.unwrap().unwrap(), SERVING);
        let mut part = service.watch(&CheckRequest { service: "banyandb.measure.v1.MeasureService".into() });
        assert_eq!(part.next().await.unwrap().unwrap(), SERVICE_UNKNOWN);
        stop.send_replace(true);
        assert!(whole.next().await.is_none());
        assert!(part.next().await.is_none());
    }

    #[test]
    fn only_the_server_as_a_whole_is_known() {
        assert_eq!(HealthService::check(&CheckRequest::default()).unwrap(), SERVING);
        let unknown = HealthService::check(&CheckRequest { service: "x".into() }).unwrap_err();
        assert_eq!((unknown.code(), unknown.message()), (tonic::Code::NotFound, "unknown service"));
        assert_eq!(HealthService::list().statuses[""], SERVING);
    }
}
