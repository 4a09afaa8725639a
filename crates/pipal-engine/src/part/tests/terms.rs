//! The term index against plain lists of rows.

use super::world::{
    Random, Resource, Row, Sizes, batch_of, disk, identity, key, open, part_of, part_path, random_world,
    series_of, write,
};
use crate::part::terms::INDEXED_SERIES_MIN;
use crate::part::{Part, PartWriter, temporary_part_path};
use crate::rows::{ResourceHead, ResourceKey, RowKind, RowSource, TermMatch};
use crate::scan::{TableSnapshot, TermFilter};
use crate::terms::any_term;
use pipal_codec::Effort;
use pipal_model::value::{encode_str_array, int_term};
use pipal_model::{ColumnKey, ColumnType, ErrorKind, RowPolicy, TimeRange, Value};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Entities = BTreeSet<Vec<u8>>;

/// Entities by term of a column.
fn naive_index(resource: &Resource, column: usize) -> BTreeMap<Vec<u8>, Entities> {
    let mut index: BTreeMap<Vec<u8>, Entities> = BTreeMap::new();
    for row in &resource.rows {
        any_term(row.values[column].as_ref(), |term| {
            index.entry(term.to_vec()).or_default().insert(row.entity.clone());
            false
        });
    }
    index
}

fn all_entities(resource: &Resource) -> Entities {
    resource.rows.iter().map(|row| row.entity.clone()).collect()
}

fn ask(source: &dyn RowSource, resource: &Resource, column: &ColumnKey, terms: &[&[u8]]) -> TermMatch {
    let mut terms: Vec<Box<[u8]>> = terms.iter().map(|term| (*term).into()).collect();
    terms.sort();
    source.entities_with_terms(&resource.head.key, column, &terms, usize::MAX).unwrap()
}

fn found(source: &dyn RowSource, resource: &Resource, column: &ColumnKey, terms: &[&[u8]]) -> Entities {
    match ask(source, resource, column, terms) {
        TermMatch::Entities(list) => {
            assert!(list.is_sorted());
            list.into_iter().collect()
        }
        other => panic!("{other:?} for {column:?}"),
    }
}

