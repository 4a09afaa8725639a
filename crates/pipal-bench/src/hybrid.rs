//! `pipal-bench hybrid`: everything that an installation writes, at its rates, with the queries beside it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::connection::Connections;
use crate::data_model::DataModel;
use crate::ledger::Ledger;
use crate::load_m::report_verification;
use crate::message_ids::now_nanos;
use crate::meter::MeterOptions;
use crate::plan::bucket_by_bucket;
use crate::properties::{self, PropertyLoad};
use crate::query::prepared::{Live, Mix, QuerySource};
use crate::query::runner::{Pace, run_queries};
use crate::query::{PaceOptions, query_sections};
use crate::report::{Report, Section};
use crate::rows::clock::RowClock;
use crate::rows::command::{RowLoad, Rows, presence_in, write_section};
use crate::rows::entities::Entities;
use crate::rows::query_command::{ROWS_COMPARE_EVERY, open_writer, source_of};
use crate::rows::schema::LogRules;
use crate::skywalking::model::Model;
use crate::skywalking::query_source::SkyWalkingSource;
use crate::skywalking::round::ROUND_MS;
use crate::skywalking::tier::TierOptions;
use crate::skywalking::{Metrics, SkyWalkingOptions, boot_section};
use crate::writer::Writer;

const TTL_DAYS: u32 = 3;
/// Shards of the groups of logs and traces.
const SHARDS: u32 = 2;
/// Rows are sent twice a stream time: every two seconds, but not more than this at once.
const STREAM_SECONDS: u64 = 2;
const STREAM_ROWS_MAX: u64 = 5_000;
const STREAM_ROWS_MIN: u64 = 10;
/// Every how many streams of rows one row is read back at once.
const CHECK_EVERY: u64 = 4;
const STREAMS: usize = 4;
/// Queries in flight at least, so that an open loop is not throttled by its own answers.
const IN_FLIGHT_MIN: usize = 20;
/// Templates of an installation and their size.
const DOCUMENTS: u64 = 60;
const DOCUMENT_BYTES: usize = 8_000;

/// Options of `hybrid`.
#[derive(Debug, Clone, clap::Args)]
pub struct HybridOptions {
    /// Address of the server
    #[arg(long, default_value = "127.0.0.1:17912", value_name = "HOST:PORT")]
    pub addr: String,
    /// Connections that calls take turns on
    #[arg(long, default_value_t = 1)]
    pub connections: usize,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    pub tier: TierOptions,
    #[command(flatten)]
    pub meter: MeterOptions,
    #[command(flatten)]
    pub pace: PaceOptions,
    /// Write and query for this time, seconds
    #[arg(long, default_value_t = 600, value_name = "S")]
    pub duration_s: u64,
    /// Log rows per second; default: those of the tier
    #[arg(long)]
    pub logs: Option<u32>,
    /// Segments per second; default: those of the tier
    #[arg(long)]
    pub segments: Option<u32>,
    /// Documents applied and read back per second
    #[arg(long, default_value_t = 1.0)]
    pub documents: f64,
    /// Also write the metrics and rows of edges between services, instances and endpoints
    #[arg(long)]
    pub relations: bool,
    /// Create only the measures that are written, not the whole catalog of 5,547
    #[arg(long)]
    pub small_catalog: bool,
    /// Read all log rows and segments back at the end and compare
    #[arg(long)]
    pub verify: bool,
}

impl HybridOptions {
    fn metrics(&self) -> SkyWalkingOptions {
        let rounds = (self.duration_s * 1000).div_ceil(ROUND_MS as u64).max(1);
        SkyWalkingOptions {
            addr: self.addr.clone(),
            connections: self.connections,
            seed: self.seed,
            tier: self.tier.clone(),
            meter: self.meter.clone(),
            pace: self.pace.clone(),
            rounds: u32::try_from(rounds).unwrap_or(u32::MAX),
            open: true,
            relations: self.relations,
            small_catalog: self.small_catalog,
            query: false,
            points_per_stream: 10_000,
            streams: 15,
            deadline_s: 60,
        }
    }

    fn mix(&self) -> Mix {
        let edges: &[&str] = if self.relations { &["Q5", "Q6"] } else { &[] };
        let shapes = ["Q1", "Q2", "Q3", "Q4", "Q7", "Q13", "Q14", "Q16", "Q17", "Q18"];
        let shapes: Vec<&str> = shapes.iter().chain(edges).copied().collect();
        self.pace.shapes.clone().unwrap_or_else(|| Mix::of_model(&shapes))
    }

    fn pace(&self) -> Pace {
        let mut pace = self.pace.pace(Duration::from_secs(self.duration_s), ROWS_COMPARE_EVERY);
        let of_tier = f64::from(self.tier.tier.rates().queries_per_second);
        pace.queries_per_second = pace.queries_per_second.or(Some(of_tier));
        pace.in_flight = pace.in_flight.max(IN_FLIGHT_MIN);
        pace
    }

    fn properties(&self, group: &str) -> PropertyLoad {
        PropertyLoad {
            group: group.to_owned(),
            seed: self.seed,
            documents: DOCUMENTS,
            bytes: DOCUMENT_BYTES,
            workers: 1,
            operations_per_second: Some(self.documents),
            duration: Duration::from_secs(self.duration_s),
        }
    }

