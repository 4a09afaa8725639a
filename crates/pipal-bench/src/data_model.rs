//! What differs between the write calls of the data models: path and numbers of the reply's fields.

/// A model of data that has a write stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum DataModel {
    /// Points of metrics
    Measure,
    /// Log rows
    Stream,
    /// Spans
    Trace,
}

impl DataModel {
    /// Its name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            DataModel::Measure => "measure",
            DataModel::Stream => "stream",
            DataModel::Trace => "trace",
        }
    }

    /// Path of the write call.
    pub fn write_path(self) -> &'static str {
        match self {
            DataModel::Measure => "/banyandb.measure.v1.MeasureService/Write",
            DataModel::Stream => "/banyandb.stream.v1.StreamService/Write",
            DataModel::Trace => "/banyandb.trace.v1.TraceService/Write",
        }
    }

    /// Path of the query call.
    pub fn query_path(self) -> &'static str {
        match self {
            DataModel::Measure => "/banyandb.measure.v1.MeasureService/Query",
            DataModel::Stream => "/banyandb.stream.v1.StreamService/Query",
            DataModel::Trace => "/banyandb.trace.v1.TraceService/Query",
        }
    }

    /// Field numbers of a write reply: the message's id (of traces: its version), the status.
    pub fn reply_fields(self) -> (u32, u32) {
        match self {
            DataModel::Trace => (2, 3),
            _ => (1, 2),
        }
    }
}
