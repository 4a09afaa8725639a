//! Logs: JSON lines on standard error, or lines for people.

use clap::ValueEnum;
use pipal_model::{Error, Result};
use tracing_subscriber::EnvFilter;

/// Who reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LoggingEnv {
    /// Machines: one JSON object a line.
    Prod,
    /// People.
    Dev,
}

/// Starts logging, of panics too.
///
/// # Errors
/// The level is none.
pub fn start(env: LoggingEnv, level: &str) -> Result<()> {
    let filter = EnvFilter::try_new(level)
        .map_err(|error| Error::invalid("read options", format!("--logging-level: {error}")))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match env {
        LoggingEnv::Prod => lines.json().flatten_event(true).try_init(),
        LoggingEnv::Dev => lines.with_ansi(false).try_init(),
    };
    started.map_err(|error| Error::internal("start logging", error.to_string()))?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or_default();
        tracing::error!(place, text, "panic");
    }));
    Ok(())
}
