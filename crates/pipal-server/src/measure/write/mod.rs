//! Measure writes: the bidirectional stream `MeasureService.Write` (measure specification 2).
//!
//! [`route`] takes the raw messages of a stream off the wire, [`stream`] runs the stream, [`writer`] decides
//! about each message, [`schemas`] and [`mapping`] remember what messages refer to, and [`row`] turns a message
//! into a row without a copy in between. [`sink`] is where batches of rows go.

pub mod budget;
mod codec;
mod mapping;
mod route;
mod row;
mod schemas;
pub mod sink;
mod stream;
mod writer;

pub use route::MeasureRoutes;
pub use writer::{WriteContext, WriteCounters};
