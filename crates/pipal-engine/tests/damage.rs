//! Damaged files: whatever bit flips and whatever is cut off or zeroed, opening says what is wrong and where, the rest
//! is served, no wrong value is ever given, and nothing is deleted that is not provably redundant (D-23).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use pipal_engine::fs::{FileSystem, SimulatedFileSystem};
use pipal_engine::inspect::{check_directory, list_quarantine};
use pipal_engine::{Clock, Engine, EngineOptions, GroupId, ManualClock, RecoveryReport, Route, TableKey};
use pipal_model::{ColumnType, Error, ErrorKind, Layout, RowPolicy, TimeRange, Value, ValueRef};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::model::ModelRow;
use support::world::{
    Contents, ROOT, Request, World, column, expected, read_table, segmented, small_options, unsegmented,
};

/// Groups whose rows have times, and whose rows are told apart by their entity.
const SERIES: GroupId = 1;
const DOCUMENTS: GroupId = 2;

/// Policies of the two groups: measures and documents, logs and series of index mode.
const POLICIES: [[RowPolicy; 2]; 2] =
    [[RowPolicy::Versioned, RowPolicy::Document], [RowPolicy::Collapse, RowPolicy::Latest]];
const THREADS: usize = 2;

fn options() -> EngineOptions {
    EngineOptions { table_memory_bytes_max: 1 << 20, memory_bytes_max: 8 << 20, ..small_options() }
}

/// Rows that never replace each other, and attributes that depend on the entity only: whatever subset of the
/// requests survives, each row is one that was written or it is wrong.
fn request(world: &World, group: GroupId, round: i64) -> Request {
    let policy = world.groups[&group].1;
    let columns = vec![
        column("t", "zone", ColumnType::Str, policy == RowPolicy::Versioned),
        column("", "value", ColumnType::Int, false),
        column("", "load", ColumnType::Float, false),
    ];
    let layout = Arc::new(Layout::new("thing", policy, columns));
    let row = |i: i64| {
        let own_entity = if policy.one_row_per_entity() { round * 10 + i } else { i };
        let mut entity = Vec::new();
        pipal_model::series::push_entity_value(
            ValueRef::Str(format!("e{own_entity}").as_bytes()),
            &mut entity,
        );
        let time = world.clock.now() + round * 1000 + i;
        let texts =
            [Value::Str(format!("zone of {own_entity}").into_bytes()), Value::Int(round * 1_000_003 + i)];
        let values = texts.into_iter().chain([Value::Float(round as f64 / 3.0)]);
        let keys = layout.columns().iter().map(|c| c.key.clone());
        let Ok(Route::Segment(segment)) = world.engine.route(group, time) else { panic!("no segment") };
        let row = ModelRow { entity, time, version: 1, deleted: false, values: keys.zip(values).collect() };
        (TableKey { group, segment, shard: 0 }, layout.clone(), row)
    };
    (0..3).map(row).collect()
}

/// A data directory as a crash left it, and what must come of it.
struct Fixture {
    disk: SimulatedFileSystem,
    clock: Arc<ManualClock>,
    expected: Contents,
    /// Files that opening the undamaged directory removes.
    redundant: BTreeSet<PathBuf>,
}

/// Two tables. One has a merged part whose inputs are still there, and a part behind; the other has two parts.
/// The last rows of both are in the log only.
fn fixture([series, documents]: [RowPolicy; 2]) -> Fixture {
    let disk = SimulatedFileSystem::new();
    let mut world = World::new(Arc::new(disk.clone()), options());
    world.put_group(SERIES, segmented(1), series);
    world.put_group(DOCUMENTS, unsegmented(), documents);
    for round in 0..3 {
        world.write(&request(&world, SERIES, round));
        world.engine.flush().unwrap();
    }
    world.engine.wait_merges().unwrap();
    for round in 3..5 {
        world.write(&request(&world, DOCUMENTS, round));
        if round == 4 {
            world.write(&request(&world, SERIES, round));
        }
        world.engine.flush().unwrap();
    }
    world.write(&request(&world, SERIES, 5));
    world.write(&request(&world, DOCUMENTS, 6));
    let expected = expected(&world.model);
    let clock = world.clock.clone();
    drop(world);
    let mut fixture = Fixture { disk, clock, expected, redundant: BTreeSet::new() };
    let found = fixture.open(&fixture.disk, "the undamaged directory");
    assert_eq!((&found.contents, found.is_reported()), (&fixture.expected, false));
    let before = fixture.disk.files().into_iter().map(|(path, _)| path);
    fixture.redundant = before.filter(|path| !found.files.contains(path)).collect();
    assert!(
        fixture.redundant.len() >= 3,
        "inputs of the merge should wait for removal: {:?}",
        fixture.redundant
    );
    fixture
}

/// What a damaged directory gave.
struct Found {
    report: RecoveryReport,
    contents: Contents,
    errors: Vec<Error>,
    /// Files after everything redundant was removed.
    files: BTreeSet<PathBuf>,
    quarantine: Vec<String>,
}

