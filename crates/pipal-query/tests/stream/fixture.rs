//! An engine in memory, streams in it, and short ways to write and ask.

use pipal_api::common::v1::Metadata;
use pipal_api::database::v1::{Entity, IndexRule, Stream, TagFamilySpec, TagSpec, TagType, index_rule};
use pipal_api::model::v1::{
    Condition, Criteria, LogicalExpression, QueryOrder, Sort, TagProjection, TagValue, condition::BinaryOp,
    criteria::Exp, logical_expression::LogicalOp, tag_projection, tag_value,
};
use pipal_api::stream::v1::{Element, QueryRequest, QueryResponse};
use pipal_engine::fs::SimulatedFileSystem;
use pipal_engine::{
    CancelToken, Engine, EngineOptions, GroupOptions, ManualClock, Route, Row, TableKey, WriteBatch,
};
use pipal_model::series::{push_entity_value, sid};
use pipal_model::time::DAY_NANOS;
use pipal_model::value::{encode_int_array, encode_str_array};
use pipal_model::{Interval, IntervalUnit, MemoryLedger, Share, TimeRange, Value, ValueRef};
use pipal_query::QueryResult;
use pipal_query::budget::QUERY_BYTES_MAX;
use pipal_query::context::{GroupTarget, QueryContext};
use pipal_query::schema::{RowSchema, Slot};
use pipal_query::stream::query;
use std::path::Path;
use std::sync::Arc;

pub use index_rule::Type as RuleType;

/// Ten in the morning of some day.
pub const TEN: i64 = 20_000 * DAY_NANOS + 10 * 3_600_000_000_000;
pub const SECOND: i64 = 1_000_000_000;
/// Seconds of a day.
pub const DAY: i64 = 86_400;
/// All seconds of interest, around ten.
pub const ALWAYS: (i64, i64) = (-100 * DAY, 100 * DAY);

/// A stream definition in one line per part.
#[derive(Clone, Default)]
pub struct Definition {
    pub name: &'static str,
    pub families: Vec<(&'static str, Vec<(&'static str, TagType)>)>,
    pub entity: Vec<&'static str>,
    /// Name, tags, type, analyzer. A name that ends in `nosort` forbids ordering.
    pub rules: Vec<(&'static str, Vec<&'static str>, RuleType, &'static str)>,
}

impl Definition {
    pub fn compile(&self, group: &str) -> RowSchema {
        let metadata =
            |name: &str| Some(Metadata { group: group.into(), name: name.into(), ..Metadata::default() });
        let strings = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let tag = |(name, ty): &(&str, TagType)| TagSpec { name: (*name).into(), r#type: *ty as i32 };
        let family = |(name, tags): &(&str, Vec<(&str, TagType)>)| TagFamilySpec {
            name: (*name).into(),
            tags: tags.iter().map(tag).collect(),
        };
        let stream = Stream {
            metadata: metadata(self.name),
            tag_families: self.families.iter().map(family).collect(),
            entity: Some(Entity { tag_names: strings(&self.entity) }),
            ..Stream::default()
        };
        let rule = |(name, tags, ty, analyzer): &(&str, Vec<&str>, RuleType, &str)| IndexRule {
            metadata: metadata(name),
            tags: strings(tags),
            r#type: *ty as i32,
            analyzer: (*analyzer).into(),
            no_sort: name.ends_with("nosort"),
            ..IndexRule::default()
        };
        let rules: Vec<IndexRule> = self.rules.iter().map(rule).collect();
        RowSchema::compile_stream(&stream, &rules).unwrap()
    }
}

/// An element: nanoseconds after ten, id, tag values in the order of the families.
#[derive(Clone, Debug)]
pub struct TestRow {
    pub after_ten: i64,
    pub id: String,
    pub tags: Vec<Value>,
}

pub fn row(after_ten: i64, id: &str, tags: Vec<Value>) -> TestRow {
    TestRow { after_ten, id: id.into(), tags }
}

/// A stand-in for the hash of an element id; streams do not care which one it is.
pub fn hash(id: &str) -> u64 {
    sid("id", id.as_bytes())
}

pub struct Fixture {
    /// None while it is being reopened, since two cannot have one directory.
    engine: Option<Engine>,
    pub groups: Vec<GroupTarget>,
    fs: Arc<SimulatedFileSystem>,
    shards: u32,
}

fn open(fs: &Arc<SimulatedFileSystem>) -> Engine {
    let options = EngineOptions { background: false, ..EngineOptions::default() };
    let clock = Arc::new(ManualClock::new(TEN + DAY_NANOS));
    Engine::open(fs.clone(), clock, Path::new("/data"), options).unwrap().0
}

impl Fixture {
    pub fn new(shards: u32, streams: &[Definition]) -> Self {
        let fs = Arc::new(SimulatedFileSystem::new());
        let mut fixture = Fixture { engine: Some(open(&fs)), groups: Vec::new(), fs, shards };
        for (i, stream) in streams.iter().enumerate() {
            let id = i as u64 + 1;
            fixture.groups.push(GroupTarget { id, schema: Arc::new(stream.compile(&format!("g{id}"))) });
        }
        fixture.put_groups();
        fixture
    }

    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn put_groups(&self) {
        let day = Interval { unit: IntervalUnit::Day, num: 1 };
        for group in &self.groups {
            let options = GroupOptions { segment_interval: Some(day), ttl: None, shard_num: self.shards };
            self.engine().put_group(group.id, options).unwrap();
        }
    }

