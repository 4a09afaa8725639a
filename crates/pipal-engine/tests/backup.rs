//! Snapshots: one instant over everything, whatever goes on meanwhile; a whole one or none after a power cut or a
//! failure; and back into a data directory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use pipal_engine::backup::{
    CopyMode, Listing, SNAPSHOTS_KEPT, SNAPSHOTS_MAX, TakenSnapshot, copy_snapshot, restore, verify_snapshot,
};
use pipal_engine::fs::{CrashPolicy, Fault, FileSystem, SimulatedFileSystem};
use pipal_engine::{Clock, Engine, GroupId, GroupOptions, ManualClock, SYSTEM_GROUP};
use pipal_model::time::{DAY_NANOS, HOUR_NANOS};
use pipal_model::{ErrorKind, Result, RowPolicy};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use support::hooked::HookedFileSystem;
use support::model::Model;
use support::random::Random;
use support::script::put_groups;
use support::world::{
    Contents, NOW, ROOT, Request, World, expected, read_all, segmented, small_options, unsegmented,
};

type Groups = BTreeMap<GroupId, (GroupOptions, RowPolicy)>;

fn world_on(fs: Arc<dyn FileSystem>) -> World {
    let mut world = World::new(fs, small_options());
    put_groups(&mut world);
    // The documents of the schema are rows like others.
    world.put_group(SYSTEM_GROUP, unsegmented(), RowPolicy::Document);
    world
}

/// Opens a directory as a database and reads everything in it.
fn contents(fs: &Arc<dyn FileSystem>, dir: &Path, groups: &Groups, context: &str) -> Contents {
    let clock = Arc::new(ManualClock::new(NOW));
    let opened = Engine::open(fs.clone(), clock, dir, small_options());
    let (engine, report) = opened.unwrap_or_else(|error| panic!("{context}: {error}"));
    assert!(report.damages.is_empty() && report.quarantined == 0, "{context}: {report:?}");
    assert_eq!(report.replayed_entries, 0, "{context}: a snapshot needs no log");
    groups.iter().for_each(|(id, (options, _))| engine.put_group(*id, *options).unwrap());
    read_all(&engine, groups)
}

fn write_some(world: &mut World, random: &mut Random, requests: usize) {
    for _ in 0..requests {
        let group = *random.pick(&world.groups.keys().copied().collect::<Vec<_>>());
        let request = world.random_request(random, group);
        world.write(&request);
    }
}

/// A snapshot with what it must hold.
struct Kept {
    taken: TakenSnapshot,
    groups: Groups,
    model: Model,
}

#[test]
fn a_snapshot_holds_exactly_what_was_acknowledged_before_it() {
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let mut world = world_on(Arc::new(SimulatedFileSystem::new()));
        let mut kept: Vec<Kept> = Vec::new();
        for step in 0..150 {
            match random.below(100) {
                0..6 => world.engine.flush().unwrap(),
                6..10 => world.engine.wait_merges().unwrap(),
                10..14 => world.engine.reap().unwrap(),
                14..16 => {
                    let victim = *random.pick(&[1, 2, 3, 4, 5]);
                    if world.groups.remove(&victim).is_some() {
                        world.engine.drop_group(victim, |result| result.unwrap());
                        world.model.drop_group(victim);
                    }
                }
                16..18 => world.reopen(random.chance(50)),
                18..22 => {
                    let taken = world.engine.take_snapshot().unwrap();
                    kept.push(Kept { taken, groups: world.groups.clone(), model: world.model.clone() });
                }
                _ => write_some(&mut world, &mut random, 1),
            }
            if step == 149 {
                world.reopen(false);
            }
        }
        let fs = world.fs.clone();
        for (number, Kept { taken, groups, model }) in kept.iter().enumerate() {
            let context = format!("seed {seed}, snapshot {number}");
            let listing = verify_snapshot(&fs, &taken.path).unwrap();
            assert_eq!(listing, taken.listing, "{context}");
            let with_rows: Vec<GroupId> = model.tables.keys().map(|key| key.group).collect();
            assert!(
                listing.groups().iter().eq(&with_rows.into_iter().collect::<std::collections::BTreeSet<_>>())
            );
            assert_eq!(contents(&fs, &taken.path, groups, &context), expected(model), "{context}");
        }
        world.check(&format!("seed {seed}: the source"));
    }
}

