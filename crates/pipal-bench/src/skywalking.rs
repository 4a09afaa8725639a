//! `pipal-bench skywalking`: the metric part of the SkyWalking workload.

pub mod boot;
pub mod catalog;
pub mod cutter;
pub mod definitions;
pub mod model;
pub mod query_source;
pub mod round;
pub mod tier;
pub mod tracker;

use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::connection::Connections;
use crate::latency::Latencies;
use crate::message_ids::{MessageIds, now_nanos};
use crate::meter::MeterOptions;
use crate::query::prepared::{Mix, prepare_all};
use crate::query::runner::run_queries;
use crate::query::{POINTS_COMPARE_EVERY, PaceOptions, report_shapes};
use crate::random::Random;
use crate::report::{Report, Section, round3};
use crate::skywalking::catalog::METRICS;
use crate::skywalking::cutter::{Cutter, TrackedBatch};
use crate::skywalking::model::Model;
use crate::skywalking::query_source::SkyWalkingSource;
use crate::skywalking::round::{Headers, ROUND_MS, Round};
use crate::skywalking::tier::TierOptions;
use crate::skywalking::tracker::Tracker;
use crate::write_stream::write_stream;
use crate::writer::WriteTotals;

/// Options of `skywalking`.
#[derive(Debug, Clone, clap::Args)]
pub struct SkyWalkingOptions {
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
    /// Rounds of 25 seconds to write
    #[arg(long, default_value_t = 12)]
    pub rounds: u32,
    /// Send every round when it is due, as the client does; default: one round after the other without pause
    #[arg(long)]
    pub open: bool,
    /// Also write the metrics and rows of edges between services, instances and endpoints
    #[arg(long)]
    pub relations: bool,
    /// Create only the measures that are written, not the whole catalog of 5,547
    #[arg(long)]
    pub small_catalog: bool,
    /// Query meanwhile, with the pace of the query options
    #[arg(long)]
    pub query: bool,
    /// Points per write stream
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub points_per_stream: u64,
    /// Write streams at a time at most
    #[arg(long, default_value_t = 15)]
    pub streams: usize,
    /// A stream without end after this time has failed, seconds
    #[arg(long, default_value_t = 60, value_name = "S")]
    pub deadline_s: u64,
}

/// What the senders of a run share.
struct Run {
    connections: Arc<Connections>,
    model: Model,
    headers: Headers,
    ids: Arc<MessageIds>,
    totals: Mutex<WriteTotals>,
    tracker: Mutex<Tracker>,
    options: SkyWalkingOptions,
}

impl Run {
    async fn send(&self, tracked: TrackedBatch) -> Result<(), String> {
        let deadline = Duration::from_secs(self.options.deadline_s);
        let outcome = write_stream(self.connections.take()?, tracked.batch, deadline).await;
        if outcome.is_clean() {
            self.tracker.lock().unwrap_or_else(PoisonError::into_inner).acknowledged(tracked.samples);
        }
        self.totals.lock().unwrap_or_else(PoisonError::into_inner).take(outcome, Duration::ZERO);
        Ok(())
    }

    /// Sends one round with several streams at a time; returns when all are answered.
    async fn round(self: &Arc<Self>, round: Round) -> Result<(), String> {
        let (sender, receiver) = mpsc::channel(2);
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        let mut tasks: tokio::task::JoinSet<Result<(), String>> = tokio::task::JoinSet::new();
        for _ in 0..self.options.streams.max(1) {
            let (run, receiver) = (Arc::clone(self), Arc::clone(&receiver));
            tasks.spawn(async move {
                loop {
                    let next = receiver.lock().await.recv().await;
                    let Some(tracked) = next else { return Ok(()) };
                    run.send(tracked).await?;
                }
            });
        }
        let mut cutter = Cutter::new(Arc::clone(&self.ids), self.options.points_per_stream as usize, sender);
        round.write(&self.model, &self.headers, &mut cutter).await?;
        drop(cutter);
        while let Some(done) = tasks.join_next().await {
            done.map_err(|error| format!("a sender failed: {error}"))??;
        }
        Ok(())
    }

    /// All rounds; gives the time that each took.
    async fn rounds(self: &Arc<Self>) -> Result<Latencies, String> {
        let now_ms = (now_nanos() / 1_000_000) as i64;
        let rounds = self.options.rounds;
        // Without pauses the rounds are dated back, so that the last one ends now.
        let first_ms =
            if self.options.open { now_ms } else { now_ms - i64::from(rounds.saturating_sub(1)) * ROUND_MS };
        let started = Instant::now();
        let mut times = Latencies::default();
        for number in 0..rounds {
            let offset_ms = i64::from(number) * ROUND_MS;
            if self.options.open {
                tokio::time::sleep_until((started + Duration::from_millis(offset_ms as u64)).into()).await;
            }
            let relations = self.options.relations;
            let begun = Instant::now();
            self.round(Round { number, now_ms: first_ms + offset_ms, epoch_ms: first_ms, relations }).await?;
            times.record(begun.elapsed());
        }
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.elapsed = started.elapsed();
        Ok(times)
    }
}

