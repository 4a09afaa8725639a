//! Crash tests: one command writes and keeps a journal while the server is killed, another one reads everything back.

pub mod documents;
pub mod journal;
pub mod rows;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::connection::Connections;
use crate::crash::journal::{Header, Journal, JournalHeader, read_journal};
use crate::data_model::DataModel;
use crate::ledger::Ledger;
use crate::load::{Load, MeasureLoad};
use crate::load_m::{LoadOptions, create_schema, verify_into};
use crate::message_ids::now_nanos;
use crate::plan::append_and_rewrite;
use crate::report::{Report, Section};
use crate::shape::{Shape, ShapeOptions};
use crate::writer::{WriteTotals, Writer, WriterOptions};

/// Buckets of a crash test are a second apart: hundreds of rounds fit into the lifetime of the group.
const STEP_MS: i64 = 1000;
/// The first bucket lies this far back, so that the buckets of many rounds are in the past.
const START_BACK_MS: i64 = 36 * 3_600_000;
const GROUP_TTL_DAYS: u32 = 7;

/// Options of `crash-writer`.
#[derive(Debug, Clone, clap::Args)]
pub struct CrashWriterOptions {
    #[command(flatten)]
    pub load: LoadOptions,
    /// File that remembers what was sent and acknowledged; an existing one is continued with the load it names
    #[arg(long, value_name = "FILE")]
    pub journal: PathBuf,
    /// End after this time, also when the server is still there, seconds
    #[arg(long, default_value_t = 60, value_name = "S")]
    pub duration_s: u64,
    /// Points per second, of each model; default: as fast as the server answers
    #[arg(long, value_name = "POINTS")]
    pub rate: Option<f64>,
    /// What to write; log rows and spans go to groups and journals of their own, named after the first ones
    #[arg(long, value_enum, value_delimiter = ',', default_value = "measure")]
    pub models: Vec<DataModel>,
    /// Documents to apply again and again beside the rows, with a journal of their own
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub documents: usize,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// Options of `crash-verify`.
#[derive(Debug, Clone, clap::Args)]
pub struct CrashVerifyOptions {
    /// Address of the server
    #[arg(long, default_value = "127.0.0.1:17912", value_name = "HOST:PORT")]
    pub addr: String,
    /// Journal of the crash writer
    #[arg(long, value_name = "FILE")]
    pub journal: PathBuf,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

fn open_journal(options: &CrashWriterOptions) -> Result<(JournalHeader, Ledger, Journal), String> {
    if options.journal.exists() {
        let (header, ledger) = read_journal(&options.journal)?;
        return Ok((header, ledger, Journal::append_to(&options.journal)?));
    }
    let now_ms = (now_nanos() / 1_000_000) as i64;
    let LoadOptions { seed, group, measures, entities, points_per_stream, .. } = options.load.clone();
    let start_ms = (now_ms - START_BACK_MS) / STEP_MS * STEP_MS;
    let shape = ShapeOptions { seed, group, measures, entities, start_ms, step_ms: STEP_MS };
    let header = JournalHeader { shape, points_per_stream };
    let journal = Journal::create(&options.journal, &header)?;
    Ok((header.clone(), Ledger::new(header.chunking()), journal))
}

/// A writer of points that goes on until it is stopped or the server goes away.
async fn point_writer(
    options: &CrashWriterOptions,
    connections: &Arc<Connections>,
    writer_options: WriterOptions,
) -> Result<Arc<Writer<MeasureLoad>>, String> {
    let (header, ledger, journal) = open_journal(options)?;
    let shape = Shape::new(header.shape);
    create_schema(connections, &shape, options.load.shards, GROUP_TTL_DAYS).await?;
    let load = MeasureLoad::new(shape);
    Ok(Arc::new(Writer::new(load, ledger, Some(journal), Arc::clone(connections), writer_options)))
}

async fn write_points(writer: Arc<Writer<MeasureLoad>>) -> Result<WriteTotals, String> {
    let (chunking, pass_max) = writer.with_ledger(|ledger| (ledger.chunking, ledger.pass_max()));
    let first_item = pass_max.map_or(0, |pass| pass.saturating_add(1));
    writer.run(append_and_rewrite(chunking, writer.load.shape.options.seed, first_item)).await
}

/// Stops a writer when its time is over.
fn stop_after<L: Load>(writer: &Arc<Writer<L>>, duration_s: u64) {
    let writer = Arc::clone(writer);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(duration_s)).await;
        writer.stop();
    });
}

