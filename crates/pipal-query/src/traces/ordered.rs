//! Finding traces by key (trace specification, 6): the best traces of all spans that meet the conditions.
//!
//! Sources (parts and memory) are looked at one by one: a span is in one source only, and the place of a trace is the
//! best key of its spans wherever they are. Those whose best key is not known come first, then those with the best
//! keys, so that the search ends when no source has a better one. A source with a companion in the order of the key is
//! walked in that order; others are scanned.

use super::best::{Best, Found};
use super::companion::{CompanionSearch, Searched};
use super::find::{ColumnSet, PlacedFilter, Sources, id_of, scan};
use super::plan::{GroupPlan, Key, Plan};
use crate::budget::Budget;
use crate::error::QueryResult;
use crate::row_filter::RowFilter;
use crate::trace::Tracer;
use pipal_codec::Column;
use pipal_engine::rows::EntitySelector;
use pipal_engine::scan::{MergedSeries, ScanBatch, ScanRequest};
use pipal_engine::{Narrowed, TableSnapshot};
use pipal_model::{TimeRange, ValueRef};
use std::cmp::Reverse;
use std::ops::RangeInclusive;

/// Sources with more traces than this are read in pieces, by the first byte of the id.
const TRACES_AT_ONCE: u64 = 1 << 18;

/// One in this many rows of a source may be looked at in a walk before a scan is taken to be the better way.
const ROWS_PER_LOOK: u64 = 16;

/// One source of one group.
struct Unit {
    group: usize,
    source: TableSnapshot,
    /// Bounds of the keys of its spans.
    keys: RangeInclusive<i64>,
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
        units.sort_by_key(|unit| Reverse(*unit.keys.end()));
    } else {
        units.sort_by_key(|unit| *unit.keys.start());
    }
    let needed = plan.traces_needed();
    let mut best = Best::new(needed, descending);
    let mut counts = Counts::default();
    for unit in &units {
        let group = &plan.groups[unit.group];
        let Some(filter) = &group.filter else { continue };
        Search { sources, unit, group, filter, descending, budget }.run(needed, &mut best, &mut counts)?;
        // This tells the next source which keys are of no use any more.
        best.settle();
    }
    tracer.tag("sources_considered", || units.len().to_string());
    tracer.tag("sources_read", || counts.read.to_string());
    tracer.tag("sources_walked", || counts.walked.to_string());
    tracer.tag("sources_scanned", || counts.scanned.to_string());
    tracer.tag("rows_read_in_walks", || counts.rows_read.to_string());
    let found = best.finish();
    Ok(found.into_iter().skip(usize::try_from(plan.offset).unwrap_or(usize::MAX)).collect())
}

/// What the searches did.
#[derive(Default)]
struct Counts {
    /// Sources that may have spans of use.
    read: u64,
    /// Sources that were walked in the order of the key.
    walked: u64,
    /// Sources that were scanned, after a walk or without.
    scanned: u64,
    /// Rows of which columns were read during walks.
    rows_read: u64,
}

fn units(sources: &Sources<'_>, plan: &Plan) -> QueryResult<Vec<Unit>> {
    let mut units = Vec::new();
    for (group, group_plan) in plan.groups.iter().enumerate() {
        if group_plan.filter.is_none() {
            continue;
        }
        let resource = sources.key(group);
        for table in sources.tables(group) {
            for source in table.sources() {
                let Some(time) = source.time_range() else { continue };
                if source.series_bound(resource)? == 0 {
                    continue;
                }
                let by = group_plan.key.order();
                let companion = by.map(|by| source.companion(resource, &by)).transpose()?.flatten();
                let (least, greatest) = match (companion, &group_plan.key) {
                    (Some(companion), _) => companion.bounds(),
                    (None, Key::Time) => (time.begin, time.end),
                    (None, Key::Zero) => (0, 0),
                    (None, Key::Column(_)) => (i64::MIN, i64::MAX),
                };
                let source = TableSnapshot::new(table.shard(), 1, vec![source.clone()]);
                units.push(Unit { group, source, keys: least..=greatest });
            }
        }
    }
    Ok(units)
}

