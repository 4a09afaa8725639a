//! `pipal-bench load-l` and `load-s` write log rows and segments; `query-l` and `query-s` ask for them.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::batch::{Batch, BatchBuilder, WriteHeader};
use crate::connection::Connections;
use crate::data_model::DataModel;
use crate::ledger::{Acknowledged, Ledger, lock};
use crate::load::Load;
use crate::load_m::{first_minute, report_verification};
use crate::message_ids::now_nanos;
use crate::meter::MeterOptions;
use crate::plan::{Chunking, WorkItem, bucket_by_bucket};
use crate::report::{Report, Section, round3};
use crate::rows::clock::RowClock;
use crate::rows::entities::Entities;
use crate::rows::logs::LogRows;
use crate::rows::progress::{Presence, Progress};
use crate::rows::schema::{LogRules, create_logs, create_segments};
use crate::rows::segments::SegmentRows;
use crate::rows::verify::{verify_logs, verify_segments};
use crate::skywalking::tier::Sizes;
use crate::verify::Verification;
use crate::writer::{WriteTotals, Writer, WriterOptions};

const TTL_DAYS: u32 = 3;

/// Which rows, shared by the commands that write or read them.
#[derive(Debug, Clone, clap::Args)]
pub struct RowOptions {
    /// Address of the server
    #[arg(long, default_value = "127.0.0.1:17912", value_name = "HOST:PORT")]
    pub addr: String,
    /// Connections that calls take turns on
    #[arg(long, default_value_t = 1)]
    pub connections: usize,
    /// Seed of everything random: equal seeds and starts write equal rows
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Group of the rows; every run needs one of its own. Default: bench_l, bench_s
    #[arg(long)]
    pub group: Option<String>,
    /// Services that the rows belong to, with 20 instances and 10 endpoints each
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub services: u32,
    /// Shards of the group
    #[arg(long, default_value_t = 2)]
    pub shards: u32,
    /// Rows per second of their own timestamps
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rows_per_time_second: u32,
    /// Rows per write stream; default: 5,000 logs, 2,000 segments
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub rows_per_stream: Option<u64>,
    /// Write streams at a time
    #[arg(long, default_value_t = 4)]
    pub streams: usize,
    /// Which tags of logs are indexed
    #[arg(long, value_enum, default_value = "four")]
    pub log_rules: LogRules,
}

/// Options of `load-l` and `load-s`.
#[derive(Debug, Clone, clap::Args)]
pub struct LoadRowsOptions {
    #[command(flatten)]
    pub rows: RowOptions,
    #[command(flatten)]
    pub meter: MeterOptions,
    /// Rows to write, rounded up to whole streams
    #[arg(long, default_value_t = 300_000, value_name = "N")]
    pub count: u64,
    /// Time of the first row, Unix seconds; default: so that the last one is written about now
    #[arg(long, value_name = "UNIX_S")]
    pub start: Option<i64>,
    /// Group, schema and rules are there already: create none
    #[arg(long)]
    pub skip_schema: bool,
    /// Rows per second (open loop); default: as fast as the server answers
    #[arg(long, value_name = "ROWS")]
    pub rate: Option<f64>,
    /// A stream without end after this time has failed, seconds
    #[arg(long, default_value_t = 60, value_name = "S")]
    pub deadline_s: u64,
    /// Read one row back after every N-th stream; 0 never
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub check_every: u64,
    /// Read everything back at the end and compare
    #[arg(long)]
    pub verify: bool,
}

/// Rows of one of the two loads.
#[derive(Debug, Clone)]
pub enum Rows {
    Logs(Arc<LogRows>),
    Segments(Arc<SegmentRows>),
}

impl Rows {
    /// The rows of a model's load.
    pub fn new(model: DataModel, group: &str, clock: RowClock, entities: Entities, seed: u64) -> Self {
        match model {
            DataModel::Trace => Rows::Segments(Arc::new(SegmentRows::new(group, clock, entities, seed))),
            _ => Rows::Logs(Arc::new(LogRows::new(group, clock, entities, seed))),
        }
    }

