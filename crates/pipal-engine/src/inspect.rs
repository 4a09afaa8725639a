//! Looking at a data directory from outside, without opening it as a database: nothing is changed and no lock is
//! taken, so it also works beside a running server. A file that goes away meanwhile is passed over.

use crate::cache::BlockCache;
use crate::fs::FileSystem;
use crate::log::{LogReport, ReplayItem, replay};
use crate::part::{Part, PartDescription, parse_part_file_name};
use crate::store::{DataDir, SegmentFile};
use crate::table::manifest::Manifest;
use crate::table::names::parse_manifest_name;
use crate::table_key::{SegmentBounds, TableKey};
use pipal_model::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Cache of the parts that are looked at.
const CACHE_BYTES: u64 = 8 << 20;

/// A file of a data directory and what it says.
#[derive(Clone, Debug)]
pub enum Inspected {
    /// The file of a segment.
    Segment {
        /// Span of the segment.
        bounds: SegmentBounds,
    },
    /// A manifest.
    Manifest(ManifestDescription),
    /// A part.
    Part(Box<PartDescription>),
    /// A file that nobody but an operator has to do with: lock, quarantined or foreign.
    Other,
}

/// What a manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestDescription {
    /// Its number.
    pub epoch: u64,
    /// The table.
    pub table: TableKey,
    /// All rows up to this log position are in the parts.
    pub covered_seq: u64,
    /// Numbers of the live parts, in the order of the log.
    pub parts: Vec<u64>,
}

/// What one file holds, or why it cannot be read.
#[derive(Debug)]
pub struct InspectedFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub content: Result<Inspected>,
}

/// Says what a single file is: a part, a manifest or the file of a segment.
pub fn inspect_file(fs: &Arc<dyn FileSystem>, path: &Path) -> Result<Inspected> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    if name == "segment" {
        let dir = path.parent().unwrap_or(Path::new("."));
        return SegmentFile::read(fs, dir).map(|file| Inspected::Segment { bounds: file.bounds });
    }
    if let Ok(epoch) = parse_manifest_name(&name) {
        let dir = path.parent().unwrap_or(Path::new("."));
        let manifest = Manifest::read(fs, dir, epoch)?;
        return Ok(Inspected::Manifest(ManifestDescription {
            epoch,
            table: manifest.table,
            covered_seq: manifest.covered_seq,
            parts: manifest.parts.iter().map(|p| p.number).collect(),
        }));
    }
    match parse_part_file_name(&name) {
        Some(number) => Ok(Inspected::Part(Box::new(open_part(fs, path, number)?.describe()))),
        None => Ok(Inspected::Other),
    }
}

fn open_part(fs: &Arc<dyn FileSystem>, path: &Path, number: u64) -> Result<Part> {
    Part::open(fs, path, number, Arc::new(BlockCache::new(CACHE_BYTES)))
}

/// All files below the groups of a data directory, in the order of their paths, each given to `visit`.
pub fn inspect_directory(
    fs: &Arc<dyn FileSystem>,
    root: &Path,
    visit: &mut dyn FnMut(InspectedFile),
) -> Result<()> {
    walk(fs, &DataDir::new(root).groups(), &mut |path| {
        let content = inspect_file(fs, &path);
        visit(InspectedFile { path, content });
    })
}

/// What the log of a data directory holds; see [`LogReport`].
pub fn inspect_log(fs: &Arc<dyn FileSystem>, root: &Path) -> Result<LogReport> {
    replay(&**fs, &DataDir::new(root).log(), &mut |_: ReplayItem<'_>| Ok(()))
}

/// Names of what lies in quarantine.
pub fn list_quarantine(fs: &Arc<dyn FileSystem>, root: &Path) -> Result<Vec<String>> {
    match fs.list(&DataDir::new(root).quarantine()) {
        Ok(entries) => Ok(entries.into_iter().map(|e| e.name).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

pub(crate) fn walk(fs: &Arc<dyn FileSystem>, dir: &Path, visit: &mut dyn FnMut(PathBuf)) -> Result<()> {
    let entries = match fs.list(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = dir.join(&entry.name);
        if entry.is_dir { walk(fs, &path, visit)? } else { visit(path) }
    }
    Ok(())
}

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// Files whose every checksum was verified.
    pub files: u64,
    /// Bytes of the parts among them.
    pub part_bytes: u64,
    /// Entries of the log that can be read.
    pub log_entries: u64,
    /// Every damage, with its file.
    pub problems: Vec<String>,
    /// Tails of the log that no sync covered: the normal trace of a crash.
    pub notes: Vec<String>,
    /// What lies in quarantine.
    pub quarantine: Vec<String>,
}

/// Reads every file of a data directory and verifies every checksum.
pub fn check_directory(fs: &Arc<dyn FileSystem>, root: &Path) -> Result<CheckReport> {
    let mut report = CheckReport { quarantine: list_quarantine(fs, root)?, ..CheckReport::default() };
    let mut paths = Vec::new();
    walk(fs, &DataDir::new(root).groups(), &mut |path| paths.push(path))?;
    for path in paths {
        match check_file(fs, &path) {
            Ok(bytes) => {
                report.files += 1;
                report.part_bytes += bytes;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => report.problems.push(error.to_string()),
        }
    }
    let log = inspect_log(fs, root)?;
    report.files += log.files.len() as u64;
    report.log_entries = log.entries;
    report.problems.extend(log.damages.iter().map(ToString::to_string));
    report.notes.extend(log.cut_tails.iter().map(ToString::to_string));
    Ok(report)
}

fn check_file(fs: &Arc<dyn FileSystem>, path: &Path) -> Result<u64> {
    if let Inspected::Part(description) = inspect_file(fs, path)? {
        let part = open_part(fs, path, description.number)?;
        part.verify()?;
        return Ok(part.file_bytes());
    }
    Ok(0)
}

/// An error that says that a directory is not a data directory.
pub fn require_data_directory(fs: &Arc<dyn FileSystem>, root: &Path) -> Result<()> {
    let is_ours =
        fs.list(root)?.iter().any(|entry| entry.is_dir && (entry.name == "groups" || entry.name == "log"));
    if is_ours {
        return Ok(());
    }
    let detail = "it holds neither groups nor a log; give the directory that the server got as --data-dir";
    Err(Error::new(ErrorKind::NotFound, "open data directory", detail).about(root.display()))
}
