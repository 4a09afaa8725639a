//! The founding cases of tables (snapshots, adding, iteration, results, closing), through the public interface: in
//! memory, on disk and opened again. `docs/seed-requirements.md` says which requirement each of them shows.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use pipal_engine::fs::{FileSystem, SimulatedFileSystem};
use pipal_engine::rows::{EntitySelector, ResourceKey, RowKind};
use pipal_engine::{CancelToken, Engine, Route, Row, ScanBatch, ScanRequest, Snapshot, TableKey, WriteBatch};
use pipal_model::time::DAY_NANOS;
use pipal_model::{ColumnKey, ColumnType, ErrorKind, Layout, RowPolicy, TimeRange, ValueRef};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::world::{NOW, ROOT, World, column, segmented, small_options};

const GROUP: u64 = 1;
/// Entity, time and value of a row.
type Point = (Vec<u8>, i64, i64);

/// A world with one group of measures and one measure in it.
struct Cases {
    disk: SimulatedFileSystem,
    world: World,
    layout: Arc<Layout>,
}

fn value_key() -> ColumnKey {
    column("", "value", ColumnType::Int, false).key
}

fn range(begin: i64, end: i64) -> TimeRange {
    TimeRange { begin: NOW + begin, end: NOW + end }
}

/// Rows of series 1, 2 and 3 at one time.
fn batch_at(time: i64, value: i64) -> Vec<Point> {
    [b"1", b"2", b"3"].map(|entity| (entity.to_vec(), time, value)).to_vec()
}

impl Cases {
    fn new() -> Self {
        Cases::of_measure("measure")
    }

    fn of_measure(name: &str) -> Self {
        let disk = SimulatedFileSystem::new();
        let mut world = World::new(Arc::new(disk.clone()), small_options());
        world.put_group(GROUP, segmented(1), RowPolicy::Versioned);
        let columns = vec![column("", "value", ColumnType::Int, false)];
        Cases { disk, world, layout: Arc::new(Layout::new(name, RowPolicy::Versioned, columns)) }
    }

    fn batch(&self, points: &[Point]) -> WriteBatch {
        let mut batch = WriteBatch::new();
        for (entity, time, value) in points {
            let time = NOW + time;
            let Ok(Route::Segment(segment)) = self.world.engine.route(GROUP, time) else {
                panic!("no segment")
            };
            let values = [ValueRef::Int(*value)];
            let row = Row { entity, time, version: 1, deleted: false, values: &values };
            batch.push(TableKey { group: GROUP, segment, shard: 0 }, &self.layout, &row).unwrap();
        }
        batch
    }

    fn write(&self, points: &[Point]) {
        self.world.engine.commit_blocking(self.batch(points)).unwrap();
    }

    fn flush(&self) {
        self.world.engine.flush().unwrap();
    }

    fn snapshot(&self, time: TimeRange) -> Snapshot {
        self.world.engine.snapshot(GROUP, time).unwrap()
    }

    fn read(&self, time: TimeRange, selector: &EntitySelector) -> Vec<Point> {
        read(&self.snapshot(time), self.layout.resource(), time, selector)
    }

    /// Runs `check` on the rows in memory, then in parts, then merged, then opened again.
    fn in_every_form(&mut self, check: impl Fn(&Cases, &str)) {
        check(self, "in memory");
        self.flush();
        check(self, "in parts");
        self.world.engine.wait_merges().unwrap();
        check(self, "merged");
        self.world.reopen(true);
        check(self, "opened again");
    }

    /// Numbers of all part files, ascending.
    fn part_numbers(&self) -> Vec<u64> {
        let names = self.disk.files().into_iter().filter_map(|(path, _)| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            (name.len() == 16).then_some(name)
        });
        let mut numbers: Vec<u64> = names.filter_map(|name| u64::from_str_radix(&name, 16).ok()).collect();
        numbers.sort_unstable();
        numbers
    }

    fn table_dir(&self) -> PathBuf {
        let is_part = |path: &Path| path.file_name().is_some_and(|name| name.len() == 16);
        let (part, _) = self.disk.files().into_iter().find(|(path, _)| is_part(path)).unwrap();
        part.parent().unwrap().to_path_buf()
    }
}

