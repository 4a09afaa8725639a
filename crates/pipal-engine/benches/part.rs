//! Writing and reading parts: rows per second, point reads, and the shape of a metrics group, in which a part
//! holds a few dozen rows of each of 1,800 measures.
//!
//! `cargo bench -p pipal-engine --bench part` prints sizes first, then times.

#![allow(clippy::expect_used, missing_docs)]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pipal_codec::Effort;
use pipal_engine::cache::BlockCache;
use pipal_engine::fs::{FileSystem, OsFileSystem};
use pipal_engine::part::{Part, PartIdentity, PartWriter, temporary_part_path};
use pipal_engine::rows::{
    EntitySelector, ReadLimit, ReadRequest, ReadStats, ResourceHead, ResourceKey, RowBatch, RowKind,
    RowSource, SeriesCursor,
};
use pipal_model::{ColumnKey, ColumnType, RowPolicy, TimeRange, ValueRef};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

const MINUTE: i64 = 60_000_000_000;
const START: i64 = 1_780_000_000_000_000_000 / MINUTE * MINUTE;
const MEASURES: usize = 5547;
const MEASURES_PER_PART: usize = 1800;
const PARTS: usize = 20;
const ROWS_PER_MEASURE: usize = 36;
const ENTITIES: usize = 15_000;
const CACHE_BYTES: u64 = 512 << 20;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// 65 characters: a service of which there are 300, and an instance or endpoint in it, as a client encodes them.
fn entities() -> Vec<Vec<u8>> {
    let mut random = Random(1);
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = |n: usize| -> String { (0..n).map(|_| char::from(alphabet[random.below(64)])).collect() };
    let services: Vec<String> = (0..300).map(|_| text(28)).collect();
    let mut list: Vec<Vec<u8>> =
        (0..ENTITIES).map(|i| format!("\u{1}{}.1_{}|", services[i % 300], text(34)).into_bytes()).collect();
    list.sort();
    list
}

fn head(measure: usize) -> ResourceHead {
    let column = |family: &str, name: &str, ty| ColumnKey { family: family.into(), name: name.into(), ty };
    let mut columns: Vec<ColumnKey> =
        (0..5).map(|i| column("default", &format!("attr{i}"), ColumnType::Str)).collect();
    columns.push(column("default", "service_id", ColumnType::Str));
    columns.extend(["value", "count", "summation"].map(|name| column("", name, ColumnType::Int)));
    columns.extend(["entity_id", "layer"].map(|name| column("searchable", name, ColumnType::Str)));
    columns.push(column("storage-only", "time_bucket", ColumnType::Int));
    columns.sort();
    let key = ResourceKey { kind: RowKind::Data, name: format!("meter_metric_{measure:05}_minute").into() };
    ResourceHead::new(key, RowPolicy::Versioned, columns.into())
}

/// Rows of one measure: entity numbers, each with `minutes` rows.
fn rows(
    random: &mut Random,
    head: &ResourceHead,
    entities: usize,
    first_minute: i64,
    minutes: i64,
) -> RowBatch {
    let mut batch = RowBatch::new(&head.columns);
    for _ in 0..entities {
        for minute in first_minute..first_minute + minutes {
            batch.times.push(START + minute * MINUTE);
            // A client sends the clock of its process, which advances while it builds a request.
            batch.versions.push(77_000_000_000 + minute * MINUTE + random.below(2_000_000_000) as i64);
            let value = 1 << random.below(14);
            let count = 1 + random.below(30) as i64;
            for (column, key) in batch.columns.iter_mut().zip(head.columns.iter()) {
                column.push(match &*key.name {
                    "value" => ValueRef::Int(value + random.below(100) as i64),
                    "count" => ValueRef::Int(count),
                    "summation" => ValueRef::Int((value + 13) * count),
                    "layer" => ValueRef::Str(b"GENERAL"),
                    _ => ValueRef::Null,
                });
            }
        }
    }
    batch
}

fn writer(fs: &Arc<dyn FileSystem>, path: &Path, effort: Effort) -> PartWriter {
    PartWriter::create(fs, path, PartIdentity::default(), effort).expect("create")
}

