//! What the queries of all models need beside their requests.

use crate::schema::RowSchema;
use pipal_engine::{CancelToken, Engine, GroupId, Snapshot};
use pipal_model::{MemoryPool, Reservation, Result, TimeRange};
use std::sync::Arc;

/// Where queries find rows: the engine, or a stand-in for tests.
pub trait Snapshots {
    /// The segments of a group that overlap the range and have not expired.
    fn snapshot(&self, group: GroupId, time: TimeRange) -> Result<Snapshot>;
}

impl Snapshots for Engine {
    fn snapshot(&self, group: GroupId, time: TimeRange) -> Result<Snapshot> {
        Engine::snapshot(self, group, time)
    }
}

/// A group that is queried.
#[derive(Clone, Debug)]
pub struct GroupTarget {
    /// The incarnation.
    pub id: GroupId,
    /// The measure, stream or trace there.
    pub schema: Arc<RowSchema>,
}

/// What a query needs beside its request. The caller has checked what needs the registry: that the resource exists in
/// every group, revisions, and that the time range is valid.
#[derive(Clone, Copy)]
pub struct QueryContext<'a> {
    /// The engine.
    pub snapshots: &'a dyn Snapshots,
    /// The groups of the request in order, each once.
    pub groups: &'a [GroupTarget],
    /// The time range, both ends included; begin is raised to the creation of the resource where the protocol asks.
    pub time: TimeRange,
    /// Nanoseconds since the epoch, for the trace.
    pub now: i64,
    /// Name of this node, for the trace.
    pub node: &'a str,
    /// Tells the query to stop.
    pub cancel: &'a CancelToken,
    /// The memory that all queries share.
    pub memory: &'a Arc<MemoryPool>,
    /// Most bytes that the query may hold, usually [`crate::budget::QUERY_BYTES_MAX`].
    pub memory_limit_bytes: usize,
}

/// The answer to a query, and the memory that it holds.
#[derive(Debug)]
pub struct Answer<R> {
    /// The message.
    pub response: R,
    /// For the message and its encoding; to be kept until that has been sent.
    pub memory: Reservation,
}
