//! Companions against plain lists of rows.

use super::world::{
    Random, Resource, Row, Sizes, batch_of, disk, identity, key, open, part_of, part_path, random_world,
    series_of, write,
};
use crate::part::companion::{BLOCK_ENTRIES, COMPANION_ROWS_MIN};
use crate::part::{
    Companion, LeadingFilter, OrderedRow, Part, PartWriter, Step, Verdict, WalkRequest, temporary_part_path,
};
use crate::rows::{ReadStats, ResourceHead, ResourceKey, RowKind, RowSource};
use crate::scan::CancelToken;
use pipal_codec::{Column, Effort};
use pipal_model::{ColumnKey, ColumnType, ErrorKind, OrderKey, Orders, RowPolicy, Value, ValueRef};
use proptest::prelude::*;
use std::sync::Arc;

/// The key of a row.
fn key_of(resource: &Resource, row: &Row, by: &OrderKey) -> i64 {
    let OrderKey::Column(column) = by else { return row.time };
    let place = resource.head.columns.iter().position(|known| known == column).unwrap();
    match row.values[place] {
        Value::Int(number) | Value::Timestamp(number) => number,
        _ => 0,
    }
}

/// Judges by the hash of the value of one leading column; knows nothing without it.
#[derive(Clone, Debug)]
struct ByHash(Option<ColumnKey>);

impl ByHash {
    fn verdict(value: ValueRef<'_>) -> Verdict {
        let hash = xxhash_rust::xxh3::xxh3_64(format!("{value:?}").as_bytes());
        [Verdict::No, Verdict::Open, Verdict::Yes][(hash % 3) as usize]
    }

    fn of_row(&self, resource: &Resource, row: &Row) -> Verdict {
        let Some(column) = &self.0 else { return Verdict::Open };
        let place = resource.head.columns.iter().position(|known| known == column).unwrap();
        ByHash::verdict(row.values[place].as_ref())
    }
}

impl LeadingFilter for ByHash {
    fn verdicts(&self, columns: &[ColumnKey], values: &[Column], tuples: usize) -> Vec<Verdict> {
        let place = columns.iter().position(|known| Some(known) == self.0.as_ref());
        let Some(place) = place else { return Vec::new() };
        (0..tuples).map(|tuple| ByHash::verdict(values[place].get(tuple))).collect()
    }
}

/// All rows that a walk gives, taken `most` at a time.
fn walked(
    companion: &Companion<'_>,
    request: WalkRequest,
    filter: &dyn LeadingFilter,
    most: usize,
) -> Vec<OrderedRow> {
    let cancel = CancelToken::default();
    let mut walk = companion.walk(request, filter, &cancel);
    let (mut all, mut rows) = (Vec::new(), Vec::new());
    while walk.next(most, None, &mut rows).unwrap() == Step::Rows {
        assert!(rows.len() <= most);
        all.append(&mut rows);
    }
    all
}

fn naive(
    resource: &Resource,
    first_row: u64,
    by: &OrderKey,
    request: WalkRequest,
    filter: &ByHash,
) -> Vec<OrderedRow> {
    let mut all = Vec::new();
    for (row, number) in resource.rows.iter().zip(first_row..) {
        let (key, verdict) = (key_of(resource, row, by), filter.of_row(resource, row));
        if verdict != Verdict::No && (request.keys.0..=request.keys.1).contains(&key) {
            all.push(OrderedRow { key, row: number, passes: verdict == Verdict::Yes });
        }
    }
    sorted(all, request.descending)
}

/// Rows of equal keys in the order of their numbers.
fn sorted(mut rows: Vec<OrderedRow>, descending: bool) -> Vec<OrderedRow> {
    rows.sort_by_key(|row| (if descending { !row.key } else { row.key }, row.row));
    rows
}

