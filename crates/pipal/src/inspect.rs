//! `pipal inspect`: what the files of a data directory say.

use pipal_engine::fs::{FileSystem, OsFileSystem};
use pipal_engine::inspect::{
    Inspected, InspectedFile, inspect_directory, inspect_file, inspect_log, require_data_directory,
};
use pipal_engine::part::PartDescription;
use pipal_model::Result;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Print what is in a data directory or a single file of it: manifests, parts, sections, statistics.
#[derive(clap::Args, Debug)]
pub struct InspectArgs {
    /// A data directory, a part, a manifest or the file of a segment.
    path: PathBuf,
}

/// Prints to standard output.
pub fn run(args: &InspectArgs) -> Result<()> {
    let fs: Arc<dyn FileSystem> = Arc::new(OsFileSystem);
    if args.path.is_file() {
        print_file(&InspectedFile { path: args.path.clone(), content: inspect_file(&fs, &args.path) }, true);
        return Ok(());
    }
    require_data_directory(&fs, &args.path)?;
    println!("log: {}", inspect_log(&fs, &args.path)?);
    inspect_directory(&fs, &args.path, &mut |file| print_file(&file, false))
}

fn print_file(file: &InspectedFile, in_full: bool) {
    let path = file.path.display();
    match &file.content {
        Ok(Inspected::Segment { bounds }) => {
            println!("{path}: segment from {} to {} ns", bounds.start, bounds.end)
        }
        Ok(Inspected::Manifest(manifest)) => {
            let parts: Vec<String> = manifest.parts.iter().map(|n| format!("{n:016x}")).collect();
            let (table, covered) = (manifest.table, manifest.covered_seq);
            println!("{path}: manifest of {table}, covers the log to {covered}, parts [{}]", parts.join(" "));
        }
        Ok(Inspected::Part(part)) => print_part(&file.path, part, in_full),
        Ok(Inspected::Other) => println!("{path}: not a file of the engine"),
        Err(error) => println!("{path}: {error}"),
    }
}

fn print_part(path: &Path, part: &PartDescription, in_full: bool) {
    let summary = &part.summary;
    println!(
        "{}: part of {} bytes, {} rows and {} attribute rows of {} series in {} resources, {} row groups",
        path.display(),
        summary.file_bytes,
        summary.rows[1],
        summary.rows[0],
        summary.series,
        summary.resources,
        summary.row_groups
    );
    if !in_full {
        return;
    }
    let identity = &part.identity;
    println!("  id {:032x}, format {}", identity.id, summary.format_version);
    println!("  log {} to {}, parents {}", identity.log_first, identity.log_last, identity.parents.len());
    println!("  {} distinct entities, {} terms of indexed columns", summary.entities, summary.terms);
    println!("  {} terms in filters of chunks", summary.filter_hashes);
    if let Some(time) = summary.time {
        println!("  times {} to {} ns", time.begin, time.end);
    }
    for section in &part.sections {
        println!("  section {:<12} {:>12} bytes at {}", section.name, section.length, section.offset);
    }
    for region in &part.regions {
        println!("  region  {:<12} {:>12} bytes of {}", region.name, region.bytes, region.uncompressed_bytes);
    }
}
