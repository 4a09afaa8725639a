//! Candidates of the term index against the naive model: whatever is written, flushed and merged, under whatever
//! revisions of the schema, no entity with a row that a filter accepts is missing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use pipal_engine::fs::SimulatedFileSystem;
use pipal_engine::{Clock, GroupId, Route, TableKey, TableSnapshot, TermFilter};
use pipal_model::value::{decode_str_array, encode_str_array, int_term};
use pipal_model::{ColumnKey, ColumnType, Layout, RowPolicy, TimeRange, Value};
use std::collections::BTreeSet;
use std::sync::Arc;
use support::model::{ModelResource, ModelRow};
use support::random::Random;
use support::world::{Request, World, column, segmented, small_options, unsegmented};

const SEEDS: u64 = 4;
const OPERATIONS: usize = 700;
const POLICIES: [RowPolicy; 3] = [RowPolicy::Versioned, RowPolicy::Document, RowPolicy::Latest];

/// Two revisions: in the first only one tag is indexed.
fn layouts(policy: RowPolicy) -> Vec<Arc<Layout>> {
    let revision = |indexed: bool| {
        let attribute = policy == RowPolicy::Versioned;
        let mut columns = vec![
            column("t", "layer", ColumnType::Int, attribute),
            column("t", "zone", ColumnType::Str, attribute && indexed),
            column("t", "when", ColumnType::Timestamp, attribute && indexed),
            column("", "value", ColumnType::Int, false),
        ];
        if indexed {
            columns.push(column("t", "tags", ColumnType::StrArray, attribute));
        }
        Arc::new(Layout::new("alpha", policy, columns))
    };
    vec![revision(false), revision(true)]
}

fn random_value(random: &mut Random, ty: ColumnType) -> Value {
    let number = random.below(12) as i64;
    let long = |number: i64| format!("{}{number}", "a rather long text ".repeat(20)).into_bytes();
    match ty {
        _ if random.chance(20) => Value::Null,
        ColumnType::Int => Value::Int(number),
        ColumnType::Timestamp => Value::Timestamp(number),
        ColumnType::StrArray => {
            let mut bytes = Vec::new();
            encode_str_array([long(number).as_slice(), long(number + 1).as_slice()], &mut bytes);
            Value::StrArray(bytes)
        }
        _ => Value::Str(long(number)),
    }
}

fn random_request(world: &World, random: &mut Random, group: GroupId) -> Request {
    let (options, policy) = world.groups[&group];
    let layouts = layouts(policy);
    let row = |random: &mut Random| {
        let layout = random.pick(&layouts).clone();
        let mut entity = Vec::new();
        let name = format!("entity-{:03}", random.below(600));
        pipal_model::series::push_entity_value(pipal_model::ValueRef::Str(name.as_bytes()), &mut entity);
        let time = world.clock.now() - random.below(5) as i64 * 60_000_000_000;
        let columns = layout.columns().iter();
        let values = columns.map(|c| (c.key.clone(), random_value(random, c.key.ty))).collect();
        let deleted = policy == RowPolicy::Document && random.chance(10);
        let row = ModelRow { entity, time, version: random.below(4) as i64, deleted, values };
        let Ok(Route::Segment(segment)) = world.engine.route(group, time) else { panic!("no segment") };
        let shard = (pipal_model::series::sid("", &row.entity) % u64::from(options.shard_num)) as u32;
        (TableKey { group, segment, shard }, layout, row)
    };
    (0..1 + random.below(30)).map(|_| row(random)).collect()
}

fn random_filter(random: &mut Random, depth: usize) -> TermFilter {
    if depth > 0 && random.chance(50) {
        let (left, right) = (random_filter(random, depth - 1), random_filter(random, depth - 1));
        return if random.chance(50) { left.and(right) } else { left.or(right) };
    }
    let columns = [
        ("zone", ColumnType::Str),
        ("layer", ColumnType::Int),
        ("tags", ColumnType::StrArray),
        ("when", ColumnType::Timestamp),
        ("gone", ColumnType::Str),
    ];
    let (name, ty) = *random.pick(&columns);
    let value = |random: &mut Random| terms_of(&random_value(random, ty));
    let mut terms: Vec<Box<[u8]>> =
        (0..random.below(3)).flat_map(|_| value(random)).map(Into::into).collect();
    terms.sort();
    terms.dedup();
    TermFilter::Terms { column: ColumnKey { family: "t".into(), name: name.into(), ty }, terms }
}

fn terms_of(value: &Value) -> Vec<Vec<u8>> {
    match value {
        Value::Str(text) => vec![text.clone()],
        Value::Int(v) | Value::Timestamp(v) => vec![int_term(*v).to_vec()],
        Value::StrArray(bytes) => decode_str_array(bytes).map(<[u8]>::to_vec).collect(),
        _ => Vec::new(),
    }
}

/// The attribute of the series counts, and where there is none the row's own value.
fn accepts(filter: &TermFilter, resource: &ModelResource, row: &ModelRow) -> bool {
    match filter {
        TermFilter::All => true,
        TermFilter::And(left, right) => accepts(left, resource, row) && accepts(right, resource, row),
        TermFilter::Or(left, right) => accepts(left, resource, row) || accepts(right, resource, row),
        TermFilter::Terms { column, terms } => {
            let attribute = resource.attributes.get(&row.entity).and_then(|values| values.get(column));
            let value = attribute.or_else(|| row.values.get(column)).unwrap_or(&Value::Absent);
            terms_of(value).iter().any(|term| terms.iter().any(|wanted| **wanted == **term))
        }
    }
}

