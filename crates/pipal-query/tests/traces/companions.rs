//! Ordered queries over enough spans that parts have companions: the answers are those of an evaluator that looks at
//! every span, wherever the spans are.

use crate::fixture::*;
use pipal_api::common::v1::Span as TraceSpan;
use pipal_api::model::v1::{Criteria, Sort, condition::BinaryOp};
use pipal_api::trace::v1::QueryRequest;
use pipal_model::{TimeRange, Value};
use pipal_query::budget::QUERY_BYTES_MAX;
use std::collections::BTreeMap;

/// Spans of a request; each of the two shards gets more than a part needs to have companions.
const SPANS: usize = 4000;

#[derive(Clone, Debug)]
struct Span {
    trace: String,
    service: Option<String>,
    state: i64,
    endpoint: String,
    duration: Option<i64>,
    second: i64,
}

/// Numbers that look random (SplitMix64).
fn mixed(number: u64) -> u64 {
    let z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Span {
    fn of(number: usize) -> Self {
        let random = |part: u64, below: u64| mixed(number as u64 * 8 + part) % below;
        // Spans of a trace are spread over requests.
        Span {
            trace: format!("{:04x}", mixed(random(0, 3000)) % 65_536),
            service: (random(1, 50) > 0).then(|| format!("s{}", random(2, 7) * random(2, 7))),
            state: random(3, 2) as i64,
            endpoint: format!("/{}", random(4, 500)),
            duration: (random(5, 30) > 0).then(|| random(5, 2000) as i64 - 50),
            second: random(6, 7000) as i64 - 3500,
        }
    }

    fn stored(&self, id: usize) -> TestSpan {
        let tags = vec![
            text(&self.trace),
            Value::Int(self.state),
            self.service.as_deref().map_or(Value::Null, text),
            text("i"),
            text(&self.endpoint),
            self.duration.map_or(Value::Null, Value::Int),
            text(&id.to_string()),
            Value::Timestamp(TEN + self.second * SECOND),
        ];
        TestSpan { tags, payload: Vec::new() }
    }
}

/// Whether a span is accepted.
type Accepts = fn(&Span) -> bool;

/// A query, with what it accepts of spans in words of the test.
struct Case {
    rule: &'static str,
    sort: Sort,
    criteria: Option<Criteria>,
    accepts: Accepts,
    limit: usize,
    offset: usize,
    /// Seconds.
    time: (i64, i64),
}

fn cases() -> Vec<Case> {
    let service = || eq("service_id", "s4");
    let fails = || cond("state", BinaryOp::Eq, i(1));
    let endpoint = || eq("endpoint", "/77");
    let slow = || cond("duration", BinaryOp::Ge, i(1500));
    let conditions: Vec<(Option<Criteria>, Accepts)> = vec![
        (None, |_| true),
        (Some(service()), |span| span.service.as_deref() == Some("s4")),
        (Some(and(service(), fails())), |span| span.service.as_deref() == Some("s4") && span.state == 1),
        (Some(cond("service_id", BinaryOp::In, sa(&["s2", "s35", "none"]))), |span| {
            matches!(span.service.as_deref(), Some("s2" | "s35"))
        }),
        (Some(eq("service_id", "none")), |_| false),
        (Some(endpoint()), |span| span.endpoint == "/77"),
        (Some(and(service(), endpoint())), |span| {
            span.service.as_deref() == Some("s4") && span.endpoint == "/77"
        }),
        (Some(slow()), |span| span.duration.is_some_and(|duration| duration >= 1500)),
        (Some(or(endpoint(), slow())), |span| {
            span.endpoint == "/77" || span.duration.is_some_and(|duration| duration >= 1500)
        }),
    ];
    let mut cases = Vec::new();
    for (criteria, accepts) in conditions {
        for (rule, sort, limit, offset, time) in [
            ("duration", Sort::Desc, 20, 0, (-3600, 3600)),
            ("duration", Sort::Asc, 20, 30, (-3600, 3600)),
            ("duration", Sort::Desc, 3000, 1, (-3600, 3600)),
            ("timestamp", Sort::Desc, 20, 0, (-3600, 3600)),
            ("timestamp", Sort::Asc, 10, 3, (-100, 200)),
            ("timestamp", Sort::Desc, 10, 3, (-100, 200)),
        ] {
            cases.push(Case { rule, sort, criteria: criteria.clone(), accepts, limit, offset, time });
        }
    }
    cases
}

fn expected(case: &Case, spans: &[Span]) -> Vec<String> {
    let descending = case.sort == Sort::Desc;
    let mut keys: BTreeMap<&str, i64> = BTreeMap::new();
    for span in spans.iter().filter(|span| (case.accepts)(span)) {
        let by_time = case.rule == "timestamp";
        if by_time && !(case.time.0..=case.time.1).contains(&span.second) {
            continue;
        }
        let key = if by_time { span.second } else { span.duration.unwrap_or(0) };
        let best = keys.entry(&span.trace).or_insert(key);
        *best = if descending { key.max(*best) } else { key.min(*best) };
    }
    let mut traces: Vec<(&str, i64)> = keys.into_iter().collect();
    traces.sort_by_key(|(id, key)| (if descending { -key } else { *key }, *id));
    traces.into_iter().skip(case.offset).take(case.limit).map(|(id, _)| id.to_owned()).collect()
}

/// The value of a tag in the trace of an answer.
fn tag_of(spans: &[TraceSpan], name: &str) -> Option<u64> {
    spans.iter().find_map(|span| {
        let tag = span.tags.iter().find(|tag| tag.key == name);
        tag.map(|tag| tag.value.parse().unwrap()).or_else(|| tag_of(&span.children, name))
    })
}

/// What the searches of all cases did.
#[derive(Debug, Default, PartialEq)]
struct Done {
    /// Sources that filters left out.
    left_out: u64,
    walked: u64,
    scanned: u64,
}

fn check(fixture: &Fixture, spans: &[Span], place: &str) -> Done {
    let mut done = Done::default();
    for case in cases() {
        let request = QueryRequest {
            limit: case.limit as u32,
            offset: case.offset as u32,
            trace: true,
            ..by_rule(case.rule, case.sort, case.criteria.clone())
        };
        let time = TimeRange { begin: TEN + case.time.0 * SECOND, end: TEN + case.time.1 * SECOND };
        let answer = fixture.respond(&fixture.groups, &request, time, QUERY_BYTES_MAX).unwrap();
        let found: Vec<String> = answer.traces.iter().map(|trace| trace.trace_id.clone()).collect();
        let expected = expected(&case, spans);
        assert_eq!(found, expected, "{place}: {} {:?} {:?}", case.rule, case.sort, case.criteria);
        let trace = answer.trace_query_result.unwrap().spans;
        let tag = |key| tag_of(&trace, key).unwrap();
        done.left_out += tag("sources_considered") - tag("sources_read");
        done.walked += tag_of(&trace, "sources_walked").unwrap();
        done.scanned += tag_of(&trace, "sources_scanned").unwrap();
    }
    done
}

#[test]
fn answers_are_the_same_from_memory_flushed_merged_and_reopened() {
    let definition = Definition {
        tags: tags().drain(..8).collect(),
        span_id: "span_id",
        rules: vec![DURATION, TIMESTAMP],
    };
    let fixture = Fixture::new(&[definition]);
    let mut spans: Vec<Span> = Vec::new();
    let write = |fixture: &Fixture, spans: &mut Vec<Span>| {
        let more: Vec<Span> = (spans.len()..spans.len() + SPANS).map(Span::of).collect();
        let stored: Vec<TestSpan> =
            more.iter().zip(spans.len()..).map(|(span, id)| span.stored(id)).collect();
        fixture.write(0, &stored);
        spans.extend(more);
    };
    write(&fixture, &mut spans);
    assert_eq!(check(&fixture, &spans, "memory").walked, 0);
    fixture.engine.flush().unwrap();
    let flushed = check(&fixture, &spans, "flushed");
    assert!(flushed.walked > flushed.scanned, "{flushed:?}");
    for _ in 0..3 {
        write(&fixture, &mut spans);
        fixture.engine.flush().unwrap();
    }
    check(&fixture, &spans, "several parts");
    while fixture.engine.merge_once().unwrap() {}
    let merged = check(&fixture, &spans, "merged");
    // Leading values decide five of nine conditions, two of which filters decide before; of the six orders one wants
    // too many traces for a walk.
    assert_eq!(merged.left_out + merged.walked, 2 * 6 * 9, "{merged:?}");
    assert_eq!(merged.walked - merged.scanned, 2 * 5 * 3, "{merged:?}");
    write(&fixture, &mut spans);
    check(&fixture, &spans, "merged, and in memory");
    let fixture = fixture.reopen();
    check(&fixture, &spans, "reopened");
    fixture.engine.flush().unwrap();
    check(&fixture, &spans, "all flushed");
}

/// A rule that comes later has no companion in old parts, until they are merged with new ones.
#[test]
fn rows_from_before_a_rule_are_found_and_get_a_companion_with_the_next_merge() {
    let tags: Vec<_> = tags().drain(..8).collect();
    let before = Definition { tags: tags.clone(), span_id: "span_id", rules: vec![TIMESTAMP] };
    let mut fixture = Fixture::new(&[before]);
    let spans: Vec<Span> = (0..4 * SPANS).map(Span::of).collect();
    let stored: Vec<TestSpan> = spans.iter().zip(0..).map(|(span, id)| span.stored(id)).collect();
    fixture.write(0, &stored[..SPANS]);
    fixture.engine.flush().unwrap();
    let after = Definition { tags, span_id: "span_id", rules: vec![TIMESTAMP, DURATION] };
    fixture.groups[0].schema = std::sync::Arc::new(after.compile("g1"));
    let scanned = |fixture: &Fixture, spans: &[Span]| {
        let mut request = QueryRequest { limit: 50, ..by_rule("duration", Sort::Desc, None) };
        request.trace = true;
        let time = TimeRange { begin: TEN - 3600 * SECOND, end: TEN + 3600 * SECOND };
        let answer = fixture.respond(&fixture.groups, &request, time, QUERY_BYTES_MAX).unwrap();
        let found: Vec<String> = answer.traces.iter().map(|trace| trace.trace_id.clone()).collect();
        let case = Case {
            rule: "duration",
            sort: Sort::Desc,
            criteria: None,
            accepts: |_| true,
            limit: 50,
            offset: 0,
            time: (-3600, 3600),
        };
        assert_eq!(found, expected(&case, spans));
        tag_of(&answer.trace_query_result.unwrap().spans, "sources_scanned").unwrap()
    };
    assert_eq!(scanned(&fixture, &spans[..SPANS]), 2, "one part per shard, from before the rule");
    for round in 1..4 {
        fixture.write(0, &stored[round * SPANS..(round + 1) * SPANS]);
        fixture.engine.flush().unwrap();
    }
    assert_eq!(scanned(&fixture, &spans), 2);
    while fixture.engine.merge_once().unwrap() {}
    assert_eq!(scanned(&fixture, &spans), 0);
}