fn check_walks(part: &Part, world: &[Resource], random: &mut Random) -> Result<usize, TestCaseError> {
    let (mut first_row, mut walks) = (0, 0);
    for resource in world {
        let rows = resource.rows.len() as u64;
        for by in resource.head.orders.keys() {
            let Some(companion) = part.companion(&resource.head.key, by).unwrap() else {
                prop_assert!(rows < 3);
                continue;
            };
            let keys: Vec<i64> = resource.rows.iter().map(|row| key_of(resource, row, by)).collect();
            let bounds = (*keys.iter().min().unwrap(), *keys.iter().max().unwrap());
            prop_assert_eq!((companion.bounds(), companion.rows()), (bounds, rows));
            let leading = resource.head.orders.leading();
            let column = (!leading.is_empty()).then(|| leading[random.below(leading.len())].clone());
            let filter = ByHash(column.filter(|_| !random.one_in(4)));
            for descending in [false, true] {
                let edge = |random: &mut Random| keys[random.below(keys.len())];
                let (a, b) = (edge(random), edge(random));
                let ranges = [(i64::MIN, i64::MAX), (a.min(b), a.max(b))];
                for keys in ranges {
                    let request = WalkRequest { descending, keys };
                    let expected = naive(resource, first_row, by, request, &filter);
                    let found = walked(&companion, request, &filter, 1 + random.below(200));
                    let in_order = found.is_sorted_by_key(|row| if descending { !row.key } else { row.key });
                    prop_assert!(in_order);
                    prop_assert_eq!(sorted(found, descending), expected);
                    walks += 1;
                }
            }
            check_rows(&companion, resource, first_row, random)?;
        }
        first_row += rows;
    }
    Ok(walks)
}

