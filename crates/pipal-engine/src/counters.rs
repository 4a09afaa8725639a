//! What the engine counts. Plain counters that only grow; gauges are computed when they are asked for.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of one engine.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub $name: Counter,)* }

        /// Values of the counters at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct CounterValues { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            /// All values.
            pub fn values(&self) -> CounterValues {
                CounterValues { $($name: self.$name.get(),)* }
            }
        }
    };
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds to the number.
    pub fn add(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

counters! {
    /// Rows made visible.
    rows_written,
    /// Rows acknowledged but not kept, because their segment had expired.
    rows_expired,
    /// Requests made visible.
    requests_written,
    /// Requests that failed.
    requests_failed,
    /// Syncs of the log.
    log_syncs,
    /// Bytes appended to the log.
    log_bytes_written,
    /// Memory tables flushed.
    flushes,
    /// Flushes that failed.
    flush_errors,
    /// Rows written by flushes.
    flush_rows,
    /// Bytes written by flushes.
    flush_bytes,
    /// Microseconds spent in flushes.
    flush_micros,
    /// Merges done.
    merges,
    /// Merges put off for want of memory.
    merges_put_off,
    /// Merges that failed.
    merge_errors,
    /// Parts read by merges.
    merge_inputs,
    /// Rows written by merges.
    merge_rows,
    /// Bytes written by merges.
    merge_bytes,
    /// Microseconds spent in merges.
    merge_micros,
    /// Snapshots taken.
    snapshots,
    /// Snapshots that failed.
    snapshot_errors,
    /// Microseconds spent in taking snapshots.
    snapshot_micros,
    /// Segments removed because they had expired.
    segments_expired,
    /// Things found damaged.
    damages,
}
