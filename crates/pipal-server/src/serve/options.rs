//! What an operator can set for a server process.

use pipal_engine::{AckLevel, EngineOptions};
use pipal_model::MemoryLedger;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

/// Options of a server process. Sizes are bytes.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Where everything is kept. Made if it is absent.
    pub data_dir: PathBuf,
    /// Host of the gRPC listener.
    pub grpc_host: String,
    /// Port of the gRPC listener; 0 takes a free one.
    pub grpc_port: u16,
    /// Port of the HTTP gateway, as the node tells it.
    pub http_port: u16,
    /// `host:port` of `/metrics`; none does not serve it.
    pub metrics_address: Option<String>,
    /// When writers are answered.
    pub ack: AckLevel,
    /// Memory that the process may use; none derives it from the container or the machine.
    pub memory_limit_bytes: Option<u64>,
    /// Largest message that a client may send.
    pub message_bytes_max: usize,
    /// The version that clients compare for equality.
    pub api_version: String,
    /// Queries that take longer are logged; none logs no query.
    pub slow_query: Option<Duration>,
    /// How long writes and queries of measures wait for a schema that the client knows already.
    pub measure_schema_wait: Duration,
    /// Rows in memory older than this are flushed.
    pub flush_age: Duration,
    /// A table that got no new part for this long is merged into few.
    pub merge_cool_age: Duration,
    /// Share of the volume, in percent, from which on writes are refused.
    pub disk_high_watermark_percent: u8,
    /// Expired segments are looked for this often.
    pub retention_interval: Duration,
    /// Host part of the node's name.
    pub node_host: String,
    /// Labels of the node.
    pub node_labels: HashMap<String, String>,
}

/// Limits below this shrink the engine's budgets in proportion; above it they are as large as is useful.
const FULL_BUDGET_BYTES: u64 = 512 << 20;

/// Bytes of all open write streams, unless memory is short.
const WRITE_STREAMS_BYTES_MAX: usize = 256 << 20;
/// Bytes of the open windows of Top-N aggregations, unless memory is short.
const TOP_N_BYTES_MAX: usize = 32 << 20;
/// Running queries share at least this much, whatever the limit, ...
const QUERIES_BYTES_MIN: usize = 32 << 20;
/// ... and at most this much.
const QUERIES_BYTES_MAX: usize = 4 << 30;

/// Schema objects have a quarter of the limit, but at least this much (the busiest known client needs 37 MiB), ...
const SCHEMAS_BYTES_MIN: usize = 64 << 20;
/// ... and at most this much.
const SCHEMAS_BYTES_MAX: usize = 1 << 30;
/// The least budget that lets the engine work.
const BUDGET_FLOOR_BYTES: usize = 4 << 20;
/// The least limit of the whole process.
const LEDGER_FLOOR_BYTES: usize = 96 << 20;

impl ServeOptions {
    /// A server of this data directory alone on free ports of this machine, as tests want it.
    pub fn local(data_dir: impl Into<PathBuf>) -> Self {
        ServeOptions {
            data_dir: data_dir.into(),
            grpc_host: "127.0.0.1".to_owned(),
            grpc_port: 0,
            http_port: 0,
            metrics_address: Some("127.0.0.1:0".to_owned()),
            ack: AckLevel::Synced,
            memory_limit_bytes: None,
            message_bytes_max: 16 << 20,
            api_version: "0.10".to_owned(),
            slow_query: None,
            measure_schema_wait: Duration::ZERO,
            flush_age: Duration::from_secs(20),
            merge_cool_age: Duration::from_secs(60),
            disk_high_watermark_percent: 95,
            retention_interval: Duration::from_secs(60),
            node_host: "localhost".to_owned(),
            node_labels: HashMap::new(),
        }
    }

    fn memory_limit(&self) -> u64 {
        self.memory_limit_bytes.unwrap_or_else(default_memory_limit)
    }

    fn quarter(&self) -> usize {
        usize::try_from(self.memory_limit() / 4).unwrap_or(usize::MAX)
    }

    /// The memory of the process. Its shares may add up to more than the limit; then the limit decides.
    pub fn ledger(&self) -> MemoryLedger {
        MemoryLedger::new(usize::try_from(self.memory_limit()).unwrap_or(usize::MAX).max(LEDGER_FLOOR_BYTES))
    }