/// The metrics of an installation, while they are written and afterwards.
pub struct Metrics {
    run: Arc<Run>,
}

impl Metrics {
    /// Metrics of which nothing was written.
    pub fn new(connections: &Arc<Connections>, options: &SkyWalkingOptions) -> Self {
        let run = Run {
            connections: Arc::clone(connections),
            model: Model::new(options.tier.tier.sizes(), options.seed),
            headers: Headers::new(),
            ids: Arc::default(),
            totals: Mutex::default(),
            tracker: Mutex::default(),
            options: options.clone(),
        };
        Metrics { run: Arc::new(run) }
    }

    /// Starts to write all rounds; gives the time that each took.
    pub fn start(&self) -> tokio::task::JoinHandle<Result<Latencies, String>> {
        let run = Arc::clone(&self.run);
        tokio::spawn(async move { run.rounds().await })
    }

    /// The section of what was written, and the number of acknowledged points.
    pub fn section(&self, round_times: &Latencies, report: &mut Report) -> (Section, u64) {
        let totals = std::mem::take(&mut *self.run.totals.lock().unwrap_or_else(PoisonError::into_inner));
        let mut section = Section::new("writes");
        section.writes(&totals).latencies("round_ms", round_times);
        report.write_faults(&totals);
        (section, totals.points_acknowledged)
    }

    /// Compares every followed series with its last acknowledged writes.
    pub async fn follow(&self, report: &mut Report) -> Result<(), String> {
        let tracker = std::mem::take(&mut *self.run.tracker.lock().unwrap_or_else(PoisonError::into_inner));
        let followed = tracker.compare(&self.run.connections, &self.run.model).await?;
        let mut section = Section::new("followed_series");
        section
            .figure("series", followed.series)
            .figure("buckets", followed.buckets)
            .figure("wrong", followed.wrong);
        report.push(section);
        if followed.wrong > 0 {
            report.fault(format!("{} followed buckets are wrong", followed.wrong));
            followed.texts.iter().for_each(|text| report.fault(text));
        }
        Ok(())
    }
}

/// Runs `skywalking`.
pub async fn run(options: SkyWalkingOptions) -> Result<ExitCode, String> {
    let connections = Arc::new(Connections::open(&options.addr, options.connections).await?);
    let mut report = Report::default();
    boot_section(&options, &connections, &mut report).await?;

    let metrics = Metrics::new(&connections, &options);
    let start = options.meter.start()?;
    let writing = metrics.start();
    if options.query {
        query_meanwhile(&options, &connections, &mut report).await?;
    }
    let round_times = writing.await.map_err(|error| format!("writing failed: {error}"))??;
    let (mut section, points) = metrics.section(&round_times, &mut report);
    options.meter.finish(&start, &mut section, ("points", points), 0, &mut report).await?;
    report.push(section);
    metrics.follow(&mut report).await?;
    Ok(report.print(options.meter.json))
}

/// Creates all schema objects and adds the section of it.
pub async fn boot_section(
    options: &SkyWalkingOptions,
    connections: &Connections,
    report: &mut Report,
) -> Result<(), String> {
    let written: HashSet<&str> = match options.small_catalog {
        true => METRICS.iter().map(|metric| metric.name).collect(),
        false => HashSet::new(),
    };
    let start = options.meter.start()?;
    let boot = boot::boot(connections.take()?, &written).await?;
    let mut section = Section::new("schema");
    section
        .figure("measures", boot.measures)
        .figure("calls", boot.calls)
        .figure("elapsed_s", round3(boot.elapsed.as_secs_f64()))
        .figure("top_n_rules", if boot.has_top_n { "created" } else { "not served" })
        .latencies("measure_ms", &boot.per_measure);
    options.meter.finish(&start, &mut section, ("calls", boot.calls), 0, report).await?;
    report.push(section);
    Ok(())
}

/// Queries while the rounds are written: for their scheduled time, or for a closed loop for as long as the rounds of an
/// open one would take, at most.
async fn query_meanwhile(
    options: &SkyWalkingOptions,
    connections: &Arc<Connections>,
    report: &mut Report,
) -> Result<(), String> {
    let source = SkyWalkingSource::new(Model::new(options.tier.tier.sizes(), options.seed));
    // Metadata is complete only after the first round: what needs it waits for `query --data skywalking`.
    let charts = Mix::of_model(&["Q1", "Q2", "Q4", "Q5", "Q6", "Q7"]);
    let mix = options.pace.shapes.clone().unwrap_or(charts);
    let mut random = Random::new(options.seed);
    let prepared = Arc::new(prepare_all(&source, &mix, options.pace.distinct, &mut random)?);
    let duration = Duration::from_millis(u64::from(options.rounds) * ROUND_MS as u64);
    let totals =
        run_queries(connections, prepared, options.pace.pace(duration, POINTS_COMPARE_EVERY)).await?;
    report_shapes(&totals, report);
    Ok(())
}