/// While a part is being linked, its group is deleted, its segment expires, and merges replace what is left.
#[test]
fn a_snapshot_keeps_parts_that_go_away_while_they_are_linked() {
    let fs = Arc::new(HookedFileSystem::default());
    let mut world = world_on(fs.clone());
    let mut random = Random::new(3);
    for _ in 0..6 {
        write_some(&mut world, &mut random, 12);
        world.engine.flush().unwrap();
    }
    let (groups, model) = (world.groups.clone(), world.model.clone());
    let (engine, clock) = (world.engine.clone(), world.clock.clone());
    let done = Arc::new(AtomicBool::new(false));
    let was_called = done.clone();
    fs.before_link_below("/data/snapshots", move || {
        engine.drop_group(1, |result| result.unwrap());
        engine.drop_group(3, |result| result.unwrap());
        engine.wait_merges().unwrap();
        clock.advance(7 * DAY_NANOS);
        assert!(engine.run_retention().unwrap() > 0, "segments of the other groups must expire");
        engine.reap().unwrap();
        was_called.store(true, Ordering::SeqCst);
    });
    let taken = world.engine.take_snapshot().unwrap();
    assert!(done.load(Ordering::SeqCst), "a part must have been linked");
    let dynamic: Arc<dyn FileSystem> = fs;
    verify_snapshot(&dynamic, &taken.path).unwrap();
    assert_eq!(contents(&dynamic, &taken.path, &groups, "snapshot"), expected(&model));
}

/// Rows that arrive while the snapshot flushes are in memory at the cut, and inside all the same.
#[test]
fn rows_that_arrive_during_the_flush_are_in_the_snapshot() {
    let fs = Arc::new(HookedFileSystem::default());
    let mut world = world_on(fs.clone());
    let mut random = Random::new(4);
    write_some(&mut world, &mut random, 10);
    let requests: Vec<Request> =
        (0..20).map(|n| world.random_request(&mut random, [1, 2, 3, 4, 5, SYSTEM_GROUP][n % 6])).collect();
    requests.iter().for_each(|request| world.model.apply(request));
    let engine = world.engine.clone();
    fs.before_link_below("/data/groups", move || {
        requests.iter().for_each(|request| engine.commit_blocking(World::batch(request)).unwrap());
    });
    let taken = world.engine.take_snapshot().unwrap();
    assert!(world.engine.stats().memory_rows > 0, "some rows must have missed the flush");
    let fs: Arc<dyn FileSystem> = fs;
    verify_snapshot(&fs, &taken.path).unwrap();
    assert_eq!(contents(&fs, &taken.path, &world.groups, "snapshot"), expected(&world.model));
    let in_memory = world.engine.stats();
    world.reopen(false);
    world.check("the source, after a crash");
    assert!(
        world.report.replayed_entries > 0,
        "the log still has what only the snapshot holds in parts: {in_memory:?}"
    );
}

