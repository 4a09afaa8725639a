//! The estimate of what a merge holds, against what the writer of the merged part holds.

use super::world::{Resource, Row, batch_of, disk, identity, key, part_path, series_of};
use crate::cache::BlockCache;
use crate::part::{Part, PartWriter, merge_bytes, temporary_part_path};
use crate::rows::{ResourceHead, ResourceKey, RowKind};
use pipal_codec::Effort;
use pipal_model::series::push_entity_value;
use pipal_model::{Analyzer, ColumnType, OrderKey, Orders, RowPolicy, Value, ValueRef};
use std::sync::Arc;

/// Measures over the same entities, as clients write them.
fn world(measures: usize, entities: usize, rows: i64, random: bool, ordered: bool) -> Vec<Resource> {
    let entity = |i: usize| {
        let instance = if random { xxhash_rust::xxh3::xxh3_128(&i.to_le_bytes()) } else { i as u128 };
        let mut entity = Vec::new();
        for text in [format!("service-{}", i / 20), format!("instance-{instance:032x}")] {
            assert!(push_entity_value(ValueRef::Str(text.as_bytes()), &mut entity));
        }
        entity
    };
    let mut entities: Vec<Vec<u8>> = (0..entities).map(entity).collect();
    entities.sort();
    let resource = |number: usize| {
        let name = format!("measure_{number:04}").into();
        let columns = vec![key("", "value", ColumnType::Int), key("t", "name", ColumnType::Str)];
        let mut head = ResourceHead::new(
            ResourceKey { kind: RowKind::Data, name },
            RowPolicy::Versioned,
            columns.into(),
        );
        head.indexed = vec![false, true].into();
        if ordered {
            let keys = vec![OrderKey::Time, OrderKey::Column(head.columns[0].clone())];
            head.orders = Arc::new(Orders::new(vec![head.columns[1].clone()], keys));
        }
        let row = |entity: &Vec<u8>, time: i64| {
            let values = vec![Value::Int(time * 31), Value::Str(entity[..12].to_vec())];
            Row { entity: entity.clone(), time, version: 1, deleted: false, values }
        };
        let rows = entities.iter().flat_map(|entity| (1..=rows).map(move |time| row(entity, time)));
        Resource { head, rows: rows.collect() }
    };
    (0..measures).map(resource).collect()
}

/// Logs with texts of their own, filtered as they are and by their words.
fn logs(rows: usize) -> Vec<Resource> {
    let columns = vec![key("t", "id", ColumnType::Str), key("t", "text", ColumnType::Str)];
    let key = ResourceKey { kind: RowKind::Data, name: "logs".into() };
    let mut head = ResourceHead::new(key, RowPolicy::Collapse, columns.into());
    head.filters = vec![Some(Analyzer::Keyword), Some(Analyzer::Simple)].into();
    let row = |i: usize| {
        let id = xxhash_rust::xxh3::xxh3_128(&i.to_le_bytes());
        let text = format!("order {id:x} of user {:x} failed", id >> 64);
        let values = vec![Value::Str(format!("{id:032x}").into_bytes()), Value::Str(text.into_bytes())];
        let entity = format!("service-{:04}", i / 10).into_bytes();
        Row { entity, time: i as i64, version: 1, deleted: false, values }
    };
    vec![Resource { head, rows: (0..rows).map(row).collect() }]
}

#[test]
fn the_estimate_of_a_merge_covers_what_its_writer_holds_and_not_many_times_that() {
    for (name, resources) in [
        ("many measures", world(200, 300, 1, false, false)),
        ("random entities", world(20, 3_000, 1, true, false)),
        ("entities", world(20, 3_000, 1, false, false)),
        ("rows", world(4, 3_000, 5, false, false)),
        ("one row", world(1, 1, 1, false, false)),
        ("ordered rows", world(2, 3_000, 5, false, true)),
        ("more ordered rows", world(1, 20_000, 9, false, true)),
        ("logs", logs(10_000)),
        ("more logs", logs(60_000)),
    ] {
        let (_disk, fs) = disk();
        let mut writer = PartWriter::create(&fs, &part_path(), identity(), Effort::Fast).unwrap();
        for resource in resources {
            for rows in resource.rows.chunks(1_000) {
                writer.append(&resource.head, &series_of(rows), &batch_of(&resource.head, rows)).unwrap();
            }
        }
        let held = writer.heap_bytes();
        writer.finish().unwrap();
        fs.rename(&temporary_part_path(&part_path()), &part_path()).unwrap();
        let part = Part::open(&fs, &part_path(), 1, Arc::new(BlockCache::new(1 << 20))).unwrap();
        let estimate = merge_bytes([&part]);
        println!("{name}: held {held}, estimated {estimate}");
        // A merge reserves 4 MiB for batches and buffers on top.
        assert!(held < estimate + (4 << 20), "{held} bytes held, {estimate} estimated");
        assert!(estimate < 8 * held, "{held} bytes held, {estimate} estimated");
    }
}