    /// Closes the engine and opens it again.
    pub fn reopen(&mut self) {
        self.engine().close().unwrap();
        self.engine = None;
        self.engine = Some(open(&self.fs));
        self.put_groups();
    }

    /// Replaces the definition of a group's stream.
    pub fn redefine(&mut self, group: usize, stream: &Definition) {
        self.groups[group].schema = Arc::new(stream.compile("g"));
    }

    /// Writes rows as one request into one group.
    pub fn write(&self, group: usize, rows: &[TestRow]) {
        let target = &self.groups[group];
        let mut batch = WriteBatch::new();
        for row in rows {
            self.push(target, row, &mut batch);
        }
        self.engine().commit_blocking(batch).unwrap();
    }

    fn push(&self, target: &GroupTarget, row: &TestRow, batch: &mut WriteBatch) {
        let schema = &target.schema;
        let mut entity_values = vec![ValueRef::Null; schema.entity.len()];
        let mut values = vec![ValueRef::Null; schema.layout().columns().len()];
        let id = Value::Int(hash(&row.id) as i64);
        let tags = schema.families.iter().flat_map(|family| &family.tags).map(|tag| tag.slot);
        let slots = tags.zip(&row.tags).chain([(schema.fields[0].slot, &id)]);
        for (slot, value) in slots {
            match slot {
                Slot::Entity(at) => entity_values[at] = value.as_ref(),
                Slot::Column(at) => values[at] = value.as_ref(),
                Slot::Nowhere => {}
            }
        }
        let mut sharding = pipal_model::series::ShardHasher::new(&schema.name);
        let mut entity = Vec::new();
        for value in entity_values {
            sharding.push(value);
            assert!(push_entity_value(value, &mut entity));
        }
        let time = TEN + row.after_ten;
        let Route::Segment(segment) = self.engine().route(target.id, time).unwrap() else {
            panic!("expired")
        };
        let table = TableKey { group: target.id, segment, shard: sharding.shard(self.shards) };
        let engine_row = Row { entity: &entity, time, version: 0, deleted: false, values: &values };
        batch.push(table, schema.layout(), &engine_row).unwrap();
    }

    pub fn respond(
        &self,
        groups: &[GroupTarget],
        request: &QueryRequest,
        seconds: (i64, i64),
        memory_limit_bytes: usize,
    ) -> QueryResult<QueryResponse> {
        let context = QueryContext {
            snapshots: self.engine(),
            groups,
            time: TimeRange { begin: TEN + seconds.0 * SECOND, end: TEN + seconds.1 * SECOND },
            now: TEN,
            node: "n",
            cancel: &CancelToken::default(),
            memory: &MemoryLedger::unlimited().share(Share::Queries, QUERY_BYTES_MAX),
            memory_limit_bytes,
        };
        query(&context, request).map(|answer| answer.response)
    }

    /// Asks all groups.
    pub fn ask(&self, request: &QueryRequest, seconds: (i64, i64)) -> QueryResult<Vec<Element>> {
        self.respond(&self.groups, request, seconds, QUERY_BYTES_MAX).map(|response| response.elements)
    }

    /// The answer as one text per element, or the error text.
    pub fn lines(&self, request: &QueryRequest, seconds: (i64, i64)) -> Vec<String> {
        match self.ask(request, seconds) {
            Ok(elements) => elements.iter().map(line).collect(),
            Err(error) => vec![format!("error {error}")],
        }
    }
}

/// What the engine goes through between two looks at the same rows.
pub const STAGES: [&str; 4] = ["in memory", "flushed", "merged", "reopened"];

impl Fixture {
    /// Brings the rows from the stage before into this one.
    pub fn enter(&mut self, stage: &str) {
        match stage {
            "flushed" => self.engine().flush().unwrap(),
            "merged" => self.engine().wait_merges().unwrap(),
            "reopened" => self.reopen(),
            _ => {}
        }
    }

