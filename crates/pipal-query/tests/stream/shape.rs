//! Projection and output shape (stream specification, 4), errors of requests, and the trace (14).

use crate::fixture::*;
use pipal_api::database::v1::TagType;
use pipal_api::model::v1::{Sort, TagProjection, condition::BinaryOp};
use pipal_api::stream::v1::QueryRequest;
use pipal_engine::CancelToken;
use pipal_model::{ErrorKind, MemoryLedger, Share, TimeRange, Value};
use pipal_query::budget::QUERY_BYTES_MAX;
use pipal_query::context::QueryContext;
use pipal_query::stream::query;

fn first() -> Definition {
    let f = vec![("a", TagType::String), ("b", TagType::Int), ("c", TagType::String)];
    let h = vec![("d", TagType::String), ("arr", TagType::StringArray), ("nums", TagType::IntArray)];
    Definition {
        name: "s",
        families: vec![("f", f), ("h", h)],
        entity: vec!["a"],
        rules: vec![("b", vec!["b"], RuleType::Inverted, "")],
    }
}

fn filled() -> Fixture {
    let fixture = Fixture::new(2, &[first()]);
    let full = vec![text("x"), Value::Int(1), text("c1"), text("d1"), texts(&["p", ""]), ints(&[3, -1])];
    let empty = vec![text(""), Value::Int(2), text(""), Value::Null, texts(&[]), Value::Null];
    fixture.write(0, &[row(0, "1", full), row(SECOND, "2", empty)]);
    fixture
}

#[test]
fn tags_come_back_in_the_order_of_the_request() {
    let cases: Vec<(QueryRequest, &[&str])> = vec![
        (select(&[("f", &["c", "a"]), ("h", &["d"])]), &["c1 x d1", "\"\" null null"]),
        (select(&[("h", &["nums", "arr"])]), &["[3, -1] [\"p\", \"\"]", "null []"]),
        (select(&[("f", &["b", "b"]), ("h", &["d"]), ("f", &["a", "b"])]), &["1 x d1", "2 null null"]),
        // Under a wrong family, only tags of the entity keep their value.
        (select(&[("h", &["c", "a"])]), &["null x", "null null"]),
        (select(&[("nope", &["a", "b"])]), &["x null", "null null"]),
        (select(&[("f", &["a"])]), &["x", "null"]),
    ];
    filled().check(ALWAYS, &cases);
    let merged = select(&[("f", &["b"]), ("h", &["d"]), ("f", &["a"])]);
    let element = filled().ask(&merged, ALWAYS).unwrap().remove(0);
    let names: Vec<&str> = element.tag_families.iter().map(|family| family.name.as_str()).collect();
    assert_eq!(names, ["f", "h"]);
}

#[test]
fn tags_of_conditions_and_order_are_not_shown() {
    let request = QueryRequest {
        criteria: Some(and(cond("c", BinaryOp::Ne, s("zz")), cond("a", BinaryOp::In, ss(&["x", ""])))),
        order_by: by("b", Sort::Desc),
        ..select(&[("h", &["d"])])
    };
    filled().check(ALWAYS, &[(request, &["null", "d1"])]);
}

#[test]
fn a_changed_schema_shows_null_for_what_is_not_stored_so() {
    let mut fixture = filled();
    let mut second = first();
    second.families = vec![
        ("f", vec![("a", TagType::String), ("b", TagType::String), ("e", TagType::Int)]),
        ("h", vec![("d", TagType::String), ("c", TagType::String)]),
    ];
    fixture.redefine(0, &second);
    let new = vec![text("z"), text("bb"), Value::Int(7), text("d3"), text("c3")];
    fixture.write(0, &[row(2 * SECOND, "3", new)]);
    let all = || select(&[("f", &["a", "b", "e"]), ("h", &["d", "c"])]);
    let names = |criteria| QueryRequest { criteria: Some(criteria), ..select(&[("f", &["a"])]) };
    let cases: Vec<(QueryRequest, &[&str])> = vec![
        (all(), &["x null null d1 null", "null null null null null", "z bb 7 d3 c3"]),
        (names(eq("b", i(1))), &[]),
        (names(cond("b", BinaryOp::Ne, s("bb"))), &["x", "null"]),
        (names(cond("e", BinaryOp::Ne, i(7))), &["x", "null"]),
        (names(cond("c", BinaryOp::In, ss(&["c1", "c3"]))), &["z"]),
    ];
    fixture.check(ALWAYS, &cases);
    fixture.redefine(0, &first());
    fixture.check(ALWAYS, &[(select(&[("f", &["a", "b"])]), &["x 1", "null 2", "z null"])]);
}