/// What the index must say: the entities, or all of them where the term is common. Hashes of terms are cut, so that an
/// entity too many may come along now and then; with the seeds of these tests none does.
fn expected(resource: &Resource, entities: &Entities) -> Entities {
    let all = all_entities(resource);
    if entities.len() * 4 > all.len() { all } else { entities.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_term_leads_to_its_entities_and_says_where_it_does_not_know(
        seed in any::<u64>(),
        resources in 1usize..8,
        entities in 1usize..500,
        rows_per_series in 1usize..6,
        batch_rows in 1usize..300,
    ) {
        let mut random = Random(seed);
        let sizes = Sizes { resources, entities, rows_per_series, batch_rows };
        let world = random_world(&mut random, sizes);
        let part = part_of(&world, batch_rows, Effort::Fast);
        part.verify().unwrap();
        let (mut terms, mut surplus) = (0, 0);
        for resource in &world {
            for (place, column) in resource.head.columns.iter().enumerate() {
                let index = naive_index(resource, place);
                let few = (all_entities(resource).len() as u64) < INDEXED_SERIES_MIN;
                if few || !resource.head.indexed[place] {
                    prop_assert_eq!(ask(&part, resource, column, &[b"value 7"]), TermMatch::Unknown);
                    continue;
                }
                terms += index.len() as u64;
                for (term, entities) in &index {
                    prop_assert!(found(&part, resource, column, &[term]).is_superset(entities));
                    surplus += found(&part, resource, column, &[term]).len();
                    surplus -= expected(resource, entities).len();
                }
                surplus += found(&part, resource, column, &[b"no such term"]).len();
                let some: Vec<&[u8]> = index.keys().step_by(2).map(|term| &term[..]).collect();
                let wanted: Entities = index.values().step_by(2).flatten().cloned().collect();
                prop_assert!(found(&part, resource, column, &some).is_superset(&wanted));
            }
            let other = key("default", "no such column", ColumnType::Str);
            prop_assert_eq!(found(&part, resource, &other, &[b"value 7"]), Entities::new());
        }
        prop_assert!(part.summary().terms <= terms && part.summary().terms * 50 >= terms * 49);
        prop_assert!(surplus <= terms as usize / 20 + 5, "{surplus} entities too many for {terms} terms");
    }
}

fn tagged(name: &str, policy: RowPolicy, values: Vec<Vec<Value>>) -> Resource {
    let key_of = |name: &str| ResourceKey { kind: RowKind::Data, name: name.into() };
    let columns = vec![key("t", "a", ColumnType::Str), key("t", "b", ColumnType::Str)];
    let indexed = columns.iter().map(|_| true).collect();
    let head = ResourceHead { indexed, ..ResourceHead::new(key_of(name), policy, columns.into()) };
    let row = |(i, values): (usize, Vec<Value>)| Row {
        entity: format!("entity {i:06}").into_bytes(),
        time: i as i64,
        version: 1,
        deleted: false,
        values,
    };
    Resource { head, rows: values.into_iter().enumerate().map(row).collect() }
}

fn text(text: String) -> Value {
    Value::Str(text.into_bytes())
}

/// Terms fill many blocks; a common one is not listed, and long ones that begin alike are told apart.
#[test]
fn many_and_long_terms_are_found_alone() {
    let long = |i: usize| format!("{}{i}", "https://example.com/".repeat(40));
    let values = |i: usize| vec![text(format!("name {}", i * 7919 % 20_000)), text(long(i / 3))];
    let same = (0..150).map(|_| vec![text("x".into()), Value::Null]).collect();
    let many = (0..20_000).map(values).collect();
    let world = [tagged("many", RowPolicy::Latest, many), tagged("other", RowPolicy::Versioned, same)];
    let (part, columns) = (part_of(&world, 8000, Effort::Thorough), world[0].head.columns.clone());
    part.verify().unwrap();
    assert!(part.index().unwrap().terms.len() > 5, "{} blocks", part.index().unwrap().terms.len());
    let mut surplus = 0;
    let mut check = |column: usize, term: &[u8], wanted: Entities| {
        let found = found(&part, &world[0], &columns[column], &[term]);
        assert!(found.is_superset(&wanted));
        surplus += found.len() - wanted.len();
    };
    for i in (0..20_000).step_by(17) {
        let entity = |i: usize| format!("entity {i:06}").into_bytes();
        let Value::Str(name) = &values(i)[0] else { unreachable!() };
        check(0, name, Entities::from([entity(i)]));
        let three = (i / 3 * 3..i / 3 * 3 + 3).map(entity).collect::<Entities>();
        check(1, long(i / 3).as_bytes(), three);
        check(1, &long(i).as_bytes()[..700], Entities::new());
    }
    assert!(surplus < 20, "{surplus} entities too many");
    let names: Vec<String> = (0..20_000).step_by(40).map(|i| format!("name {i}")).collect();
    let many =
        found(&part, &world[0], &columns[0], &names.iter().map(|name| name.as_bytes()).collect::<Vec<_>>());
    assert!((500..520).contains(&many.len()), "{} entities for 500 terms", many.len());
    assert_eq!(found(&part, &world[1], &columns[0], &[b"x"]).len(), 150, "all have it");
    let hashes = part.summary().terms;
    let terms = 20_000 + 6_667 + 1;
    assert!((terms - 50..=terms).contains(&hashes), "few of {terms} terms share a hash: {hashes}");
    let section = section_bytes(&part);
    assert!(section < terms * 6, "{section} bytes");
}

fn section_bytes(part: &Part) -> u64 {
    part.describe().sections.iter().find(|section| section.name == "terms").map_or(0, |s| s.length)
}

#[test]
fn more_entities_than_asked_for_are_not_listed() {
    let values = |i: usize| vec![text(format!("{}", i % 10)), text("same".into())];
    let resource = tagged("many", RowPolicy::Latest, (0..1000).map(values).collect());
    let part = part_of(std::slice::from_ref(&resource), 8000, Effort::Fast);
    let limited = |column: usize, term: &[u8], limit: usize| {
        let terms: [Box<[u8]>; 1] = [term.into()];
        part.entities_with_terms(&resource.head.key, &resource.head.columns[column], &terms, limit).unwrap()
    };
    assert!(matches!(limited(0, b"3", 100), TermMatch::Entities(list) if list.len() == 100));
    assert_eq!(limited(0, b"3", 99), TermMatch::TooMany);
    assert!(matches!(limited(1, b"same", 1000), TermMatch::Entities(list) if list.len() == 1000));
    assert_eq!(limited(1, b"same", 999), TermMatch::TooMany);
}

/// A part whose terms would take too much memory says of the column that it does not know.
#[test]
fn a_column_with_too_many_terms_is_left_without_an_index() {
    let (_, fs) = disk();
    let values = |i: usize| {
        let elements = (0..5).map(|j| format!("{i} {j}").into_bytes()).collect::<Vec<_>>();
        let mut labels = Vec::new();
        encode_str_array(elements.iter().map(|element| &element[..]), &mut labels);
        vec![text(format!("{}", i % 7)), Value::StrArray(labels)]
    };
    let mut resource = tagged("many", RowPolicy::Latest, (0..2000).map(values).collect());
    let columns = vec![key("t", "a", ColumnType::Str), key("t", "b", ColumnType::StrArray)];
    resource.head.columns = columns.into();
    let mut writer = PartWriter::create(&fs, &part_path(), identity(), Effort::Fast).unwrap();
    writer.set_term_bytes_max(30_000);
    for rows in resource.rows.chunks(100) {
        writer.append(&resource.head, &series_of(rows), &batch_of(&resource.head, rows)).unwrap();
    }
    writer.finish().unwrap();
    fs.rename(&temporary_part_path(&part_path()), &part_path()).unwrap();
    let part = open(&fs).unwrap();
    part.verify().unwrap();
    let columns = &resource.head.columns;
    let head = part.resource(&resource.head.key).unwrap().unwrap();
    assert_eq!(head.indexed[..], [true, true], "a merge builds it again");
    let index = naive_index(&resource, 0);
    assert_eq!(found(&part, &resource, &columns[0], &[b"3"]), index[&b"3"[..]]);
    assert_eq!(ask(&part, &resource, &columns[1], &[b"3"]), TermMatch::Unknown);
    assert_eq!(part.summary().terms, 7);
}

#[test]
fn arrays_are_found_by_their_elements_and_numbers_by_their_order_preserving_form() {
    let columns = vec![key("t", "labels", ColumnType::StrArray), key("t", "n", ColumnType::Int)];
    let mut resource = tagged("arrays", RowPolicy::Document, vec![]);
    let indexed = [true, true].into();
    resource.head = ResourceHead { columns: columns.clone().into(), indexed, ..resource.head };
    for i in 0..140i64 {
        let mut labels = Vec::new();
        encode_str_array([&b"all"[..], format!("label {}", i / 2).as_bytes()], &mut labels);
        resource.rows.push(Row {
            entity: format!("{i:03}").into_bytes(),
            time: i,
            version: 1,
            deleted: i == 3,
            values: vec![Value::StrArray(labels), Value::Int(-i)],
        });
    }
    let part = part_of(std::slice::from_ref(&resource), 7, Effort::Fast);
    let of = |column: usize, term: &[u8]| found(&part, &resource, &columns[column], &[term]);
    assert_eq!(of(0, b"label 1"), Entities::from([b"002".to_vec(), b"003".to_vec()]));
    assert_eq!(of(0, b"all").len(), 140);
    assert_eq!(of(1, &int_term(-7)), Entities::from([b"007".to_vec()]));
}

/// Wherever the index is damaged, a look-up that meets the damage says so, a table looks at all series instead, and
/// rows are read as before.
#[test]
fn a_damaged_index_hides_nothing() {
    let (disk, fs) = disk();
    let values = |i: usize| vec![text(format!("name {i}")), Value::Null];
    let resource = tagged("many", RowPolicy::Latest, (0..300).map(values).collect());
    let world = std::slice::from_ref(&resource);
    write(&fs, &part_path(), world, 8000, Effort::Fast).unwrap();
    let section = open(&fs).unwrap().describe().sections.into_iter().find(|s| s.name == "terms").unwrap();
    let bytes = fs.read(&part_path()).unwrap();
    for at in section.offset..section.offset + section.length {
        let mut damaged = bytes.clone();
        damaged[at as usize] ^= 4;
        disk.overwrite(&part_path(), &damaged).unwrap();
        let part = Arc::new(open(&fs).unwrap());
        assert_eq!(part.verify().unwrap_err().kind(), ErrorKind::Corrupt, "byte {at}");
        let terms: Vec<Box<[u8]>> = vec![b"name 7"[..].into()];
        let column = resource.head.columns[0].clone();
        let error = part.entities_with_terms(&resource.head.key, &column, &terms, 9).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}");
        let table = TableSnapshot::new(0, 1, vec![part.clone()]);
        let filter = TermFilter::Terms { column, terms };
        assert_eq!(table.candidates("many", &filter).unwrap(), None, "byte {at}");
        super::world::check_read(
            &*part,
            &resource,
            &crate::rows::EntitySelector::All,
            TimeRange::ALL,
            &resource.head.columns,
        )
        .unwrap();
    }
}