fn read(snapshot: &Snapshot, resource: &str, time: TimeRange, selector: &EntitySelector) -> Vec<Point> {
    let key = ResourceKey { kind: RowKind::Data, name: resource.into() };
    let columns = [value_key()];
    let mut points = Vec::new();
    for table in snapshot.segments.iter().flat_map(|s| &s.tables) {
        let series = table.series(&key, selector).unwrap();
        let chosen: Vec<u32> = (0..series.len() as u32).collect();
        let cancel = CancelToken::default();
        let request = ScanRequest { key: &key, time, columns: &columns, collapse: true };
        let mut scan = table.scan(request, &series, &chosen, &cancel).unwrap();
        let mut batch = ScanBatch::new(&columns);
        while scan.next_batch(&mut batch).unwrap() {
            for row in 0..batch.rows.len() {
                let ValueRef::Int(value) = batch.rows.columns[0].get(row) else {
                    panic!("a value of another type")
                };
                let entity = series.entity(batch.series[row] as usize).to_vec();
                points.push((entity, batch.rows.times[row] - NOW, value));
            }
        }
    }
    points
}

fn times(points: &[Point]) -> Vec<i64> {
    points.iter().map(|(_, time, _)| *time).collect()
}

fn series(entities: &[&[u8]]) -> EntitySelector {
    EntitySelector::Exact(entities.iter().map(|e| e.to_vec()).collect())
}

#[test]
fn sp_1_to_3_parts_are_selected_by_inclusive_bounds() {
    let cases = Cases::new();
    assert!(cases.snapshot(range(0, 10)).segments.is_empty(), "SP-1: no parts, an empty list");
    let points =
        |times: std::ops::RangeInclusive<i64>| times.map(|t| (b"1".to_vec(), t, t)).collect::<Vec<_>>();
    cases.write(&points(0..=5));
    cases.flush();
    cases.write(&points(6..=10));
    cases.flush();
    let parts: usize =
        cases.snapshot(range(0, 10)).segments.iter().flat_map(|s| &s.tables).map(|t| t.part_count()).sum();
    assert_eq!(parts, 2);
    assert_eq!(cases.read(range(11, 15), &EntitySelector::All), [], "SP-2");
    assert_eq!(times(&cases.read(range(5, 10), &EntitySelector::All)), [5, 6, 7, 8, 9, 10], "SP-3");
}

#[test]
fn ad_1_to_3_batches_become_runs_and_parts_with_ascending_numbers() {
    let cases = Cases::new();
    cases.write(&[]);
    assert!(cases.snapshot(TimeRange::ALL).segments.is_empty(), "AD-1: no rows, no snapshot");
    assert_eq!(cases.world.engine.stats().memory_rows, 0);
    cases.write(&[(b"1".to_vec(), 1, 1)]);
    assert_eq!(cases.world.engine.stats().memory_rows, 1, "AD-2");
    cases.flush();
    for time in 2..4 {
        cases.write(&batch_at(time, 0));
        cases.flush();
    }
    let numbers = cases.part_numbers();
    assert_eq!((numbers.len(), cases.world.engine.stats().part_rows), (3, 7), "AD-3");
    assert!(numbers[0] > 0 && numbers.is_sorted());
    cases.flush();
    assert_eq!(cases.part_numbers(), numbers, "a flush of nothing makes no part");
}

