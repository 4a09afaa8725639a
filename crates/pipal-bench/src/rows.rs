//! Loads L and S: log rows and spans. A row is told by its number; all it holds follows from the run's seed and this
//! number, so that a reader knows what a writer must have sent. Nothing is written twice.

pub mod check;
pub mod clock;
pub mod command;
pub mod entities;
pub mod log_queries;
pub mod logs;
pub mod progress;
pub mod query_command;
pub mod schema;
pub mod segment_queries;
pub mod segments;
pub mod text;
pub mod verify;
pub mod wheel;
