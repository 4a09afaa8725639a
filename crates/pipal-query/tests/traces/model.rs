//! Random spans, flushes, merges and queries against an evaluator that looks at every span.

use crate::fixture::*;
use pipal_api::model::v1::{Criteria, Sort, condition::BinaryOp};
use pipal_api::trace::v1::QueryRequest;
use pipal_model::{TimeRange, Value};
use pipal_query::budget::QUERY_BYTES_MAX;
use proptest::prelude::*;
use std::collections::BTreeMap;

const DAY: i64 = 86_400;
const IDS: [&str; 7] = ["", "a", "b", "c|", "c\\", "d", "e"];
const SERVICES: [&str; 3] = ["s1", "s2", "s3"];
const ENDPOINTS: [&str; 3] = ["/x", "/y", "/z"];

#[derive(Clone, Debug)]
struct Span {
    trace: &'static str,
    service: &'static str,
    endpoint: Option<&'static str>,
    duration: Option<i64>,
    second: i64,
}

impl Span {
    fn key(&self, rule: &str) -> i64 {
        if rule == "timestamp" { self.second } else { self.duration.unwrap_or(0) }
    }

    fn stored(&self, id: &str) -> TestSpan {
        TestSpan {
            tags: vec![
                text(self.trace),
                Value::Int(1),
                text(self.service),
                text("i"),
                self.endpoint.map_or(Value::Null, text),
                self.duration.map_or(Value::Null, Value::Int),
                text(id),
                Value::Timestamp(TEN + self.second * SECOND),
            ],
            payload: id.as_bytes().to_vec(),
        }
    }
}

fn any_span() -> impl Strategy<Value = Span> {
    let second = prop_oneof![-100i64..100, -DAY - 100..-DAY + 100];
    (
        prop::sample::select(&IDS[1..]),
        prop::sample::select(&SERVICES[..]),
        prop::option::of(prop::sample::select(&ENDPOINTS[..])),
        prop::option::weighted(0.9, -5i64..30),
        second,
    )
        .prop_map(|(trace, service, endpoint, duration, second)| Span {
            trace,
            service,
            endpoint,
            duration,
            second,
        })
}

/// Conditions of which one is on the series.
#[derive(Clone, Debug)]
struct Conditions {
    service: Option<Vec<&'static str>>,
    endpoint: Option<&'static str>,
    duration: Option<(i64, i64)>,
}

impl Conditions {
    fn accept(&self, span: &Span) -> bool {
        self.service.as_ref().is_none_or(|list| list.contains(&span.service))
            && self.endpoint.is_none_or(|endpoint| span.endpoint == Some(endpoint))
            && self.duration.is_none_or(|(low, high)| span.duration.is_some_and(|d| low <= d && d < high))
    }

    fn criteria(&self, ids: Option<&[&str]>) -> Option<Criteria> {
        let service = self.service.as_ref().map(|list| cond("service_id", BinaryOp::In, sa(list)));
        let endpoint = self.endpoint.map(|endpoint| eq("endpoint", endpoint));
        let duration = self.duration.map(|(low, high)| {
            and(cond("duration", BinaryOp::Ge, i(low)), cond("duration", BinaryOp::Lt, i(high)))
        });
        let ids = ids.map(|ids| cond("trace_id", BinaryOp::In, sa(ids)));
        [service, endpoint, duration, ids].into_iter().flatten().reduce(and)
    }
}

fn any_conditions() -> impl Strategy<Value = Conditions> {
    (
        prop::option::of(prop::sample::subsequence(&SERVICES[..], 1..3)),
        prop::option::of(prop::sample::select(&ENDPOINTS[..])),
        prop::option::of((-6i64..30, -6i64..30)),
    )
        .prop_map(|(service, endpoint, duration)| Conditions { service, endpoint, duration })
}

#[derive(Clone, Debug)]
struct Query {
    conditions: Conditions,
    ids: Option<Vec<&'static str>>,
    rule: &'static str,
    descending: bool,
    limit: usize,
    offset: usize,
    from: i64,
    to: i64,
}

