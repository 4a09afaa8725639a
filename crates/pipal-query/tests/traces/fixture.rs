//! An engine in memory, traces in it, and short ways to write and ask.

use pipal_api::common::v1::Metadata;
use pipal_api::database::v1::{IndexRule, TagType, Trace, TraceTagSpec};
use pipal_api::model::v1::{
    Condition, Criteria, LogicalExpression, QueryOrder, Sort, TagValue, condition::BinaryOp, criteria::Exp,
    logical_expression::LogicalOp, tag_value::Value as Literal,
};
use pipal_api::trace::v1::{QueryRequest, QueryResponse};
use pipal_engine::fs::SimulatedFileSystem;
use pipal_engine::{
    CancelToken, Engine, EngineOptions, GroupOptions, ManualClock, Route, Row, TableKey, WriteBatch,
};
use pipal_model::series::push_entity_value;
use pipal_model::time::DAY_NANOS;
use pipal_model::value::{encode_int_array, encode_str_array};
use pipal_model::{Interval, IntervalUnit, MemoryLedger, Share, TimeRange, Value, ValueRef};
use pipal_query::QueryResult;
use pipal_query::budget::QUERY_BYTES_MAX;
use pipal_query::schema::{RowSchema, Slot};
use pipal_query::traces::{GroupTarget, QueryContext, query};
use std::path::Path;
use std::sync::Arc;

/// Ten in the morning of some day.
pub const TEN: i64 = 20_000 * DAY_NANOS + 10 * 3_600_000_000_000;
pub const SECOND: i64 = 1_000_000_000;