/// Candidates given, and how many there would be without an index.
#[derive(Default)]
struct Effect {
    candidates: usize,
    entities: usize,
    given_up: usize,
}

fn check(table: &TableSnapshot, resource: &ModelResource, filter: &TermFilter, effect: &mut Effect) {
    let Some(candidates) = table.candidates("alpha", filter).unwrap() else {
        effect.given_up += 1;
        return;
    };
    assert!(candidates.windows(2).all(|pair| pair[0] < pair[1]), "candidates are sorted and distinct");
    let candidates: BTreeSet<Vec<u8>> = candidates.into_iter().collect();
    for row in resource.rows.values() {
        let missing = accepts(filter, resource, row) && !candidates.contains(&row.entity);
        assert!(!missing, "{filter:?} accepts {row:?}, and its entity is no candidate");
    }
    effect.candidates += candidates.len();
    effect.entities += resource.rows.values().map(|row| &row.entity).collect::<BTreeSet<_>>().len();
}

fn check_all(world: &World, random: &mut Random, effect: &mut Effect) {
    for group in world.groups.keys() {
        for segment in world.engine.snapshot(*group, TimeRange::ALL).unwrap().segments {
            for table in &segment.tables {
                let key = TableKey { group: *group, segment: segment.bounds, shard: table.shard() };
                let resource = &world.model.tables[&key]["alpha"];
                for _ in 0..20 {
                    check(table, resource, &random_filter(random, 2), effect);
                }
            }
        }
    }
}

fn play(seed: u64) -> Effect {
    let mut random = Random::new(seed);
    let mut world = World::new(Arc::new(SimulatedFileSystem::new()), small_options());
    for (i, policy) in POLICIES.into_iter().enumerate() {
        let options = if policy == RowPolicy::Document { unsegmented() } else { segmented(1 + i as u32 % 2) };
        world.put_group(i as GroupId + 1, options, policy);
    }
    let mut effect = Effect::default();
    for _ in 0..OPERATIONS {
        match random.below(100) {
            0..4 => world.engine.flush().unwrap(),
            4..6 => world.engine.wait_merges().unwrap(),
            6..7 => world.reopen(false),
            7..10 => check_all(&world, &mut random, &mut effect),
            _ => {
                let group = 1 + random.below(POLICIES.len() as u64);
                let request = random_request(&world, &mut random, group);
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
fn no_entity_that_a_filter_accepts_is_missing() {
    let mut total = Effect::default();
    for seed in 0..SEEDS {
        let effect = play(seed);
        total.candidates += effect.candidates;
        total.entities += effect.entities;
        total.given_up += effect.given_up;
    }
    let Effect { candidates, entities, given_up } = total;
    assert!(entities > 0 && given_up > 0, "both ways are taken: {entities} entities, {given_up} given up");
    assert!(candidates * 3 < entities, "{candidates} candidates of {entities} entities rule out too little");
}

/// Old rows were written when the tag had no rule: their part does not know, and says so in its column list. Merged with
/// a part that was written under the rule, they are found by the index.
#[test]
fn a_rule_that_comes_later_indexes_old_rows_when_they_are_merged() {
    let mut world = World::new(Arc::new(SimulatedFileSystem::new()), small_options());
    world.put_group(1, segmented(1), RowPolicy::Versioned);
    let layouts = layouts(RowPolicy::Versioned);
    let zone = ColumnKey { family: "t".into(), name: "zone".into(), ty: ColumnType::Str };
    let write = |world: &mut World, layout: &Arc<Layout>, entities: std::ops::Range<usize>, minute: i64| {
        let time = world.clock.now() + minute * 60_000_000_000;
        let Ok(Route::Segment(segment)) = world.engine.route(1, time) else { panic!("no segment") };
        let row = |i: usize| {
            let mut entity = Vec::new();
            let name = format!("entity-{i:04}");
            pipal_model::series::push_entity_value(pipal_model::ValueRef::Str(name.as_bytes()), &mut entity);
            let mut values: std::collections::BTreeMap<ColumnKey, Value> =
                layout.columns().iter().map(|c| (c.key.clone(), Value::Null)).collect();
            values.insert(zone.clone(), Value::Str(format!("zone {i}").into_bytes()));
            let row = ModelRow { entity, time, version: 1, deleted: false, values };
            (TableKey { group: 1, segment, shard: 0 }, layout.clone(), row)
        };
        world.write(&entities.map(row).collect());
        world.engine.flush().unwrap();
    };
    let candidates = |world: &World, number: usize| {
        let terms = vec![format!("zone {number}").into_bytes().into()];
        let filter = TermFilter::Terms { column: zone.clone(), terms };
        let snapshot = world.engine.snapshot(1, TimeRange::ALL).unwrap();
        let tables: Vec<_> = snapshot.segments.iter().flat_map(|segment| &segment.tables).collect();
        assert_eq!(tables.len(), 1);
        tables[0].candidates("alpha", &filter).unwrap().map(|found| found.len())
    };
    write(&mut world, &layouts[0], 0..400, 0);
    assert_eq!(candidates(&world, 7), None, "the part knows nothing of the tag");
    for part in 1..4 {
        write(&mut world, &layouts[1], 400 * part..400 * part + 400, part as i64);
    }
    assert_eq!(candidates(&world, 7), Some(400), "all series of the part that does not know");
    world.engine.wait_merges().unwrap();
    assert_eq!(candidates(&world, 7), Some(1), "an old row");
    assert_eq!(candidates(&world, 1007), Some(1), "a new row");
    assert_eq!(candidates(&world, 9999), Some(0));
}
