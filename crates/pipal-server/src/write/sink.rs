//! Where rows go: the engine, or what a test puts in its place.

use pipal_engine::{Engine, GroupId, Route, WriteBatch};
use pipal_model::Result;

/// Called once, from any thread, when a batch is durable and visible or has failed as a whole.
pub type Committed = Box<dyn FnOnce(Result<()>) + Send>;

/// Takes the rows of write streams.
pub trait RowSink: Send + Sync {
    /// The segment of a row of this group and time, in nanoseconds.
    fn route(&self, group: GroupId, time: i64) -> Result<Route>;

    /// False while streams should not be read on, since rows wait to be flushed.
    fn has_room(&self) -> bool;

    /// Stores all rows of a batch or none. Does not wait.
    fn commit(&self, batch: WriteBatch, done: Committed);
}

impl RowSink for Engine {
    fn route(&self, group: GroupId, time: i64) -> Result<Route> {
        Engine::route(self, group, time)
    }

    fn has_room(&self) -> bool {
        Engine::has_room(self)
    }

    fn commit(&self, batch: WriteBatch, done: Committed) {
        Engine::commit(self, batch, done);
    }
}
