//! From a snapshot to a data directory.
//!
//! Everything is copied to `restore.tmp/` inside the data directory (which may be the root of a volume, so that it
//! cannot be renamed itself), verified and opened there; then one rename puts `groups/` into its place. While
//! `restore.tmp/` is there without `groups/`, the engine refuses to open the directory: an interrupted restore must
//! not look like an empty database.

use super::copy::{CopyMode, copy_files, verify_files};
use super::listing::Listing;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::fs::FileSystem;
use crate::options::EngineOptions;
use crate::reaper::Reaper;
use crate::store::DataDir;
use pipal_model::{Error, ErrorKind, Result};
use std::path::Path;
use std::sync::Arc;

/// Entries of a directory that may take a restored database: the lock, what an interrupted restore left, and what
/// `mkfs` puts there.
const HARMLESS: [&str; 3] = ["lock", "restore.tmp", "lost+found"];

/// Makes the data directory `data_dir`, which must be absent or empty, from the snapshot `source`. It is locked
/// meanwhile. After an error the directory is as it was.
///
/// # Errors
/// `FailedPrecondition` when the directory is not empty or in use, `Corrupt` when the snapshot is damaged.
pub fn restore(
    fs: &Arc<dyn FileSystem>,
    clock: &Arc<dyn Clock>,
    source: &Path,
    data_dir: &Path,
) -> Result<Listing> {
    let listing = Listing::read(fs, source)?;
    let dir = DataDir::new(data_dir);
    fs.create_dir_all(data_dir)?;
    let _lock = fs.lock(&dir.lock_file())?;
    require_free(fs, data_dir)?;
    fs.remove_dir_all(&dir.restoring())?;
    let staged = stage(fs, clock, &listing, source, &dir);
    if let Err(error) = staged {
        if let Err(error) = fs.remove_dir_all(&dir.restoring()) {
            tracing::warn!(%error, "what an interrupted restore left stays");
        }
        return Err(error);
    }
    fs.rename(&DataDir::new(&dir.restoring()).groups(), &dir.groups())?;
    fs.sync_dir(data_dir)?;
    if let Err(error) = fs.remove_dir_all(&dir.restoring()) {
        tracing::warn!(%error, "an empty directory of the restore stays until the database is opened");
    }
    Ok(listing)
}

fn require_free(fs: &Arc<dyn FileSystem>, data_dir: &Path) -> Result<()> {
    let entries = fs.list(data_dir)?;
    let Some(entry) = entries.iter().find(|e| !HARMLESS.contains(&e.name.as_str())) else { return Ok(()) };
    let detail = format!("the directory is not empty; {} is in it", entry.name);
    Err(Error::new(ErrorKind::FailedPrecondition, "restore", detail).about(data_dir.display()))
}

fn stage(
    fs: &Arc<dyn FileSystem>,
    clock: &Arc<dyn Clock>,
    listing: &Listing,
    source: &Path,
    dir: &DataDir,
) -> Result<()> {
    let staging = dir.restoring();
    copy_files(fs, listing, source, &staging, CopyMode::Bytes)?;
    verify_files(fs, listing, &staging)?;
    let options = EngineOptions { background: false, ..EngineOptions::default() };
    let (engine, report) = Engine::open(fs.clone(), clock.clone(), &staging, options)?;
    engine.close()?;
    let Some(damage) = report.damages.first() else { return Ok(()) };
    let detail = format!("{} damages, the first: {damage}", report.damages.len());
    Err(Error::corrupt("open restored directory", source.display(), detail))
}

/// At open: refuses a directory whose restore was interrupted, and removes what a complete one left.
pub(crate) fn check_restored(fs: &Arc<dyn FileSystem>, dir: &DataDir, reaper: &Reaper) -> Result<()> {
    let entries = fs.list(dir.root())?;
    let has = |path: &Path| entries.iter().any(|e| path.file_name().is_some_and(|n| *n == *e.name));
    if !has(&dir.restoring()) {
        return Ok(());
    }
    if has(&dir.groups()) {
        reaper.add_tree(dir.restoring());
        return Ok(());
    }
    let detail = "a restore into it was interrupted; run it again, or remove restore.tmp";
    Err(Error::new(ErrorKind::FailedPrecondition, "open data directory", detail).about(dir.root().display()))
}
