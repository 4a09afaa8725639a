//! Measures trace queries over a million spans, with ordered companions and without:
//! `cargo run --release -p pipal-query --example trace_speed`.

// A measurement that fails has nothing to say.
#![allow(clippy::unwrap_used, clippy::panic)]

use pipal_api::common::v1::Metadata;
use pipal_api::database::v1::{IndexRule, TagType, Trace, TraceTagSpec};
use pipal_api::model::v1::{
    Condition, Criteria, Int, LogicalExpression, QueryOrder, Sort, Str, TagValue, condition::BinaryOp,
    criteria::Exp, logical_expression::LogicalOp, tag_value,
};
use pipal_api::trace::v1::QueryRequest;
use pipal_engine::fs::SimulatedFileSystem;
use pipal_engine::{CancelToken, Engine, EngineOptions, GroupOptions, ManualClock, Route, Row, WriteBatch};
use pipal_engine::{SegmentBounds, TableKey};
use pipal_model::series::push_entity_value;
use pipal_model::time::{DAY_NANOS, HOUR_NANOS};
use pipal_model::{Interval, IntervalUnit, MemoryLedger, Share, TimeRange, ValueRef};
use pipal_query::budget::QUERY_BYTES_MAX;
use pipal_query::schema::RowSchema;
use pipal_query::traces::{GroupTarget, QueryContext, query};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const START: i64 = 20_000 * DAY_NANOS;
const FLUSHES: i64 = 20;
const SPANS_PER_FLUSH: i64 = 50_000;
const SPANS_PER_TRACE: i64 = 5;
const SHARDS: u32 = 2;

