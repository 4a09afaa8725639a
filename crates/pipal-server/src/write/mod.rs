//! Writes: the bidirectional stream `Write` of measures, streams and traces (section 2 of each specification).
//!
//! [`route`] takes the raw messages of a stream off the wire, [`stream`] runs the stream, [`writer`] decides
//! about each message, [`schemas`] and [`mapping`] remember what messages refer to, and [`row`] turns a message
//! into a row without a copy in between; [`span`] knows what is special about spans. [`sink`] is where batches of rows go.

mod codec;
mod mapping;
mod route;
mod row;
mod schemas;
mod sink;
mod span;
mod stream;
mod writer;

pub use codec::Reply;
pub use route::WriteRoutes;
pub use sink::{Committed, RowSink};
pub use stream::ReplyStream;
pub use writer::WriteContext;

/// Most bytes that one stream keeps until its end. A stream of 10,000 rows needs about 2 MiB.
pub const STREAM_BYTES_MAX: usize = 128 << 20;
