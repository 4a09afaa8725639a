//! Finding traces by key (trace specification, 6): the best traces of all spans that meet the conditions.
//!
//! Sources (parts and memory) are looked at one by one: a span is in one source only, and the place of a trace is the
//! best key of its spans wherever they are. Ordered by time, the newest or oldest sources come first, so that the
//! reading ends when no source has a better time.

use super::best::{Best, Found};
use super::find::{ColumnSet, PlacedFilter, Sources, id_of, scan};
use super::plan::{GroupPlan, Key, Plan};
use crate::budget::Budget;
use crate::error::QueryResult;
use crate::row_filter::RowFilter;
use crate::trace::Tracer;
use pipal_codec::Column;
use pipal_engine::TableSnapshot;
use pipal_engine::rows::EntitySelector;
use pipal_engine::scan::{MergedSeries, ScanBatch, ScanRequest};
use pipal_model::{TimeRange, ValueRef};
use std::cmp::Reverse;

/// Sources with more traces than this are read in pieces, by the first byte of the id.
const TRACES_AT_ONCE: u64 = 1 << 18;

/// One source of one group.
struct Unit {
    group: usize,
    source: TableSnapshot,
    traces: u64,
    /// Times of its spans.
    time: TimeRange,
}

/// The traces of the answer in order.
pub(super) fn find(
    sources: &Sources<'_>,
    plan: &Plan,
    descending: bool,
    budget: &Budget,
    tracer: &mut Tracer,
) -> QueryResult<Vec<Found>> {
    let mut units = units(sources, plan)?;
    if descending {
        units.sort_by_key(|unit| Reverse(unit.time.end));
    } else {
        units.sort_by_key(|unit| unit.time.begin);
    }
    let mut best = Best::new(plan.traces_needed(), descending);
    let mut visited = 0;
    for unit in &units {
        let group = &plan.groups[unit.group];
        let Some(filter) = &group.filter else { continue };
        if useful_time(sources, unit, &group.key, &best, descending).is_none() {
            continue;
        }
        let key = sources.key(unit.group);
        let narrowed = unit.source.narrowed(key, &filter.predicate(), &[EntitySelector::All])?;
        let Some(source) = narrowed.table.sources().first() else { continue };
        visited += 1;
        let traces = source.series_bound(key)?;
        let unit = Unit { group: unit.group, source: narrowed.table, traces, time: unit.time };
        budget.check(best.heap_bytes() + narrowed.heap_bytes)?;
        Search { sources, unit: &unit, group, descending, budget }.run(filter, &mut best)?;
        // This tells the next source which times are of no use any more.
        best.settle();
    }
    tracer.tag("sources_considered", || units.len().to_string());
    tracer.tag("sources_read", || visited.to_string());
    let found = best.finish();
    Ok(found.into_iter().skip(usize::try_from(plan.offset).unwrap_or(usize::MAX)).collect())
}

fn units(sources: &Sources<'_>, plan: &Plan) -> QueryResult<Vec<Unit>> {
    let mut units = Vec::new();
    for (group, group_plan) in plan.groups.iter().enumerate() {
        if group_plan.filter.is_none() {
            continue;
        }
        for table in sources.tables(group) {
            for source in table.sources() {
                let Some(time) = source.time_range() else { continue };
                let traces = source.series_bound(sources.key(group))?;
                if traces > 0 {
                    let source = TableSnapshot::new(table.shard(), 1, vec![source.clone()]);
                    units.push(Unit { group, source, traces, time });
                }
            }
        }
    }
    Ok(units)
}

/// The times of a source that can still matter; none when there are no such. Only where time is the key does the
/// range of the request bound the spans; otherwise it has selected segments before.
fn useful_time(
    sources: &Sources<'_>,
    unit: &Unit,
    key: &Key,
    best: &Best,
    descending: bool,
) -> Option<TimeRange> {
    if *key != Key::Time {
        return Some(TimeRange::ALL);
    }
    let mut time = sources.time;
    if let Some(worst) = best.worst_key() {
        if descending {
            time.begin = time.begin.max(worst);
        } else {
            time.end = time.end.min(worst);
        }
    }
    (time.begin <= time.end && unit.time.overlaps(&time)).then_some(time)
}

