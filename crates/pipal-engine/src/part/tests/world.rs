//! Rows as plain lists: what parts are compared with.

use crate::cache::BlockCache;
use crate::fs::{FileSystem, SimulatedFileSystem};
use crate::part::{Part, PartIdentity, PartSummary, PartWriter, temporary_part_path};
use crate::rows::{
    EntitySelector, GivenRows, ReadLimit, ReadRequest, ReadStats, ResourceHead, ResourceKey, RowBatch,
    RowKind, RowSource, SeriesCursor,
};
use crate::terms::has_terms;
use pipal_codec::Effort;
use pipal_model::{
    Analyzer, ColumnKey, ColumnType, OrderKey, Orders, Result, RowPolicy, TimeRange, Value, ValueRef,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A small generator of random numbers (SplitMix64), so that one seed replays a failure.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    pub(super) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) entity: Vec<u8>,
    pub(super) time: i64,
    pub(super) version: i64,
    pub(super) deleted: bool,
    pub(super) values: Vec<Value>,
}

#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) head: ResourceHead,
    pub(super) rows: Vec<Row>,
}

/// Sizes of a random world.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) resources: usize,
    pub(super) entities: usize,
    pub(super) rows_per_series: usize,
    pub(super) batch_rows: usize,
}

pub(super) fn key(family: &str, name: &str, ty: ColumnType) -> ColumnKey {
    ColumnKey { family: family.into(), name: name.into(), ty }
}

pub(super) fn all_columns() -> Vec<ColumnKey> {
    use ColumnType::*;
    let mut columns = vec![
        key("", "value", Int),
        key("", "ratio", Float),
        key("", "payload", Binary),
        key("default", "text", Str),
        key("default", "list", StrArray),
        key("default", "numbers", IntArray),
        key("default", "when", Timestamp),
        key("other", "text", Str),
        key("other", "text", Int),
    ];
    columns.sort();
    columns
}

fn random_value(random: &mut Random, ty: ColumnType, mode: usize) -> Value {
    match (mode, random.below(8)) {
        (0, _) => return Value::Absent,
        (1, _) => return Value::Null,
        (2, 0) => return Value::Absent,
        (2, 1) => return Value::Null,
        _ => {}
    }
    let number = match mode {
        3 => 7,
        4 => random.next() as i64,
        _ => random.below(1000) as i64,
    };
    let bytes = format!("value {}", number).into_bytes();
    let bytes = if number % 5 == 0 { Vec::new() } else { bytes };
    match ty {
        ColumnType::Int => Value::Int(number),
        ColumnType::Timestamp => Value::Timestamp(number),
        ColumnType::Float if mode == 4 => Value::Float(f64::from_bits(number as u64)),
        ColumnType::Float => Value::Float(number as f64 / 8.0),
        ColumnType::Str => Value::Str(bytes),
        ColumnType::Binary => Value::Binary(bytes),
        ColumnType::StrArray => {
            let mut list = Vec::new();
            pipal_model::value::encode_str_array([&bytes[..], b""], &mut list);
            Value::StrArray(list)
        }
        ColumnType::IntArray => {
            let mut list = Vec::new();
            pipal_model::value::encode_int_array([number, -1], &mut list);
            Value::IntArray(list)
        }
    }
}

fn random_resource(random: &mut Random, number: usize, pool: &[Vec<u8>], sizes: Sizes) -> Resource {
    let kind = if random.one_in(4) { RowKind::Attribute } else { RowKind::Data };
    let policy = match kind {
        RowKind::Attribute => RowPolicy::Latest,
        RowKind::Data => RowPolicy::from_code(1 + random.below(4) as u8).unwrap(),
    };
    let columns: Vec<ColumnKey> = all_columns().into_iter().filter(|_| !random.one_in(3)).collect();
    let modes: Vec<usize> = columns.iter().map(|_| random.below(6)).collect();
    let base = random.below(1_000_000) as i64 * 1_000_000_000;
    let mut rows = Vec::new();
    let few = random.one_in(2);
    for entity in pool {
        if few && !random.one_in(4) {
            continue;
        }
        let count = if policy.one_row_per_entity() { 1 } else { 1 + random.below(sizes.rows_per_series) };
        let mut time = base + random.below(10) as i64;
        for _ in 0..count {
            let typed = columns.iter().zip(&modes);
            let values = typed.map(|(column, mode)| random_value(random, column.ty, *mode)).collect();
            rows.push(Row {
                entity: entity.clone(),
                time,
                version: if random.one_in(2) { time + 5 } else { random.below(100) as i64 },
                values,
                deleted: policy == RowPolicy::Document && random.one_in(5),
            });
            let step = if policy == RowPolicy::Collapse { random.below(2) } else { 1 + random.below(3) };
            time += step as i64;
        }
    }
    let name = format!("resource_{number}_{}", random.below(3));
    let key = ResourceKey { kind, name: name.into() };
    let indexed = columns.iter().map(|column| has_terms(column.ty) && random.one_in(2)).collect();
    let mut filter = |column: &ColumnKey| {
        let analyzer = Analyzer::from_code(random.below(8) as u8);
        analyzer.filter(|_| has_terms(column.ty))
    };
    let filters = columns.iter().map(&mut filter).collect();
    let orders = Arc::new(random_orders(random, &columns));
    Resource { head: ResourceHead { key, policy, columns: columns.into(), indexed, filters, orders }, rows }
}

