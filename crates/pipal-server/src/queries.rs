//! Queries of measures, streams and traces: gates, then a thread that plans and reads (section 3 of each
//! specification).

mod models;

use crate::admission::{Admission, Admitted, GroupStatuses, Question, admit, status_of_query, targets_of};
use crate::query_threads::QueryThreads;
use crate::registry::Registry;
use crate::services::validate;
use pipal_api::json::{self, WriteOptions};
use pipal_api::validate::Validate;
use pipal_engine::{CancelToken, Clock, Engine, SystemClock};
use pipal_model::{MemoryPool, Reservation};
use pipal_query::budget::QUERY_BYTES_MAX;
use pipal_query::context::{Answer, QueryContext};
use pipal_query::{QueryError, QueryResult};
use prost::{Message, Name};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::Status;

/// A request for rows of one of the models.
pub trait ModelRequest: Message + Name + Validate + 'static {
    /// Its answer.
    type Response: Default + Send + 'static;

    /// What the gates ask of it.
    fn question(&self) -> Question<'_>;

    /// True when the client wants to see what was done.
    fn is_traced(&self) -> bool;

    /// Plans it and reads.
    fn answer(&self, context: &QueryContext<'_>) -> QueryResult<Answer<Self::Response>>;

    /// Puts statuses into an answer.
    fn set_statuses(response: &mut Self::Response, statuses: GroupStatuses);

    /// Number of data points, elements or traces in an answer.
    fn count(response: &Self::Response) -> usize;
}

/// Answers queries, whichever face they come through; clones share the threads.
#[derive(Clone)]
pub struct Queries {
    /// Schemas.
    pub registry: Registry,
    /// Rows.
    pub engine: Engine,
    /// The memory that running queries share.
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

impl Queries {
    /// Answers one query.
    ///
    /// # Errors
    /// Those of the gates ([`admit`]), `INVALID_ARGUMENT` for broken rules of the message, `UNKNOWN` for a query
    /// that cannot be planned or run.
    pub async fn query<R: ModelRequest>(&self, request: R) -> Result<Answer<R::Response>, Status> {
        let started = Instant::now();
        validate(&request)?;
        let admitted = match admit(&self.registry, &request.question(), self.schema_wait).await? {
            Admission::Answered(statuses) => {
                let mut response = R::Response::default();
                R::set_statuses(&mut response, statuses);
                return Ok(Answer { response, memory: Reservation::new(&self.memory, usize::MAX) });
            }
            Admission::Run(admitted) => admitted,
        };
        let request = Arc::new(request);
        let run = {
            let (queries, request) = (self.clone(), request.clone());
            move |cancel: &CancelToken| execute(&queries, admitted, &*request, cancel)
        };
        let panicked = || status_of_query(&QueryError::invalid("panic"));
        let answer = self.threads.run(run, panicked).await??;
        self.log_slow(started.elapsed(), &*request, R::count(&answer.response));
        Ok(answer)
    }

    /// The slow query log (server surface 7.3).
    fn log_slow<R: ModelRequest>(&self, took: Duration, request: &R, rows: usize) {
        if request.is_traced() || self.slow_query.is_none_or(|limit| took < limit) {
            return;
        }
        let latency = took.as_secs_f64() * 1_000.0;
        let req = json::to_string(request, WriteOptions::default()).unwrap_or_else(|error| error.to_string());
        tracing::warn!(latency, req, resp_count = rows, "{} slow query", request.question().model.name());
    }
}

fn execute<R: ModelRequest>(
    queries: &Queries,
    admitted: Admitted,
    request: &R,
    cancel: &CancelToken,
) -> Result<Answer<R::Response>, Status> {
    let groups = targets_of(&admitted);
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
    let mut answer = request.answer(&context).map_err(|error| status_of_query(&error))?;
    R::set_statuses(&mut answer.response, admitted.statuses);
    Ok(answer)
}
