//! A registry over a store and a storage in memory, and short ways to write schema objects, for tests.

use super::*;
use crate::api::common::{Catalog, Group, IntervalRule, Metadata, ResourceOpts, interval_rule::Unit};
use crate::api::database::{
    CompressionMethod, Entity, FieldSpec, FieldType, IndexRule, IndexRuleBinding, Measure, Subject,
    TagFamilySpec, TagSpec, TagType, index_rule,
};
use parking_lot::Mutex;
use pipal_engine::clock::ManualClock;
use pipal_engine::{GroupData, GroupId, GroupOptions, SegmentBounds, SegmentData, ShardData};
use pipal_model::{MemoryLedger, Result as EngineResult, Share};
use std::collections::BTreeMap;

/// Some day of the year 2026.
pub const NOW: i64 = 1_790_000_000_000_000_000;

/// Groups without rows, which remember what was asked of them.
#[derive(Default)]
pub struct FakeGroups {
    groups: Mutex<BTreeMap<GroupId, FakeGroup>>,
    /// Drops that wait to be let go, when they are held.
    held: Mutex<Option<Vec<Completion>>>,
}

#[derive(Clone, Debug, Default)]
pub struct FakeGroup {
    pub options: Option<GroupOptions>,
    pub closed: bool,
    pub dropped: bool,
    pub bytes: u64,
}

impl FakeGroups {
    pub fn of(&self, id: GroupId) -> FakeGroup {
        self.groups.lock().get(&id).cloned().unwrap_or_default()
    }

    pub fn fill(&self, id: GroupId, bytes: u64) {
        self.groups.lock().entry(id).or_default().bytes = bytes;
    }

    pub fn hold_drops(&self) {
        *self.held.lock() = Some(Vec::new());
    }

    pub fn held_drops(&self) -> usize {
        self.held.lock().as_ref().map_or(0, Vec::len)
    }
}

impl GroupStorage for FakeGroups {
    fn put_group(&self, id: GroupId, options: GroupOptions) -> EngineResult<()> {
        self.groups.lock().entry(id).or_default().options = Some(options);
        Ok(())
    }

    fn unknown_groups(&self, _live: &[GroupId]) -> Vec<GroupId> {
        Vec::new()
    }

    fn close_gate(&self, id: GroupId, done: Completion) {
        self.groups.lock().entry(id).or_default().closed = true;
        done(Ok(()));
    }

    fn drop_group(&self, id: GroupId, done: Completion) {
        if let Some(held) = self.held.lock().as_mut() {
            return held.push(done);
        }
        self.groups.lock().entry(id).or_default().dropped = true;
        done(Ok(()));
    }

    fn group_data(&self, id: GroupId) -> EngineResult<GroupData> {
        let bytes = self.of(id).bytes;
        let shard = ShardData { bytes, rows: bytes, ..ShardData::default() };
        let segment = SegmentData { bounds: SegmentBounds { start: 0, end: 1 }, shards: vec![shard] };
        Ok(GroupData { segments: if bytes > 0 { vec![segment] } else { Vec::new() } })
    }
}

/// A registry with what is below it.
pub struct World {
    pub store: Arc<MemoryStore>,
    pub groups: Arc<FakeGroups>,
    pub clock: Arc<ManualClock>,
    pub registry: Registry,
    /// Memory of schema objects.
    pub memory: Arc<MemoryPool>,
}

impl World {
    pub async fn new() -> Self {
        Self::over(Arc::default(), Arc::default(), NOW).await
    }

    pub async fn over(store: Arc<MemoryStore>, groups: Arc<FakeGroups>, now: i64) -> Self {
        Self::within(usize::MAX, store, groups, now).await
    }

    /// A registry whose objects may have so many bytes.
    pub async fn within(bytes: usize, store: Arc<MemoryStore>, groups: Arc<FakeGroups>, now: i64) -> Self {
        let clock = Arc::new(ManualClock::new(now));
        let memory = MemoryLedger::unlimited().share(Share::Schemas, bytes);
        let opened = Registry::open(store.clone(), groups.clone(), clock.clone(), memory.clone()).await;
        World { store, groups, clock, registry: opened.unwrap(), memory }
    }

    /// The registry of the next process over what this one has stored.
    pub async fn restarted(&self) -> Self {
        Self::over(self.store.clone(), self.groups.clone(), self.clock_now()).await
    }

    pub fn clock_now(&self) -> i64 {
        pipal_engine::clock::Clock::now(&*self.clock)
    }

    pub fn measure(&self, group: &str, name: &str) -> Option<Arc<Measure>> {
        self.registry.get::<Measure>(group, name)
    }
}

/// Waits for background work by looking at its effect.
pub async fn eventually(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), wait).await.expect("it never came to hold");
}

pub fn metadata(group: &str, name: &str) -> Option<Metadata> {
    Some(Metadata { group: group.into(), name: name.into(), ..Metadata::default() })
}

pub fn group_of(name: &str, catalog: Catalog) -> Group {
    let days = |num| Some(IntervalRule { unit: Unit::Day as i32, num });
    let options =
        ResourceOpts { shard_num: 2, segment_interval: days(1), ttl: days(7), ..ResourceOpts::default() };
    Group {
        metadata: metadata("", name),
        catalog: catalog as i32,
        resource_opts: Some(options),
        ..Group::default()
    }
}

pub fn measure_group(name: &str) -> Group {
    group_of(name, Catalog::Measure)
}

pub fn measure_of(group: &str, name: &str, tags: &[&str]) -> Measure {
    let tag = |name: &&str| TagSpec { name: (*name).into(), r#type: TagType::String as i32 };
    let family = TagFamilySpec { name: "default".into(), tags: tags.iter().map(tag).collect() };
    let total = FieldSpec {
        name: "total".into(),
        field_type: FieldType::Int as i32,
        compression_method: CompressionMethod::Zstd as i32,
        ..FieldSpec::default()
    };
    Measure {
        metadata: metadata(group, name),
        tag_families: vec![family],
        fields: vec![total],
        entity: Some(Entity { tag_names: vec![tags[0].into()] }),
        interval: "1m".into(),
        ..Measure::default()
    }
}

pub fn rule_of(group: &str, name: &str, tag: &str) -> IndexRule {
    IndexRule {
        metadata: metadata(group, name),
        tags: vec![tag.into()],
        r#type: index_rule::Type::Inverted as i32,
        ..IndexRule::default()
    }
}

pub fn binding_of(group: &str, name: &str, rules: &[&str], subject: &str) -> IndexRuleBinding {
    let time = Some(prost_types::Timestamp::default());
    IndexRuleBinding {
        metadata: metadata(group, name),
        rules: rules.iter().map(|rule| (*rule).into()).collect(),
        subject: Some(Subject { catalog: Catalog::Measure as i32, name: subject.into() }),
        begin_at: time,
        expire_at: time,
        ..IndexRuleBinding::default()
    }
}
