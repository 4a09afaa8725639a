//! Properties: small documents without time (property specification).
//!
//! A request becomes a plan ([`plan`]); the newest versions of documents are found without their bodies, then the
//! bodies of the live ones are read in bounded pieces ([`read`]), tested ([`criteria`]) and collected ([`answer`]).
//! How a document is kept is the matter of [`document`], for those who write too.

mod answer;
mod criteria;
pub mod document;
mod plan;
mod read;
mod term;

use crate::budget::{Budget, QUERY_BYTES_CEILING};
use crate::context::{Answer, Snapshots};
use crate::error::QueryResult;
use crate::trace::Tracer;
use answer::Collector;
use pipal_api::json;
use pipal_api::property::v1::{Property, QueryRequest, QueryResponse};
use pipal_engine::{CancelToken, GroupId};
use pipal_model::MemoryPool;
use plan::Plan;
use prost::Message;
use read::GroupReader;
pub use read::{Head, find, live_documents};
use std::cell::Cell;
use std::sync::Arc;

/// Properties of an answer when the request does not say how many (property specification, 4.1).
pub const LIMIT_DEFAULT: usize = 100;

/// A group that is queried or changed.
#[derive(Clone, Debug)]
pub struct PropertyGroup {
    /// The incarnation.
    pub id: GroupId,
    /// Its name, which is part of the key of a document.
    pub name: Arc<str>,
    /// Number of shards, at least 1.
    pub shard_num: u32,
}

/// What a query needs beside its request. The caller has checked that the groups may be queried.
#[derive(Clone, Copy)]
pub struct PropertyContext<'a> {
    /// The engine.
    pub snapshots: &'a dyn Snapshots,
    /// The groups of the request in order, each once.
    pub groups: &'a [PropertyGroup],
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

/// Answers a property query. Errors: malformed criteria, the memory limit, cancellation, the engine's.
pub fn query(context: &PropertyContext<'_>, request: &QueryRequest) -> QueryResult<Answer<QueryResponse>> {
    let mut tracer = Tracer::new(request.trace, context.now, "property-grpc");
    tracer.tag("request", || json::to_string(request, json::WriteOptions::default()).unwrap_or_default());
    tracer.enter(|| format!("data-{}", context.node));
    let plan = Plan::new(request)?;
    let budget = Budget::new(context.memory, context.memory_limit_bytes.min(QUERY_BYTES_CEILING));
    let properties = execute(context, &plan, &budget, &mut tracer)?;
    tracer.tag("resp_count", || properties.len().to_string());
    tracer.exit();
    let response = QueryResponse { properties, trace: tracer.finish() };
    // The messages, and their encoding, which is there beside them for a moment.
    let bytes = 2 * response.encoded_len();
    Ok(Answer { response, memory: budget.finish(bytes) })
}

fn execute(
    context: &PropertyContext<'_>,
    plan: &Plan<'_>,
    budget: &Budget,
    tracer: &mut Tracer,
) -> QueryResult<Vec<Property>> {
    let held_bytes = Cell::new(0);
    let mut collector = Collector::new(plan, budget, &held_bytes);
    for group in context.groups {
        tracer.enter(|| format!("group {}", group.name));
        let reader = GroupReader::open(context.snapshots, group, budget, context.cancel)?;
        let goes_on = read_group(&reader, plan, &held_bytes, &mut collector, tracer)?;
        tracer.exit();
        if !goes_on {
            break;
        }
    }
    collector.finish()
}

fn read_group(
    reader: &GroupReader<'_>,
    plan: &Plan<'_>,
    held_bytes: &Cell<usize>,
    collector: &mut Collector<'_, '_>,
    tracer: &mut Tracer,
) -> QueryResult<bool> {
    let names = match plan.name {
        Some(name) => vec![name.into()],
        None => reader.names()?,
    };
    for name in names {
        tracer.enter(|| format!("scan {name}"));
        let resource = reader.resource(name, &plan.selector)?;
        tracer.tag("tables", || resource.tables().to_string());
        tracer.tag("documents_stored", || resource.stored().to_string());
        let mut read = 0u64;
        let goes_on = resource.visit_live(held_bytes, &mut |property| {
            read += 1;
            collector.take(property)
        })?;
        tracer.tag("documents_read", || read.to_string());
        tracer.exit();
        if !goes_on {
            return Ok(false);
        }
    }
    Ok(true)
}
