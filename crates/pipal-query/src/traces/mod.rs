//! Trace queries (trace specification, 3 to 11).
//!
//! A request is analysed into a plan ([`plan`]). Both modes then work in two steps: *find* the traces of the answer
//! from the few columns that decide ([`lookup`] for listed ids, [`ordered`] for the best keys, [`companion`] where a
//! source has its spans in that order), and read all spans of these traces alone ([`spans`]).

mod best;
mod companion;
mod conditions;
mod find;
mod lookup;
mod ordered;
mod plan;
mod series;
mod spans;

use crate::budget::{Budget, QUERY_BYTES_CEILING};
pub use crate::context::{Answer, GroupTarget, QueryContext, Snapshots};
use crate::error::QueryResult;
use crate::trace::Tracer;
use find::Sources;
use pipal_api::json;
use pipal_api::trace::v1::{QueryRequest, QueryResponse, Trace};
use plan::{Mode, Plan};
use prost::Message;

/// Answers a trace query. Errors: queries that cannot be analysed; without `trace` also the memory limit, cancellation
/// and the engine's, which with `trace` are told in the trace of an answer without traces.
pub fn query(context: &QueryContext<'_>, request: &QueryRequest) -> QueryResult<Answer<QueryResponse>> {
    let mut tracer = Tracer::new(request.trace, context.now, "trace-grpc");
    tracer.tag("request", || json::to_string(request, json::WriteOptions::default()).unwrap_or_default());
    tracer.enter(|| format!("data-{}", context.node));
    let plan = Plan::new(context, request)?;
    tracer.tag("plan", || plan.to_string());
    let mut budget = Budget::new(context.memory, context.memory_limit_bytes.min(QUERY_BYTES_CEILING));
    let (traces, failed) = match execute(context, &plan, &mut budget, &mut tracer) {
        Ok(traces) => (traces, false),
        Err(error) if request.trace => {
            tracer.tag("error", || error.to_string());
            (Vec::new(), true)
        }
        Err(error) => return Err(error),
    };
    tracer.tag("resp_count", || traces.len().to_string());
    tracer.leave_all();
    tracer.tag("response_trace_count", || traces.len().to_string());
    let mut trace_query_result = tracer.finish();
    if let Some(trace) = &mut trace_query_result {
        trace.error = failed;
    }
    let response = QueryResponse { traces, trace_query_result, ..QueryResponse::default() };
    // The messages, and their encoding, which is there beside them for a moment.
    let bytes = 2 * response.encoded_len();
    Ok(Answer { response, memory: budget.finish(bytes) })
}

fn execute(
    context: &QueryContext<'_>,
    plan: &Plan,
    budget: &mut Budget,
    tracer: &mut Tracer,
) -> QueryResult<Vec<Trace>> {
    if context.time.begin > context.time.end || matches!(plan.mode, Mode::Nothing) {
        return Ok(Vec::new());
    }
    let sources = Sources::open(context, plan)?;
    let found = match &plan.mode {
        Mode::Nothing => Vec::new(),
        Mode::Lookup(ids) => lookup::find(&sources, plan, ids, budget)?,
        Mode::Ordered { descending } => {
            tracer.enter(|| "ordered-scan".into());
            let found = ordered::find(&sources, plan, *descending, budget, tracer);
            tracer.exit();
            found?
        }
    };
    spans::read(&sources, plan, &found, budget)
}