/// Entities of a measure, ascending and distinct.
fn pick<'a>(random: &mut Random, entities: &'a [Vec<u8>], count: usize) -> Vec<&'a [u8]> {
    let mut numbers: Vec<usize> = (0..count).map(|_| random.below(entities.len())).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.into_iter().map(|n| &entities[n][..]).collect()
}

type Batch<'a> = (ResourceHead, Vec<(&'a [u8], u32)>, RowBatch);

fn metrics_part<'a>(seed: u64, minute: i64, entities: &'a [Vec<u8>]) -> Vec<Batch<'a>> {
    let mut random = Random(seed);
    let mut measures: Vec<usize> = (0..MEASURES).collect();
    for i in 0..MEASURES_PER_PART {
        measures.swap(i, i + random.below(MEASURES - i));
    }
    measures.truncate(MEASURES_PER_PART);
    // Measure 0 is the one that is read back.
    measures[0] = 0;
    measures.sort_unstable();
    measures.dedup();
    let batch = |measure: usize| {
        let head = head(measure);
        let mut picked = pick(&mut random, entities, ROWS_PER_MEASURE);
        if measure == 0 && !picked.contains(&&entities[777][..]) {
            picked.push(&entities[777]);
            picked.sort_unstable();
        }
        let rows = rows(&mut random, &head, picked.len(), minute, 1);
        (head, picked.into_iter().map(|entity| (entity, 1)).collect(), rows)
    };
    measures.into_iter().map(batch).collect()
}

