//! Conditions that leave out sources: answers are those of the rows, and what cannot match is not read.

use crate::fixture::*;
use pipal_api::common::v1::Span;
use pipal_api::database::v1::TagType;
use pipal_api::model::v1::{Criteria, condition::BinaryOp};
use pipal_api::stream::v1::QueryRequest;
use pipal_model::Value;
use pipal_query::budget::QUERY_BYTES_MAX;

const BATCHES: i64 = 4;
const ROWS_PER_BATCH: i64 = 200;

fn definition() -> Definition {
    let tags = vec![
        ("svc", TagType::String),
        ("trace_id", TagType::String),
        ("message", TagType::String),
        ("level", TagType::Int),
        ("labels", TagType::StringArray),
        ("plain", TagType::String),
    ];
    Definition {
        name: "logs",
        families: vec![("f", tags)],
        entity: vec!["svc"],
        rules: vec![
            ("trace_id", vec!["trace_id"], RuleType::Skipping, ""),
            ("message", vec!["message"], RuleType::Inverted, "standard"),
            ("level", vec!["level"], RuleType::Inverted, ""),
            ("labels", vec!["labels"], RuleType::Inverted, ""),
        ],
    }
}

/// Of number `n`; neighbours share a trace and labels, every 50th row has nothing but its level.
fn log(n: i64) -> TestRow {
    let labels = [format!("l{}", n / 10), "all".into()];
    let mut tags = vec![
        text(&format!("svc{}", n % 5)),
        text(&format!("t{}", n / 3)),
        text(&format!("Order {n} failed in Stage-{}", n / ROWS_PER_BATCH)),
        Value::Int(n * 10),
        texts(&labels.each_ref().map(String::as_str)),
        text(&format!("p{n}")),
    ];
    if n % 50 == 7 {
        tags[1..3].fill(Value::Null);
        tags[4..].fill(Value::Null);
    }
    row(n * 1000, &format!("i{n}"), tags)
}

fn has_nothing(n: i64) -> bool {
    n % 50 == 7
}

/// Criteria, which rows they accept, and how many of the sources they can leave out when each batch is one.
type Case = (Criteria, Box<dyn Fn(i64) -> bool>, usize);

fn cases() -> Vec<Case> {
    let level = |op, n| cond("level", op, i(n));
    vec![
        (eq("trace_id", s("t100")), Box::new(|n| n / 3 == 100 && !has_nothing(n)), 3),
        (eq("trace_id", s("none")), Box::new(|_| false), 4),
        (
            cond("trace_id", BinaryOp::In, ss(&["t1", "t250", "x"])),
            Box::new(|n| [1, 250].contains(&(n / 3)) && !has_nothing(n)),
            2,
        ),
        (cond("message", BinaryOp::Match, s("ORDER 333")), Box::new(|n| n == 333), 3),
        (cond("message", BinaryOp::Match, s("order stage")), Box::new(|n| !has_nothing(n)), 0),
        (cond("message", BinaryOp::Match, s("order 333 stage 0")), Box::new(|_| false), 4),
        (eq("message", s("Order 15 failed in Stage-0")), Box::new(|n| n == 15), 3),
        (level(BinaryOp::Eq, 6000), Box::new(|n| n == 600), 3),
        (
            and(level(BinaryOp::Gt, 1990), level(BinaryOp::Le, 2010)),
            Box::new(|n| (200..=201).contains(&n)),
            3,
        ),
        (level(BinaryOp::Lt, 5), Box::new(|n| n == 0), 3),
        (level(BinaryOp::Gt, i64::MAX), Box::new(|_| false), 4),
        (
            cond("labels", BinaryOp::Having, ss(&["all", "l42"])),
            Box::new(|n| n / 10 == 42 && !has_nothing(n)),
            3,
        ),
        (or(eq("trace_id", s("t0")), eq("plain", s("p799"))), Box::new(|n| n / 3 == 0 || n == 799), 0),
        (or(eq("trace_id", s("t0")), level(BinaryOp::Ge, 7990)), Box::new(|n| n / 3 == 0 || n == 799), 2),
        // What is not asked for may be missing.
        (cond("trace_id", BinaryOp::Ne, s("t100")), Box::new(|n| n / 3 != 100 || has_nothing(n)), 0),
        (cond("labels", BinaryOp::NotHaving, ss(&["all"])), Box::new(has_nothing), 0),
        (
            and(cond("trace_id", BinaryOp::NotIn, ss(&["t1"])), level(BinaryOp::Lt, 80)),
            Box::new(|n| n < 8 && (n / 3 != 1 || has_nothing(n))),
            3,
        ),
    ]
}

fn tag_of(spans: &[Span], key: &str) -> Option<String> {
    let own = spans.iter().flat_map(|span| &span.tags).find(|tag| tag.key == key);
    let found = own.map(|tag| tag.value.clone());
    found.or_else(|| spans.iter().find_map(|span| tag_of(&span.children, key)))
}

#[test]
fn sources_without_a_row_of_use_are_left_out_and_no_row_is() {
    let mut fixture = Fixture::new(1, &[definition()]);
    for batch in 0..BATCHES {
        if batch > 0 {
            fixture.engine().flush().unwrap();
        }
        let rows: Vec<TestRow> = (batch * ROWS_PER_BATCH..(batch + 1) * ROWS_PER_BATCH).map(log).collect();
        fixture.write(0, &rows);
    }
    for stage in STAGES {
        fixture.enter(stage);
        for (criteria, accepts, left_out) in cases() {
            let request = QueryRequest {
                criteria: Some(criteria),
                limit: u32::MAX,
                trace: true,
                ..select(&[("f", &["level"])])
            };
            let all = 0..BATCHES * ROWS_PER_BATCH;
            let expected: Vec<String> = all.filter(|n| accepts(*n)).map(|n| (n * 10).to_string()).collect();
            let response = fixture.respond(&fixture.groups, &request, ALWAYS, QUERY_BYTES_MAX).unwrap();
            let found: Vec<String> = response.elements.iter().map(line).collect();
            assert_eq!(found, expected, "{stage}: {request:?}");
            if stage == "flushed" {
                let spans = response.trace.unwrap().spans;
                let tag = tag_of(&spans, "sources_left_out").unwrap_or_else(|| "0 of".into());
                assert!(tag.starts_with(&left_out.to_string()), "{tag} instead of {left_out}: {request:?}");
            }
        }
    }
}
