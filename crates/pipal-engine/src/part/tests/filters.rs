//! Bounds and filters of chunks against plain lists of rows: they may say no only where no row matches.

use super::world::{
    Random, Resource, Row, batch_of, disk, identity, key, open, part_of, part_path, series_of, write,
};
use crate::part::filters::FILTERED_ROWS_MIN;
use crate::part::{Part, PartWriter, temporary_part_path};
use crate::row_ranges::RowRanges;
use crate::rows::{
    EntitySelector, ReadLimit, ReadRequest, ReadStats, ResourceHead, ResourceKey, RowBatch, RowKind,
    RowSource, SeriesCursor,
};
use crate::scan::{CancelToken, RowPredicate, ScanBatch, ScanRequest, TableSnapshot};
use crate::terms::ordered_float;
use pipal_codec::Effort;
use pipal_model::value::{encode_int_array, encode_str_array};
use pipal_model::{Analyzer, ColumnKey, ColumnType, ErrorKind, RowPolicy, TimeRange, Value, ValueRef};
use proptest::prelude::*;
use std::sync::Arc;

const ANALYZERS: [Analyzer; 4] = [Analyzer::Keyword, Analyzer::Simple, Analyzer::Standard, Analyzer::Url];

/// Columns of every type, and one that fills chunks of some two dozen rows.
fn columns() -> Vec<ColumnKey> {
    use ColumnType::*;
    vec![
        key("", "pad", Binary),
        key("t", "id", Str),
        key("t", "level", Int),
        key("t", "list", StrArray),
        key("t", "numbers", IntArray),
        key("t", "ratio", Float),
        key("t", "text", Str),
        key("t", "when", Timestamp),
    ]
}

fn text(words: &[usize]) -> Vec<u8> {
    let mut text = String::new();
    for word in words {
        text += ["Foo-BAR", "it's", "/Api/v2", "10:30", "gold!", "ΌΣΟΣ", "x_y"][word % 7];
        text += &format!(" w{word} ");
    }
    text.into_bytes()
}

/// Values that depend on the entity, so that chunks differ.
fn random_value(random: &mut Random, column: &ColumnKey, entity: usize) -> Value {
    if random.one_in(12) {
        return if random.one_in(2) { Value::Null } else { Value::Absent };
    }
    let near = entity * 3 + random.below(4);
    match (&*column.name, column.ty) {
        ("pad", _) => Value::Binary(vec![7; 20_000]),
        ("id", _) => Value::Str(format!("id {near}").into_bytes()),
        ("level", _) if random.one_in(40) => Value::Int([i64::MIN, i64::MAX, -1][random.below(3)]),
        ("level", _) => Value::Int(near as i64),
        (_, ColumnType::Timestamp) => Value::Timestamp(near as i64 * 1000),
        (_, ColumnType::Float) if random.one_in(40) => {
            Value::Float([f64::NAN, -0.0, f64::INFINITY][random.below(3)])
        }
        (_, ColumnType::Float) => Value::Float(near as f64 / 4.0 - 9.0),
        (_, ColumnType::StrArray) => {
            let mut bytes = Vec::new();
            encode_str_array([&text(&[near])[..], format!("e{}", random.below(3)).as_bytes()], &mut bytes);
            Value::StrArray(bytes)
        }
        (_, ColumnType::IntArray) => {
            let mut bytes = Vec::new();
            encode_int_array([near as i64, 5], &mut bytes);
            Value::IntArray(bytes)
        }
        _ => Value::Str(text(&[near, random.below(4)])),
    }
}

pub(super) fn random_resource(random: &mut Random, entities: usize, rows_per_series: usize) -> Resource {
    let columns = columns();
    let filter = |random: &mut Random, column: &ColumnKey| {
        let has_terms = crate::terms::has_terms(column.ty) && !random.one_in(4);
        has_terms.then(|| ANALYZERS[random.below(4)])
    };
    let filters = columns.iter().map(|column| filter(random, column)).collect();
    let key = ResourceKey { kind: RowKind::Data, name: "logs".into() };
    let head = ResourceHead { filters, ..ResourceHead::new(key, RowPolicy::Collapse, columns.into()) };
    let mut rows = Vec::new();
    for entity in 0..entities {
        for i in 0..1 + random.below(rows_per_series) {
            let values = head.columns.iter().map(|column| random_value(random, column, entity)).collect();
            let time = 1000 + i as i64;
            let entity = format!("entity {entity:05}").into_bytes();
            rows.push(Row { entity, time, version: 1, deleted: false, values });
        }
    }
    Resource { head, rows }
}

