//! A layer around all services: a handler that panics costs its caller an `INTERNAL`, and nobody else anything.
//!
//! It also keeps the memory of an answer with the answer's bytes, and words the refusal of a message that is too large the way clients of the protocol know it (server
//! surface 1.10).

use crate::held::{HeldMemory, hold};
use crate::metrics::ServerMetrics;
use http_body::{Body as HttpBody, Frame, SizeHint};
use pipal_model::Reservation;
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::codegen::{Bytes, Service, http};
use tonic::{Code, Status};
use tower_layer::Layer;

/// How the text starts with which tonic refuses a message beyond the limit.
const TOO_LARGE: &str = "Error, decoded message length too large: found ";

/// Wraps services in [`Guarded`].
#[derive(Clone)]
pub struct Guard(pub Arc<ServerMetrics>);

/// A service that survives its handlers.
#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
    metrics: Arc<ServerMetrics>,
}

/// The future of a guarded call.
pub struct GuardedCall<F> {
    inner: Pin<Box<F>>,
    metrics: Arc<ServerMetrics>,
}

/// The body of a guarded response.
struct GuardedBody {
    /// None once it has ended or panicked.
    inner: Option<Body>,
    /// Memory of the answer until it is attached to the first bytes: a unary answer comes in one piece.
    memory: Option<Reservation>,
    metrics: Arc<ServerMetrics>,
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, metrics: self.0.clone() }
    }
}

impl<S, R> Service<R> for Guarded<S>
where
    S: Service<R, Response = http::Response<Body>>,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = GuardedCall<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        GuardedCall { inner: Box::pin(self.inner.call(request)), metrics: self.metrics.clone() }
    }
}

impl<F, E> Future for GuardedCall<F>
where
    F: Future<Output = Result<http::Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let metrics = self.metrics.clone();
        // After a panic the future is never polled again, so nothing sees what it left behind.
        let poll = catch_unwind(AssertUnwindSafe(|| self.inner.as_mut().poll(context)));
        match poll {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => Poll::Ready(result.map(|response| guarded(response, metrics))),
            Err(panic) => Poll::Ready(Ok(panicked(&metrics, &*panic).into_http())),
        }
    }
}

fn guarded(mut response: http::Response<Body>, metrics: Arc<ServerMetrics>) -> http::Response<Body> {
    reword(response.headers_mut());
    let memory = HeldMemory::take_from(response.extensions_mut());
    response.map(|body| Body::new(GuardedBody { inner: Some(body), memory, metrics }))
}

impl HttpBody for GuardedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(body) = self.inner.as_mut() else { return Poll::Ready(None) };
        let poll = catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(context)));
        match poll {
            Ok(Poll::Ready(Some(Ok(mut frame)))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    reword(trailers);
                }
                match self.memory.take_if(|_| frame.is_data()) {
                    Some(memory) => Poll::Ready(Some(Ok(frame.map_data(|bytes| hold(bytes, memory))))),
                    None => Poll::Ready(Some(Ok(frame))),
                }
            }
            Ok(poll) => poll,
            Err(panic) => {
                self.inner = None;
                let status = panicked(&self.metrics, &*panic);
                let mut trailers = http::HeaderMap::new();
                let written = status.add_header(&mut trailers);
                Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

fn panicked(metrics: &ServerMetrics, panic: &(dyn Any + Send)) -> Status {
    metrics.panics.with(&[]).add(1);
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(panic = %text, "a handler panicked");
    Status::internal(format!("a handler panicked: {text}"))
}

/// Words the refusal of a large message as `RESOURCE_EXHAUSTED`; leaves everything else as it is.
fn reword(headers: &mut http::HeaderMap) {
    let Some(status) = Status::from_header_map(headers) else { return };
    let Some(sizes) = status.message().strip_prefix(TOO_LARGE).filter(|_| status.code() == Code::OutOfRange)
    else {
        return;
    };
    let mut numbers = sizes.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let (found, limit) = (numbers.next().unwrap_or("?"), numbers.next().unwrap_or("?"));
    let text = format!("grpc: received message larger than max ({found} vs. {limit})");
    let reworded = Status::resource_exhausted(text);
    if let Err(error) = reworded.add_header(headers) {
        tracing::warn!(%error, "a status could not be reworded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that panics when it is read.
    struct Bomb;

    impl HttpBody for Bomb {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            panic!("boom in the body")
        }
    }

    fn call<F>(future: F, metrics: &Arc<ServerMetrics>) -> GuardedCall<F> {
        GuardedCall { inner: Box::pin(future), metrics: metrics.clone() }
    }

    type Outcome = Result<http::Response<Body>, std::convert::Infallible>;

    #[tokio::test]
    async fn a_panic_in_a_handler_is_internal_and_counted() {
        let metrics = Arc::new(ServerMetrics::default());
        let handler = async { if true { panic!("boom") } else { Outcome::Ok(http::Response::default()) } };
        let response = call(handler, &metrics).await.unwrap();
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!((status.code(), status.message()), (Code::Internal, "a handler panicked: boom"));
        assert_eq!(metrics.panics.with(&[]).get(), 1);
    }

    #[tokio::test]
    async fn a_panic_in_a_reply_stream_ends_it_with_a_status() {
        let metrics = Arc::new(ServerMetrics::default());
        let handler = async { Outcome::Ok(http::Response::new(Body::new(Bomb))) };
        let mut body = call(handler, &metrics).await.unwrap().into_body();
        let frame =
            std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await.unwrap().unwrap();
        let status = Status::from_header_map(frame.trailers_ref().unwrap()).unwrap();
        assert_eq!(status.code(), Code::Internal);
        let end = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        assert!(end.is_none());
    }

    #[test]
    fn a_message_that_is_too_large_is_told_in_known_words() {
        let text = format!("{TOO_LARGE}17000000 bytes, the limit is: 16777216 bytes");
        let mut headers = http::HeaderMap::new();
        Status::out_of_range(text).add_header(&mut headers).unwrap();
        reword(&mut headers);
        let status = Status::from_header_map(&headers).unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.message(), "grpc: received message larger than max (17000000 vs. 16777216)");
    }
}
