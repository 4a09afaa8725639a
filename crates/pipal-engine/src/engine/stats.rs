//! Numbers about the engine, for metrics and for people.

use super::Engine;
use crate::counters::CounterValues;
use crate::rows::RowKind;
use crate::table::Table;
use crate::table_key::{GroupId, SegmentBounds};
use pipal_model::Result;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Counters and gauges of an engine at one moment.
#[derive(Clone, Debug, Default)]
pub struct EngineStats {
    /// What only grows.
    pub counters: CounterValues,
    /// Open groups.
    pub groups: u64,
    /// Segments of all groups.
    pub segments: u64,
    /// Tables of all segments.
    pub tables: u64,
    /// Parts of all tables.
    pub parts: u64,
    /// Data rows in parts.
    pub part_rows: u64,
    /// Bytes of parts on disk.
    pub part_bytes: u64,
    /// Most parts of one table.
    pub parts_per_table_max: u64,
    /// Rows in memory.
    pub memory_rows: u64,
    /// Bytes of rows in memory.
    pub memory_bytes: u64,
    /// Bytes of the record of which series have which attributes.
    pub attribute_bytes: u64,
    /// Bytes of requests that wait for the log.
    pub queue_bytes: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Bytes of cached blocks.
    pub cache_bytes: u64,
    /// Blocks found in the cache.
    pub cache_hits: u64,
    /// Blocks that had to be read.
    pub cache_misses: u64,
    /// Things moved into quarantine since the start.
    pub quarantined: u64,
    /// Files that wait to be removed.
    pub reaper_pending: u64,
    /// Free bytes of the volume.
    pub disk_free_bytes: u64,
    /// Size of the volume.
    pub disk_total_bytes: u64,
    /// True while writes are refused because of the watermark.
    pub is_disk_full: bool,
    /// True once a sync of the log failed.
    pub is_read_only: bool,
}

/// What a group holds.
#[derive(Clone, Debug, Default)]
pub struct GroupData {
    /// Segments by start, without those that hold nothing.
    pub segments: Vec<SegmentData>,
}

/// What a segment holds.
#[derive(Clone, Debug)]
pub struct SegmentData {
    /// Span.
    pub bounds: SegmentBounds,
    /// Shards that hold something.
    pub shards: Vec<ShardData>,
}

/// What a table holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShardData {
    /// Number of the shard.
    pub shard: u32,
    /// Rows in memory and parts, before identity rules across them.
    pub rows: u64,
    /// Bytes in memory and on disk.
    pub bytes: u64,
    /// Parts on disk.
    pub file_parts: u64,
    /// Runs in memory.
    pub memory_runs: u64,
}

impl GroupData {
    /// Bytes of everything.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().flat_map(|s| &s.shards).map(|s| s.bytes).sum()
    }
}

fn shard_data(table: &Arc<Table>) -> ShardData {
    let state = table.state();
    let part_rows: u64 = state.parts.iter().map(|p| p.part().summary().rows_of(RowKind::Data)).sum();
    let part_bytes: u64 = state.parts.iter().map(|p| p.part().file_bytes()).sum();
    ShardData {
        shard: table.key.shard,
        rows: part_rows + state.runs().map(|r| r.row_count() as u64).sum::<u64>(),
        bytes: part_bytes + state.memory_bytes() as u64,
        file_parts: state.parts.len() as u64,
        memory_runs: state.runs().count() as u64,
    }
}

impl Engine {
    /// What a group holds.
    pub fn group_data(&self, id: GroupId) -> Result<GroupData> {
        let group = self.0.groups.get(id)?;
        let mut data = GroupData::default();
        for segment in group.live_segments() {
            let shards: Vec<ShardData> =
                segment.tables().values().map(shard_data).filter(|s| s.rows > 0).collect();
            if !shards.is_empty() {
                data.segments.push(SegmentData { bounds: segment.bounds(), shards });
            }
        }
        Ok(data)
    }

    /// Counters and gauges.
    pub fn stats(&self) -> EngineStats {
        let inner = &self.0;
        let groups = inner.groups.all();
        let cache = inner.context.cache.stats();
        let space = inner.context.fs.space(inner.groups.root()).ok();
        let mut stats = EngineStats {
            counters: inner.context.counters.values(),
            groups: groups.len() as u64,
            segments: groups.iter().map(|g| g.segments().len() as u64).sum(),
            memory_bytes: inner.context.memory.rows.used() as u64,
            queue_bytes: inner.queue.bytes() as u64,
            log_bytes: inner.committer.log_bytes(),
            cache_bytes: cache.bytes,
            cache_hits: cache.hits,
            cache_misses: cache.misses,
            quarantined: inner.context.quarantine.count(),
            reaper_pending: inner.context.reaper.pending() as u64,
            disk_free_bytes: space.map_or(0, |s| s.free),
            disk_total_bytes: space.map_or(0, |s| s.total),
            is_disk_full: inner.is_disk_full.load(Ordering::Relaxed),
            is_read_only: self.is_read_only(),
            ..EngineStats::default()
        };
        for (_, table) in inner.groups.tables() {
            let state = table.state();
            let parts = state.parts.len() as u64;
            stats.tables += 1;
            stats.parts += parts;
            stats.parts_per_table_max = stats.parts_per_table_max.max(parts);
            stats.part_rows +=
                state.parts.iter().map(|p| p.part().summary().rows_of(RowKind::Data)).sum::<u64>();
            stats.part_bytes += state.parts.iter().map(|p| p.part().file_bytes()).sum::<u64>();
            stats.attribute_bytes += table.attribute_bytes() as u64;
            stats.memory_rows += state.runs().map(|r| r.row_count() as u64).sum::<u64>();
        }
        stats
    }
}
