//! The queries of the client on traces (workload model, Q13, Q14 and Q16): whole traces, every segment exactly once.

use std::collections::HashMap;
use std::sync::Arc;

use pipal_api::model::v1::condition::BinaryOp;
use pipal_api::model::v1::{Criteria, Int, QueryOrder, Sort, TagValue, tag_value};
use pipal_api::trace::v1::{QueryRequest, QueryResponse, Trace};

use crate::data_model::DataModel;
use crate::query::prepared::{Prepared, QuerySource};
use crate::random::Random;
use crate::read::{and, condition, text_value, texts_value, time_range};
use crate::rows::check::{keys_differ, none};
use crate::rows::progress::{Presence, Progress, Reach};
use crate::rows::segments::{FAILURE_TAG, SegmentRows};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// Traces of a page.
const PAGE: usize = 20;

/// A request for traces, their tags left out.
pub fn trace_request(
    segments: &SegmentRows,
    (first_ms, last_ms): (i64, i64),
    criteria: Option<Criteria>,
    order_by: &str,
    limit: usize,
) -> QueryRequest {
    let order = QueryOrder { index_rule_name: order_by.to_owned(), sort: Sort::Desc as i32 };
    QueryRequest {
        groups: vec![segments.group.clone()],
        name: "segment".to_owned(),
        time_range: Some(time_range(first_ms, last_ms)),
        limit: limit as u32,
        order_by: (!order_by.is_empty()).then_some(order),
        criteria,
        ..Default::default()
    }
}

/// Queries on the acknowledged segments of a run.
#[derive(Debug, Clone)]
pub struct SegmentSource {
    pub segments: Arc<SegmentRows>,
    pub progress: Arc<Progress>,
}

/// The traces of rows, each with its greatest key, greatest first.
fn ranked(
    segments: &SegmentRows,
    rows: impl Iterator<Item = u64>,
    key: impl Fn(u64) -> i64,
) -> Vec<(u64, i64)> {
    let mut keys: HashMap<u64, i64> = HashMap::new();
    for row in rows {
        let greatest = keys.entry(segments.trace(row)).or_insert(i64::MIN);
        *greatest = (*greatest).max(key(row));
    }
    let mut ranked: Vec<(u64, i64)> = keys.into_iter().collect();
    ranked.sort_unstable_by_key(|&(trace, key)| (std::cmp::Reverse(key), trace));
    ranked
}

impl SegmentSource {
    /// Q13: the newest traces of a service.
    fn newest(&self, random: &mut Random) -> Prepared {
        let (segments, reach) = (&self.segments, self.progress.reach());
        let last_ms = segments.end_ms(reach) - 1;
        let first_ms = last_ms - (15 + random.below(16) as i64) * MINUTE_MS;
        let rows = segments.clock.first_row_at(first_ms)..segments.clock.first_row_at(last_ms + 1);
        let service = segments.entities.draw(random);
        let criteria = condition("service_id", BinaryOp::Eq, text_value(segments.entities.service(service)));
        let request = trace_request(segments, (first_ms, last_ms), Some(criteria), "start_time", PAGE);
        // Traces in the order of their newest segment, and some more, for the limit may cut through one millisecond.
        let mut expected: Vec<(u64, i64)> = Vec::new();
        for row in segments.rows_back(service, rows) {
            let (trace, time) = (segments.trace(row), segments.clock.time_ms(row));
            if expected.len() >= PAGE && expected.last().is_some_and(|&(_, last)| time < last) {
                break;
            }
            if !expected.iter().any(|&(known, _)| known == trace) {
                expected.push((trace, time));
            }
        }
        let count = expected.len().min(PAGE);
        let source = self.clone();
        Prepared::call("Q13", DataModel::Trace.query_path(), &request, count..=count).comparing(
            move |answer: &QueryResponse| {
                let reach = source.progress.since(reach);
                // Segments before the range may lie in another storage segment, which is not read.
                let presence = |row| match reach.presence(row) {
                    Presence::Must if source.segments.clock.time_ms(row) < first_ms => Presence::May,
                    presence => presence,
                };
                let traces = compare_traces(&source.segments, &answer.traces, &presence)?;
                compare_ranks(&traces, &expected, count)
            },
        )
    }