/// Requests that each touch several tables are written by one thread, flushed and merged by another, and a snapshot
/// must always hold a prefix of them.
#[test]
fn a_snapshot_is_one_instant_while_others_write_flush_and_merge() {
    const REQUESTS: usize = 300;
    let fs: Arc<dyn FileSystem> = Arc::new(SimulatedFileSystem::new());
    let world = world_on(fs.clone());
    let mut random = Random::new(9);
    let requests: Vec<Request> = (0..REQUESTS)
        .map(|_| {
            [1, 3, SYSTEM_GROUP].into_iter().flat_map(|g| world.random_request(&mut random, g)).collect()
        })
        .collect();
    let acknowledged = AtomicUsize::new(0);
    let engine = &world.engine;
    let taken: Vec<(usize, TakenSnapshot, usize)> = std::thread::scope(|scope| {
        scope.spawn(|| {
            for request in &requests {
                engine.commit_blocking(World::batch(request)).unwrap();
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
        });
        scope.spawn(|| {
            while acknowledged.load(Ordering::SeqCst) < REQUESTS {
                engine.flush().unwrap();
                engine.wait_merges().unwrap();
                engine.reap().unwrap();
            }
        });
        let mut taken = Vec::new();
        while acknowledged.load(Ordering::SeqCst) < REQUESTS || taken.is_empty() {
            let before = acknowledged.load(Ordering::SeqCst);
            let snapshot = engine.take_snapshot().unwrap();
            // One more may be visible whose acknowledgement is still on its way.
            taken.push((before, snapshot, (acknowledged.load(Ordering::SeqCst) + 1).min(REQUESTS)));
        }
        taken
    });
    for (before, snapshot, after) in taken.iter().rev().take(12) {
        verify_snapshot(&fs, &snapshot.path).unwrap();
        let held = contents(&fs, &snapshot.path, &world.groups, &snapshot.name);
        let mut model = Model::default();
        requests[..*before].iter().for_each(|request| model.apply(request));
        let mut is_prefix = held == expected(&model);
        for request in &requests[*before..*after] {
            model.apply(request);
            is_prefix |= held == expected(&model);
        }
        assert!(is_prefix, "{}: no prefix of {before} to {after} requests", snapshot.name);
    }
}

/// A small world with parts and rows in memory, before a snapshot.
fn prepared(disk: &SimulatedFileSystem) -> World {
    let mut world = World::new(Arc::new(disk.clone()), small_options());
    world.put_group(1, segmented(1), RowPolicy::Versioned);
    world.put_group(SYSTEM_GROUP, unsegmented(), RowPolicy::Document);
    let mut random = Random::new(5);
    write_some(&mut world, &mut random, 6);
    world.engine.flush().unwrap();
    write_some(&mut world, &mut random, 3);
    world
}

/// Numbers of the operations that a snapshot of the prepared world does.
fn operations_of_a_snapshot() -> std::ops::RangeInclusive<u64> {
    let disk = SimulatedFileSystem::new();
    let world = prepared(&disk);
    let first = disk.counters().operations + 1;
    world.engine.take_snapshot().unwrap();
    let range = first..=disk.counters().operations;
    assert!(range.clone().count() > 50, "{range:?}");
    range
}

fn snapshots(fs: &Arc<dyn FileSystem>) -> Vec<String> {
    match fs.list(Path::new("/data/snapshots")) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        entries => entries.unwrap().into_iter().map(|e| e.name).collect(),
    }
}

#[test]
fn a_power_cut_leaves_a_whole_snapshot_or_none_and_the_source_loses_nothing() {
    let operations = operations_of_a_snapshot();
    let (mut whole, mut none) = (0, 0);
    for cut in *operations.start() - 1..=*operations.end() {
        let disk = SimulatedFileSystem::new();
        let world = prepared(&disk);
        disk.power_cut_after(cut);
        let taken = world.engine.take_snapshot();
        for (policy, image) in disk.crash_images(1, cut * 4..cut * 4 + 2) {
            let context = format!("power cut after operation {cut}, survives {policy:?}");
            let fs: Arc<dyn FileSystem> = Arc::new(image);
            {
                let (engine, report) =
                    Engine::open(fs.clone(), world.clock.clone(), Path::new(ROOT), small_options()).unwrap();
                assert!(report.damages.is_empty(), "{context}: {report:?}");
                world.groups.iter().for_each(|(id, g)| engine.put_group(*id, g.0).unwrap());
                assert_eq!(read_all(&engine, &world.groups), expected(&world.model), "{context}");
                engine.reap().unwrap();
            }
            let found = snapshots(&fs);
            assert!(found.len() == 1 || (found.is_empty() && taken.is_err()), "{context}: {found:?}");
            none += usize::from(found.is_empty());
            for name in found {
                whole += 1;
                let dir = Path::new("/data/snapshots").join(name);
                verify_snapshot(&fs, &dir).unwrap_or_else(|error| panic!("{context}: {error}"));
                assert_eq!(contents(&fs, &dir, &world.groups, &context), expected(&world.model), "{context}");
            }
        }
    }
    assert!(whole > 0 && none > 0, "{whole} whole, {none} none");
}

