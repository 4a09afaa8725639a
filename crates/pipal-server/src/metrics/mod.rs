//! What the process counts, under the names that dashboards of existing clients read (server surface 7.2).

mod family;
mod listener;
mod process;

pub use family::{Counter, Family, Unit, counter, gauge, header, sample};
pub use listener::serve_metrics;
pub use process::render_process;

use std::future::Future;
use std::time::Instant;
use tonic::Status;

/// Counters of calls: started, finished, failed, and the time that they took.
#[derive(Debug)]
pub struct Calls {
    started: Family,
    finished: Family,
    err: Family,
    latency: Family,
}

/// Counters of the messages of write streams.
#[derive(Debug)]
pub struct StreamMessages {
    /// Messages that arrived.
    pub received: Family,
    /// Messages that were refused.
    pub received_err: Family,
    /// Replies that went out.
    pub sent: Family,
    /// Replies that could not be sent.
    pub sent_err: Family,
}

/// All counters of the gRPC face.
#[derive(Debug)]
pub struct ServerMetrics {
    /// Calls to the registries: labels group, service, method.
    pub registry: Calls,
    /// Queries and other unary calls: labels group, service, method.
    pub unary: Calls,
    /// Write streams: labels service, method.
    pub streams: Calls,
    /// Messages of write streams: labels group, service, method.
    pub messages: StreamMessages,
    /// Rows of measures that were acknowledged and not kept since they do not fit their schema: label group.
    pub rows_dropped: Family,
    /// Handlers that panicked.
    pub panics: Family,
}

const CALL_LABELS: &[&str] = &["group", "service", "method"];
const STREAM_LABELS: &[&str] = &["service", "method"];

macro_rules! calls {
    ($prefix:literal, $labels:expr) => {
        Calls {
            started: Family::new(
                concat!("banyandb_liaison_grpc_total_", $prefix, "started"),
                Unit::Count,
                $labels,
            ),
            finished: Family::new(
                concat!("banyandb_liaison_grpc_total_", $prefix, "finished"),
                Unit::Count,
                $labels,
            ),
            err: Family::new(concat!("banyandb_liaison_grpc_total_", $prefix, "err"), Unit::Count, $labels),
            latency: Family::new(
                concat!("banyandb_liaison_grpc_total_", $prefix, "latency"),
                Unit::Seconds,
                $labels,
            ),
        }
    };
}

impl Default for ServerMetrics {
    fn default() -> Self {
        let message = |name| Family::new(name, Unit::Count, CALL_LABELS);
        ServerMetrics {
            registry: calls!("registry_", CALL_LABELS),
            unary: calls!("", CALL_LABELS),
            streams: calls!("stream_", STREAM_LABELS),
            messages: StreamMessages {
                received: message("banyandb_liaison_grpc_total_stream_msg_received"),
                received_err: message("banyandb_liaison_grpc_total_stream_msg_received_err"),
                sent: message("banyandb_liaison_grpc_total_stream_msg_sent"),
                sent_err: message("banyandb_liaison_grpc_total_stream_msg_sent_err"),
            },
            rows_dropped: Family::new("banyandb_measure_rows_dropped_total", Unit::Count, &["group"]),
            panics: Family::new("banyandb_liaison_grpc_total_panic", Unit::Count, &[]),
        }
    }
}

impl ServerMetrics {
    /// Appends all families in the Prometheus text format.
    pub fn render(&self, out: &mut String) {
        for calls in [&self.registry, &self.unary, &self.streams] {
            calls.render(out);
        }
        let messages = &self.messages;
        for family in [&messages.received, &messages.received_err, &messages.sent, &messages.sent_err] {
            family.render(out);
        }
        self.rows_dropped.render(out);
        self.panics.render(out);
    }
}

impl Calls {
    /// Runs a call and counts it. A call whose caller goes away counts as started only.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn observe<T>(
        &self,
        labels: &[&str],
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let started = Instant::now();
        self.started.with(labels).add(1);
        let result = call.await;
        self.end(labels, started, result.is_err());
        result
    }

    /// Counts the end of a call whose start was counted before.
    pub fn end(&self, labels: &[&str], started: Instant, failed: bool) {
        if failed {
            self.err.with(labels).add(1);
        }
        self.finished.with(labels).add(1);
        self.latency.with(labels).add(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts the start of a call.
    pub fn start(&self, labels: &[&str]) -> Instant {
        self.started.with(labels).add(1);
        Instant::now()
    }

    fn render(&self, out: &mut String) {
        for family in [&self.started, &self.finished, &self.err, &self.latency] {
            family.render(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_call_counts_as_finished_and_as_failed() {
        let metrics = ServerMetrics::default();
        let labels = ["g", "stream", "get"];
        let failed: Result<(), Status> = Err(Status::not_found("no"));
        assert!(metrics.registry.observe(&labels, std::future::ready(failed)).await.is_err());
        assert!(metrics.registry.observe(&labels, std::future::ready(Ok(()))).await.is_ok());
        let mut out = String::new();
        metrics.render(&mut out);
        let series = "{group=\"g\",service=\"stream\",method=\"get\"}";
        for (name, count) in [("started", 2), ("finished", 2), ("err", 1)] {
            let line = format!("banyandb_liaison_grpc_total_registry_{name}{series} {count}\n");
            assert!(out.contains(&line), "{line} is missing in\n{out}");
        }
    }
}
