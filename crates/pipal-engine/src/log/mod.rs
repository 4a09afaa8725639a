//! The commit log: what makes an acknowledgement true before rows are in parts.
//!
//! One log per data directory, one writing thread, payloads of any kind. A *group* is what one call of
//! [`Log::append`] takes: its entries get consecutive sequence numbers and reach the file in one write, and one
//! [`Log::sync`] makes all groups before it durable (group commit, storage lessons 18.1). Replay gives every synced
//! entry exactly once and in order, and of what was not synced a prefix.
//!
//! # Files
//!
//! The files of a log are named `%016x.log` after the first sequence number that they may hold, and their numbers
//! strictly increase; where a name is taken by a file without entries, a number is skipped. A file is only written by the process that created it. A new file is started for the first
//! append after opening, at [`LogOptions::file_bytes_max`], and when a file cannot be trusted any more. Before that
//! its predecessor is synced; then the new header is written and synced, then the directory; then come entries.
//!
//! All integers are little-endian. A file is a header and records without gaps:
//!
//! ```text
//! offset  bytes  file header: 512 bytes, written twice in a row, so that one lost sector costs nothing
//!      0      8  magic "PIPALLOG"
//!      8      2  format version, 1
//!     10      6  zero
//!     16      8  file id: hash of a random salt and the first sequence number
//!     24      8  first sequence number, equal to the file's name
//!     32      8  first sequence number of the preceding file that has a header; all ones when there is none
//!     40      8  end of the preceding file: every byte before it was synced, none from it on counts
//!     48    460  zero
//!    508      4  CRC-32C of the 508 bytes before
//!
//! offset  bytes  record header: 56 bytes, followed by the stored payload
//!      0      4  magic "PLr1"
//!      4      1  kind: 1 definition, 2 entry, 3 mark
//!      5      1  compression of the payload: 0 none, 1 LZ4 block
//!      6      2  zero
//!      8      4  stored length of the payload in bytes
//!     12      4  length of the payload when it is not compressed
//!     16      8  number of the group, increasing within a file; a failed append uses one up
//!     24      4  index of the record in its group, from 0
//!     28      4  zero
//!     32      8  sequence number: an entry's own; a definition's is that of the entry it was written for
//!     40      8  durable end: all bytes of this file before it were synced when this was written
//!     48      4  CRC-32C of the stored payload
//!     52      4  CRC-32C of file id (8), offset of this header in the file (8), and the 52 bytes before
//! ```
//!
//! A definition's payload is a fingerprint (16 bytes) and the bytes that it stands for. A file explains itself: a
//! definition precedes the first entry of the file that needs it. A mark has no payload; a clean end writes one, so
//! that the last group has a witness too.
//!
//! # Torn tail or damage
//!
//! Replay knows for each file how far it is *proven* to have been synced: up to the end that the next file's header
//! gives; without one, up to the greatest durable end among the valid record headers of the file. A record is bad
//! when a checksum fails, when it does not continue its group, or when its sequence number does not increase.
//!
//! - A bad record before the proven end was acknowledged once: it is *damage*. It is reported, and replay goes on at
//!   the next valid record. The file is moved to quarantine instead of being deleted.
//! - A bad record at or after the proven end is the *torn tail* of a write that no sync covered. Everything from
//!   there on is cut: it is ignored and reported, but stays in the file. The header of the next file then records
//!   where the end is, so that nothing from behind it ever comes back.
//!
//! Why stale bytes never count: the file id and the offset are part of every header's checksum, and a failed append
//! is cut off and the cut synced before the next one is written, or else its file is sealed at its last good length.
//!
//! # Failures
//!
//! An append that fails leaves the log as it was, and a later one may succeed (a disk that was full). Should the log
//! also be unable to cut off what was written, the outcome of that append is only decided when the next file has been
//! started. A failed *sync* is never tried again, as the kernel may have dropped the bytes: the log refuses writes
//! from then on. A failed *read* ends a replay with an error, for bytes that cannot be read now may be readable later,
//! and cutting them off would lose them.

mod encode;
mod format;
mod release;
mod replay;
mod report;
#[cfg(test)]
mod tests;
mod window;
mod writer;

pub use release::ReleaseReport;
pub use replay::{ReplayItem, replay};
pub use report::{CutTail, Damage, LogFile, LogReport};
pub use writer::Log;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes that entries can only be read with, for instance a layout, stored once per file that needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Identifies the bytes; equal fingerprints mean equal bytes.
    pub fingerprint: u128,
    /// The definition itself.
    pub bytes: Vec<u8>,
}

/// One entry to append.
#[derive(Clone, Copy, Debug)]
pub struct LogEntry<'a> {
    /// What replay gives back.
    pub payload: &'a [u8],
    /// What replay has to give before it.
    pub definitions: &'a [Arc<Definition>],
}

/// How payloads are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// As an LZ4 block, where that is smaller.
    Lz4,
}

/// Limits and choices of a log.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// A file that would grow beyond this many bytes is followed by a new one; only a single group may be larger.
    pub file_bytes_max: u64,
    /// Greatest payload of an entry or a definition.
    pub entry_bytes_max: usize,
    /// Greatest sum of the payloads of one append.
    pub group_bytes_max: usize,
    /// A file whose entries are all covered stays until it is larger than this.
    pub settled_bytes_max: u64,
    /// How payloads are stored; replay reads all ways.
    pub compression: Compression,
    /// No sequence number below this one is given out, for instance because parts cover them already.
    pub next_seq_min: u64,
    /// Where files with damage are moved when their entries are covered. On the volume of the log.
    pub quarantine_dir: PathBuf,
    /// Makes the ids of files unlike those of any other log. Tests fix it.
    pub file_id_salt: u64,
}

impl LogOptions {
    /// The defaults: files of 16 MiB, entries of at most 32 MiB, groups of at most 64 MiB, a random salt.
    pub fn new(quarantine_dir: impl Into<PathBuf>) -> Self {
        LogOptions {
            file_bytes_max: 16 << 20,
            entry_bytes_max: 32 << 20,
            group_bytes_max: 64 << 20,
            settled_bytes_max: 512 << 10,
            compression: Compression::Lz4,
            next_seq_min: 1,
            quarantine_dir: quarantine_dir.into(),
            file_id_salt: RandomState::new().build_hasher().finish(),
        }
    }
}
