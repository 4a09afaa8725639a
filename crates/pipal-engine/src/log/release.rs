//! Getting rid of files whose entries are covered by parts.

use super::Log;
use super::format::HEADER_BYTES;
use super::writer::ClosedFile;
use pipal_model::{Error, Result};
use std::path::PathBuf;

/// What a release did.
#[derive(Debug, Default)]
pub struct ReleaseReport {
    /// Files that were deleted.
    pub removed: Vec<PathBuf>,
    /// Damaged files, where they are now.
    pub quarantined: Vec<PathBuf>,
    /// Why the release ended early, if it did; the next one tries again.
    pub failure: Option<Error>,
}

impl Log {
    /// Deletes the files all of whose entries have a sequence number of at most `covered_seq`, oldest first; files
    /// with damage move to quarantine. The newest file stays until it is larger than
    /// [`LogOptions::settled_bytes_max`](super::LogOptions::settled_bytes_max), then a new one is started.
    pub fn release(&mut self, covered_seq: u64) -> ReleaseReport {
        let mut report = ReleaseReport::default();
        if let Err(e) = self.release_files(covered_seq, &mut report) {
            tracing::warn!(error = %e, "log files not released");
            report.failure = Some(e);
        }
        report
    }

    fn release_files(&mut self, covered_seq: u64, report: &mut ReleaseReport) -> Result<()> {
        self.sync_removal()?;
        if self.newest_is_settled(covered_seq) && !self.is_failed() {
            self.start_file()?;
        }
        while let Some(oldest) = self.closed.front() {
            let is_newest = self.current.is_none() && self.closed.len() == 1;
            if is_newest || oldest.last_seq.is_some_and(|last| last > covered_seq) {
                break;
            }
            if oldest.damaged {
                report.quarantined.push(self.quarantine(oldest)?);
            } else {
                self.fs.remove_file(&oldest.path)?;
                report.removed.push(oldest.path.clone());
            }
            self.closed.pop_front();
            self.removal_unsynced = true;
            self.sync_removal()?;
        }
        Ok(())
    }

    /// Makes a removal durable before the next one: a file missing between others counts as lost.
    fn sync_removal(&mut self) -> Result<()> {
        if self.removal_unsynced {
            self.fs.sync_dir(&self.dir)?;
            self.removal_unsynced = false;
        }
        Ok(())
    }

    /// True when the newest file has only covered entries and too many bytes to stay.
    fn newest_is_settled(&self, covered_seq: u64) -> bool {
        let (last_seq, bytes) = match (&self.current, self.closed.back()) {
            (Some(current), _) => (current.last_seq, current.length),
            (None, Some(newest)) => (newest.last_seq, newest.bytes),
            (None, None) => return false,
        };
        let bytes_max = self.options.settled_bytes_max.max(HEADER_BYTES);
        bytes > bytes_max && last_seq.is_none_or(|last| last <= covered_seq)
    }

    /// Moves a file; gives its new path. The new name is durable first, so the file cannot vanish.
    fn quarantine(&self, file: &ClosedFile) -> Result<PathBuf> {
        let directory = &self.options.quarantine_dir;
        self.fs.create_dir_all(directory)?;
        let taken = self.fs.list(directory)?;
        let name = file.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let numbered = (1u32..).map(|number| format!("{name}.{number}"));
        let free = std::iter::once(name.clone())
            .chain(numbered)
            .find(|name| taken.iter().all(|entry| entry.name != *name))
            .unwrap_or(name);
        let target = directory.join(free);
        self.fs.rename(&file.path, &target)?;
        self.fs.sync_dir(directory)?;
        tracing::error!(from = %file.path.display(), to = %target.display(), "damaged log file in quarantine");
        Ok(target)
    }
}