    /// Checks answers in all stages.
    pub fn check(&mut self, seconds: (i64, i64), cases: &[(QueryRequest, &[&str])]) {
        for stage in STAGES {
            self.enter(stage);
            for (request, expected) in cases {
                assert_eq!(self.lines(request, seconds), *expected, "{stage}: {request:?}");
            }
        }
    }

    /// Checks that requests fail with texts that hold the given parts.
    pub fn check_errors(&self, cases: &[(QueryRequest, &str)]) {
        for (request, part) in cases {
            let lines = self.lines(request, ALWAYS);
            let fits = lines.len() == 1 && lines[0].starts_with("error") && lines[0].contains(part);
            assert!(fits, "{lines:?} lacks {part}: {request:?}");
        }
    }
}

/// An element: its values in order, separated by spaces.
pub fn line(element: &Element) -> String {
    let tags = element.tag_families.iter().flat_map(|f| &f.tags);
    tags.map(|tag| show_tag(tag.value.as_ref().unwrap())).collect::<Vec<_>>().join(" ")
}

fn show_tag(value: &TagValue) -> String {
    match value.value.as_ref().unwrap() {
        tag_value::Value::Null(_) => "null".into(),
        tag_value::Value::Str(v) if v.value.is_empty() => "\"\"".into(),
        tag_value::Value::Str(v) => v.value.clone(),
        tag_value::Value::Int(v) => v.value.to_string(),
        tag_value::Value::StrArray(v) => format!("{:?}", v.value),
        tag_value::Value::IntArray(v) => format!("{:?}", v.value),
        tag_value::Value::BinaryData(v) => format!("{v:?}"),
        tag_value::Value::Timestamp(v) => format!("{}.{:09}", v.seconds, v.nanos),
    }
}

/// A request that shows tags (family, names).
pub fn select(tags: &[(&str, &[&str])]) -> QueryRequest {
    let family = |(name, tags): &(&str, &[&str])| tag_projection::TagFamily {
        name: (*name).into(),
        tags: tags.iter().map(|t| (*t).into()).collect(),
    };
    let projection = TagProjection { tag_families: tags.iter().map(family).collect() };
    QueryRequest { projection: Some(projection), ..QueryRequest::default() }
}

pub fn by(rule: &str, sort: Sort) -> Option<QueryOrder> {
    Some(QueryOrder { index_rule_name: rule.into(), sort: sort as i32 })
}

pub fn condition(name: &str, op: BinaryOp, value: tag_value::Value) -> Condition {
    let value = Some(TagValue { value: Some(value) });
    Condition { name: name.into(), op: op as i32, value, match_option: None }
}

pub fn cond(name: &str, op: BinaryOp, value: tag_value::Value) -> Criteria {
    Criteria { exp: Some(Exp::Condition(condition(name, op, value))) }
}

pub fn eq(name: &str, value: tag_value::Value) -> Criteria {
    cond(name, BinaryOp::Eq, value)
}

pub fn and(left: Criteria, right: Criteria) -> Criteria {
    tree(LogicalOp::And, Some(left), Some(right))
}

pub fn or(left: Criteria, right: Criteria) -> Criteria {
    tree(LogicalOp::Or, Some(left), Some(right))
}

pub fn tree(op: LogicalOp, left: Option<Criteria>, right: Option<Criteria>) -> Criteria {
    let expression =
        LogicalExpression { op: op as i32, left: left.map(Box::new), right: right.map(Box::new) };
    Criteria { exp: Some(Exp::Le(Box::new(expression))) }
}

pub fn s(value: &str) -> tag_value::Value {
    tag_value::Value::Str(pipal_api::model::v1::Str { value: value.into() })
}

pub fn i(value: i64) -> tag_value::Value {
    tag_value::Value::Int(pipal_api::model::v1::Int { value })
}

pub fn ss(values: &[&str]) -> tag_value::Value {
    let value = values.iter().map(|v| (*v).into()).collect();
    tag_value::Value::StrArray(pipal_api::model::v1::StrArray { value })
}

pub fn ii(values: &[i64]) -> tag_value::Value {
    tag_value::Value::IntArray(pipal_api::model::v1::IntArray { value: values.into() })
}

pub fn null() -> tag_value::Value {
    tag_value::Value::Null(0)
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
