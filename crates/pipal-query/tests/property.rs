//! Property queries end to end over an engine in memory, against a naive model.

// A helper that fails must fail its test; the lint sees only the test functions themselves.
#![allow(clippy::unwrap_used, clippy::panic)]

use pipal_api::common::v1::Metadata;
use pipal_api::model::v1::{Int, Sort, Str, Tag, TagValue, tag_value::Value};
use pipal_api::property::v1::{Property, QueryOrder, QueryRequest};
use pipal_engine::fs::SimulatedFileSystem;
use pipal_engine::{CancelToken, Engine, EngineOptions, GroupOptions, ManualClock, WriteBatch};
use pipal_model::{ErrorKind, MemoryLedger, Share};
use pipal_query::QueryResult;
use pipal_query::budget::{Budget, QUERY_BYTES_MAX};
use pipal_query::property::document::{layout, push_document, push_tombstone};
use pipal_query::property::{PropertyContext, PropertyGroup, find, live_documents, query};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const NAMES: [&str; 2] = ["menu", "ui"];

/// An engine with one group, and what it must hold: per name and id the version and the value of the tag `t`.
struct World {
    engine: Engine,
    group: PropertyGroup,
    clock: i64,
    live: BTreeMap<(usize, String), (i64, Option<i64>)>,
}

impl World {
    fn new() -> Self {
        let options = EngineOptions { background: false, ..EngineOptions::default() };
        let clock = Arc::new(ManualClock::new(1_000));
        let (engine, _) =
            Engine::open(Arc::new(SimulatedFileSystem::new()), clock, Path::new("/data"), options).unwrap();
        let mut world = World {
            engine,
            group: PropertyGroup { id: 1, name: "g".into(), shard_num: 1 },
            clock: 1_000,
            live: BTreeMap::new(),
        };
        world.reshard(2);
        world
    }

    fn reshard(&mut self, shard_num: u32) {
        self.group.shard_num = shard_num;
        let options = GroupOptions { segment_interval: None, ttl: None, shard_num };
        self.engine.put_group(1, options).unwrap();
    }

    fn apply(&mut self, name: usize, id: &str, value: Option<i64>, body: &str) {
        self.clock += 1;
        let mut tags = vec![tag("body", Value::Str(Str { value: body.into() }))];
        match value {
            Some(value) => tags.push(tag("t", Value::Int(Int { value }))),
            None if self.clock % 2 == 0 => tags.push(tag("t", Value::Null(0))),
            None => {}
        }
        let metadata = Metadata {
            group: "g".into(),
            name: NAMES[name].into(),
            create_revision: self.clock,
            mod_revision: self.clock,
            ..Metadata::default()
        };
        let property = Property { metadata: Some(metadata), id: id.into(), tags, updated_at: None };
        let mut batch = WriteBatch::new();
        push_document(&mut batch, &self.group, &layout(NAMES[name]), property).unwrap();
        self.engine.commit_blocking(batch).unwrap();
        self.live.insert((name, id.into()), (self.clock, value));
    }

    fn delete(&mut self, name: usize, id: &str) {
        self.clock += 1;
        let mut batch = WriteBatch::new();
        push_tombstone(&mut batch, &self.group, &layout(NAMES[name]), id, self.clock).unwrap();
        self.engine.commit_blocking(batch).unwrap();
        self.live.remove(&(name, id.into()));
    }

    fn ask(&self, request: &QueryRequest, memory_limit_bytes: usize) -> QueryResult<Vec<Property>> {
        let context = PropertyContext {
            snapshots: &self.engine,
            groups: std::slice::from_ref(&self.group),
            now: 1,
            node: "n",
            cancel: &CancelToken::default(),
            memory: &MemoryLedger::unlimited().share(Share::Queries, QUERY_BYTES_MAX),
            memory_limit_bytes,
        };
        query(&context, request).map(|answer| answer.response.properties)
    }

    /// Name, id and version of each document of an answer.
    fn keys(&self, request: &QueryRequest) -> Vec<(String, String, i64)> {
        let key = |property: Property| {
            let metadata = property.metadata.unwrap();
            (metadata.name, property.id, metadata.mod_revision)
        };
        self.ask(request, QUERY_BYTES_MAX).unwrap().into_iter().map(key).collect()
    }

    /// The same from the model, in the order of the request.
    fn expected(&self, request: &QueryRequest) -> Vec<(String, String, i64)> {
        let chosen = |(name, id): &(usize, String)| {
            (request.name.is_empty() || request.name == NAMES[*name])
                && (request.ids.is_empty() || request.ids.contains(id))
        };
        let mut live: Vec<_> = self.live.iter().filter(|(key, _)| chosen(key)).collect();
        if let Some(order) = &request.order_by {
            // Only the tag `t` has values; no document has any other.
            let of = |value: &Option<i64>| value.filter(|_| order.tag_name == "t");
            live.sort_by(|(a, (_, x)), (b, (_, y))| {
                let (x, y) = (of(x), of(y));
                let by_value = match (x, y) {
                    (Some(x), Some(y)) if order.sort == Sort::Desc as i32 => y.cmp(&x),
                    (Some(x), Some(y)) => x.cmp(&y),
                    (x, y) => x.is_none().cmp(&y.is_none()),
                };
                by_value.then_with(|| a.1.cmp(&b.1)).then_with(|| NAMES[a.0].cmp(NAMES[b.0]))
            });
        }
        live.into_iter()
            .map(|((name, id), (version, _))| (NAMES[*name].into(), id.clone(), *version))
            .collect()
    }

