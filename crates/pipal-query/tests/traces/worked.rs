//! The worked example of the trace specification, 13.

use crate::fixture::*;
use pipal_api::database::v1::TagType;
use pipal_api::model::v1::{Sort, condition::BinaryOp};
use pipal_api::trace::v1::QueryRequest;
use pipal_model::Value;

/// Trace, state, service, number of the instance, endpoint, duration.
type Span = (&'static str, i64, &'static str, u32, &'static str, i64);

const FIRST: [Span; 13] = [
    ("001", 1, "webapp", 1, "/home_endpoint", 1000),
    ("001", 0, "webapp", 2, "/product_endpoint", 500),
    ("001", 0, "webapp", 1, "/item_endpoint", 300),
    ("002", 1, "webapp", 1, "/home_endpoint", 800),
    ("002", 0, "webapp", 3, "/price_endpoint", 200),
    ("003", 1, "webapp", 2, "/product_endpoint", 1200),
    ("003", 0, "webapp", 1, "/home_endpoint", 150),
    ("003", 0, "webapp", 3, "/price_endpoint", 400),
    ("004", 1, "webapp", 2, "/home_endpoint", 600),
    ("005", 1, "webapp", 2, "/product_endpoint", 900),
    ("005", 0, "webapp", 1, "/home_endpoint", 250),
    ("005", 0, "webapp", 3, "/price_endpoint", 350),
    ("005", 0, "webapp", 1, "/item_endpoint", 180),
];

const SECOND_BATCH: [Span; 12] = [
    ("001", 1, "api", 1, "/api/v1/users", 750),
    ("001", 0, "api", 2, "/api/v1/profile", 320),
    ("002", 1, "auth", 1, "/auth/login", 450),
    ("002", 0, "auth", 2, "/auth/validate", 185),
    ("006", 1, "payment", 1, "/payment/process", 1190),
    ("006", 0, "payment", 2, "/payment/verify", 280),
    ("006", 0, "payment", 3, "/payment/refund", 155),
    ("007", 1, "notification", 1, "/notification/send", 650),
    ("007", 0, "notification", 2, "/notification/email", 420),
    ("008", 1, "database", 1, "/db/query", 890),
    ("008", 0, "database", 2, "/db/transaction", 340),
    ("008", 0, "database", 3, "/db/backup", 2100),
];

fn definition() -> Definition {
    let tags = vec![
        ("trace_id", TagType::String),
        ("state", TagType::Int),
        ("service_id", TagType::String),
        ("inst", TagType::String),
        ("endpoint", TagType::String),
        ("duration", TagType::Int),
        ("span_id", TagType::String),
        ("timestamp", TagType::Timestamp),
    ];
    Definition { tags, span_id: "span_id", rules: vec![DURATION, TIMESTAMP] }
}

fn stored(spans: &[Span], base: i64) -> Vec<TestSpan> {
    let stored = |(i, (trace, state, service, inst, endpoint, duration)): (usize, &Span)| TestSpan {
        tags: vec![
            text(trace),
            Value::Int(*state),
            text(service),
            text(&format!("{service}{inst}")),
            text(endpoint),
            Value::Int(*duration),
            text(&format!("{trace}_{i}")),
            Value::Timestamp(base + i as i64 * SECOND / 2),
        ],
        payload: vec![1],
    };
    spans.iter().enumerate().map(stored).collect()
}

#[test]
fn the_worked_example_holds() {
    use BinaryOp::{Eq, Ge, In, Le, Ne};
    let fixture = Fixture::new(&[definition()]);
    fixture.write(0, &stored(&FIRST, TEN));
    fixture.engine.flush().unwrap();
    fixture.write(0, &stored(&SECOND_BATCH, TEN + 60 * SECOND));
    let (asc, desc) = (Sort::Asc, Sort::Desc);
    let cut = |request: QueryRequest, limit, offset| QueryRequest { limit, offset, ..request };
    let webapp = || Some(eq("service_id", "webapp"));
    let duration = |op, value| cond("duration", op, i(value));
    let range = and(duration(Ge, 200), duration(Le, 1000));
    let of_id = |id: &str, tag: &str, value: &str| by_ids(and(eq("trace_id", id), eq(tag, value)));
    let cases = [
        (by_rule("timestamp", desc, None), "008 007 006 002 001 005 004 003"),
        (by_rule("duration", desc, None), "008 003 006 001 005 002 007 004"),
        (cut(by_rule("duration", asc, None), 5, 0), "003 006 005 002 001"),
        (cut(by_rule("duration", asc, None), 2, 1), "006 005"),
        (cut(by_rule("duration", desc, webapp()), 2, 0), "003 001"),
        (by_rule("timestamp", desc, webapp()), "005 004 003 002 001"),
        (by_rule("duration", asc, Some(eq("endpoint", "/item_endpoint"))), "005 001"),
        (cut(by_rule("timestamp", desc, Some(range)), 2, 0), "008 007"),
        (cut(by_rule("timestamp", asc, Some(cond("state", Eq, i(1)))), 5, 1), "002 003 004 005 006"),
        (by_rule("timestamp", desc, Some(cond("service_id", In, sa(&["api", "auth"])))), "002 001"),
        (by_rule("timestamp", desc, Some(cond("state", Ne, i(0)))), "008 007 006 002 001 005 004 003"),
        (by_rule("timestamp", desc, Some(duration(Eq, 500))), ""),
        (by_ids(cond("trace_id", In, sa(&["003", "001", "002"]))), "001 002 003"),
        (of_id("001", "service_id", "api"), "001"),
        (of_id("001", "service_id", "unknown"), ""),
        (by_ids(and(eq("trace_id", "001"), duration(Eq, 500))), "001"),
    ];
    for (i, (request, expected)) in cases.iter().enumerate() {
        assert_eq!(fixture.ids(request), *expected, "case {i}: {request:?}");
    }
    let time = pipal_model::TimeRange { begin: TEN, end: TEN + 3600 * SECOND };
    let request = of_id("001", "service_id", "api");
    let answer = fixture.respond(&fixture.groups, &request, time, 1 << 20).unwrap();
    assert_eq!(answer.traces[0].spans.len(), 5, "also the spans of the other service");
}
