//! Measure queries: gates, then a thread that plans and reads (measure specification 3).

use super::admission::{Admission, Admitted, admit, status_of_query};
use super::threads::QueryThreads;
use crate::api::measure::QueryRequest;
use crate::registry::Registry;
use crate::services::validate;
use pipal_api::json::{self, WriteOptions};
use pipal_engine::{CancelToken, Clock, Engine, SystemClock};
use pipal_model::{MemoryPool, Reservation};
use pipal_query::QueryError;
use pipal_query::budget::QUERY_BYTES_MAX;
use pipal_query::measure::{Answer, GroupTarget, QueryContext, query};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::Status;

/// Answers measure queries, whichever face they come through; clones share the threads.
#[derive(Clone)]
pub struct MeasureQueries {
    /// Schemas.
    pub registry: Registry,
    /// Rows.
    pub engine: Engine,
    /// The memory that running queries and answers on their way out share.
    pub memory: Arc<MemoryPool>,
    /// Where queries run.
    pub threads: QueryThreads,
    /// How long a query waits for a schema that its client knows already.
    pub schema_wait: Duration,
    /// Queries that take longer are logged; none logs no query.
    pub slow_query: Option<Duration>,
    /// Name of this node, for traces.
    pub node: Arc<str>,
}

impl MeasureQueries {
    /// Answers one query. The answer's memory is to be kept until the answer is sent.
    ///
    /// # Errors
    /// Those of the gates ([`admit`]), `INVALID_ARGUMENT` for broken rules of the message, `UNKNOWN` for a query
    /// that cannot be planned or run.
    pub async fn query(&self, request: QueryRequest) -> Result<Answer, Status> {
        let started = Instant::now();
        validate(&request)?;
        let admitted = match admit(&self.registry, &request, self.schema_wait).await? {
            Admission::Answered(response) => {
                return Ok(Answer { response, memory: Reservation::new(&self.memory, usize::MAX) });
            }
            Admission::Run(admitted) => admitted,
        };
        let request = Arc::new(request);
        let run = {
            let (queries, request) = (self.clone(), request.clone());
            move |cancel: &CancelToken| execute(&queries, admitted, &request, cancel)
        };
        let panicked = || status_of_query(&QueryError::invalid("panic"));
        let answer = self.threads.run(run, panicked).await??;
        self.log_slow(started.elapsed(), &request, answer.response.data_points.len());
        Ok(answer)
    }

    /// The slow query log (server surface 7.3).
    fn log_slow(&self, took: Duration, request: &QueryRequest, rows: usize) {
        if request.trace || self.slow_query.is_none_or(|limit| took < limit) {
            return;
        }
        let latency = took.as_secs_f64() * 1_000.0;
        let req = json::to_string(request, WriteOptions::default()).unwrap_or_else(|error| error.to_string());
        tracing::warn!(latency, req, resp_count = rows, "measure slow query");
    }
}

fn execute(
    queries: &MeasureQueries,
    admitted: Admitted,
    request: &QueryRequest,
    cancel: &CancelToken,
) -> Result<Answer, Status> {
    let target = |measure: &Arc<crate::registry::CompiledMeasure>| GroupTarget {
        id: measure.group.id,
        schema: measure.schema.clone(),
    };
    let groups: Vec<GroupTarget> = admitted.measures.iter().map(target).collect();
    let context = QueryContext {
        snapshots: &queries.engine,
        groups: &groups,
        time: admitted.range,
        now: SystemClock.now(),
        node: &queries.node,
        cancel,
        memory: &queries.memory,
        memory_limit_bytes: QUERY_BYTES_MAX,
    };
    let mut answer = query(&context, request).map_err(|error| status_of_query(&error))?;
    answer.response.group_statuses = admitted.statuses;
    Ok(answer)
}
