//! Changes and queries without a network: races, restarts, power cuts, refusals.

use super::{PropertyChanges, PropertyQueries};
use crate::api::common::{Catalog, Group, Metadata, ResourceOpts};
use crate::api::database::{Property as PropertySchema, TagSpec, TagType};
use crate::api::model::{Str, Tag, TagValue, tag_value::Value};
use crate::api::property::apply_request::Strategy;
use crate::api::property::{ApplyRequest, ApplyResponse, DeleteRequest, Property, QueryRequest};
use crate::query_threads::QueryThreads;
use crate::registry::{DeleteGroup, EngineGroups, EngineStore, Registry};
use pipal_engine::fs::{CrashPolicy, SimulatedFileSystem};
use pipal_engine::{Engine, EngineOptions, ManualClock};
use pipal_model::{MemoryLedger, Share};
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use tonic::{Code, Status};

const TAGS: usize = 8;

/// A server without a network: group `g` with property schema `p` of tags `t0` to `t7`.
struct World {
    disk: Arc<SimulatedFileSystem>,
    clock: Arc<ManualClock>,
    engine: Engine,
    registry: Registry,
    changes: PropertyChanges,
    queries: PropertyQueries,
}

impl World {
    async fn new() -> Self {
        let world = World::over(Arc::new(SimulatedFileSystem::new())).await;
        world.registry.create_group(group("g", Catalog::Property)).await.unwrap();
        let tag = |i: usize| TagSpec { name: format!("t{i}"), r#type: TagType::String as i32 };
        let tags = (0..TAGS).map(tag).collect();
        let schema = PropertySchema { metadata: metadata(), tags, ..PropertySchema::default() };
        world.registry.create(schema).await.unwrap();
        world
    }

    /// Opens what is on a disk.
    async fn over(disk: Arc<SimulatedFileSystem>) -> Self {
        let clock = Arc::new(ManualClock::new(1_000_000));
        let options = EngineOptions::default();
        let (engine, _) = Engine::open(disk.clone(), clock.clone(), Path::new("/data"), options).unwrap();
        let store = Arc::new(EngineStore::new(engine.clone()));
        let groups = Arc::new(EngineGroups(engine.clone()));
        let ledger = MemoryLedger::unlimited();
        let schemas = ledger.share(Share::Schemas, 1 << 30);
        let registry = Registry::open(store, groups, clock.clone(), schemas).await.unwrap();
        let memory = ledger.share(Share::Queries, 1 << 30);
        let changes = PropertyChanges::new(registry.clone(), engine.clone(), memory.clone(), clock.clone());
        let queries = PropertyQueries {
            registry: registry.clone(),
            engine: engine.clone(),
            memory,
            threads: QueryThreads::default(),
            slow_query: None,
            node: "node".into(),
        };
        World { disk, clock, engine, registry, changes, queries }
    }

    async fn apply(
        &self,
        id: &str,
        tags: &[(&str, &str)],
        strategy: Strategy,
    ) -> Result<ApplyResponse, Status> {
        self.changes.apply(application(id, tags, strategy)).await
    }

    async fn delete(&self, id: &str) -> Result<(), Status> {
        let request = DeleteRequest { group: "g".into(), name: "p".into(), id: id.into() };
        self.changes.delete(request).await.map(|response| assert!(response.deleted))
    }

    /// All documents, by id.
    async fn all(&self) -> Vec<Property> {
        let request = QueryRequest {
            groups: vec!["g".into()],
            name: "p".into(),
            limit: u32::MAX,
            ..Default::default()
        };
        let mut properties = self.queries.query(request).await.unwrap().response.properties;
        properties.sort_by(|a, b| a.id.cmp(&b.id));
        properties
    }
}

fn metadata() -> Option<Metadata> {
    Some(Metadata { group: "g".into(), name: "p".into(), ..Metadata::default() })
}

fn group(name: &str, catalog: Catalog) -> Group {
    Group {
        metadata: Some(Metadata { name: name.into(), ..Metadata::default() }),
        catalog: catalog as i32,
        resource_opts: Some(ResourceOpts { shard_num: 2, ..ResourceOpts::default() }),
        ..Group::default()
    }
}

fn tag(key: &str, text: &str) -> Tag {
    let value = Value::Str(Str { value: text.into() });
    Tag { key: key.into(), value: Some(TagValue { value: Some(value) }) }
}

fn application(id: &str, tags: &[(&str, &str)], strategy: Strategy) -> ApplyRequest {
    let tags = tags.iter().map(|(key, text)| tag(key, text)).collect();
    let property = Property { metadata: metadata(), id: id.into(), tags, updated_at: None };
    ApplyRequest { property: Some(property), strategy: strategy as i32 }
}

/// Keys and texts of a document, in stored order.
fn texts(property: &Property) -> Vec<(&str, &str)> {
    property
        .tags
        .iter()
        .filter_map(|tag| match tag.value.as_ref()?.value.as_ref()? {
            Value::Str(text) => Some((tag.key.as_str(), text.value.as_str())),
            _ => None,
        })
        .collect()
}

fn revisions(property: &Property) -> (i64, i64) {
    let metadata = property.metadata.as_ref().unwrap();
    (metadata.create_revision, metadata.mod_revision)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merges_at_the_same_time_lose_no_key_and_one_of_them_creates() {
    let world = Arc::new(World::new().await);
    for round in 0..10 {
        let id = format!("d{round}");
        let tasks: Vec<_> = (0..TAGS)
            .map(|i| {
                let (world, id) = (world.clone(), id.clone());
                tokio::spawn(async move {
                    world.apply(&id, &[(&format!("t{i}"), "v")], Strategy::Merge).await.unwrap()
                })
            })
            .collect();
        let (mut created, mut counts) = (0, Vec::new());
        for task in tasks {
            let response = task.await.unwrap();
            created += usize::from(response.created);
            counts.push(response.tags_num as usize);
        }
        counts.sort_unstable();
        assert_eq!((created, counts), (1, (1..=TAGS).collect()), "changes of a document come one by one");
        let stored = world.all().await.pop().unwrap();
        assert_eq!((stored.id.as_str(), stored.tags.len()), (id.as_str(), TAGS));
        world.delete(&id).await.unwrap();
    }
    assert!(world.all().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_all_takes_turns_with_merges() {
    let world = Arc::new(World::new().await);
    for round in 0..20 {
        let id = format!("d{}", round % 3);
        world.apply(&id, &[("t0", "old")], Strategy::Replace).await.unwrap();
        let (deleter, merger) = (world.clone(), world.clone());
        let delete = tokio::spawn(async move { deleter.delete("").await.unwrap() });
        let merge = {
            let id = id.clone();
            tokio::spawn(async move { merger.apply(&id, &[("t1", "new")], Strategy::Merge).await.unwrap() })
        };
        delete.await.unwrap();
        let merged = merge.await.unwrap();
        let left = world.all().await;
        match merged.created {
            true => assert_eq!(left.iter().map(texts).collect::<Vec<_>>(), [vec![("t1", "new")]]),
            false => assert!(left.is_empty(), "it was merged with what the Delete took: {left:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_a_power_cut_and_a_clean_stop() {
    let mut world = World::new().await;
    let large = "x".repeat(5 << 20);
    world.apply("a", &[("t0", "1"), ("t1", "2")], Strategy::Merge).await.unwrap();
    world.apply("a", &[("t1", "3")], Strategy::Merge).await.unwrap();
    world.apply("large", &[("t0", &large)], Strategy::Merge).await.unwrap();
    world.apply("gone", &[("t0", "1")], Strategy::Merge).await.unwrap();
    world.delete("gone").await.unwrap();
    let before = world.all().await;
    assert_eq!(before.iter().map(|property| property.id.as_str()).collect::<Vec<_>>(), ["a", "large"]);
    assert_eq!(texts(&before[0]), [("t1", "3"), ("t0", "1")]);
    assert!(texts(&before[1]) == [("t0", large.as_str())]);
    for policy in [CrashPolicy::Nothing, CrashPolicy::Everything] {
        let after_cut = World::over(Arc::new(world.disk.crash_image(policy))).await;
        assert!(after_cut.all().await == before, "after a cut that kept {policy:?}");
        after_cut.engine.close().unwrap();
    }
    for _ in 0..2 {
        world.engine.close().unwrap();
        world = World::over(Arc::new(world.disk.crash_image(CrashPolicy::Everything))).await;
        assert!(world.all().await == before, "after a clean stop");
    }
    let merged = world.apply("a", &[("t2", "4")], Strategy::Merge).await.unwrap();
    assert_eq!((merged.created, merged.tags_num), (false, 3));
    assert!(world.apply("gone", &[("t0", "2")], Strategy::Merge).await.unwrap().created);
}

#[tokio::test]
async fn revisions_grow_when_the_clock_steps_back_even_over_a_restart() {
    let mut world = World::new().await;
    world.clock.set(9_000_000);
    world.apply("a", &[("t0", "1")], Strategy::Merge).await.unwrap();
    assert_eq!(revisions(&world.all().await[0]), (9_000_000, 9_000_000));
    world.engine.close().unwrap();
    // The clock of the next process starts at 1,000,000.
    world = World::over(Arc::new(world.disk.crash_image(CrashPolicy::Everything))).await;
    world.apply("a", &[("t0", "2")], Strategy::Merge).await.unwrap();
    let stored = world.all().await.remove(0);
    assert_eq!((revisions(&stored), texts(&stored)), ((9_000_000, 9_000_001), vec![("t0", "2")]));
    world.clock.set(5);
    world.delete("a").await.unwrap();
    assert!(world.all().await.is_empty(), "a Delete hides what has a greater time");
    assert!(world.apply("a", &[("t0", "3")], Strategy::Merge).await.unwrap().created);
    let stored = world.all().await.remove(0);
    assert_eq!(texts(&stored), [("t0", "3")]);
    assert_eq!(stored.updated_at.as_ref().map(|t| (t.seconds, t.nanos)), Some((0, 9_000_003)));
}

#[tokio::test]
async fn a_delete_without_id_takes_more_than_one_batch() {
    let world = World::new().await;
    let count = super::changes::DELETES_PER_BATCH + 7;
    let tasks = (0..count).map(|i| application(&i.to_string(), &[("t0", "x")], Strategy::Merge));
    let applied: Vec<_> = tasks
        .map(|request| {
            let changes = world.changes.clone();
            tokio::spawn(async move { changes.apply(request).await })
        })
        .collect();
    for task in applied {
        assert!(task.await.unwrap().unwrap().created);
    }
    assert_eq!(world.all().await.len(), count);
    world.delete("").await.unwrap();
    assert!(world.all().await.is_empty());
    world.delete("").await.unwrap();
}

#[tokio::test]
async fn a_change_goes_on_when_its_caller_goes_away() {
    let world = World::new().await;
    let (changes, requests) = (world.changes.clone(), 0..50);
    for i in requests {
        let mut call =
            Box::pin(changes.apply(application("a", &[(&format!("t{}", i % TAGS), "v")], Strategy::Merge)));
        // One look at the call starts the change; then its caller is gone.
        let _ = poll_once(&mut call).await;
        drop(call);
    }
    // The next change waits for all of them.
    let last = world.apply("a", &[("t0", "v")], Strategy::Merge).await.unwrap();
    assert!(!last.created);
    assert_eq!(world.all().await[0].tags.len(), last.tags_num as usize);
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_ready())
    })
    .await
}

#[tokio::test]
async fn refusals_have_the_codes_and_texts_of_the_protocol() {
    let world = World::new().await;
    let mut measures = group("m", Catalog::Stream);
    let days = |num| {
        Some(crate::api::common::IntervalRule {
            unit: crate::api::common::interval_rule::Unit::Day as i32,
            num,
        })
    };
    let options =
        ResourceOpts { shard_num: 1, segment_interval: days(1), ttl: days(7), ..Default::default() };
    measures.resource_opts = Some(options);
    world.registry.create_group(measures).await.unwrap();
    let with = |group: &str, name: &str, tags: Vec<Tag>| {
        let metadata = Metadata { group: group.into(), name: name.into(), ..Metadata::default() };
        let property = Property { metadata: Some(metadata), id: "1".into(), tags, updated_at: None };
        ApplyRequest { property: Some(property), strategy: 0 }
    };
    let one = || vec![tag("t0", "x")];
    let untyped = Tag { key: "t0".into(), value: Some(TagValue { value: None }) };
    let many = (0..=TAGS).map(|_| tag("t0", "x")).collect();
    let number = Value::Int(crate::api::model::Int { value: 1 });
    let mistyped = Tag { key: "t0".into(), value: Some(TagValue { value: Some(number) }) };
    let cases = [
        (with("", "p", one()), Code::InvalidArgument, "group and name"),
        (with("g", "", one()), Code::InvalidArgument, "group and name"),
        (with("g", "p", vec![]), Code::InvalidArgument, "Tags"),
        (with("g", "p", vec![untyped]), Code::InvalidArgument, "has no value"),
        (with("x", "p", one()), Code::Unknown, "group x not found"),
        (with("m", "p", one()), Code::Unknown, "group m is not allowed to have properties"),
        (with("g", "q", one()), Code::NotFound, "banyandb: resource not found"),
        (with("g", "p", many), Code::Unknown, "property p tags count mismatch"),
        (with("g", "p", vec![tag("u", "x")]), Code::Unknown, "property p tag u not found"),
        (with("g", "p", vec![mistyped]), Code::Unknown, "property p tag t0 type mismatch"),
    ];
    for (request, code, text) in cases {
        let status = world.changes.apply(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(text), "{status}");
    }
    assert!(world.all().await.is_empty());
}

#[tokio::test]
async fn a_deleted_group_takes_its_documents_along() {
    let world = World::new().await;
    world.apply("a", &[("t0", "1")], Strategy::Merge).await.unwrap();
    let delete = DeleteGroup { group: "g".into(), dry_run: false, force: true, data_only: false };
    world.registry.delete_group(delete).await.unwrap();
    let status = world.apply("a", &[("t0", "1")], Strategy::Merge).await.unwrap_err();
    assert!(matches!(status.code(), Code::FailedPrecondition | Code::Unknown), "{status}");
    while world.registry.group("g").is_some() {
        tokio::task::yield_now().await;
    }
    world.registry.create_group(group("g", Catalog::Property)).await.unwrap();
    assert!(world.all().await.is_empty());
}