    /// What this means for an engine that uses `memory`.
    pub fn engine(&self, memory: &MemoryLedger) -> EngineOptions {
        let defaults = EngineOptions::default();
        let limit = self.memory_limit();
        let scaled = |bytes: usize| scale(bytes, limit);
        EngineOptions {
            ack: self.ack,
            memory: memory.clone(),
            table_memory_bytes_max: scaled(defaults.table_memory_bytes_max),
            memory_bytes_max: scaled(defaults.memory_bytes_max),
            queue_bytes_max: scaled(defaults.queue_bytes_max),
            cache_bytes_max: scaled(defaults.cache_bytes_max),
            part_writers_bytes_max: scaled(defaults.part_writers_bytes_max),
            flush_age_ms: millis(self.flush_age),
            merge_cool_age_ms: millis(self.merge_cool_age),
            disk_high_watermark_percent: self.disk_high_watermark_percent,
            disk_low_watermark_percent: defaults
                .disk_low_watermark_percent
                .min(self.disk_high_watermark_percent),
            retention_interval_ms: millis(self.retention_interval).max(1_000),
            ..defaults
        }
    }

    /// Bytes that all running queries and answers on their way out may hold: a quarter of the limit.
    pub fn queries_bytes_max(&self) -> usize {
        self.quarter().clamp(QUERIES_BYTES_MIN, QUERIES_BYTES_MAX)
    }

    /// Bytes that all schema objects may hold: a quarter of the limit.
    pub fn schemas_bytes_max(&self) -> usize {
        self.quarter().clamp(SCHEMAS_BYTES_MIN, SCHEMAS_BYTES_MAX)
    }

    /// Bytes that all open write streams may hold.
    pub fn write_streams_bytes_max(&self) -> usize {
        scale(WRITE_STREAMS_BYTES_MAX, self.memory_limit())
    }

    /// Bytes that the open windows of all Top-N aggregations may hold.
    pub fn top_n_bytes_max(&self) -> usize {
        scale(TOP_N_BYTES_MAX, self.memory_limit_bytes.unwrap_or_else(default_memory_limit))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn scale(bytes: usize, limit: u64) -> usize {
    let share = bytes as u128 * u128::from(limit.min(FULL_BUDGET_BYTES)) / u128::from(FULL_BUDGET_BYTES);
    // A share of a usize fits a usize.
    (share as usize).max(BUDGET_FLOOR_BYTES.min(bytes))
}

/// Three quarters of what the container allows, else of what the machine has.
fn default_memory_limit() -> u64 {
    let container = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let container =
        container.iter().find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    let available = container.unwrap_or(u64::MAX).min(machine_memory().unwrap_or(FULL_BUDGET_BYTES));
    available / 4 * 3
}

fn machine_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_shrink_with_the_limit_and_never_vanish() {
        assert_eq!(scale(64 << 20, u64::MAX), 64 << 20);
        assert_eq!(scale(64 << 20, 256 << 20), 32 << 20);
        assert_eq!(scale(64 << 20, 0), BUDGET_FLOOR_BYTES);
        assert_eq!(scale(1 << 10, 0), 1 << 10);
    }

    /// Inside 256 MiB the server has 192 MiB for what it counts.
    #[test]
    fn a_small_limit_leaves_every_share_what_its_work_needs() {
        let options = ServeOptions { memory_limit_bytes: Some(192 << 20), ..ServeOptions::local("data") };
        let ledger = options.ledger();
        let engine = options.engine(&ledger);
        assert_eq!(ledger.limit(), 192 << 20);
        let mib = [
            engine.memory_bytes_max,
            engine.queue_bytes_max,
            engine.cache_bytes_max,
            engine.part_writers_bytes_max,
            options.write_streams_bytes_max(),
            options.queries_bytes_max(),
            options.schemas_bytes_max(),
        ];
        assert_eq!(mib.map(|bytes| bytes >> 20), [24, 96, 12, 48, 96, 48, 64]);
        let none = ServeOptions { memory_limit_bytes: Some(0), ..options };
        assert_eq!(none.ledger().limit(), LEDGER_FLOOR_BYTES);
    }
}
