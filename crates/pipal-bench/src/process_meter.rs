//! What a process costs, from `/proc`, and what a directory takes on disk.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Linux reports times in `/proc/PID/stat` in hundredths of a second on every architecture (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// Blocks of `st_blocks` are always 512 bytes.
const STAT_BLOCK_BYTES: u64 = 512;
/// A server rests when it used less than this share of one core.
const REST_CPU_SHARE: f64 = 0.02;

/// CPU time and memory of a process at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ProcessUsage {
    /// User and system time, seconds.
    pub cpu_s: f64,
    pub rss_bytes: u64,
    /// Greatest resident memory so far (`VmHWM`).
    pub rss_peak_bytes: u64,
}

fn parse_cpu_s(stat: &str) -> Option<f64> {
    // The name in parentheses may hold spaces; utime and stime are fields 14 and 15, counted from 1.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn parse_kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The usage of a process; `pid` may be `self`.
pub fn process_usage(pid: &str) -> Result<ProcessUsage, String> {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        std::fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))
    };
    let (stat, status) = (read("stat")?, read("status")?);
    Ok(ProcessUsage {
        cpu_s: parse_cpu_s(&stat).ok_or_else(|| format!("/proc/{pid}/stat has an unknown shape"))?,
        rss_bytes: parse_kib(&status, "VmRSS").unwrap_or(0),
        rss_peak_bytes: parse_kib(&status, "VmHWM").unwrap_or(0),
    })
}

/// Waits until the process has rested for `window`. Servers flush what has grown old, so a window that is shorter than
/// that age ends too early: flushes and merges would still be to come. False if it still works after `limit`.
pub async fn settle(pid: &str, window: Duration, limit: Duration) -> Result<bool, String> {
    let started = Instant::now();
    let mut before = process_usage(pid)?;
    while started.elapsed() < limit {
        tokio::time::sleep(window).await;
        let now = process_usage(pid)?;
        if now.cpu_s - before.cpu_s < REST_CPU_SHARE * window.as_secs_f64() {
            return Ok(true);
        }
        before = now;
    }
    Ok(false)
}

/// Allocated bytes below a directory, every inode once, like `du`. Files that vanish meanwhile are left out.
pub fn disk_bytes(directory: &Path) -> u64 {
    fn visit(path: &Path, seen: &mut HashSet<(u64, u64)>) -> u64 {
        let Ok(metadata) = path.symlink_metadata() else { return 0 };
        if !seen.insert((metadata.dev(), metadata.ino())) {
            return 0;
        }
        let own = metadata.blocks() * STAT_BLOCK_BYTES;
        if !metadata.is_dir() {
            return own;
        }
        let Ok(entries) = path.read_dir() else { return own };
        own + entries.flatten().map(|entry| visit(&entry.path(), seen)).sum::<u64>()
    }
    visit(directory, &mut HashSet::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_a_name_with_spaces() {
        let stat =
            "7 (a b) c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 100 1000 10 18446744073709551615";
        assert_eq!(parse_cpu_s(stat), Some(3.0));
        assert_eq!(parse_cpu_s("7 (a"), None);
    }

    #[test]
    fn memory_lines_are_found_by_their_whole_name() {
        let status = "Name:\tx\nVmHWMx:\t1 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 4 kB\n";
        assert_eq!(parse_kib(status, "VmHWM"), Some(2_097_152));
        assert_eq!(parse_kib(status, "VmPeak"), None);
    }

    #[test]
    fn this_process_has_used_memory() {
        let usage = process_usage("self").unwrap();
        assert!(usage.rss_bytes > 0 && usage.rss_peak_bytes >= usage.rss_bytes);
        assert!(process_usage("0").is_err());
    }

    #[test]
    fn linked_files_count_once() {
        let dir = tempfile::tempdir().unwrap();
        let empty = disk_bytes(dir.path());
        let file = dir.path().join("file");
        std::fs::write(&file, vec![1; 100_000]).unwrap();
        let with_file = disk_bytes(dir.path());
        std::fs::hard_link(&file, dir.path().join("link")).unwrap();
        assert!(with_file >= empty + 100_000);
        assert_eq!(disk_bytes(dir.path()), with_file);
        assert_eq!(disk_bytes(&dir.path().join("absent")), 0);
    }
}
