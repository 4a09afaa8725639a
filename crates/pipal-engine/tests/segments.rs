//! Times far from now cost no more segments than the engine allows.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use pipal_engine::fs::SimulatedFileSystem;
use pipal_engine::{GroupOptions, Route, WriteBatch};
use pipal_model::time::DAY_NANOS;
use pipal_model::{ErrorKind, RowPolicy};
use std::collections::BTreeSet;
use std::sync::Arc;
use support::random::Random;
use support::world::{NOW, World, random_row, segmented, small_options};

const GROUP: u64 = 1;
const CENTURY_DAYS: i64 = 36_525;
const TIMES: i64 = 10_000;

/// What became of rows at 10,000 times, evenly spread over the century around now.
#[derive(Debug, Default)]
struct Outcome {
    segments: BTreeSet<i64>,
    expired: usize,
    refused: usize,
}

fn write_a_century(options: GroupOptions) -> (World, Outcome) {
    let mut world = World::new(Arc::new(SimulatedFileSystem::new()), small_options());
    world.put_group(GROUP, options, RowPolicy::Collapse);
    let layout = world.layouts[&RowPolicy::Collapse][0].clone();
    let mut random = Random::new(1);
    let mut outcome = Outcome::default();
    for i in 0..TIMES {
        let time = NOW + (i - TIMES / 2) * (CENTURY_DAYS * DAY_NANOS / TIMES);
        match world.engine.route(GROUP, time) {
            Ok(Route::Segment(segment)) => {
                outcome.segments.insert(segment.start);
                let table = pipal_engine::TableKey { group: GROUP, segment, shard: 0 };
                world.write(&vec![(table, layout.clone(), random_row(&mut random, &layout, time))]);
            }
            Ok(Route::Expired) => outcome.expired += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
                outcome.refused += 1;
            }
        }
    }
    (world, outcome)
}

/// A client with a broken clock once made its server open a segment for every day of a century. What is too old is not
/// kept, of the future only so many segments are made, and the rows of the others stay where they are.
#[test]
fn ten_thousand_times_over_a_century_make_few_segments() {
    let (mut world, outcome) = write_a_century(segmented(1));
    assert_eq!(outcome.segments.iter().filter(|start| **start > NOW).count(), 64);
    assert!(outcome.segments.len() <= 64 + 8, "{outcome:?}");
    assert!(outcome.expired > 4_900 && outcome.refused > 4_900, "{outcome:?}");
    world.check("before");
    world.reopen(true);
    world.check("opened again");
}

/// Without a TTL all of the past is kept, up to the most segments that a group may have.
#[test]
fn the_past_of_a_group_without_ttl_has_a_maximum_too() {
    let (world, outcome) = write_a_century(GroupOptions { ttl: None, ..segmented(1) });
    assert_eq!((outcome.segments.len(), outcome.expired), (4096, 0), "{outcome:?}");
    world.engine.commit_blocking(WriteBatch::new()).unwrap();
    world.check("with the most segments");
}
