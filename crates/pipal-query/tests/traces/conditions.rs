//! What the reference was seen to answer about four traces (trace specification, 3 to 8).

use crate::fixture::*;
use pipal_api::database::v1::TagType;
use pipal_api::model::v1::{Criteria, QueryOrder, Sort, condition::BinaryOp, tag_value::Value as Literal};
use pipal_api::trace::v1::QueryRequest;
use pipal_model::{TimeRange, Value};
use pipal_query::budget::QUERY_BYTES_MAX;

// One line of the table of spans below.
#[allow(clippy::too_many_arguments)]
#[rustfmt::skip]
fn span(
    trace: &str, state: i64, service: &str, inst: &str, endpoint: &str, duration: i64, id: &str, second: i64,
    arr: Option<&[&str]>, iarr: Option<&[i64]>, note: Option<&str>, num: i64,
) -> TestSpan {
    TestSpan {
        tags: vec![
            text(trace), Value::Int(state), text(service), text(inst), text(endpoint), Value::Int(duration), text(id),
            Value::Timestamp(TEN + second * SECOND), arr.map_or(Value::Null, texts), iarr.map_or(Value::Null, ints),
            note.map_or(Value::Null, text), Value::Int(num),
        ],
        payload: format!("payload of {id}").into_bytes(),
    }
}

#[rustfmt::skip]
fn four_traces() -> Vec<TestSpan> {
    vec![
        span("A", 1, "a", "i1", "/x", 1000, "a1", -300, Some(&["p", "q"]), Some(&[1, 2]), Some("n1"), 1),
        span("A", 0, "a", "i2", "/y", 500, "a2", -299, None, None, None, 2),
        span("A", 0, "b", "i1", "/z", 20, "a3", -240, Some(&["q"]), Some(&[2]), Some(""), 3),
        span("B", 1, "a", "i1", "/x", 800, "b1", -290, Some(&["p"]), Some(&[1]), Some("n2"), 4),
        span("B", 0, "c", "i3", "/w", 200, "b2", -100, None, None, Some("n3"), 5),
        span("C", 1, "b", "i2", "/y", 600, "c1", -200, None, None, Some("n1"), 6),
        span("D", 1, "d", "i1", "/z", 50, "d1", -50, Some(&["p", "q", "r"]), Some(&[1, 2, 3]), Some("n4"), 7),
        span("D", 0, "d", "i2", "/v", 900, "d2", -40, None, None, Some("n5"), 8),
    ]
}

/// The spans in memory, in parts, or in both.
fn fixtures() -> Vec<Fixture> {
    let make = |flush_after: &[usize]| {
        let fixture = Fixture::new(&[Definition::probe()]);
        for (i, span) in four_traces().iter().enumerate() {
            fixture.write(0, std::slice::from_ref(span));
            if flush_after.contains(&i) {
                fixture.engine.flush().unwrap();
            }
        }
        fixture
    };
    vec![make(&[]), make(&[7]), make(&[1, 4, 5])]
}

fn check(cases: &[(QueryRequest, &str)]) {
    for (at, fixture) in fixtures().iter().enumerate() {
        for (i, (request, expected)) in cases.iter().enumerate() {
            let found = fixture.ids(request);
            let fits = match expected.strip_prefix("error ") {
                Some(part) => found.starts_with("error") && found.contains(part),
                None => found == *expected,
            };
            assert!(fits, "case {i} on fixture {at}: {found:?} instead of {expected:?}: {request:?}");
        }
    }
}

fn id_in(ids: &[&str]) -> Criteria {
    cond("trace_id", BinaryOp::In, sa(ids))
}

fn asc(criteria: Criteria) -> QueryRequest {
    by_rule("timestamp", Sort::Asc, Some(criteria))
}

fn limited(request: QueryRequest, limit: u32, offset: u32) -> QueryRequest {
    QueryRequest { limit, offset, ..request }
}

