//! Backup snapshots: a copy of everything at one position of the log, made of links.
//!
//! A snapshot is a data directory of its own, `groups/` without a log, and a file `snapshot` that lists every other
//! file with its length; see `docs/format.md`. Parts are immutable, so a hard link to a part is a copy of it: it costs
//! a directory entry, and stays valid when the database merges the part away. The list is written last, so a directory
//! without it was never complete.
//!
//! - [`crate::Engine::snapshot_to`] and [`crate::Engine::take_snapshot`] make one while the database runs.
//! - [`copy_snapshot`] copies one elsewhere, [`restore`] makes a data directory of one; both read back and verify
//!   every byte.

mod copy;
mod listing;
mod restore;
mod shelf;

pub(crate) use copy::copy_open_file;
pub use copy::{CopyMode, copy_snapshot, require_empty, verify_snapshot};
pub use listing::{ListedFile, Listing};
pub(crate) use restore::check_restored;
pub use restore::restore;
pub(crate) use shelf::Shelf;
pub use shelf::{SNAPSHOTS_DIR, SNAPSHOTS_KEPT, SNAPSHOTS_MAX, discard};

use std::path::PathBuf;

/// A snapshot below the data directory.
#[derive(Clone, Debug)]
pub struct TakenSnapshot {
    /// `YYYYMMDDhhmmss-XXXXXXXX`: UTC, and a number of this process.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub listing: Listing,
}
