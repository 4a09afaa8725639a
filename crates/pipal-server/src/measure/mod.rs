//! The face of measures: `banyandb.measure.v1.MeasureService`.
//!
//! Writes are streams of raw messages ([`write`]). Queries pass gates ([`admission`]) and run on threads of their
//! own ([`threads`]). [`queries`] is what other faces, such as the query language, call.

pub(crate) mod admission;
mod gate;
mod queries;
mod service;
#[cfg(test)]
pub(crate) mod testing;
mod threads;
mod time;
mod write;

pub use queries::MeasureQueries;
pub use service::MeasureFace;
pub use threads::QueryThreads;
pub use write::{Committed, MeasureRoutes, Reply, ReplyStream, RowSink, STREAM_BYTES_MAX, WriteContext};
