//! `pipal serve`: flags, environment, signals.
//!
//! Every flag may also be given as an environment variable `BYDB_` plus its name; the flag wins.

use crate::logging::{self, LoggingEnv};
use crate::node_host::{NodeHostProvider, node_host};
use crate::units::{parse_bytes, parse_duration};
use clap::{Args, ValueEnum};
use pipal_model::{Error, Result};
use pipal_server::serve::{AckLevel, ServeOptions, serve};
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Most threads that wait for disks at one time.
const BLOCKING_THREADS_MAX: usize = 64;

/// How long tasks may linger after the server has stopped.
const RUNTIME_STOP: Duration = Duration::from_millis(500);

/// When writers are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Ack {
    /// After the log was synced: survives power loss.
    Synced,
    /// After the log was written: survives the end of the process.
    Logged,
    /// Once the rows are visible.
    Received,
}

/// Flags of `pipal serve`.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Where everything is kept
    #[arg(long, env = "BYDB_DATA_DIR", default_value = "./pipal-data")]
    data_dir: PathBuf,
    /// Host of the gRPC listener; empty is every address of the machine
    #[arg(long, env = "BYDB_GRPC_HOST", default_value = "127.0.0.1")]
    grpc_host: String,
    /// Port of the gRPC listener
    #[arg(long, env = "BYDB_GRPC_PORT", default_value_t = 17912)]
    grpc_port: u16,
    /// Host of the HTTP gateway
    #[arg(long, env = "BYDB_HTTP_HOST", default_value = "127.0.0.1")]
    http_host: String,
    /// Port of the HTTP gateway
    #[arg(long, env = "BYDB_HTTP_PORT", default_value_t = 17913)]
    http_port: u16,
    /// Address of /metrics; empty does not serve it
    #[arg(long, env = "BYDB_OBSERVABILITY_LISTENER_ADDR", default_value = "127.0.0.1:2121")]
    observability_listener_addr: String,
    /// When writers are answered
    #[arg(long, env = "BYDB_ACK", value_enum, default_value_t = Ack::Synced)]
    ack: Ack,
    /// Memory that the process may use; 0 derives it from the container or the machine
    #[arg(long, visible_alias = "allowed-bytes", env = "BYDB_MEMORY_LIMIT", default_value = "0", value_parser = parse_bytes)]
    memory_limit: u64,
    /// Largest message that a client may send
    #[arg(long, env = "BYDB_MAX_RECV_MSG_SIZE", default_value = "16MiB", value_parser = parse_bytes)]
    max_recv_msg_size: u64,
    /// The version that clients compare for equality with those that they support
    #[arg(long, env = "BYDB_API_VERSION", default_value = "0.10")]
    api_version: String,
    /// How long writes and queries of measures wait for a schema that the client knows already
    #[arg(long, env = "BYDB_MEASURE_METADATA_CACHE_WAIT_DURATION", default_value = "0", value_parser = parse_duration)]
    measure_metadata_cache_wait_duration: Duration,
    /// Queries that take longer are logged; 0 logs none
    #[arg(long, env = "BYDB_SLOW_QUERY", default_value = "0", value_parser = parse_duration)]
    slow_query: Duration,
    /// Rows in memory older than this are flushed
    #[arg(long, env = "BYDB_MEASURE_FLUSH_TIMEOUT", default_value = "20s", value_parser = parse_duration)]
    measure_flush_timeout: Duration,
    /// A table that got no new part for this long is merged into few; 0 merges after every flush
    #[arg(long, env = "BYDB_MERGE_COOL_AGE", default_value = "1m", value_parser = parse_duration)]
    merge_cool_age: Duration,
    /// Used share of the volume, in percent, from which on writes are refused
    #[arg(long, env = "BYDB_MEASURE_RETENTION_HIGH_WATERMARK", default_value_t = 95, value_parser = clap::value_parser!(u8).range(0..=100))]
    measure_retention_high_watermark: u8,
    /// Expired segments are looked for this often
    #[arg(long, env = "BYDB_MEASURE_RETENTION_CHECK_INTERVAL", default_value = "1m", value_parser = parse_duration)]
    measure_retention_check_interval: Duration,
    /// Where the host part of the node's name comes from
    #[arg(long, env = "BYDB_NODE_HOST_PROVIDER", value_enum, default_value_t = NodeHostProvider::Hostname)]
    node_host_provider: NodeHostProvider,
    /// Host part of the node's name with the provider `flag`
    #[arg(long, env = "BYDB_NODE_HOST", default_value = "")]
    node_host: String,
    /// Labels of the node, k=v, separated by commas
    #[arg(long, env = "BYDB_NODE_LABELS", value_delimiter = ',')]
    node_labels: Vec<String>,
    /// Who reads the log
    #[arg(long, env = "BYDB_LOGGING_ENV", value_enum, default_value_t = LoggingEnv::Prod)]
    logging_env: LoggingEnv,
    /// Least level of log lines, or a filter such as info,pipal_engine=debug
    #[arg(long, env = "BYDB_LOGGING_LEVEL", default_value = "info")]
    logging_level: String,
}

