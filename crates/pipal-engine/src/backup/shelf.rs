//! The directory `snapshots/` of a data directory: names, number, leftovers (server surface 2.10).
//!
//! A snapshot is made as `<name>.tmp` and renamed when it is whole; one that goes is renamed to `<name>.dropped`
//! before its files are removed. Either ending proves that a directory may go.

use crate::fs::FileSystem;
use crate::reaper::Reaper;
use crate::store::{civil_from_days, dropped_dir, is_dropped};
use pipal_model::time::HOUR_NANOS;
use pipal_model::{ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Name of the directory below the data directory.
pub const SNAPSHOTS_DIR: &str = "snapshots";
/// Before a snapshot is made, the oldest ones go until with the new one these many are left.
pub const SNAPSHOTS_KEPT: usize = 10;
/// But younger ones than this stay, as somebody may be copying them.
const AGE_MIN_NANOS: i64 = HOUR_NANOS;
/// Beyond this number the oldest go whatever their age.
pub const SNAPSHOTS_MAX: usize = 64;

const TEMPORARY_SUFFIX: &str = ".tmp";
const TIME_DIGITS: usize = 14;
const NUMBER_DIGITS: usize = 8;

/// See the module.
pub(crate) struct Shelf {
    fs: Arc<dyn FileSystem>,
    reaper: Arc<Reaper>,
    dir: PathBuf,
    /// Number of the last name.
    last: u32,
}

impl Shelf {
    pub fn new(fs: Arc<dyn FileSystem>, reaper: Arc<Reaper>, dir: PathBuf) -> Self {
        Shelf { fs, reaper, dir, last: 0 }
    }

    /// Where a snapshot of this name is or will be.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Where it is made.
    pub fn temporary(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}{TEMPORARY_SUFFIX}"))
    }

    fn names(&self) -> Result<Vec<String>> {
        match self.fs.list(&self.dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            entries => Ok(entries?.into_iter().filter(|e| e.is_dir).map(|e| e.name).collect()),
        }
    }

    /// Complete snapshots, oldest first.
    pub fn complete(&self) -> Result<Vec<String>> {
        let mut names = self.names()?;
        names.retain(|name| is_name(name));
        names.sort_unstable();
        Ok(names)
    }

    /// Condemns what a crash left of snapshots that were being made or removed.
    pub fn sweep(&self) -> Result<()> {
        for name in self.names()? {
            let stem = name.strip_suffix(TEMPORARY_SUFFIX);
            let stem = stem.or_else(|| is_dropped(&name).then(|| name.rsplit_once('.').map_or("", |n| n.0)));
            if stem.is_some_and(is_name) {
                self.reaper.add_tree(self.dir.join(&name));
            }
        }
        Ok(())
    }

    /// A name that nothing has yet.
    pub fn next_name(&mut self, now: i64) -> Result<String> {
        let taken = self.names()?;
        loop {
            self.last = self.last.wrapping_add(1);
            let name = format!("{}-{:08X}", utc_digits(now), self.last);
            if !taken.iter().any(|t| t.starts_with(&name)) {
                return Ok(name);
            }
        }
    }

    /// Makes room for one more snapshot.
    pub fn prune(&self, now: i64) -> Result<()> {
        let complete = self.complete()?;
        let recent = utc_digits(now.saturating_sub(AGE_MIN_NANOS));
        let excess = (complete.len() + 1).saturating_sub(SNAPSHOTS_KEPT);
        let must_go = (complete.len() + 1).saturating_sub(SNAPSHOTS_MAX);
        for (at, name) in complete.iter().take(excess).enumerate() {
            if at < must_go || *name < recent {
                self.remove(name)?;
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        tracing::info!(name, "an old snapshot is removed");
        let (path, dropped) = (self.path(name), dropped_dir(&self.path(name)));
        match self.fs.rename(&path, &dropped) {
            // Its owner was faster.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            renamed => renamed?,
        }
        self.fs.sync_dir(&self.dir)?;
        self.reaper.add_tree(dropped);
        Ok(())
    }

    /// Gives a whole snapshot its name.
    pub fn publish(&self, name: &str) -> Result<()> {
        self.fs.rename(&self.temporary(name), &self.path(name))?;
        self.fs.sync_dir(&self.dir)
    }

    /// Removes what a failed snapshot left, at once if the disk lets us.
    pub fn abandon(&self, name: &str) {
        for path in [self.temporary(name), self.path(name)] {
            if self.remove_tree(&path).is_err() {
                self.reaper.add_tree(path);
            }
        }
    }

    fn remove_tree(&self, path: &Path) -> Result<()> {
        self.fs.remove_dir_all(path)
    }
}

fn is_name(name: &str) -> bool {
    let Some((time, number)) = name.split_once('-') else { return false };
    time.len() == TIME_DIGITS
        && time.bytes().all(|b| b.is_ascii_digit())
        && number.len() == NUMBER_DIGITS
        && number.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'))
}

/// `YYYYMMDDhhmmss` in UTC.
fn utc_digits(nanos: i64) -> String {
    let seconds = nanos.div_euclid(1_000_000_000);
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
}

/// Removes a snapshot that its maker has copied and needs no more. Works beside a running server.
pub fn discard(fs: &Arc<dyn FileSystem>, path: &Path) -> Result<()> {
    let dropped = dropped_dir(path);
    match fs.rename(path, &dropped) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    fs.remove_dir_all(&dropped)
}
