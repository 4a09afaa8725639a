//! `pipal-bench load-m`: the load that the tables of `docs/benchmarks.md` call M.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipal_api::database::v1::{FieldType, Measure, TagType};

use crate::connection::Connections;
use crate::ledger::Ledger;
use crate::load::MeasureLoad;
use crate::message_ids::now_nanos;
use crate::meter::MeterOptions;
use crate::plan::{Chunking, bucket_by_bucket};
use crate::report::{Report, Section, round3};
use crate::schema::{SchemaClient, binding, entity, family, field, measure_group, metadata, tag_rule};
use crate::shape::{NULL_ATTRIBUTES, Shape, ShapeOptions};
use crate::verify::{Verification, verify_all};
use crate::writer::{Writer, WriterOptions};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// Which load, shared by the commands that write or read it.
#[derive(Debug, Clone, clap::Args)]
pub struct LoadOptions {
    /// Address of the server
    #[arg(long, default_value = "127.0.0.1:17912", value_name = "HOST:PORT")]
    pub addr: String,
    /// Connections that calls take turns on
    #[arg(long, default_value_t = 1)]
    pub connections: usize,
    /// Seed of everything random: equal seeds write equal loads
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Group of the measures
    #[arg(long, default_value = "bench_m")]
    pub group: String,
    /// Number of measures
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub measures: u32,
    /// Entities (series) per measure
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub entities: u32,
    /// Shards of the group
    #[arg(long, default_value_t = 2)]
    pub shards: u32,
    /// Points per write stream
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub points_per_stream: u64,
    /// Write streams at a time
    #[arg(long, default_value_t = 4)]
    pub streams: usize,
}

/// Options of `load-m`.
#[derive(Debug, Clone, clap::Args)]
pub struct LoadMOptions {
    #[command(flatten)]
    pub load: LoadOptions,
    #[command(flatten)]
    pub meter: MeterOptions,
    /// Minutes of phase 1, whose first minute creates all series
    #[arg(long, default_value_t = 5)]
    pub new_minutes: u32,
    /// Minutes of phase 2, which continues existing series
    #[arg(long, default_value_t = 20)]
    pub existing_minutes: u32,
    /// How often every minute bucket is written, each time with grown values
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub passes: u32,
    /// First minute, Unix seconds; default: so that the last one is the current minute
    #[arg(long, value_name = "UNIX_S")]
    pub start: Option<i64>,
    /// Group, measures and rules are there already: create none
    #[arg(long)]
    pub skip_schema: bool,
    /// Points per second (open loop); default: as fast as the server answers
    #[arg(long, value_name = "POINTS")]
    pub rate: Option<f64>,
    /// A stream without end after this time has failed, seconds
    #[arg(long, default_value_t = 60, value_name = "S")]
    pub deadline_s: u64,
    /// Read one point back after every N-th stream; 0 never
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub check_every: u64,
    /// Read everything back at the end and compare
    #[arg(long)]
    pub verify: bool,
}

impl LoadOptions {
    /// How the load cuts its buckets.
    pub fn chunking(&self) -> Chunking {
        let points_per_bucket = u64::from(self.measures) * u64::from(self.entities);
        Chunking { points_per_bucket, points_per_stream: self.points_per_stream }
    }

    /// The load with minutes as buckets, the first at `start_ms`.
    pub fn minute_shape(&self, start_ms: i64) -> Shape {
        Shape::new(ShapeOptions {
            seed: self.seed,
            group: self.group.clone(),
            measures: self.measures,
            entities: self.entities,
            start_ms,
            step_ms: MINUTE_MS,
        })
    }
}

/// The schema of a measure of load M, declared as the client does: `storage-only` before `searchable`.
fn measure(shape: &Shape, number: u32) -> Measure {
    let text = |tag: &str| (tag.to_owned(), TagType::String);
    let searchable = ["service_id", "attr0"].into_iter().chain(NULL_ATTRIBUTES).map(text);
    Measure {
        metadata: Some(metadata(&shape.options.group, &shape.measure_name(number))),
        tag_families: vec![family("storage-only", [text("entity_id")]), family("searchable", searchable)],
        fields: ["summation", "count", "value"].map(|name| field(name, FieldType::Int)).into(),
        entity: Some(entity(&["entity_id"])),
        interval: "1m".to_owned(),
        ..Default::default()
    }
}

/// Creates group, measures, index rules and bindings of the load where they are absent.
pub async fn create_schema(
    connections: &Connections,
    shape: &Shape,
    shards: u32,
    ttl_days: u32,
) -> Result<u64, String> {
    let group = &shape.options.group;
    let mut client = SchemaClient::new(connections.take()?);
    client.create_group(measure_group(group, shards, 1, ttl_days)).await?;
    let indexed = || ["service_id", "attr0"].into_iter().chain(NULL_ATTRIBUTES);
    let mut revision = 0;
    for tag in indexed() {
        revision = revision.max(client.create_rule(tag_rule(group, tag, "", false)).await?);
    }
    for number in 0..shape.options.measures {
        revision = revision.max(client.create_measure(measure(shape, number)).await?);
        let rules = indexed().map(str::to_owned).collect();
        revision =
            revision.max(client.create_binding(binding(group, &shape.measure_name(number), rules)).await?);
    }
    client.await_revision(revision).await?;
    Ok(client.calls)
}

