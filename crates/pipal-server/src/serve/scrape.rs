//! The text of one scrape of `/metrics`: calls, engine, process.

use crate::metrics::{ServerMetrics, counter, gauge, header, render_process, sample};
use pipal_engine::{Engine, EngineStats};
use pipal_model::{MemoryLedger, ShareUse};
use std::time::Instant;

/// Renders everything. Families of the engine have the names that dashboards read where one number says the
/// same, summed over groups; the rest is under `banyandb_engine_`.
pub fn render(metrics: &ServerMetrics, engine: &Engine, ledger: &MemoryLedger, started: Instant) -> String {
    let mut out = String::with_capacity(16 << 10);
    metrics.render(&mut out);
    render_engine(&mut out, &engine.stats());
    render_memory(&mut out, ledger);
    render_process(&mut out, started);
    out
}

fn render_engine(out: &mut String, stats: &EngineStats) {
    let counters = &stats.counters;
    let seconds = |micros: u64| micros as f64 / 1e6;
    for (name, value) in [
        ("banyandb_measure_total_written", counters.rows_written as f64),
        ("banyandb_measure_total_batch", counters.requests_written as f64),
        ("banyandb_measure_total_flush_loop_finished", counters.flushes as f64),
        ("banyandb_measure_total_flush_loop_err", counters.flush_errors as f64),
        ("banyandb_measure_total_merge_loop_started", (counters.merges + counters.merge_errors) as f64),
        ("banyandb_measure_total_merge_loop_finished", counters.merges as f64),
        ("banyandb_measure_total_merge_loop_err", counters.merge_errors as f64),
        ("banyandb_measure_total_merged", counters.merges as f64),
        ("banyandb_measure_total_merged_parts", counters.merge_inputs as f64),
        ("banyandb_measure_total_merge_latency", seconds(counters.merge_micros)),
        ("banyandb_engine_merges_put_off_total", counters.merges_put_off as f64),
        ("banyandb_engine_rows_expired_total", counters.rows_expired as f64),
        ("banyandb_engine_requests_failed_total", counters.requests_failed as f64),
        ("banyandb_engine_log_syncs_total", counters.log_syncs as f64),
        ("banyandb_engine_log_written_bytes_total", counters.log_bytes_written as f64),
        ("banyandb_engine_flush_rows_total", counters.flush_rows as f64),
        ("banyandb_engine_flush_bytes_total", counters.flush_bytes as f64),
        ("banyandb_engine_flush_seconds_total", seconds(counters.flush_micros)),
        ("banyandb_engine_merge_rows_total", counters.merge_rows as f64),
        ("banyandb_engine_merge_bytes_total", counters.merge_bytes as f64),
        ("banyandb_engine_segments_expired_total", counters.segments_expired as f64),
        ("banyandb_engine_snapshots_total", counters.snapshots as f64),
        ("banyandb_engine_snapshot_errors_total", counters.snapshot_errors as f64),
        ("banyandb_engine_snapshot_seconds_total", seconds(counters.snapshot_micros)),
        ("banyandb_engine_damages_total", counters.damages as f64),
        ("banyandb_engine_cache_hits_total", stats.cache_hits as f64),
        ("banyandb_engine_cache_misses_total", stats.cache_misses as f64),
    ] {
        counter(out, name, value);
    }
    for (name, value) in [
        ("banyandb_measure_total_mem_elements", stats.memory_rows as f64),
        ("banyandb_measure_total_mem_part_bytes", stats.memory_bytes as f64),
        ("banyandb_measure_total_file_parts", stats.parts as f64),
        ("banyandb_measure_total_file_elements", stats.part_rows as f64),
        ("banyandb_measure_total_file_part_bytes", stats.part_bytes as f64),
        ("banyandb_engine_groups", stats.groups as f64),
        ("banyandb_engine_segments", stats.segments as f64),
        ("banyandb_engine_tables", stats.tables as f64),
        ("banyandb_engine_parts_per_table_max", stats.parts_per_table_max as f64),
        ("banyandb_engine_queue_bytes", stats.queue_bytes as f64),
        ("banyandb_engine_log_bytes", stats.log_bytes as f64),
        ("banyandb_engine_cache_bytes", stats.cache_bytes as f64),
        ("banyandb_engine_quarantined", stats.quarantined as f64),
        ("banyandb_engine_reaper_pending", stats.reaper_pending as f64),
        ("banyandb_engine_disk_full", f64::from(u8::from(stats.is_disk_full))),
        ("banyandb_engine_read_only", f64::from(u8::from(stats.is_read_only))),
    ] {
        gauge(out, name, value);
    }
    render_disk(out, stats);
}

/// The memory of the process by share. The sum of the limits of the shares says nothing, so that of the process is a
/// family of its own.
fn render_memory(out: &mut String, ledger: &MemoryLedger) {
    let shares = ledger.shares();
    let gauges = |out: &mut String, name: &str, value: fn(&ShareUse) -> usize| {
        header(out, name, "gauge");
        for share in &shares {
            sample(out, name, &[("share", share.share.name())], value(share) as f64);
        }
    };
    gauges(out, "pipal_memory_reserved_bytes", |share| share.used);
    gauges(out, "pipal_memory_limit_bytes", |share| share.limit);
    let name = "pipal_memory_refusals_total";
    header(out, name, "counter");
    for share in &shares {
        for (limit, count) in [("share", share.refused_by_share), ("process", share.refused_by_process)] {
            sample(out, name, &[("share", share.share.name()), ("limit", limit)], count as f64);
        }
    }
    gauge(out, "pipal_memory_process_reserved_bytes", ledger.used() as f64);
    gauge(out, "pipal_memory_process_limit_bytes", ledger.limit() as f64);
}

fn render_disk(out: &mut String, stats: &EngineStats) {
    let (total, free) = (stats.disk_total_bytes as f64, stats.disk_free_bytes as f64);
    let name = "banyandb_system_disk";
    header(out, name, "gauge");
    for (kind, value) in
        [("total", total), ("used", total - free), ("used_percent", (total - free) / total.max(1.0) * 100.0)]
    {
        sample(out, name, &[("path", "data"), ("kind", kind)], value);
    }
    let percent = (total - free) / total.max(1.0) * 100.0;
    gauge(out, "banyandb_storage_retention_measure_disk_usage_percent", percent);
}