/// A condition on a value that some row may have.
fn random_leaf(random: &mut Random, entities: usize) -> RowPredicate {
    let mut columns = columns();
    columns.push(key("t", "gone", ColumnType::Str));
    columns.push(key("t", "level", ColumnType::Str));
    let column = columns[random.below(columns.len())].clone();
    let entity = random.below(entities + 2);
    let mut values: Vec<Value> =
        (0..1 + random.below(2)).map(|_| random_value(random, &column, entity)).collect();
    values.push(Value::Str(text(&[entity * 3])));
    let number = |random: &mut Random| match column.ty {
        ColumnType::Float => ordered_float((entity * 3) as f64 / 4.0 - 9.0 + random.below(3) as f64),
        ColumnType::Timestamp => (entity * 3 + random.below(5)) as i64 * 1000,
        _ => (entity * 3 + random.below(5)) as i64,
    };
    if random.one_in(3) {
        let (a, b) = (number(random), number(random));
        let (least, greatest) = [(a.min(b), a.max(b)), (i64::MIN, a), (a, i64::MAX), (a, a)][random.below(4)];
        return RowPredicate::Range { column, least, greatest };
    }
    let analyzer = ANALYZERS[random.below(4)];
    let mut terms: Vec<Box<[u8]>> = Vec::new();
    let is_word = random.one_in(2);
    for value in &values {
        match value.as_ref() {
            ValueRef::Str(text) if is_word => analyzer.tokens(text, |word| {
                terms.push(word.into());
                terms.len() < 2
            }),
            value => {
                _ = crate::terms::any_term(value, |term| {
                    terms.push(term.into());
                    false
                })
            }
        }
    }
    terms.sort();
    terms.dedup();
    match is_word {
        true => RowPredicate::Word { column, analyzer, words: terms },
        false => RowPredicate::Has { column, terms },
    }
}

fn random_predicate(random: &mut Random, entities: usize, depth: usize) -> RowPredicate {
    if depth == 0 || random.one_in(2) {
        return random_leaf(random, entities);
    }
    let left = random_predicate(random, entities, depth - 1);
    let right = random_predicate(random, entities, depth - 1);
    if random.one_in(2) { left.and(right) } else { left.or(right) }
}

fn accepts(resource: &Resource, row: &Row, predicate: &RowPredicate) -> bool {
    predicate.accepts(&|key: &ColumnKey| {
        let place = resource.head.columns.iter().position(|column| column == key);
        place.map_or(ValueRef::Absent, |place| row.values[place].as_ref())
    })
}

fn is_among(rows: &RowRanges, row: u64) -> bool {
    rows.at_or_after(row).is_some_and(|range| range.start == row)
}

/// Entities and times of the rows that a scan of the narrowed table gives, and the predicate accepts.
fn scanned(table: &TableSnapshot, resource: &Resource, predicate: &RowPredicate) -> Vec<(Vec<u8>, i64)> {
    let key = &resource.head.key;
    let columns: Vec<ColumnKey> =
        resource.head.columns.iter().filter(|column| *column.name != *"pad").cloned().collect();
    let series = table.series(key, &EntitySelector::All).unwrap();
    let chosen: Vec<u32> = (0..series.len() as u32).collect();
    let cancel = CancelToken::default();
    let request = ScanRequest { key, time: TimeRange::ALL, columns: &columns, collapse: false };
    let mut scan = table.scan(request, &series, &chosen, &cancel).unwrap();
    let mut batch = ScanBatch::new(&columns);
    let mut found = Vec::new();
    while scan.next_batch(&mut batch).unwrap() {
        for row in 0..batch.rows.len() {
            let value = |key: &ColumnKey| {
                let place = columns.iter().position(|column| column == key);
                place.map_or(ValueRef::Absent, |place| batch.rows.columns[place].get(row))
            };
            if predicate.accepts(&value) {
                found.push((series.entity(batch.series[row] as usize).to_vec(), batch.rows.times[row]));
            }
        }
    }
    found
}

