//! The faces of the database: gRPC services, the schema registry behind them, metrics, and the wiring of a
//! process. Knows no file formats.

mod admission;
mod guard;
mod held;
pub mod measure;
pub mod metrics;
pub mod property;
pub mod queries;
mod query_threads;
pub mod registry;
pub mod serve;
pub mod services;
pub mod status;
pub mod stream;
mod time_text;
pub mod top_n;
pub mod trace;
pub mod write;

/// The packages of the wire contract under the names that this crate uses.
pub mod api {
    pub use pipal_api::{
        bydbql::v1 as bydbql, cluster::v1 as cluster, common::v1 as common, database::v1 as database,
        measure::v1 as measure, model::v1 as model, property::v1 as property, schema::v1 as schema,
        stream::v1 as stream, trace::v1 as trace,
    };
}
