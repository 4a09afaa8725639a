//! `pipal-bench query-l` and `query-s`: the queries on logs and traces, alone or beside writes of the same rows.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use pipal_api::model::v1::Sort;
use pipal_api::stream::v1::QueryResponse as LogResponse;
use pipal_api::trace::v1::QueryResponse as TraceResponse;

use crate::connection::Connections;
use crate::data_model::DataModel;
use crate::ledger::Ledger;
use crate::message_ids::now_nanos;
use crate::meter::MeterOptions;
use crate::plan::bucket_by_bucket;
use crate::query::prepared::{Feed, Live, Mix, QuerySource, prepare_all};
use crate::query::runner::run_queries;
use crate::query::{PaceOptions, query_sections};
use crate::random::Random;
use crate::report::Report;
use crate::rows::command::{RowLoad, RowOptions, Rows, write_section};
use crate::rows::entities::number_of;
use crate::rows::log_queries::{LogSource, log_request};
use crate::rows::progress::Progress;
use crate::rows::segment_queries::{SegmentSource, trace_request};
use crate::rows::verify::ask;
use crate::writer::{Writer, WriterOptions};

/// Retention of the groups, and so the range in which rows are looked for.
const LOOK_BACK_MS: i64 = 3 * 24 * 3_600_000;
/// Rows are compared in every answer.
pub const ROWS_COMPARE_EVERY: u64 = 1;
const WRITE_DEADLINE: Duration = Duration::from_secs(60);

/// Options of `query-l` and `query-s`.
#[derive(Debug, Clone, clap::Args)]
pub struct QueryRowsOptions {
    #[command(flatten)]
    pub rows: RowOptions,
    #[command(flatten)]
    pub meter: MeterOptions,
    #[command(flatten)]
    pub pace: PaceOptions,
    /// Measure for this time, seconds
    #[arg(long, default_value_t = 30, value_name = "S")]
    pub duration_s: u64,
    /// Meanwhile write the rows onwards at this rate, rows per second; queries then read what was acknowledged so far
    #[arg(long, value_name = "ROWS")]
    pub write_rate: Option<f64>,
}

/// The queries that fit rows, as far as `progress` tells.
pub fn source_of(rows: &Rows, progress: Arc<Progress>) -> Arc<dyn QuerySource> {
    match rows {
        Rows::Logs(logs) => Arc::new(LogSource { logs: Arc::clone(logs), progress }),
        Rows::Segments(segments) => Arc::new(SegmentSource { segments: Arc::clone(segments), progress }),
    }
}

/// A writer of a load in an open loop that goes on until it is stopped.
pub fn open_writer(
    load: RowLoad,
    connections: &Arc<Connections>,
    streams: usize,
    rate: f64,
    check_every: u64,
) -> Arc<Writer<RowLoad>> {
    let options = WriterOptions {
        streams,
        points_per_second: Some(rate),
        deadline: WRITE_DEADLINE,
        check_every,
        stop_on_failure: false,
    };
    let ledger = Ledger::new(RowLoad::chunking(load.rows_per_stream));
    Arc::new(Writer::new(load, ledger, None, Arc::clone(connections), options))
}

