//! Appending, syncing and starting files.

use super::encode::{GroupEncoder, GroupPlace};
use super::format::{
    FileEnd, FileHeader, HEADER_BYTES, PAYLOAD_BYTES_LIMIT, RECORD_HEADER_BYTES, file_id, file_name,
};
use super::replay::{ReplayItem, replay};
use super::window::CHUNK_BYTES;
use super::{LogEntry, LogFile, LogOptions, LogReport};
use crate::fs::{FileSystem, WritableFile};
use hashbrown::HashSet;
use pipal_model::{Error, ErrorKind, Result};
use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that is not written any more.
pub(super) struct ClosedFile {
    pub path: PathBuf,
    pub first_seq: u64,
    pub last_seq: Option<u64>,
    pub bytes: u64,
    pub damaged: bool,
}

/// The file that is being written.
pub(super) struct CurrentFile {
    file: Box<dyn WritableFile>,
    path: PathBuf,
    id: u64,
    first_seq: u64,
    pub last_seq: Option<u64>,
    /// End of the last complete group.
    pub length: u64,
    /// Everything before is known to be on disk.
    synced_length: u64,
    /// Definitions that it holds.
    definitions: HashSet<u128>,
    /// Set when nothing may be appended any more: there may be bytes behind `length` that could not be cut off, or a
    /// header on disk that tells where this file ends.
    sealed: bool,
}

/// The commit log, owned by its one writing thread.
pub struct Log {
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) dir: PathBuf,
    pub(super) options: LogOptions,
    pub(super) closed: VecDeque<ClosedFile>,
    pub(super) current: Option<CurrentFile>,
    /// Set while the directory has to be synced before another file may be removed.
    pub(super) removal_unsynced: bool,
    /// The newest file that is not the current one and has a header.
    previous: Option<FileEnd>,
    next_seq: u64,
    durable_seq: u64,
    next_group: u64,
    failed: Option<Error>,
    encoder: GroupEncoder,
}

