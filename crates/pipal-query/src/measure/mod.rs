//! Measure queries (measure specification, 3).
//!
//! A request is analysed into a plan ([`plan`]); the plan reads segments, tables and series ([`read`]); rows go into
//! a sink that keeps the first ones, groups or aggregates ([`sink`]); what is left becomes messages ([`answer`]).

mod answer;
mod buffer;
mod criteria;
mod entity;
mod order;
mod plan;
mod point;
mod read;
mod sink;
mod view;

pub(crate) use answer::tag_value;
pub(crate) use entity::shown_value as shown_entity_value;

use crate::budget::{Budget, QUERY_BYTES_CEILING};
use crate::error::QueryResult;
use crate::schema::MeasureSchema;
use crate::trace::Tracer;
use pipal_api::json;
use pipal_api::measure::v1::{DataPoint, QueryRequest, QueryResponse};
use pipal_engine::{CancelToken, Engine, GroupId, Snapshot};
use pipal_model::{MemoryPool, Result, TimeRange};
use plan::Plan;
use sink::Sink;
use std::sync::Arc;

/// Where queries find rows: the engine, or a stand-in for tests.
pub trait Snapshots {
    /// The segments of a group that overlap the range and have not expired.
    fn snapshot(&self, group: GroupId, time: TimeRange) -> Result<Snapshot>;
}

impl Snapshots for Engine {
    fn snapshot(&self, group: GroupId, time: TimeRange) -> Result<Snapshot> {
        Engine::snapshot(self, group, time)
    }
}

/// A group that is queried.
#[derive(Clone, Debug)]
pub struct GroupTarget {
    /// The incarnation.
    pub id: GroupId,
    /// The measure there.
    pub schema: Arc<MeasureSchema>,
}

/// What a query needs beside its request. The caller has checked what needs the registry: that the measure exists in
/// every group, revisions, and that the time range is valid.
#[derive(Clone, Copy)]
pub struct QueryContext<'a> {
    /// The engine.
    pub snapshots: &'a dyn Snapshots,
    /// The groups of the request in order, each once.
    pub groups: &'a [GroupTarget],
    /// The time range, both ends included; begin is raised to the creation of the measure where the protocol asks.
    pub time: TimeRange,
    /// Nanoseconds since the epoch, for the trace.
    pub now: i64,
    /// Name of this node, for the trace.
    pub node: &'a str,
    /// Tells the query to stop.
    pub cancel: &'a CancelToken,
    /// The memory that all queries share.
    pub memory: &'a Arc<MemoryPool>,
    /// Most bytes that the query may hold, usually [`crate::budget::QUERY_BYTES_MAX`].
    pub memory_limit_bytes: usize,
}

/// Answers a measure query. Errors: queries that cannot be analysed, the memory limit, cancellation, the engine's.
pub fn query(context: &QueryContext<'_>, request: &QueryRequest) -> QueryResult<QueryResponse> {
    let mut tracer = Tracer::new(request.trace, context.now, "measure-grpc");
    tracer.tag("request", || json::to_string(request, json::WriteOptions::default()).unwrap_or_default());
    tracer.enter(|| format!("data-{}", context.node));
    let plan = Plan::new(context, request)?;
    tracer.tag("plan", || format!("{:?} order {:?} top {:?}", plan.operation, plan.order, plan.top));
    let data_points = execute(context, &plan, &mut tracer)?;
    tracer.tag("resp_count", || data_points.len().to_string());
    tracer.exit();
    tracer.tag("response_data_point_count", || data_points.len().to_string());
    Ok(QueryResponse { data_points, trace: tracer.finish(), ..QueryResponse::default() })
}

fn execute(context: &QueryContext<'_>, plan: &Plan, tracer: &mut Tracer) -> QueryResult<Vec<DataPoint>> {
    if context.time.begin > context.time.end {
        return Ok(Vec::new());
    }
    let budget = Budget::new(context.memory, context.memory_limit_bytes.min(QUERY_BYTES_CEILING));
    // A trace shows every step; the short way has none to show.
    if !tracer.is_enabled()
        && let Some(points) = point::answer(context, plan, &budget)?
    {
        return Ok(points);
    }
    let index_mode = context.groups.iter().any(|group| group.schema.index_mode);
    // An older row of an index-mode series may only be shown when all newer ones were looked at.
    let mut sink = Sink::new(plan, !index_mode);
    read::read(context, plan, &mut sink, &budget, tracer)?;
    tracer.enter(|| "iterator".into());
    let outcome = sink.finish();
    budget.check(outcome.rows.heap_bytes() + answer::message_bytes(plan, outcome.order.len()))?;
    let points = answer::data_points(plan, &outcome);
    tracer.tag("size", || points.len().to_string());
    tracer.exit();
    Ok(points)
}