#[test]
fn a_failure_leaves_no_snapshot_behind_and_the_source_goes_on() {
    let mut failed = 0;
    for operation in operations_of_a_snapshot() {
        for fault in [Fault::Eio, Fault::Enospc, Fault::ShortWrite] {
            let context = format!("{fault:?} at operation {operation}");
            let disk = SimulatedFileSystem::new();
            let mut world = prepared(&disk);
            let fs = world.fs.clone();
            disk.fail_at(operation, fault);
            let model = world.model.clone();
            match world.engine.take_snapshot() {
                Ok(taken) => {
                    verify_snapshot(&fs, &taken.path).unwrap_or_else(|error| panic!("{context}: {error}"));
                    let held = contents(&fs, &taken.path, &world.groups, &context);
                    assert_eq!(held, expected(&model), "{context}");
                }
                Err(error) => {
                    failed += 1;
                    assert_ne!(error.kind(), ErrorKind::Internal, "{context}: {error}");
                    world.engine.reap().unwrap();
                    assert_eq!(snapshots(&fs), Vec::<String>::new(), "{context}");
                    assert_eq!(world.engine.stats().counters.snapshot_errors, 1);
                }
            }
            world.check(&context);
            write_some(&mut world, &mut Random::new(operation), 3);
            let again = world.engine.take_snapshot().unwrap();
            let held = contents(&fs, &again.path, &world.groups, &context);
            assert_eq!(held, expected(&world.model), "{context}: the next one");
            world.reopen(false);
            assert!(world.report.damages.is_empty(), "{context}: {:?}", world.report);
            world.check(&context);
        }
    }
    assert!(failed > 50, "{failed}");
}

#[test]
fn old_snapshots_make_room_but_young_ones_stay_up_to_a_limit() {
    let world = prepared(&SimulatedFileSystem::new());
    let mut names = Vec::new();
    for _ in 0..SNAPSHOTS_KEPT + 3 {
        names.push(world.engine.take_snapshot().unwrap().name);
        world.clock.advance(2 * HOUR_NANOS);
    }
    assert_eq!(names[0], "20241004120000-00000001");
    world.engine.reap().unwrap();
    assert_eq!(snapshots(&world.fs), names[3..], "the oldest have gone");
    for _ in 0..SNAPSHOTS_MAX {
        names.push(world.engine.take_snapshot().unwrap().name);
    }
    world.engine.reap().unwrap();
    assert_eq!(snapshots(&world.fs), names[names.len() - SNAPSHOTS_MAX..], "young ones stay, up to a limit");
}

#[test]
fn leftovers_of_a_crash_go_at_open_and_foreign_names_stay() {
    let mut world = prepared(&SimulatedFileSystem::new());
    let whole = world.engine.take_snapshot().unwrap().name;
    let names = ["20241004120000-00000007.tmp", "20241004120000-00000008.dropped", "mine.tmp", "mine"];
    for name in names {
        world.fs.create_dir_all(&Path::new("/data/snapshots").join(name).join("groups")).unwrap();
    }
    world.reopen(true);
    world.engine.reap().unwrap();
    assert_eq!(snapshots(&world.fs), [whole.as_str(), "mine", "mine.tmp"]);
}

/// A snapshot on a disk, with what it holds.
struct Source {
    disk: SimulatedFileSystem,
    fs: Arc<dyn FileSystem>,
    clock: Arc<dyn Clock>,
    dir: PathBuf,
    groups: Groups,
    expected: Contents,
    listing: Listing,
}

impl Source {
    fn new() -> Self {
        let disk = SimulatedFileSystem::new();
        let world = prepared(&disk);
        let taken = world.engine.take_snapshot().unwrap();
        let (fs, clock, groups) = (world.fs.clone(), world.clock.clone(), world.groups.clone());
        let expected = expected(&world.model);
        Source { disk, fs, clock, dir: taken.path, groups, expected, listing: taken.listing }
    }

    fn restore(&self, to: &str) -> Result<Listing> {
        restore(&self.fs, &self.clock, &self.dir, Path::new(to))
    }
}

