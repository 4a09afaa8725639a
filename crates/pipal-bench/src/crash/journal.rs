//! The file in which a crash test remembers what was acknowledged. Only the server is killed, so the journal need not
//! be synced; it is written before a stream is sent and after it was acknowledged.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use crate::ledger::{Acknowledged, Ledger};
use crate::plan::{Chunking, WorkItem};
use crate::shape::ShapeOptions;

const TITLE: &str = "pipal-bench journal 1";

/// Everything that the verifier must know about the load.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalHeader {
    pub shape: ShapeOptions,
    pub points_per_stream: u64,
}

/// The first line of a journal: all that tells one load from another.
pub trait Header: Sized {
    /// How the load cuts its buckets.
    fn chunking(&self) -> Chunking;
    /// The line, with its end.
    fn to_line(&self) -> String;
    /// Reads the line back.
    fn parse(line: &str) -> Option<Self>;
}

impl Header for JournalHeader {
    fn chunking(&self) -> Chunking {
        let points_per_bucket = u64::from(self.shape.measures) * u64::from(self.shape.entities);
        Chunking { points_per_bucket, points_per_stream: self.points_per_stream }
    }

    fn to_line(&self) -> String {
        let ShapeOptions { seed, group, measures, entities, start_ms, step_ms } = &self.shape;
        let stream = self.points_per_stream;
        format!("{TITLE} {group} {seed} {measures} {entities} {start_ms} {step_ms} {stream}\n")
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix(TITLE)?.split_whitespace();
        let mut next = || words.next();
        Some(JournalHeader {
            shape: ShapeOptions {
                group: next()?.to_owned(),
                seed: next()?.parse().ok()?,
                measures: next()?.parse().ok()?,
                entities: next()?.parse().ok()?,
                start_ms: next()?.parse().ok()?,
                step_ms: next()?.parse().ok()?,
            },
            points_per_stream: next()?.parse().ok().filter(|&points| points > 0)?,
        })
    }
}

/// Appends to a journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
}

impl Journal {
    /// Creates a journal with its header; the file must not exist.
    pub fn create(path: &Path, header: &impl Header) -> Result<Self, String> {
        let file = OpenOptions::new().create_new(true).append(true).open(path);
        let mut journal =
            Journal { file: file.map_err(|e| format!("cannot create {}: {e}", path.display()))? };
        journal.append(&header.to_line())?;
        Ok(journal)
    }

    /// Continues an existing journal.
    pub fn append_to(path: &Path) -> Result<Self, String> {
        let file = OpenOptions::new().append(true).open(path);
        Ok(Journal { file: file.map_err(|e| format!("cannot open {}: {e}", path.display()))? })
    }

    fn append(&mut self, line: &str) -> Result<(), String> {
        self.file.write_all(line.as_bytes()).map_err(|e| format!("cannot write the journal: {e}"))
    }

    /// Notes a stream that is about to be sent.
    pub fn sent(&mut self, item: WorkItem, first_id: u64) -> Result<(), String> {
        self.append(&format!("s {} {} {} {first_id}\n", item.bucket, item.chunk, item.pass))
    }

    /// Notes which messages of a stream were answered with success.
    pub fn acknowledged(
        &mut self,
        item: WorkItem,
        first_id: u64,
        which: &Acknowledged,
    ) -> Result<(), String> {
        let words = match which {
            Acknowledged::None => return Ok(()),
            Acknowledged::All => String::new(),
            Acknowledged::Some(words) => words.iter().map(|word| format!(" {word:x}")).collect(),
        };
        self.append(&format!("a {} {} {} {first_id}{words}\n", item.bucket, item.chunk, item.pass))
    }
}

/// Reads a journal back.
pub fn read_journal<H: Header>(path: &Path) -> Result<(H, Ledger), String> {
    let file = File::open(path).map_err(|e| format!("cannot open {}: {e}", path.display()))?;
    let mut lines = BufReader::new(file).lines();
    let first = lines.next().transpose().map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let header = first.as_deref().and_then(H::parse);
    let header = header.ok_or_else(|| format!("{} is not a journal of pipal-bench", path.display()))?;
    let mut ledger = Ledger::new(header.chunking());
    for (number, line) in lines.enumerate() {
        let line = line.map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        replay_line(&mut ledger, &line)
            .ok_or_else(|| format!("{} line {} is damaged: {line:?}", path.display(), number + 2))?;
    }
    Ok((header, ledger))
}

fn replay_line(ledger: &mut Ledger, line: &str) -> Option<()> {
    let mut words = line.split(' ');
    let kind = words.next()?;
    let item = WorkItem {
        bucket: words.next()?.parse().ok()?,
        chunk: words.next()?.parse().ok()?,
        pass: words.next()?.parse().ok()?,
    };
    let first_id = words.next()?.parse().ok()?;
    match kind {
        "s" => ledger.sent(item, first_id),
        "a" => {
            let words = words.map(|word| u64::from_str_radix(word, 16).ok()).collect::<Option<Vec<u64>>>()?;
            let which = if words.is_empty() { Acknowledged::All } else { Acknowledged::Some(words) };
            ledger.acknowledged(item, first_id, which).then_some(())?;
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::tests::small_shape;

    fn header() -> JournalHeader {
        JournalHeader { shape: small_shape(2, 10).options, points_per_stream: 5 }
    }

    #[test]
    fn a_journal_gives_back_header_and_acknowledgements() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (kept, lost) =
            (WorkItem { bucket: 4, chunk: 0, pass: 8 }, WorkItem { bucket: 4, chunk: 1, pass: 9 });
        let broken = WorkItem { bucket: 4, chunk: 2, pass: 10 };
        let mut journal = Journal::create(&path, &header()).unwrap();
        journal.sent(kept, 100).unwrap();
        journal.sent(lost, 200).unwrap();
        journal.sent(broken, 300).unwrap();
        drop(journal);
        let mut journal = Journal::append_to(&path).unwrap();
        journal.acknowledged(kept, 100, &Acknowledged::All).unwrap();
        journal.acknowledged(lost, 200, &Acknowledged::None).unwrap();
        journal.acknowledged(broken, 300, &Acknowledged::Some(vec![0b10])).unwrap();

        let (read, ledger) = read_journal::<JournalHeader>(&path).unwrap();
        assert_eq!(read, header());
        assert_eq!(ledger.acknowledged_version(4, 3), Some(103));
        assert_eq!(ledger.acknowledged_version(4, 7), None);
        assert_eq!(ledger.acknowledged_version(4, 10), None);
        assert_eq!(ledger.acknowledged_version(4, 11), Some(301));
        assert_eq!((ledger.streams(), ledger.pass_max(), ledger.buckets_end()), ((3, 1), Some(10), 5));
        assert!(Journal::create(&path, &header()).is_err(), "an existing journal is never overwritten");
    }

    #[test]
    fn damaged_journals_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        for text in
            ["", "something else\n", &(header().to_line() + "a 1 1 1 5\n"), &(header().to_line() + "s 1 1\n")]
        {
            std::fs::write(&path, text).unwrap();
            assert!(read_journal::<JournalHeader>(&path).is_err(), "{text:?}");
        }
    }
}
