//! Ordered queries whose conditions leave out sources: answers are those of the spans, and what cannot match is not read.

use crate::fixture::*;
use pipal_api::common::v1::Span;
use pipal_api::model::v1::{Criteria, Sort, condition::BinaryOp};
use pipal_api::trace::v1::QueryRequest;
use pipal_model::{TimeRange, Value};
use pipal_query::budget::QUERY_BYTES_MAX;

const BATCHES: i64 = 3;
const TRACES_PER_BATCH: i64 = 400;

/// Of number `n`; each batch has its service, each trace its instance and two spans.
fn spans_of(n: i64) -> [TestSpan; 2] {
    [0, 1].map(|span| TestSpan {
        tags: vec![
            text(&format!("{n:04}")),
            Value::Int(span),
            text(&format!("svc{}", n / TRACES_PER_BATCH)),
            text(&format!("inst{n}")),
            text("/endpoint"),
            Value::Int(n * 10 + span),
            text(&format!("{n}_{span}")),
            Value::Timestamp(TEN + n * SECOND),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null,
        ],
        payload: vec![1],
    })
}

/// Conditions, the numbers of the traces of which a span meets them, and how many of four sources are read.
fn cases() -> Vec<(Criteria, Vec<i64>, usize)> {
    let duration = |op, value| cond("duration", op, i(value));
    vec![
        (eq("service_id", "svc1"), (400..800).collect(), 1),
        (eq("inst", "inst1007"), vec![1007], 1),
        (and(eq("service_id", "svc0"), eq("inst", "inst1007")), vec![], 0),
        (eq("service_id", "none"), vec![], 0),
        (and(duration(BinaryOp::Ge, 7995), duration(BinaryOp::Lt, 8001)), vec![800], 1),
        (cond("endpoint", BinaryOp::Ne, s("/endpoint")), vec![], 4),
        (and(eq("service_id", "svc2"), cond("state", BinaryOp::Ne, i(0))), (800..1200).collect(), 2),
    ]
}

fn tag_of(spans: &[Span], key: &str) -> Option<String> {
    let own = spans.iter().flat_map(|span| &span.tags).find(|tag| tag.key == key);
    let found = own.map(|tag| tag.value.clone());
    found.or_else(|| spans.iter().find_map(|span| tag_of(&span.children, key)))
}

#[test]
fn sources_without_a_span_of_use_are_not_read() {
    let fixture = Fixture::new(&[Definition::probe()]);
    for batch in 0..BATCHES {
        let numbers = batch * TRACES_PER_BATCH..(batch + 1) * TRACES_PER_BATCH;
        fixture.write(0, &numbers.flat_map(spans_of).collect::<Vec<_>>());
        fixture.engine.flush().unwrap();
    }
    for stage in ["flushed", "merged"] {
        for (criteria, expected, sources) in cases() {
            let mut request = by_rule("duration", Sort::Asc, Some(criteria));
            (request.limit, request.trace) = (u32::MAX, true);
            let response = respond(&fixture, &request);
            let found: Vec<String> = response.traces.iter().map(|trace| trace.trace_id.clone()).collect();
            let expected: Vec<String> = expected.iter().map(|n| format!("{n:04}")).collect();
            assert_eq!(found, expected, "{stage}: {request:?}");
            let all_spans = response.traces.iter().all(|trace| trace.spans.len() == 2);
            assert!(all_spans, "a trace is given whole");
            if stage == "flushed" {
                let trace = response.trace_query_result.unwrap();
                let read = tag_of(&trace.spans, "sources_read");
                assert_eq!(read, Some(sources.to_string()), "{request:?}");
            }
        }
        fixture.engine.wait_merges().unwrap();
    }
}

fn respond(fixture: &Fixture, request: &QueryRequest) -> pipal_api::trace::v1::QueryResponse {
    let time = TimeRange { begin: TEN - 3600 * SECOND, end: TEN + 3600 * SECOND };
    fixture.respond(&fixture.groups, request, time, QUERY_BYTES_MAX).unwrap()
}