#[test]
fn ti_1_to_4_tables_give_series_in_order_and_each_row_once() {
    type Case = (&'static str, Vec<Vec<Point>>, Vec<i64>);
    let cases: [Case; 4] = [
        ("TI-1", vec![], vec![]),
        ("TI-2", vec![batch_at(1, 10)], vec![1, 1, 1]),
        ("TI-3", vec![batch_at(1, 10), batch_at(2, 20)], vec![1, 2, 1, 2, 1, 2]),
        ("TI-4", vec![batch_at(1, 10), batch_at(1, 20)], vec![1, 1, 1]),
    ];
    for (name, batches, expected) in cases {
        let mut cases = Cases::new();
        for batch in &batches {
            cases.write(batch);
        }
        cases.in_every_form(|cases, form| {
            let points = cases.read(range(1, 2), &EntitySelector::All);
            assert_eq!(times(&points), expected, "{name} {form}");
            assert!(points.is_sorted(), "{name} {form}: by series, then time");
        });
    }
}

#[test]
fn qr_1_and_4_the_later_of_two_equal_rows_is_the_one() {
    let mut cases = Cases::new();
    cases.write(&batch_at(1, 10));
    cases.flush();
    cases.write(&batch_at(1, 20));
    cases.in_every_form(|cases, form| {
        assert_eq!(cases.read(range(1, 2), &EntitySelector::All), batch_at(1, 20), "{form}");
        let asked = series(&[b"1", b"3", b"4"]);
        assert_eq!(
            cases.read(range(1, 2), &asked),
            [(b"1".to_vec(), 1, 20), (b"3".to_vec(), 1, 20)],
            "{form}"
        );
        assert_eq!(cases.read(range(1, 2), &series(&[b"4"])), [], "{form}: unknown series are no error");
    });
}

/// The seed lost 92 of these 216 ranges (D-09).
#[test]
fn d_09_narrow_ranges_give_every_row_in_every_form() {
    for rows in 1..=8i64 {
        let mut cases = Cases::new();
        cases.write(&(1..=rows).map(|t| (b"s".to_vec(), t, t)).collect::<Vec<_>>());
        cases.in_every_form(|cases, form| {
            for begin in 0..=rows + 1 {
                for end in begin..=rows + 1 {
                    let expected: Vec<i64> = (1..=rows).filter(|t| (begin..=end).contains(t)).collect();
                    let found = times(&cases.read(range(begin, end), &EntitySelector::All));
                    assert_eq!(found, expected, "1..{rows} with {begin}..{end} {form}");
                }
            }
        });
    }
}

#[test]
fn d_03_a_listed_part_that_is_missing_is_reported() {
    let mut cases = Cases::new();
    for time in 1..3 {
        cases.write(&batch_at(time, 0));
        cases.flush();
    }
    let missing = cases.table_dir().join(format!("{:016x}", cases.part_numbers()[0]));
    cases.disk.remove_file(&missing).unwrap();
    cases.world.reopen(false);
    let damages = &cases.world.report.damages;
    assert!(
        damages
            .iter()
            .any(|d| d.contains("listed") && d.contains(&*missing.file_name().unwrap().to_string_lossy()))
    );
    assert_eq!(times(&cases.read(TimeRange::ALL, &EntitySelector::All)), [2, 2, 2], "the rest is served");
}

#[test]
fn d_04_close_leaves_nothing_to_the_log() {
    let mut cases = Cases::new();
    cases.write(&batch_at(1, 7));
    cases.world.reopen(true);
    assert_eq!(cases.world.report.replayed_entries, 0, "all rows are in parts");
    assert_eq!(cases.read(TimeRange::ALL, &EntitySelector::All), batch_at(1, 7));
}

#[test]
fn d_08_foreign_files_are_never_touched() {
    let mut cases = Cases::new();
    cases.write(&batch_at(1, 7));
    cases.flush();
    let dir = cases.table_dir();
    let foreign = ["a", "000000000000000A", "0000000000000001.snpx", "notes.tmp", "dir/0000000000000001"];
    cases.disk.create_dir_all(&dir.join("dir")).unwrap();
    for name in foreign {
        cases.disk.overwrite(&dir.join(name), b"mine").unwrap();
    }
    cases.world.reopen(true);
    cases.world.engine.reap().unwrap();
    cases.world.engine.close().unwrap();
    assert!(cases.world.report.damages.is_empty() && cases.world.report.quarantined == 0);
    for name in foreign {
        assert_eq!(cases.disk.read(&dir.join(name)).unwrap(), b"mine", "{name}");
    }
}

/// D-10, D-11: numbers come from what is on disk, never from the clock, and none is used twice, also after a crash.
#[test]
fn d_10_and_11_numbers_grow_although_the_clock_is_set_back() {
    let mut cases = Cases::new();
    let mut seen: Vec<u64> = Vec::new();
    for round in 0..6 {
        cases.write(&batch_at(round, round));
        cases.flush();
        let numbers = cases.part_numbers();
        let newest = *numbers.last().unwrap();
        assert!(seen.iter().all(|n| *n < newest), "round {round}: {newest} after {seen:?}");
        seen.extend(numbers);
        cases.world.engine.wait_merges().unwrap();
        cases.world.engine.reap().unwrap();
        seen.extend(cases.part_numbers());
        cases.world.clock.set(NOW - (round + 1) * DAY_NANOS / 10);
        cases.world.reopen(round % 2 == 0);
        assert!(cases.world.report.damages.is_empty());
    }
    assert_eq!(cases.read(TimeRange::ALL, &EntitySelector::All).len(), 18);
}

#[test]
fn d_14_close_may_be_repeated_and_readers_go_on() {
    let cases = Cases::new();
    cases.write(&batch_at(1, 7));
    let engine = &cases.world.engine;
    let snapshot = cases.snapshot(TimeRange::ALL);
    let late = cases.batch(&batch_at(2, 8));
    engine.close().unwrap();
    engine.close().unwrap();
    assert_eq!(
        engine.commit_blocking(late).unwrap_err().kind(),
        ErrorKind::Closed,
        "D-06: the writer is told"
    );
    assert_eq!(read(&snapshot, "measure", TimeRange::ALL, &EntitySelector::All), batch_at(1, 7));
    assert_eq!(engine.stats().memory_rows, 0);
}

#[test]
fn d_18_names_that_clients_choose_become_no_paths() {
    let mut cases = Cases::of_measure("../../CON:/\0");
    cases.write(&batch_at(1, 7));
    cases.in_every_form(|cases, form| {
        assert_eq!(cases.read(TimeRange::ALL, &EntitySelector::All), batch_at(1, 7), "{form}");
        for (path, _) in cases.disk.files() {
            assert!(path.starts_with(ROOT) && !path.to_string_lossy().contains("CON"), "{}", path.display());
        }
    });
}

/// D-19, D-32: a row that is refused takes nothing with it.
#[test]
fn d_19_and_32_a_refused_row_leaves_the_batch_as_it_was() {
    let mut cases = Cases::new();
    let mut batch = cases.batch(&batch_at(1, 7));
    let table = batch.tables().next().unwrap();
    let row =
        Row { entity: &vec![0; 2 << 20], time: NOW, version: 1, deleted: false, values: &[ValueRef::Int(1)] };
    let error = batch.push(table, &cases.layout, &row).unwrap_err();
    assert_eq!((error.kind(), batch.rows()), (ErrorKind::InvalidArgument, 3));
    cases.world.engine.commit_blocking(batch).unwrap();
    cases.in_every_form(|cases, form| {
        assert_eq!(cases.read(TimeRange::ALL, &EntitySelector::All), batch_at(1, 7), "{form}");
    });
}

#[test]
fn d_24_a_directory_has_one_owner() {
    let cases = Cases::new();
    cases.write(&batch_at(1, 7));
    let fs: Arc<dyn FileSystem> = Arc::new(cases.disk.clone());
    let open = || Engine::open(fs.clone(), cases.world.clock.clone(), Path::new(ROOT), small_options());
    assert_eq!(open().err().unwrap().kind(), ErrorKind::FailedPrecondition);
    cases.write(&batch_at(2, 8));
    assert_eq!(cases.read(TimeRange::ALL, &EntitySelector::All).len(), 6, "the owner is not disturbed");
    drop(cases.world.engine);
    assert!(open().is_ok(), "the lock goes with its owner");
}

#[test]
fn d_27_duplicates_inside_one_batch_are_one_row() {
    let mut cases = Cases::new();
    let mut batch = batch_at(1, 10);
    batch.extend(batch_at(1, 20));
    cases.write(&batch);
    cases.in_every_form(|cases, form| {
        assert_eq!(cases.read(TimeRange::ALL, &EntitySelector::All), batch_at(1, 20), "{form}");
    });
}

#[test]
fn d_29_memory_is_bounded() {
    let cases = Cases::new();
    let engine = &cases.world.engine;
    let mut rounds = 0;
    while engine.has_room() {
        cases.write(&batch_at(rounds, 1));
        rounds += 1;
        assert!(rounds < 10_000, "memory never fills: {} bytes", engine.stats().memory_bytes);
    }
    assert!(engine.flush_due() > 0, "a full memory makes tables due");
    assert!(engine.has_room());
    assert_eq!(cases.read(TimeRange::ALL, &EntitySelector::All).len(), 3 * rounds as usize);
}

/// Acceptance 5, D-12, D-13, D-30: nothing piles up, however many rounds there are.
#[test]
fn d_13_and_30_files_stay_few_over_many_rounds() {
    let cases = Cases::new();
    let mut most = 0;
    for round in 0..200 {
        cases.write(&batch_at(round, round));
        cases.flush();
        cases.world.engine.wait_merges().unwrap();
        cases.world.engine.reap().unwrap();
        most = most.max(cases.disk.files().len());
    }
    assert!(most < 30, "{most} files");
    assert_eq!(cases.world.engine.stats().reaper_pending, 0);
    assert_eq!(cases.read(TimeRange::ALL, &EntitySelector::All).len(), 600);
}

/// The seed took series 0 for "none" (D-33). Here series are entities, and the least one is the empty one.
#[test]
fn d_33_the_least_series_is_a_series() {
    let mut cases = Cases::new();
    let points = vec![(Vec::new(), 1, 1), (vec![0], 1, 2), (b"1".to_vec(), 1, 3)];
    cases.write(&points);
    cases.in_every_form(|cases, form| {
        assert_eq!(cases.read(TimeRange::ALL, &EntitySelector::All), points, "{form}");
        assert_eq!(cases.read(TimeRange::ALL, &series(&[b""])), points[..1], "{form}");
    });
}

/// D-34: bounds are stored; a gap between segments does not widen them after a restart.
#[test]
fn d_34_segments_keep_their_bounds_and_gaps_stay_gaps() {
    let mut cases = Cases::new();
    cases.write(&[(b"1".to_vec(), 0, 1), (b"1".to_vec(), -3 * DAY_NANOS, 2)]);
    let bounds =
        |cases: &Cases| cases.snapshot(TimeRange::ALL).segments.iter().map(|s| s.bounds).collect::<Vec<_>>();
    let before = bounds(&cases);
    assert!(before.len() == 2 && before.iter().all(|b| b.end - b.start == DAY_NANOS));
    cases.in_every_form(|cases, form| assert_eq!(bounds(cases), before, "{form}"));
    let Ok(Route::Segment(between)) = cases.world.engine.route(GROUP, NOW - 2 * DAY_NANOS) else {
        panic!("no segment")
    };
    assert_eq!((between.start, between.end), (before[0].end, before[0].end + DAY_NANOS));
    let edge = TimeRange { begin: before[0].end, end: before[0].end };
    assert!(cases.snapshot(edge).segments.is_empty(), "SE-191: the end is outside");
}

#[test]
fn se_192_segments_expire_as_a_whole() {
    let mut cases = Cases::new();
    cases.write(&[(b"1".to_vec(), 0, 1), (b"1".to_vec(), -6 * DAY_NANOS, 2)]);
    cases.flush();
    cases.world.clock.advance(DAY_NANOS);
    assert_eq!(cases.world.engine.run_retention().unwrap(), 0, "a segment that is partly expired stays");
    let snapshot = cases.snapshot(TimeRange::ALL);
    cases.world.clock.advance(DAY_NANOS);
    assert_eq!(cases.world.engine.run_retention().unwrap(), 1);
    cases.world.engine.reap().unwrap();
    assert_eq!(times(&cases.read(TimeRange::ALL, &EntitySelector::All)), [0]);
    let held = read(&snapshot, "measure", TimeRange::ALL, &EntitySelector::All);
    assert_eq!(held.len(), 2, "SE-007: a query that began before goes on");
    cases.world.reopen(true);
    assert_eq!(
        times(&cases.read(TimeRange::ALL, &EntitySelector::All)),
        [0],
        "what expired does not come back"
    );
}

/// SE-069, SE-098, SE-131: flushes, merges and removals never change what a query sees.
#[test]
fn se_098_a_snapshot_outlives_flush_merge_and_removal() {
    let cases = Cases::new();
    let mut snapshots = Vec::new();
    for round in 0..9 {
        cases.write(&batch_at(round, round));
        snapshots.push(cases.snapshot(TimeRange::ALL));
        cases.flush();
        snapshots.push(cases.snapshot(TimeRange::ALL));
    }
    cases.world.engine.wait_merges().unwrap();
    cases.world.engine.reap().unwrap();
    for (number, snapshot) in snapshots.iter().enumerate() {
        let found = read(snapshot, "measure", TimeRange::ALL, &EntitySelector::All);
        let rounds: BTreeSet<i64> = times(&found).into_iter().collect();
        assert_eq!((found.len(), rounds.len()), (3 * (number / 2 + 1), number / 2 + 1), "snapshot {number}");
    }
    drop(snapshots);
    cases.world.engine.reap().unwrap();
    let live = cases.world.engine.stats().parts as usize;
    assert_eq!(cases.part_numbers().len(), live, "the last reader lets the replaced files go");
}
