//! The life of one write stream: receive, commit, answer.
//!
//! The stream of replies drives the stream of requests, without a task or a channel between them: rejections
//! leave as soon as they are known, and the answers of 10,000 accepted points need no queue. When the client
//! goes away the replies are dropped, and what was accepted by then is committed all the same.

use super::codec::Reply;
use super::schemas::metric_labels;
use super::writer::{Accepted, Patience, StreamWriter, Verdict, WriteContext};
use crate::admission::gate::{SCHEMA_POLL_INTERVAL, longer_pause};
use bytes::Bytes;
use pipal_api::model::v1::Status as WriteStatus;
use pipal_api::write::Model;
use pipal_model::{Error, ErrorKind, Result};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::oneshot::{self, error::RecvError};
use tokio::time::{Instant, Sleep, sleep};
use tokio_stream::Stream;
use tonic::Status;

/// Messages taken before other work of the same thread gets its turn: about 0.1 ms.
const TURN_MESSAGES: u32 = 64;

/// A stream pauses this long between two looks at an engine that has no room.
const ROOM_PAUSE: Duration = Duration::from_millis(5);
/// A stream that has paused this long in all goes on: the engine will refuse it with a reason.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(5);

/// The replies of a write stream whose requests are `S`.
pub struct ReplyStream<S> {
    requests: S,
    writer: StreamWriter,
    state: State,
    /// How the call ends behind the replies; OK when there is none.
    end: Option<Status>,
    /// Messages since other work had its turn.
    turn: u32,
    /// How long the stream has paused for want of room.
    paused: Duration,
    started: std::time::Instant,
}

enum State {
    Receiving,
    /// The engine has no room for more rows.
    Pausing(Pin<Box<Sleep>>),
    /// The schema of this message is not there yet.
    Waiting(Wait),
    Committing(oneshot::Receiver<Result<()>>, Accepted),
    Replying(&'static str, Accepted),
    Finished,
}

struct Wait {
    message: Bytes,
    pause: Pin<Box<Sleep>>,
    interval: Duration,
    deadline: Instant,
}

impl WriteContext {
    /// The replies to a stream of encoded requests.
    pub fn replies<S>(context: &Arc<WriteContext>, model: Model, requests: S) -> ReplyStream<S> {
        ReplyStream {
            requests,
            writer: StreamWriter::new(context.clone(), model),
            state: State::Receiving,
            end: None,
            turn: 0,
            paused: Duration::ZERO,
            started: context.metrics.streams.start(&metric_labels(model)),
        }
    }
}

impl<S> ReplyStream<S> {
    /// A pause that gives rows in memory time to be flushed; none when the engine has room.
    fn room_pause(&mut self) -> Option<Pin<Box<Sleep>>> {
        if self.paused >= ROOM_WAIT_MAX || self.writer.context().sink.has_room() {
            return None;
        }
        self.paused += ROOM_PAUSE;
        Some(Box::pin(sleep(ROOM_PAUSE)))
    }

    /// Hands over what was accepted.
    fn commit(&mut self, end: Option<Status>) {
        self.end = end;
        let (batch, accepted, tapped) = self.writer.finish();
        let (done, outcome) = oneshot::channel();
        if batch.is_empty() {
            // Every accepted row was one that is not kept, or there was none.
            let _ = done.send(Ok(()));
        } else {
            // A client that left does not listen; the rows are committed all the same.
            let report = move |result| {
                tapped.committed(&result);
                drop(done.send(result));
            };
            self.writer.context().sink.commit(batch, Box::new(report));
        }
        self.state = State::Committing(outcome, accepted);
    }

