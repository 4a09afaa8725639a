//! The file `snapshot`: what a snapshot consists of. Written last, so its presence says that the snapshot is whole.
//!
//! Lines of text, so that an operator can read it:
//!
//! ```text
//! pipal snapshot 1
//! time_ns <clock time of the cut>
//! log <position: all requests up to it are inside, none behind it>
//! file <bytes> <path below the snapshot>
//! crc32c <eight hex digits, of all bytes before this line>
//! ```

use crate::fs::FileSystem;
use crate::store::{GroupEntry, parse_group_entry};
use crate::table_key::GroupId;
use crc32c::crc32c;
use pipal_model::{Error, Result};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

/// Name of the file.
pub(super) const LISTING_NAME: &str = "snapshot";
const HEAD: &str = "pipal snapshot 1";
/// Depth of the deepest file: `groups/<group>/<segment>/<shard>/<file>`.
const COMPONENTS_MAX: usize = 5;

/// One file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedFile {
    /// Below the snapshot, with `/` between directories; begins with `groups/`.
    pub path: String,
    /// Length.
    pub bytes: u64,
}

/// What a snapshot consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Clock time of the cut, nanoseconds since 1970.
    pub time_ns: i64,
    /// Position in the log: everything up to it is inside, nothing behind it.
    pub log_seq: u64,
    /// All files but the list itself, by path.
    pub files: Vec<ListedFile>,
}

impl Listing {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }

    /// Groups that have rows.
    pub fn groups(&self) -> BTreeSet<GroupId> {
        let id = |file: &ListedFile| match parse_group_entry(file.path.split('/').nth(1)?) {
            GroupEntry::Live(id) => Some(id),
            GroupEntry::Dropped | GroupEntry::Foreign => None,
        };
        self.files.iter().filter_map(id).collect()
    }

    fn encode(&self) -> String {
        let mut text = format!("{HEAD}\ntime_ns {}\nlog {}\n", self.time_ns, self.log_seq);
        for file in &self.files {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "file {} {}", file.bytes, file.path);
        }
        let last = checksum_line(&text);
        text + &last
    }

    fn decode(text: &str) -> std::result::Result<Self, &'static str> {
        let end = text.strip_suffix('\n').and_then(|t| t.rfind('\n')).ok_or("it is cut off")? + 1;
        let (content, last) = text.split_at(end);
        if last != checksum_line(content) {
            return Err("it is cut off, or its checksum does not match");
        }
        let mut lines = content.lines();
        if lines.next() != Some(HEAD) {
            return Err("it is of another version");
        }
        let mut number = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let time_ns = number("time_ns").and_then(|n| n.parse().ok()).ok_or("it has no time")?;
        let log_seq = number("log").and_then(|n| n.parse().ok()).ok_or("it has no position in the log")?;
        let files = lines.map(|line| parse_file(line).ok_or("a line is no file below groups"));
        Ok(Listing { time_ns, log_seq, files: files.collect::<std::result::Result<_, _>>()? })
    }

    /// Reads the list of a snapshot. Errors: there is none, or it is damaged.
    pub fn read(fs: &Arc<dyn FileSystem>, dir: &Path) -> Result<Self> {
        let path = dir.join(LISTING_NAME);
        let corrupt = |detail: &str| Error::corrupt("read snapshot", path.display(), detail);
        let bytes = fs.read(&path)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| corrupt("it is no text"))?;
        Listing::decode(text).map_err(corrupt)
    }

    /// Writes the list durably; all files must be durable before.
    pub(super) fn write(&self, fs: &Arc<dyn FileSystem>, dir: &Path) -> Result<()> {
        let text = self.encode();
        debug_assert_eq!(Listing::decode(&text).as_ref(), Ok(self), "what is written must read back");
        let temporary = dir.join("snapshot.tmp");
        let mut file = fs.create(&temporary)?;
        file.append(text.as_bytes())?;
        file.sync()?;
        drop(file);
        fs.rename(&temporary, &dir.join(LISTING_NAME))?;
        fs.sync_dir(dir)
    }

    /// Sorts the files and writes the list.
    pub(crate) fn seal(mut self, fs: &Arc<dyn FileSystem>, dir: &Path) -> Result<Self> {
        self.files.sort_unstable();
        self.write(fs, dir)?;
        Ok(self)
    }
}

fn checksum_line(content: &str) -> String {
    format!("crc32c {:08x}\n", crc32c(content.as_bytes()))
}

/// A list comes from a directory that anybody may have written: no path may lead out of it.
fn parse_file(line: &str) -> Option<ListedFile> {
    let (bytes, path) = line.strip_prefix("file ")?.split_once(' ')?;
    let components: Vec<&str> = path.split('/').collect();
    let is_inside = components.first() == Some(&"groups")
        && (2..=COMPONENTS_MAX).contains(&components.len())
        && components.iter().all(|c| !matches!(*c, "" | "." | "..") && !c.contains('\\'));
    is_inside.then_some(ListedFile { path: path.into(), bytes: bytes.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> Listing {
        let file = |path: &str, bytes| ListedFile { path: path.into(), bytes };
        Listing {
            time_ns: -5,
            log_seq: 77,
            files: vec![
                file("groups/00000000000000ff/seg-all/segment", 40),
                file("groups/00000000000000ff/seg-all/shard-0/0000000000000001", 900),
            ],
        }
    }

    #[test]
    fn a_list_reads_back_and_any_flipped_bit_or_lost_byte_is_noticed() {
        let text = listing().encode();
        assert_eq!(Listing::decode(&text), Ok(listing()));
        assert_eq!((listing().bytes(), listing().groups()), (940, BTreeSet::from([255])));
        let empty = Listing::default();
        assert_eq!(Listing::decode(&empty.encode()), Ok(empty));
        for bit in 0..text.len() * 8 {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let Ok(flipped) = String::from_utf8(bytes) else { continue };
            assert!(Listing::decode(&flipped).is_err(), "bit {bit}");
        }
        for end in 0..text.len() {
            assert!(Listing::decode(&text[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn no_path_leads_out_of_the_snapshot() {
        for path in [
            "/etc/passwd",
            "groups/../../x",
            "groups//x",
            "groups",
            "log/x",
            "groups/a/b/c/d/e",
            "groups/./x",
        ] {
            assert_eq!(parse_file(&format!("file 1 {path}")), None, "{path}");
        }
        assert!(parse_file("file 1 groups/a").is_some());
    }
}