/// The first of `minutes` whole minutes around `now_ms`: they end with the current one, unless that would cross into
/// the day before. One day is one segment, and a load that straddles two of them would create its series twice.
pub fn first_minute(now_ms: i64, minutes: u32) -> i64 {
    let current = now_ms - now_ms.rem_euclid(MINUTE_MS);
    let first = current - (i64::from(minutes) - 1) * MINUTE_MS;
    let day = current - current.rem_euclid(DAY_MS);
    if i64::from(minutes) * MINUTE_MS <= DAY_MS { first.max(day) } else { first }
}

/// Runs `load-m`.
pub async fn run(options: LoadMOptions) -> Result<ExitCode, String> {
    let minutes = options.new_minutes.saturating_add(options.existing_minutes);
    let now_ms = (now_nanos() / 1_000_000) as i64;
    let start_ms =
        options.start.map_or_else(|| first_minute(now_ms, minutes), |start| start / 60 * MINUTE_MS);
    let shape = options.load.minute_shape(start_ms);
    let connections = Arc::new(Connections::open(&options.load.addr, options.load.connections).await?);
    let mut report = Report::default();

    let schema_started = Instant::now();
    let calls = match options.skip_schema {
        true => 0,
        false => create_schema(&connections, &shape, options.load.shards, 7).await?,
    };
    let mut load = Section::new("load");
    load.figure("measures", options.load.measures)
        .figure("series", shape.points_per_bucket())
        .figure("first_minute_unix_s", start_ms / 1000)
        .figure("schema_calls", calls)
        .figure("schema_elapsed_s", round3(schema_started.elapsed().as_secs_f64()));
    report.push(load);

    let writer_options = WriterOptions {
        streams: options.load.streams,
        points_per_second: options.rate,
        deadline: Duration::from_secs(options.deadline_s),
        check_every: options.check_every,
        stop_on_failure: false,
    };
    let ledger = Ledger::new(options.load.chunking());
    let writer = Arc::new(Writer::new(
        MeasureLoad::new(shape),
        ledger,
        None,
        Arc::clone(&connections),
        writer_options,
    ));
    let phases = [("new_series", 0..options.new_minutes), ("existing_series", options.new_minutes..minutes)];
    for (name, buckets) in phases.into_iter().filter(|(_, buckets)| !buckets.is_empty()) {
        let start = options.meter.start()?;
        let acknowledged_before = writer.with_ledger(Ledger::acknowledged_points);
        let plan = bucket_by_bucket(options.load.chunking(), buckets, options.passes);
        let totals = writer.run(plan).await?;
        let distinct = writer.with_ledger(Ledger::acknowledged_points) - acknowledged_before;
        let mut section = Section::new(name);
        section.writes(&totals).figure("distinct_points", distinct);
        report.write_faults(&totals);
        let written = ("points", totals.points_acknowledged);
        options.meter.finish(&start, &mut section, written, distinct, &mut report).await?;
        report.push(section);
    }
    if options.verify {
        let ledger = writer.with_ledger(Ledger::clone);
        verify_into(&connections, &writer.load.shape, &ledger, &mut report).await?;
    }
    Ok(report.print(options.meter.json))
}

/// Reads a load back, adds the figures and faults to the report.
pub async fn verify_into(
    connections: &Connections,
    shape: &Shape,
    ledger: &Ledger,
    report: &mut Report,
) -> Result<(), String> {
    let started = Instant::now();
    let verification = verify_all(connections, shape, ledger).await?;
    report_verification(("verification", "acknowledged_points"), &verification, started, report);
    Ok(())
}

/// Adds the figures and faults of a verification to the report; `names` are those of its section and of the number that
/// had to be there.
pub fn report_verification(
    names: (&str, &str),
    verification: &Verification,
    started: Instant,
    report: &mut Report,
) {
    let mut section = Section::new(names.0);
    section
        .figure(names.1, verification.expected)
        .figure("rows_read", verification.rows)
        .figure("lost", verification.lost)
        .figure("stale", verification.stale)
        .figure("altered", verification.altered)
        .figure("duplicated", verification.duplicated)
        .figure("foreign", verification.foreign)
        .figure("elapsed_s", round3(started.elapsed().as_secs_f64()));
    report.push(section);
    if !verification.is_clean() {
        report.fault(format!("{} rows are wrong or missing", verification.faults()));
        verification.texts.iter().for_each(|text| report.fault(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_end_now_and_stay_within_a_day_where_they_can() {
        let noon = 20_000 * DAY_MS + DAY_MS / 2;
        assert_eq!(first_minute(noon + 30_500, 25), noon - 24 * MINUTE_MS);
        let after_midnight = 20_000 * DAY_MS + 3 * MINUTE_MS;
        assert_eq!(first_minute(after_midnight, 25), 20_000 * DAY_MS);
        assert_eq!(first_minute(after_midnight, 3_000), after_midnight - 2_999 * MINUTE_MS);
    }
}