    /// Q14: the slowest traces of a service with a failed segment that carries a tag. The order is not that of time, so the
    /// range only selects storage segments: it names the whole run.
    fn slowest(&self, random: &mut Random) -> Prepared {
        let (segments, reach) = (&self.segments, self.progress.reach());
        let service = segments.entities.draw(random);
        let range = (segments.clock.start_ms, segments.end_ms(reach) - 1);
        let failed = TagValue { value: Some(tag_value::Value::Int(Int { value: 1 })) };
        let criteria = and(
            condition("service_id", BinaryOp::Eq, text_value(segments.entities.service(service))),
            and(
                condition("is_error", BinaryOp::Eq, failed),
                condition("tags", BinaryOp::Having, texts_value(vec![FAILURE_TAG.to_owned()])),
            ),
        );
        let request = trace_request(segments, range, Some(criteria), "latency", PAGE);
        let source = self.clone();
        let least = source.slow_traces(service, reach.acknowledged).len().min(PAGE);
        Prepared::call("Q14", DataModel::Trace.query_path(), &request, least..=PAGE).comparing(
            move |answer: &QueryResponse| {
                let reach = source.progress.since(reach);
                let traces = compare_traces(&source.segments, &answer.traces, &|row| reach.presence(row))?;
                let least = source.slow_traces(service, reach.acknowledged);
                if least.len() == source.slow_traces(service, reach.sent).len() {
                    return compare_ranks(&traces, &least, least.len().min(PAGE));
                }
                source.compare_moving_ranks(&traces, service, reach)
            },
        )
    }

    fn slow_traces(&self, service: usize, rows: u64) -> Vec<(u64, i64)> {
        let segments = &self.segments;
        let slow = segments.rows_back(service, 0..rows).filter(|&row| segments.has_failure_tag(row));
        ranked(segments, slow, |row| segments.latency(row))
    }

    /// Ranks while segments are on their way: each trace has a key between that of its acknowledged segments and that of
    /// all sent ones, and no trace is missing that comes before the last one of a full page.
    fn compare_moving_ranks(&self, traces: &[u64], service: usize, reach: Reach) -> Result<(), String> {
        let least: HashMap<u64, i64> = self.slow_traces(service, reach.acknowledged).into_iter().collect();
        let most: HashMap<u64, i64> = self.slow_traces(service, reach.sent).into_iter().collect();
        if let Some(trace) = traces.iter().find(|trace| !most.contains_key(trace)) {
            return Err(format!("trace {trace} does not belong to the answer"));
        }
        let key_max = |trace: &u64| most.get(trace).copied().unwrap_or(i64::MIN);
        let key_min = |trace: &u64| least.get(trace).copied().unwrap_or(i64::MIN);
        if let Some(pair) = traces.windows(2).find(|pair| matches!(pair, [a, b] if key_max(a) < key_min(b))) {
            return Err(format!("traces {pair:?} are out of order"));
        }
        let last =
            if traces.len() < PAGE { i64::MIN } else { traces.iter().map(key_max).min().unwrap_or(i64::MIN) };
        match least.iter().find(|(trace, key)| **key > last && !traces.contains(trace)) {
            Some((trace, key)) => Err(format!("trace {trace} with key {key} is missing")),
            None => Ok(()),
        }
    }

    /// Q16: a trace by its id.
    fn by_id(&self, random: &mut Random) -> Prepared {
        let (segments, reach) = (&self.segments, self.progress.reach());
        let last_ms = segments.end_ms(reach) - 1;
        let trace = segments.trace(random.below(reach.acknowledged));
        let criteria = condition("trace_id", BinaryOp::Eq, text_value(&segments.trace_id(trace)));
        let range = (last_ms - DAY_MS, last_ms);
        let request = trace_request(segments, range, Some(criteria), "", 200);
        let count = usize::from(reach.acknowledged > 0);
        let source = self.clone();
        Prepared::call("Q16", DataModel::Trace.query_path(), &request, count..=1).comparing(
            move |answer: &QueryResponse| {
                let reach = source.progress.since(reach);
                let traces = compare_traces(&source.segments, &answer.traces, &|row| reach.presence(row))?;
                match traces.iter().any(|&found| found != trace) {
                    true => Err(format!("traces {traces:?} instead of {trace}")),
                    false => Ok(()),
                }
            },
        )
    }
}