fn write(fs: &Arc<dyn FileSystem>, path: &Path, batches: &[Batch<'_>], effort: Effort) -> u64 {
    let mut writer = writer(fs, path, effort);
    for (head, series, rows) in batches {
        writer.append(head, series, rows).expect("append");
    }
    writer.finish().expect("finish").file_bytes
}

fn open(fs: &Arc<dyn FileSystem>, path: &Path, number: u64, cache: &Arc<BlockCache>) -> Part {
    fs.rename(&temporary_part_path(path), path).expect("rename");
    Part::open(fs, path, number, Arc::clone(cache)).expect("open")
}

fn describe(title: &str, part: &Part) {
    let rows = part.summary().total_rows() as f64;
    println!("{title}: {rows} rows, {:.2} bytes per row", part.file_bytes() as f64 / rows);
    let description = part.describe();
    for section in &description.sections {
        println!(
            "  section {:<12} {:>9} bytes {:>6.2} per row",
            section.name,
            section.length,
            section.length as f64 / rows
        );
    }
    for region in &description.regions {
        println!(
            "  region  {:<18} {:>9} bytes {:>6.2} per row",
            region.name,
            region.bytes,
            region.bytes as f64 / rows
        );
    }
}

/// Reads one field of one series over an hour; gives the number of rows.
fn point_read(part: &Part, head: &ResourceHead, selector: &EntitySelector, field: &[ColumnKey]) -> usize {
    let list = part.series(&head.key, selector).expect("series");
    let mut out = RowBatch::new(field);
    let time = TimeRange { begin: START, end: START + 60 * MINUTE - 1 };
    let request = ReadRequest { key: &head.key, time, columns: field, rows: None, limit: ReadLimit::NONE };
    let (mut cursor, mut given, mut stats) = (SeriesCursor::whole(&list), Vec::new(), ReadStats::default());
    part.read(&request, &list, &mut cursor, &mut out, &mut given, &mut stats).expect("read");
    out.len()
}

fn field_of(head: &ResourceHead) -> Vec<ColumnKey> {
    head.columns.iter().filter(|column| &*column.name == "value").cloned().collect()
}

fn metrics(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("directory");
    let fs: Arc<dyn FileSystem> = Arc::new(OsFileSystem);
    let entities = entities();
    let cache = Arc::new(BlockCache::new(CACHE_BYTES));
    let mut parts = Vec::new();
    for number in 0..PARTS {
        let path = directory.path().join(format!("{number:016x}"));
        let batches = metrics_part(number as u64, number as i64, &entities);
        write(&fs, &path, &batches, Effort::Fast);
        parts.push(open(&fs, &path, number as u64, &cache));
    }
    describe("metrics, flushed", &parts[0]);
    let batches = metrics_part(0, 0, &entities);
    let merged = directory.path().join("merged");
    write(&fs, &merged, &batches, Effort::Thorough);
    describe("metrics, as a merge writes", &open(&fs, &merged, 99, &cache));

    let head = head(0);
    let selector = EntitySelector::Exact(vec![entities[777].clone()]);
    let field = field_of(&head);
    let mut group = criterion.benchmark_group("metrics");
    let rows: usize = batches.iter().map(|(_, _, rows)| rows.len()).sum();
    group.throughput(Throughput::Elements(rows as u64));
    group.sample_size(20);
    for (name, effort) in [("write, flush", Effort::Fast), ("write, merge", Effort::Thorough)] {
        group.bench_function(name, |b| {
            b.iter(|| write(&fs, &directory.path().join("bench"), &batches, effort))
        });
    }
    group.throughput(Throughput::Elements(1));
    let read_all = || parts.iter().map(|part| point_read(part, &head, &selector, &field)).sum::<usize>();
    assert_eq!(read_all(), PARTS);
    group.bench_function("one series of 20 parts, warm", |b| b.iter(|| black_box(read_all())));
    group.bench_function("one series of 20 parts, cold", |b| {
        b.iter_batched(|| cache.clear(), |()| black_box(read_all()), BatchSize::PerIteration)
    });
    group.bench_function("one series of 1 part, warm", |b| {
        b.iter(|| black_box(point_read(&parts[0], &head, &selector, &field)))
    });
    let all =
        || parts.iter().map(|part| point_read(part, &head, &EntitySelector::All, &field)).sum::<usize>();
    group.bench_function("all series of one measure of 20 parts, warm", |b| b.iter(|| black_box(all())));
    group.bench_function("open", |b| {
        b.iter(|| Part::open(&fs, parts[0].path(), 0, Arc::clone(&cache)).expect("open").file_bytes())
    });
    group.finish();
}

/// A merged day: 1,000 entities of one measure, one row a minute.
fn long_series(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("directory");
    let fs: Arc<dyn FileSystem> = Arc::new(OsFileSystem);
    let cache = Arc::new(BlockCache::new(CACHE_BYTES));
    let entities = entities();
    let head = head(0);
    let mut random = Random(5);
    let batches: Vec<Batch<'_>> = entities[..1000]
        .chunks(5)
        .map(|five| {
            let rows = rows(&mut random, &head, five.len(), 0, 1440);
            (head.clone(), five.iter().map(|entity| (&entity[..], 1440)).collect(), rows)
        })
        .collect();
    let path = directory.path().join("day");
    write(&fs, &path, &batches, Effort::Thorough);
    let part = open(&fs, &path, 1, &cache);
    describe("a day of 1,000 series", &part);
    let field = field_of(&head);
    let mut group = criterion.benchmark_group("day");
    group.sample_size(10);
    group.throughput(Throughput::Elements(1_440_000));
    for (name, effort) in [("write, flush", Effort::Fast), ("write, merge", Effort::Thorough)] {
        group.bench_function(name, |b| {
            b.iter(|| write(&fs, &directory.path().join("bench"), &batches, effort))
        });
    }
    group.bench_function("verify", |b| b.iter(|| part.verify().expect("verify")));
    group.throughput(Throughput::Elements(60));
    let one = EntitySelector::Exact(vec![entities[500].clone()]);
    group
        .bench_function("an hour of one series, warm", |b| b.iter(|| point_read(&part, &head, &one, &field)));
    group.throughput(Throughput::Elements(60_000));
    group.bench_function("an hour of all series, warm", |b| {
        b.iter(|| point_read(&part, &head, &EntitySelector::All, &field))
    });
    group.finish();
}

criterion_group!(benches, metrics, long_series);
criterion_main!(benches);