/// Time of the first row and number of the last one, as the server has them.
async fn first_and_last(
    connections: &Connections,
    options: &RowOptions,
    model: DataModel,
) -> Result<(i64, u64), String> {
    // Any clock will do: only group and columns of the requests are used.
    let rows = options.rows(model, 0);
    let now_ms = (now_nanos() / 1_000_000) as i64;
    let range = (now_ms - LOOK_BACK_MS, now_ms + LOOK_BACK_MS);
    let nothing =
        || format!("group {} holds no rows; write some with load-l or load-s", options.group(model));
    let milliseconds = |time: Option<&prost_types::Timestamp>| {
        time.map(|time| time.seconds * 1000 + i64::from(time.nanos) / 1_000_000).ok_or_else(nothing)
    };
    let mut found = Vec::new();
    for sort in [Sort::Asc, Sort::Desc] {
        found.push(match &rows {
            Rows::Logs(logs) => {
                let mut request = log_request(logs, range, None);
                request.limit = 1;
                request.order_by.get_or_insert_default().sort = sort as i32;
                let answer: LogResponse = ask(connections, model, &request).await?;
                let element = answer.elements.first().ok_or_else(nothing)?;
                let mut tags = element.tag_families.iter().flat_map(|family| &family.tags);
                let name = tags.find(|tag| tag.key == "unique_id").and_then(text_of);
                (milliseconds(element.timestamp.as_ref())?, name.and_then(number_of).ok_or_else(nothing)?)
            }
            Rows::Segments(segments) => {
                let mut request = trace_request(segments, range, None, "start_time", 1);
                request.order_by.get_or_insert_default().sort = sort as i32;
                request.tag_projection = vec!["start_time".to_owned()];
                let answer: TraceResponse = ask(connections, model, &request).await?;
                let spans = answer.traces.first().map_or(&[][..], |trace| &trace.spans);
                let numbered = spans.iter().filter_map(|span| Some((number_of(&span.span_id)?, span)));
                let last = sort == Sort::Desc;
                let (row, span) = numbered
                    .max_by_key(|(row, _)| if last { *row as i64 } else { -(*row as i64) })
                    .ok_or_else(nothing)?;
                let time = span.tags.first().and_then(|tag| match tag.value.as_ref()?.value.as_ref()? {
                    pipal_api::model::v1::tag_value::Value::Timestamp(time) => Some(time),
                    _ => None,
                });
                (milliseconds(time)?, row)
            }
        });
    }
    match found.as_slice() {
        [(start_ms, 0), (_, last)] => Ok((*start_ms, *last)),
        _ => {
            Err(format!("group {} holds rows of several runs; use one group for each", options.group(model)))
        }
    }
}

fn text_of(tag: &pipal_api::model::v1::Tag) -> Option<&str> {
    match tag.value.as_ref()?.value.as_ref()? {
        pipal_api::model::v1::tag_value::Value::Str(text) => Some(&text.value),
        _ => None,
    }
}

/// Runs `query-l` or `query-s`.
pub async fn run_query(model: DataModel, options: QueryRowsOptions) -> Result<ExitCode, String> {
    let connections = Arc::new(Connections::open(&options.rows.addr, options.rows.connections).await?);
    let (start_ms, last) = first_and_last(&connections, &options.rows, model).await?;
    let rows = options.rows.rows(model, start_ms);
    let mut report = Report::default();
    let rows_per_stream = options.rows.rows_per_stream(model);
    let duration = Duration::from_secs(options.duration_s);
    let pace = options.pace.pace(duration, ROWS_COMPARE_EVERY);
    let mut load = RowLoad::new(rows.clone(), rows_per_stream);
    load.progress = Arc::new(Progress::complete_streams(last + 1, rows_per_stream));
    let source = source_of(&rows, Arc::clone(&load.progress));
    let mix = options.pace.shapes.clone().unwrap_or_else(|| Mix::of_model(source.shapes()));

    let start = options.meter.start()?;
    let writing = options.write_rate.map(|rate| {
        let first = (last + 1).div_ceil(rows_per_stream) as u32;
        let writer = open_writer(load, &connections, options.rows.streams, rate, 4);
        let plan = bucket_by_bucket(RowLoad::chunking(rows_per_stream), first..u32::MAX, 1);
        let running = tokio::spawn({
            let writer = Arc::clone(&writer);
            async move { writer.run(plan).await }
        });
        (writer, running)
    });
    let feed: Arc<dyn Feed> = match writing {
        Some(_) => Arc::new(Live::new(vec![source], mix, options.rows.seed)?),
        None => {
            let mut random = Random::new(options.rows.seed);
            Arc::new(prepare_all(&*source, &mix, options.pace.distinct, &mut random)?)
        }
    };
    let totals = run_queries(&connections, feed, pace).await?;
    if let Some((writer, running)) = writing {
        writer.stop();
        let written = running.await.map_err(|error| format!("the background writer failed: {error}"))??;
        let section = write_section("background_writes", &written, &mut report);
        report.push(section);
    }
    query_sections(&totals, &options.meter, &start, &mut report).await?;
    Ok(report.print(options.meter.json))
}
