//! Options and named maxima of the engine.

use pipal_model::MemoryLedger;

/// When a writer is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckLevel {
    /// After the log was synced: survives power loss.
    #[default]
    Synced,
    /// After the log was written: survives the end of the process.
    Logged,
    /// After the rows are visible in memory; they are logged too, but nobody waits for it to succeed.
    Received,
}

/// What an operator can set. All sizes are bytes, all times milliseconds.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// When writers are answered.
    pub ack: AckLevel,
    /// True for threads of our own that flush, merge and expire; false when the caller drives all of it, as
    /// tests do.
    pub background: bool,
    /// Where the engine opens its shares of the memory of the process.
    pub memory: MemoryLedger,
    /// A table's rows in memory freeze at this size and are flushed.
    pub table_memory_bytes_max: usize,
    /// Rows in memory of all tables; beyond it the largest tables are flushed and new requests wait.
    pub memory_bytes_max: usize,
    /// Requests that wait for the log; one beyond is refused.
    pub queue_bytes_max: usize,
    /// Rows older than this are flushed.
    pub flush_age_ms: u64,
    /// Size of one log file.
    pub log_file_bytes_max: u64,
    /// Size of the whole log; beyond it the tables that pin its oldest file are flushed.
    pub log_bytes_max: u64,
    /// Size of the cache of blocks.
    pub cache_bytes_max: usize,
    /// What the part writers of flushes and merges hold; beyond it merges wait.
    pub part_writers_bytes_max: usize,
    /// Most parts that one merge reads.
    pub merge_inputs_max: usize,
    /// Fewest parts of similar size that are worth a merge while a table is being written.
    pub merge_inputs_min: usize,
    /// A table without new parts for this long is merged down to few parts.
    pub merge_cool_age_ms: u64,
    /// Parts are not merged into ones larger than this.
    pub part_bytes_max: u64,
    /// Writes are refused when this share of the volume is used.
    pub disk_high_watermark_percent: u8,
    /// Writes are accepted again below this share.
    pub disk_low_watermark_percent: u8,
    /// Expired segments are looked for this often.
    pub retention_interval_ms: u64,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            ack: AckLevel::Synced,
            background: true,
            memory: MemoryLedger::unlimited(),
            table_memory_bytes_max: 24 << 20,
            memory_bytes_max: 64 << 20,
            queue_bytes_max: 256 << 20,
            flush_age_ms: 20_000,
            log_file_bytes_max: 16 << 20,
            log_bytes_max: 128 << 20,
            cache_bytes_max: 32 << 20,
            part_writers_bytes_max: 128 << 20,
            merge_inputs_max: 16,
            merge_inputs_min: 4,
            merge_cool_age_ms: 60_000,
            part_bytes_max: 2 << 30,
            disk_high_watermark_percent: 95,
            disk_low_watermark_percent: 90,
            retention_interval_ms: 60_000,
        }
    }
}

/// Most segments of a group that start in the future; a row that needs one more is refused.
pub const FUTURE_SEGMENTS_MAX: usize = 64;
/// Most segments of a group altogether.
pub const SEGMENTS_MAX: usize = 4096;
/// A group of requests that share one sync is closed when it has this many bytes. With the last request it stays
/// below what the log takes at once.
pub const COMMIT_GROUP_BYTES_MAX: usize = 16 << 20;
/// A merge for which there is no memory is put off this many times in a row; then it goes all the same, since a
/// table of ever more parts would cost more.
pub const MERGE_PUT_OFFS_MAX: u32 = 20;
/// A part that made this many merges fail is left out of merges.
pub const MERGE_FAILURES_MAX: u32 = 3;