/// Orders of half of the resources.
fn random_orders(random: &mut Random, columns: &[ColumnKey]) -> Orders {
    if random.one_in(2) {
        return Orders::default();
    }
    let leading = columns.iter().filter(|_| random.one_in(4)).cloned().collect();
    let mut keys: Vec<OrderKey> = columns.iter().cloned().map(OrderKey::Column).collect();
    keys.push(OrderKey::Time);
    keys.retain(|_| random.one_in(2));
    Orders::new(leading, keys)
}

/// Random resources with at least one row.
pub(super) fn random_world(random: &mut Random, sizes: Sizes) -> Vec<Resource> {
    let mut pool: Vec<Vec<u8>> = (0..sizes.entities.max(1))
        .map(|_| {
            let length = random.below(6);
            let mut entity = if random.one_in(3) { b"a shared prefix of many".to_vec() } else { Vec::new() };
            entity.extend((0..length).map(|_| [0, b'a', b'b', 0xff][random.below(4)]));
            entity.extend_from_slice(random.below(sizes.entities * 4).to_string().as_bytes());
            entity
        })
        .collect();
    pool.sort();
    pool.dedup();
    let mut world: Vec<Resource> =
        (0..sizes.resources.max(1)).map(|number| random_resource(random, number, &pool, sizes)).collect();
    world.retain(|resource| !resource.rows.is_empty());
    if world.is_empty() {
        let mut rows = random_resource(random, 0, &pool, sizes);
        rows.rows = vec![Row {
            entity: Vec::new(),
            time: 1,
            version: 1,
            deleted: false,
            values: rows.head.columns.iter().map(|_| Value::Null).collect(),
        }];
        world.push(rows);
    }
    world.sort_by(|a, b| a.head.key.cmp(&b.head.key));
    world
}

/// Rows as the writer takes them.
pub(super) fn batch_of(head: &ResourceHead, rows: &[Row]) -> RowBatch {
    let mut batch = RowBatch::new(&head.columns);
    for row in rows {
        batch.times.push(row.time);
        batch.versions.push(row.version);
        if rows.iter().any(|row| row.deleted) {
            batch.deleted.push(row.deleted);
        }
        for (column, value) in batch.columns.iter_mut().zip(&row.values) {
            column.push(value.as_ref());
        }
    }
    batch
}

/// Consecutive entities with their rows.
pub(super) fn series_of(rows: &[Row]) -> Vec<(&[u8], u32)> {
    rows.chunk_by(|a, b| a.entity == b.entity).map(|run| (&run[0].entity[..], run.len() as u32)).collect()
}

pub(super) fn identity() -> PartIdentity {
    PartIdentity {
        id: 0x0123_4567_89ab_cdef_0011_2233_4455_6677,
        group: 5,
        segment_start: -10,
        segment_end: 1 << 60,
        shard: 3,
        log_first: 17,
        log_last: 99,
        parents: vec![1, u128::MAX],
    }
}

/// Writes a world as the part `path` and puts it into place. Ordered resources of three rows and more have companions,
/// in pieces of a hundred.
pub(super) fn write(
    fs: &Arc<dyn FileSystem>,
    path: &Path,
    world: &[Resource],
    batch_rows: usize,
    effort: Effort,
) -> Result<PartSummary> {
    let mut writer = PartWriter::create(fs, path, identity(), effort)?;
    writer.set_companion_limits(3, 100);
    for resource in world {
        for rows in resource.rows.chunks(batch_rows.max(1)) {
            writer.append(&resource.head, &series_of(rows), &batch_of(&resource.head, rows))?;
        }
    }
    let summary = writer.finish()?;
    fs.rename(&temporary_part_path(path), path)?;
    Ok(summary)
}

