//! The ledger and its shares: counters, limits, and who was refused.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What memory is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Share {
    /// Rows in memory, of all tables.
    Rows,
    /// Requests that wait for the log.
    Queue,
    /// Blocks of parts.
    Cache,
    /// Parts that are being written by flushes and merges.
    PartWriters,
    /// Open write streams.
    Streams,
    /// Running queries, and answers on their way out.
    Queries,
    /// Schema objects.
    Schemas,
    /// Windows of Top-N aggregations.
    TopN,
}

impl Share {
    /// The name in metrics and errors.
    pub fn name(self) -> &'static str {
        match self {
            Share::Rows => "rows",
            Share::Queue => "queue",
            Share::Cache => "cache",
            Share::PartWriters => "part_writers",
            Share::Streams => "streams",
            Share::Queries => "queries",
            Share::Schemas => "schemas",
            Share::TopN => "top_n",
        }
    }
}

/// The limit that refused a reservation. Sizes are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The holder is at its own limit.
    Holder(usize),
    /// All holders of the share together are at its limit.
    Share(Share, usize),
    /// The whole process is at its limit.
    Process(usize),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Holder(limit) => write!(f, "one holder may have {limit} bytes of memory"),
            Refusal::Share(share, limit) => {
                write!(f, "the {limit} bytes of memory for {} are used up", share.name())
            }
            Refusal::Process(limit) => write!(f, "the memory limit of {limit} bytes is used up"),
        }
    }
}

/// What all shares have together. Counters guard no other memory, so every access to them is relaxed.
#[derive(Debug)]
struct Whole {
    limit: usize,
    used: AtomicUsize,
}

/// The memory of one process; clones share it.
#[derive(Clone, Debug)]
pub struct MemoryLedger {
    whole: Arc<Whole>,
    /// Shares whose owners are alive.
    pools: Arc<Mutex<Vec<Weak<MemoryPool>>>>,
}

/// What a share holds at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareUse {
    /// The share.
    pub share: Share,
    /// Bytes that it may hold.
    pub limit: usize,
    /// Bytes that it holds.
    pub used: usize,
    /// Reservations refused because of the share's limit, or of one holder's.
    pub refused_by_share: u64,
    /// Reservations refused because of the limit of the process.
    pub refused_by_process: u64,
}

impl MemoryLedger {
    /// A ledger of `limit` bytes. The limits of its shares may add up to more.
    pub fn new(limit: usize) -> Self {
        MemoryLedger { whole: Arc::new(Whole { limit, used: AtomicUsize::new(0) }), pools: Arc::default() }
    }

    /// A ledger whose shares alone have limits, as tests and tools want it.
    pub fn unlimited() -> Self {
        MemoryLedger::new(usize::MAX)
    }

    /// Opens a share of `limit` bytes.
    pub fn share(&self, share: Share, limit: usize) -> Arc<MemoryPool> {
        let pool = Arc::new(MemoryPool {
            share,
            limit,
            used: AtomicUsize::new(0),
            refused_by_share: AtomicU64::new(0),
            refused_by_process: AtomicU64::new(0),
            whole: self.whole.clone(),
        });
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(&pool));
        pool
    }

    /// Bytes that may be used.
    pub fn limit(&self) -> usize {
        self.whole.limit
    }

    /// Bytes used by all shares.
    pub fn used(&self) -> usize {
        self.whole.used.load(Ordering::Relaxed)
    }

    /// True while charges that could not be refused exceed the limit.
    pub fn is_overdrawn(&self) -> bool {
        self.used() > self.limit()
    }

    /// What every open share holds, in the order of [`Share`].
    pub fn shares(&self) -> Vec<ShareUse> {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shares: Vec<ShareUse> = pools.iter().filter_map(|p| Some(p.upgrade()?.in_use())).collect();
        shares.sort_by_key(|share| share.share);
        shares
    }
}

impl Default for MemoryLedger {
    fn default() -> Self {
        MemoryLedger::unlimited()
    }
}

/// A share of a ledger: the bytes that all holders of one kind share, say all running queries.
#[derive(Debug)]
pub struct MemoryPool {
    share: Share,
    limit: usize,
    used: AtomicUsize,
    refused_by_share: AtomicU64,
    refused_by_process: AtomicU64,
    whole: Arc<Whole>,
}

impl MemoryPool {
    /// Bytes in use now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes that may be used.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes that the share may hold with regard to what the others hold: its limit, or what they leave.
    pub fn allowance(&self) -> usize {
        let others = self.whole.used.load(Ordering::Relaxed).saturating_sub(self.used());
        self.limit.min(self.whole.limit.saturating_sub(others))
    }

    fn in_use(&self) -> ShareUse {
        ShareUse {
            share: self.share,
            limit: self.limit,
            used: self.used(),
            refused_by_share: self.refused_by_share.load(Ordering::Relaxed),
            refused_by_process: self.refused_by_process.load(Ordering::Relaxed),
        }
    }

    /// Takes bytes if the share and the whole have them.
    pub(super) fn reserve(&self, bytes: usize) -> Result<(), Refusal> {
        grow(&self.used, bytes, self.limit).map_err(|()| Refusal::Share(self.share, self.limit))?;
        grow(&self.whole.used, bytes, self.whole.limit).map_err(|()| {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
            Refusal::Process(self.whole.limit)
        })
    }

    /// Takes bytes whatever the limits are.
    pub(super) fn charge(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        self.whole.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives back bytes that were taken.
    pub(super) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        self.whole.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn count(&self, refusal: Refusal) {
        let counter = match refusal {
            Refusal::Holder(_) | Refusal::Share(..) => &self.refused_by_share,
            Refusal::Process(_) => &self.refused_by_process,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn grow(used: &AtomicUsize, bytes: usize, limit: usize) -> Result<(), ()> {
    let grown = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= limit);
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).map(|_| ()).map_err(|_| ())
}