/// Single rows and their entities.
fn check_rows(
    companion: &Companion<'_>,
    resource: &Resource,
    first_row: u64,
    random: &mut Random,
) -> Result<(), TestCaseError> {
    let chances = 1 + random.below(20);
    let numbers: Vec<u64> = (0..resource.rows.len() as u64)
        .filter(|_| random.one_in(chances))
        .map(|row| first_row + row)
        .collect();
    let mut wanted: Vec<ColumnKey> = super::world::all_columns();
    wanted.retain(|_| random.one_in(2));
    let columns = companion.read(&numbers, &wanted, &mut ReadStats::default()).unwrap();
    let mut entities = Vec::new();
    companion.entities(&numbers, |at, entity| entities.push((at, entity.to_vec()))).unwrap();
    prop_assert_eq!(entities.len(), numbers.len());
    for (i, number) in numbers.iter().enumerate() {
        let row = &resource.rows[(number - first_row) as usize];
        prop_assert_eq!(&entities[i], &(i, row.entity.clone()));
        for (column, key) in columns.iter().zip(&wanted) {
            let place = resource.head.columns.iter().position(|known| known == key);
            let value = place.map_or(ValueRef::Absent, |place| row.values[place].as_ref());
            prop_assert_eq!(format!("{:?}", column.get(i)), format!("{value:?}"));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_walk_equals_the_sorted_rows(
        seed in any::<u64>(),
        resources in 1usize..8,
        entities in 1usize..150,
        rows_per_series in 1usize..8,
        batch_rows in 1usize..300,
        thorough in any::<bool>(),
    ) {
        let mut random = Random(seed);
        let sizes = Sizes { resources, entities, rows_per_series, batch_rows };
        let world = random_world(&mut random, sizes);
        let part = part_of(&world, batch_rows, if thorough { Effort::Thorough } else { Effort::Fast });
        part.verify().unwrap();
        check_walks(&part, &world, &mut random)?;
    }
}

const SERVICES: usize = 40;

/// Spans in the order of their traces, with durations that are not.
fn spans(count: usize) -> Resource {
    let columns = vec![
        key("t", "duration", ColumnType::Int),
        key("t", "service", ColumnType::Str),
        key("t", "state", ColumnType::Int),
    ];
    let orders = Orders::new(
        vec![columns[1].clone(), columns[2].clone()],
        vec![OrderKey::Column(columns[0].clone()), OrderKey::Time],
    );
    let name = ResourceKey { kind: RowKind::Data, name: "segment".into() };
    let head = ResourceHead {
        orders: Arc::new(orders),
        ..ResourceHead::new(name, RowPolicy::Collapse, columns.into())
    };
    let mut random = Random(3);
    let row = |i: usize| {
        let service = random.below(SERVICES);
        let duration = match random.below(50) {
            0 => Value::Null,
            1 => Value::Absent,
            _ => Value::Int(random.below(1 << 20) as i64 - 100),
        };
        let values =
            vec![duration, Value::Str(format!("service {service}").into()), Value::Int((i % 2) as i64)];
        let time = random.below(1 << 30) as i64 * 1_000_000;
        Row { entity: format!("{:08}", i / 3).into_bytes(), time, version: 0, deleted: false, values }
    };
    let mut rows: Vec<Row> = (0..count).map(row).collect();
    rows.sort_by(|a, b| (&a.entity, a.time).cmp(&(&b.entity, b.time)));
    Resource { head, rows }
}

/// Writes resources with pieces of this many rows.
fn part_with_pieces(world: &[Resource], rows_min: u64, piece_rows_max: usize) -> Part {
    let (_, fs) = disk();
    let mut writer = PartWriter::create(&fs, &part_path(), identity(), Effort::Thorough).unwrap();
    writer.set_companion_limits(rows_min, piece_rows_max);
    for resource in world {
        for rows in resource.rows.chunks(2000) {
            writer.append(&resource.head, &series_of(rows), &batch_of(&resource.head, rows)).unwrap();
        }
    }
    writer.finish().unwrap();
    fs.rename(&temporary_part_path(&part_path()), &part_path()).unwrap();
    open(&fs).unwrap()
}

#[test]
fn pieces_of_several_blocks_are_walked_in_order_and_small() {
    let world = [spans(30_000)];
    let part = part_with_pieces(&world, COMPANION_ROWS_MIN, 3 * BLOCK_ENTRIES + 100);
    part.verify().unwrap();
    assert!(check_walks(&part, &world, &mut Random(8)).unwrap() > 0);
    let description = part.describe();
    let bytes = description.regions.iter().find(|region| &*region.name == "companions").unwrap().bytes;
    // Two orders, of a number of 20 bits, a row of 14 bits and a tuple of 7.
    assert!(bytes < 30_000 * 9, "{} bytes per row", bytes as f64 / 30_000.0);
}

#[test]
fn what_is_beyond_the_worst_wanted_key_is_neither_given_nor_read() {
    let resource = spans(40_000);
    let part = part_with_pieces(std::slice::from_ref(&resource), 1, 10_000);
    let by = &resource.head.orders.keys()[0];
    let companion = part.companion(&resource.head.key, by).unwrap().unwrap();
    let cancel = CancelToken::default();
    let mut keys: Vec<i64> = resource.rows.iter().map(|row| key_of(&resource, row, by)).collect();
    keys.sort_unstable();
    let worst = keys[keys.len() - 100];
    let request = WalkRequest { descending: true, keys: (i64::MIN, i64::MAX) };
    let mut walk = companion.walk(request, &ByHash(None), &cancel);
    let mut rows = Vec::new();
    assert_eq!(walk.next(10, None, &mut rows).unwrap(), Step::Rows);
    let mut found: Vec<i64> = rows.iter().map(|row| row.key).collect();
    while walk.next(7, Some(worst), &mut rows).unwrap() == Step::Rows {
        found.extend(rows.iter().map(|row| row.key));
    }
    keys.reverse();
    keys.retain(|key| *key >= worst);
    assert_eq!(found, keys);
    assert_eq!(walk.next(7, None, &mut rows).unwrap(), Step::End);
}

#[test]
fn a_resource_with_few_rows_and_a_key_that_is_no_order_have_no_companion() {
    let few = COMPANION_ROWS_MIN as usize - 1;
    for (count, expected) in [(few, false), (few + 1, true)] {
        let resource = spans(count);
        let part = part_with_pieces(std::slice::from_ref(&resource), COMPANION_ROWS_MIN, 1 << 17);
        part.verify().unwrap();
        let has = |by: &OrderKey| part.companion(&resource.head.key, by).unwrap().is_some();
        assert_eq!((has(&OrderKey::Time), has(&resource.head.orders.keys()[0])), (expected, expected));
        assert!(!has(&OrderKey::Column(resource.head.columns[2].clone())));
        let other = ResourceKey { name: "other".into(), ..resource.head.key.clone() };
        assert!(part.companion(&other, &OrderKey::Time).unwrap().is_none());
        let head = part.resource(&resource.head.key).unwrap().unwrap();
        assert_eq!(head.orders, resource.head.orders, "a merge builds it when there are more rows");
    }
}

/// Wherever a companion is damaged, a walk that meets the damage says so, and gives no wrong row before.
#[test]
fn a_damaged_companion_is_noticed_and_gives_no_wrong_rows() {
    let (disk, fs) = disk();
    let world = [spans(400)];
    write(&fs, &part_path(), &world, 8000, Effort::Fast).unwrap();
    let resource = &world[0];
    let intact = open(&fs).unwrap();
    let directory = intact.companion_directory().unwrap();
    let section = intact.describe().sections.into_iter().find(|s| s.name == "companions").unwrap();
    let mut places: Vec<u64> = (section.offset..section.offset + section.length).collect();
    for piece in &directory.0 {
        places.extend(piece.head.offset - 300..piece.head.end());
    }
    let bytes = fs.read(&part_path()).unwrap();
    let by = &resource.head.orders.keys()[0];
    let request = WalkRequest { descending: true, keys: (i64::MIN, i64::MAX) };
    let expected = naive(resource, 0, by, request, &ByHash(None));
    let mut unreadable = 0;
    for at in places {
        let mut damaged = bytes.clone();
        damaged[at as usize] ^= 4;
        disk.overwrite(&part_path(), &damaged).unwrap();
        let part = open(&fs).unwrap();
        assert_eq!(part.verify().unwrap_err().kind(), ErrorKind::Corrupt, "byte {at}");
        let Some(companion) = part.companion(&resource.head.key, by).unwrap() else {
            unreadable += 1;
            continue;
        };
        let cancel = CancelToken::default();
        let mut walk = companion.walk(request, &ByHash(None), &cancel);
        let (mut found, mut rows) = (Vec::new(), Vec::new());
        let end = loop {
            match walk.next(50, None, &mut rows).unwrap() {
                Step::Rows => found.append(&mut rows),
                end => break end,
            }
        };
        unreadable += usize::from(end == Step::Unreadable);
        let keys = |rows: &[OrderedRow]| rows.iter().map(|row| row.key).collect::<Vec<_>>();
        assert_eq!(keys(&found), keys(&expected[..found.len()]), "byte {at}");
        assert!(end == Step::Unreadable || found.len() == expected.len(), "byte {at}");
    }
    assert!(unreadable > 300, "{unreadable} damages met");
}

#[test]
fn a_cancelled_walk_ends_with_an_error() {
    let resource = spans(2000);
    let part = part_with_pieces(std::slice::from_ref(&resource), 1, 1 << 17);
    let companion = part.companion(&resource.head.key, &OrderKey::Time).unwrap().unwrap();
    let cancel = CancelToken::default();
    cancel.cancel();
    let request = WalkRequest { descending: false, keys: (i64::MIN, i64::MAX) };
    let error = companion.walk(request, &ByHash(None), &cancel).next(1, None, &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}
