//! Every operation on files fails once, in every way: nobody panics, no acknowledged row is lost, reads go on, and
//! a disk that was full heals without a restart.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use pipal_engine::fs::{Fault, FileSystem, SimulatedFileSystem};
use pipal_engine::{Engine, ManualClock};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use support::model::Model;
use support::script::{play, put_groups};
use support::world::{NOW, ROOT, World, expected, read_all, small_options};

const SEED: u64 = 11;
const STEPS: usize = 40;

#[test]
fn every_operation_may_fail_once() {
    let disk = SimulatedFileSystem::new();
    let mut world = World::new(Arc::new(disk.clone()), small_options());
    put_groups(&mut world);
    play(&mut world, SEED, STEPS, false);
    let operations = disk.counters().operations;
    let next = AtomicU64::new(1);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, |n| n.get()) {
            scope.spawn(|| {
                loop {
                    let operation = next.fetch_add(1, Ordering::Relaxed);
                    if operation > operations {
                        return;
                    }
                    for fault in [Fault::Eio, Fault::Enospc, Fault::ShortWrite] {
                        fail_once(operation, fault);
                    }
                }
            });
        }
    });
}

fn fail_once(operation: u64, fault: Fault) {
    let context = format!("seed {SEED}, {fault:?} at operation {operation}");
    let disk = SimulatedFileSystem::new();
    disk.fail_at(operation, fault);
    let fs: Arc<dyn FileSystem> = Arc::new(disk.clone());
    let clock = Arc::new(ManualClock::new(NOW));
    let first = Engine::open(fs.clone(), clock, Path::new(ROOT), small_options());
    if first.is_err() {
        // A start that fails says so; the next one succeeds.
        World::new(fs, small_options());
        return;
    }
    drop(first);
    let disk = SimulatedFileSystem::new();
    disk.fail_at(operation, fault);
    let mut world = World::new(Arc::new(disk.clone()), small_options());
    put_groups(&mut world);
    let outcome = play(&mut world, SEED, STEPS, false);
    let live = |model: &Model| {
        let mut model = model.clone();
        model.tables.retain(|key, _| world.groups.contains_key(&key.group));
        expected(&model)
    };
    let held = read_all(&world.engine, &world.groups);
    assert_eq!(held, live(&outcome.acknowledged), "{context}: reads go on and show what was acknowledged");
    let possible: Vec<_> = outcome.in_doubt.iter().chain([&outcome.acknowledged]).map(live).collect();
    assert!(outcome.healed, "{context}: the disk has room again, and writes should succeed");
    world.reopen(false);
    assert!(world.report.damages.is_empty(), "{context}: {:?}", world.report);
    let held = read_all(&world.engine, &world.groups);
    assert!(possible.contains(&held), "{context}: after opening again the rows are others");
}
