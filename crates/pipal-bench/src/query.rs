//! `pipal-bench query`: the measure queries of the client, closed or open loop, with percentiles per shape.

pub mod load_m_source;
pub mod prepared;
pub mod runner;

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::connection::Connections;
use crate::ledger::Ledger;
use crate::load::MeasureLoad;
use crate::load_m::LoadOptions;
use crate::meter::{MeterOptions, PhaseStart};
use crate::plan::bucket_by_bucket;
use crate::query::load_m_source::LoadMSource;
use crate::query::prepared::{Feed, Mix, QuerySource, prepare_all};
use crate::query::runner::{Pace, QueryTotals, ShapeTotals, run_queries};
use crate::random::Random;
use crate::report::{Report, Section, round3};
use crate::shape::Shape;
use crate::skywalking::model::Model;
use crate::skywalking::query_source::SkyWalkingSource;
use crate::skywalking::tier::TierOptions;
use crate::writer::{Writer, WriterOptions};

/// Buckets that a background writer may use ahead of the data that is queried.
const WRITER_BUCKETS_MAX: u32 = 4_000;

/// Every how many answers points are compared completely.
pub const POINTS_COMPARE_EVERY: u64 = 10;

/// What the queries read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Data {
    /// What `load-m` wrote with the same --seed, --group, --measures and --entities: Q1, Q4, Q7
    LoadM,
    /// What `skywalking` wrote with the same --seed and --tier: Q1, Q2, Q4, Q5, Q6, Q7, Q8 to Q11
    Skywalking,
}

/// How queries are sent, shared by the commands that send some.
#[derive(Debug, Clone, clap::Args)]
pub struct PaceOptions {
    /// Queries in flight at most
    #[arg(long, default_value_t = 1)]
    pub in_flight: usize,
    /// Queries per second (open loop; times count from the scheduled start); default: closed loop
    #[arg(long, value_name = "R")]
    pub queries_per_second: Option<f64>,
    /// Shapes and their weights, as `Q1=52,Q7=6`; default: the frequencies of the workload model
    #[arg(long, value_name = "MIX")]
    pub shapes: Option<Mix>,
    /// Distinct requests, encoded ahead
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    pub distinct: usize,
    /// Decode and compare every N-th answer completely; the number of rows is checked in all. Default: 10 where points
    /// are read, 1 where logs and spans are
    #[arg(long, value_name = "N")]
    pub compare_every: Option<u64>,
}

/// Options of `query`.
#[derive(Debug, Clone, clap::Args)]
pub struct QueryOptions {
    #[command(flatten)]
    pub load: LoadOptions,
    #[command(flatten)]
    pub meter: MeterOptions,
    #[command(flatten)]
    pub pace: PaceOptions,
    #[command(flatten)]
    pub tier: TierOptions,
    /// What to read
    #[arg(long, value_enum, default_value = "load-m")]
    pub data: Data,
    /// Measure for this time, seconds
    #[arg(long, default_value_t = 30, value_name = "S")]
    pub duration_s: u64,
    /// Passes with which `load-m` wrote the data
    #[arg(long, default_value_t = 2)]
    pub passes: u32,
    /// Meanwhile write load M onwards at this rate, points per second (only with --data load-m)
    #[arg(long, value_name = "POINTS")]
    pub write_rate: Option<f64>,
}

impl PaceOptions {
    /// The pace and duration that the options ask for; `compare_every` is the default.
    pub fn pace(&self, duration: Duration, compare_every: u64) -> Pace {
        Pace {
            in_flight: self.in_flight,
            queries_per_second: self.queries_per_second,
            compare_every: self.compare_every.unwrap_or(compare_every),
            duration,
        }
    }
}

/// Runs `query`.
pub async fn run(options: QueryOptions) -> Result<ExitCode, String> {
    let connections = Arc::new(Connections::open(&options.load.addr, options.load.connections).await?);
    let mut report = Report::default();
    match options.data {
        Data::LoadM => {
            let source =
                LoadMSource::discover(&connections, options.load.minute_shape(0), options.passes).await?;
            let writer =
                options.write_rate.map(|rate| background_writer(&options, &source, &connections, rate));
            measure(&options, &source, &connections, writer.map(Arc::new), &mut report).await?;
        }
        Data::Skywalking => {
            let source = SkyWalkingSource::new(Model::new(options.tier.tier.sizes(), options.load.seed));
            measure(&options, &source, &connections, None, &mut report).await?;
        }
    }
    Ok(report.print(options.meter.json))
}

