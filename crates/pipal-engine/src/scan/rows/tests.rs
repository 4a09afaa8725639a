//! A scan that reads many sources in small steps gives what merging all rows at once gives.

use super::*;
use crate::row_ranges::RowRanges;
use crate::rows::{EntitySelector, GivenRows, ResourceHead, RowKind, SeriesCursor, SeriesList, TermMatch};
use crate::scan::{RowPredicate, TableSnapshot};
use pipal_model::{ColumnType, Result, ValueRef};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Entity, time, version and a text.
type TestRow = (u8, i64, i64, String);

/// A source of sorted rows that pauses wherever it is told to.
struct TestSource {
    head: ResourceHead,
    rows: Vec<TestRow>,
}

impl TestSource {
    /// The rows as a source of the policy may hold them.
    fn new(policy: RowPolicy, mut rows: Vec<TestRow>) -> Self {
        rows.sort_by_key(|row| (row.0, row.1, row.2));
        match policy {
            RowPolicy::Collapse => {}
            _ if policy.one_row_per_entity() => rows.dedup_by_key(|row| row.0),
            _ => rows.dedup_by_key(|row| (row.0, row.1)),
        }
        TestSource { head: ResourceHead::new(key(), policy, Arc::new([column()])), rows }
    }
}

fn key() -> ResourceKey {
    ResourceKey { kind: RowKind::Data, name: "r".into() }
}

fn column() -> ColumnKey {
    ColumnKey { family: "f".into(), name: "text".into(), ty: ColumnType::Str }
}

impl RowSource for TestSource {
    fn resources(&self) -> Result<Vec<ResourceHead>> {
        Ok(vec![self.head.clone()])
    }

    fn resource(&self, _: &ResourceKey) -> Result<Option<ResourceHead>> {
        Ok(Some(self.head.clone()))
    }

    fn time_range(&self) -> Option<TimeRange> {
        None
    }

    fn series(&self, _: &ResourceKey, _: &EntitySelector) -> Result<SeriesList> {
        let mut list = SeriesList::default();
        let mut first = 0;
        for run in self.rows.chunk_by(|a, b| a.0 == b.0) {
            list.push(&[run[0].0], first, run.len() as u32);
            first += run.len() as u64;
        }
        Ok(list)
    }

    fn series_bound(&self, _: &ResourceKey) -> Result<u64> {
        Ok(self.rows.len() as u64)
    }

    fn entities_with_terms(
        &self,
        _: &ResourceKey,
        _: &ColumnKey,
        _: &[Box<[u8]>],
        _: usize,
    ) -> Result<TermMatch> {
        Ok(TermMatch::Unknown)
    }

    fn useful_rows(&self, _: &ResourceKey, _: &RowPredicate) -> Result<Option<RowRanges>> {
        Ok(None)
    }

    fn series_within(
        &self,
        key: &ResourceKey,
        selector: &EntitySelector,
        _: &RowRanges,
    ) -> Result<SeriesList> {
        self.series(key, selector)
    }

    fn read(
        &self,
        request: &ReadRequest<'_>,
        series: &SeriesList,
        cursor: &mut SeriesCursor,
        out: &mut RowBatch,
        given: &mut Vec<GivenRows>,
        _: &mut ReadStats,
    ) -> Result<()> {
        let (mut rows, mut bytes) = (0, 0);
        while let Some(pending) = cursor.pending(series) {
            if request.limit.is_reached(rows, bytes) {
                break;
            }
            let (_, time, version, text) = &self.rows[pending.first_row as usize];
            if request.time.contains(*time) {
                out.times.push(*time);
                out.versions.push(*version);
                out.columns[0].push(ValueRef::Str(text.as_bytes()));
                GivenRows::push(given, pending.wanted, 1);
                (rows, bytes) = (rows + 1, bytes + text.len());
            }
            cursor.advance(series, 1);
        }
        Ok(())
    }
}

/// What the sources hold together by the policy, in order; `sources` are from the oldest to the newest.
fn model(policy: RowPolicy, sources: &[TestSource], time: TimeRange) -> Vec<TestRow> {
    let mut rows: Vec<(usize, TestRow)> = Vec::new();
    for (age, source) in sources.iter().enumerate() {
        rows.extend(source.rows.iter().map(|row| (age, row.clone())));
    }
    rows.sort_by_key(|(age, row)| (row.0, row.1, row.2, *age));
    if policy == RowPolicy::Collapse {
        // Equal rows of one source stay: it has collapsed what was equal before.
        let mut kept: Vec<TestRow> = Vec::new();
        for (_, row) in rows {
            if !kept.contains(&row) {
                kept.push(row);
            }
        }
        return kept.into_iter().filter(|row| time.contains(row.1)).collect();
    }
    let mut best: BTreeMap<(u8, i64), (i64, usize, TestRow)> = BTreeMap::new();
    for (age, row) in rows {
        let identity = (row.0, if policy.one_row_per_entity() { 0 } else { row.1 });
        let rank = if policy == RowPolicy::Latest { 0 } else { row.2 };
        match best.get(&identity) {
            Some((version, other, _)) if (*version, *other) > (rank, age) => {}
            _ => {
                best.insert(identity, (rank, age, row));
            }
        }
    }
    best.into_values().map(|(_, _, row)| row).filter(|row| time.contains(row.1)).collect()
}

