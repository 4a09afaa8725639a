//! `pipal check`: is every byte on disk what was written?

use pipal_engine::fs::{FileSystem, OsFileSystem};
use pipal_engine::inspect::{check_directory, require_data_directory};
use pipal_model::{Error, ErrorKind, Result};
use std::path::PathBuf;
use std::sync::Arc;

/// Verify every checksum of a data directory and list what lies in quarantine.
#[derive(clap::Args, Debug)]
pub struct CheckArgs {
    /// The data directory.
    dir: PathBuf,
}

/// Prints what it found; damage is an error, so that scripts see it.
pub fn run(args: &CheckArgs) -> Result<()> {
    let fs: Arc<dyn FileSystem> = Arc::new(OsFileSystem);
    require_data_directory(&fs, &args.dir)?;
    let report = check_directory(&fs, &args.dir)?;
    println!(
        "{} files checked, {} bytes of parts, {} entries of the log",
        report.files, report.part_bytes, report.log_entries
    );
    report.notes.iter().for_each(|note| println!("note: {note} (never acknowledged; ignored)"));
    report.quarantine.iter().for_each(|name| println!("in quarantine: {name}"));
    report.problems.iter().for_each(|problem| println!("damaged: {problem}"));
    if report.problems.is_empty() {
        println!("no damage");
        return Ok(());
    }
    let detail = format!("{} damaged places", report.problems.len());
    Err(Error::new(ErrorKind::Corrupt, "check", detail).about(args.dir.display()))
}
