//! Sends prepared queries, closed loop or at a fixed rate, and checks every answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::connection::Connections;
use crate::latency::Latencies;
use crate::protobuf::count_fields;
use crate::query::prepared::{Feed, Prepared};
use crate::read::ANSWER_BYTES_MAX;
use crate::write_stream::call;

/// Field number of the rows in every kind of answer: points, elements, traces, lists, properties.
const ROWS: u32 = 1;
const FAULT_TEXTS_MAX: usize = 5;

/// How queries are sent.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub in_flight: usize,
    pub queries_per_second: Option<f64>,
    pub compare_every: u64,
    pub duration: Duration,
}

/// Answers of one shape.
#[derive(Debug, Default)]
pub struct ShapeTotals {
    pub queries: u64,
    pub rows: u64,
    pub failed: u64,
    pub wrong: u64,
    pub latencies: Latencies,
    pub fault_texts: Vec<String>,
}

/// Answers of all shapes.
#[derive(Debug, Default)]
pub struct QueryTotals {
    pub shapes: HashMap<&'static str, ShapeTotals>,
    pub elapsed: Duration,
}

impl QueryTotals {
    /// Queries of all shapes.
    pub fn queries(&self) -> u64 {
        self.shapes.values().map(|shape| shape.queries).sum()
    }

    fn absorb(&mut self, other: QueryTotals) {
        for (name, theirs) in other.shapes {
            let ours = self.shapes.entry(name).or_default();
            ours.queries += theirs.queries;
            ours.rows += theirs.rows;
            ours.failed += theirs.failed;
            ours.wrong += theirs.wrong;
            ours.latencies.absorb(theirs.latencies);
            let room = FAULT_TEXTS_MAX.saturating_sub(ours.fault_texts.len());
            ours.fault_texts.extend(theirs.fault_texts.into_iter().take(room));
        }
    }
}

impl ShapeTotals {
    fn fault(&mut self, text: String) {
        if self.fault_texts.len() < FAULT_TEXTS_MAX {
            self.fault_texts.push(text);
        }
    }
}

/// Checks an answer; gives its number of rows.
fn check(prepared: &Prepared, answer: Bytes, compare: bool) -> Result<usize, String> {
    let rows = count_fields(&answer, ROWS)?;
    if !prepared.rows.contains(&rows) {
        return Err(format!("{rows} rows instead of {:?}", prepared.rows));
    }
    if compare && let Some(comparison) = &prepared.comparison {
        comparison(answer)?;
    }
    Ok(rows)
}

/// Sends the queries in turn until the time is over.
pub async fn run_queries(
    connections: &Arc<Connections>,
    queries: Arc<dyn Feed>,
    pace: Pace,
) -> Result<QueryTotals, String> {
    let started = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..pace.in_flight.max(1) {
        let (connections, queries, next) = (Arc::clone(connections), Arc::clone(&queries), Arc::clone(&next));
        tasks.spawn(async move { send_until(&connections, &*queries, pace, started, &next).await });
    }
    let mut totals = QueryTotals::default();
    while let Some(done) = tasks.join_next().await {
        totals.absorb(done.map_err(|error| format!("a reader failed: {error}"))??);
    }
    totals.elapsed = started.elapsed();
    Ok(totals)
}

/// Waits until `due`; true if it had passed already. A query that is late counts from when it was due: the time it
/// stood in line is part of the answer. One that is early counts from the end of the sleep, for the runtime's timer is as
/// much as a millisecond late, which is no doing of the server.
async fn wait(due: Instant) -> bool {
    if due <= Instant::now() {
        return true;
    }
    tokio::time::sleep_until(due.into()).await;
    false
}

async fn send_until(
    connections: &Connections,
    queries: &dyn Feed,
    pace: Pace,
    started: Instant,
    next: &AtomicU64,
) -> Result<QueryTotals, String> {
    let mut totals = QueryTotals::default();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let due = match pace.queries_per_second {
            Some(rate) => started + Duration::from_secs_f64(number as f64 / rate.max(f64::MIN_POSITIVE)),
            None => Instant::now(),
        };
        if due >= started + pace.duration {
            return Ok(totals);
        }
        let late = wait(due).await;
        let Some(prepared) = queries.query(number) else { return Ok(totals) };
        let begun = if late && pace.queries_per_second.is_some() { due } else { Instant::now() };
        let channel = connections.take()?;
        let answer = call(channel, prepared.path, prepared.request.clone(), ANSWER_BYTES_MAX).await;
        let elapsed = begun.elapsed();
        let shape = totals.shapes.entry(prepared.shape).or_default();
        shape.queries += 1;
        shape.latencies.record(elapsed);
        let compare = pace.compare_every > 0 && number.is_multiple_of(pace.compare_every);
        match answer {
            Err(status) => {
                shape.failed += 1;
                shape.fault(format!("{:?}: {}", status.code(), status.message()));
            }
            Ok(answer) => match check(&prepared, answer, compare) {
                Ok(rows) => shape.rows += rows as u64,
                Err(text) => {
                    shape.wrong += 1;
                    shape.fault(text);
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipal_api::measure::v1::{DataPoint, QueryRequest, QueryResponse};
    use prost::Message;

    #[test]
    fn answers_are_counted_always_and_compared_when_asked() {
        let prepared =
            Prepared::new("Q1", &QueryRequest::default(), 2..=3).comparing(|response: &QueryResponse| {
                if response.data_points.len() == 2 { Ok(()) } else { Err("not two".into()) }
            });
        let answer = |rows| {
            let data_points = vec![DataPoint::default(); rows];
            Bytes::from(QueryResponse { data_points, ..Default::default() }.encode_to_vec())
        };
        assert_eq!(check(&prepared, answer(3), false), Ok(3));
        assert_eq!(check(&prepared, answer(2), true), Ok(2));
        assert!(check(&prepared, answer(3), true).is_err());
        assert!(check(&prepared, answer(1), false).is_err());
        assert!(check(&prepared, answer(4), false).is_err());
    }
}