pub type Rule = (&'static str, &'static [&'static str]);

/// A trace definition.
#[derive(Clone)]
pub struct Definition {
    pub tags: Vec<(&'static str, TagType)>,
    pub span_id: &'static str,
    pub rules: Vec<Rule>,
}

/// The tags of the trace of the probes.
pub fn tags() -> Vec<(&'static str, TagType)> {
    vec![
        ("trace_id", TagType::String),
        ("state", TagType::Int),
        ("service_id", TagType::String),
        ("inst", TagType::String),
        ("endpoint", TagType::String),
        ("duration", TagType::Int),
        ("span_id", TagType::String),
        ("timestamp", TagType::Timestamp),
        ("arr", TagType::StringArray),
        ("iarr", TagType::IntArray),
        ("note", TagType::String),
        ("num", TagType::Int),
    ]
}

pub const DURATION: Rule = ("duration", &["service_id", "inst", "state", "duration"]);
pub const TIMESTAMP: Rule = ("timestamp", &["service_id", "inst", "state", "timestamp"]);
pub const BY_NUM_NOSORT: Rule = ("bynum", &["service_id", "inst", "state", "num"]);

impl Definition {
    pub fn probe() -> Self {
        Definition { tags: tags(), span_id: "span_id", rules: vec![DURATION, TIMESTAMP, BY_NUM_NOSORT] }
    }

    pub fn compile(&self, group: &str) -> RowSchema {
        let metadata =
            |name: &str| Some(Metadata { group: group.into(), name: name.into(), ..Metadata::default() });
        let tag = |(name, ty): &(&str, TagType)| TraceTagSpec { name: (*name).into(), r#type: *ty as i32 };
        let trace = Trace {
            metadata: metadata("tr"),
            tags: self.tags.iter().map(tag).collect(),
            trace_id_tag_name: "trace_id".into(),
            span_id_tag_name: self.span_id.into(),
            timestamp_tag_name: "timestamp".into(),
            ..Trace::default()
        };
        let rule = |(name, tags): &Rule| IndexRule {
            metadata: metadata(name),
            tags: tags.iter().map(|t| (*t).into()).collect(),
            no_sort: *name == "bynum",
            ..IndexRule::default()
        };
        let rules: Vec<IndexRule> = self.rules.iter().map(rule).collect();
        RowSchema::compile_trace(&trace, &rules).unwrap()
    }
}

/// A span: its values in the order of the tags, and its payload.
#[derive(Clone, Debug)]
pub struct TestSpan {
    pub tags: Vec<Value>,
    pub payload: Vec<u8>,
}

pub fn text(value: &str) -> Value {
    Value::Str(value.as_bytes().to_vec())
}

pub fn texts(values: &[&str]) -> Value {
    let mut bytes = Vec::new();
    encode_str_array(values.iter().map(|v| v.as_bytes()), &mut bytes);
    Value::StrArray(bytes)
}

pub fn ints(values: &[i64]) -> Value {
    let mut bytes = Vec::new();
    encode_int_array(values.iter().copied(), &mut bytes);
    Value::IntArray(bytes)
}

pub struct Fixture {
    pub engine: Engine,
    pub groups: Vec<GroupTarget>,
    disk: SimulatedFileSystem,
}

fn open(disk: &SimulatedFileSystem) -> Engine {
    let options = EngineOptions { background: false, ..EngineOptions::default() };
    let clock = Arc::new(ManualClock::new(TEN + DAY_NANOS));
    Engine::open(Arc::new(disk.clone()), clock, Path::new("/data"), options).unwrap().0
}

impl Fixture {
    pub fn new(definitions: &[Definition]) -> Self {
        let disk = SimulatedFileSystem::new();
        let mut groups = Vec::new();
        for (i, definition) in definitions.iter().enumerate() {
            let id = i as u64 + 1;
            groups.push(GroupTarget { id, schema: Arc::new(definition.compile(&format!("g{id}"))) });
        }
        let fixture = Fixture { engine: open(&disk), groups, disk };
        fixture.put_groups();
        fixture
    }

    fn put_groups(&self) {
        let day = Interval { unit: IntervalUnit::Day, num: 1 };
        for group in &self.groups {
            let options = GroupOptions { segment_interval: Some(day), ttl: None, shard_num: 2 };
            self.engine.put_group(group.id, options).unwrap();
        }
    }

    /// Closes the engine and opens its directory again.
    pub fn reopen(self) -> Self {
        let Fixture { engine, groups, disk } = self;
        engine.close().unwrap();
        drop(engine);
        let fixture = Fixture { engine: open(&disk), groups, disk };
        fixture.put_groups();
        fixture
    }

    /// Writes spans as one request into one group.
    pub fn write(&self, group: usize, spans: &[TestSpan]) {
        let target = &self.groups[group];
        let schema = &target.schema;
        let mut batch = WriteBatch::new();
        for span in spans {
            let mut values = vec![ValueRef::Null; schema.layout().columns().len()];
            let (mut entity, mut time, mut shard) = (Vec::new(), 0, 0);
            for (tag, value) in schema.families[0].tags.iter().zip(&span.tags) {
                match tag.slot {
                    Slot::Entity(_) => {
                        assert!(push_entity_value(value.as_ref(), &mut entity));
                        shard = u32::from(entity[1]) % 2;
                    }
                    Slot::Column(at) => values[at] = value.as_ref(),
                    Slot::Nowhere => {}
                }
                if let (true, Value::Timestamp(nanos)) = (&*tag.name == "timestamp", value) {
                    time = *nanos;
                }
            }
            let Slot::Column(payload) = schema.fields[0].slot else { panic!("spans have a column") };
            values[payload] = ValueRef::Binary(&span.payload);
            let Route::Segment(segment) = self.engine.route(target.id, time).unwrap() else {
                panic!("expired")
            };
            let row = Row { entity: &entity, time, version: 0, deleted: false, values: &values };
            batch.push(TableKey { group: target.id, segment, shard }, schema.layout(), &row).unwrap();
        }
        self.engine.commit_blocking(batch).unwrap();
    }

    /// Asks groups about a time in nanoseconds.
    pub fn respond(
        &self,
        groups: &[GroupTarget],
        request: &QueryRequest,
        time: TimeRange,
        memory_limit_bytes: usize,
    ) -> QueryResult<QueryResponse> {
        let context = QueryContext {
            snapshots: &self.engine,
            groups,
            time,
            now: TEN,
            node: "n",
            cancel: &CancelToken::default(),
            memory: &MemoryLedger::unlimited().share(Share::Queries, QUERY_BYTES_MAX),
            memory_limit_bytes,
        };
        query(&context, request).map(|answer| answer.response)
    }

    /// The ids of the answer of all groups within an hour of ten, or the error text.
    pub fn ids(&self, request: &QueryRequest) -> String {
        self.ids_within(request, -3600, 3600)
    }

    /// The same within seconds after ten.
    pub fn ids_within(&self, request: &QueryRequest, from: i64, to: i64) -> String {
        let time = TimeRange { begin: TEN + from * SECOND, end: TEN + to * SECOND };
        match self.respond(&self.groups, request, time, QUERY_BYTES_MAX) {
            Ok(answer) => answer.traces.iter().map(|t| &*t.trace_id).collect::<Vec<_>>().join(" "),
            Err(error) => format!("error {error}"),
        }
    }
}

pub fn cond(name: &str, op: BinaryOp, literal: Literal) -> Criteria {
    let value = Some(TagValue { value: Some(literal) });
    let condition = Condition { name: name.into(), op: op as i32, value, match_option: None };
    Criteria { exp: Some(Exp::Condition(condition)) }
}

pub fn s(value: &str) -> Literal {
    Literal::Str(pipal_api::model::v1::Str { value: value.into() })
}

pub fn i(value: i64) -> Literal {
    Literal::Int(pipal_api::model::v1::Int { value })
}

pub fn sa(values: &[&str]) -> Literal {
    let value = values.iter().map(|v| (*v).into()).collect();
    Literal::StrArray(pipal_api::model::v1::StrArray { value })
}

pub fn ia(values: &[i64]) -> Literal {
    Literal::IntArray(pipal_api::model::v1::IntArray { value: values.into() })
}

pub fn eq(name: &str, value: &str) -> Criteria {
    cond(name, BinaryOp::Eq, s(value))
}

pub fn and(left: Criteria, right: Criteria) -> Criteria {
    both(LogicalOp::And, left, right)
}

pub fn or(left: Criteria, right: Criteria) -> Criteria {
    both(LogicalOp::Or, left, right)
}

fn both(op: LogicalOp, left: Criteria, right: Criteria) -> Criteria {
    let expression =
        LogicalExpression { op: op as i32, left: Some(Box::new(left)), right: Some(Box::new(right)) };
    Criteria { exp: Some(Exp::Le(Box::new(expression))) }
}

/// A request with criteria and without order.
pub fn by_ids(criteria: Criteria) -> QueryRequest {
    QueryRequest { criteria: Some(criteria), ..QueryRequest::default() }
}

/// A request in the order of a rule.
pub fn by_rule(rule: &str, sort: Sort, criteria: Option<Criteria>) -> QueryRequest {
    let order_by = Some(QueryOrder { index_rule_name: rule.into(), sort: sort as i32 });
    QueryRequest { order_by, criteria, ..QueryRequest::default() }
}
