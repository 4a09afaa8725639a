//! Searches that may look at every row, against all spans.

use super::*;
use crate::expression::Join;
use crate::row_filter::{RowLeaf, RowTest};
use pipal_engine::fs::SimulatedFileSystem;
use pipal_engine::rows::{ResourceKey, RowKind};
use pipal_engine::{
    Engine, EngineOptions, GroupOptions, ManualClock, Route, Row, SegmentSnapshot, TableKey, WriteBatch,
};
use pipal_model::time::DAY_NANOS;
use pipal_model::{
    ColumnDef, ColumnKey, ColumnType, Interval, IntervalUnit, Layout, MemoryLedger, OrderKey, Orders,
    RowPolicy, Share, TimeRange, Value, ValueRef,
};
use std::path::Path;
use std::sync::Arc;

const SPANS: i64 = 3000;
const NEEDED: usize = 7;

struct Span {
    id: String,
    service: String,
    endpoint: String,
    latency: i64,
}

fn spans() -> Vec<Span> {
    let span = |i: i64| Span {
        id: format!("{:05}", i * 7919 % 1000),
        service: format!("s{}", i % 5),
        endpoint: format!("/{}", i % 37),
        latency: i * 104_729 % 500,
    };
    (0..SPANS).map(span).collect()
}

fn column(name: &str, ty: ColumnType) -> ColumnKey {
    ColumnKey { family: "t".into(), name: name.into(), ty }
}

fn latency() -> OrderKey {
    OrderKey::Column(column("latency", ColumnType::Int))
}

/// Whether a span is accepted.
type Accepts = fn(&Span) -> bool;

/// The segment of a flushed part with all spans.
fn flushed(spans: &[Span]) -> SegmentSnapshot {
    let keys = ["service", "endpoint"].map(|name| column(name, ColumnType::Str));
    let columns: Vec<ColumnDef> =
        keys.iter().cloned().chain([column("latency", ColumnType::Int)]).map(ColumnDef::plain).collect();
    let orders = Orders::new(vec![keys[0].clone()], vec![latency()]);
    let layout = Arc::new(Layout::ordered("segment", RowPolicy::Collapse, columns, orders));
    let now = 20_000 * DAY_NANOS;
    let options = EngineOptions { background: false, ..EngineOptions::default() };
    let disk = Arc::new(SimulatedFileSystem::new());
    let (engine, _) =
        Engine::open(disk, Arc::new(ManualClock::new(now)), Path::new("/data"), options).unwrap();
    let segment_interval = Some(Interval { unit: IntervalUnit::Day, num: 1 });
    engine.put_group(1, GroupOptions { segment_interval, ttl: None, shard_num: 1 }).unwrap();
    let Route::Segment(segment) = engine.route(1, now).unwrap() else { panic!("the segment is not expired") };
    let mut batch = WriteBatch::new();
    for (span, i) in spans.iter().zip(0..) {
        let values = [
            ValueRef::Str(span.service.as_bytes()),
            ValueRef::Str(span.endpoint.as_bytes()),
            ValueRef::Int(span.latency),
        ];
        let entity = super::super::find::entity_of(span.id.as_bytes());
        let row = Row { entity: &entity, time: now + i, version: 0, deleted: false, values: &values };
        batch.push(TableKey { group: 1, segment, shard: 0 }, &layout, &row).unwrap();
    }
    engine.commit_blocking(batch).unwrap();
    engine.flush().unwrap();
    engine.snapshot(1, TimeRange::ALL).unwrap().segments.remove(0)
}

fn equals(name: &str, value: &str) -> RowFilter {
    let test = RowTest::equal(Value::Str(value.as_bytes().to_vec()));
    RowFilter::of_leaf(RowLeaf { column: Some(column(name, ColumnType::Str)), test })
}

#[test]
fn a_search_finds_the_best_traces_of_all_spans() {
    let spans = spans();
    let segment = flushed(&spans);
    let source = &segment.tables[0].sources()[0];
    let key = ResourceKey { kind: RowKind::Data, name: "segment".into() };
    let companion = source.companion(&key, &latency()).unwrap().unwrap();
    let (cancel, memory) = (CancelToken::default(), MemoryLedger::unlimited().share(Share::Queries, 1 << 20));
    let budget = Budget::new(&memory, 1 << 20);
    let either = equals("service", "s1").join(Join::Or, equals("endpoint", "/9"));
    let both = equals("service", "s1").join(Join::And, equals("endpoint", "/9"));
    // The last one says whether rows have to be read.
    let cases: [(RowFilter, Accepts, bool); 5] = [
        (RowFilter::default(), |_| true, false),
        (equals("service", "s1"), |span| span.service == "s1", false),
        (equals("endpoint", "/9"), |span| span.endpoint == "/9", true),
        (both, |span| span.service == "s1" && span.endpoint == "/9", true),
        (either, |span| span.service == "s1" || span.endpoint == "/9", true),
    ];
    for (filter, accepts, reads) in &cases {
        for descending in [false, true] {
            for keys in [(i64::MIN, i64::MAX), (100, 300)] {
                let search = CompanionSearch {
                    companion: &companion,
                    filter,
                    group: 3,
                    descending,
                    keys,
                    looks_max: u64::MAX,
                    cancel: &cancel,
                    budget: &budget,
                };
                let (mut best, mut read) = (Best::new(NEEDED, descending), 0);
                assert_eq!(search.run(NEEDED, &mut best, &mut read).unwrap(), Searched::Done);
                let mut expected = Best::new(NEEDED, descending);
                for span in spans.iter().filter(|span| accepts(span)) {
                    if (keys.0..=keys.1).contains(&span.latency) {
                        expected.offer(span.latency, span.id.as_bytes(), 3);
                    }
                }
                assert_eq!(best.finish(), expected.finish(), "{filter:?} {descending} {keys:?}");
                assert_eq!(read > 0, *reads, "{filter:?}: {read} rows were read");
                let little = CompanionSearch { looks_max: 2 * NEEDED as u64 + 2, ..search };
                let mut best = Best::new(NEEDED, descending);
                let searched = little.run(NEEDED, &mut best, &mut 0).unwrap();
                assert!(searched == Searched::Scan || !*reads, "a filter that reads rows is given up");
            }
        }
    }
}
