//! Documents in crash tests: each is applied again and again with a growing number. After a crash it must be there once,
//! with the number of the last `Apply` that was answered or of the one that was on its way, and with the tags of that number.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pipal_api::model::v1::{Tag, tag_value};
use pipal_api::property::v1::property_service_client::PropertyServiceClient;
use pipal_api::property::v1::{ApplyRequest, Property, QueryRequest, apply_request::Strategy};
use tonic::Code;
use tonic::transport::Channel;

use crate::connection::Connections;
use crate::crash::CrashWriterOptions;
use crate::properties::{NAME, create_schema, int_value, tag};
use crate::read::text_value;
use crate::report::{Report, Section};
use crate::schema::metadata;

const TITLE: &str = "pipal-bench documents 1";
/// Calls on their way at a time.
const WORKERS: usize = 4;
/// Bytes of a document's text, roughly.
const TEXT_BYTES: usize = 800;

/// Numbers of the last `Apply` of a document that was answered and that was sent; 0 before the first one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct History {
    acknowledged: u64,
    sent: u64,
}

/// The journal: a line before each call and one after its success.
#[derive(Debug)]
struct Journal {
    group: String,
    histories: Vec<History>,
    file: File,
}

/// The journal of the documents beside that of the points.
pub fn journal_of(points: &Path) -> PathBuf {
    let mut name = points.as_os_str().to_owned();
    name.push(".documents");
    name.into()
}

impl Journal {
    /// Continues a journal, or begins one.
    fn open(path: &Path, group: &str, documents: usize) -> Result<Self, String> {
        let found = if path.exists() { Some(read(path)?) } else { None };
        let file = OpenOptions::new().create(true).append(true).open(path);
        let mut file = file.map_err(|error| format!("cannot open {}: {error}", path.display()))?;
        let (group, mut histories) = match found {
            Some(found) => found,
            None => {
                note(&mut file, &format!("{TITLE} {group}\n"))?;
                (group.to_owned(), Vec::new())
            }
        };
        histories.resize(documents.max(histories.len()), History::default());
        Ok(Journal { group, histories, file })
    }

    /// Notes a call that is about to be sent, and gives its number.
    fn send(&mut self, document: usize) -> Result<u64, String> {
        let number = self.histories[document].sent + 1;
        note(&mut self.file, &format!("s {document} {number}\n"))?;
        self.histories[document].sent = number;
        Ok(number)
    }

    /// Notes a call that was answered.
    fn acknowledge(&mut self, document: usize, number: u64) -> Result<(), String> {
        self.histories[document].acknowledged = number;
        note(&mut self.file, &format!("a {document} {number}\n"))
    }
}

fn note(file: &mut File, line: &str) -> Result<(), String> {
    file.write_all(line.as_bytes()).map_err(|error| format!("cannot write the journal: {error}"))
}

/// Group and histories of a journal.
fn read(path: &Path) -> Result<(String, Vec<History>), String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    parse(&text).ok_or_else(|| format!("{} is not a journal of documents", path.display()))
}

fn parse(text: &str) -> Option<(String, Vec<History>)> {
    let mut lines = text.lines();
    let group = lines.next()?.strip_prefix(TITLE)?.trim().to_owned();
    let mut histories: Vec<History> = Vec::new();
    for line in lines {
        let mut words = line.split(' ');
        let (kind, document) = (words.next()?, words.next()?.parse::<usize>().ok()?);
        let number = words.next()?.parse().ok()?;
        histories.resize(histories.len().max(document + 1), History::default());
        let history = histories.get_mut(document)?;
        match kind {
            "s" => history.sent = number,
            "a" => history.acknowledged = number,
            _ => return None,
        }
    }
    Some((group, histories))
}

fn id_of(document: usize) -> String {
    format!("document-{document}")
}

/// The tags that call `number` applies; all of them together, so that a mixture of two calls is seen.
fn tags_of(document: usize, number: u64) -> Vec<Tag> {
    let word = format!("{document} in its {number}th version. ");
    let text = word.repeat(TEXT_BYTES / word.len() + 1);
    vec![
        tag("update_time", int_value(number as i64)),
        tag("configuration", text_value(&text)),
        tag("template_id", text_value(&id_of(document))),
    ]
}

/// What the writer of documents did.
#[derive(Debug, Default)]
struct Totals {
    applied: u64,
    server_went_away: bool,
    faults: Vec<String>,
}

/// Applies documents until the time is over or the server goes away.
pub async fn run(
    options: &CrashWriterOptions,
    connections: &Arc<Connections>,
) -> Result<impl Future<Output = Result<Section, String>> + use<>, String> {
    let group = format!("{}_property", options.load.group);
    let journal = Journal::open(&journal_of(&options.journal), &group, options.documents)?;
    create_schema(connections, &journal.group).await?;
    let ends = Instant::now() + Duration::from_secs(options.duration_s);
    let documents = journal.histories.len();
    let journal = Arc::new(Mutex::new(journal));
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..WORKERS.min(documents) {
        let client = PropertyServiceClient::new(connections.take()?);
        let mine = (worker..documents).step_by(WORKERS).collect();
        workers.spawn(apply_all(Arc::clone(&journal), client, mine, ends));
    }
    Ok(async move {
        let mut totals = Totals::default();
        while let Some(done) = workers.join_next().await {
            let part = done.map_err(|error| format!("a worker failed: {error}"))??;
            totals.applied += part.applied;
            totals.server_went_away |= part.server_went_away;
            totals.faults.extend(part.faults);
        }
        match totals.faults.first() {
            Some(fault) => Err(fault.clone()),
            None => Ok(section(&totals)),
        }
    })
}