/// Checks predicates; gives the rows that were left out and all rows, summed.
fn check(
    part: &Arc<Part>,
    resource: &Resource,
    predicates: &[RowPredicate],
) -> Result<(u64, u64), TestCaseError> {
    let table = TableSnapshot::new(0, 1, vec![part.clone()]);
    let total = resource.rows.len() as u64;
    let (mut left_out, mut all) = (0, 0);
    for predicate in predicates {
        let useful = part.useful_rows(&resource.head.key, predicate).unwrap();
        let expected: Vec<(Vec<u8>, i64)> = (resource.rows.iter().enumerate())
            .filter(|(_, row)| accepts(resource, row, predicate))
            .map(|(number, row)| {
                let kept = useful.as_ref().is_none_or(|useful| is_among(useful, number as u64));
                assert!(kept, "row {number} {row:?} is left out of {useful:?} by {predicate:?}");
                (row.entity.clone(), row.time)
            })
            .collect();
        let narrowed = table.narrowed(&resource.head.key, predicate, &[EntitySelector::All]).unwrap();
        prop_assert_eq!(scanned(&narrowed.table, resource, predicate), expected, "{:?}", predicate);
        left_out += useful.map_or(0, |useful| total - useful.len());
        all += total;
    }
    Ok((left_out, all))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_row_that_a_predicate_accepts_is_left_out(
        seed in any::<u64>(),
        entities in 1usize..250,
        rows_per_series in 1usize..8,
        thorough in any::<bool>(),
    ) {
        let mut random = Random(seed);
        let resource = random_resource(&mut random, entities, rows_per_series);
        let effort = if thorough { Effort::Thorough } else { Effort::Fast };
        let part = Arc::new(part_of(std::slice::from_ref(&resource), 100, effort));
        part.verify().unwrap();
        let predicates: Vec<RowPredicate> =
            (0..40).map(|_| random_predicate(&mut random, entities, 2)).collect();
        check(&part, &resource, &predicates)?;
    }
}