fn scanned(sources: Vec<TestSource>, time: TimeRange, step: ReadLimit) -> Vec<TestRow> {
    let sources = sources.into_iter().map(|source| Arc::new(source) as Arc<dyn RowSource>).collect();
    let table = TableSnapshot::new(0, 0, sources);
    let (key, columns, cancel) = (key(), [column()], CancelToken::default());
    let series = table.series(&key, &EntitySelector::All).unwrap();
    let chosen: Vec<u32> = (0..series.len() as u32).collect();
    let request = ScanRequest { key: &key, time, columns: &columns, collapse: true };
    let mut scan = table.scan(request, &series, &chosen, &cancel).unwrap();
    scan.step = step;
    let mut batch = ScanBatch::new(&columns);
    let mut rows = Vec::new();
    while scan.next_batch(&mut batch).unwrap() {
        for (row, series_number) in batch.series.iter().enumerate() {
            let ValueRef::Str(text) = batch.rows.columns[0].get(row) else { panic!("no text") };
            let text = String::from_utf8(text.to_vec()).unwrap();
            let entity = series.entity(*series_number as usize)[0];
            rows.push((entity, batch.rows.times[row], batch.rows.versions[row], text));
        }
    }
    rows
}

fn any_sources() -> impl Strategy<Value = Vec<Vec<TestRow>>> {
    let row = (0u8..4, 0i64..12, 0i64..3, "[ab]{0,2}");
    prop::collection::vec(prop::collection::vec(row, 0..40), 1..5)
}

proptest! {
    #[test]
    fn steps_of_any_size_give_what_one_merge_of_everything_gives(
        rows in any_sources(),
        policy in prop::sample::select(vec![
            RowPolicy::Versioned, RowPolicy::Collapse, RowPolicy::Latest, RowPolicy::Document,
        ]),
        (begin, length) in (0i64..12, 0i64..14),
        (step_rows, step_bytes) in (1usize..20, 1usize..20),
    ) {
        let time = TimeRange { begin, end: begin + length };
        let sources = || -> Vec<TestSource> {
            let mut sources: Vec<_> = rows.iter().map(|rows| TestSource::new(policy, rows.clone())).collect();
            if policy == RowPolicy::Collapse {
                sources.iter_mut().for_each(|source| source.rows.sort());
                sources.iter_mut().for_each(|source| source.rows.dedup());
            }
            sources
        };
        let step = ReadLimit { rows: step_rows, bytes: step_bytes };
        let mut got = scanned(sources(), time, step);
        let mut want = model(policy, &sources(), time);
        prop_assert!(got.is_sorted_by_key(|row| (row.0, row.1)));
        // Rows of one series and time have no order among themselves.
        got.sort();
        want.sort();
        prop_assert_eq!(got, want);
    }
}

/// A series with a million rows of a kilobyte in one source must not be read at once.
#[test]
fn what_a_scan_holds_does_not_grow_with_the_rows_of_a_series() {
    let row = |time: i64| (7u8, time, 0i64, "x".repeat(100));
    let sources: Vec<Arc<dyn RowSource>> = (0..3)
        .map(|source| {
            let rows = (0..20_000).map(|i| row(i * 3 + source)).collect();
            Arc::new(TestSource::new(RowPolicy::Collapse, rows)) as Arc<dyn RowSource>
        })
        .collect();
    let table = TableSnapshot::new(0, 0, sources);
    let (key, columns, cancel) = (key(), [column()], CancelToken::default());
    let series = table.series(&key, &EntitySelector::All).unwrap();
    let request = ScanRequest { key: &key, time: TimeRange::ALL, columns: &columns, collapse: true };
    let mut scan = table.scan(request, &series, &[0], &cancel).unwrap();
    scan.step = ReadLimit { rows: 300, bytes: 1 << 20 };
    let mut batch = ScanBatch::new(&columns);
    let mut rows = 0;
    while scan.next_batch(&mut batch).unwrap() {
        rows += batch.rows.len();
        // Three lanes with up to twice their hundred rows, and vectors that are half empty.
        assert!(scan.heap_bytes() < 3 * 2 * 2 * 100 * 150, "{} bytes after {rows} rows", scan.heap_bytes());
    }
    assert_eq!(rows, 60_000);
}
