//! Random schemas and operations against the naive model: whatever is written, flushed, merged or opened again, the engine
//! holds exactly the model's rows, bit for bit.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use pipal_engine::fs::SimulatedFileSystem;
use pipal_model::RowPolicy;
use std::sync::Arc;
use support::random::Random;
use support::world::{World, random_layouts, segmented, small_options, unsegmented};

const SEEDS: u64 = 200;
const OPERATIONS: usize = 2000;

fn play(seed: u64, operations: usize) {
    let mut random = Random::new(seed);
    let mut world = World::new(Arc::new(SimulatedFileSystem::new()), small_options());
    world.layouts = random_layouts(&mut random);
    world.put_group(1, segmented(2), RowPolicy::Versioned);
    world.put_group(2, segmented(1), RowPolicy::Collapse);
    world.put_group(3, unsegmented(), RowPolicy::Document);
    world.put_group(4, segmented(1), RowPolicy::Latest);
    let mut next_group = 5;
    for operation in 0..operations {
        match random.below(1000) {
            0..20 => world.engine.flush().unwrap(),
            20..30 => world.engine.wait_merges().unwrap(),
            30..34 => world.reopen(true),
            34..38 => world.reopen(false),
            38..48 => world.check(&format!("seed {seed}, operation {operation}")),
            48..52 => {
                // A group of a random policy goes and comes again under another incarnation.
                let victim = *random.pick(&world.groups.keys().copied().collect::<Vec<_>>());
                let (options, policy) = world.groups.remove(&victim).unwrap();
                world.engine.drop_group(victim, |result| result.unwrap());
                world.model.drop_group(victim);
                world.put_group(next_group, options, policy);
                next_group += 1;
            }
            52..60 => {
                world.engine.flush_due();
                world.engine.reap().unwrap();
            }
            _ => {
                let group = *random.pick(&world.groups.keys().copied().collect::<Vec<_>>());
                let request = world.random_request(&mut random, group);
                world.write(&request);
            }
        }
    }
    world.check(&format!("seed {seed}, at the end"));
    world.engine.flush().unwrap();
    world.engine.wait_merges().unwrap();
    world.check(&format!("seed {seed}, flushed and merged"));
    world.reopen(true);
    world.check(&format!("seed {seed}, opened again"));
    assert!(world.report.damages.is_empty(), "seed {seed}: {:?}", world.report);
}

/// One seed after the other is played by as many threads as there are cores.
#[test]
fn the_engine_equals_the_model() {
    let next = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, |n| n.get()) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= SEEDS {
                        return;
                    }
                    play(seed, OPERATIONS);
                }
            });
        }
    });
}