    /// Their data model.
    pub fn model(&self) -> DataModel {
        match self {
            Rows::Logs(_) => DataModel::Stream,
            Rows::Segments(_) => DataModel::Trace,
        }
    }

    fn header(&self) -> &WriteHeader {
        match self {
            Rows::Logs(logs) => &logs.header,
            Rows::Segments(segments) => &segments.header,
        }
    }

    fn group(&self) -> &str {
        match self {
            Rows::Logs(logs) => &logs.group,
            Rows::Segments(segments) => &segments.group,
        }
    }

    /// Creates the schema where it is absent; gives the number of calls.
    pub async fn create_schema(
        &self,
        connections: &Connections,
        shards: u32,
        ttl_days: u32,
        rules: LogRules,
    ) -> Result<u64, String> {
        match self {
            Rows::Logs(_) => create_logs(connections, self.group(), shards, ttl_days, rules).await,
            Rows::Segments(_) => create_segments(connections, self.group(), shards, ttl_days).await,
        }
    }

    /// Reads all rows below `rows` back.
    pub async fn verify(
        &self,
        connections: &Connections,
        rows: u64,
        presence: &(dyn Fn(u64) -> Presence + Sync),
    ) -> Result<Verification, String> {
        match self {
            Rows::Logs(logs) => verify_logs(connections, logs, rows, presence).await,
            Rows::Segments(segments) => verify_segments(connections, segments, rows, presence).await,
        }
    }
}

/// A load of rows: a stream is a bucket of its own.
#[derive(Debug)]
pub struct RowLoad {
    pub rows: Rows,
    pub progress: Arc<Progress>,
    pub rows_per_stream: u64,
}

impl RowLoad {
    /// A load of which nothing was sent.
    pub fn new(rows: Rows, rows_per_stream: u64) -> Self {
        RowLoad { rows, progress: Arc::new(Progress::new(rows_per_stream)), rows_per_stream }
    }

    /// How a load of rows is cut into streams.
    pub fn chunking(rows_per_stream: u64) -> Chunking {
        Chunking { points_per_bucket: rows_per_stream, points_per_stream: rows_per_stream }
    }
}

/// What a ledger knows about a row.
pub fn presence_in(ledger: &Ledger, rows_per_stream: u64, row: u64) -> Presence {
    let (bucket, point) = ((row / rows_per_stream) as u32, row % rows_per_stream);
    match ledger.acknowledged_version(bucket, point) {
        Some(_) => Presence::Must,
        None if ledger.was_sent(bucket, point) => Presence::May,
        None => Presence::Never,
    }
}

#[tonic::async_trait]
impl Load for RowLoad {
    fn encode(&self, item: WorkItem, points: std::ops::Range<u64>, first_id: u64) -> Batch {
        const MESSAGE_BYTES_EXPECTED: usize = 2_304;
        let count = (points.end - points.start) as usize;
        let mut builder = BatchBuilder::of_model(self.rows.model(), first_id, count, MESSAGE_BYTES_EXPECTED);
        let first = u64::from(item.bucket) * self.rows_per_stream;
        for (place, point) in points.enumerate() {
            let header = (place == 0).then(|| self.rows.header());
            builder.push_message(header, |out, id| match &self.rows {
                Rows::Logs(logs) => logs.put_message(out, first + point, id),
                Rows::Segments(segments) => segments.put_message(out, first + point, id),
            });
        }
        builder.finish()
    }

    fn sent(&self, item: WorkItem) {
        self.progress.sent(u64::from(item.bucket));
    }

    fn acknowledged(&self, item: WorkItem, which: &Acknowledged) {
        if *which == Acknowledged::All {
            self.progress.acknowledged(u64::from(item.bucket));
        }
    }

    async fn read_back(
        &self,
        connections: &Connections,
        ledger: &Mutex<Ledger>,
        item: WorkItem,
        draw: u64,
    ) -> Result<(), String> {
        let row = u64::from(item.bucket) * self.rows_per_stream + draw % self.rows_per_stream;
        // The ledger knows what this run wrote, the progress also what was there before it.
        let presence = |row| match self.progress.reach().presence(row) {
            Presence::Must => Presence::Must,
            _ => presence_in(&lock(ledger), self.rows_per_stream, row),
        };
        match &self.rows {
            Rows::Logs(logs) => crate::rows::verify::read_log(connections, logs, row).await,
            Rows::Segments(segments) => {
                crate::rows::verify::read_trace(connections, segments, row, &presence).await
            }
        }
    }
}