impl Found {
    fn is_reported(&self) -> bool {
        !(self.report.damages.is_empty() && self.report.cut_tails.is_empty() && self.errors.is_empty())
    }

    fn says(&self, path: &Path) -> bool {
        let path = path.to_string_lossy();
        let errors = self.errors.iter().map(ToString::to_string);
        let reported = self.report.damages.iter().chain(&self.report.cut_tails).cloned().chain(errors);
        reported.into_iter().any(|text| text.contains(&*path))
    }
}

impl Fixture {
    /// Opens a copy of a disk, reads everything and removes what is redundant.
    fn open(&self, disk: &SimulatedFileSystem, context: &str) -> Found {
        let disk = disk.fork();
        let fs: Arc<dyn FileSystem> = Arc::new(disk.clone());
        let opened = Engine::open(fs.clone(), self.clock.clone(), Path::new(ROOT), options());
        let (engine, report) = opened.unwrap_or_else(|error| panic!("{context}: it does not open: {error}"));
        engine.put_group(SERIES, segmented(1)).unwrap();
        engine.put_group(DOCUMENTS, unsegmented()).unwrap();
        let (mut contents, mut errors) = (Contents::new(), Vec::new());
        for group in [SERIES, DOCUMENTS] {
            for segment in engine.snapshot(group, TimeRange::ALL).unwrap().segments {
                for table in &segment.tables {
                    let key = TableKey { group, segment: segment.bounds, shard: table.shard() };
                    match read_table(&key, table) {
                        Ok(rows) => contents.extend(rows),
                        Err(error) => errors.push(error),
                    }
                }
            }
        }
        engine.reap().unwrap();
        let files = disk.files().into_iter().map(|(path, _)| path).collect();
        let quarantine = list_quarantine(&fs, Path::new(ROOT)).unwrap();
        Found { report, contents, errors, files, quarantine }
    }

    /// The promises that hold whatever is damaged. Returns what was found.
    fn check(&self, damaged: &SimulatedFileSystem, context: &str) -> Found {
        let found = self.open(damaged, context);
        for error in &found.errors {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{context}: {error}");
        }
        for (table, rows) in &found.contents {
            let written: BTreeSet<&String> = self.expected[table].iter().collect();
            for row in rows {
                assert!(written.contains(row), "{context}: {table} holds a row that nobody wrote: {row}");
            }
            assert_eq!(
                rows.iter().collect::<BTreeSet<_>>().len(),
                rows.len(),
                "{context}: a row comes twice"
            );
        }
        if found.contents != self.expected {
            assert!(found.is_reported(), "{context}: rows are missing, and nothing says so");
        }
        for (path, _) in damaged.files() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_aside = found.quarantine.iter().any(|entry| entry.ends_with(&name));
            // A manifest is replaced by a newer one that lists what was found.
            let may_go = self.redundant.contains(&path) || name.ends_with(".snp");
            assert!(
                found.files.contains(&path) || is_aside || may_go,
                "{context}: {} is gone",
                path.display()
            );
        }
        found
    }

    /// Files of the directory whose path fits.
    fn files(&self, fits: impl Fn(&Path) -> bool) -> Vec<(PathBuf, Vec<u8>)> {
        let paths = self.disk.files().into_iter().map(|(path, _)| path);
        paths.filter(|path| fits(path)).map(|path| (path.clone(), self.disk.read(&path).unwrap())).collect()
    }

    /// Live parts of a group, by number.
    fn live_parts(&self, group: GroupId) -> Vec<(PathBuf, Vec<u8>)> {
        let dir = group_dir(group);
        let is_part = |path: &Path| path.starts_with(&dir) && path.file_name().is_some_and(|n| n.len() == 16);
        self.files(|path| is_part(path) && !self.redundant.contains(path))
    }

    /// A copy of the disk on which a file has other content.
    fn with(&self, path: &Path, bytes: &[u8]) -> SimulatedFileSystem {
        let disk = self.disk.fork();
        disk.overwrite(path, bytes).unwrap();
        disk
    }
}

fn group_dir(group: GroupId) -> PathBuf {
    Path::new(ROOT).join(format!("groups/{group:016x}"))
}

/// Several ways in which the end of a file, or all of it, can be lost.
fn ruins(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut ruins = vec![("emptied".into(), Vec::new()), ("zeroed".into(), vec![0; bytes.len()])];
    for kept in [bytes.len() / 2, bytes.len() - 1] {
        ruins.push((format!("cut to {kept} bytes"), bytes[..kept].to_vec()));
        let mut zeroed = bytes.to_vec();
        zeroed[kept..].fill(0);
        ruins.push((format!("zeroed from byte {kept}"), zeroed));
    }
    ruins.retain(|(_, ruin)| ruin != bytes);
    ruins
}

#[test]
fn every_flipped_byte_is_reported_or_does_no_harm() {
    POLICIES.into_iter().for_each(flip_every_byte);
}

