//! An engine in memory, measures in it, and short ways to write and ask.

use pipal_api::common::v1::Metadata;
use pipal_api::database::v1::{
    Entity, FieldSpec, FieldType, IndexRule, Measure, TagFamilySpec, TagSpec, TagType,
};
use pipal_api::measure::v1::{DataPoint, QueryRequest, QueryResponse, query_request};
use pipal_api::model::v1::{
    Condition, Criteria, LogicalExpression, TagProjection, TagValue, condition::BinaryOp, criteria::Exp,
    field_value, logical_expression::LogicalOp, tag_projection, tag_value,
};
use pipal_engine::fs::SimulatedFileSystem;
use pipal_engine::{
    CancelToken, Engine, EngineOptions, GroupOptions, ManualClock, Route, Row, TableKey, WriteBatch,
};
use pipal_model::series::push_entity_value;
use pipal_model::time::DAY_NANOS;
use pipal_model::{Interval, IntervalUnit, MemoryLedger, Share, TimeRange, Value, ValueRef};
use pipal_query::QueryResult;
use pipal_query::budget::QUERY_BYTES_MAX;
use pipal_query::measure::{GroupTarget, QueryContext, query};
use pipal_query::schema::{RowSchema, Slot};
use std::path::Path;
use std::sync::Arc;

/// Ten in the morning of some day.
pub const TEN: i64 = 20_000 * DAY_NANOS + 10 * 3_600_000_000_000;
pub const MINUTE: i64 = 60_000_000_000;