/// A search of one source.
struct Search<'a> {
    sources: &'a Sources<'a>,
    unit: &'a Unit,
    group: &'a GroupPlan,
    filter: &'a RowFilter,
    descending: bool,
    budget: &'a Budget,
}

impl Search<'_> {
    fn run(&self, needed: usize, best: &mut Best, counts: &mut Counts) -> QueryResult<()> {
        if self.useful_keys(best).is_none() {
            return Ok(());
        }
        let resource = self.sources.key(self.unit.group);
        let predicate = self.filter.predicate();
        let narrowed = self.unit.source.narrowed(resource, &predicate, &[EntitySelector::All])?;
        if narrowed.table.sources().is_empty() {
            return Ok(());
        }
        counts.read += 1;
        if self.walk(needed, best, counts)? == Searched::Done {
            return Ok(());
        }
        counts.scanned += 1;
        self.scan(&narrowed, best)
    }

    /// The keys of the source that can still matter; none when there are no such. Only where time is the key does
    /// the range of the request bound the spans; otherwise it has selected segments before.
    fn useful_keys(&self, best: &Best) -> Option<RangeInclusive<i64>> {
        let time = if self.group.key == Key::Time { self.sources.time } else { TimeRange::ALL };
        let (mut least, mut greatest) =
            (time.begin.max(*self.unit.keys.start()), time.end.min(*self.unit.keys.end()));
        if let Some(worst) = best.worst_key() {
            if self.descending {
                least = least.max(worst);
            } else {
                greatest = greatest.min(worst);
            }
        }
        (least <= greatest).then_some(least..=greatest)
    }

    fn walk(&self, needed: usize, best: &mut Best, counts: &mut Counts) -> QueryResult<Searched> {
        let (Some(by), Some(keys), [source]) =
            (self.group.key.order(), self.useful_keys(best), self.unit.source.sources())
        else {
            return Ok(Searched::Scan);
        };
        let Some(companion) = source.companion(self.sources.key(self.unit.group), &by)? else {
            return Ok(Searched::Scan);
        };
        counts.walked += 1;
        let search = CompanionSearch {
            companion: &companion,
            filter: self.filter,
            group: self.unit.group,
            descending: self.descending,
            keys: (*keys.start(), *keys.end()),
            looks_max: companion.rows() / ROWS_PER_LOOK,
            cancel: self.sources.cancel,
            budget: self.budget,
        };
        search.run(needed, best, &mut counts.rows_read)
    }

    fn scan(&self, narrowed: &Narrowed, best: &mut Best) -> QueryResult<()> {
        let mut columns = ColumnSet::default();
        let placed = PlacedFilter::new(self.filter, &mut columns);
        let key_column = match &self.group.key {
            Key::Column(key) => Some(columns.position(key)),
            Key::Time | Key::Zero => None,
        };
        let resource = self.sources.key(self.unit.group);
        let [source] = narrowed.table.sources() else { return Ok(()) };
        let traces = source.series_bound(resource)?;
        let mut rows = Vec::new();
        for selector in selectors(traces) {
            self.sources.cancel.check()?;
            let series = narrowed.table.series(resource, &selector)?;
            self.budget.check(best.heap_bytes() + narrowed.heap_bytes + series.heap_bytes())?;
            if series.is_empty() {
                continue;
            }
            let Some(keys) = self.useful_keys(best) else { return Ok(()) };
            let time = match self.group.key {
                Key::Time => TimeRange { begin: *keys.start(), end: *keys.end() },
                Key::Column(_) | Key::Zero => TimeRange::ALL,
            };
            let request = ScanRequest { key: resource, time, columns: columns.keys(), collapse: false };
            scan(self.sources, &narrowed.table, request, &series, self.budget, &mut |batch| {
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