#[test]
fn lookups_give_whole_traces_by_id() {
    use BinaryOp::{Eq, Having, In, Match, Ne};
    let a = || eq("trace_id", "A");
    let all = || by_ids(id_in(&["D", "C", "B", "A"]));
    let with = |op, name: &str, literal| by_ids(and(a(), cond(name, op, literal)));
    check(&[
        (by_ids(a()), "A"),
        (by_ids(id_in(&["D", "B", "zz"])), "B D"),
        (by_ids(id_in(&["B", "B", "D", "B"])), "B D"),
        (by_ids(eq("trace_id", "zz")), ""),
        (by_ids(eq("trace_id", "")), ""),
        (by_ids(cond("trace_id", In, s("A"))), "A"),
        (by_ids(cond("trace_id", Eq, sa(&["A", "C"]))), "A C"),
        (by_ids(or(a(), eq("trace_id", "C"))), "A C"),
        (by_ids(and(a(), eq("trace_id", "C"))), "A C"),
        (QueryRequest { order_by: by_rule("duration", Sort::Desc, None).order_by, ..all() }, "A B C D"),
        (limited(all(), 2, 0), "A B"),
        (limited(all(), 2, 1), "B C"),
        (limited(by_ids(id_in(&["A", "0zz"])), 1, 0), "A"),
        (limited(by_ids(a()), 5, 3), ""),
        (by_ids(and(a(), eq("service_id", "b"))), "A"),
        (by_ids(and(a(), eq("service_id", "c"))), ""),
        (by_ids(and(and(a(), eq("service_id", "b")), cond("duration", Eq, i(1000)))), ""),
        (with(Eq, "duration", i(500)), "A"),
        (with(Ne, "note", s("n1")), "A"),
        (with(Eq, "note", s("")), "A"),
        (with(Eq, "note", Literal::Null(0)), ""),
        (with(Having, "arr", sa(&["q", "p"])), "A"),
        (with(Having, "iarr", ia(&[2])), "A"),
        (with(Match, "endpoint", s("/x")), ""),
        (with(Eq, "span_id", s("a2")), "A"),
        (with(Eq, "span_id", s("zz")), ""),
        (by_ids(and(and(a(), eq("span_id", "a1")), eq("service_id", "b"))), ""),
        (by_ids(or(a(), eq("service_id", "c"))), "error global index doesn't support OR"),
        (
            by_ids(and(a(), or(eq("endpoint", "/x"), eq("endpoint", "/y")))),
            "error global index doesn't support OR",
        ),
        (by_ids(and(id_in(&["A", "C"]), eq("endpoint", "/y"))), "A C"),
        (limited(by_ids(and(id_in(&["A", "C"]), eq("endpoint", "/y"))), 1, 1), "C"),
    ]);
}

#[test]
fn a_query_needs_ids_or_an_order() {
    let neither = "error either traceIDs or order must be specified";
    let null_id = cond("trace_id", BinaryOp::Eq, Literal::Null(0));
    let order = |rule: &str| by_rule(rule, Sort::Desc, None);
    check(&[
        (QueryRequest::default(), neither),
        (by_ids(eq("service_id", "a")), neither),
        (by_ids(id_in(&[])), neither),
        (by_ids(null_id), neither),
        (by_ids(cond("trace_id", BinaryOp::Eq, i(1))), neither),
        (
            QueryRequest {
                order_by: Some(QueryOrder { sort: Sort::Desc as i32, ..QueryOrder::default() }),
                ..QueryRequest::default()
            },
            "",
        ),
        (order("nope"), "error index rule nope not found"),
        (order("bynum"), "error index does not support sorting"),
    ]);
}

#[test]
fn ordered_queries_give_traces_by_their_best_key() {
    let order = |rule: &str, sort| by_rule(rule, sort, None);
    check(&[
        (order("timestamp", Sort::Asc), "A B C D"),
        (order("timestamp", Sort::Desc), "D B C A"),
        (order("duration", Sort::Asc), "A D B C"),
        (order("duration", Sort::Desc), "A D B C"),
        (order("duration", Sort::Unspecified), "A D B C"),
        (limited(order("duration", Sort::Asc), 2, 0), "A D"),
        (limited(order("duration", Sort::Asc), 2, 1), "D B"),
        (limited(order("duration", Sort::Asc), 0, 9), ""),
        (limited(order("duration", Sort::Asc), u32::MAX, u32::MAX), ""),
        (limited(order("duration", Sort::Asc), u32::MAX, 0), "A D B C"),
        (limited(order("timestamp", Sort::Desc), 1, 1), "B"),
    ]);
}

