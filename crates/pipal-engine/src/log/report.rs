//! What a replay found.

use std::fmt;
use std::path::PathBuf;

/// One file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Where it is.
    pub path: PathBuf,
    /// The first sequence number that it may hold.
    pub first_seq: u64,
    /// The last sequence number that it gave; none when it gave no entry.
    pub last_seq: Option<u64>,
    /// Entries that it gave.
    pub entries: u64,
    /// Definitions that it gave.
    pub definitions: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// True when something in it is damaged: it goes to quarantine in the end and is never deleted.
    pub damaged: bool,
    /// Whether a copy of its header could be read.
    pub(super) has_header: bool,
    /// What is before this was synced once.
    pub(super) proven: u64,
    /// End of what counts in it.
    pub(super) end: u64,
}

/// Bytes at the end of a file that belong to a write that no sync covered. They are ignored and stay where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutTail {
    /// The file.
    pub file: PathBuf,
    /// Where the tail starts.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
    /// Why it is cut here.
    pub reason: &'static str,
}

/// Bytes that were synced once and are wrong or missing now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where the damage starts.
    pub offset: u64,
    /// How many bytes could not be used.
    pub length: u64,
    /// What is wrong.
    pub reason: &'static str,
}

impl fmt::Display for CutTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, length, reason } = self;
        write!(f, "{}: {length} bytes at offset {offset}: {reason}", file.display())
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, length, reason } = self;
        write!(f, "{}: {length} bytes at offset {offset}: {reason}", file.display())
    }
}

/// What a replay read, cut and missed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogReport {
    /// All files of the log, oldest first.
    pub files: Vec<LogFile>,
    /// Entries given.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The greatest sequence number given.
    pub last_seq: Option<u64>,
    /// Tails that do not count.
    pub cut_tails: Vec<CutTail>,
    /// What is lost.
    pub damages: Vec<Damage>,
}

impl LogReport {
    /// Adds damage, joining it to that which ends where it starts.
    pub(super) fn add_damage(&mut self, damage: Damage) {
        if let Some(last) = self.damages.last_mut()
            && last.file == damage.file
            && last.offset + last.length == damage.offset
        {
            last.length += damage.length;
            return;
        }
        self.damages.push(damage);
    }

    /// Tells the operator.
    pub(super) fn trace(&self) {
        for cut in &self.cut_tails {
            tracing::warn!(
                file = %cut.file.display(), offset = cut.offset, length = cut.length,
                reason = cut.reason, "log tail cut"
            );
        }
        for damage in &self.damages {
            tracing::error!(
                file = %damage.file.display(), offset = damage.offset, length = damage.length,
                reason = damage.reason, "log damaged"
            );
        }
        tracing::info!("log replayed: {self}");
    }
}

impl fmt::Display for LogReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} entries in {} files of {} bytes, {} tails cut, {} places damaged",
            self.entries,
            self.files.len(),
            self.bytes,
            self.cut_tails.len(),
            self.damages.len()
        )
    }
}