/// With rules, or without any, in which case parts get no companions.
fn schema(with_rules: bool) -> RowSchema {
    let metadata =
        |name: &str| Some(Metadata { group: "g".into(), name: name.into(), ..Metadata::default() });
    let tags = [
        ("trace_id", TagType::String),
        ("service_id", TagType::String),
        ("endpoint", TagType::String),
        ("duration", TagType::Int),
        ("span_id", TagType::String),
        ("timestamp", TagType::Timestamp),
    ];
    let tag = |(name, ty): (&str, TagType)| TraceTagSpec { name: name.into(), r#type: ty as i32 };
    let trace = Trace {
        metadata: metadata("segment"),
        tags: tags.map(tag).into(),
        trace_id_tag_name: "trace_id".into(),
        span_id_tag_name: "span_id".into(),
        timestamp_tag_name: "timestamp".into(),
        ..Trace::default()
    };
    let rule = |name: &str| IndexRule {
        metadata: metadata(name),
        tags: vec!["service_id".into(), name.into()],
        ..IndexRule::default()
    };
    let rules = [rule("duration"), rule("timestamp")];
    RowSchema::compile_trace(&trace, if with_rules { &rules } else { &[] }).unwrap()
}

/// Spans of an hour, in the order of time; ids look random.
fn write(engine: &Engine, schema: &RowSchema, segment: SegmentBounds) {
    for flush in 0..FLUSHES {
        for first in (0..SPANS_PER_FLUSH).step_by(1000) {
            let mut batch = WriteBatch::new();
            for i in first..first + 1000 {
                let number = flush * SPANS_PER_FLUSH + i;
                let mixed = ((number / SPANS_PER_TRACE) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let mut entity = Vec::new();
                push_entity_value(ValueRef::Str(format!("{mixed:016x}.trace").as_bytes()), &mut entity);
                let time = START + number * (HOUR_NANOS / (FLUSHES * SPANS_PER_FLUSH));
                let (service, span_id) = (format!("service-{}", mixed % 50), format!("span-{number}"));
                let endpoint = format!("/endpoint/{}", (mixed >> 20) % 500);
                let values = [
                    ValueRef::Str(service.as_bytes()),
                    ValueRef::Str(endpoint.as_bytes()),
                    ValueRef::Int((mixed >> 40) as i64 + number % 7),
                    ValueRef::Str(span_id.as_bytes()),
                    ValueRef::Timestamp(time),
                    ValueRef::Binary(&[7; 200]),
                ];
                let row = Row { entity: &entity, time, version: 0, deleted: false, values: &values };
                let shard = (mixed % u64::from(SHARDS)) as u32;
                batch.push(TableKey { group: 1, segment, shard }, schema.layout(), &row).unwrap();
            }
            engine.commit_blocking(batch).unwrap();
        }
        engine.flush().unwrap();
    }
}

fn condition(name: &str, op: BinaryOp, value: tag_value::Value) -> Option<Criteria> {
    let value = Some(TagValue { value: Some(value) });
    let condition = Condition { name: name.into(), op: op as i32, value, match_option: None };
    Some(Criteria { exp: Some(Exp::Condition(condition)) })
}

fn both(left: Option<Criteria>, right: Option<Criteria>) -> Option<Criteria> {
    let (left, right) = (left.map(Box::new), right.map(Box::new));
    let expression = LogicalExpression { op: LogicalOp::And as i32, left, right };
    Some(Criteria { exp: Some(Exp::Le(Box::new(expression))) })
}

fn measure(engine: &Engine, target: &GroupTarget) {
    let text = |value: &str| tag_value::Value::Str(Str { value: value.into() });
    let order = |rule: &str| Some(QueryOrder { index_rule_name: rule.into(), sort: Sort::Desc as i32 });
    let service = condition("service_id", BinaryOp::Eq, text("service-7"));
    let slow = condition("duration", BinaryOp::Gt, tag_value::Value::Int(Int { value: 16_000_000 }));
    let id = condition("trace_id", BinaryOp::Eq, text("9e3779b97f4a7c15.trace"));
    let endpoint = condition("endpoint", BinaryOp::Eq, text("/endpoint/77"));
    let none = condition("service_id", BinaryOp::Eq, text("nothing"));
    let cases = [
        ("newest", order("timestamp"), None),
        ("newest of a service", order("timestamp"), service.clone()),
        ("newest slow ones", order("timestamp"), slow),
        ("slowest", order("duration"), None),
        ("slowest of a service", order("duration"), service.clone()),
        ("slowest of an endpoint", order("duration"), endpoint.clone()),
        ("slowest of service and endpoint", order("duration"), both(service, endpoint)),
        ("slowest of no service", order("duration"), none),
        ("one id", None, id),
    ];
    let time = TimeRange { begin: START + HOUR_NANOS * 3 / 4, end: START + HOUR_NANOS };
    for (name, order_by, criteria) in cases {
        let request = QueryRequest { order_by, criteria, limit: 20, ..QueryRequest::default() };
        let context = QueryContext {
            snapshots: engine,
            groups: std::slice::from_ref(target),
            time,
            now: START,
            node: "n",
            cancel: &CancelToken::default(),
            memory: &MemoryLedger::unlimited().share(Share::Queries, QUERY_BYTES_MAX),
            memory_limit_bytes: QUERY_BYTES_MAX,
        };
        let mut times = Vec::new();
        let mut traces = 0;
        for _ in 0..7 {
            let start = Instant::now();
            traces = query(&context, &request).unwrap().response.traces.len();
            times.push(start.elapsed());
        }
        println!(
            "{name:32} first {:9.2?} best {:9.2?}, {traces} traces",
            times[0],
            times.iter().min().unwrap()
        );
    }
}

/// Bytes of parts per span, and their number.
fn describe(engine: &Engine, what: &str, since: Instant) {
    let stats = engine.stats();
    let bytes = stats.part_bytes as f64 / stats.part_rows as f64;
    println!("{what}: {} parts, {bytes:.2} bytes per span, {:.2?}", stats.parts, since.elapsed());
}

fn run(with_companions: bool) {
    println!("companions: {with_companions}");
    let stored = schema(with_companions);
    let options = EngineOptions { background: false, ..EngineOptions::default() };
    let clock = Arc::new(ManualClock::new(START + HOUR_NANOS));
    let (engine, _) =
        Engine::open(Arc::new(SimulatedFileSystem::new()), clock, Path::new("/data"), options).unwrap();
    let day = Some(Interval { unit: IntervalUnit::Day, num: 1 });
    engine.put_group(1, GroupOptions { segment_interval: day, ttl: None, shard_num: SHARDS }).unwrap();
    let Route::Segment(segment) = engine.route(1, START).unwrap() else { panic!("expired") };
    let begin = Instant::now();
    write(&engine, &stored, segment);
    let target = GroupTarget { id: 1, schema: Arc::new(schema(true)) };
    describe(&engine, "as flushed", begin);
    measure(&engine, &target);
    let begin = Instant::now();
    while engine.merge_once().unwrap() {}
    describe(&engine, "merged", begin);
    measure(&engine, &target);
}

fn main() {
    run(false);
    run(true);
}
