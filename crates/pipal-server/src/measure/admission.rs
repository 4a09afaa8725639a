//! Everything that is decided about a query before it is planned (measure specification 3.1 and 3.2).

use super::gate::{SCHEMA_POLL_INTERVAL, Standing, longer_pause, standing};
use super::time::{TimeFault, time_of};
use crate::api::measure::{QueryRequest, QueryResponse};
use crate::api::model::{Status as GroupStatus, TimeRange as RangeMessage};
use crate::registry::{CompiledMeasure, Registry};
use crate::status::status_of;
use pipal_model::TimeRange;
use pipal_query::QueryError;
use prost_types::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Status;

/// Statuses per group, as the response carries them.
pub type GroupStatuses = HashMap<String, i32>;

/// What the gates say about a query.
pub enum Admission {
    /// It is planned and run.
    Run(Admitted),
    /// This is the whole answer.
    Answered(QueryResponse),
}

/// A query that passed the gates.
pub struct Admitted {
    /// The measure of each group that the request names, in order, each group once.
    pub measures: Vec<Arc<CompiledMeasure>>,
    /// The time range, cut at the creation of the measures where the client sent revisions.
    pub range: TimeRange,
    /// For the response.
    pub statuses: GroupStatuses,
}

/// Applies the gates, in order. The request has passed the rules of its message.
///
/// # Errors
/// `FAILED_PRECONDITION` for a group that is being deleted, `INVALID_ARGUMENT` for a malformed time range,
/// `UNKNOWN` for a measure that does not exist.
pub async fn admit(registry: &Registry, request: &QueryRequest, wait: Duration) -> Result<Admission, Status> {
    refuse_deleting(registry, &request.groups)?;
    let mut range = range_of(request.time_range)?;
    let statuses = revision_gate(registry, request, wait).await;
    if statuses.values().any(|&status| status != GroupStatus::Succeed as i32) {
        return Ok(Admission::Answered(only_statuses(statuses)));
    }
    let measures = measures_of(registry, request)?;
    if !request.group_mod_revisions.is_empty() {
        let created = measures.iter().map(|measure| measure.schema.created_at).max().unwrap_or(i64::MIN);
        range.begin = range.begin.max(created);
        if range.begin > range.end {
            return Ok(Admission::Answered(only_statuses(statuses)));
        }
    }
    Ok(Admission::Run(Admitted { measures, range, statuses }))
}

fn only_statuses(group_statuses: GroupStatuses) -> QueryResponse {
    QueryResponse { group_statuses, ..QueryResponse::default() }
}

/// Refuses queries of groups that are being deleted.
pub fn refuse_deleting(registry: &Registry, groups: &[String]) -> Result<(), Status> {
    let deleting = |group: &&String| registry.group(group).is_some_and(|state| state.is_deleting());
    match groups.iter().find(deleting) {
        Some(group) => Err(Status::failed_precondition(format!("group {group} is pending deletion"))),
        None => Ok(()),
    }
}

/// The time range of a request, both ends included. It may end before it begins; then nothing lies in it.
pub fn range_of(range: Option<RangeMessage>) -> Result<TimeRange, Status> {
    let range = range.unwrap_or_default();
    let time = |name: &str, time: Option<Timestamp>| {
        let fault = match time.map(|time| time_of(time.seconds, time.nanos)) {
            Some(Ok(time)) => return Ok(time),
            None => "time is empty",
            Some(Err(TimeFault::NotMilliseconds)) => "time is not millisecond precision",
            Some(Err(TimeFault::OutOfRange)) => "time is out of range",
        };
        Err(Status::invalid_argument(format!("time range {name} is invalid :{fault}")))
    };
    Ok(TimeRange { begin: time("begin", range.begin)?, end: time("end", range.end)? })
}

/// Compares the revisions that the client sent with the registry's; one deadline serves all groups.
async fn revision_gate(registry: &Registry, request: &QueryRequest, wait: Duration) -> GroupStatuses {
    let deadline = Instant::now() + wait;
    let mut statuses = GroupStatuses::new();
    for group in &request.groups {
        let revision = request.group_mod_revisions.get(group).copied().unwrap_or(0);
        if revision == 0 {
            continue;
        }
        let status = match standing_by(registry, group, &request.name, revision, deadline).await {
            Standing::Unknown => GroupStatus::NotFound,
            Standing::Behind => GroupStatus::ExpiredSchema,
            Standing::Ahead => GroupStatus::SchemaNotApplied,
            Standing::Current => GroupStatus::Succeed,
        };
        statuses.insert(group.clone(), status as i32);
    }
    statuses
}

/// The standing of a revision, looked at again until the deadline while the client is ahead.
async fn standing_by(
    registry: &Registry,
    group: &str,
    name: &str,
    revision: i64,
    deadline: Instant,
) -> Standing {
    let mut pause = SCHEMA_POLL_INTERVAL;
    loop {
        let now = standing(registry.measure(group, name).as_deref(), revision);
        let left = deadline.saturating_duration_since(Instant::now());
        if now != Standing::Ahead || left.is_zero() {
            return now;
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = longer_pause(pause);
    }
}

fn measures_of(registry: &Registry, request: &QueryRequest) -> Result<Vec<Arc<CompiledMeasure>>, Status> {
    let mut measures = Vec::with_capacity(request.groups.len());
    for (i, group) in request.groups.iter().enumerate() {
        if request.groups[..i].contains(group) {
            continue;
        }
        let missing = || {
            status_of_query(&QueryError::invalid(format!("measure doesn't exist: {group}/{}", request.name)))
        };
        measures.push(registry.measure(group, &request.name).ok_or_else(missing)?);
    }
    Ok(measures)
}

/// The status of a query that failed (specification 3.1).
pub fn status_of_query(error: &QueryError) -> Status {
    match error {
        QueryError::Invalid(_) => Status::unknown(error.to_string()),
        QueryError::Engine(error) => status_of(error),
    }
}