impl Log {
    /// Replays the log in `dir` and opens it for appending. Errors as [`replay`] and [`Log::open_after`].
    pub fn open(
        fs: Arc<dyn FileSystem>,
        dir: &Path,
        options: LogOptions,
        sink: &mut dyn FnMut(ReplayItem<'_>) -> Result<()>,
    ) -> Result<(Self, LogReport)> {
        let report = replay(&*fs, dir, sink)?;
        let log = Log::open_after(fs, dir, options, &report)?;
        Ok((log, report))
    }

    /// Opens the log for appending after [`replay`], possibly called several times, gave `report`.
    ///
    /// What was replayed is made durable here, for it may only be in the memory of the machine. If that fails the log
    /// opens all the same, but failed. The first file is created by the first append, so a full disk opens too.
    pub fn open_after(
        fs: Arc<dyn FileSystem>,
        dir: &Path,
        options: LogOptions,
        report: &LogReport,
    ) -> Result<Self> {
        check_options(&options)?;
        report.trace();
        fs.create_dir_all(dir)?;
        let after_replayed = report.last_seq.map_or(1, |seq| seq + 1);
        let after_names = report.files.last().map_or(1, |file| file.first_seq + 1);
        let next_seq = options.next_seq_min.max(after_replayed).max(after_names);
        let newest = report.files.iter().rev().find(|file| file.has_header);
        let closed = report.files.iter().map(|file| ClosedFile {
            path: file.path.clone(),
            first_seq: file.first_seq,
            last_seq: file.last_seq,
            bytes: file.bytes,
            damaged: file.damaged,
        });
        let mut log = Log {
            closed: closed.collect(),
            current: None,
            removal_unsynced: false,
            previous: newest.map(|file| FileEnd { first_seq: file.first_seq, end: file.end }),
            next_seq,
            durable_seq: next_seq - 1,
            next_group: 1,
            failed: None,
            encoder: GroupEncoder::default(),
            fs,
            dir: dir.into(),
            options,
        };
        if let Some(newest) = newest
            && let Err(e) = make_durable(&*log.fs, newest).and_then(|()| log.fs.sync_dir(dir))
        {
            log.fail(&e);
        }
        Ok(log)
    }

    /// Appends one group and gives the sequence numbers of its entries. They are durable after the next [`Log::sync`].
    ///
    /// After an error nothing of the group counts. Kinds: `InvalidArgument` beyond the limits, `DiskFull` (a later
    /// append may succeed), `ReadOnly` after a failed sync, and `Io`.
    pub fn append(&mut self, entries: &[LogEntry<'_>]) -> Result<Range<u64>> {
        self.check_writable()?;
        if entries.is_empty() {
            return Ok(self.next_seq..self.next_seq);
        }
        let bytes_max = self.check_limits(entries)?;
        self.make_room(bytes_max)?;
        let Some(current) = &mut self.current else {
            return Err(Error::internal("append to log", "there is no file to write"));
        };
        let place = current.place(self.next_group, self.next_seq);
        self.next_group += 1;
        self.encoder.encode(place, entries, &current.definitions, self.options.compression);
        if let Err(e) = current.file.append(self.encoder.bytes()) {
            return Err(self.undo_append(e));
        }
        let seqs = self.next_seq..self.next_seq + entries.len() as u64;
        current.length += self.encoder.bytes().len() as u64;
        current.last_seq = Some(seqs.end - 1);
        current.definitions.extend(self.encoder.new_definitions());
        debug_assert_eq!(current.length, current.file.len());
        self.next_seq = seqs.end;
        Ok(seqs)
    }

    /// Makes all that was appended durable. A failure is final: the log refuses writes from then on.
    pub fn sync(&mut self) -> Result<()> {
        self.check_writable()?;
        let Some(current) = &mut self.current else { return Ok(()) };
        if current.synced_length == current.length {
            return Ok(());
        }
        if let Err(e) = current.file.sync() {
            return Err(self.fail(&e));
        }
        current.synced_length = current.length;
        self.durable_seq = self.next_seq - 1;
        Ok(())
    }

    /// Ends the log in order: everything is synced, and a mark tells later replays so.
    pub fn close(mut self) -> Result<()> {
        self.sync()?;
        let Some(current) = self.current.as_mut().filter(|file| file.last_seq.is_some() && !file.sealed)
        else {
            return Ok(());
        };
        self.encoder.encode_mark(current.place(self.next_group, self.next_seq));
        current.file.append(self.encoder.bytes())?;
        current.file.sync()
    }

    /// The sequence number that the next entry gets.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Entries up to this sequence number are durable; one below the first when there is none.
    pub fn durable_seq(&self) -> u64 {
        self.durable_seq
    }

    /// True after a failed sync: the log takes no more writes.
    pub fn is_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Bytes of all files.
    pub fn total_bytes(&self) -> u64 {
        self.closed.iter().map(|file| file.bytes).sum::<u64>()
            + self.current.as_ref().map_or(0, |file| file.length)
    }

    /// Number of files.
    pub fn file_count(&self) -> usize {
        self.closed.len() + usize::from(self.current.is_some())
    }

    /// The range from the first to the last sequence number of the oldest file with entries: what has to be covered
    /// for the log to become shorter.
    pub fn oldest_seqs(&self) -> Option<Range<u64>> {
        let closed = self.closed.iter().map(|file| (file.first_seq, file.last_seq));
        let all = closed.chain(self.current.iter().map(|file| (file.first_seq, file.last_seq)));
        all.filter_map(|(first, last)| Some(first..last? + 1)).next()
    }

    /// The first sequence number of the oldest file with entries: what pins the log.
    pub fn oldest_seq(&self) -> Option<u64> {
        self.oldest_seqs().map(|seqs| seqs.start)
    }

    /// True when the outcome of the last failed append depends on what comes next.
    #[cfg(test)]
    pub(super) fn is_undecided(&self) -> bool {
        self.is_failed() || self.current.as_ref().is_some_and(|file| file.sealed)
    }

    pub(super) fn check_writable(&self) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// The greatest size that the group can have in the file.
    fn check_limits(&self, entries: &[LogEntry<'_>]) -> Result<u64> {
        let mut payload_bytes = 0;
        let mut records = 0;
        for entry in entries {
            let lengths = entry.definitions.iter().map(|d| d.bytes.len()).chain([entry.payload.len()]);
            for length in lengths {
                if length > self.options.entry_bytes_max {
                    let limit = self.options.entry_bytes_max;
                    let detail =
                        format!("an entry of {length} bytes is larger than the limit of {limit} bytes");
                    return Err(Error::invalid("append to log", detail));
                }
                payload_bytes += length;
                records += 1;
            }
        }
        if payload_bytes > self.options.group_bytes_max {
            let limit = self.options.group_bytes_max;
            let detail =
                format!("a group of {payload_bytes} bytes is larger than the limit of {limit} bytes");
            return Err(Error::invalid("append to log", detail));
        }
        Ok((payload_bytes + records * RECORD_HEADER_BYTES) as u64)
    }

    /// Starts a file unless the current one can take the group.
    fn make_room(&mut self, bytes_max: u64) -> Result<()> {
        let fits = self.current.as_ref().is_some_and(|file| {
            !file.sealed
                && (file.last_seq.is_none() || file.length + bytes_max <= self.options.file_bytes_max)
        });
        if fits { Ok(()) } else { self.start_file() }
    }

    /// Replaces the current file by a new one. After an error the next append tries again, unless the log failed. The
    /// old file takes nothing more in either case: an unfinished header may tell after a crash where it ends.
    pub(super) fn start_file(&mut self) -> Result<()> {
        // The header of the new file vouches for the old one. A sealed file is synced although all of its good
        // bytes may be: what is behind them must not look different after the next power cut.
        if let Some(current) = &mut self.current
            && (current.synced_length < current.length || current.sealed)
        {
            if let Err(e) = current.file.sync() {
                return Err(self.fail(&e));
            }
            current.synced_length = current.length;
            self.durable_seq = self.next_seq - 1;
        }
        let previous = match &mut self.current {
            Some(current) => {
                current.sealed = true;
                Some(FileEnd { first_seq: current.first_seq, end: current.length })
            }
            None => self.previous,
        };
        let file = self.create_file(previous)?;
        if let Some(old) = self.current.replace(file) {
            self.previous = previous;
            self.closed.push_back(ClosedFile {
                path: old.path,
                first_seq: old.first_seq,
                last_seq: old.last_seq,
                bytes: old.file.len(),
                damaged: false,
            });
        }
        Ok(())
    }

    fn create_file(&mut self, previous: Option<FileEnd>) -> Result<CurrentFile> {
        let first_seq = self.next_seq;
        debug_assert!(previous.is_none_or(|previous| previous.first_seq < first_seq));
        let path = self.dir.join(file_name(first_seq));
        let id = file_id(self.options.file_id_salt, first_seq);
        let header = FileHeader { file_id: id, first_seq, previous };
        let mut file = self.fs.create(&path)?;
        if let Err(e) = file.append(&header.encode()) {
            drop(file);
            if let Err(also) = self.fs.remove_file(&path) {
                // The next attempt has the same name and empties the file.
                tracing::warn!(error = %also, "unfinished log file left");
            }
            return Err(e);
        }
        if let Err(e) = file.sync().and_then(|()| self.fs.sync_dir(&self.dir)) {
            return Err(self.fail(&e));
        }
        Ok(CurrentFile {
            file,
            path,
            id,
            first_seq,
            last_seq: None,
            length: HEADER_BYTES,
            synced_length: HEADER_BYTES,
            definitions: HashSet::new(),
            sealed: false,
        })
    }

    /// Takes back what a failed append has written; returns the error for the caller.
    ///
    /// The cut is synced at once. Otherwise bytes of the failed group could come back beside those of the next one.
    fn undo_append(&mut self, error: Error) -> Error {
        let Some(current) = &mut self.current else { return error };
        if let Err(e) = current.file.truncate(current.length) {
            tracing::warn!(error = %e, "log file sealed: a failed append could not be cut off");
            current.sealed = true;
            if current.last_seq.is_none() {
                // The name is taken.
                self.next_seq += 1;
            }
            // The header of the next file settles that the failed group does not count. If it cannot be written
            // now, the next append tries again.
            if let Err(e) = self.start_file() {
                tracing::warn!(error = %e, "no log file to follow the sealed one");
            }
            return error;
        }
        match current.file.sync() {
            Ok(()) => {
                current.synced_length = current.length;
                self.durable_seq = self.next_seq - 1;
                error
            }
            Err(e) => {
                self.fail(&e);
                error
            }
        }
    }

    /// Stops all writes for good and returns the error that tells so.
    fn fail(&mut self, cause: &Error) -> Error {
        tracing::error!(error = %cause, "log is read-only since a sync failed");
        let detail = format!("writes are refused since a sync of the log failed: {cause}");
        let error = Error::new(ErrorKind::ReadOnly, "write log", detail).about(self.dir.display());
        let error = error.caused_by(cause.clone());
        self.failed = Some(error.clone());
        error
    }
}

impl CurrentFile {
    fn place(&self, group: u64, first_seq: u64) -> GroupPlace {
        GroupPlace {
            file_id: self.id,
            offset: self.length,
            durable_end: self.synced_length,
            group,
            first_seq,
        }
    }
}

/// Makes durable what replay has given from the newest file. A sync alone does not do that: where a sync failed in an
/// earlier process, the kernel holds the bytes as clean and does not write them. So they are written again.
fn make_durable(fs: &dyn FileSystem, newest: &LogFile) -> Result<()> {
    let reader = fs.open(&newest.path)?;
    let mut writer = fs.open_writable(&newest.path)?;
    let end = newest.end.min(newest.bytes);
    // Only records prove that their file's header was ever synced.
    let mut at = if newest.proven > HEADER_BYTES { newest.proven } else { 0 };
    while at < end {
        let mut chunk = vec![0; CHUNK_BYTES.min((end - at) as usize)];
        reader.read_exact_at(&mut chunk, at)?;
        writer.rewrite(&chunk, at)?;
        at += chunk.len() as u64;
    }
    writer.sync()
}

fn check_options(options: &LogOptions) -> Result<()> {
    if options.entry_bytes_max >= PAYLOAD_BYTES_LIMIT || options.group_bytes_max < options.entry_bytes_max {
        let detail = "an entry may have less than 1 GiB, and a group must be able to hold an entry";
        return Err(Error::invalid("open log", detail));
    }
    Ok(())
}