#[test]
fn series_tags_select_only_by_equality() {
    use BinaryOp::{Eq, Gt, Having, In, Match, Ne, NotHaving, NotIn};
    let on = |op, literal| asc(cond("service_id", op, literal));
    let null = || Literal::Null(0);
    let (a, b) = (|| eq("service_id", "a"), || eq("service_id", "b"));
    let inst = |value: &str| eq("inst", value);
    let state = |value| cond("state", Eq, i(value));
    let none = || and(a(), b());
    check(&[
        (by_rule("duration", Sort::Desc, Some(a())), "A B"),
        (limited(by_rule("duration", Sort::Desc, Some(a())), 1, 0), "A"),
        (on(In, sa(&["a", "c"])), "A B"),
        (asc(inst("i2")), "A C D"),
        (asc(and(a(), inst("i2"))), "A"),
        (asc(or(a(), inst("i2"))), "A B C D"),
        (asc(state(0)), "A B D"),
        (on(Eq, s("zz")), ""),
        (on(Eq, null()), ""),
        (on(Eq, sa(&["a"])), ""),
        (on(Having, s("a")), ""),
        (on(In, sa(&[])), ""),
        (on(In, null()), ""),
        (asc(none()), ""),
        (on(Ne, s("a")), "A B C D"),
        (on(Ne, null()), "A B C D"),
        (on(NotIn, sa(&["a"])), "A B C D"),
        (on(NotHaving, s("a")), "A B C D"),
        (on(Match, s("a")), "A B C D"),
        (on(Gt, s("a")), "A B C D"),
        (on(Eq, i(1)), ""),
        (asc(and(a(), cond("service_id", Eq, i(1)))), "error panic"),
        (asc(and(or(a(), inst("i2")), or(state(0), b()))), ""),
        (asc(or(and(a(), inst("i1")), and(state(0), b()))), "A B"),
        (asc(and(or(none(), none()), or(none(), none()))), "A B C D"),
        (asc(or(none(), none())), ""),
        (asc(and(cond("service_id", In, sa(&["a", "b"])), state(0))), ""),
        (asc(or(a(), cond("num", Gt, i(6)))), "D"),
        (asc(or(a(), and(a(), inst("i2")))), "A"),
    ]);
}

#[test]
fn conditions_on_ordinary_tags_are_those_of_single_spans() {
    use BinaryOp::{Eq, Ge, Gt, Having, In, Le, Lt, Match, Ne, NotHaving, NotIn};
    let on = |name: &str, op, literal| asc(cond(name, op, literal));
    let duration = |op, value| cond("duration", op, i(value));
    check(&[
        (asc(cond("trace_id", Ne, s("A"))), "A B C D"),
        (asc(cond("trace_id", NotIn, sa(&["A"]))), "A B C D"),
        (asc(and(eq("service_id", "a"), duration(Gt, 700))), "A B"),
        (by_rule("duration", Sort::Asc, Some(eq("endpoint", "/z"))), "A D"),
        (on("endpoint", In, sa(&["/y", "/w"])), "A C B"),
        (on("endpoint", NotIn, sa(&["/x", "/y", "/z"])), "B D"),
        (on("endpoint", Match, s("/y")), ""),
        (on("num", Eq, i(5)), ""),
        (asc(and(cond("num", Eq, i(5)), eq("endpoint", "/w"))), "B"),
        (on("num", Gt, i(5)), "C D"),
        (on("num", In, ia(&[5])), "B"),
        (on("note", Ne, s("n1")), "A B D"),
        (on("note", Eq, Literal::Null(0)), ""),
        (on("duration", Eq, i(500)), ""),
        (on("duration", In, ia(&[500, 900])), "A D"),
        (asc(and(duration(Ge, 500), duration(Le, 800))), "A B C"),
        (asc(or(duration(Lt, 100), duration(Gt, 900))), "A D"),
        (asc(and(duration(Gt, 900), duration(Lt, 100))), ""),
        (by_rule("duration", Sort::Asc, Some(duration(Ge, 500))), "A C B D"),
        (by_rule("duration", Sort::Desc, Some(duration(Gt, 500))), "A D B C"),
        (by_rule("duration", Sort::Desc, Some(duration(Eq, 500))), ""),
        (by_rule("duration", Sort::Asc, Some(cond("duration", In, ia(&[500])))), "A D B C"),
        (by_rule("duration", Sort::Asc, Some(cond("duration", Ge, s("500")))), "A D B C"),
        (on("arr", Having, sa(&["p", "q"])), "A D"),
        (on("arr", NotHaving, s("p")), "A C B D"),
        (on("arr", In, sa(&["p"])), "error in condition is not supported for array type"),
        (on("span_id", In, sa(&["a2", "c1"])), "A C"),
        (limited(on("span_id", In, sa(&["c1"])), 1, 0), "C"),
        (on("span_id", In, sa(&[])), ""),
        (on("span_id", Ne, s("a2")), "A B C D"),
        (on("span_id", Eq, s("c1")), "C"),
        (asc(and(eq("span_id", "a1"), duration(Gt, 0))), "A"),
        (asc(and(eq("span_id", "a1"), eq("endpoint", "/y"))), ""),
        (on("nope", Eq, s("a")), "error tag \"nope\" does not exist"),
        (by_ids(and(eq("trace_id", "A"), eq("nope", "a"))), "error tag \"nope\" does not exist"),
        (
            on("timestamp", Gt, Literal::Timestamp(prost_types::Timestamp::default())),
            "error unsupported condition value type",
        ),
        (on("note", Eq, Literal::BinaryData(vec![1].into())), "error unsupported condition value type"),
        (
            QueryRequest { tag_projection: vec!["nope".into()], ..by_ids(eq("trace_id", "A")) },
            "error nope: tag is not defined",
        ),
    ]);
}