fn any_query() -> impl Strategy<Value = Query> {
    let edge = || prop_oneof![-110i64..110, -DAY - 110..-DAY + 110];
    let ids = prop::option::of(prop::sample::subsequence(&IDS[..], 1..5));
    let rule = prop::sample::select(vec!["timestamp", "duration"]);
    (any_conditions(), ids, rule, any::<bool>(), 1usize..5, 0usize..3, edge(), edge()).prop_map(
        |(conditions, ids, rule, descending, limit, offset, from, to)| Query {
            conditions,
            ids,
            rule,
            descending,
            limit,
            offset,
            from,
            to,
        },
    )
}

/// The id of each trace of the answer, with the sorted names of its spans.
type Answer = Vec<(String, Vec<String>)>;

fn expected(query: &Query, spans: &[Span]) -> Answer {
    let (from, to) = (query.from.min(query.to), query.from.max(query.to));
    let day = |second: i64| (10 * 3600 + second).div_euclid(DAY);
    let is_selected = |span: &Span| (day(from)..=day(to)).contains(&day(span.second));
    let seen: Vec<(usize, &Span)> = spans.iter().enumerate().filter(|(_, span)| is_selected(span)).collect();
    let mut keys: BTreeMap<&str, i64> = BTreeMap::new();
    for (_, span) in &seen {
        let in_range = query.rule != "timestamp" || (from..=to).contains(&span.second);
        let listed = query.ids.as_ref().is_none_or(|ids| ids.contains(&span.trace));
        if !listed || !(in_range || query.ids.is_some()) || !query.conditions.accept(span) {
            continue;
        }
        let key = if query.ids.is_some() { 0 } else { span.key(query.rule) };
        let best = keys.entry(span.trace).or_insert(key);
        *best = if query.descending { key.max(*best) } else { key.min(*best) };
    }
    let mut traces: Vec<(&str, i64)> = keys.into_iter().collect();
    traces.sort_by_key(|(id, key)| (if query.descending { -key } else { *key }, *id));
    let spans_of = |id: &str| {
        let mut names: Vec<String> =
            seen.iter().filter(|(_, span)| span.trace == id).map(|(i, _)| format!("{i:03}")).collect();
        names.sort();
        names
    };
    traces.iter().skip(query.offset).take(query.limit).map(|(id, _)| ((*id).into(), spans_of(id))).collect()
}

fn found(query: &Query, fixture: &Fixture) -> Answer {
    let (from, to) = (query.from.min(query.to), query.from.max(query.to));
    let sort = if query.descending { Sort::Desc } else { Sort::Asc };
    let criteria = query.conditions.criteria(query.ids.as_deref());
    let request = QueryRequest {
        limit: query.limit as u32,
        offset: query.offset as u32,
        ..by_rule(query.rule, sort, criteria)
    };
    let time = TimeRange { begin: TEN + from * SECOND, end: TEN + to * SECOND };
    let answer = fixture.respond(&fixture.groups, &request, time, QUERY_BYTES_MAX).unwrap();
    let shown = |trace: pipal_api::trace::v1::Trace| {
        let mut names: Vec<String> = trace.spans.iter().map(|span| span.span_id.clone()).collect();
        names.sort();
        assert!(trace.spans.iter().all(|span| span.span == span.span_id.as_bytes()));
        (trace.trace_id, names)
    };
    answer.traces.into_iter().map(shown).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn queries_agree_with_the_naive_evaluator(
        batches in prop::collection::vec((prop::collection::vec(any_span(), 1..12), any::<bool>(), any::<bool>()), 1..6),
        queries in prop::collection::vec(any_query(), 12),
    ) {
        let definition = Definition { tags: tags().drain(..8).collect(), span_id: "span_id", rules: vec![DURATION, TIMESTAMP] };
        let fixture = Fixture::new(&[definition]);
        let mut all: Vec<Span> = Vec::new();
        for (spans, flush, merge) in &batches {
            let stored: Vec<TestSpan> =
                spans.iter().zip(all.len()..).map(|(span, i)| span.stored(&format!("{i:03}"))).collect();
            fixture.write(0, &stored);
            all.extend(spans.iter().cloned());
            if *flush {
                fixture.engine.flush().unwrap();
            }
            if *merge {
                fixture.engine.merge_once().unwrap();
            }
        }
        for query in &queries {
            prop_assert_eq!(found(query, &fixture), expected(query, &all), "{:?}", query);
        }
    }
}
