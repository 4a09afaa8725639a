//! Names of directories below the data directory.
//!
//! `lock`, `log/`, `quarantine/`, `snapshots/`, and `groups/<incarnation, 16 hex digits>/seg-<UTC start>/shard-<number>/`. A
//! group that was deleted is first renamed to end in `.dropped`, which proves that its files may go. No name that
//! a client chose becomes a path (D-18).

use crate::table_key::{GroupId, SegmentBounds};
use std::path::{Path, PathBuf};

const DROPPED_SUFFIX: &str = ".dropped";

/// Paths below one data directory.
#[derive(Clone, Debug)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    pub fn new(root: &Path) -> Self {
        DataDir(root.to_path_buf())
    }

    pub fn root(&self) -> &Path {
        &self.0
    }

    pub fn lock_file(&self) -> PathBuf {
        self.0.join("lock")
    }

    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    pub fn quarantine(&self) -> PathBuf {
        self.0.join("quarantine")
    }

    pub fn groups(&self) -> PathBuf {
        self.0.join("groups")
    }

    /// Snapshots that were taken.
    pub fn snapshots(&self) -> PathBuf {
        self.0.join(crate::backup::SNAPSHOTS_DIR)
    }

    /// A restore that is not complete.
    pub fn restoring(&self) -> PathBuf {
        self.0.join("restore.tmp")
    }

    pub fn group(&self, group: GroupId) -> PathBuf {
        self.groups().join(format!("{group:016x}"))
    }

    pub fn dropped_group(&self, group: GroupId) -> PathBuf {
        dropped_dir(&self.group(group))
    }
}

/// The name that proves that a directory may go.
pub(crate) fn dropped_dir(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push(DROPPED_SUFFIX);
    dir.with_file_name(name)
}

/// True for a name that [`dropped_dir`] gave.
pub(crate) fn is_dropped(name: &str) -> bool {
    name.ends_with(DROPPED_SUFFIX)
}

/// What an entry of `groups/` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupEntry {
    Live(GroupId),
    Dropped,
    Foreign,
}

/// Recognises an entry of `groups/`.
pub(crate) fn parse_group_entry(name: &str) -> GroupEntry {
    let stem = name.strip_suffix(DROPPED_SUFFIX);
    let digits = stem.unwrap_or(name);
    let valid = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    match (valid, stem, u64::from_str_radix(digits, 16)) {
        (true, Some(_), _) => GroupEntry::Dropped,
        (true, None, Ok(id)) => GroupEntry::Live(id),
        _ => GroupEntry::Foreign,
    }
}

/// Name of a segment's directory: its UTC start as YYYYMMDDHH. The name is a label; the bounds are in a file.
pub(crate) fn segment_dir_name(bounds: SegmentBounds) -> String {
    if bounds == SegmentBounds::UNBOUNDED {
        return "seg-all".into();
    }
    let hours = bounds.start.div_euclid(pipal_model::time::HOUR_NANOS);
    let (year, month, day) = civil_from_days(hours.div_euclid(24));
    format!("seg-{year:04}{month:02}{day:02}{:02}", hours.rem_euclid(24))
}

/// Calendar date of a day counted from 1970-01-01 (proleptic Gregorian; H. Hinnant, "chrono-compatible low-level
/// date algorithms").
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

/// Name of a shard's directory.
pub(crate) fn shard_dir_name(shard: u32) -> String {
    format!("shard-{shard}")
}

/// Number of the shard in a directory's name.
pub(crate) fn parse_shard_dir_name(name: &str) -> Option<u32> {
    let number: u32 = name.strip_prefix("shard-")?.parse().ok()?;
    (shard_dir_name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipal_model::time::{DAY_NANOS, HOUR_NANOS};

    #[test]
    fn segments_are_labelled_with_their_utc_start() {
        let label = |start| segment_dir_name(SegmentBounds { start, end: start + HOUR_NANOS });
        assert_eq!(label(0), "seg-1970010100");
        assert_eq!(label(20_782 * DAY_NANOS + 13 * HOUR_NANOS), "seg-2026112513");
        assert_eq!(label(-HOUR_NANOS), "seg-1969123123");
        assert_eq!(segment_dir_name(SegmentBounds::UNBOUNDED), "seg-all");
    }

    #[test]
    fn only_our_own_names_are_recognised() {
        assert_eq!(parse_group_entry("00000000000000ff"), GroupEntry::Live(255));
        assert_eq!(parse_group_entry("00000000000000ff.dropped"), GroupEntry::Dropped);
        assert_eq!(parse_group_entry("00000000000000FF"), GroupEntry::Foreign);
        assert_eq!(parse_group_entry("lost+found"), GroupEntry::Foreign);
        assert_eq!(parse_shard_dir_name("shard-12"), Some(12));
        assert_eq!(parse_shard_dir_name("shard-012"), None);
    }
}
