//! Tests of the commit log on the simulated disk.

mod crash;
mod damage;
mod files;
mod model;

use super::*;
use crate::fs::{CrashPolicy, Fault, FileSystem, SimulatedFileSystem};
use pipal_model::{ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DIR: &str = "/data/log";
const QUARANTINE: &str = "/data/quarantine";

/// Small files, so that a few entries already rotate.
fn options() -> LogOptions {
    LogOptions {
        file_bytes_max: 6000,
        settled_bytes_max: 2000,
        file_id_salt: 7,
        compression: Compression::None,
        ..LogOptions::new(QUARANTINE)
    }
}

fn ignore(_: ReplayItem<'_>) -> Result<()> {
    Ok(())
}

fn open(fs: &SimulatedFileSystem) -> (Log, LogReport) {
    Log::open(Arc::new(fs.clone()), Path::new(DIR), options(), &mut ignore).unwrap()
}

/// Appends one group of payloads.
fn append(log: &mut Log, payloads: &[&[u8]]) -> Result<std::ops::Range<u64>> {
    let entries: Vec<LogEntry<'_>> =
        payloads.iter().map(|payload| LogEntry { payload, definitions: &[] }).collect();
    log.append(&entries)
}

/// All entries and the report of a replay.
fn entries(fs: &SimulatedFileSystem) -> (Vec<(u64, Vec<u8>)>, LogReport) {
    let mut found = Vec::new();
    let report = replay(fs, Path::new(DIR), &mut |item| {
        if let ReplayItem::Entry { seq, payload } = item {
            found.push((seq, payload.to_vec()));
        }
        Ok(())
    });
    (found, report.unwrap())
}

fn log_files(fs: &SimulatedFileSystem) -> Vec<PathBuf> {
    fs.files().into_iter().map(|(path, _)| path).filter(|path| path.starts_with(DIR)).collect()
}

fn next_operation(fs: &SimulatedFileSystem) -> u64 {
    fs.counters().operations + 1
}
