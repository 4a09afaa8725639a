//! Log rows and spans in crash tests: each model has a journal beside that of the points.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::connection::Connections;
use crate::crash::CrashWriterOptions;
use crate::crash::journal::{Header, Journal, read_journal};
use crate::data_model::DataModel;
use crate::ledger::Ledger;
use crate::load_m::report_verification;
use crate::message_ids::now_nanos;
use crate::plan::{Chunking, append};
use crate::report::Report;
use crate::rows::clock::RowClock;
use crate::rows::command::{RowLoad, Rows, presence_in};
use crate::rows::entities::Entities;
use crate::rows::schema::LogRules;
use crate::skywalking::tier::Tier;
use crate::writer::{WriteTotals, Writer, WriterOptions};

const TITLE: &str = "pipal-bench rows 1";
/// The first row lies this far back, so that the rows of many rounds are in the past.
const START_BACK_MS: i64 = 24 * 3_600_000;
/// Hundreds of rounds fit into a day of the rows' own time.
const ROWS_PER_SECOND: u32 = 50;
const GROUP_TTL_DAYS: u32 = 7;

/// Everything that the verifier must know about a load of rows.
#[derive(Debug, Clone, PartialEq)]
struct RowHeader {
    model: DataModel,
    group: String,
    seed: u64,
    clock: RowClock,
    rows_per_stream: u64,
}

impl Header for RowHeader {
    fn chunking(&self) -> Chunking {
        RowLoad::chunking(self.rows_per_stream)
    }

    fn to_line(&self) -> String {
        let RowHeader { model, group, seed, clock, rows_per_stream } = self;
        let RowClock { start_ms, rows_per_second } = clock;
        format!("{TITLE} {} {group} {seed} {start_ms} {rows_per_second} {rows_per_stream}\n", model.name())
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix(TITLE)?.split_whitespace();
        let mut next = || words.next();
        let model = match next()? {
            "stream" => DataModel::Stream,
            "trace" => DataModel::Trace,
            _ => return None,
        };
        Some(RowHeader {
            model,
            group: next()?.to_owned(),
            seed: next()?.parse().ok()?,
            clock: RowClock { start_ms: next()?.parse().ok()?, rows_per_second: next()?.parse().ok()? },
            rows_per_stream: next()?.parse().ok().filter(|&rows| rows > 0)?,
        })
    }
}

impl RowHeader {
    fn rows(&self) -> Rows {
        let entities = Entities::new(Tier::Smoke.sizes(), self.seed);
        Rows::new(self.model, &self.group, self.clock, entities, self.seed)
    }
}

/// The journal of a model beside that of the points.
pub fn journal_of(points: &Path, model: DataModel) -> PathBuf {
    let mut name = points.as_os_str().to_owned();
    name.push(format!(".{}", model.name()));
    name.into()
}

fn open_journal(
    options: &CrashWriterOptions,
    model: DataModel,
) -> Result<(RowHeader, Ledger, Journal), String> {
    let path = journal_of(&options.journal, model);
    if path.exists() {
        let (header, ledger) = read_journal(&path)?;
        return Ok((header, ledger, Journal::append_to(&path)?));
    }
    let start_ms = (now_nanos() / 1_000_000) as i64 - START_BACK_MS;
    let header = RowHeader {
        model,
        group: format!("{}_{}", options.load.group, model.name()),
        seed: options.load.seed,
        clock: RowClock { start_ms, rows_per_second: ROWS_PER_SECOND },
        rows_per_stream: options.load.points_per_stream,
    };
    let journal = Journal::create(&path, &header)?;
    let ledger = Ledger::new(header.chunking());
    Ok((header, ledger, journal))
}

/// A writer of a model's rows that goes on until it is stopped or the server goes away.
pub async fn writer(
    options: &CrashWriterOptions,
    model: DataModel,
    connections: &Arc<Connections>,
    writer_options: WriterOptions,
) -> Result<Arc<Writer<RowLoad>>, String> {
    let (header, ledger, journal) = open_journal(options, model)?;
    let rows = header.rows();
    rows.create_schema(connections, options.load.shards, GROUP_TTL_DAYS, LogRules::Client).await?;
    let load = RowLoad::new(rows, header.rows_per_stream);
    Ok(Arc::new(Writer::new(load, ledger, Some(journal), Arc::clone(connections), writer_options)))
}

/// Appends rows behind those of former rounds.
pub async fn run(writer: Arc<Writer<RowLoad>>) -> Result<WriteTotals, String> {
    let first_item = writer.with_ledger(Ledger::pass_max).map_or(0, |pass| pass.saturating_add(1));
    writer.run(append(first_item)).await
}

/// Reads everything of a model's journal back; false if there is no such journal.
pub async fn verify(
    connections: &Connections,
    points_journal: &Path,
    model: DataModel,
    report: &mut Report,
) -> Result<bool, String> {
    let path = journal_of(points_journal, model);
    if !path.exists() {
        return Ok(false);
    }
    let started = Instant::now();
    let (header, ledger) = read_journal::<RowHeader>(&path)?;
    let rows = u64::from(ledger.buckets_end()) * header.rows_per_stream;
    let presence = |row| presence_in(&ledger, header.rows_per_stream, row);
    let verification = header.rows().verify(connections, rows, &presence).await?;
    let title = format!("verification_{}", model.name());
    report_verification((&title, "acknowledged_rows"), &verification, started, report);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_back_and_damaged_ones_refused() {
        for model in [DataModel::Stream, DataModel::Trace] {
            let clock = RowClock { start_ms: 1_700_000_000_123, rows_per_second: 50 };
            let header = RowHeader { model, group: "crash_x".into(), seed: 7, clock, rows_per_stream: 250 };
            assert_eq!(RowHeader::parse(&header.to_line()), Some(header.clone()));
            let short: Vec<&str> = header.to_line().leak().split(' ').collect();
            assert_eq!(RowHeader::parse(&short[..short.len() - 1].join(" ")), None);
        }
        assert_eq!(RowHeader::parse("pipal-bench rows 1 measure g 1 1 1 1"), None);
        assert_eq!(journal_of(Path::new("/a/j"), DataModel::Trace), Path::new("/a/j.trace"));
    }
}