/// Filters that never said no would pass the test above.
#[test]
fn chunks_without_the_value_are_left_out() {
    let mut random = Random(5);
    let mut resource = random_resource(&mut random, 600, 5);
    let filters = resource.head.columns.iter().map(|column| match &*column.name {
        "text" => Some(Analyzer::Standard),
        "id" | "list" | "numbers" => Some(Analyzer::Keyword),
        _ => None,
    });
    resource.head.filters = filters.collect();
    let part = Arc::new(part_of(std::slice::from_ref(&resource), 100, Effort::Fast));
    part.verify().unwrap();
    let rows = resource.rows.len() as u64;
    let has = |name: &str, ty, term: &[u8]| RowPredicate::Has {
        column: key("t", name, ty),
        terms: vec![term.into()],
    };
    let word = |word: &str, analyzer| RowPredicate::Word {
        column: key("t", "text", ColumnType::Str),
        analyzer,
        words: vec![word.as_bytes().into()],
    };
    let range =
        |name: &str, ty, least, greatest| RowPredicate::Range { column: key("t", name, ty), least, greatest };
    let useful = |predicate: &RowPredicate| {
        part.useful_rows(&resource.head.key, predicate).unwrap().map_or(rows, |useful| useful.len())
    };
    // The values of a row in the middle: each has the number of its entity, or one near it.
    let middle = resource.rows[800..].iter().find(|row| row.values.iter().all(|v| !v.as_ref().is_missing()));
    let value = |name: &str| {
        let place = resource.head.columns.iter().position(|column| *column.name == *name).unwrap();
        middle.unwrap().values[place].as_ref()
    };
    let first_term = |name: &str| {
        let mut first = Vec::new();
        crate::terms::any_term(value(name), |term| {
            first = term.to_vec();
            true
        });
        first
    };
    let words = String::from_utf8(first_term("text")).unwrap();
    let ValueRef::Timestamp(when) = value("when") else { panic!("a time") };
    let ratio = match value("ratio") {
        ValueRef::Float(ratio) if ratio.is_finite() && ratio > 0.0 => ratio,
        other => panic!("another seed: {other:?}"),
    };
    let few = [
        has("id", ColumnType::Str, &first_term("id")),
        has("numbers", ColumnType::IntArray, &first_term("numbers")),
        has("list", ColumnType::StrArray, &first_term("list")),
        has("text", ColumnType::Str, words.as_bytes()),
        word(words.split(' ').find(|word| word.starts_with('w')).unwrap(), Analyzer::Standard),
        range("when", ColumnType::Timestamp, when, when + 1000),
        range("ratio", ColumnType::Float, ordered_float(ratio - 0.1), ordered_float(ratio + 0.1)),
    ];
    check(&part, &resource, &few).unwrap();
    for predicate in &few {
        // An infinite value here and there widens bounds.
        assert!(
            (1..rows / 4).contains(&useful(predicate)),
            "{} of {rows} for {predicate:?}",
            useful(predicate)
        );
    }
    let none = [
        has("id", ColumnType::Str, b"no such id"),
        has("gone", ColumnType::Str, b"id 900"),
        range("when", ColumnType::Timestamp, -7, -1),
        range("when", ColumnType::Timestamp, when + 1, when + 2),
        few[0].clone().and(has("id", ColumnType::Str, b"id 3")),
        RowPredicate::Nothing,
    ];
    for predicate in &none {
        assert!(useful(predicate) < rows / 10, "{} of {rows} for {predicate:?}", useful(predicate));
    }
    // Where the filter has other words than those asked for, or there is none, nothing is known.
    let unknown = [
        word("w900", Analyzer::Simple),
        has("level", ColumnType::Str, b"x").or(RowPredicate::All),
        has("id", ColumnType::Str, &[b'x'; 300]),
    ];
    for predicate in &unknown {
        assert_eq!(useful(predicate), rows, "{predicate:?}");
    }
    let table = TableSnapshot::new(0, 1, vec![part.clone()]);
    let narrowed =
        table.narrowed(&resource.head.key, &RowPredicate::Nothing, &[EntitySelector::All]).unwrap();
    assert_eq!((narrowed.table.source_count(), narrowed.sources_left_out), (0, 1));
}

fn section_bytes(part: &Part, name: &str) -> u64 {
    part.describe().sections.iter().find(|section| section.name == name).map_or(0, |section| section.length)
}

/// Rows of other policies replace each other, and small resources are not worth it.
#[test]
fn only_enough_rows_that_stand_for_themselves_have_bounds_and_filters() {
    let mut resource = random_resource(&mut Random(3), FILTERED_ROWS_MIN as usize, 1);
    let id = RowPredicate::Has { column: key("t", "id", ColumnType::Str), terms: vec![b"none"[..].into()] };
    let useful = |resource: &Resource| {
        let part = Arc::new(part_of(std::slice::from_ref(resource), 100, Effort::Fast));
        part.verify().unwrap();
        let sections = section_bytes(&part, "bounds") + section_bytes(&part, "filters");
        let rows = part.useful_rows(&resource.head.key, &id).unwrap();
        let narrowed = TableSnapshot::new(0, 1, vec![part])
            .narrowed(&resource.head.key, &id, &[EntitySelector::All])
            .unwrap();
        assert_eq!(narrowed.sources_narrowed, usize::from(sections > 0));
        (sections > 0, rows.is_some())
    };
    resource.head.filters =
        resource.head.columns.iter().map(|c| (*c.name == *"id").then_some(Analyzer::Keyword)).collect();
    assert_eq!(useful(&resource), (true, true));
    for policy in [RowPolicy::Versioned, RowPolicy::Document, RowPolicy::Latest] {
        resource.head.policy = policy;
        assert_eq!(useful(&resource), (false, false), "{policy:?}");
    }
    resource.head.policy = RowPolicy::Collapse;
    resource.rows.pop();
    assert_eq!(useful(&resource), (false, false));
}

