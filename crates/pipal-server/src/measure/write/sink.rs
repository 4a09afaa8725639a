//! Where rows go: the engine, or what a test puts in its place.

use pipal_engine::batch::WriteBatch;
use pipal_engine::table_key::GroupId;
use pipal_engine::{Engine, Route};
use pipal_model::Result;

/// Called once, from any thread, when a batch is durable and visible or has failed as a whole.
pub type Committed = Box<dyn FnOnce(Result<()>) + Send>;

/// Takes the rows of write streams.
pub trait RowSink: Send + Sync {
    /// The segment of a row of this group and time, in nanoseconds.
    fn route(&self, group: GroupId, time: i64) -> Result<Route>;

    /// Stores all rows of a batch or none.
    fn commit(&self, batch: WriteBatch, done: Committed);
}

impl RowSink for Engine {
    fn route(&self, group: GroupId, time: i64) -> Result<Route> {
        Engine::route(self, group, time)
    }

    fn commit(&self, batch: WriteBatch, done: Committed) {
        Engine::commit(self, batch, done);
    }
}
