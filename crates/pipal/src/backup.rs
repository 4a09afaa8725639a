//! `pipal backup` and `pipal restore`: everything as of one instant, to a directory and back.

mod online;

use clap::Args;
use pipal_engine::backup::{CopyMode, Listing, copy_snapshot, discard, require_empty, restore};
use pipal_engine::fs::{FileSystem, OsFileSystem};
use pipal_engine::inspect::require_data_directory;
use pipal_engine::{Clock, Engine, EngineOptions, SYSTEM_GROUP, SystemClock};
use pipal_model::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Copy everything, as of one instant, into a directory: from a running server or from a data directory that no server
/// uses. The copy is read back and verified.
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// HOST:PORT of a running server, or a data directory
    source: String,
    /// Directory for the backup; must be absent or empty
    target: PathBuf,
    /// Data directory of the running server, which must be on this machine
    #[arg(long, env = "BYDB_DATA_DIR", default_value = "./pipal-data")]
    data_dir: PathBuf,
    /// Link files instead of copying them where both directories are on one file system
    #[arg(long)]
    link: bool,
    /// User name, if the server wants one
    #[arg(long, requires = "password")]
    username: Option<String>,
    /// Password of the user
    #[arg(long, requires = "username", env = "PIPAL_PASSWORD", hide_env_values = true)]
    password: Option<String>,
}

/// Make a data directory from a backup. Every byte is verified before.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// The backup: the directory that `pipal backup` wrote, or one below `snapshots` of a data directory
    source: PathBuf,
    /// Data directory to make; must be absent or empty
    data_dir: PathBuf,
}

fn file_system() -> Arc<dyn FileSystem> {
    Arc::new(OsFileSystem)
}

/// Makes a backup.
///
/// # Errors
/// The server does not answer or could not take a snapshot, the target is not empty, the disk is full, the copy does not verify. Nothing of the copy
/// is left then.
pub async fn back_up(args: BackupArgs) -> Result<()> {
    let fs = file_system();
    require_empty(&fs, &args.target)?;
    let source = Path::new(&args.source);
    let snapshot = if source.is_dir() { take_offline(source)? } else { online::take(&args).await? };
    let mode = if args.link { CopyMode::Links } else { CopyMode::Bytes };
    let copied = copy_snapshot(&fs, &snapshot, &args.target, mode);
    // It was made for this copy; without it the files that it holds can go once the database has replaced them.
    if let Err(error) = discard(&fs, &snapshot) {
        eprintln!("pipal: the snapshot stays in the data directory: {error}");
    }
    say("backed up", &copied?, &args.target);
    Ok(())
}

/// Opens a data directory that no server uses, replays its log and takes a snapshot of it.
fn take_offline(dir: &Path) -> Result<PathBuf> {
    let fs = file_system();
    require_data_directory(&fs, dir)?;
    let options = EngineOptions { background: false, ..EngineOptions::default() };
    let opened = Engine::open(fs, Arc::new(SystemClock), dir, options);
    let (engine, report) = opened.map_err(|error| match error.kind() {
        ErrorKind::FailedPrecondition => {
            let detail = format!(
                "{}; a server that runs is backed up by its address: pipal backup HOST:PORT TARGET --data-dir {}",
                error.detail(),
                dir.display()
            );
            Error::new(error.kind(), error.operation(), detail).about(error.subject())
        }
        _ => error,
    })?;
    report.damages.iter().for_each(|damage| eprintln!("pipal: damaged: {damage}"));
    let taken = engine.take_snapshot();
    engine.close()?;
    taken.map(|snapshot| snapshot.path)
}

/// Makes a data directory from a backup.
///
/// # Errors
/// The source is no whole backup or damaged, the target is not empty or in use. The target is then as it was.
pub fn run_restore(args: &RestoreArgs) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let listing = restore(&file_system(), &clock, &args.source, &args.data_dir)?;
    say("restored", &listing, &args.data_dir);
    Ok(())
}

fn say(what: &str, listing: &Listing, to: &Path) {
    println!(
        "{what} {} files, {} bytes of {} groups, as of second {} since 1970, to {}",
        listing.files.len(),
        listing.bytes(),
        listing.groups().iter().filter(|id| **id != SYSTEM_GROUP).count(),
        listing.time_ns.div_euclid(1_000_000_000),
        to.display()
    );
}
