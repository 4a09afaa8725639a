//! `pipal-bench`: load generator for any server that speaks the wire protocol. It measures and verifies at the same
//! time: a fast server that loses a point gets no figure without a fault beside it.

mod batch;
mod codec;
mod connection;
mod crash;
mod data_model;
mod distribution;
#[cfg(test)]
mod end_to_end;
mod hybrid;
mod latency;
mod ledger;
mod load;
mod load_m;
mod message_ids;
mod meter;
mod plan;
mod process_meter;
mod properties;
mod protobuf;
mod query;
mod random;
mod read;
mod report;
mod rows;
mod schema;
mod shape;
mod skywalking;
mod verify;
mod write_stream;
mod writer;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use data_model::DataModel;

/// Measures and verifies a server that speaks the protocol of Pipal
///
/// Exit status: 0 no faults, 1 faults were found, 2 the run could not be made.
#[derive(Debug, Parser)]
#[command(name = "pipal-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write load M: many measures and entities, every minute twice
    LoadM(load_m::LoadMOptions),
    /// Write load L: log rows
    LoadL(rows::command::LoadRowsOptions),
    /// Write load S: trace segments
    LoadS(rows::command::LoadRowsOptions),
    /// Write the metrics of a SkyWalking installation in its rhythm, after creating its schemas
    Skywalking(skywalking::SkyWalkingOptions),
    /// Measure and check queries on what load-m or skywalking wrote
    Query(query::QueryOptions),
    /// Measure and check queries on the log rows of load-l: Q17, Q17H (with a tag), Q18
    QueryL(rows::query_command::QueryRowsOptions),
    /// Measure and check queries on the segments of load-s: Q13, Q14, Q16
    QueryS(rows::query_command::QueryRowsOptions),
    /// Apply and read documents of the property model
    Properties(properties::PropertiesOptions),
    /// Everything at once: metrics, logs, traces and documents of an installation, with queries beside them
    Hybrid(hybrid::HybridOptions),
    /// Write until the server is killed, and remember what was acknowledged
    CrashWriter(crash::CrashWriterOptions),
    /// Check that everything a crash writer got acknowledged is there, exactly once
    CrashVerify(crash::CrashVerifyOptions),
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::LoadM(options) => load_m::run(options).await,
        Command::LoadL(options) => rows::command::run_load(DataModel::Stream, options).await,
        Command::LoadS(options) => rows::command::run_load(DataModel::Trace, options).await,
        Command::Skywalking(options) => skywalking::run(options).await,
        Command::Query(options) => query::run(options).await,
        Command::QueryL(options) => rows::query_command::run_query(DataModel::Stream, options).await,
        Command::QueryS(options) => rows::query_command::run_query(DataModel::Trace, options).await,
        Command::Properties(options) => properties::run(options).await,
        Command::Hybrid(options) => hybrid::run(options).await,
        Command::CrashWriter(options) => crash::run_writer(options).await,
        Command::CrashVerify(options) => crash::run_verify(options).await,
    };
    result.unwrap_or_else(|error| {
        eprintln!("pipal-bench: {error}");
        ExitCode::from(2)
    })
}