    fn check(&self, request: &QueryRequest) {
        let (got, expected) = (self.keys(request), self.expected(request));
        let limit = if request.limit == 0 { 100 } else { request.limit as usize };
        assert_eq!(got.len(), expected.len().min(limit), "{request:?}");
        if request.order_by.is_some() {
            assert_eq!(got[..], expected[..got.len()], "{request:?}");
        } else {
            let mut distinct = got.clone();
            distinct.sort();
            distinct.dedup();
            assert_eq!(distinct.len(), got.len(), "a document comes once: {request:?}");
            assert!(got.iter().all(|key| expected.contains(key)), "{got:?} of {expected:?}: {request:?}");
        }
    }

    fn budget(&self) -> Budget {
        Budget::new(&MemoryLedger::unlimited().share(Share::Queries, QUERY_BYTES_MAX), QUERY_BYTES_MAX)
    }

    fn check_look_ups(&self) {
        let (budget, cancel) = (self.budget(), CancelToken::default());
        for (at, name) in NAMES.iter().enumerate() {
            let mut live = live_documents(&self.engine, &self.group, name, &budget, &cancel).unwrap();
            live.sort();
            let of_name = self.live.iter().filter(|((name, _), _)| *name == at);
            let expected: Vec<_> = of_name.map(|((_, id), (version, _))| (id.clone(), *version)).collect();
            assert_eq!(live, expected);
            for id in ["0", "1", "2"] {
                let found = find(&self.engine, &self.group, name, id, &budget, &cancel).unwrap();
                let found = found.and_then(|(head, property)| property.map(|_| head.version));
                let expected = self.live.get(&(at, id.to_owned())).map(|(version, _)| *version);
                assert_eq!(found, expected, "{name} {id}");
            }
        }
    }
}

fn tag(key: &str, value: Value) -> Tag {
    Tag { key: key.into(), value: Some(TagValue { value: Some(value) }) }
}

fn request(name: &str, ids: &[&str], limit: u32, order: Option<(&str, Sort)>) -> QueryRequest {
    QueryRequest {
        groups: vec!["g".into()],
        name: name.into(),
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        limit,
        order_by: order.map(|(tag, sort)| QueryOrder { tag_name: tag.into(), sort: sort as i32 }),
        ..QueryRequest::default()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Apply(usize, u8, Option<i64>),
    Delete(usize, u8),
    Flush,
    Merge,
    Reshard(u32),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..2usize, 0..6u8, prop::option::of(-2..3i64)).prop_map(|(n, id, v)| Step::Apply(n, id, v)),
        3 => (0..2usize, 0..6u8).prop_map(|(name, id)| Step::Delete(name, id)),
        2 => Just(Step::Flush),
        1 => Just(Step::Merge),
        1 => (1..5u32).prop_map(Step::Reshard),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn queries_see_the_newest_version_of_each_live_document(steps in prop::collection::vec(any_step(), 1..40)) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Apply(name, id, value) => world.apply(name, &id.to_string(), value, "x"),
                Step::Delete(name, id) => world.delete(name, &id.to_string()),
                Step::Flush => world.engine.flush().unwrap(),
                Step::Merge => { world.engine.merge_once().unwrap(); }
                Step::Reshard(shard_num) => world.reshard(shard_num),
            }
        }
        for name in ["", "menu", "ui", "nope"] {
            for limit in [0, 1, 3, u32::MAX] {
                for ids in [&[][..], &["3", "1", "9", "1"]] {
                    world.check(&request(name, ids, limit, None));
                    for sort in [Sort::Unspecified, Sort::Asc, Sort::Desc] {
                        world.check(&request(name, ids, limit, Some(("t", sort))));
                    }
                    world.check(&request(name, ids, limit, Some(("nosuch", Sort::Desc))));
                }
            }
        }
        world.check_look_ups();
    }
}

#[test]
fn the_first_documents_of_many_are_kept_in_little_memory() {
    let mut world = World::new();
    for i in 0..3_000i64 {
        world.apply(0, &format!("{i:04}"), Some((i * 7_919) % 3_000), "x");
    }
    for sort in [Sort::Asc, Sort::Desc] {
        world.check(&request("menu", &[], 5, Some(("t", sort))));
        world.check(&request("menu", &[], 0, Some(("t", sort))));
    }
    world.check(&request("menu", &[], 10_000, None));
}

#[test]
fn large_documents_are_read_one_after_the_other_and_a_query_keeps_its_limit() {
    let mut world = World::new();
    let body = "b".repeat(3 << 20);
    for i in 0..12 {
        world.apply(0, &i.to_string(), Some(i), &body);
        if i == 5 {
            world.engine.flush().unwrap();
        }
    }
    let mut projected = request("menu", &[], 0, Some(("t", Sort::Desc)));
    projected.tag_projection = vec!["t".into()];
    let found = world.ask(&projected, 24 << 20).unwrap();
    let ids: Vec<&str> = found.iter().map(|property| property.id.as_str()).collect();
    assert_eq!(ids[..2], ["11", "10"]);
    assert_eq!(found.len(), 12, "36 MiB of documents pass through 24 MiB");
    assert!(found.iter().all(|property| property.tags.len() == 1));
    let all = world.ask(&request("menu", &[], 0, None), 24 << 20);
    assert_eq!(all.unwrap_err().kind(), ErrorKind::ResourceExhausted);
    let whole = world.ask(&request("menu", &["7"], 0, None), 24 << 20).unwrap();
    let Some(Value::Str(text)) = whole[0].tags[0].value.as_ref().and_then(|value| value.value.as_ref())
    else {
        panic!("the body is text")
    };
    assert!(text.value == body, "a large document comes back whole");
}