/// A measure definition in one line per part.
#[derive(Clone, Default)]
pub struct Definition {
    pub name: &'static str,
    pub families: Vec<(&'static str, Vec<(&'static str, TagType)>)>,
    pub entity: Vec<&'static str>,
    pub sharding: Vec<&'static str>,
    pub fields: Vec<(&'static str, FieldType)>,
    /// Name, tags, analyzer.
    pub rules: Vec<(&'static str, Vec<&'static str>, &'static str)>,
    pub index_mode: bool,
}

impl Definition {
    pub fn compile(&self, group: &str) -> RowSchema {
        let metadata =
            |name: &str| Metadata { group: group.into(), name: name.into(), ..Metadata::default() };
        let strings = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let tag = |(name, ty): &(&str, TagType)| TagSpec { name: (*name).into(), r#type: *ty as i32 };
        let measure = Measure {
            metadata: Some(metadata(self.name)),
            tag_families: (self.families.iter())
                .map(|(name, tags)| TagFamilySpec {
                    name: (*name).into(),
                    tags: tags.iter().map(tag).collect(),
                })
                .collect(),
            entity: Some(Entity { tag_names: strings(&self.entity) }),
            sharding_key: (!self.sharding.is_empty())
                .then(|| pipal_api::database::v1::ShardingKey { tag_names: strings(&self.sharding) }),
            fields: (self.fields.iter())
                .map(|(name, ty)| FieldSpec {
                    name: (*name).into(),
                    field_type: *ty as i32,
                    ..FieldSpec::default()
                })
                .collect(),
            index_mode: self.index_mode,
            ..Measure::default()
        };
        let rule = |(name, tags, analyzer): &(&str, Vec<&str>, &str)| IndexRule {
            metadata: Some(metadata(name)),
            tags: strings(tags),
            analyzer: (*analyzer).into(),
            no_sort: name.ends_with("nosort"),
            ..IndexRule::default()
        };
        let rules: Vec<IndexRule> = self.rules.iter().map(rule).collect();
        RowSchema::compile(&measure, &rules).unwrap()
    }
}

/// A row: time in minutes after ten, version, tag values in the order of the families, field values.
#[derive(Clone, Debug)]
pub struct TestRow {
    pub time: i64,
    pub version: i64,
    pub tags: Vec<Value>,
    pub fields: Vec<Value>,
}

pub fn row<const T: usize, const F: usize>(
    minute: i64,
    version: i64,
    tags: [Value; T],
    fields: [Value; F],
) -> TestRow {
    TestRow { time: TEN + minute * MINUTE, version, tags: tags.into(), fields: fields.into() }
}

pub fn text(value: &str) -> Value {
    Value::Str(value.as_bytes().to_vec())
}

pub struct Fixture {
    pub engine: Engine,
    pub groups: Vec<GroupTarget>,
    shards: u32,
}

impl Fixture {
    pub fn new(shards: u32, measures: &[Definition]) -> Self {
        let options = EngineOptions { background: false, ..EngineOptions::default() };
        let clock = Arc::new(ManualClock::new(TEN + DAY_NANOS));
        let fs = Arc::new(SimulatedFileSystem::new());
        let (engine, _) = Engine::open(fs, clock, Path::new("/data"), options).unwrap();
        let day = Interval { unit: IntervalUnit::Day, num: 1 };
        let mut groups = Vec::new();
        for (i, measure) in measures.iter().enumerate() {
            let id = i as u64 + 1;
            let options = GroupOptions { segment_interval: Some(day), ttl: None, shard_num: shards };
            engine.put_group(id, options).unwrap();
            groups.push(GroupTarget { id, schema: Arc::new(measure.compile(&format!("g{id}"))) });
        }
        Fixture { engine, groups, shards }
    }

    /// Writes rows as one request into one group.
    pub fn write(&self, group: usize, rows: &[TestRow]) {
        let target = &self.groups[group];
        let mut batch = WriteBatch::new();
        for row in rows {
            self.push(target, row, &mut batch);
        }
        self.engine.commit_blocking(batch).unwrap();
    }

    fn push(&self, target: &GroupTarget, row: &TestRow, batch: &mut WriteBatch) {
        let schema = &target.schema;
        let mut entity_values = vec![ValueRef::Null; schema.entity.len()];
        let mut values = vec![ValueRef::Null; schema.layout().columns().len()];
        let tags = schema.families.iter().flat_map(|family| &family.tags).map(|tag| tag.slot);
        let slots = tags.zip(&row.tags).chain(schema.fields.iter().map(|field| field.slot).zip(&row.fields));
        let mut sharding = pipal_model::series::ShardHasher::new(&schema.name);
        for (slot, value) in slots {
            match slot {
                Slot::Entity(at) => entity_values[at] = value.as_ref(),
                Slot::Column(at) => values[at] = value.as_ref(),
                Slot::Nowhere => {}
            }
        }
        for place in &schema.sharding_places {
            match schema.tag(*place).unwrap().slot {
                Slot::Entity(at) => sharding.push(entity_values[at]),
                Slot::Column(at) => sharding.push(values[at]),
                Slot::Nowhere => {}
            }
        }
        let mut entity = Vec::new();
        for value in entity_values {
            assert!(push_entity_value(value, &mut entity));
        }
        let Route::Segment(segment) = self.engine.route(target.id, row.time).unwrap() else {
            panic!("expired")
        };
        let table = TableKey { group: target.id, segment, shard: sharding.shard(self.shards) };
        let engine_row =
            Row { entity: &entity, time: row.time, version: row.version, deleted: false, values: &values };
        batch.push(table, schema.layout(), &engine_row).unwrap();
    }

    /// Asks all groups.
    pub fn ask(
        &self,
        request: &QueryRequest,
        from_minute: i64,
        to_minute: i64,
    ) -> QueryResult<Vec<DataPoint>> {
        self.ask_with(&self.groups, request, from_minute, to_minute, QUERY_BYTES_MAX)
    }

    pub fn ask_with(
        &self,
        groups: &[GroupTarget],
        request: &QueryRequest,
        from_minute: i64,
        to_minute: i64,
        memory_limit_bytes: usize,
    ) -> QueryResult<Vec<DataPoint>> {
        self.respond(groups, request, from_minute, to_minute, memory_limit_bytes)
            .map(|response| response.data_points)
    }

    /// The whole answer.
    pub fn respond(
        &self,
        groups: &[GroupTarget],
        request: &QueryRequest,
        from_minute: i64,
        to_minute: i64,
        memory_limit_bytes: usize,
    ) -> QueryResult<QueryResponse> {
        let context = QueryContext {
            snapshots: &self.engine,
            groups,
            time: TimeRange { begin: TEN + from_minute * MINUTE, end: TEN + to_minute * MINUTE },
            now: TEN,
            node: "n",
            cancel: &CancelToken::default(),
            memory: &MemoryLedger::unlimited().share(Share::Queries, QUERY_BYTES_MAX),
            memory_limit_bytes,
        };
        query(&context, request).map(|answer| answer.response)
    }

    /// The answer as one line per row, or the error text.
    pub fn lines(&self, request: &QueryRequest, from_minute: i64, to_minute: i64) -> Vec<String> {
        match self.ask(request, from_minute, to_minute) {
            Ok(points) => points.iter().map(line).collect(),
            Err(error) => vec![format!("error {error}")],
        }
    }
}

/// A row of an answer: values in order, separated by spaces.
pub fn line(point: &DataPoint) -> String {
    let tags =
        point.tag_families.iter().flat_map(|f| &f.tags).map(|tag| show_tag(tag.value.as_ref().unwrap()));
    let fields =
        point.fields.iter().map(|field| match field.value.as_ref().unwrap().value.as_ref().unwrap() {
            field_value::Value::Null(_) => "null".into(),
            field_value::Value::Str(v) => format!("{:?}", v.value),
            field_value::Value::Int(v) => v.value.to_string(),
            field_value::Value::Float(v) => format!("{:?}", v.value),
            field_value::Value::BinaryData(v) => format!("{v:?}"),
        });
    tags.chain(fields).collect::<Vec<_>>().join(" ")
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

/// A request that shows tags (family, names) and fields.
pub fn select(tags: &[(&str, &[&str])], fields: &[&str]) -> QueryRequest {
    QueryRequest {
        tag_projection: (!tags.is_empty()).then(|| projection(tags)),
        field_projection: (!fields.is_empty())
            .then(|| query_request::FieldProjection { names: fields.iter().map(|f| (*f).into()).collect() }),
        ..QueryRequest::default()
    }
}

pub fn projection(tags: &[(&str, &[&str])]) -> TagProjection {
    let family = |(name, tags): &(&str, &[&str])| tag_projection::TagFamily {
        name: (*name).into(),
        tags: tags.iter().map(|t| (*t).into()).collect(),
    };
    TagProjection { tag_families: tags.iter().map(family).collect() }
}

pub fn cond(name: &str, op: BinaryOp, value: tag_value::Value) -> Criteria {
    let value = Some(TagValue { value: Some(value) });
    let condition = Condition { name: name.into(), op: op as i32, value, match_option: None };
    Criteria { exp: Some(Exp::Condition(condition)) }
}

pub fn s(value: &str) -> tag_value::Value {
    tag_value::Value::Str(pipal_api::model::v1::Str { value: value.into() })
}

pub fn i(value: i64) -> tag_value::Value {
    tag_value::Value::Int(pipal_api::model::v1::Int { value })
}

pub fn strings(values: &[&str]) -> tag_value::Value {
    let value = values.iter().map(|v| (*v).into()).collect();
    tag_value::Value::StrArray(pipal_api::model::v1::StrArray { value })
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
