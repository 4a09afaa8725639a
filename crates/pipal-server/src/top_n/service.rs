//! The call `MeasureService.TopN` (measure specification 4.7).

use crate::admission::{range_of, refuse_deleting, status_of_query};
use crate::api::database::TopNAggregation;
use crate::api::measure::{TopNRequest, TopNResponse};
use crate::queries::Queries;
use crate::registry::Registry;
use crate::services::validate;
use pipal_engine::{CancelToken, Clock, SystemClock};
use pipal_model::{Reservation, TimeRange};
use pipal_query::QueryError;
use pipal_query::budget::QUERY_BYTES_MAX;
use pipal_query::context::Answer;
use pipal_query::top_n::{TopNContext, TopNTarget, direction_of, query};
use tonic::Status;

impl Queries {
    /// Answers one Top-N query. Unknown groups and aggregations have an empty answer.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for broken rules of the message and malformed time ranges, `FAILED_PRECONDITION` for a
    /// group that is being deleted, `UNKNOWN` for conditions that cannot be served and groups that do not fit
    /// together.
    pub async fn top_n(&self, request: TopNRequest) -> Result<Answer<TopNResponse>, Status> {
        validate(&request)?;
        refuse_deleting(&self.registry, &request.groups)?;
        let range = range_of(request.time_range.as_ref())?;
        if direction_of(request.field_value_sort).is_none() {
            return Ok(self.nothing());
        }
        let targets = targets_of(&self.registry, &request).map_err(|error| status_of_query(&error))?;
        if targets.is_empty() {
            return Ok(self.nothing());
        }
        let queries = self.clone();
        let run = move |cancel: &CancelToken| execute(&queries, &targets, range, &request, cancel);
        let panicked = || status_of_query(&QueryError::invalid("panic"));
        self.threads.run(run, panicked).await?
    }

    fn nothing(&self) -> Answer<TopNResponse> {
        Answer { response: TopNResponse::default(), memory: Reservation::new(&self.memory, usize::MAX) }
    }
}

/// The aggregation in each group, each group once; nothing when no group has it.
fn targets_of(registry: &Registry, request: &TopNRequest) -> Result<Vec<TopNTarget>, QueryError> {
    let mut targets = Vec::with_capacity(request.groups.len());
    let mut missing = None;
    for (i, group) in request.groups.iter().enumerate() {
        if request.groups[..i].contains(group) {
            continue;
        }
        match target(registry, group, &request.name) {
            Some(target) => targets.push(target),
            None => missing = Some(group),
        }
    }
    match missing {
        Some(group) if !targets.is_empty() => Err(QueryError::invalid(format!(
            "fail to analyze the query request for topn {}: it does not exist in group {group}",
            request.name
        ))),
        _ => Ok(targets),
    }
}

fn target(registry: &Registry, group: &str, name: &str) -> Option<TopNTarget> {
    let aggregation = registry.get::<TopNAggregation>(group, name)?;
    let source = aggregation.source_measure.as_ref().filter(|source| source.group == group)?;
    let measure = registry.measure(group, &source.name)?;
    let (group, source) = (measure.group.id, measure.schema.clone());
    Some(TopNTarget { group, aggregation, source })
}

fn execute(
    queries: &Queries,
    targets: &[TopNTarget],
    time: TimeRange,
    request: &TopNRequest,
    cancel: &CancelToken,
) -> Result<Answer<TopNResponse>, Status> {
    let context = TopNContext {
        snapshots: &queries.engine,
        targets,
        time,
        now: SystemClock.now(),
        cancel,
        memory: &queries.memory,
        memory_limit_bytes: QUERY_BYTES_MAX,
    };
    query(&context, request).map_err(|error| status_of_query(&error))
}