#[test]
fn the_time_range_bounds_keys_of_time_and_selects_segments() {
    let day = 86_400;
    for fixture in fixtures() {
        let by_time = by_rule("timestamp", Sort::Asc, None);
        assert_eq!(fixture.ids_within(&by_time, -290, -200), "B A C");
        assert_eq!(fixture.ids_within(&by_time, -300, -300), "A");
        assert_eq!(fixture.ids_within(&by_time, 10, 0), "");
        let by_duration = by_rule("duration", Sort::Asc, None);
        assert_eq!(fixture.ids_within(&by_duration, -20, -10), "A D B C");
        let by_id = by_ids(eq("trace_id", "A"));
        assert_eq!(fixture.ids_within(&by_id, -20, -10), "A");
        assert_eq!(fixture.ids_within(&by_id, -3 * day, -2 * day), "");
        assert_eq!(fixture.ids_within(&by_id, 0, -1), "", "a range that ends before it begins holds nothing");
        let everything = fixture.respond(&fixture.groups, &by_time, TimeRange::ALL, QUERY_BYTES_MAX).unwrap();
        assert_eq!(everything.traces.len(), 4);
    }
}

#[test]
fn a_trace_over_two_segments_comes_in_parts() {
    let fixture = Fixture::new(&[Definition::probe()]);
    let day = 86_400;
    for (id, second) in [("x1", -day), ("x2", -60)] {
        fixture.write(0, &[span("x", 1, "b", "i1", "/x", 1, id, second, None, None, None, 0)]);
    }
    let spans = |request: &QueryRequest, from: i64| {
        let time = TimeRange { begin: TEN + from * SECOND, end: TEN };
        let answer = fixture.respond(&fixture.groups, request, time, QUERY_BYTES_MAX).unwrap();
        answer.traces.iter().flat_map(|t| &t.spans).map(|s| s.span_id.clone()).collect::<Vec<_>>()
    };
    let by_id = by_ids(eq("trace_id", "x"));
    assert_eq!(spans(&by_id, -2 * day), ["x1", "x2"]);
    assert_eq!(spans(&by_id, -600), ["x2"]);
    assert_eq!(spans(&by_rule("timestamp", Sort::Desc, Some(eq("service_id", "b"))), -600), ["x2"]);
}

#[test]
fn projections_keep_the_order_of_the_request_with_ids_last() {
    for fixture in fixtures() {
        let shown = |projection: &[&str]| {
            let mut request = by_ids(eq("trace_id", "C"));
            request.tag_projection = projection.iter().map(|name| (*name).into()).collect();
            let time = TimeRange { begin: TEN - 3600 * SECOND, end: TEN };
            let mut answer = fixture.respond(&fixture.groups, &request, time, QUERY_BYTES_MAX).unwrap();
            assert!(answer.trace_query_result.is_none());
            let span = answer.traces.remove(0).spans.remove(0);
            assert_eq!((&*span.span_id, &*span.span), ("c1", &b"payload of c1"[..]));
            let show = |value: Option<Literal>| match value.unwrap() {
                Literal::Str(text) => text.value,
                Literal::Int(number) => number.value.to_string(),
                Literal::Timestamp(time) => format!("time {}", time.seconds * SECOND - TEN),
                Literal::Null(_) => "null".into(),
                other => format!("{other:?}"),
            };
            let tags =
                span.tags.into_iter().map(|tag| format!("{}={}", tag.key, show(tag.value.unwrap().value)));
            tags.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(&[]), "");
        assert_eq!(
            shown(&["span_id", "duration", "trace_id", "service_id"]),
            "duration=600 service_id=b trace_id=C span_id=c1"
        );
        assert_eq!(shown(&["timestamp", "note"]), "timestamp=time -200000000000 note=n1");
        assert_eq!(shown(&["arr"]), "arr=null");
    }
}