    /// Rows of a model that begin now: the first stream is sent when its last row has happened.
    fn load(&self, model: DataModel, group: &str, rate: u32) -> RowLoad {
        let rows_per_stream = (u64::from(rate) * STREAM_SECONDS).clamp(STREAM_ROWS_MIN, STREAM_ROWS_MAX);
        let back_ms = rows_per_stream * 1000 / u64::from(rate.max(1));
        let start_ms = (now_nanos() / 1_000_000) as i64 - back_ms as i64;
        let clock = RowClock { start_ms, rows_per_second: rate.max(1) };
        let entities = Entities::new(self.tier.tier.sizes(), self.seed);
        RowLoad::new(Rows::new(model, group, clock, entities, self.seed), rows_per_stream)
    }
}

/// Rows that are being written.
struct Flow {
    name: &'static str,
    writer: Arc<Writer<RowLoad>>,
    running: tokio::task::JoinHandle<Result<crate::writer::WriteTotals, String>>,
}

impl Flow {
    fn start(name: &'static str, load: RowLoad, rate: u32, connections: &Arc<Connections>) -> Self {
        let plan = bucket_by_bucket(RowLoad::chunking(load.rows_per_stream), 0..u32::MAX, 1);
        let writer = open_writer(load, connections, STREAMS, f64::from(rate.max(1)), CHECK_EVERY);
        let running = tokio::spawn({
            let writer = Arc::clone(&writer);
            async move { writer.run(plan).await }
        });
        Flow { name, writer, running }
    }

    fn source(&self) -> Arc<dyn QuerySource> {
        source_of(&self.writer.load.rows, Arc::clone(&self.writer.load.progress))
    }

    /// Waits for the end of a flow that was stopped.
    async fn finish(
        self,
        connections: &Connections,
        verify: bool,
        report: &mut Report,
    ) -> Result<u64, String> {
        let totals = self.running.await.map_err(|error| format!("{}: {error}", self.name))??;
        let section = write_section(self.name, &totals, report);
        report.push(section);
        if verify {
            let started = Instant::now();
            let ledger = self.writer.with_ledger(Ledger::clone);
            let load = &self.writer.load;
            let rows = u64::from(ledger.buckets_end()) * load.rows_per_stream;
            let presence = |row| presence_in(&ledger, load.rows_per_stream, row);
            let verification = load.rows.verify(connections, rows, &presence).await?;
            let title = format!("verification_{}", self.name);
            report_verification((&title, "acknowledged_rows"), &verification, started, report);
        }
        Ok(totals.points_acknowledged)
    }
}

/// Runs `hybrid`.
pub async fn run(options: HybridOptions) -> Result<ExitCode, String> {
    let connections = Arc::new(Connections::open(&options.addr, options.connections).await?);
    let mut report = Report::default();
    let metric_options = options.metrics();
    boot_section(&metric_options, &connections, &mut report).await?;
    let rates = options.tier.tier.rates();
    let logs_rate = options.logs.unwrap_or(rates.logs_per_second);
    let segments_rate = options.segments.unwrap_or(rates.segments_per_second);
    properties::create_schema(&connections, "sw_property").await?;
    for (model, group) in [(DataModel::Stream, "sw_recordsLog"), (DataModel::Trace, "sw_trace")] {
        let rows = options.load(model, group, 1).rows;
        rows.create_schema(&connections, SHARDS, TTL_DAYS, LogRules::Client).await?;
    }

    let start = options.meter.start()?;
    let started = Instant::now();
    let metrics = Metrics::new(&connections, &metric_options);
    let rounds = metrics.start();
    let logs = options.load(DataModel::Stream, "sw_recordsLog", logs_rate);
    let segments = options.load(DataModel::Trace, "sw_trace", segments_rate);
    let logs = Flow::start("logs", logs, logs_rate, &connections);
    let segments = Flow::start("segments", segments, segments_rate, &connections);
    let documents = tokio::spawn({
        let (connections, load) = (Arc::clone(&connections), options.properties("sw_property"));
        async move { properties::work(&connections, load).await }
    });
    let model = Model::new(options.tier.tier.sizes(), options.seed);
    let sources = vec![
        Arc::new(SkyWalkingSource::new(model)) as Arc<dyn QuerySource>,
        logs.source(),
        segments.source(),
    ];
    let live = Live::new(sources, options.mix(), options.seed)?;
    let totals = run_queries(&connections, Arc::new(live), options.pace()).await?;
    logs.writer.stop();
    segments.writer.stop();

    let round_times = rounds.await.map_err(|error| format!("writing failed: {error}"))??;
    let documents = documents.await.map_err(|error| format!("documents: {error}"))??;
    let (section, points) = metrics.section(&round_times, &mut report);
    report.push(section);
    let section = documents.report(started.elapsed(), &mut report);
    report.push(section);
    // The server rests only when logs and segments have ended as well.
    let meter = MeterOptions { settle: false, ..options.meter.clone() };
    query_sections(&totals, &meter, &start, &mut report).await?;
    let mut written = points;
    written += logs.finish(&connections, options.verify, &mut report).await?;
    written += segments.finish(&connections, options.verify, &mut report).await?;
    metrics.follow(&mut report).await?;
    let mut section = Section::new("server");
    options.meter.finish(&start, &mut section, ("points", written), written, &mut report).await?;
    report.push(section);
    Ok(report.print(options.meter.json))
}