impl ServeArgs {
    fn options(self) -> Result<ServeOptions> {
        let message_bytes_max = usize::try_from(self.max_recv_msg_size)
            .map_err(|_| Error::invalid("read options", "--max-recv-msg-size is too large"))?;
        Ok(ServeOptions {
            data_dir: self.data_dir,
            grpc_host: self.grpc_host,
            grpc_port: self.grpc_port,
            http_port: self.http_port,
            metrics_address: Some(self.observability_listener_addr).filter(|address| !address.is_empty()),
            ack: match self.ack {
                Ack::Synced => AckLevel::Synced,
                Ack::Logged => AckLevel::Logged,
                Ack::Received => AckLevel::Received,
            },
            memory_limit_bytes: Some(self.memory_limit).filter(|limit| *limit > 0),
            message_bytes_max,
            api_version: self.api_version,
            slow_query: Some(self.slow_query).filter(|limit| !limit.is_zero()),
            measure_schema_wait: self.measure_metadata_cache_wait_duration,
            flush_age: self.measure_flush_timeout,
            merge_cool_age: self.merge_cool_age,
            disk_high_watermark_percent: self.measure_retention_high_watermark,
            retention_interval: self.measure_retention_check_interval,
            node_host: node_host(self.node_host_provider, &self.node_host)?,
            node_labels: labels(&self.node_labels),
        })
    }
}

/// Labels of the form `k=v`; others are dropped (server surface 1.4).
fn labels(items: &[String]) -> HashMap<String, String> {
    let pairs = items.iter().filter_map(|item| item.split_once('='));
    pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

/// Runs a server until a signal asks it to stop.
///
/// # Errors
/// An option makes no sense, the data directory cannot be opened, a port is taken.
pub fn run(args: ServeArgs) -> Result<()> {
    logging::start(args.logging_env, &args.logging_level)?;
    let options = args.options()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("pipal")
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
        .map_err(|cause| Error::io("start runtime", "tokio", cause))?;
    let result = runtime.block_on(async { serve(options, stop_signal()?).await });
    runtime.shutdown_timeout(RUNTIME_STOP);
    result
}

/// Done with the first of the signals that mean a graceful stop (server surface 1.2).
fn stop_signal() -> Result<impl Future<Output = ()>> {
    let listen = |kind| signal(kind).map_err(|cause| Error::io("listen for", "signals", cause));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hangup = listen(SignalKind::hangup())?;
    let mut quit = listen(SignalKind::quit())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
            _ = quit.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        args: ServeArgs,
    }

    #[test]
    fn defaults_are_private_and_durable() {
        let options = Only::parse_from(["pipal"]).args.options().unwrap();
        assert_eq!(options.grpc_host, "127.0.0.1");
        assert_eq!(options.grpc_port, 17912);
        assert_eq!(options.metrics_address.as_deref(), Some("127.0.0.1:2121"));
        assert_eq!(options.ack, AckLevel::Synced);
        assert_eq!(options.message_bytes_max, 16 << 20);
        assert_eq!(options.api_version, "0.10");
        assert_eq!(options.memory_limit_bytes, None);
    }

    #[test]
    fn malformed_labels_are_dropped() {
        let args = ["pipal", "--node-labels", "zone=a,broken,tier = hot"];
        let options = Only::parse_from(args).args.options().unwrap();
        let expected = HashMap::from([("zone".into(), "a".into()), ("tier".into(), "hot".into())]);
        assert_eq!(options.node_labels, expected);
    }

    #[test]
    fn the_provider_flag_needs_the_flag() {
        assert!(Only::parse_from(["pipal", "--node-host-provider", "flag"]).args.options().is_err());
        let args = ["pipal", "--node-host-provider", "flag", "--node-host", "n1"];
        assert_eq!(Only::parse_from(args).args.options().unwrap().node_host, "n1");
    }
}