impl RowOptions {
    /// The group of a model's rows.
    pub fn group(&self, model: DataModel) -> String {
        let default = if model == DataModel::Trace { "bench_s" } else { "bench_l" };
        self.group.clone().unwrap_or_else(|| default.to_owned())
    }

    /// Rows of a stream of the model.
    pub fn rows_per_stream(&self, model: DataModel) -> u64 {
        self.rows_per_stream.unwrap_or(if model == DataModel::Trace { 2_000 } else { 5_000 })
    }

    /// The rows of a run that starts at this time.
    pub fn rows(&self, model: DataModel, start_ms: i64) -> Rows {
        let services = self.services as usize;
        let sizes = Sizes { services, instances: services * 20, endpoints: services * 10 };
        let clock = RowClock { start_ms, rows_per_second: self.rows_per_time_second };
        Rows::new(model, &self.group(model), clock, Entities::new(sizes, self.seed), self.seed)
    }
}

/// Adds what a writer of rows did to the report; gives the section for more figures.
pub fn write_section(name: &str, totals: &WriteTotals, report: &mut Report) -> Section {
    let mut section = Section::new(name);
    section.writes(totals);
    report.write_faults(totals);
    section
}

/// Runs `load-l` or `load-s`.
pub async fn run_load(model: DataModel, options: LoadRowsOptions) -> Result<ExitCode, String> {
    let rows_per_stream = options.rows.rows_per_stream(model);
    let streams = u32::try_from(options.count.div_ceil(rows_per_stream)).map_err(|_| "too many rows")?;
    let span_ms = u64::from(streams) * rows_per_stream * 1000 / u64::from(options.rows.rows_per_time_second);
    let minutes = u32::try_from(span_ms.div_ceil(60_000)).unwrap_or(u32::MAX).max(1);
    let start_ms = match options.start {
        Some(start) => start * 1000,
        None => first_minute((now_nanos() / 1_000_000) as i64, minutes),
    };
    let rows = options.rows.rows(model, start_ms);
    let connections = Arc::new(Connections::open(&options.rows.addr, options.rows.connections).await?);
    let mut report = Report::default();

    let schema_started = Instant::now();
    let calls = match options.skip_schema {
        true => 0,
        false => {
            rows.create_schema(&connections, options.rows.shards, TTL_DAYS, options.rows.log_rules).await?
        }
    };
    let mut load = Section::new("load");
    load.figure("model", model.name())
        .figure("first_row_unix_ms", start_ms)
        .figure("schema_calls", calls)
        .figure("schema_elapsed_s", round3(schema_started.elapsed().as_secs_f64()));
    report.push(load);

    let writer_options = WriterOptions {
        streams: options.rows.streams,
        points_per_second: options.rate,
        deadline: Duration::from_secs(options.deadline_s),
        check_every: options.check_every,
        stop_on_failure: false,
    };
    let chunking = RowLoad::chunking(rows_per_stream);
    let load = RowLoad::new(rows, rows_per_stream);
    let writer =
        Arc::new(Writer::new(load, Ledger::new(chunking), None, Arc::clone(&connections), writer_options));
    let start = options.meter.start()?;
    let totals = writer.run(bucket_by_bucket(chunking, 0..streams, 1)).await?;
    let mut section = write_section("rows", &totals, &mut report);
    let written = ("points", totals.points_acknowledged);
    options.meter.finish(&start, &mut section, written, totals.points_acknowledged, &mut report).await?;
    report.push(section);
    if options.verify {
        let started = Instant::now();
        let ledger = writer.with_ledger(Ledger::clone);
        let presence = |row| presence_in(&ledger, rows_per_stream, row);
        let count = u64::from(streams) * rows_per_stream;
        let verification = writer.load.rows.verify(&connections, count, &presence).await?;
        report_verification(("verification", "acknowledged_rows"), &verification, started, &mut report);
    }
    Ok(report.print(options.meter.json))
}