fn section(totals: &Totals) -> Section {
    let mut section = Section::new("crash_writer_documents");
    let ended_by = if totals.server_went_away { "the server went away" } else { "its time was over" };
    section.figure("applied", totals.applied).figure("ended_by", ended_by);
    section
}

fn locked(journal: &Mutex<Journal>) -> MutexGuard<'_, Journal> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn apply_all(
    journal: Arc<Mutex<Journal>>,
    mut client: PropertyServiceClient<Channel>,
    documents: Vec<usize>,
    ends: Instant,
) -> Result<Totals, String> {
    let mut totals = Totals::default();
    let metadata = metadata(&locked(&journal).group, NAME);
    for &document in documents.iter().cycle() {
        if Instant::now() >= ends {
            break;
        }
        let number = locked(&journal).send(document)?;
        let property = Property {
            metadata: Some(metadata.clone()),
            id: id_of(document),
            tags: tags_of(document, number),
            updated_at: None,
        };
        match client.apply(ApplyRequest { property: Some(property), strategy: Strategy::Merge as i32 }).await
        {
            Ok(_) => {
                locked(&journal).acknowledge(document, number)?;
                totals.applied += 1;
            }
            Err(status) => {
                // What a broken connection looks like; every other status is a refusal.
                let codes = [Code::Unavailable, Code::Unknown, Code::Internal, Code::Cancelled];
                match codes.contains(&status.code()) {
                    true => totals.server_went_away = true,
                    false => totals.faults.push(format!("apply {}: {status}", id_of(document))),
                }
                break;
            }
        }
    }
    Ok(totals)
}

/// Reads all documents of a journal back; false if there is no such journal.
pub async fn verify(
    connections: &Connections,
    points_journal: &Path,
    report: &mut Report,
) -> Result<bool, String> {
    let path = journal_of(points_journal);
    if !path.exists() {
        return Ok(false);
    }
    let (group, histories) = read(&path)?;
    let mut client = PropertyServiceClient::new(connections.take()?);
    let mut applied = 0;
    for (document, history) in histories.iter().enumerate() {
        let groups = vec![group.clone()];
        let ids = vec![id_of(document)];
        let request = QueryRequest { groups, name: NAME.to_owned(), ids, ..Default::default() };
        let answer =
            client.query(request).await.map_err(|status| format!("{}: {status}", id_of(document)))?;
        if let Err(fault) = check(document, *history, &answer.get_ref().properties) {
            report.fault(fault);
        }
        applied += history.acknowledged;
    }
    let mut section = Section::new("verification_documents");
    section.figure("documents", histories.len()).figure("acknowledged_applies", applied);
    report.push(section);
    Ok(true)
}

/// What is wrong with what was found of a document.
fn check(document: usize, history: History, found: &[Property]) -> Result<(), String> {
    let id = id_of(document);
    let property = match found {
        [] if history.acknowledged == 0 => return Ok(()),
        [] => return Err(format!("{id} is lost; {history:?}")),
        [property] => property,
        _ => return Err(format!("{id} is there {} times", found.len())),
    };
    let number = property.tags.iter().find(|tag| tag.key == "update_time").and_then(|tag| tag.value.as_ref());
    let number = match number.and_then(|value| value.value.as_ref()) {
        Some(tag_value::Value::Int(number)) => number.value as u64,
        _ => return Err(format!("{id} has no number")),
    };
    if !(history.acknowledged..=history.sent).contains(&number) {
        return Err(format!("{id} is that of call {number}; {history:?}"));
    }
    let expected = tags_of(document, number);
    let is_whole =
        property.tags.len() == expected.len() && expected.iter().all(|tag| property.tags.contains(tag));
    if is_whole { Ok(()) } else { Err(format!("{id} is not what call {number} applied")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn property(document: usize, number: u64) -> Property {
        Property { id: id_of(document), tags: tags_of(document, number), ..Default::default() }
    }

    #[test]
    fn a_journal_gives_back_what_was_sent_and_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let path = journal_of(&dir.path().join("j"));
        let mut journal = Journal::open(&path, "g", 2).unwrap();
        assert_eq!((journal.send(1), journal.send(1)), (Ok(1), Ok(2)));
        journal.acknowledge(1, 1).unwrap();
        drop(journal);
        let journal = Journal::open(&path, "other", 3).unwrap();
        let history = History { acknowledged: 1, sent: 2 };
        assert_eq!((&*journal.group, &journal.histories[..2]), ("g", &[History::default(), history][..]));
        assert_eq!(journal.histories.len(), 3);
        assert_eq!(parse("something else"), None);
        assert_eq!(parse(&format!("{TITLE} g\nx 1 1")), None);
    }

    #[test]
    fn lost_stale_doubled_and_mixed_documents_are_found() {
        let history = History { acknowledged: 3, sent: 4 };
        let is_right = |found: &[Property]| check(7, history, found).is_ok();
        assert!(is_right(&[property(7, 3)]) && is_right(&[property(7, 4)]));
        assert!(!is_right(&[]) && !is_right(&[property(7, 2)]) && !is_right(&[property(7, 5)]));
        assert!(!is_right(&[property(7, 3), property(7, 3)]));
        let mut mixed = property(7, 3);
        mixed.tags[1] = tags_of(7, 4).remove(1);
        assert!(!is_right(&[mixed]));
        assert!(check(7, History { acknowledged: 0, sent: 1 }, &[]).is_ok());
    }
}
