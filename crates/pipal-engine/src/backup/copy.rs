//! Copying snapshots, and reading back what was copied.

use super::listing::{LISTING_NAME, ListedFile, Listing};
use crate::fs::{FileSystem, ReadableFile};
use crate::inspect::{check_directory, walk};
use crate::store::DataDir;
use pipal_model::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;
/// More problems than these are only counted.
const PROBLEMS_SHOWN_MAX: usize = 20;

/// How files get into a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyMode {
    /// Byte for byte: the copy shares nothing with the snapshot.
    Bytes,
    /// By hard links where the file system can: instant, but damage of one is damage of both.
    Links,
}

/// Copies an open file durably to a path. A name that is there is replaced, never written through: it may be a link
/// to a file that somebody else needs.
pub(crate) fn copy_open_file(fs: &Arc<dyn FileSystem>, from: &dyn ReadableFile, to: &Path) -> Result<()> {
    let mut name = to.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    let temporary = to.with_file_name(name);
    let mut file = fs.create(&temporary)?;
    let size = from.size()?;
    let mut buffer = vec![0; COPY_BYTES.min(usize::try_from(size).unwrap_or(COPY_BYTES))];
    let mut offset = 0;
    while offset < size {
        let length = buffer.len().min(usize::try_from(size - offset).unwrap_or(COPY_BYTES));
        let Some(piece) = buffer.get_mut(..length) else { break };
        from.read_exact_at(piece, offset)?;
        file.append(piece)?;
        offset += length as u64;
    }
    file.sync()?;
    drop(file);
    fs.rename(&temporary, to)
}

/// An error unless a directory is absent or empty.
pub fn require_empty(fs: &Arc<dyn FileSystem>, dir: &Path) -> Result<()> {
    match fs.list(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(entries) if entries.is_empty() => Ok(()),
        Ok(_) => {
            Err(Error::new(ErrorKind::FailedPrecondition, "copy snapshot", "the directory is not empty")
                .about(dir.display()))
        }
    }
}

/// Copies the snapshot `from` to the directory `to`, which must be absent or empty, verifies the copy and then marks
/// it as whole. After an error nothing of the copy is left.
pub fn copy_snapshot(fs: &Arc<dyn FileSystem>, from: &Path, to: &Path, mode: CopyMode) -> Result<Listing> {
    let listing = Listing::read(fs, from)?;
    require_empty(fs, to)?;
    let copy = || {
        copy_files(fs, &listing, from, to, mode)?;
        verify_files(fs, &listing, to)?;
        listing.write(fs, to)
    };
    let copied = copy();
    if copied.is_err()
        && let Err(error) = fs.remove_dir_all(to)
    {
        tracing::warn!(%error, "an incomplete copy of a snapshot stays");
    }
    copied.map(|()| listing)
}

/// Copies the listed files, not the list, durably.
pub(super) fn copy_files(
    fs: &Arc<dyn FileSystem>,
    listing: &Listing,
    from: &Path,
    to: &Path,
    mode: CopyMode,
) -> Result<()> {
    fs.create_dir_all(to)?;
    let mut dirs: BTreeSet<PathBuf> = BTreeSet::new();
    for file in &listing.files {
        let target = to.join(&file.path);
        if let Some(dir) = target.parent()
            && dirs.insert(dir.to_path_buf())
        {
            fs.create_dir_all(dir)?;
        }
        copy_file(fs, &from.join(&file.path), &target, mode)?;
    }
    dirs.iter().try_for_each(|dir| fs.sync_dir(dir))
}

fn copy_file(fs: &Arc<dyn FileSystem>, from: &Path, to: &Path, mode: CopyMode) -> Result<()> {
    if mode == CopyMode::Links && fs.link(from, to).is_ok() {
        return Ok(());
    }
    copy_open_file(fs, &*fs.open(from)?, to)
}

/// Verifies a snapshot: exactly the listed files, each of its length, every checksum in them right.
///
/// # Errors
/// `NotFound` without a list, `Corrupt` with what is wrong.
pub fn verify_snapshot(fs: &Arc<dyn FileSystem>, dir: &Path) -> Result<Listing> {
    let listing = Listing::read(fs, dir)?;
    verify_files(fs, &listing, dir)?;
    Ok(listing)
}

/// Compares files and list both ways and reads every byte.
pub(super) fn verify_files(fs: &Arc<dyn FileSystem>, listing: &Listing, dir: &Path) -> Result<()> {
    let mut problems = compare(fs, listing, dir)?;
    problems.extend(check_directory(fs, dir)?.problems);
    if problems.is_empty() {
        return Ok(());
    }
    let more = problems.len().saturating_sub(PROBLEMS_SHOWN_MAX);
    problems.truncate(PROBLEMS_SHOWN_MAX);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Err(Error::corrupt("verify snapshot", dir.display(), format!("{}{more}", problems.join("; "))))
}

fn compare(fs: &Arc<dyn FileSystem>, listing: &Listing, dir: &Path) -> Result<Vec<String>> {
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    let mut paths = Vec::new();
    walk(fs, &DataDir::new(dir).groups(), &mut |path| paths.push(path))?;
    for path in paths {
        let relative = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().into_owned();
        found.insert(relative, fs.open(&path)?.size()?);
    }
    let mut problems = Vec::new();
    for ListedFile { path, bytes } in &listing.files {
        match found.remove(path) {
            Some(length) if length == *bytes => {}
            Some(length) => problems.push(format!("{path} has {length} bytes instead of {bytes}")),
            None => problems.push(format!("{path} is missing")),
        }
    }
    // A temporary name is never the only name of anything, and one that was removed may be back after a power cut.
    found.retain(|path, _| !path.ends_with(".tmp"));
    problems.extend(found.keys().map(|path| format!("{path} is not in the file {LISTING_NAME}")));
    Ok(problems)
}
