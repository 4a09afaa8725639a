//! Reading a log, record by record; the rules are in the documentation of [`super`].

use super::format::{
    FINGERPRINT_BYTES, FileHeader, HEADER_BYTES, HEADER_COPY_BYTES, RECORD_HEADER_BYTES, RecordHeader,
    RecordKind, file_name, parse_file_name,
};
use super::report::{CutTail, Damage, LogFile, LogReport};
use super::window::Window;
use crate::fs::FileSystem;
use crc32c::crc32c;
use pipal_model::{ErrorKind, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What replay gives, in the order of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayItem<'a> {
    /// A definition that entries after it need. It may come again in a later file.
    Definition {
        /// Identifies the bytes.
        fingerprint: u128,
        /// The definition.
        bytes: &'a [u8],
    },
    /// An entry; sequence numbers strictly increase.
    Entry {
        /// Its sequence number.
        seq: u64,
        /// What was appended.
        payload: &'a [u8],
    },
}

/// Receives the items of a replay; an error ends it.
type Sink<'a> = &'a mut dyn FnMut(ReplayItem<'_>) -> Result<()>;

/// Gives all items of the log in `dir` and changes nothing. An absent directory is an empty log. Memory is bounded by
/// the largest entry. Errors: failed reads, a file of a later format version, and those of `sink`.
pub fn replay(
    fs: &dyn FileSystem,
    dir: &Path,
    sink: &mut dyn FnMut(ReplayItem<'_>) -> Result<()>,
) -> Result<LogReport> {
    let mut report = LogReport::default();
    let files = list_files(fs, dir)?;
    let ends: BTreeMap<u64, u64> =
        files.iter().filter_map(|f| f.header?.previous).map(|p| (p.first_seq, p.end)).collect();
    for (position, file) in files.iter().enumerate() {
        report_missing(dir, files.get(..position).unwrap_or(&[]), file, &mut report);
        let known = Known {
            end: ends.get(&file.first_seq).copied(),
            orphaned: files
                .iter()
                .skip(position + 1)
                .find(|later| later.size > HEADER_BYTES)
                .is_some_and(|later| later.header.is_none()),
        };
        replay_file(fs, file, known, &mut report, sink)?;
    }
    Ok(report)
}

/// What later files say about a file.
#[derive(Clone, Copy)]
struct Known {
    /// Where it ends, from the header of the next file that has one.
    end: Option<u64>,
    /// True when the file that was started after it has lost its header. So this one had been synced, but what its
    /// end was is not known.
    orphaned: bool,
}

/// A file before its records are read.
struct Found {
    path: PathBuf,
    first_seq: u64,
    size: u64,
    header: Option<FileHeader>,
    /// Which of the two copies of the header is valid.
    copies: [bool; 2],
}

fn list_files(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<Found>> {
    let entries = match fs.list(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        match parse_file_name(&entry.name) {
            Some(first_seq) if !entry.is_dir => {
                files.push(read_file_header(fs, dir.join(&entry.name), first_seq)?);
            }
            _ => tracing::warn!(dir = %dir.display(), name = entry.name, "not a file of the log, left alone"),
        }
    }
    files.sort_unstable_by_key(|file| file.first_seq);
    Ok(files)
}

fn read_file_header(fs: &dyn FileSystem, path: PathBuf, first_seq: u64) -> Result<Found> {
    let mut window = Window::new(fs.open(&path)?)?;
    let mut headers = [None, None];
    for (copy, header) in headers.iter_mut().enumerate() {
        let bytes = window.get((copy * HEADER_COPY_BYTES) as u64, HEADER_COPY_BYTES)?;
        let decoded = bytes.map(FileHeader::decode).transpose().map_err(|e| e.about(path.display()))?;
        // A header under another file's name says nothing about this one.
        *header = decoded.flatten().filter(|header| header.first_seq == first_seq);
    }
    let copies = headers.map(|header| header.is_some());
    let [first, second] = headers;
    Ok(Found { path, first_seq, size: window.size(), header: first.or(second), copies })
}

/// Files are only ever removed from the oldest on, so one that is missing between two others was lost.
fn report_missing(dir: &Path, earlier: &[Found], file: &Found, report: &mut LogReport) {
    let Some(previous) = file.header.and_then(|header| header.previous) else { return };
    if earlier.iter().any(|f| f.first_seq == previous.first_seq) {
        return;
    }
    if earlier.iter().any(|f| f.first_seq < previous.first_seq) {
        let file = dir.join(file_name(previous.first_seq));
        report.add_damage(Damage { file, offset: 0, length: previous.end, reason: "the file is missing" });
    }
}

fn replay_file(
    fs: &dyn FileSystem,
    found: &Found,
    known: Known,
    report: &mut LogReport,
    sink: Sink<'_>,
) -> Result<()> {
    let mut reader = FileReader {
        window: Window::new(fs.open(&found.path)?)?,
        file: LogFile {
            path: found.path.clone(),
            first_seq: found.first_seq,
            last_seq: None,
            entries: 0,
            definitions: 0,
            bytes: found.size,
            damaged: false,
            has_header: found.header.is_some(),
            proven: HEADER_BYTES,
            end: 0,
        },
        file_id: found.header.map_or(0, |header| header.file_id),
        last: None,
        report,
        scratch: Vec::new(),
    };
    reader.check_header(found, known);
    if found.header.is_some() {
        reader.read_records(known, sink)?;
    }
    let file = reader.file;
    report.bytes += file.bytes;
    report.files.push(file);
    Ok(())
}

/// The place of a record in its group.
#[derive(Clone, Copy)]
struct Place {
    group: u64,
    index: u32,
}

/// A record that does not count: why, and where the next one is if its length can be trusted.
struct Bad {
    reason: &'static str,
    next: Option<u64>,
}

struct FileReader<'r> {
    window: Window,
    file: LogFile,
    file_id: u64,
    /// The last valid record and whether it was directly before the present offset.
    last: Option<(Place, bool)>,
    report: &'r mut LogReport,
    scratch: Vec<u8>,
}

impl FileReader<'_> {
    fn check_header(&mut self, found: &Found, known: Known) {
        let size = self.window.size();
        if found.header.is_none() && (size > HEADER_BYTES || known.end.is_some()) {
            let end = known.end.unwrap_or(size).max(size);
            self.damage(0, end, "both copies of the file header are unreadable");
            return;
        }
        if size <= HEADER_BYTES {
            // Entries follow a synced header only, so nothing can be missing here.
            if found.copies != [true, true] {
                self.cut(0, "the file was never completed");
            }
            return;
        }
        for (copy, valid) in found.copies.into_iter().enumerate() {
            if !valid {
                let offset = (copy * HEADER_COPY_BYTES) as u64;
                let reason = "one copy of the file header is unreadable";
                self.damage(offset, offset + HEADER_COPY_BYTES as u64, reason);
            }
        }
    }

    fn read_records(&mut self, known: Known, sink: Sink<'_>) -> Result<()> {
        let size = self.window.size();
        self.file.proven = match known.end {
            Some(end) => end,
            None => self.evidence()?,
        };
        let limit = known.end.unwrap_or(size).min(size);
        let mut at = HEADER_BYTES;
        while at < limit {
            match self.read_record(at, limit, sink)? {
                Ok(next) => at = next,
                Err(bad) if at >= self.file.proven => {
                    self.file.end = at;
                    self.cut_or_damage(at, bad.reason, known);
                    return Ok(());
                }
                Err(bad) => at = self.skip(at, limit, &bad)?,
            }
        }
        self.file.end = known.end.unwrap_or(limit);
        if self.file.end > size {
            self.damage(size, self.file.end, "the file is shorter than what was synced");
        }
        if size > limit {
            self.cut_or_damage(limit, "the next file was started here", known);
        }
        Ok(())
    }

    /// How far the file says of itself that it was synced. Reads headers only.
    fn evidence(&mut self) -> Result<u64> {
        let mut proven = HEADER_BYTES;
        let mut at = HEADER_BYTES;
        while at < self.window.size() {
            let header = self.window.header_at(self.file_id, at)?;
            let next =
                header.map(|header| at + header.record_bytes()).filter(|next| *next <= self.window.size());
            proven = proven.max(header.map_or(0, |header| header.durable_end));
            at = match next {
                Some(next) => next,
                None => match self.window.find_header(self.file_id, at + 1, self.window.size())? {
                    Some(next) => next,
                    None => break,
                },
            };
        }
        Ok(proven)
    }

    /// Gives the record at an offset and returns where the next one starts.
    fn read_record(&mut self, at: u64, limit: u64, sink: Sink<'_>) -> Result<Result<u64, Bad>> {
        let bad = |reason, next| Ok(Err(Bad { reason, next }));
        let Some(header) = self.window.header_at(self.file_id, at)? else {
            return bad("a record header is not valid", None);
        };
        let next = at + header.record_bytes();
        if next > limit {
            return bad("a record is longer than its file", None);
        }
        if !self.continues(&header, at) {
            return bad("a record does not continue its group", Some(next));
        }
        if header.kind == RecordKind::Entry && self.report.last_seq.is_some_and(|last| header.seq <= last) {
            return bad("a sequence number does not increase", Some(next));
        }
        let payload_at = at + RECORD_HEADER_BYTES as u64;
        let stored = self.window.get(payload_at, header.stored_length as usize)?.unwrap_or(&[]);
        if stored.len() != header.stored_length as usize || crc32c(stored) != header.payload_crc {
            return bad("the checksum of a payload is wrong", Some(next));
        }
        let payload = match header.compressed {
            false => stored,
            true => match decompress(stored, header.raw_length as usize, &mut self.scratch) {
                Some(payload) => payload,
                None => return bad("a payload cannot be decompressed", Some(next)),
            },
        };
        give(&header, payload, sink)?;
        self.last = Some((Place { group: header.group, index: header.index }, true));
        match header.kind {
            RecordKind::Definition => self.file.definitions += 1,
            RecordKind::Mark => {}
            RecordKind::Entry => {
                self.file.last_seq = Some(header.seq);
                self.file.entries += 1;
                self.report.last_seq = Some(header.seq);
                self.report.entries += 1;
            }
        }
        Ok(Ok(next))
    }

    /// Whether a record may come next: the next of its group, or the first of a later one. Behind damage, where
    /// records are missing, any later one of what was synced.
    fn continues(&self, header: &RecordHeader, at: u64) -> bool {
        match self.last {
            None => header.index == 0,
            Some((last, true)) if header.group == last.group => {
                header.index.checked_sub(1) == Some(last.index)
            }
            Some((last, true)) => header.group > last.group && header.index == 0,
            Some((last, false)) if at < self.file.proven => {
                (header.group, header.index) > (last.group, last.index)
            }
            Some((last, false)) => header.group > last.group && header.index == 0,
        }
    }

    /// Passes over a damaged record; where to go on.
    fn skip(&mut self, at: u64, limit: u64, bad: &Bad) -> Result<u64> {
        let end = self.file.proven.min(limit);
        let next = match bad.next {
            Some(next) => next,
            None => self.window.find_header(self.file_id, at + 1, end)?.unwrap_or(end),
        };
        let next = next.min(end);
        self.damage(at, next, bad.reason);
        let place = self.last.map_or(Place { group: 0, index: 0 }, |(place, _)| place);
        self.last = Some((place, false));
        Ok(next)
    }

    fn damage(&mut self, offset: u64, end: u64, reason: &'static str) {
        self.file.damaged = true;
        let file = self.file.path.clone();
        self.report.add_damage(Damage { file, offset, length: end - offset, reason });
    }

    /// Cuts the end of the file off; of an orphaned one it may have been good once, so it must not be deleted.
    fn cut_or_damage(&mut self, offset: u64, reason: &'static str, known: Known) {
        if known.orphaned {
            self.damage(
                offset,
                self.window.size(),
                "the end is unreadable, and the next file's header is lost",
            );
        } else {
            self.cut(offset, reason);
        }
    }

    fn cut(&mut self, offset: u64, reason: &'static str) {
        let length = self.window.size() - offset;
        self.report.cut_tails.push(CutTail { file: self.file.path.clone(), offset, length, reason });
    }
}

fn give(header: &RecordHeader, payload: &[u8], sink: Sink<'_>) -> Result<()> {
    match header.kind {
        RecordKind::Entry => sink(ReplayItem::Entry { seq: header.seq, payload }),
        RecordKind::Mark => Ok(()),
        RecordKind::Definition => match payload.split_first_chunk::<FINGERPRINT_BYTES>() {
            Some((fingerprint, bytes)) => {
                sink(ReplayItem::Definition { fingerprint: u128::from_le_bytes(*fingerprint), bytes })
            }
            None => Ok(()),
        },
    }
}

fn decompress<'s>(stored: &[u8], raw_length: usize, scratch: &'s mut Vec<u8>) -> Option<&'s [u8]> {
    // LZ4 cannot expand more than 255 times, so a forged length does not buy memory.
    if raw_length > stored.len().saturating_mul(255).saturating_add(64) {
        return None;
    }
    scratch.clear();
    scratch.shrink_to(4 * raw_length);
    scratch.resize(raw_length, 0);
    let count = lz4_flex::block::decompress_into(stored, scratch).ok()?;
    (count == raw_length).then_some(&*scratch)
}