/// Chunks whose terms are too many, and all that comes when the memory for filters is used up, are read as without
/// filters; bounds stay.
#[test]
fn where_filters_would_take_too_much_there_are_none() {
    let numbers: String = (0..70_000).map(|i| format!("{i} ")).collect();
    let mut resource = random_resource(&mut Random(9), 400, 2);
    resource.head.filters =
        resource.head.columns.iter().map(|c| (c.ty == ColumnType::Str).then_some(Analyzer::Url)).collect();
    let place = resource.head.columns.iter().position(|column| *column.name == *"text").unwrap();
    resource.rows[200].values[place] = Value::Str(numbers.into_bytes());
    let predicates: Vec<RowPredicate> = ["w600", "69999", "nothing"]
        .map(|word| RowPredicate::Word {
            column: key("t", "text", ColumnType::Str),
            analyzer: Analyzer::Url,
            words: vec![word.as_bytes().into()],
        })
        .into();
    let mut random = Random(1);
    let more: Vec<RowPredicate> = (0..40).map(|_| random_predicate(&mut random, 400, 2)).collect();
    let part = Arc::new(part_of(std::slice::from_ref(&resource), 100, Effort::Fast));
    part.verify().unwrap();
    assert_eq!(part.index().unwrap().bounds.len(), 3, "the chunk is a span of its own");
    check(&part, &resource, &more).unwrap();
    let (left_out, all) = check(&part, &resource, &predicates).unwrap();
    assert!(left_out * 10 > all * 8, "{left_out} of {all}");
    for bytes_max in [0, 1000, 5000] {
        let (_, fs) = disk();
        let mut writer = PartWriter::create(&fs, &part_path(), identity(), Effort::Fast).unwrap();
        writer.set_filter_limits(bytes_max, usize::MAX);
        for rows in resource.rows.chunks(100) {
            writer.append(&resource.head, &series_of(rows), &batch_of(&resource.head, rows)).unwrap();
        }
        writer.finish().unwrap();
        fs.rename(&temporary_part_path(&part_path()), &part_path()).unwrap();
        let part = Arc::new(open(&fs).unwrap());
        part.verify().unwrap();
        check(&part, &resource, &more).unwrap();
        let (less, _) = check(&part, &resource, &predicates).unwrap();
        assert!(less < left_out, "{less} rows of {all} with {bytes_max} bytes");
        let range =
            RowPredicate::Range { column: key("t", "when", ColumnType::Timestamp), least: 0, greatest: 9000 };
        assert!(check(&part, &resource, &[range]).unwrap().0 > 0, "bounds stay");
    }
}

/// Many chunks make several spans.
#[test]
fn many_chunks_are_told_apart() {
    let columns = vec![key("", "pad", ColumnType::Binary), key("t", "id", ColumnType::Str)];
    let head_key = ResourceKey { kind: RowKind::Data, name: "logs".into() };
    let filters = [None, Some(Analyzer::Keyword)].into();
    let head = ResourceHead { filters, ..ResourceHead::new(head_key, RowPolicy::Collapse, columns.into()) };
    let row = |i: usize| Row {
        entity: format!("{:04}", i / 7).into_bytes(),
        time: i as i64,
        version: 1,
        deleted: false,
        values: vec![Value::Null, Value::Str(format!("id {}", i / 3).into_bytes())],
    };
    let resource = Resource { head, rows: (0..250).map(row).collect() };
    let (_, fs) = disk();
    let mut writer = PartWriter::create(&fs, &part_path(), identity(), Effort::Fast).unwrap();
    writer.set_filter_limits(usize::MAX, 50);
    for rows in resource.rows.chunks(50) {
        // So large that a chunk has two rows.
        let mut rows = rows.to_vec();
        rows.iter_mut().for_each(|row| row.values[0] = Value::Binary(vec![0; 200_000]));
        writer.append(&resource.head, &series_of(&rows), &batch_of(&resource.head, &rows)).unwrap();
    }
    writer.finish().unwrap();
    fs.rename(&temporary_part_path(&part_path()), &part_path()).unwrap();
    let part = Arc::new(open(&fs).unwrap());
    part.verify().unwrap();
    let index = part.index().unwrap();
    assert_eq!((index.bounds.len(), part.summary().row_groups > 1), (3, true));
    let predicates: Vec<RowPredicate> = (0..84)
        .map(|id| RowPredicate::Has {
            column: key("t", "id", ColumnType::Str),
            terms: vec![format!("id {id}").into_bytes().into()],
        })
        .collect();
    let (left_out, all) = check(&part, &resource, &predicates).unwrap();
    let chunks = (all - left_out) / 2;
    assert!(
        (84..84 * 2 + 9).contains(&chunks),
        "{chunks} chunks of two rows are read for 84 times three rows"
    );
}

