//! Measure queries (measure specification, 3).
//!
//! A request is analysed into a plan ([`plan`]); the plan reads segments, tables and series ([`crate::read`]); rows go into
//! a sink that keeps the first ones, groups or aggregates ([`sink`]); what is left becomes messages ([`answer`]).

mod answer;
mod criteria;
mod plan;
mod point;
mod series_filter;
mod sink;

use crate::budget::{Budget, QUERY_BYTES_CEILING};
pub use crate::context::{Answer, GroupTarget, QueryContext, Snapshots};
use crate::error::QueryResult;
use crate::read;
use crate::trace::Tracer;
use pipal_api::json;
use pipal_api::measure::v1::{DataPoint, QueryRequest, QueryResponse};
use plan::Plan;
use sink::Sink;

/// Rows of an answer, and about the bytes that they hold.
struct Points {
    rows: Vec<DataPoint>,
    bytes: usize,
}

/// Answers a measure query. Errors: queries that cannot be analysed, the memory limit, cancellation, the engine's.
pub fn query(context: &QueryContext<'_>, request: &QueryRequest) -> QueryResult<Answer<QueryResponse>> {
    let mut tracer = Tracer::new(request.trace, context.now, "measure-grpc");
    tracer.tag("request", || json::to_string(request, json::WriteOptions::default()).unwrap_or_default());
    tracer.enter(|| format!("data-{}", context.node));
    let plan = Plan::new(context, request)?;
    tracer.tag("plan", || format!("{:?} order {:?} top {:?}", plan.operation, plan.order, plan.top));
    let budget = Budget::new(context.memory, context.memory_limit_bytes.min(QUERY_BYTES_CEILING));
    let Points { rows: data_points, bytes } = execute(context, &plan, &budget, &mut tracer)?;
    tracer.tag("resp_count", || data_points.len().to_string());
    tracer.exit();
    tracer.tag("response_data_point_count", || data_points.len().to_string());
    let response = QueryResponse { data_points, trace: tracer.finish(), ..QueryResponse::default() };
    // The messages, and their encoding, which is there beside them for a moment.
    Ok(Answer { response, memory: budget.finish(2 * bytes) })
}

fn execute(
    context: &QueryContext<'_>,
    plan: &Plan,
    budget: &Budget,
    tracer: &mut Tracer,
) -> QueryResult<Points> {
    if context.time.begin > context.time.end {
        return Ok(Points { rows: Vec::new(), bytes: 0 });
    }
    // A trace shows every step; the short way has none to show.
    if !tracer.is_enabled()
        && let Some(points) = point::answer(context, plan, budget)?
    {
        return Ok(points);
    }
    let index_mode = context.groups.iter().any(|group| group.schema.index_mode);
    // An older row of an index-mode series may only be shown when all newer ones were looked at.
    let mut sink = Sink::new(plan, !index_mode);
    read::read(context, &plan.reading(index_mode), &mut sink, budget, tracer)?;
    tracer.enter(|| "iterator".into());
    let outcome = sink.finish();
    // The values of the messages are copies of those of the rows.
    let bytes = outcome.rows.heap_bytes() + answer::message_bytes(plan, outcome.order.len());
    budget.check(bytes)?;
    let rows = answer::data_points(plan, &outcome);
    tracer.tag("size", || rows.len().to_string());
    tracer.exit();
    Ok(Points { rows, bytes })
}
