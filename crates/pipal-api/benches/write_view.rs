//! Reading a typical measure write: the generated decoder against the view over the bytes.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pipal_api::common::v1::Metadata;
use pipal_api::measure::v1::{DataPointValue, WriteRequest};
use pipal_api::model::v1::{FieldValue, Int, Str, TagFamilyForWrite, TagValue, field_value, tag_value};
use pipal_api::write::{Model, Slot, WriteSlots, WriteView};
use prost::Message;
use prost_types::Timestamp;

/// One minute of a service's response time, as the main client writes it: two tags, three fields.
fn request() -> WriteRequest {
    let text = |value: &str| TagValue { value: Some(tag_value::Value::Str(Str { value: value.into() })) };
    let int = |value| FieldValue { value: Some(field_value::Value::Int(Int { value })) };
    let data_point = DataPointValue {
        timestamp: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        tag_families: vec![TagFamilyForWrite {
            tags: vec![text("202411250301_c2VydmljZS1h.1"), text("c2VydmljZS1h.1")],
        }],
        fields: vec![int(123_456), int(789), int(156)],
        version: 1_700_000_000_123,
    };
    let metadata = Metadata {
        group: "metricsMinute".into(),
        name: "service_resp_time_minute".into(),
        ..Default::default()
    };
    WriteRequest {
        metadata: Some(metadata),
        data_point: Some(data_point),
        message_id: 1_732_503_660_000_000_000,
        data_point_spec: None,
    }
}

fn compare(c: &mut Criterion) {
    let bytes = request().encode_to_vec();
    let mut group = c.benchmark_group("measure write");
    group.throughput(Throughput::Elements(1));
    group.bench_function("generated", |b| {
        b.iter(|| WriteRequest::decode(black_box(bytes.as_slice())).map(|r| r.message_id));
    });
    group.bench_function("view", |b| {
        let mut kept = WriteSlots::default();
        b.iter(|| {
            let mut spare = Vec::new();
            let mut slots = std::mem::take(&mut kept).recycle();
            let view = WriteView::parse(Model::Measure, black_box(&bytes), &mut spare, &mut slots);
            let id = view.map(|v| v.message_id);
            let nulls = slots.fields().iter().filter(|slot| **slot == Slot::Null).count();
            kept = slots.recycle();
            (id, nulls)
        });
    });
    group.finish();
}

criterion_group!(benches, compare);
criterion_main!(benches);