/// Runs `crash-writer`: ends with success when the time is over or when the server goes away; losing the server is
/// what it is for. Refusals while the server answers are faults.
pub async fn run_writer(options: CrashWriterOptions) -> Result<ExitCode, String> {
    let connections = Arc::new(Connections::open(&options.load.addr, options.load.connections).await?);
    let writer_options = WriterOptions {
        streams: options.load.streams,
        points_per_second: options.rate,
        deadline: Duration::from_secs(10),
        check_every: 0,
        stop_on_failure: true,
    };
    let mut running: Vec<(DataModel, JoinHandle<Result<WriteTotals, String>>)> = Vec::new();
    for &model in &options.models {
        let writer_options = writer_options.clone();
        running.push((
            model,
            match model {
                DataModel::Measure => {
                    let writer = point_writer(&options, &connections, writer_options).await?;
                    stop_after(&writer, options.duration_s);
                    tokio::spawn(write_points(writer))
                }
                _ => {
                    let writer = rows::writer(&options, model, &connections, writer_options).await?;
                    stop_after(&writer, options.duration_s);
                    tokio::spawn(rows::run(writer))
                }
            },
        ));
    }
    let documents = match options.documents {
        0 => None,
        _ => Some(tokio::spawn(documents::run(&options, &connections).await?)),
    };
    let mut report = Report::default();
    for (model, task) in running {
        let totals = task.await.map_err(|error| format!("a writer failed: {error}"))??;
        writer_section(model, &totals, &mut report);
    }
    if let Some(task) = documents {
        match task.await.map_err(|error| format!("the writer of documents failed: {error}"))? {
            Ok(section) => report.push(section),
            Err(fault) => report.fault(fault),
        }
    }
    Ok(report.print(options.json))
}

fn writer_section(model: DataModel, totals: &WriteTotals, report: &mut Report) {
    let mut section = match model {
        DataModel::Measure => Section::new("crash_writer"),
        _ => Section::new(format!("crash_writer_{}", model.name())),
    };
    section.writes(totals);
    section.figure(
        "ended_by",
        if totals.failed_streams > 0 { "the server went away" } else { "its time was over" },
    );
    report.push(section);
    if totals.bad_replies > 0 {
        report.fault(format!("{}: {} replies were no success", model.name(), totals.bad_replies));
        totals.fault_texts.iter().for_each(|text| report.fault(text));
    }
}

/// Runs `crash-verify` on the journal and on those of other models beside it.
pub async fn run_verify(options: CrashVerifyOptions) -> Result<ExitCode, String> {
    let connections = Connections::open(&options.addr, 1).await?;
    let mut report = Report::default();
    let mut journals = 0;
    if options.journal.exists() {
        journals += 1;
        let (header, ledger): (JournalHeader, Ledger) = read_journal(&options.journal)?;
        let (sent, acknowledged) = ledger.streams();
        let mut section = Section::new("journal");
        section.figure("streams_sent", sent).figure("streams_acknowledged", acknowledged);
        report.push(section);
        verify_into(&connections, &Shape::new(header.shape), &ledger, &mut report).await?;
    }
    for model in [DataModel::Stream, DataModel::Trace] {
        let found = rows::verify(&connections, &options.journal, model, &mut report).await?;
        journals += u32::from(found);
    }
    journals += u32::from(documents::verify(&connections, &options.journal, &mut report).await?);
    match journals {
        0 => Err(format!("there is no journal {}", options.journal.display())),
        _ => Ok(report.print(options.json)),
    }
}
