//! How the revision that a client knows compares with the registry's (server surface 1.13, measure
//! specification 2.4 and 3.2).

use crate::registry::CompiledResource;
use std::time::Duration;

/// First pause between two looks at a schema that is not there yet.
pub const SCHEMA_POLL_INTERVAL: Duration = Duration::from_millis(10);
const SCHEMA_POLL_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// The pause after `pause`.
pub fn longer_pause(pause: Duration) -> Duration {
    (pause * 3 / 2).min(SCHEMA_POLL_INTERVAL_MAX)
}

/// What a client's revision of a schema is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is no such resource.
    Unknown,
    /// The client knows an older revision.
    Behind,
    /// The client knows the server's revision, or does not say what it knows.
    Current,
    /// The client knows a revision that has not reached the server.
    Ahead,
}

/// Compares a client's revision with that of the resource. Revisions below 1 stand for a client that does not care.
pub fn standing(resource: Option<&CompiledResource>, revision: i64) -> Standing {
    let Some(resource) = resource else { return Standing::Unknown };
    if revision <= 0 {
        return Standing::Current;
    }
    match revision.cmp(&resource.revision()) {
        std::cmp::Ordering::Less => Standing::Behind,
        std::cmp::Ordering::Equal => Standing::Current,
        std::cmp::Ordering::Greater => Standing::Ahead,
    }
}