#[test]
fn a_copy_is_restored_and_the_source_of_it_may_go() {
    for mode in [CopyMode::Bytes, CopyMode::Links] {
        let mut source = Source::new();
        let copy = PathBuf::from("/backup/monday");
        assert_eq!(copy_snapshot(&source.fs, &source.dir, &copy, mode).unwrap(), source.listing);
        let error = copy_snapshot(&source.fs, &source.dir, &copy, mode).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
        source.fs.remove_dir_all(Path::new(ROOT)).unwrap();
        source.dir = copy.clone();
        source.restore("/restored").unwrap();
        assert_eq!(contents(&source.fs, Path::new("/restored"), &source.groups, "restored"), source.expected);
        verify_snapshot(&source.fs, &copy).unwrap();
        let error = source.restore("/restored").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
    }
}

#[test]
fn damage_is_found_before_anything_is_restored() {
    let source = Source::new();
    for (number, file) in source.listing.files.iter().enumerate() {
        let path = source.dir.join(&file.path);
        let whole = source.fs.read(&path).unwrap();
        source.disk.flip_bit(&path, (number as u64 * 997) % (file.bytes * 8)).unwrap();
        assert_eq!(verify_snapshot(&source.fs, &source.dir).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(source.restore("/restored").unwrap_err().kind(), ErrorKind::Corrupt, "{}", file.path);
        assert_eq!(source.fs.list(Path::new("/restored")).unwrap().len(), 1, "only the lock file is there");
        let error = copy_snapshot(&source.fs, &source.dir, Path::new("/copy"), CopyMode::Bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(source.fs.list(Path::new("/copy")).is_err(), "nothing of the copy is left");
        source.disk.overwrite(&path, &whole).unwrap();

        source.fs.rename(&path, Path::new("/elsewhere")).unwrap();
        let error = verify_snapshot(&source.fs, &source.dir).unwrap_err();
        assert!(error.to_string().contains("is missing"), "{error}");
        source.fs.rename(Path::new("/elsewhere"), &path).unwrap();
    }
    let extra = source.dir.join(&source.listing.files[0].path).with_file_name("extra");
    source.disk.overwrite(&extra, b"x").unwrap();
    let error = verify_snapshot(&source.fs, &source.dir).unwrap_err();
    assert!(error.to_string().contains("is not in the file snapshot"), "{error}");
    source.fs.remove_file(&extra).unwrap();
    source.fs.remove_file(&source.dir.join("snapshot")).unwrap();
    assert_eq!(source.restore("/restored").unwrap_err().kind(), ErrorKind::NotFound, "no list, no snapshot");
}

/// A restore that was cut short is refused by the engine, or was complete, and may be run again.
#[test]
fn a_power_cut_during_a_restore_never_looks_like_an_empty_database() {
    let source = Source::new();
    let first = source.disk.counters().operations;
    let whole = source.disk.fork();
    let restore_on = |disk: &SimulatedFileSystem| {
        let fs: Arc<dyn FileSystem> = Arc::new(disk.clone());
        restore(&fs, &source.clock, &source.dir, Path::new("/restored"))
    };
    restore_on(&whole).unwrap();
    let (mut refused, mut complete) = (0, 0);
    for cut in first..=whole.counters().operations {
        let disk = source.disk.fork();
        disk.power_cut_after(cut);
        let result = restore_on(&disk);
        let image = disk.crash_image(CrashPolicy::Random(cut));
        let context = format!("power cut after operation {cut}");
        let fs: Arc<dyn FileSystem> = Arc::new(image.clone());
        let has_begun = fs.list(Path::new("/restored/restore.tmp")).is_ok();
        let again = image.fork();
        let opened = Engine::open(fs.clone(), source.clock.clone(), Path::new("/restored"), small_options());
        match opened {
            Err(error) => {
                assert!(error.to_string().contains("restore"), "{context}: {error}");
                refused += 1;
                restore_on(&again).unwrap_or_else(|error| panic!("{context}: {error}"));
                let again: Arc<dyn FileSystem> = Arc::new(again);
                let held = contents(&again, Path::new("/restored"), &source.groups, &context);
                assert_eq!(held, source.expected, "{context}: the second time");
            }
            Ok((engine, _)) => {
                drop(engine);
                let held = contents(&fs, Path::new("/restored"), &source.groups, &context);
                let has_not_begun = held.is_empty() && !has_begun && result.is_err();
                assert!(held == source.expected || has_not_begun, "{context}");
                complete += usize::from(held == source.expected);
            }
        }
    }
    assert!(refused > 20 && complete > 0, "{refused} refused, {complete} complete");
}