fn flip_every_byte(policies: [RowPolicy; 2]) {
    let fixture = fixture(policies);
    let files = fixture.disk.files();
    let flips: Vec<(&PathBuf, u64)> =
        files.iter().flat_map(|(path, length)| (0..*length).map(move |at| (path, at * 8 + at % 8))).collect();
    assert!(flips.len() > 5_000, "only {} bytes", flips.len());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((path, bit)) = flips.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let damaged = fixture.disk.fork();
                    damaged.flip_bit(path, *bit).unwrap();
                    let context = format!("{policies:?}: {} of {}, bit {bit}", path.display(), files.len());
                    fixture.check(&damaged, &context);
                    let fs: Arc<dyn FileSystem> = Arc::new(damaged);
                    let check = check_directory(&fs, Path::new(ROOT)).unwrap();
                    let seen = check.problems.len() + check.notes.len();
                    assert!(seen > 0, "{context}: a check of the directory does not see it");
                }
            });
        }
    });
}

#[test]
fn a_ruined_manifest_is_named_and_costs_nothing() {
    for fixture in POLICIES.map(fixture) {
        let manifests = fixture.files(|path| path.extension().is_some_and(|e| e == "snp"));
        assert_eq!(manifests.len(), 2, "one of each table");
        for (path, bytes) in manifests {
            for (how, ruin) in ruins(&bytes) {
                let context = format!("{} {how}", path.display());
                let found = fixture.check(&fixture.with(&path, &ruin), &context);
                assert_eq!(
                    found.contents, fixture.expected,
                    "{context}: the parts tell what belongs together"
                );
                assert!(found.says(&path), "{context}: {:?}", found.report);
            }
        }
    }
}

#[test]
fn a_ruined_part_is_named_and_the_rest_is_served() {
    for fixture in POLICIES.map(fixture) {
        for group in [SERIES, DOCUMENTS] {
            for (number, (path, bytes)) in fixture.live_parts(group).into_iter().enumerate() {
                for (how, ruin) in ruins(&bytes) {
                    let context = format!("{} {how}", path.display());
                    let found = fixture.check(&fixture.with(&path, &ruin), &context);
                    assert!(found.says(&path), "{context}: {:?}", found.report);
                    let rows = |contents: &Contents| contents.values().map(Vec::len).sum::<usize>();
                    let is_merged = group == SERIES && number == 0;
                    // The inputs of a merge that are still there take the place of its output.
                    let lost = if is_merged { 0 } else { 3 };
                    let missing = rows(&fixture.expected) - rows(&found.contents);
                    assert!(
                        missing == lost,
                        "{context}: {missing} rows are missing, and {lost} were in the part"
                    );
                }
            }
        }
    }
}

#[test]
fn a_ruined_segment_file_is_named_and_costs_nothing() {
    for fixture in POLICIES.map(fixture) {
        let segments = fixture.files(|path| path.ends_with("segment"));
        assert_eq!(segments.len(), 2);
        for (path, bytes) in segments {
            for (how, ruin) in ruins(&bytes) {
                let context = format!("{} {how}", path.display());
                let found = fixture.check(&fixture.with(&path, &ruin), &context);
                assert_eq!(found.contents, fixture.expected, "{context}: the parts know where they belong");
                assert!(found.says(&path), "{context}: {:?}", found.report);
            }
        }
    }
}

#[test]
fn a_ruined_log_is_named_and_flushed_rows_are_served() {
    for fixture in POLICIES.map(fixture) {
        let logs = fixture.files(|path| path.extension().is_some_and(|e| e == "log"));
        assert!(!logs.is_empty());
        for (path, bytes) in logs {
            for (how, ruin) in ruins(&bytes) {
                let context = format!("{} {how}", path.display());
                let found = fixture.check(&fixture.with(&path, &ruin), &context);
                assert!(found.says(&path), "{context}: {:?}", found.report);
                assert!(found.errors.is_empty(), "{context}: {:?}", found.errors);
                for (table, rows) in &fixture.expected {
                    let missing = rows.len() - found.contents[table].len();
                    assert!(
                        missing <= 3,
                        "{context}: {missing} rows of {table} are missing, and 3 were in the log only"
                    );
                }
            }
        }
    }
}

/// When the manifest is lost, parts count as far as they follow each other without a gap. One behind a gap is not in
/// the log any more, so it must be set aside, although its positions lie above what the live parts cover.
#[test]
fn parts_behind_a_gap_are_set_aside_when_the_manifest_is_lost_too() {
    for fixture in POLICIES.map(fixture) {
        let (manifest, _) =
            fixture.files(|p| p.starts_with(group_dir(DOCUMENTS)) && p.extension().is_some()).remove(0);
        let parts = fixture.live_parts(DOCUMENTS);
        let disk = fixture.with(&manifest, b"");
        disk.overwrite(&parts[0].0, b"").unwrap();
        let found = fixture.check(&disk, "manifest and first part lost");
        assert!(found.says(&manifest) && found.says(&parts[0].0));
    }
}
