//! Stream queries (stream specification, 3 to 14).
//!
//! A request is analysed into a plan ([`plan`]) whose criteria select series and filter rows ([`criteria`]). Rows that
//! pass go into a sink that keeps the first ones of different element ids; these become messages.

mod criteria;
mod plan;

use crate::budget::{Budget, QUERY_BYTES_CEILING};
use crate::context::{Answer, QueryContext};
use crate::error::{QueryError, QueryResult};
use crate::first_rows::FirstRows;
use crate::order::Sorter;
use crate::read::{self, RowSink};
use crate::tags::EmptyArrays;
use crate::trace::{Tracer, timestamp};
use crate::view::View;
use pipal_api::json;
use pipal_api::stream::v1::{Element, QueryRequest, QueryResponse};
use pipal_model::ValueRef;
use plan::Plan;

/// Hexadecimal digits of a shown element id.
const ELEMENT_ID_DIGITS: usize = 16;

/// Answers a stream query. A group that the context names twice gives its rows twice. Errors: queries that cannot be
/// analysed; and, unless the request asks for a trace, which then tells of them: the memory limit, cancellation, the
/// engine's, criteria that contradict each other on the entity.
pub fn query(context: &QueryContext<'_>, request: &QueryRequest) -> QueryResult<Answer<QueryResponse>> {
    let mut tracer = Tracer::new(request.trace, context.now, "stream-grpc");
    tracer.tag("request", || json::to_string(request, json::WriteOptions::default()).unwrap_or_default());
    tracer.enter(|| format!("data-{}", context.node));
    let plan = Plan::new(context.groups, request)?;
    tracer.tag("plan", || plan.to_string());
    let budget = Budget::new(context.memory, context.memory_limit_bytes.min(QUERY_BYTES_CEILING));
    let (elements, bytes) = match execute(context, &plan, &budget, &mut tracer) {
        Ok((elements, bytes)) => {
            tracer.tag("resp_count", || elements.len().to_string());
            tracer.exit();
            (elements, bytes)
        }
        Err(error) if tracer.is_enabled() => {
            tracer.fail(&error);
            (Vec::new(), 0)
        }
        Err(error) => return Err(error),
    };
    tracer.tag("response_element_count", || elements.len().to_string());
    let response = QueryResponse { elements, trace: tracer.finish(), ..QueryResponse::default() };
    // The messages, and their encoding, which is there beside them for a moment.
    Ok(Answer { response, memory: budget.finish(2 * bytes) })
}

/// The elements, and about the bytes that they hold.
fn execute(
    context: &QueryContext<'_>,
    plan: &Plan,
    budget: &Budget,
    tracer: &mut Tracer,
) -> QueryResult<(Vec<Element>, usize)> {
    if !plan.is_servable() {
        return Err(QueryError::invalid("invalid query options: timeRange and series are required"));
    }
    if context.time.begin > context.time.end {
        return Ok((Vec::new(), 0));
    }
    let sorter = Sorter::new(plan.order.clone(), None);
    let mut sink = FirstRows::new(&plan.shape, sorter, plan.rows_needed(), true).distinct_by(plan.id_column);
    read::read(context, &plan.reading(), &mut sink, budget, tracer)?;
    tracer.enter(|| "iterator".into());
    let held_bytes = sink.heap_bytes();
    let (rows, order) = sink.finish();
    let shown = plan.shown(&order);
    let message_bytes = size_of::<Element>() + ELEMENT_ID_DIGITS + plan.tags.message_bytes();
    let bytes = held_bytes.saturating_add(shown.len().saturating_mul(message_bytes));
    budget.check(bytes)?;
    let elements = rows.with_view(|view| messages(plan, view, shown));
    tracer.tag("size", || elements.len().to_string());
    tracer.exit();
    Ok((elements, bytes))
}

fn messages(plan: &Plan, view: &View<'_>, rows: &[u32]) -> Vec<Element> {
    let mut scratch = Vec::new();
    let element = |row: &u32| {
        let row = *row as usize;
        Element {
            element_id: element_id(view.column_value(plan.id_column, row)),
            timestamp: Some(timestamp(view.times[row])),
            tag_families: plan.tags.messages(view, row, EmptyArrays::Kept, &mut scratch),
        }
    };
    rows.iter().map(element).collect()
}

/// The hash of an element id as clients know it.
fn element_id(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Int(hash) => format!("{:0ELEMENT_ID_DIGITS$x}", hash as u64),
        _ => String::new(),
    }
}
