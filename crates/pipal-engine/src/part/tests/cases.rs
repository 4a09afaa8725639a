//! The founding cases of parts and their iteration (seed specification, sections 12 and 14), and the writer's
//! refusals.

use super::world::{
    Resource, Row, batch_of, check_read, disk, identity, key, open, part_of, part_path, series_of, write,
};
use crate::part::PartWriter;
use crate::rows::{
    CHUNK_ROWS_MAX, EntitySelector, ReadLimit, ReadRequest, ReadStats, ResourceHead, ResourceKey, RowBatch,
    RowKind, RowSource, SeriesCursor,
};
use pipal_codec::Effort;
use pipal_model::value::{encode_int_array, encode_str_array};
use pipal_model::{ColumnKey, ColumnType, ErrorKind, RowPolicy, TimeRange, Value};
use std::sync::Arc;

fn head(name: &str, columns: Vec<ColumnKey>) -> ResourceHead {
    let key = ResourceKey { kind: RowKind::Data, name: name.into() };
    ResourceHead::new(key, RowPolicy::Versioned, columns.into())
}

fn row(entity: &[u8], time: i64, values: Vec<Value>) -> Row {
    Row { entity: entity.to_vec(), time, version: 1, deleted: false, values }
}

/// Data set A. The seed numbers series; here a series is an entity of a resource, and since resources have one
/// set of columns, its three series of different shape are three resources.
fn data_set_a() -> Vec<Resource> {
    let (mut texts, mut numbers) = (Vec::new(), Vec::new());
    encode_str_array([&b"value1"[..], b"value2"], &mut texts);
    encode_int_array([25, 30], &mut numbers);
    let columns = vec![
        (key("", "binaryField", ColumnType::Binary), Value::Binary(b"field".to_vec())),
        (key("", "floatField", ColumnType::Float), Value::Float(1.25)),
        (key("", "intField", ColumnType::Int), Value::Int(1110)),
        (key("", "strField", ColumnType::Str), Value::Str(b"field1".to_vec())),
        (key("arrTag", "intArrTag", ColumnType::IntArray), Value::IntArray(numbers)),
        (key("arrTag", "strArrTag", ColumnType::StrArray), Value::StrArray(texts)),
        (key("binaryTag", "binaryTag", ColumnType::Binary), Value::Binary(vec![0, 1, 2])),
        (key("singleTag", "intTag", ColumnType::Int), Value::Int(10)),
        (key("singleTag", "strTag", ColumnType::Str), Value::Str(b"value1".to_vec())),
    ];
    let (keys, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    // Two columns of one name and type in a family must not crash the writer.
    let twin = || key("singleTag", "strTag", ColumnType::Str);
    let twins = || vec![Value::Str(b"tag1".to_vec()), Value::Str(b"tag2".to_vec())];
    let number = |n| vec![Value::Int(n)];
    vec![
        Resource { head: head("s1", keys), rows: vec![row(b"1", 1, values.clone()), row(b"1", 2, values)] },
        Resource {
            head: head("s2", vec![twin(), twin()]),
            rows: vec![row(b"2", 8, twins()), row(b"2", 10, twins())],
        },
        Resource {
            head: head("s3", vec![key("", "intField", ColumnType::Int)]),
            rows: vec![row(b"3", 100, number(1)), row(b"3", 220, number(2))],
        },
    ]
}

fn single_resource(entities: &[(&[u8], &[i64])]) -> Resource {
    let rows = entities
        .iter()
        .flat_map(|(entity, times)| times.iter().map(|&t| row(entity, t, vec![Value::Int(t)])));
    Resource { head: head("m", vec![key("", "v", ColumnType::Int)]), rows: rows.collect() }
}

#[test]
fn pr_1_a_part_without_rows_is_refused_and_leaves_nothing() {
    let (disk, fs) = disk();
    let writer = PartWriter::create(&fs, &part_path(), identity(), Effort::Fast).unwrap();
    assert_eq!(writer.finish().unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(disk.files(), []);
}

#[test]
fn pr_2_a_part_of_one_row() {
    let part = part_of(&[single_resource(&[(b"1", &[1])])], 10, Effort::Fast);
    assert_eq!(part.summary().total_rows(), 1);
    assert_eq!(part.time_range(), Some(TimeRange { begin: 1, end: 1 }));
    assert_eq!(part.to_string(), "part 1");
    part.verify().unwrap();
}

#[test]
fn pr_3_data_set_a_comes_back_with_its_totals() {
    let world = data_set_a();
    let part = part_of(&world, 10, Effort::Fast);
    part.verify().unwrap();
    let summary = part.summary();
    assert_eq!((summary.total_rows(), summary.series, summary.resources), (6, 3, 3));
    assert_eq!(part.time_range(), Some(TimeRange { begin: 1, end: 220 }));
    for resource in &world {
        // Of two columns with one key the first is read, whatever the order of the request.
        let mut columns = resource.head.columns.to_vec();
        columns.dedup();
        check_read(&part, resource, &EntitySelector::All, TimeRange::ALL, &columns).unwrap();
    }
}

#[test]
fn pi_1_to_7_series_are_found_alone_together_and_not_at_all() {
    let resource = single_resource(&[(b"1", &[1, 2]), (b"2", &[8, 10]), (b"3", &[100, 220])]);
    let part = part_of(std::slice::from_ref(&resource), 10, Effort::Fast);
    let time = TimeRange { begin: 1, end: 220 };
    let cases: [&[&[u8]]; 7] =
        [&[b"1", b"2", b"3"], &[], &[b"1"], &[b"1", b"3"], &[b"4"], &[b"4", b"5", b"6"], &[b"1", b"4"]];
    for case in cases {
        let selector = EntitySelector::Exact(case.iter().map(|e| e.to_vec()).collect());
        check_read(&part, &resource, &selector, time, &resource.head.columns).unwrap();
    }
    let unknown = ResourceKey { kind: RowKind::Attribute, name: "m".into() };
    assert!(part.series(&unknown, &EntitySelector::All).unwrap().is_empty());
    assert_eq!(part.resource(&unknown).unwrap(), None);
}

#[test]
fn se_141_a_series_that_spans_many_row_groups_is_returned_completely() {
    let times: Vec<i64> = (0..5 * CHUNK_ROWS_MAX as i64).map(|i| i * i % 7 + i * 10).collect();
    let resource = single_resource(&[(b"a", &[1]), (b"b", &times), (b"c", &[5])]);
    let part = part_of(std::slice::from_ref(&resource), 8192, Effort::Fast);
    assert!(part.summary().row_groups >= 4);
    for (begin, end) in [(i64::MIN, i64::MAX), (0, 0), (1000, 300_000), (81_900, 81_940), (409_000, i64::MAX)]
    {
        let selector = EntitySelector::Exact(vec![b"b".to_vec()]);
        check_read(&part, &resource, &selector, TimeRange { begin, end }, &resource.head.columns).unwrap();
    }
}

#[test]
fn row_groups_outside_of_the_time_range_are_not_read() {
    let times: Vec<i64> = (0..5 * CHUNK_ROWS_MAX as i64).collect();
    let resource = single_resource(&[(b"s", &times)]);
    let part = part_of(std::slice::from_ref(&resource), CHUNK_ROWS_MAX, Effort::Fast);
    let groups = part.summary().row_groups;
    assert_eq!(groups, 5);
    let list = part.series(&resource.head.key, &EntitySelector::All).unwrap();
    let read = |begin, end| {
        let time = TimeRange { begin, end };
        let request =
            ReadRequest { key: &resource.head.key, time, columns: &[], rows: None, limit: ReadLimit::NONE };
        let (mut out, mut given, mut stats) = (RowBatch::default(), Vec::new(), ReadStats::default());
        let mut cursor = SeriesCursor::new(vec![0]);
        part.read(&request, &list, &mut cursor, &mut out, &mut given, &mut stats).unwrap();
        stats
    };
    let cold = read(10_000, 10_009);
    assert_eq!((cold.row_groups_considered, cold.row_groups_pruned, cold.row_groups_read), (5, 4, 1));
    assert_eq!((cold.rows, cold.cache_hits), (10, 0));
    assert!(cold.file_bytes > 0);
    let warm = read(10_000, 10_009);
    assert_eq!((warm.cache_hits, warm.file_bytes, warm.rows), (1, 0, 10));
    // Outside of the resource's own times not even the index of row groups is asked.
    assert_eq!(read(i64::MIN, -1), ReadStats::default());
}

/// The two-ended scan of the seed lost rows of narrow ranges (D-09).
#[test]
fn se_143_every_row_in_range_is_given_for_any_position_and_width() {
    for rows in 1..=10i64 {
        let times: Vec<i64> = (1..=rows).collect();
        let resource = single_resource(&[(b"s", &times)]);
        let part = part_of(std::slice::from_ref(&resource), 100, Effort::Fast);
        for begin in 0..=rows + 1 {
            for end in begin..=rows + 1 {
                let time = TimeRange { begin, end };
                check_read(&part, &resource, &EntitySelector::All, time, &resource.head.columns).unwrap();
            }
        }
    }
}

#[test]
fn times_and_versions_of_any_size_come_back() {
    let extremes = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    let mut resource = single_resource(&[(b"s", &extremes)]);
    for (row, version) in resource.rows.iter_mut().zip(extremes.iter().rev()) {
        row.version = *version;
    }
    let part = part_of(std::slice::from_ref(&resource), 100, Effort::Thorough);
    part.verify().unwrap();
    check_read(&part, &resource, &EntitySelector::All, TimeRange::ALL, &resource.head.columns).unwrap();
}

#[test]
fn large_values_are_cut_into_small_chunks() {
    let columns = vec![key("", "body", ColumnType::Binary)];
    let mut random = super::world::Random(3);
    let mut bytes = |n: usize| (0..n).map(|_| random.next() as u8).collect::<Vec<u8>>();
    let rows =
        (0..300).map(|i| row(b"s", i, vec![Value::Binary(bytes(if i == 7 { 3 << 20 } else { 8 << 10 }))]));
    let resource = Resource { head: head("m", columns), rows: rows.collect() };
    let part = part_of(std::slice::from_ref(&resource), 8192, Effort::Fast);
    part.verify().unwrap();
    assert!(part.summary().row_groups >= 6);
    check_read(&part, &resource, &EntitySelector::All, TimeRange::ALL, &resource.head.columns).unwrap();
    let time = TimeRange { begin: 6, end: 8 };
    check_read(&part, &resource, &EntitySelector::All, time, &resource.head.columns).unwrap();
}

/// SE-022: what is out of order is an internal error and never a file.
#[test]
fn rows_out_of_order_are_refused() {
    let good = single_resource(&[(b"b", &[5])]);
    let bad: Vec<(&str, Resource)> = vec![
        ("series", single_resource(&[(b"a", &[9])])),
        ("equal time of the same series", single_resource(&[(b"b", &[5])])),
        ("times", single_resource(&[(b"c", &[5, 4])])),
        ("resources", Resource { head: head("a", good.head.columns.to_vec()), ..good.clone() }),
        (
            "columns",
            Resource {
                head: head("m", vec![key("", "w", ColumnType::Int)]),
                rows: vec![row(b"c", 1, vec![Value::Int(1)])],
            },
        ),
        (
            "policy",
            Resource {
                head: ResourceHead { policy: RowPolicy::Collapse, ..good.head.clone() },
                ..single_resource(&[(b"c", &[1])])
            },
        ),
    ];
    for (what, resource) in bad {
        let (disk, fs) = disk();
        let mut writer = PartWriter::create(&fs, &part_path(), identity(), Effort::Fast).unwrap();
        writer.append(&good.head, &series_of(&good.rows), &batch_of(&good.head, &good.rows)).unwrap();
        let batch = batch_of(&resource.head, &resource.rows);
        let error = writer.append(&resource.head, &series_of(&resource.rows), &batch).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{what}");
        let good_again = single_resource(&[(b"z", &[5])]);
        let batch = batch_of(&good_again.head, &good_again.rows);
        assert!(writer.append(&good_again.head, &series_of(&good_again.rows), &batch).is_err(), "{what}");
        assert!(writer.finish().is_err(), "{what}");
        assert_eq!(disk.files(), [], "{what}: a failed part must leave nothing");
    }
}

#[test]
fn batches_of_the_wrong_shape_are_refused() {
    let good = single_resource(&[(b"b", &[5, 6])]);
    let batch = batch_of(&good.head, &good.rows);
    let document = ResourceHead { policy: RowPolicy::Document, ..good.head.clone() };
    type Shape<'a> = (&'a str, &'a ResourceHead, Vec<(&'a [u8], u32)>, RowBatch);
    let shapes: Vec<Shape<'_>> = vec![
        ("no rows", &good.head, vec![], RowBatch::new(&good.head.columns)),
        ("rows do not add up", &good.head, vec![(b"b", 1)], batch.clone()),
        ("a series without rows", &good.head, vec![(b"a", 0), (b"b", 2)], batch.clone()),
        ("too few columns", &good.head, vec![(b"b", 2)], RowBatch { columns: vec![], ..batch.clone() }),
        (
            "a tombstone",
            &good.head,
            vec![(b"b", 2)],
            RowBatch { deleted: vec![false, true], ..batch.clone() },
        ),
        ("two rows of a document", &document, vec![(b"b", 2)], batch.clone()),
        ("versions missing", &good.head, vec![(b"b", 2)], RowBatch { versions: vec![1], ..batch.clone() }),
    ];
    for (what, head, series, rows) in shapes {
        let (_, fs) = disk();
        let mut writer = PartWriter::create(&fs, &part_path(), identity(), Effort::Fast).unwrap();
        assert_eq!(writer.append(head, &series, &rows).unwrap_err().kind(), ErrorKind::Internal, "{what}");
    }
}

#[test]
fn a_small_part_opens_with_one_read() {
    let (disk, fs) = disk();
    write(&fs, &part_path(), &data_set_a(), 10, Effort::Fast).unwrap();
    let before = disk.counters().reads;
    let part = open(&fs).unwrap();
    // The disk counts the opening of the file too.
    assert_eq!(disk.counters().reads - before, 2);
    drop(part);
}

#[test]
fn a_cached_read_touches_no_file() {
    let (disk, fs) = disk();
    let world = data_set_a();
    write(&fs, &part_path(), &world, 10, Effort::Fast).unwrap();
    let part = Arc::new(open(&fs).unwrap());
    let read = || {
        check_read(&*part, &world[0], &EntitySelector::All, TimeRange::ALL, &world[0].head.columns).unwrap()
    };
    read();
    let before = disk.counters().reads;
    read();
    assert_eq!(disk.counters().reads, before);
}
