//! What the face of measure writes costs per point: from the bytes of a message to a row of the batch, and the reply.
//!
//! The rows go nowhere. A stream of 10,000 points goes to one measure, or alternates between 40 or 1,800 measures
//! with metadata and a spec in every message, the worst that the busiest known client does.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pipal_engine::fs::SimulatedFileSystem;
use pipal_engine::{Engine, EngineOptions, GroupId, ManualClock, Route, WriteBatch};
use pipal_model::{MemoryLedger, Result, Share};
use pipal_server::api::common::{Catalog, Group, IntervalRule, Metadata, ResourceOpts, interval_rule::Unit};
use pipal_server::api::database::{Entity, FieldSpec, FieldType, Measure, TagFamilySpec, TagSpec, TagType};
use pipal_server::api::measure::{self, DataPointSpec, DataPointValue, WriteRequest};
use pipal_server::api::model::{FieldValue, Int, Str, TagFamilyForWrite, TagValue, field_value, tag_value};
use pipal_server::measure::{Committed, RowSink, STREAM_BYTES_MAX, WriteContext};
use pipal_server::metrics::ServerMetrics;
use pipal_server::registry::{EngineGroups, EngineStore, Registry};
use prost::Message;
use prost_types::Timestamp;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio_stream::StreamExt;
use tonic::Status;

const POINTS: usize = 10_000;
const NOW_SECONDS: i64 = 1_768_046_400;

/// Routes like the engine and forgets the rows.
struct Nowhere(Engine);

impl RowSink for Nowhere {
    fn route(&self, group: GroupId, time: i64) -> Result<Route> {
        self.0.route(group, time)
    }

    fn has_room(&self) -> bool {
        true
    }

    fn commit(&self, batch: WriteBatch, done: Committed) {
        black_box(batch.bytes());
        done(Ok(()));
    }
}

async fn context(measures: usize) -> Arc<WriteContext> {
    let clock = Arc::new(ManualClock::new(NOW_SECONDS * 1_000_000_000));
    let options = EngineOptions { background: false, ..EngineOptions::default() };
    let disk = Arc::new(SimulatedFileSystem::new());
    let (engine, _) = Engine::open(disk, clock.clone(), Path::new("/data"), options).unwrap();
    let store = Arc::new(EngineStore::new(engine.clone()));
    let ledger = MemoryLedger::unlimited();
    let (storage, schemas) =
        (Arc::new(EngineGroups(engine.clone())), ledger.share(Share::Schemas, usize::MAX));
    let registry = Registry::open(store, storage, clock, schemas).await.unwrap();
    registry.create_group(group()).await.unwrap();
    for number in 0..measures {
        registry.create(definition(number)).await.unwrap();
    }
    Arc::new(WriteContext {
        registry,
        sink: Arc::new(Nowhere(engine)),
        memory: ledger.share(Share::Streams, STREAM_BYTES_MAX),
        stream_bytes_max: STREAM_BYTES_MAX,
        schema_wait: Duration::ZERO,
        metrics: Arc::new(ServerMetrics::default()),
    })
}

fn metadata(number: usize) -> Option<Metadata> {
    let name = format!("service_resp_time_percentile_{number}_minute");
    Some(Metadata { group: "sw_metricsMinute".into(), name, ..Metadata::default() })
}

fn group() -> Group {
    let days = |num| Some(IntervalRule { unit: Unit::Day as i32, num });
    let resource_opts =
        ResourceOpts { shard_num: 2, segment_interval: days(1), ttl: days(7), ..ResourceOpts::default() };
    let metadata = Some(Metadata { name: "sw_metricsMinute".into(), ..Metadata::default() });
    Group {
        metadata,
        catalog: Catalog::Measure as i32,
        resource_opts: Some(resource_opts),
        ..Group::default()
    }
}

fn definition(number: usize) -> Measure {
    let tag = |name: &str| TagSpec { name: name.into(), r#type: TagType::String as i32 };
    let field = |name: &str| FieldSpec {
        name: name.into(),
        field_type: FieldType::Int as i32,
        encoding_method: 1,
        compression_method: 1,
    };
    Measure {
        metadata: metadata(number),
        tag_families: vec![
            TagFamilySpec { name: "storage-only".into(), tags: vec![tag("entity_id")] },
            TagFamilySpec { name: "searchable".into(), tags: vec![tag("service_id"), tag("attr0")] },
        ],
        entity: Some(Entity { tag_names: vec!["entity_id".into()] }),
        fields: vec![field("total"), field("value")],
        interval: "1m".into(),
        ..Measure::default()
    }
}

/// Messages of `points` points over `measures` measures; a measure that differs from the one before brings metadata
/// and spec.
fn messages(measures: usize) -> Vec<Bytes> {
    let text = |value: String| TagValue { value: Some(tag_value::Value::Str(Str { value })) };
    let int = |value| FieldValue { value: Some(field_value::Value::Int(Int { value })) };
    let spec = DataPointSpec {
        tag_family_spec: vec![
            measure::TagFamilySpec {
                name: "searchable".into(),
                tag_names: vec!["attr0".into(), "service_id".into()],
            },
            measure::TagFamilySpec { name: "storage-only".into(), tag_names: vec!["entity_id".into()] },
        ],
        field_names: vec!["total".into(), "value".into()],
    };
    let message = |point: usize| {
        let entity = format!("c2VydmljZV8{}=.1_aW5zdGFuY2Vf{}=", point % 97, point % 1_009);
        let switches = point == 0 || measures > 1;
        let data_point = DataPointValue {
            timestamp: Some(Timestamp { seconds: NOW_SECONDS - (point % 60) as i64 * 60, nanos: 0 }),
            tag_families: vec![
                TagFamilyForWrite { tags: vec![text("GENERAL".into()), text("c2VydmljZQ==.1".into())] },
                TagFamilyForWrite { tags: vec![text(entity)] },
            ],
            fields: vec![int(point as i64 * 31), int(point as i64)],
            version: 0,
        };
        WriteRequest {
            metadata: metadata(point % measures).filter(|_| switches),
            data_point: Some(data_point),
            message_id: 1_000_000_000 + point as u64,
            data_point_spec: Some(spec.clone()).filter(|_| switches),
        }
    };
    (0..POINTS).map(|point| message(point).encode_to_vec().into()).collect()
}

fn write_streams(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("measure write stream");
    group.throughput(Throughput::Elements(POINTS as u64)).sample_size(20);
    for measures in [1, 40, 1_800] {
        let context = runtime.block_on(context(measures));
        let messages = messages(measures);
        let play = |requests: Vec<std::result::Result<Bytes, Status>>| {
            runtime.block_on(async {
                let mut replies = WriteContext::replies(&context, tokio_stream::iter(requests));
                let mut succeeded = 0;
                while let Some(Ok(reply)) = replies.next().await {
                    succeeded += usize::from(reply.status == "STATUS_SUCCEED");
                }
                assert_eq!(succeeded, POINTS);
            });
        };
        let requests = || messages.iter().cloned().map(Ok).collect();
        group.bench_function(format!("{measures} measures"), |bencher| {
            bencher.iter_batched(requests, play, BatchSize::LargeInput);
        });
    }
    group.finish();
}

criterion_group!(benches, write_streams);
criterion_main!(benches);