/// A search of one source.
struct Search<'a> {
    sources: &'a Sources<'a>,
    unit: &'a Unit,
    group: &'a GroupPlan,
    descending: bool,
    budget: &'a Budget,
}

impl Search<'_> {
    fn run(&self, filter: &RowFilter, best: &mut Best) -> QueryResult<()> {
        let mut columns = ColumnSet::default();
        let placed = PlacedFilter::new(filter, &mut columns);
        let key_column = match &self.group.key {
            Key::Column(key) => Some(columns.position(key)),
            Key::Time | Key::Zero => None,
        };
        let resource = self.sources.key(self.unit.group);
        let mut rows = Vec::new();
        for selector in selectors(self.unit.traces) {
            self.sources.cancel.check()?;
            let series = self.unit.source.series(resource, &selector)?;
            self.budget.check(best.heap_bytes() + series.heap_bytes())?;
            if series.is_empty() {
                continue;
            }
            let Some(time) = useful_time(self.sources, self.unit, &self.group.key, best, self.descending)
            else {
                return Ok(());
            };
            let request = ScanRequest { key: resource, time, columns: columns.keys(), collapse: false };
            scan(self.sources, &self.unit.source, request, &series, self.budget, &mut |batch| {
                placed.select(batch, &mut rows);
                self.offer(batch, &rows, key_column, &series, best);
                best.heap_bytes()
            })?;
        }
        Ok(())
    }

    /// Offers the traces of the rows; the rows of a trace follow each other.
    fn offer(
        &self,
        batch: &ScanBatch,
        rows: &[u32],
        key_column: Option<usize>,
        series: &MergedSeries,
        best: &mut Best,
    ) {
        let key_of = |row: usize| match &self.group.key {
            Key::Time => batch.rows.times[row],
            Key::Column(_) => number(key_column.and_then(|at| batch.rows.columns.get(at)), row),
            Key::Zero => 0,
        };
        let mut scratch = Vec::new();
        for rows in rows.chunk_by(|a, b| batch.series[*a as usize] == batch.series[*b as usize]) {
            let keys = rows.iter().map(|row| key_of(*row as usize));
            let (Some(key), Some(first)) = (keys.reduce(|a, b| best.better(a, b)), rows.first()) else {
                continue;
            };
            if best.is_wanted(key) {
                let entity = series.entity(batch.series[*first as usize] as usize);
                best.offer(key, id_of(entity, &mut scratch), self.unit.group);
            }
        }
    }
}

/// The key in a column: 0 where there is no number (trace specification, 2.2).
fn number(column: Option<&Column>, row: usize) -> i64 {
    match column.map(|column| column.get(row)) {
        Some(ValueRef::Int(number) | ValueRef::Timestamp(number)) => number,
        _ => 0,
    }
}

/// Disjoint sets of traces that are all traces together.
fn selectors(traces: u64) -> Vec<EntitySelector> {
    if traces <= TRACES_AT_ONCE {
        return vec![EntitySelector::All];
    }
    (0..=u8::MAX).map(|byte| EntitySelector::Prefix(vec![TEXT, byte])).collect()
}

/// The first byte of an entity that is text, as trace ids are.
const TEXT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::super::find::entity_of;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_trace_is_in_one_piece_of_a_large_source(id in prop::collection::vec(any::<u8>(), 0..4)) {
            let entity = entity_of(&id);
            let holds = |selector: &EntitySelector| match selector {
                EntitySelector::All => true,
                EntitySelector::Prefix(prefix) => entity.starts_with(prefix),
                EntitySelector::Exact(entities) => entities.contains(&entity),
            };
            for traces in [1, TRACES_AT_ONCE + 1] {
                prop_assert_eq!(selectors(traces).iter().filter(|selector| holds(selector)).count(), 1);
            }
        }
    }
}
