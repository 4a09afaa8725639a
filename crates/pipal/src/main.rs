//! Pipal, an observability database.

mod backup;
mod check;
mod demo;
mod inspect;
mod logging;
mod node_host;
mod serve;
mod units;

use clap::{Parser, Subcommand};
use std::error::Error;
use std::process::ExitCode;

/// Less memory than the system allocator under many threads, and faster.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "pipal", version, about = "An observability database", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a server: everything in one process.
    #[command(visible_alias = "standalone")]
    Serve(Box<serve::ServeArgs>),
    /// Send an hour of example metrics to a running server and show three answers.
    Demo(demo::DemoOptions),
    Inspect(inspect::InspectArgs),
    Check(check::CheckArgs),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let result: Result<(), Box<dyn Error>> = match command {
        Command::Serve(args) => serve::run(*args).map_err(Into::into),
        Command::Demo(options) => block_on(demo::run(options)),
        Command::Inspect(args) => inspect::run(&args).map_err(Into::into),
        Command::Check(args) => check::run(&args).map_err(Into::into),
        Command::Backup(args) => block_on(backup::back_up(args)),
        Command::Restore(args) => backup::run_restore(&args).map_err(Into::into),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pipal: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a client command.
fn block_on<E: Error + 'static>(command: impl Future<Output = Result<(), E>>) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(command)?)
}