#[test]
fn a_key_that_is_missing_counts_as_zero() {
    let fixture = Fixture::new(&[Definition::probe()]);
    let mut keyless = span("K", 1, "a", "i1", "/x", 0, "k1", -10, None, None, None, 0);
    keyless.tags[5] = Value::Null;
    fixture.write(0, &[keyless]);
    for (id, duration) in [("N", -5), ("P", 5)] {
        fixture.write(0, &[span(id, 1, "a", "i1", "/x", duration, "s", -10, None, None, None, 0)]);
    }
    assert_eq!(fixture.ids(&by_rule("duration", Sort::Asc, None)), "N K P");
    assert_eq!(fixture.ids(&by_rule("duration", Sort::Desc, None)), "P K N");
}

#[test]
fn equal_keys_are_ordered_by_id_and_ids_may_hold_any_text() {
    let fixture = Fixture::new(&[Definition::probe()]);
    for id in ["b|", "b\\", "a", "b", "é"] {
        fixture.write(0, &[span(id, 1, "a", "i1", "/x", 1, "s", -10, None, None, None, 0)]);
    }
    assert_eq!(fixture.ids(&by_rule("duration", Sort::Desc, None)), "a b b\\ b| é");
    assert_eq!(fixture.ids(&by_ids(id_in(&["é", "b|", "b\\"]))), "b\\ b| é");
    assert_eq!(fixture.ids(&limited(by_ids(id_in(&["é", "b|", "b\\"])), 1, 1)), "b|");
}

#[test]
fn a_trace_of_the_query_tells_what_was_done_and_of_errors() {
    for fixture in fixtures() {
        let time = TimeRange { begin: TEN - 3600 * SECOND, end: TEN };
        let request = QueryRequest { trace: true, ..by_rule("timestamp", Sort::Desc, None) };
        let answer = fixture.respond(&fixture.groups, &request, time, QUERY_BYTES_MAX).unwrap();
        assert_eq!(answer.traces.len(), 4);
        let trace = answer.trace_query_result.unwrap();
        let root = &trace.spans[0];
        assert_eq!(root.message, "trace-grpc");
        let keys: Vec<&str> = root.tags.iter().map(|tag| &*tag.key).collect();
        assert_eq!(keys, ["request", "response_trace_count"]);
        assert_eq!(root.tags[1].value, "4");
        assert_eq!(root.children[0].message, "data-n");
        let failed = fixture.respond(&fixture.groups, &request, time, 10).unwrap();
        assert!(failed.traces.is_empty());
        let trace = failed.trace_query_result.unwrap();
        assert!(trace.error && trace.spans[0].children[0].tags.iter().any(|tag| tag.key == "error"));
        let quiet = by_rule("timestamp", Sort::Desc, None);
        assert!(fixture.respond(&fixture.groups, &quiet, time, 10).is_err());
        let unknown = QueryRequest { trace: true, ..by_rule("nope", Sort::Desc, None) };
        assert!(fixture.respond(&fixture.groups, &unknown, time, QUERY_BYTES_MAX).is_err());
    }
}

#[test]
fn a_tag_that_spans_do_not_have_is_null() {
    let old = Fixture::new(&[Definition::probe()]);
    old.write(0, &four_traces());
    old.engine.flush().unwrap();
    let mut newer = Definition::probe();
    newer.tags[10].1 = TagType::Int;
    newer.tags.push(("extra", TagType::String));
    let mut groups = old.groups.clone();
    groups[0].schema = std::sync::Arc::new(newer.compile("g1"));
    let mut request = by_ids(eq("trace_id", "C"));
    request.tag_projection = vec!["note".into(), "extra".into()];
    let time = TimeRange { begin: TEN - 3600 * SECOND, end: TEN };
    let answer = old.respond(&groups, &request, time, QUERY_BYTES_MAX).unwrap();
    let values = answer.traces[0].spans[0].tags.iter().map(|tag| tag.value.clone().unwrap().value.unwrap());
    assert_eq!(values.collect::<Vec<_>>(), [Literal::Null(0), Literal::Null(0)]);
}
