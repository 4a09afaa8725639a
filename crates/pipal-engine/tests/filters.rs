//! Narrowed tables against whole ones: whatever is written, flushed and merged, under whatever revisions of the schema,
//! no row that a predicate accepts is missing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use pipal_engine::fs::SimulatedFileSystem;
use pipal_engine::rows::{EntitySelector, ResourceKey, RowKind};
use pipal_engine::{
    CancelToken, Clock, GroupId, Route, RowPredicate, ScanBatch, ScanRequest, TableKey, TableSnapshot,
};
use pipal_model::value::int_term;
use pipal_model::{
    Analyzer, ColumnDef, ColumnKey, ColumnType, Layout, RowPolicy, TimeRange, Value, ValueRef,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use support::model::{ModelResource, ModelRow};
use support::random::Random;
use support::world::{Request, World, segmented, small_options};

const SEEDS: u64 = 2;
const OPERATIONS: usize = 220;
const ENTITIES: u64 = 40;

fn key(name: &str, ty: ColumnType) -> ColumnKey {
    ColumnKey { family: if name == "pad" { "" } else { "t" }.into(), name: name.into(), ty }
}

/// Revisions of a stream: a tag without a rule, with one, with another analyzer, and of another type.
fn layouts(policy: RowPolicy) -> Vec<Arc<Layout>> {
    let revision = |text: Option<Analyzer>, level: ColumnType, filter: Option<Analyzer>| {
        let column = |name: &str, ty, filter| ColumnDef { filter, ..ColumnDef::plain(key(name, ty)) };
        let columns = vec![
            column("pad", ColumnType::Binary, None),
            column("text", ColumnType::Str, text),
            column("level", level, filter),
        ];
        Arc::new(Layout::new("logs", policy, columns))
    };
    vec![
        revision(None, ColumnType::Int, None),
        revision(Some(Analyzer::Standard), ColumnType::Int, Some(Analyzer::Keyword)),
        revision(Some(Analyzer::Url), ColumnType::Str, Some(Analyzer::Keyword)),
    ]
}

fn text_of(number: u64) -> Vec<u8> {
    format!("Request {number} of /Users/{} took too long", number / 3).into_bytes()
}

/// Values near the entity's, so that chunks differ; large ones, so that chunks are small.
fn random_value(random: &mut Random, column: &ColumnKey, entity: u64) -> Value {
    let number = entity * 10 + random.below(10);
    match (&*column.name, column.ty) {
        ("pad", _) => Value::Binary(vec![1; 3000]),
        _ if random.chance(5) => Value::Null,
        (_, ColumnType::Int) => Value::Int(number as i64),
        ("level", _) => Value::Str(format!("level {number}").into_bytes()),
        _ => Value::Str(text_of(number)),
    }
}

fn random_request(world: &World, random: &mut Random, group: GroupId, revisions: usize) -> Request {
    let (options, policy) = world.groups[&group];
    let layouts = layouts(policy);
    let row = |random: &mut Random| {
        let layout = layouts[random.below(revisions as u64) as usize].clone();
        let number = random.below(ENTITIES);
        let mut entity = Vec::new();
        let name = format!("entity-{number:03}");
        pipal_model::series::push_entity_value(ValueRef::Str(name.as_bytes()), &mut entity);
        let time = world.clock.now() - random.below(1000) as i64 * 1_000_000;
        let columns = layout.columns().iter();
        let values = columns.map(|c| (c.key.clone(), random_value(random, &c.key, number))).collect();
        let row = ModelRow { entity, time, version: random.below(4) as i64, deleted: false, values };
        let Ok(Route::Segment(segment)) = world.engine.route(group, time) else { panic!("no segment") };
        let shard = (pipal_model::series::sid("", &row.entity) % u64::from(options.shard_num)) as u32;
        (TableKey { group, segment, shard }, layout, row)
    };
    (0..20 + random.below(60)).map(|_| row(random)).collect()
}

fn random_predicate(random: &mut Random, depth: usize) -> RowPredicate {
    if depth > 0 && random.chance(50) {
        let (left, right) = (random_predicate(random, depth - 1), random_predicate(random, depth - 1));
        return if random.chance(60) { left.and(right) } else { left.or(right) };
    }
    let number = random.below(ENTITIES * 10);
    let int = key("level", ColumnType::Int);
    match random.below(6) {
        0 => RowPredicate::Has { column: int, terms: vec![int_term(number as i64).into()] },
        1 => {
            let least = number as i64;
            RowPredicate::Range { column: int, least, greatest: least + random.below(4) as i64 }
        }
        2 => RowPredicate::Has {
            column: key("level", ColumnType::Str),
            terms: vec![format!("level {number}").into_bytes().into()],
        },
        3 => RowPredicate::Has { column: key("text", ColumnType::Str), terms: vec![text_of(number).into()] },
        _ => RowPredicate::Word {
            column: key("text", ColumnType::Str),
            analyzer: *random.pick(&[Analyzer::Url, Analyzer::Standard, Analyzer::Simple]),
            words: vec![random.pick(&[number.to_string(), "users".into(), "Users".into()]).as_bytes().into()],
        },
    }
}

/// What a scan gives of the rows that a predicate accepts, and how many rows it looked at.
fn scanned(table: &TableSnapshot, predicate: &RowPredicate) -> (Vec<String>, usize) {
    let resource = ResourceKey { kind: RowKind::Data, name: "logs".into() };
    let columns =
        [key("text", ColumnType::Str), key("level", ColumnType::Int), key("level", ColumnType::Str)];
    let series = table.series(&resource, &EntitySelector::All).unwrap();
    let chosen: Vec<u32> = (0..series.len() as u32).collect();
    let cancel = CancelToken::default();
    let request = ScanRequest { key: &resource, time: TimeRange::ALL, columns: &columns, collapse: false };
    let mut scan = table.scan(request, &series, &chosen, &cancel).unwrap();
    let mut batch = ScanBatch::new(&columns);
    let (mut found, mut looked_at) = (Vec::new(), 0);
    while scan.next_batch(&mut batch).unwrap() {
        looked_at += batch.rows.len();
        for row in 0..batch.rows.len() {
            let value = |key: &ColumnKey| {
                let place = columns.iter().position(|column| column == key);
                place.map_or(ValueRef::Absent, |place| batch.rows.columns[place].get(row))
            };
            if predicate.accepts(&value) {
                let entity = series.entity(batch.series[row] as usize);
                let values = columns.iter().map(value).collect::<Vec<_>>();
                found.push(format!("{entity:?} {} {values:?}", batch.rows.times[row]));
            }
        }
    }
    found.sort();
    (found, looked_at)
}

/// Rows looked at with and without predicates.
#[derive(Default)]
struct Effect {
    narrowed: usize,
    whole: usize,
}

fn check(table: &TableSnapshot, resource: &ModelResource, predicate: &RowPredicate, effect: &mut Effect) {
    let logs = ResourceKey { kind: RowKind::Data, name: "logs".into() };
    let narrowed = table.narrowed(&logs, predicate, &[EntitySelector::All]).unwrap();
    let (found, looked_at) = scanned(&narrowed.table, predicate);
    let (expected, all) = scanned(table, predicate);
    assert_eq!(found, expected, "{predicate:?}");
    let accepted = resource.rows.values().filter(|row| {
        predicate.accepts(&|key: &ColumnKey| row.values.get(key).map_or(ValueRef::Absent, Value::as_ref))
    });
    assert!(found.len() >= accepted.count(), "{predicate:?}");
    effect.narrowed += looked_at;
    effect.whole += all;
}

fn check_all(world: &World, random: &mut Random, effect: &mut Effect) {
    for group in world.groups.keys() {
        for segment in world.engine.snapshot(*group, TimeRange::ALL).unwrap().segments {
            for table in &segment.tables {
                let key = TableKey { group: *group, segment: segment.bounds, shard: table.shard() };
                for _ in 0..8 {
                    let resource = &world.model.tables[&key]["logs"];
                    check(table, resource, &random_predicate(random, 2), effect);
                }
            }
        }
    }
}

fn play(seed: u64) -> Effect {
    let mut random = Random::new(seed);
    let mut world = World::new(Arc::new(SimulatedFileSystem::new()), small_options());
    world.put_group(1, segmented(2), RowPolicy::Collapse);
    world.put_group(2, segmented(1), RowPolicy::Versioned);
    let mut effect = Effect::default();
    for operation in 0..OPERATIONS {
        match random.below(100) {
            0..4 => world.engine.flush().unwrap(),
            4..6 => world.engine.wait_merges().unwrap(),
            6..7 => world.reopen(false),
            7..10 => check_all(&world, &mut random, &mut effect),
            _ => {
                let group = 1 + random.below(10) / 9;
                let revisions = 1 + operation * 3 / OPERATIONS;
                let request = random_request(&world, &mut random, group, revisions);
                world.write(&request);
            }
        }
    }
    world.engine.flush().unwrap();
    check_all(&world, &mut random, &mut effect);
    world.engine.wait_merges().unwrap();
    world.reopen(true);
    check_all(&world, &mut random, &mut effect);
    effect
}

#[test]
fn a_narrowed_table_gives_all_rows_that_a_predicate_accepts() {
    let mut total = Effect::default();
    for seed in 0..SEEDS {
        let effect = play(seed);
        total.narrowed += effect.narrowed;
        total.whole += effect.whole;
    }
    let Effect { narrowed, whole } = total;
    assert!(narrowed * 2 < whole, "{narrowed} of {whole} rows are looked at: too little is left out");
}

/// Old rows were written when the tag had no rule: their part has no filter of it. Merged with parts that were written
/// under the rule, they are left out like these.
#[test]
fn a_rule_that_comes_later_filters_old_rows_when_they_are_merged() {
    let mut world = World::new(Arc::new(SimulatedFileSystem::new()), small_options());
    world.put_group(1, segmented(1), RowPolicy::Collapse);
    let layouts = layouts(RowPolicy::Collapse);
    let write = |world: &mut World, layout: &Arc<Layout>, part: u64| {
        let time = world.clock.now() + part as i64;
        let Ok(Route::Segment(segment)) = world.engine.route(1, time) else { panic!("no segment") };
        let row = |number: u64| {
            let mut entity = Vec::new();
            let name = format!("entity-{number:05}");
            pipal_model::series::push_entity_value(ValueRef::Str(name.as_bytes()), &mut entity);
            let values: BTreeMap<ColumnKey, Value> = BTreeMap::from([
                (key("pad", ColumnType::Binary), Value::Binary(vec![1; 3000])),
                (key("text", ColumnType::Str), Value::Str(text_of(number))),
                (key("level", ColumnType::Int), Value::Int(number as i64)),
            ]);
            let row = ModelRow { entity, time, version: 1, deleted: false, values };
            (TableKey { group: 1, segment, shard: 0 }, layout.clone(), row)
        };
        world.write(&(part * 600..part * 600 + 600).map(row).collect());
        world.engine.flush().unwrap();
    };
    let looked_at = |world: &World, word: &str| {
        let predicate = RowPredicate::Word {
            column: key("text", ColumnType::Str),
            analyzer: Analyzer::Standard,
            words: vec![word.as_bytes().into()],
        };
        let snapshot = world.engine.snapshot(1, TimeRange::ALL).unwrap();
        let tables: Vec<_> = snapshot.segments.iter().flat_map(|segment| &segment.tables).collect();
        assert_eq!(tables.len(), 1);
        let resource = ResourceKey { kind: RowKind::Data, name: "logs".into() };
        let narrowed = tables[0].narrowed(&resource, &predicate, &[EntitySelector::All]).unwrap();
        let (found, looked_at) = scanned(&narrowed.table, &predicate);
        assert_eq!(found, scanned(tables[0], &predicate).0);
        looked_at
    };
    write(&mut world, &layouts[0], 0);
    assert_eq!(looked_at(&world, "nothing"), 600, "the part knows nothing of the tag");
    for part in 1..4 {
        write(&mut world, &layouts[1], part);
    }
    assert_eq!(looked_at(&world, "nothing"), 600, "only the part that does not know is read");
    world.engine.wait_merges().unwrap();
    assert_eq!(looked_at(&world, "nothing"), 0);
    for word in ["7", "1007"] {
        assert!((1..400).contains(&looked_at(&world, word)), "{word}: an old row and a new one");
    }
}