#[test]
fn requests_without_a_sound_projection_are_refused() {
    let fixture = filled();
    let nothing = QueryRequest { projection: Some(TagProjection::default()), ..QueryRequest::default() };
    fixture.check_errors(&[
        (nothing, "tagProjection is required"),
        (QueryRequest::default(), "tagProjection is required"),
        (select(&[("f", &["a", "nope"])]), "nope: tag is not defined"),
    ]);
}

#[test]
fn a_trace_tells_what_was_done() {
    let fixture = filled();
    let request = QueryRequest { trace: true, limit: 1, ..select(&[("f", &["a"])]) };
    let response = fixture.respond(&fixture.groups, &request, ALWAYS, QUERY_BYTES_MAX).unwrap();
    let trace = response.trace.unwrap();
    assert!(!trace.error && !trace.trace_id.is_empty());
    let root = &trace.spans[0];
    assert_eq!(root.message, "stream-grpc");
    let tags: Vec<(&str, bool)> = root.tags.iter().map(|tag| (&*tag.key, tag.value == "1")).collect();
    assert_eq!(tags, [("request", false), ("response_element_count", true)]);
    let data = &root.children[0];
    assert_eq!(data.message, "data-n");
    assert!(data.tags.iter().any(|tag| tag.key == "plan" && tag.value.contains("limit 1")));
    assert!(data.tags.iter().any(|tag| tag.key == "resp_count" && tag.value == "1"));
}

/// Errors of planning stay errors; those of executing become an empty answer with a trace if one was asked for.
#[test]
fn a_trace_tells_of_errors_while_executing() {
    let fixture = filled();
    let ask = |request: &QueryRequest, bytes| fixture.respond(&fixture.groups, request, ALWAYS, bytes);
    let plain = select(&[("f", &["a"])]);
    let traced = QueryRequest { trace: true, ..plain.clone() };
    assert_eq!(ask(&plain, 10).unwrap_err().kind(), ErrorKind::ResourceExhausted);
    let contradiction = and(eq("a", s("x")), eq("a", s("y")));
    let contradicting = QueryRequest { criteria: Some(contradiction), ..traced.clone() };
    for (request, bytes) in [(&traced, 10), (&contradicting, QUERY_BYTES_MAX)] {
        let response = ask(request, bytes).unwrap();
        assert!(response.elements.is_empty());
        let trace = response.trace.unwrap();
        assert!(trace.error && trace.spans[0].error && trace.spans[0].children[0].error);
        assert!(trace.spans[0].tags.iter().any(|t| t.key == "response_element_count" && t.value == "0"));
    }
    let unknown = QueryRequest { criteria: Some(eq("nope", s("x"))), ..traced };
    assert!(ask(&unknown, QUERY_BYTES_MAX).unwrap_err().to_string().contains("tag \"nope\" does not exist"));
}

#[test]
fn a_cancelled_query_ends_with_an_error() {
    let fixture = filled();
    let cancel = CancelToken::default();
    cancel.cancel();
    let context = QueryContext {
        snapshots: fixture.engine(),
        groups: &fixture.groups,
        time: TimeRange::ALL,
        now: TEN,
        node: "n",
        cancel: &cancel,
        memory: &MemoryLedger::unlimited().share(Share::Queries, QUERY_BYTES_MAX),
        memory_limit_bytes: QUERY_BYTES_MAX,
    };
    assert!(query(&context, &select(&[("f", &["a"])])).is_err());
}
