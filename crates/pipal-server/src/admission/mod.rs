//! Everything that is decided about a query before it is planned, the same for measures, streams and traces
//! (measure specification 3.1 and 3.2). [`gate`] and [`time`] are what writes share with it.

pub mod gate;
pub mod time;

use crate::api::model::{Status as GroupStatus, TimeRange as TimeRangeMessage};
use crate::registry::{CompiledResource, Registry};
use crate::status::status_of;
use gate::{SCHEMA_POLL_INTERVAL, Standing, longer_pause, standing};
use pipal_api::write::Model;
use pipal_model::TimeRange;
use pipal_query::QueryError;
use pipal_query::measure::GroupTarget;
use prost_types::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use time::{TimeFault, time_of};
use tokio::time::Instant;
use tonic::Status;

/// Statuses per group, as the response carries them.
pub type GroupStatuses = HashMap<String, i32>;

/// What the gates ask of a request. The request has passed the rules of its message.
pub struct Question<'a> {
    /// Model of the resource.
    pub model: Model,
    /// Groups, in order.
    pub groups: &'a [String],
    /// Name of the resource in all of them.
    pub name: &'a str,
    /// Range of time; none is everything.
    pub time_range: Option<&'a TimeRangeMessage>,
    /// The revisions that the client knows, by group.
    pub revisions: &'a HashMap<String, i64>,
}

/// What the gates say about a query.
pub enum Admission {
    /// It is planned and run.
    Run(Admitted),
    /// It is not run: these statuses are the whole answer.
    Answered(GroupStatuses),
}

/// A query that passed the gates.
pub struct Admitted {
    /// The resource of each group that the request names, in order. A group that is named twice is there twice for
    /// a stream, which gives its rows twice, and once for the other models.
    pub resources: Vec<Arc<CompiledResource>>,
    /// The time range, cut at the creation of the resources where the client sent revisions.
    pub range: TimeRange,
    /// For the response.
    pub statuses: GroupStatuses,
}

/// Applies the gates, in order.
///
/// # Errors
/// `FAILED_PRECONDITION` for a group that is being deleted, `INVALID_ARGUMENT` for a malformed time range,
/// `UNKNOWN` for a resource that does not exist.
pub async fn admit(
    registry: &Registry,
    question: &Question<'_>,
    wait: Duration,
) -> Result<Admission, Status> {
    refuse_deleting(registry, question.groups)?;
    let mut range = range_of(question.time_range)?;
    let statuses = revision_gate(registry, question, wait).await;
    if statuses.values().any(|&status| status != GroupStatus::Succeed as i32) {
        return Ok(Admission::Answered(statuses));
    }
    let resources = resources_of(registry, question)?;
    if !question.revisions.is_empty() {
        let created = resources.iter().map(|resource| resource.schema.created_at).max().unwrap_or(i64::MIN);
        range.begin = range.begin.max(created);
        if range.begin > range.end {
            return Ok(Admission::Answered(statuses));
        }
    }
    Ok(Admission::Run(Admitted { resources, range, statuses }))
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
pub fn range_of(range: Option<&TimeRangeMessage>) -> Result<TimeRange, Status> {
    let Some(range) = range else {
        return Ok(TimeRange { begin: 0, end: i64::MAX });
    };
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
async fn revision_gate(registry: &Registry, question: &Question<'_>, wait: Duration) -> GroupStatuses {
    let deadline = Instant::now() + wait;
    let mut statuses = GroupStatuses::new();
    for group in question.groups {
        let revision = question.revisions.get(group).copied().unwrap_or(0);
        if revision == 0 {
            continue;
        }
        let status = match standing_by(registry, question, group, revision, deadline).await {
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
    question: &Question<'_>,
    group: &str,
    revision: i64,
    deadline: Instant,
) -> Standing {
    let mut pause = SCHEMA_POLL_INTERVAL;
    loop {
        let now = standing(registry.resource(question.model, group, question.name).as_deref(), revision);
        let left = deadline.saturating_duration_since(Instant::now());
        if now != Standing::Ahead || left.is_zero() {
            return now;
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = longer_pause(pause);
    }
}

fn resources_of(registry: &Registry, question: &Question<'_>) -> Result<Vec<Arc<CompiledResource>>, Status> {
    let (groups, name) = (question.groups, question.name);
    let mut resources = Vec::with_capacity(groups.len());
    for (i, group) in groups.iter().enumerate() {
        if question.model != Model::Stream && groups[..i].contains(group) {
            continue;
        }
        let missing = || {
            let detail = match question.model {
                Model::Measure => format!("measure doesn't exist: {group}/{name}"),
                Model::Stream => format!("stream doesn't exist: {group}/{name}"),
                Model::Trace => format!("trace not found: {group}/{name}"),
            };
            status_of_query(&QueryError::invalid(detail))
        };
        resources.push(registry.resource(question.model, group, name).ok_or_else(missing)?);
    }
    Ok(resources)
}

/// The status of a query that failed (specification 3.1).
pub fn status_of_query(error: &QueryError) -> Status {
    match error {
        QueryError::Invalid(_) => Status::unknown(error.to_string()),
        QueryError::Engine(error) => status_of(error),
    }
}

/// The groups of an admitted query as the planner wants them.
pub fn targets_of(admitted: &Admitted) -> Vec<GroupTarget> {
    let target = |resource: &Arc<CompiledResource>| GroupTarget {
        id: resource.group.id,
        schema: resource.schema.clone(),
    };
    admitted.resources.iter().map(target).collect()
}