/// A writer of the same series in the minutes behind the queried ones.
fn background_writer(
    options: &QueryOptions,
    source: &LoadMSource,
    connections: &Arc<Connections>,
    rate: f64,
) -> Writer<MeasureLoad> {
    let shape: Shape = options.load.minute_shape(source.end_ms());
    let writer_options = WriterOptions {
        streams: options.load.streams,
        points_per_second: Some(rate),
        deadline: Duration::from_secs(60),
        check_every: 4,
        stop_on_failure: false,
    };
    let ledger = Ledger::new(options.load.chunking());
    Writer::new(MeasureLoad::new(shape), ledger, None, Arc::clone(connections), writer_options)
}

async fn measure(
    options: &QueryOptions,
    source: &dyn QuerySource,
    connections: &Arc<Connections>,
    writer: Option<Arc<Writer<MeasureLoad>>>,
    report: &mut Report,
) -> Result<(), String> {
    let mix = options.pace.shapes.clone().unwrap_or_else(|| Mix::of_model(source.shapes()));
    let mut random = Random::new(options.load.seed);
    let prepared: Arc<dyn Feed> = Arc::new(prepare_all(source, &mix, options.pace.distinct, &mut random)?);

    let start = options.meter.start()?;
    let background = writer.clone().map(|writer| {
        let plan = bucket_by_bucket(options.load.chunking(), 0..WRITER_BUCKETS_MAX, options.passes.max(1));
        tokio::spawn(async move { writer.run(plan).await })
    });
    let pace = options.pace.pace(Duration::from_secs(options.duration_s), POINTS_COMPARE_EVERY);
    let totals = run_queries(connections, prepared, pace).await?;
    if let (Some(writer), Some(background)) = (writer, background) {
        writer.stop();
        let written =
            background.await.map_err(|error| format!("the background writer failed: {error}"))??;
        let mut section = Section::new("background_writes");
        section.writes(&written);
        report.write_faults(&written);
        report.push(section);
    }
    query_sections(&totals, &options.meter, &start, report).await
}

/// Adds what queries came to, and a section per shape.
pub async fn query_sections(
    totals: &QueryTotals,
    meter: &MeterOptions,
    start: &PhaseStart,
    report: &mut Report,
) -> Result<(), String> {
    let mut section = Section::new("queries");
    section
        .figure("queries", totals.queries())
        .figure("elapsed_s", round3(totals.elapsed.as_secs_f64()))
        .figure(
            "queries_per_second",
            round3(totals.queries() as f64 / totals.elapsed.as_secs_f64().max(1e-9)),
        );
    meter.finish(start, &mut section, ("queries", totals.queries()), 0, report).await?;
    report.push(section);
    report_shapes(totals, report);
    Ok(())
}

/// Adds a section per shape, and the faults.
pub fn report_shapes(totals: &QueryTotals, report: &mut Report) {
    let mut shapes: Vec<(&&str, &ShapeTotals)> =
        totals.shapes.iter().collect::<HashMap<_, _>>().into_iter().collect();
    shapes.sort_by_key(|(name, _)| name.trim_start_matches('Q').parse::<u32>().unwrap_or(0));
    for (name, shape) in shapes {
        let mut section = Section::new(*name);
        section
            .figure("queries", shape.queries)
            .figure("rows_mean", round3(shape.rows as f64 / shape.queries.max(1) as f64))
            .figure("failed", shape.failed)
            .figure("wrong", shape.wrong)
            .latencies("answer_ms", &shape.latencies);
        report.push(section);
        if shape.failed + shape.wrong > 0 {
            report
                .fault(format!("{name}: {} queries failed, {} answers are wrong", shape.failed, shape.wrong));
            shape.fault_texts.iter().for_each(|text| report.fault(format!("{name}: {text}")));
        }
    }
}