/// Wherever bounds or filters are damaged, a look-up that meets the damage says so, a table looks at all rows instead,
/// and rows are read as before.
#[test]
fn damaged_filters_hide_nothing() {
    let (disk, fs) = disk();
    let mut resource = random_resource(&mut Random(8), 200, 1);
    resource.head.filters =
        resource.head.columns.iter().map(|c| (*c.name == *"id").then_some(Analyzer::Keyword)).collect();
    write(&fs, &part_path(), std::slice::from_ref(&resource), 100, Effort::Fast).unwrap();
    let part = open(&fs).unwrap();
    let sections = part.describe().sections;
    let bytes = fs.read(&part_path()).unwrap();
    let id = RowPredicate::Has { column: key("t", "id", ColumnType::Str), terms: vec![b"id 300"[..].into()] };
    for section in sections.iter().filter(|section| ["bounds", "filters"].contains(&section.name)) {
        assert!(section.length > 0);
        for at in section.offset..section.offset + section.length {
            let mut damaged = bytes.clone();
            damaged[at as usize] ^= 4;
            disk.overwrite(&part_path(), &damaged).unwrap();
            let part = Arc::new(open(&fs).unwrap());
            assert_eq!(part.verify().unwrap_err().kind(), ErrorKind::Corrupt, "byte {at}");
            let error = part.useful_rows(&resource.head.key, &id).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}");
            let table = TableSnapshot::new(0, 1, vec![part]);
            let narrowed = table.narrowed(&resource.head.key, &id, &[EntitySelector::All]).unwrap();
            assert_eq!((narrowed.table.source_count(), narrowed.sources_narrowed), (1, 0), "byte {at}");
        }
    }
}

/// A reader that is given rows of use still gives what it must, and nothing of other chunks.
#[test]
fn rows_out_of_use_are_not_read() {
    let resource = random_resource(&mut Random(4), 300, 3);
    let part = part_of(std::slice::from_ref(&resource), 100, Effort::Fast);
    let (key, columns) = (&resource.head.key, &resource.head.columns);
    let mut rows = RowRanges::default();
    rows.push(150..153);
    rows.push(400..401);
    let series = part.series_within(key, &EntitySelector::All, &rows).unwrap();
    let first = |series: usize| &resource.rows[series].entity;
    assert_eq!(series.entity(0), first(150));
    assert_eq!(series.entity(series.len() - 1), first(400));
    let stored: u64 = (0..series.len()).map(|at| u64::from(series.rows(at).1)).sum();
    assert!(stored <= 4, "{stored} rows of the series");
    let all = part.series(key, &EntitySelector::All).unwrap();
    let request =
        ReadRequest { key, time: TimeRange::ALL, columns, rows: Some(&rows), limit: ReadLimit::NONE };
    let (mut out, mut given, mut stats) = (RowBatch::new(columns), Vec::new(), ReadStats::default());
    let mut cursor = SeriesCursor::whole(&all);
    part.read(&request, &all, &mut cursor, &mut out, &mut given, &mut stats).unwrap();
    assert!(cursor.is_at_end());
    assert_eq!(given.iter().map(|given| given.rows as usize).sum::<usize>(), out.len());
    assert!(out.len() >= 4 && out.len() < 120, "{} rows", out.len());
    assert!(stats.row_groups_read <= 2, "{stats:?}");
}
