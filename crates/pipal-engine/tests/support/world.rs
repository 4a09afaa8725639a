//! An engine on a simulated disk beside the model.

use super::model::{Model, ModelRow};
use super::random::Random;
use pipal_engine::fs::FileSystem;
use pipal_engine::rows::{EntitySelector, ResourceKey, RowKind};
use pipal_engine::{
    CancelToken, Clock, Engine, EngineOptions, GroupId, GroupOptions, ManualClock, RecoveryReport, Route,
    Row, ScanBatch, ScanRequest, TableKey, TableSnapshot, WriteBatch,
};
use pipal_model::time::{DAY_NANOS, HOUR_NANOS};
use pipal_model::{
    Analyzer, ColumnDef, ColumnKey, ColumnType, Interval, IntervalUnit, Layout, Result, RowPolicy, TimeRange,
    Value,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A noon far from any edge of the calendar.
pub const NOW: i64 = 20_000 * DAY_NANOS + 12 * HOUR_NANOS;

/// Options that make small tests flush, rotate and merge.
pub fn small_options() -> EngineOptions {
    EngineOptions {
        background: false,
        table_memory_bytes_max: 8 << 10,
        memory_bytes_max: 64 << 10,
        log_file_bytes_max: 8 << 10,
        log_bytes_max: 64 << 10,
        cache_bytes_max: 256 << 10,
        merge_inputs_min: 3,
        merge_inputs_max: 5,
        ..EngineOptions::default()
    }
}

pub fn segmented(shard_num: u32) -> GroupOptions {
    GroupOptions {
        segment_interval: Some(Interval { unit: IntervalUnit::Day, num: 1 }),
        ttl: Some(Interval { unit: IntervalUnit::Day, num: 7 }),
        shard_num,
    }
}

pub fn unsegmented() -> GroupOptions {
    GroupOptions { segment_interval: None, ttl: None, shard_num: 1 }
}

pub fn column(family: &str, name: &str, ty: ColumnType, attribute: bool) -> ColumnDef {
    ColumnDef { key: ColumnKey { family: family.into(), name: name.into(), ty }, attribute, filter: None }
}

/// Layouts of one policy: two revisions of the same resource and another resource.
pub fn layouts(policy: RowPolicy) -> Vec<Arc<Layout>> {
    let attribute = policy == RowPolicy::Versioned;
    let first = vec![
        column("t", "zone", ColumnType::Str, attribute),
        column("t", "layer", ColumnType::Int, attribute),
        column("t", "blob", ColumnType::Binary, false),
        column("", "value", ColumnType::Int, false),
        column("", "load", ColumnType::Float, false),
    ];
    let mut second = first.clone();
    second[1] = column("t", "layer", ColumnType::Str, attribute);
    second.push(column("t", "tags", ColumnType::StrArray, false));
    second.push(column("t", "at", ColumnType::Timestamp, false));
    let other = vec![column("", "count", ColumnType::Int, false)];
    vec![
        Arc::new(Layout::new("alpha", policy, first)),
        Arc::new(Layout::new("alpha", policy, second)),
        Arc::new(Layout::new("beta|\\", policy, other)),
    ]
}

const TYPES: [ColumnType; 7] = [
    ColumnType::Int,
    ColumnType::Timestamp,
    ColumnType::Float,
    ColumnType::Str,
    ColumnType::Binary,
    ColumnType::StrArray,
    ColumnType::IntArray,
];
const POLICIES: [RowPolicy; 4] =
    [RowPolicy::Versioned, RowPolicy::Collapse, RowPolicy::Document, RowPolicy::Latest];

/// Layouts that rows of a policy may have.
pub type Layouts = BTreeMap<RowPolicy, Vec<Arc<Layout>>>;

fn random_column(random: &mut Random, number: usize, policy: RowPolicy) -> ColumnDef {
    let family = *random.pick(&["", "t", "u"]);
    let attribute = policy == RowPolicy::Versioned && !family.is_empty() && random.chance(40);
    let filter = (policy == RowPolicy::Collapse).then(|| random.below(6) as u8).and_then(Analyzer::from_code);
    ColumnDef { filter, ..column(family, &format!("c{number}"), *random.pick(&TYPES), attribute) }
}

/// Random layouts: per policy one to three resources, each in one to three revisions, of which a later one has more
/// columns, and some of another family, type or index rule.
pub fn random_layouts(random: &mut Random) -> Layouts {
    let mut all = Layouts::new();
    for policy in POLICIES {
        let layouts = all.entry(policy).or_default();
        for name in ["alpha", "beta|\\", "gamma"].iter().take(1 + random.below(3) as usize) {
            let mut columns = Vec::new();
            for _ in 0..1 + random.below(3) {
                for (number, column) in columns.iter_mut().enumerate() {
                    if random.chance(20) {
                        *column = random_column(random, number, policy);
                    }
                }
                for _ in 0..1 + random.below(4) {
                    columns.push(random_column(random, columns.len(), policy));
                }
                layouts.push(Arc::new(Layout::new(name, policy, columns.clone())));
            }
        }
    }
    all
}

/// Rows of one request.
pub type Request = Vec<(TableKey, Arc<Layout>, ModelRow)>;

pub fn random_value(random: &mut Random, ty: ColumnType) -> Value {
    let special = [0, 1, -1, i64::MIN, i64::MAX];
    match random.below(10) {
        0 => return Value::Null,
        1 => return Value::Absent,
        _ => {}
    }
    match ty {
        ColumnType::Int if random.chance(20) => Value::Int(*random.pick(&special)),
        ColumnType::Int => Value::Int(random.below(1000) as i64),
        ColumnType::Timestamp => Value::Timestamp(random.next() as i64),
        ColumnType::Float if random.chance(30) => Value::Float(f64::from_bits(random.next())),
        ColumnType::Float if random.chance(20) => Value::Float(-0.0),
        ColumnType::Float => Value::Float(random.below(1000) as f64 / 8.0),
        ColumnType::Str => {
            Value::Str(random.pick(&["", "eu", "us", "a longer text that repeats"]).as_bytes().to_vec())
        }
        ColumnType::Binary => Value::Binary((0..random.below(40)).map(|_| random.next() as u8).collect()),
        ColumnType::StrArray => {
            let mut bytes = Vec::new();
            let elements: Vec<&[u8]> = (0..random.below(3)).map(|_| &b"element"[..]).collect();
            pipal_model::value::encode_str_array(elements, &mut bytes);
            Value::StrArray(bytes)
        }
        ColumnType::IntArray => Value::IntArray(vec![1; 8]),
    }
}

pub fn random_row(random: &mut Random, layout: &Layout, time: i64) -> ModelRow {
    let mut entity = Vec::new();
    let name = format!("entity-{:02}", random.below(12));
    pipal_model::series::push_entity_value(pipal_model::ValueRef::Str(name.as_bytes()), &mut entity);
    let mut values = BTreeMap::new();
    for column in layout.columns() {
        values.insert(column.key.clone(), random_value(random, column.key.ty));
    }
    ModelRow { entity, time, version: random.below(6) as i64, deleted: false, values }
}

pub struct World {
    pub fs: Arc<dyn FileSystem>,
    pub clock: Arc<ManualClock>,
    pub options: EngineOptions,
    pub engine: Engine,
    pub report: RecoveryReport,
    pub groups: BTreeMap<GroupId, (GroupOptions, RowPolicy)>,
    /// Groups that were deleted.
    pub dropped: BTreeMap<GroupId, (GroupOptions, RowPolicy)>,
    pub model: Model,
    pub layouts: Layouts,
}

pub const ROOT: &str = "/data";

impl World {
    pub fn new(fs: Arc<dyn FileSystem>, options: EngineOptions) -> Self {
        let clock = Arc::new(ManualClock::new(NOW));
        let (engine, report) =
            Engine::open(fs.clone(), clock.clone(), Path::new(ROOT), options.clone()).unwrap();
        World {
            fs,
            clock,
            options,
            engine,
            report,
            groups: BTreeMap::new(),
            dropped: BTreeMap::new(),
            model: Model::default(),
            layouts: POLICIES.iter().map(|policy| (*policy, layouts(*policy))).collect(),
        }
    }

    pub fn put_group(&mut self, id: GroupId, options: GroupOptions, policy: RowPolicy) {
        self.engine.put_group(id, options).unwrap();
        self.groups.insert(id, (options, policy));
    }

    /// Opens the directory again, as after a crash when `close` is false.
    pub fn reopen(&mut self, close: bool) {
        if close {
            self.engine.close().unwrap();
        }
        let placeholder = self.options.clone();
        // The old engine must let go of the directory's lock before the new one takes it.
        self.engine = {
            let scratch: Arc<dyn FileSystem> = Arc::new(pipal_engine::fs::SimulatedFileSystem::new());
            Engine::open(scratch, self.clock.clone(), Path::new(ROOT), placeholder).unwrap().0
        };
        let (engine, report) =
            Engine::open(self.fs.clone(), self.clock.clone(), Path::new(ROOT), self.options.clone()).unwrap();
        self.engine = engine;
        self.report = report;
        for (id, (options, _)) in &self.groups {
            self.engine.put_group(*id, *options).unwrap();
        }
    }

    /// A random request for a group; all rows have a place.
    pub fn random_request(&self, random: &mut Random, group: GroupId) -> Request {
        let (options, policy) = self.groups[&group];
        let layouts = &self.layouts[&policy];
        let mut request = Vec::new();
        for _ in 0..1 + random.below(12) {
            let layout = random.pick(layouts).clone();
            let minute = random.below(20) as i64 * 60_000_000_000;
            let time = self.clock.now() - random.below(3) as i64 * DAY_NANOS - minute;
            let mut row = random_row(random, &layout, time);
            row.deleted = policy == RowPolicy::Document && random.chance(10);
            let Ok(Route::Segment(segment)) = self.engine.route(group, time) else {
                panic!("no segment for {time}")
            };
            let shard = (pipal_model::series::sid("", &row.entity) % u64::from(options.shard_num)) as u32;
            request.push((TableKey { group, segment, shard }, layout, row));
        }
        request
    }

    pub fn batch(request: &Request) -> WriteBatch {
        let mut batch = WriteBatch::new();
        for (table, layout, row) in request {
            let values: Vec<_> = layout.columns().iter().map(|c| row.values[&c.key].as_ref()).collect();
            let row = Row {
                entity: &row.entity,
                time: row.time,
                version: row.version,
                deleted: row.deleted,
                values: &values,
            };
            batch.push(*table, layout, &row).unwrap();
        }
        batch
    }

    pub fn write(&mut self, request: &Request) {
        self.engine.commit_blocking(World::batch(request)).unwrap();
        self.model.apply(request);
    }

    /// Compares everything that the engine holds with the model.
    pub fn check(&self, context: &str) {
        assert_eq!(read_all(&self.engine, &self.groups), expected(&self.model), "{context}");
    }
}

/// Rows and attributes as text, by table and resource: easy to compare and to read.
pub type Contents = BTreeMap<String, Vec<String>>;

pub fn expected(model: &Model) -> Contents {
    let mut contents = Contents::new();
    for (table, resources) in &model.tables {
        for (name, resource) in resources {
            let rows = resource.sorted().iter().map(|r| format!("{:?}", r.canonical())).collect();
            contents.insert(format!("{table} {name}"), rows);
            if !resource.attributes.is_empty() {
                let text = |(entity, values): (&Vec<u8>, &BTreeMap<ColumnKey, Value>)| {
                    let row = ModelRow {
                        entity: entity.clone(),
                        time: 0,
                        version: 0,
                        deleted: false,
                        values: values.clone(),
                    };
                    format!("{:?}", row.canonical())
                };
                contents.insert(
                    format!("{table} {name} attributes"),
                    resource.attributes.iter().map(text).collect(),
                );
            }
        }
    }
    contents
}

pub fn read_all(engine: &Engine, groups: &BTreeMap<GroupId, (GroupOptions, RowPolicy)>) -> Contents {
    let mut contents = Contents::new();
    for group in groups.keys() {
        for segment in engine.snapshot(*group, TimeRange::ALL).unwrap().segments {
            for table in &segment.tables {
                let key = TableKey { group: *group, segment: segment.bounds, shard: table.shard() };
                contents.extend(read_table(&key, table).unwrap());
            }
        }
    }
    contents
}

/// Everything that a table gives, by resource.
pub fn read_table(key: &TableKey, table: &TableSnapshot) -> Result<Contents> {
    let mut contents = Contents::new();
    for head in table.heads()? {
        let is_attribute = head.key.kind == RowKind::Attribute;
        let suffix = if is_attribute { " attributes" } else { "" };
        let mut rows = read_resource(table, &head.key, &head.columns)?;
        if is_attribute {
            for row in &mut rows {
                (row.time, row.version) = (0, 0);
                row.values.retain(|_, v| !matches!(v, Value::Null | Value::Absent));
            }
        }
        let mut rows: Vec<_> = rows.iter().map(ModelRow::canonical).collect();
        let sorted_by_scan: Vec<_> = rows.iter().map(|r| (r.0.clone(), r.1)).collect();
        assert!(sorted_by_scan.is_sorted(), "a scan gives rows by entity and time");
        rows.sort();
        let texts = rows.iter().map(|r| format!("{r:?}")).collect();
        contents.insert(format!("{key} {}{suffix}", head.key.name), texts);
    }
    Ok(contents)
}

fn read_resource(table: &TableSnapshot, key: &ResourceKey, columns: &[ColumnKey]) -> Result<Vec<ModelRow>> {
    let series = table.series(key, &EntitySelector::All)?;
    let chosen: Vec<u32> = (0..series.len() as u32).collect();
    let cancel = CancelToken::default();
    let request = ScanRequest { key, time: TimeRange::ALL, columns, collapse: true };
    let mut scan = table.scan(request, &series, &chosen, &cancel)?;
    let mut batch = ScanBatch::new(columns);
    let mut rows = Vec::new();
    while scan.next_batch(&mut batch)? {
        for row in 0..batch.rows.len() {
            let values =
                columns.iter().zip(&batch.rows.columns).map(|(k, c)| (k.clone(), c.get(row).to_value()));
            rows.push(ModelRow {
                entity: series.entity(batch.series[row] as usize).to_vec(),
                time: batch.rows.times[row],
                version: batch.rows.versions[row],
                deleted: batch.rows.is_deleted(row),
                values: values.collect(),
            });
        }
    }
    Ok(rows)
}