/// Compares every trace of an answer; gives their numbers.
fn compare_traces(
    segments: &SegmentRows,
    traces: &[Trace],
    presence: &dyn Fn(u64) -> Presence,
) -> Result<Vec<u64>, String> {
    let mut numbers = Vec::with_capacity(traces.len());
    for trace in traces {
        none(&segments.compare(trace, presence))?;
        let number = segments.trace_number(trace).map_err(|wrong| wrong.text)?;
        if numbers.contains(&number) {
            return Err(format!("trace {number} occurs twice"));
        }
        numbers.push(number);
    }
    Ok(numbers)
}

/// The first `count` of the expected traces came back, in the order of their keys; equal keys may change places.
fn compare_ranks(found: &[u64], expected: &[(u64, i64)], count: usize) -> Result<(), String> {
    let key = |wanted: &u64| expected.iter().find(|(trace, _)| trace == wanted).map(|&(_, key)| key);
    let keys = found.iter().map(key).collect::<Option<Vec<i64>>>();
    let keys =
        keys.ok_or_else(|| format!("traces {found:?} are not all among those expected: {expected:?}"))?;
    let ranked: Vec<i64> = expected.iter().take(count).map(|&(_, key)| key).collect();
    keys_differ(&keys, &ranked).map_or(Ok(()), Err)
}

impl QuerySource for SegmentSource {
    fn shapes(&self) -> &'static [&'static str] {
        &["Q13", "Q14", "Q16"]
    }

    fn prepare(&self, shape: &str, random: &mut Random) -> Option<Prepared> {
        match shape {
            "Q13" => Some(self.newest(random)),
            "Q14" => Some(self.slowest(random)),
            "Q16" => Some(self.by_id(random)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::segments::tests::rows;

    #[test]
    fn ranks_must_be_complete_and_in_order() {
        let expected = [(7, 90), (3, 80), (9, 80), (1, 80), (2, 10)];
        for right in [&[7, 3, 9][..], &[7, 1, 3]] {
            assert_eq!(compare_ranks(right, &expected, 3), Ok(()));
        }
        for wrong in [&[7, 3][..], &[3, 7, 9], &[7, 3, 2], &[7, 3, 4], &[7, 3, 9, 1]] {
            assert!(compare_ranks(wrong, &expected, 3).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn ranks_that_move_are_judged_by_what_was_acknowledged_and_sent() {
        let source = SegmentSource { segments: Arc::new(rows(1)), progress: Arc::new(Progress::complete(0)) };
        let reach = Reach { acknowledged: 3_000, sent: 12_000 };
        let (least, most) = (source.slow_traces(0, reach.acknowledged), source.slow_traces(0, reach.sent));
        assert!(!least.is_empty() && least.len() < most.len(), "{} of {}", least.len(), most.len());
        let page =
            |ranks: &[(u64, i64)]| ranks.iter().take(PAGE).map(|&(trace, _)| trace).collect::<Vec<_>>();
        for right in [page(&least), page(&most)] {
            assert_eq!(source.compare_moving_ranks(&right, 0, reach), Ok(()));
        }
        let mut reversed = page(&least);
        reversed.reverse();
        assert!(source.compare_moving_ranks(&reversed, 0, reach).is_err());
        assert!(source.compare_moving_ranks(&page(&least)[1..], 0, reach).is_err());
        assert!(source.compare_moving_ranks(&[u64::MAX], 0, reach).is_err());
    }

    #[test]
    fn every_shape_expects_what_is_there() {
        let progress = Arc::new(Progress::complete(20_000));
        let source = SegmentSource { segments: Arc::new(rows(1)), progress };
        let mut random = Random::new(3);
        for shape in source.shapes() {
            let found: Vec<Prepared> = (0..20).filter_map(|_| source.prepare(shape, &mut random)).collect();
            assert!(found.len() == 20 && found.iter().any(|query| *query.rows.start() > 0), "{shape}");
        }
        assert!(source.prepare("Q1", &mut random).is_none());
    }
}
