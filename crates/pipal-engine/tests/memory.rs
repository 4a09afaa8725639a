//! Everything that the engine holds is charged to the memory of the process (L-23): what can wait does, what cannot is
//! done all the same, and nothing stays charged.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use pipal_engine::fs::SimulatedFileSystem;
use pipal_engine::options::MERGE_PUT_OFFS_MAX;
use pipal_engine::{CounterValues, Engine, EngineOptions, GroupId};
use pipal_model::{MemoryLedger, MemoryPool, Reservation, RowPolicy, Share};
use std::sync::Arc;
use support::random::Random;
use support::world::{World, small_options, unsegmented};

const GROUP: GroupId = 1;
const LIMIT: usize = 64 << 20;

/// An engine and somebody else who uses the same memory.
struct Shared {
    world: World,
    random: Random,
    ledger: MemoryLedger,
    others: Arc<MemoryPool>,
}

impl Shared {
    fn new() -> Self {
        Shared::with(small_options())
    }

    fn with(options: EngineOptions) -> Self {
        let ledger = MemoryLedger::new(LIMIT);
        let options = EngineOptions { memory: ledger.clone(), ..options };
        let mut world = World::new(Arc::new(SimulatedFileSystem::new()), options);
        world.put_group(GROUP, unsegmented(), RowPolicy::Versioned);
        let others = ledger.share(Share::Queries, usize::MAX);
        Shared { world, random: Random::new(7), ledger, others }
    }

    fn write(&mut self) {
        let request = self.world.random_request(&mut self.random, GROUP);
        self.world.write(&request);
    }

    /// As many parts as make a merge due.
    fn write_parts(&mut self) {
        for _ in 0..small_options().merge_inputs_min {
            self.write();
            self.world.engine.flush().unwrap();
        }
    }

    fn used(&self, share: Share) -> usize {
        self.ledger.shares().iter().filter(|s| s.share == share).map(|s| s.used).sum()
    }

    fn counters(&self) -> CounterValues {
        self.world.engine.stats().counters
    }
}

/// The merges and the put off merges among these counters.
fn merges(counters: CounterValues) -> (u64, u64) {
    (counters.merges, counters.merges_put_off)
}

#[test]
fn a_merge_waits_for_memory_and_runs_when_there_is_some() {
    let mut shared = Shared::new();
    shared.write_parts();
    let all = Reservation::charged(&shared.others, LIMIT);
    assert!(!shared.world.engine.merge_once().unwrap());
    assert!(!shared.world.engine.merge_once().unwrap());
    assert_eq!(merges(shared.counters()), (0, 2));
    assert_eq!(shared.used(Share::PartWriters), 0, "a merge that waits holds nothing");
    drop(all);
    assert!(shared.world.engine.merge_once().unwrap());
    assert_eq!(merges(shared.counters()), (1, 2));
    assert_eq!((shared.used(Share::PartWriters), shared.counters().merge_errors), (0, 0));
    shared.world.check("merged");
}

#[test]
fn a_merge_is_not_put_off_for_ever() {
    let mut shared = Shared::new();
    shared.write_parts();
    let _all = Reservation::charged(&shared.others, 2 * LIMIT);
    let tries = (0..).take_while(|_| !shared.world.engine.merge_once().unwrap()).count();
    assert_eq!(tries, MERGE_PUT_OFFS_MAX as usize);
    assert_eq!(merges(shared.counters()), (1, u64::from(MERGE_PUT_OFFS_MAX)));
    shared.write_parts();
    assert!(!shared.world.engine.merge_once().unwrap(), "the next one waits again");
    shared.world.check("merged");
}

#[test]
fn acknowledged_rows_are_applied_flushed_and_replayed_although_the_ledger_is_overdrawn() {
    let mut shared = Shared::new();
    let _all = Reservation::charged(&shared.others, 2 * LIMIT);
    shared.write();
    assert_eq!(shared.used(Share::Rows) as u64, shared.world.engine.stats().memory_bytes);
    assert!(shared.used(Share::Rows) > 0);
    shared.world.reopen(false);
    assert!(shared.used(Share::Rows) > 0, "what is replayed is charged");
    shared.world.check("replayed");
    shared.world.engine.flush().unwrap();
    assert_eq!((shared.used(Share::Rows), shared.used(Share::PartWriters)), (0, 0));
    assert_eq!(shared.counters().flushes, 1);
    shared.world.check("flushed");
}

/// Rows that may stay while there is memory are flushed when there is none.
#[test]
fn rows_are_flushed_earlier_when_the_process_is_short_of_memory() {
    // Neither the size of the table nor that of the log shall make the flush due.
    let options =
        EngineOptions { table_memory_bytes_max: LIMIT, log_bytes_max: LIMIT as u64, ..small_options() };
    let mut shared = Shared::with(options);
    while shared.used(Share::Rows) * 100 < small_options().memory_bytes_max * 40 {
        shared.write();
    }
    assert_eq!(shared.world.engine.flush_due(), 0);
    let _all = Reservation::charged(&shared.others, 2 * LIMIT);
    assert_eq!(shared.world.engine.flush_due(), 1);
}

#[test]
fn nothing_stays_charged_when_groups_and_engines_go() {
    let mut shared = Shared::new();
    shared.write_parts();
    shared.write();
    shared.world.check("the cache fills");
    assert!(shared.used(Share::Cache) > 0 && shared.used(Share::Rows) > 0);
    shared.world.engine.drop_group(GROUP, |result| result.unwrap());
    assert_eq!(shared.used(Share::Rows), 0);
    let Shared { world, ledger, others, .. } = shared;
    let engine: Engine = world.engine;
    drop((engine, others));
    assert_eq!((ledger.used(), ledger.shares().len()), (0, 0));
}
