//! Random worlds: a part gives back what a plain list of rows does.

use super::world::{
    Random, Resource, Sizes, all_columns, check_read, disk, open, part_of, part_path, random_world, write,
};
use crate::rows::{EntitySelector, RowKind, RowSource};
use pipal_codec::Effort;
use pipal_model::TimeRange;
use proptest::prelude::*;

fn random_selector(random: &mut Random, resource: &Resource) -> EntitySelector {
    let some = |random: &mut Random| resource.rows[random.below(resource.rows.len())].entity.clone();
    match random.below(4) {
        0 => EntitySelector::All,
        1 => {
            let mut prefix = some(random);
            prefix.truncate(random.below(4));
            EntitySelector::Prefix(prefix)
        }
        2 => EntitySelector::Exact(vec![some(random)]),
        _ => {
            let mut list: Vec<Vec<u8>> = (0..random.below(20)).map(|_| some(random)).collect();
            list.push(b"unknown".to_vec());
            list.sort();
            list.dedup();
            EntitySelector::Exact(list)
        }
    }
}

fn random_time(random: &mut Random, resource: &Resource) -> TimeRange {
    if resource.head.key.kind == RowKind::Attribute || random.one_in(4) {
        return TimeRange::ALL;
    }
    let mut some = || resource.rows[random.below(resource.rows.len())].time;
    let (a, b) = (some(), some());
    TimeRange { begin: a.min(b), end: a.max(b) }
}

fn check_world(seed: u64, sizes: Sizes, effort: Effort, reads: usize) -> Result<(), TestCaseError> {
    let mut random = Random(seed);
    let world = random_world(&mut random, sizes);
    let part = part_of(&world, sizes.batch_rows, effort);
    part.verify().map_err(|e| TestCaseError::fail(e.to_string()))?;
    let heads: Vec<_> = world.iter().map(|resource| resource.head.clone()).collect();
    prop_assert_eq!(part.resources().unwrap(), heads);
    for resource in &world {
        prop_assert_eq!(part.resource(&resource.head.key).unwrap(), Some(resource.head.clone()));
        let all = check_read(&part, resource, &EntitySelector::All, TimeRange::ALL, &resource.head.columns);
        prop_assert!(all.is_ok(), "{}: {}", resource.head.key.name, all.unwrap_err());
    }
    let data =
        world.iter().filter(|r| r.head.key.kind == RowKind::Data).flat_map(|r| &r.rows).map(|row| row.time);
    let time = data.clone().min().map(|begin| TimeRange { begin, end: data.max().unwrap() });
    prop_assert_eq!(part.time_range(), time);
    for _ in 0..reads {
        let resource = &world[random.below(world.len())];
        let selector = random_selector(&mut random, resource);
        let time = random_time(&mut random, resource);
        let mut columns = all_columns();
        columns.retain(|_| random.one_in(3));
        let result = check_read(&part, resource, &selector, time, &columns);
        prop_assert!(result.is_ok(), "{selector:?} {time:?}: {}", result.unwrap_err());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_part_equals_the_sorted_rows_it_was_made_of(
        seed in any::<u64>(),
        resources in 1usize..30,
        entities in 1usize..40,
        rows_per_series in 1usize..12,
        batch_rows in 1usize..200,
        thorough in any::<bool>(),
    ) {
        let effort = if thorough { Effort::Thorough } else { Effort::Fast };
        check_world(seed, Sizes { resources, entities, rows_per_series, batch_rows }, effort, 30)?;
    }
}

/// Sizes that fill several blocks of every section.
#[test]
fn a_part_of_many_series_equals_its_rows() {
    let sizes = Sizes { resources: 3, entities: 9000, rows_per_series: 3, batch_rows: 8000 };
    check_world(11, sizes, Effort::Fast, 30).unwrap();
}

#[test]
fn a_part_of_long_series_equals_its_rows() {
    let sizes = Sizes { resources: 2, entities: 6, rows_per_series: 12_000, batch_rows: 5000 };
    check_world(12, sizes, Effort::Fast, 60).unwrap();
}

#[test]
fn a_part_of_many_resources_equals_its_rows() {
    let sizes = Sizes { resources: 700, entities: 30, rows_per_series: 2, batch_rows: 100 };
    check_world(13, sizes, Effort::Fast, 300).unwrap();
}

#[test]
fn how_rows_are_cut_into_batches_does_not_change_the_rows_that_are_read() {
    let sizes = Sizes { resources: 3, entities: 20, rows_per_series: 30, batch_rows: 1 };
    let world = random_world(&mut Random(5), sizes);
    for batch_rows in [1, 2, 3, 100, 8192] {
        let part = part_of(&world, batch_rows, Effort::Fast);
        for resource in &world {
            check_read(&part, resource, &EntitySelector::All, TimeRange::ALL, &all_columns()).unwrap();
        }
    }
}

#[test]
fn what_is_written_is_counted() {
    let sizes = Sizes { resources: 9, entities: 50, rows_per_series: 4, batch_rows: 33 };
    let world = random_world(&mut Random(7), sizes);
    let (_, fs) = disk();
    let summary = write(&fs, &part_path(), &world, 33, Effort::Fast).unwrap();
    let part = open(&fs).unwrap();
    assert_eq!(part.summary(), &summary);
    assert_eq!(summary.total_rows() as usize, world.iter().map(|r| r.rows.len()).sum::<usize>());
    assert_eq!(summary.resources as usize, world.len());
    let description = part.describe();
    assert_eq!(description.identity, super::world::identity());
    let rows_section = description.sections.iter().find(|section| section.name == "rows").unwrap();
    let counted: u64 = description.regions.iter().map(|region| region.bytes).sum();
    assert!(counted <= rows_section.length && counted * 10 > rows_section.length * 8);
    // Every family has both of its founding regions, and only those that the part has columns of (SE-016).
    let names: Vec<&str> = description.regions.iter().map(|region| &*region.name).collect();
    assert_eq!(
        names,
        ["timestamps", "fields", "default.tf", "default.tfm", "other.tf", "other.tfm", "companions"]
    );
}
