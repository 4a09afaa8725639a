//! Top-N queries (measure specification 4.7 and 4.8).
//!
//! Whoever writes measures keeps rankings per window as rows of the measure [`RESULT_MEASURE`]. A query reads the
//! rankings whose windows start in its time range, keeps the best value of each entity and sorts them. Of a window
//! only the newest snapshot counts, since stored rows of one series and time replace each other by version.

mod answer;
mod group;
mod plan;
mod ranking;

pub use group::push_group_value;
pub use ranking::{Direction, Number, decode, encode};

use crate::budget::{Budget, QUERY_BYTES_CEILING};
use crate::context::Answer;
use crate::error::QueryResult;
use crate::measure::Snapshots;
use crate::schema::RowSchema;
use crate::trace::Tracer;
use answer::Gathering;
use pipal_api::database::v1::TopNAggregation;
use pipal_api::json;
use pipal_api::measure::v1::{TopNList, TopNRequest, TopNResponse};
use pipal_api::model::v1::Sort;
use pipal_engine::{CancelToken, GroupId};
use pipal_model::{ColumnKey, ColumnType, MemoryPool, TimeRange};
use plan::Plan;
use prost::Message;
use std::sync::Arc;

/// The measure whose rows are rankings. Its entity is name, direction, group and parameters.
pub const RESULT_MEASURE: &str = "_top_n_result";

/// The field of [`RESULT_MEASURE`] that holds an encoded ranking.
pub fn value_column() -> ColumnKey {
    ColumnKey { family: "".into(), name: "value".into(), ty: ColumnType::Binary }
}

/// The direction of this number in requests and definitions; none when it is unspecified.
pub fn direction_of(sort: i32) -> Option<Direction> {
    match Sort::try_from(sort) {
        Ok(Sort::Desc) => Some(Direction::Desc),
        Ok(Sort::Asc) => Some(Direction::Asc),
        Ok(Sort::Unspecified) | Err(_) => None,
    }
}

/// The aggregation in one of the groups of a request.
#[derive(Clone, Debug)]
pub struct TopNTarget {
    /// The incarnation.
    pub group: GroupId,
    /// The aggregation there.
    pub aggregation: Arc<TopNAggregation>,
    /// The measure that it ranks.
    pub source: Arc<RowSchema>,
}

/// What a query needs beside its request. The caller has checked what needs the registry.
#[derive(Clone, Copy)]
pub struct TopNContext<'a> {
    /// The engine.
    pub snapshots: &'a dyn Snapshots,
    /// The aggregation in each group of the request, each group once.
    pub targets: &'a [TopNTarget],
    /// The range of window starts, both ends included.
    pub time: TimeRange,
    /// Nanoseconds since the epoch.
    pub now: i64,
    /// Tells the query to stop.
    pub cancel: &'a CancelToken,
    /// The memory that all queries share.
    pub memory: &'a Arc<MemoryPool>,
    /// Most bytes that the query may hold.
    pub memory_limit_bytes: usize,
}

/// Answers a Top-N query. Errors: conditions that cannot be served, groups that do not fit together, the memory
/// limit, cancellation, the engine's, a damaged ranking.
pub fn query(context: &TopNContext<'_>, request: &TopNRequest) -> QueryResult<Answer<TopNResponse>> {
    let mut tracer = Tracer::new(request.trace, context.now, "topn-grpc");
    tracer.tag("request", || json::to_string(request, json::WriteOptions::default()).unwrap_or_default());
    let budget = Budget::new(context.memory, context.memory_limit_bytes.min(QUERY_BYTES_CEILING));
    let lists = execute(context, request, &budget, &mut tracer)?;
    tracer.tag("response_list_count", || lists.len().to_string());
    let response = TopNResponse { lists, trace: tracer.finish() };
    // The messages, and their encoding, which is there beside them for a moment.
    let bytes = 2 * response.encoded_len();
    Ok(Answer { response, memory: budget.finish(bytes) })
}

fn execute(
    context: &TopNContext<'_>,
    request: &TopNRequest,
    budget: &Budget,
    tracer: &mut Tracer,
) -> QueryResult<Vec<TopNList>> {
    let Some(plan) = Plan::new(request, context.targets)? else { return Ok(Vec::new()) };
    let mut gathering = Gathering::new(context, &plan, budget);
    if context.time.begin <= context.time.end {
        tracer.enter(|| "rankings".to_owned());
        gathering.read(tracer)?;
        tracer.exit();
    }
    gathering.lists()
}