    /// Lets the writer look at a message; a reply if the message is refused.
    fn take(&mut self, message: Bytes, wait: Option<Wait>) -> Option<Reply> {
        let out_of_patience = wait.as_ref().is_some_and(|wait| Instant::now() >= wait.deadline);
        let patience = if out_of_patience { Patience::Over } else { Patience::Left };
        match self.writer.take(&message, patience) {
            Verdict::Accepted => self.state = State::Receiving,
            Verdict::Refused(reply) => {
                self.state = State::Receiving;
                return Some(reply);
            }
            Verdict::Wait => {
                let patience = self.writer.context().schema_wait;
                self.state = State::Waiting(Wait::longer(message, wait, patience));
            }
            Verdict::Broken(status) => self.commit(Some(status)),
        }
        None
    }
}

impl Wait {
    /// The next pause for `message`, longer than that of the wait before it.
    fn longer(message: Bytes, before: Option<Wait>, patience: Duration) -> Self {
        let (interval, deadline) = match before {
            Some(wait) => (longer_pause(wait.interval), wait.deadline),
            None => (SCHEMA_POLL_INTERVAL, Instant::now() + patience),
        };
        let pause = interval.min(deadline.saturating_duration_since(Instant::now()));
        Wait { message, pause: Box::pin(sleep(pause)), interval, deadline }
    }
}

/// The client went away: what it has had accepted is committed, and nobody is told.
impl<S> Drop for ReplyStream<S> {
    fn drop(&mut self) {
        if !matches!(self.state, State::Receiving | State::Pausing(_) | State::Waiting(_)) {
            return;
        }
        let (batch, accepted, tapped) = self.writer.finish();
        if batch.is_empty() {
            return;
        }
        let rows = accepted.len();
        let report = move |result: Result<()>| {
            tapped.committed(&result);
            match result {
                Ok(()) => tracing::debug!(rows, "stored the rows of a write stream that was broken off"),
                Err(error) => {
                    tracing::warn!(rows, %error, "lost the rows of a write stream that was broken off")
                }
            }
        };
        self.writer.context().sink.commit(batch, Box::new(report));
    }
}

/// The status that answers every accepted message (measure specification 2.4, row 8).
fn outcome_status(outcome: Result<Result<()>, RecvError>, rows: usize) -> WriteStatus {
    let error = match outcome {
        Ok(Ok(())) => return WriteStatus::Succeed,
        Ok(Err(error)) => error,
        Err(_) => Error::internal("commit rows", "the outcome was lost"),
    };
    tracing::warn!(rows, %error, "write stream failed");
    match error.kind() {
        ErrorKind::DiskFull => WriteStatus::DiskFull,
        _ => WriteStatus::InternalError,
    }
}

impl<S> Stream for ReplyStream<S>
where
    S: Stream<Item = std::result::Result<Bytes, Status>> + Unpin,
{
    type Item = std::result::Result<Reply, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Receiving => {
                    if this.turn == TURN_MESSAGES {
                        this.turn = 0;
                        let Some(pause) = this.room_pause() else {
                            cx.waker().wake_by_ref();
                            return Poll::Pending;
                        };
                        this.state = State::Pausing(pause);
                        continue;
                    }
                    this.turn += 1;
                    match ready!(Pin::new(&mut this.requests).poll_next(cx)) {
                        Some(Ok(message)) => {
                            if let Some(reply) = this.take(message, None) {
                                return Poll::Ready(Some(Ok(reply)));
                            }
                        }
                        Some(Err(status)) => this.commit(Some(status)),
                        None => this.commit(None),
                    }
                }
                State::Pausing(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    this.state = State::Receiving;
                }
                State::Waiting(wait) => {
                    ready!(wait.pause.as_mut().poll(cx));
                    let State::Waiting(wait) = std::mem::replace(&mut this.state, State::Receiving) else {
                        continue;
                    };
                    if let Some(reply) = this.take(wait.message.clone(), Some(wait)) {
                        return Poll::Ready(Some(Ok(reply)));
                    }
                }
                State::Committing(outcome, accepted) => {
                    let result = ready!(Pin::new(outcome).poll(cx));
                    this.writer.settle();
                    let status = outcome_status(result, accepted.len());
                    this.state = State::Replying(status.as_str_name(), std::mem::take(accepted));
                }
                State::Replying(status, accepted) => {
                    let Some((message_id, metadata)) = accepted.next() else {
                        this.state = State::Finished;
                        let metrics = &this.writer.context().metrics;
                        let labels = metric_labels(this.writer.model());
                        metrics.streams.end(&labels, this.started, this.end.is_some());
                        return Poll::Ready(this.end.take().map(Err));
                    };
                    return Poll::Ready(Some(Ok(Reply { message_id, status, metadata })));
                }
                State::Finished => return Poll::Ready(None),
            }
        }
    }
}