pub(super) fn disk() -> (SimulatedFileSystem, Arc<dyn FileSystem>) {
    let disk = SimulatedFileSystem::new();
    disk.create_dir_all(Path::new("/t")).unwrap();
    (disk.clone(), Arc::new(disk))
}

pub(super) fn part_path() -> PathBuf {
    PathBuf::from("/t/0000000000000001")
}

pub(super) fn open(fs: &Arc<dyn FileSystem>) -> Result<Part> {
    Part::open(fs, &part_path(), 1, Arc::new(BlockCache::new(16 << 20)))
}

/// Writes and opens a world.
pub(super) fn part_of(world: &[Resource], batch_rows: usize, effort: Effort) -> Part {
    let (_, fs) = disk();
    write(&fs, &part_path(), world, batch_rows, effort).unwrap();
    open(&fs).unwrap()
}

/// True when two values are the same bit for bit.
fn same(a: ValueRef<'_>, b: ValueRef<'_>) -> bool {
    match (a, b) {
        (ValueRef::Float(a), ValueRef::Float(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

fn selects(selector: &EntitySelector, entity: &[u8]) -> bool {
    match selector {
        EntitySelector::All => true,
        EntitySelector::Prefix(prefix) => entity.starts_with(prefix),
        EntitySelector::Exact(list) => list.iter().any(|e| e == entity),
    }
}

/// Reads from a source and compares with the plain rows; the error says what differs.
pub(super) fn check_read(
    source: &dyn RowSource,
    resource: &Resource,
    selector: &EntitySelector,
    time: TimeRange,
    columns: &[ColumnKey],
) -> std::result::Result<(), String> {
    let key = &resource.head.key;
    let list = source.series(key, selector).map_err(|e| e.to_string())?;
    let want: Vec<&Row> = resource.rows.iter().filter(|row| selects(selector, &row.entity)).collect();
    let runs: Vec<&[&Row]> = want.chunk_by(|a, b| a.entity == b.entity).collect();
    let want_list: Vec<(&[u8], usize)> = runs.iter().map(|run| (&run[0].entity[..], run.len())).collect();
    let got_list: Vec<(&[u8], usize)> =
        (0..list.len()).map(|i| (list.entity(i), list.rows(i).1 as usize)).collect();
    if want_list != got_list {
        return Err(format!("series {got_list:?} instead of {want_list:?}"));
    }
    let mut out = RowBatch::new(columns);
    let (mut given, mut stats) = (Vec::new(), ReadStats::default());
    // Odd sizes pause inside of series and chunks.
    let limit = if list.len() % 2 == 0 { ReadLimit::NONE } else { ReadLimit { rows: 7, bytes: 100 } };
    let request = ReadRequest { key, time, columns, rows: None, limit };
    let mut cursor = SeriesCursor::whole(&list);
    while !cursor.is_at_end() {
        let before = (out.len(), cursor.position());
        source
            .read(&request, &list, &mut cursor, &mut out, &mut given, &mut stats)
            .map_err(|e| e.to_string())?;
        if out.len() > limit.rows.saturating_add(before.0) || cursor.position() == before.1 {
            return Err(format!("{} rows after {before:?}, and at {:?}", out.len(), cursor.position()));
        }
    }
    let want_given: Vec<GivenRows> = (runs.iter().enumerate())
        .map(|(i, run)| (i as u32, run.iter().filter(|row| time.contains(row.time)).count() as u32))
        .filter(|(_, rows)| *rows > 0)
        .map(|(wanted, rows)| GivenRows { wanted, rows })
        .collect();
    if given != want_given {
        return Err(format!("{given:?} instead of {want_given:?}"));
    }
    let want: Vec<&Row> = want.into_iter().filter(|row| time.contains(row.time)).collect();
    if !out.is_consistent() || out.len() != want.len() || stats.rows != want.len() as u64 {
        return Err(format!("{} rows instead of {}", out.len(), want.len()));
    }
    for (i, row) in want.iter().enumerate() {
        let head = (out.times[i], out.versions[i], out.is_deleted(i));
        if head != (row.time, row.version, row.deleted) {
            return Err(format!("row {i}: {head:?} instead of {row:?}"));
        }
        for (column, key) in out.columns.iter().zip(columns) {
            let place = resource.head.columns.iter().position(|c| c == key);
            let value = place.map_or(ValueRef::Absent, |place| row.values[place].as_ref());
            if !same(column.get(i), value) {
                return Err(format!("row {i}, {key:?}: {:?} instead of {value:?}", column.get(i)));
            }
        }
    }
    Ok(())
}
