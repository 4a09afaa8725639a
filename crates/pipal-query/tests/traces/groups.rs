//! Several groups (trace specification, 9).

use crate::fixture::*;
use pipal_api::database::v1::TagType;
use pipal_api::model::v1::{Sort, condition::BinaryOp, tag_value::Value as Literal};
use pipal_api::trace::v1::QueryRequest;
use pipal_model::{TimeRange, Value};

fn span(trace: &str, duration: i64, id: &str, note: Value, extra: Option<Value>) -> TestSpan {
    let mut tags = vec![
        text(trace),
        Value::Int(1),
        text("a"),
        text("i1"),
        text("/x"),
        Value::Int(duration),
        text(id),
        Value::Timestamp(TEN - 300 * SECOND),
        Value::Null,
        Value::Null,
        note,
        Value::Int(1),
    ];
    tags.extend(extra);
    TestSpan { tags, payload: Vec::new() }
}

/// In the second group `note` is an integer, `extra` is new, and there is no rule `timestamp`.
fn fixture() -> Fixture {
    let mut other = Definition::probe();
    other.tags[10].1 = TagType::Int;
    other.tags.push(("extra", TagType::String));
    other.rules = vec![DURATION];
    let fixture = Fixture::new(&[Definition::probe(), other]);
    fixture.write(
        0,
        &[
            span("A", 1000, "a1", text("n1"), None),
            span("B", 800, "b1", text("n2"), None),
            span("C", 600, "c1", text("n1"), None),
        ],
    );
    let extra = Some(text("ex"));
    fixture.write(
        1,
        &[span("A", 30, "z1", Value::Int(7), extra), span("Z", 700, "z2", Value::Null, Some(Value::Null))],
    );
    fixture
}

#[test]
fn groups_are_merged_and_keep_their_types() {
    let fixture = fixture();
    let mut request = by_ids(cond("trace_id", BinaryOp::In, sa(&["Z", "C", "A"])));
    request.tag_projection = vec!["note".into(), "extra".into()];
    let time = TimeRange { begin: TEN - 3600 * SECOND, end: TEN };
    let answer = fixture.respond(&fixture.groups, &request, time, 1 << 20).unwrap();
    let shown: Vec<(String, Vec<Literal>)> = (answer.traces.into_iter())
        .flat_map(|trace| trace.spans)
        .map(|span| {
            let value = |tag: pipal_api::model::v1::Tag| tag.value.unwrap().value.unwrap();
            (span.span_id, span.tags.into_iter().map(value).collect())
        })
        .collect();
    let null = || Literal::Null(0);
    let expected = [
        ("a1", vec![s("n1"), null()]),
        ("z1", vec![i(7), s("ex")]),
        ("c1", vec![s("n1"), null()]),
        ("z2", vec![null(), null()]),
    ];
    assert_eq!(
        shown,
        expected.map(|(id, tags)| (id.to_owned(), tags)),
        "a trace of two groups has two entries"
    );
}

#[test]
fn offset_and_limit_count_after_the_merge() {
    let fixture = fixture();
    let ordered = by_rule("duration", Sort::Desc, Some(eq("service_id", "a")));
    assert_eq!(fixture.ids(&ordered), "A B Z C A");
    assert_eq!(fixture.ids(&QueryRequest { limit: 2, offset: 1, ..ordered.clone() }), "B Z");
    assert_eq!(fixture.ids(&QueryRequest { limit: 1, offset: 4, ..ordered }), "A");
    let by_id = by_ids(cond("trace_id", BinaryOp::In, sa(&["Z", "C", "A"])));
    assert_eq!(fixture.ids(&QueryRequest { limit: 2, offset: 1, ..by_id }), "A C");
}

#[test]
fn groups_must_agree() {
    let fixture = fixture();
    let error = |request: &QueryRequest| fixture.ids(request);
    assert!(
        error(&by_rule("timestamp", Sort::Asc, None)).contains("index rule timestamp not found in schema 1")
    );
    let on_extra = by_rule("duration", Sort::Asc, Some(eq("extra", "ex")));
    assert!(error(&on_extra).contains("tag \"extra\" does not exist"));
    let other_span_id = Definition { span_id: "endpoint", ..Definition::probe() };
    let fixture = Fixture::new(&[Definition::probe(), other_span_id]);
    assert!(fixture.ids(&by_ids(eq("trace_id", "A"))).contains("span id tag name mismatch"));
    let other_rules =
        Definition { rules: vec![("duration", &["service_id", "duration"])], ..Definition::probe() };
    let fixture = Fixture::new(&[Definition::probe(), other_rules]);
    assert!(fixture.ids(&by_rule("duration", Sort::Asc, None)).contains("different leading tags"));
    assert_eq!(fixture.ids(&by_ids(eq("trace_id", "A"))), "", "a lookup needs no rules");
}
