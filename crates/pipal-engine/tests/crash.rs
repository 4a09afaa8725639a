//! Power cuts: before and after every operation on files, with everything that may survive of what was not
//! synced, and again during recovery. Each image opens and holds every acknowledged row exactly once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use pipal_engine::fs::{CrashPolicy, FileSystem, SimulatedFileSystem};
use pipal_engine::{Engine, GroupId, GroupOptions, ManualClock};
use pipal_model::RowPolicy;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use support::random::Random;
use support::script::{Outcome, play, put_groups};
use support::world::{ROOT, World, expected, read_all, small_options};

const SEED: u64 = 7;
const STEPS: usize = 60;
/// Operations on files that the script must at least do for this test to mean something.
const OPERATIONS_MIN: u64 = 500;

fn run(disk: &SimulatedFileSystem) -> (World, Outcome) {
    let mut world = World::new(Arc::new(disk.clone()), small_options());
    put_groups(&mut world);
    let outcome = play(&mut world, SEED, STEPS, true);
    (world, outcome)
}

type Groups = BTreeMap<GroupId, (GroupOptions, RowPolicy)>;

fn check_image(
    image: &SimulatedFileSystem,
    clock: &Arc<ManualClock>,
    groups: &Groups,
    outcome: &Outcome,
    context: &str,
) {
    let fs: Arc<dyn FileSystem> = Arc::new(image.clone());
    let opened = Engine::open(fs, clock.clone(), Path::new(ROOT), small_options());
    let (engine, report) = opened.unwrap_or_else(|error| panic!("{context}: {error}"));
    assert!(report.damages.is_empty(), "{context}: a power cut is no damage: {report:?}");
    groups.iter().for_each(|(id, (options, _))| engine.put_group(*id, *options).unwrap());
    let held = read_all(&engine, groups);
    let acknowledged = expected(&outcome.acknowledged);
    if held == acknowledged || outcome.in_doubt.iter().any(|model| held == expected(model)) {
        return;
    }
    for (table, rows) in &acknowledged {
        assert_eq!(held.get(table), Some(rows), "{context}: {table}");
    }
    panic!(
        "{context}: rows that nobody acknowledged: {:?}",
        held.keys().filter(|t| !acknowledged.contains_key(*t))
    );
}

#[test]
fn every_power_cut_leaves_every_acknowledged_row_exactly_once() {
    let disk = SimulatedFileSystem::new();
    let (_world, _) = run(&disk);
    let operations = disk.counters().operations;
    assert!(operations >= OPERATIONS_MIN, "the script does only {operations} operations");
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, |n| n.get()) {
            scope.spawn(|| {
                loop {
                    let cut = next.fetch_add(1, Ordering::Relaxed);
                    if cut > operations {
                        return;
                    }
                    cut_power_after(cut);
                }
            });
        }
    });
}

fn cut_power_after(cut: u64) {
    let disk = SimulatedFileSystem::new();
    disk.power_cut_after(cut);
    // Before the first operation succeeded there is nothing to open, and that is an error, not a database.
    let fs: Arc<dyn FileSystem> = Arc::new(disk.clone());
    let clock = Arc::new(ManualClock::new(support::world::NOW));
    if Engine::open(fs, clock.clone(), Path::new(ROOT), small_options()).is_err() {
        let outcome = Outcome { acknowledged: Default::default(), in_doubt: Vec::new(), healed: true };
        for (policy, image) in disk.crash_images(1, 0..2) {
            check_image(&image, &clock, &Groups::new(), &outcome, &format!("cut after {cut}, {policy:?}"));
        }
        return;
    }
    let disk = SimulatedFileSystem::new();
    disk.power_cut_after(cut);
    let (world, outcome) = run(&disk);
    let mut groups = world.groups.clone();
    groups.extend(world.dropped.clone());
    for (policy, image) in disk.crash_images(1, cut * 4..cut * 4 + 2) {
        let context = format!("seed {SEED}, power cut after operation {cut}, survives {policy:?}");
        check_image(&image.fork(), &world.clock, &groups, &outcome, &context);
        if matches!(policy, CrashPolicy::Random(_)) {
            cut_again_during_recovery(&image, cut, &world.clock, &groups, &outcome, &context);
        }
    }
}

fn cut_again_during_recovery(
    image: &SimulatedFileSystem,
    cut: u64,
    clock: &Arc<ManualClock>,
    groups: &Groups,
    outcome: &Outcome,
    context: &str,
) {
    let disk = image.fork();
    let second = disk.counters().operations + Random::new(cut).below(12);
    disk.power_cut_after(second);
    let fs: Arc<dyn FileSystem> = Arc::new(disk.clone());
    drop(Engine::open(fs, clock.clone(), Path::new(ROOT), small_options()));
    let image = disk.crash_image(CrashPolicy::Random(cut));
    check_image(&image, clock, groups, outcome, &format!("{context}, again after {second} during recovery"));
}
