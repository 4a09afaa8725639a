//! Property queries: gates, then a thread that plans and reads (property specification, 4).

use super::gate::{property_group, target_of};
use crate::api::property::{QueryRequest, QueryResponse};
use crate::query_threads::QueryThreads;
use crate::registry::Registry;
use crate::services::validate;
use crate::status::status_of;
use pipal_api::json::{self, WriteOptions};
use pipal_engine::{CancelToken, Clock, Engine, SystemClock};
use pipal_model::MemoryPool;
use pipal_query::QueryError;
use pipal_query::budget::QUERY_BYTES_MAX;
use pipal_query::context::Answer;
use pipal_query::property::{PropertyContext, PropertyGroup, query};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::Status;

/// Answers property queries, whichever face they come through; clones share the threads.
#[derive(Clone)]
pub struct PropertyQueries {
    /// Groups.
    pub registry: Registry,
    /// Documents.
    pub engine: Engine,
    /// The memory that running queries share.
    pub memory: Arc<MemoryPool>,
    /// Where queries run.
    pub threads: QueryThreads,
    /// Queries that take longer are logged; none logs no query.
    pub slow_query: Option<Duration>,
    /// Name of this node, for traces.
    pub node: Arc<str>,
}

impl PropertyQueries {
    /// Answers one query.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` without groups, those of [`property_group`], `UNKNOWN` for malformed criteria.
    pub async fn query(&self, request: QueryRequest) -> Result<Answer<QueryResponse>, Status> {
        let started = Instant::now();
        validate(&request)?;
        let groups = self.groups_of(&request)?;
        let request = Arc::new(request);
        let run = {
            let (queries, request) = (self.clone(), request.clone());
            move |cancel: &CancelToken| execute(&queries, &groups, &request, cancel)
        };
        let panicked = || Status::internal("the query of a property panicked");
        let answer = self.threads.run(run, panicked).await??;
        self.log_slow(started.elapsed(), &request, answer.response.properties.len());
        Ok(answer)
    }

    /// The groups of a request, each once.
    fn groups_of(&self, request: &QueryRequest) -> Result<Vec<PropertyGroup>, Status> {
        let mut groups: Vec<PropertyGroup> = Vec::with_capacity(request.groups.len());
        for name in &request.groups {
            let group = property_group(&self.registry, name)?;
            if !groups.iter().any(|known| known.id == group.id) {
                groups.push(target_of(&group));
            }
        }
        Ok(groups)
    }

    /// The slow query log (server surface 7.3).
    fn log_slow(&self, took: Duration, request: &QueryRequest, documents: usize) {
        if request.trace || self.slow_query.is_none_or(|limit| took < limit) {
            return;
        }
        let latency = took.as_secs_f64() * 1_000.0;
        let req = json::to_string(request, WriteOptions::default()).unwrap_or_else(|error| error.to_string());
        tracing::warn!(latency, req, resp_count = documents, "property slow query");
    }
}

fn execute(
    queries: &PropertyQueries,
    groups: &[PropertyGroup],
    request: &QueryRequest,
    cancel: &CancelToken,
) -> Result<Answer<QueryResponse>, Status> {
    let context = PropertyContext {
        snapshots: &queries.engine,
        groups,
        now: SystemClock.now(),
        node: &queries.node,
        cancel,
        memory: &queries.memory,
        memory_limit_bytes: QUERY_BYTES_MAX,
    };
    query(&context, request).map_err(|error| status_of_query(&error))
}

/// The status of a query or look-up that failed.
pub fn status_of_query(error: &QueryError) -> Status {
    match error {
        QueryError::Invalid(detail) => Status::unknown(detail.clone()),
        QueryError::Engine(error) => status_of(error),
    }
}
