//! `pipal demo`: the first minute with Pipal. Sends an hour of example metrics to a running server and shows three
//! answers. It creates what it needs, and running it again rewrites the same points instead of adding any.

mod data;
mod questions;
mod schema;
mod session;
mod text;

use std::fmt;
use std::io::{self, Write as _};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use session::Session;

/// Options of `pipal demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoOptions {
    /// Address of the server
    #[arg(long, default_value = "127.0.0.1:17912", value_name = "HOST:PORT")]
    pub addr: String,
    /// User name, if the server wants one
    #[arg(long, requires = "password")]
    pub username: Option<String>,
    /// Password of the user
    #[arg(long, requires = "username", env = "PIPAL_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
}

/// Why the demo could not go on, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub struct DemoError {
    problem: String,
    advice: Option<String>,
}

impl DemoError {
    fn new(problem: impl Into<String>) -> Self {
        DemoError { problem: problem.into(), advice: None }
    }

    fn with_advice(problem: impl Into<String>, advice: impl Into<String>) -> Self {
        DemoError { problem: problem.into(), advice: Some(advice.into()) }
    }
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)?;
        match &self.advice {
            Some(advice) => write!(f, "\n{advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for DemoError {}

/// Prints a line. A reader that has gone away, such as `head`, wants no more lines: that is no error.
fn say(text: &str) -> Result<(), DemoError> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(DemoError::new(format!("cannot print: {error}")))
        }
        _ => Ok(()),
    }
}

/// Runs the demo and prints it.
///
/// # Errors
///
/// When no server answers, when it refuses the user, or when it refuses or loses example data; the text says what to
/// do.
pub async fn run(options: DemoOptions) -> Result<(), DemoError> {
    let session = Session::open(&options).await?;
    say(&format!("{} answers (API {}).\n", options.addr, session.api_version().await?))?;
    say(&schema::ensure(&session).await?)?;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs() as i64);
    let hour = data::Hour::ending_at(now_s);
    let started = Instant::now();
    let points = session.write(data::messages(hour)).await?;
    say(&format!(
        "Wrote {points} points: {} services, {} instances, one point a minute for an hour ({} ms).",
        data::SERVICES.len(),
        data::instances().count(),
        started.elapsed().as_millis().max(1)
    ))?;
    say("The server acknowledged every one of them, by default after the disk did.\n")?;

    for question in questions::all(hour) {
        let started = Instant::now();
        let answer = session.query(question.request.clone()).await?;
        let micros = started.elapsed().as_micros();
        say(question.title)?;
        say(&format!("  {}  ({}.{} ms)\n", question.ql, micros / 1000, micros / 100 % 10))?;
        say(&(question.render)(&answer)?)?;
    }
    say("Run it again: the same points are rewritten, none is added. Your own metrics go the same way.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_server_is_named_with_what_to_do() {
        let options = DemoOptions { addr: "127.0.0.1:1".into(), username: None, password: None };
        let text = run(options).await.unwrap_err().to_string();
        assert!(
            text.contains("127.0.0.1:1") && text.contains("pipal serve") && text.contains("--addr"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_told() {
        let options = DemoOptions { addr: "no address".into(), username: None, password: None };
        let text = run(options).await.unwrap_err().to_string();
        assert!(text.contains("no address") && text.contains("HOST:PORT"), "{text}");
    }
}
