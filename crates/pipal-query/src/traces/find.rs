//! What finding and reading have in common: the tables of the selected segments, and scans of them.

use super::QueryContext;
use super::plan::Plan;
use crate::budget::Budget;
use crate::entity;
use crate::error::QueryResult;
use crate::row_filter::RowFilter;
use pipal_codec::Column;
use pipal_engine::rows::{ResourceKey, RowKind};
use pipal_engine::scan::{MergedSeries, ScanBatch, ScanRequest};
use pipal_engine::{CancelToken, SegmentSnapshot, TableSnapshot};
use pipal_model::series::push_entity_value;
use pipal_model::{ColumnKey, TimeRange, ValueRef};

/// What the query sees of its groups.
pub(super) struct Sources<'a> {
    /// The request's time.
    pub time: TimeRange,
    /// Tells the query to stop.
    pub cancel: &'a CancelToken,
    /// Per group its name in the engine and its segments, which overlap the time.
    pub groups: Vec<(ResourceKey, Vec<SegmentSnapshot>)>,
}

impl<'a> Sources<'a> {
    /// Opens all groups.
    pub fn open(context: &QueryContext<'a>, plan: &Plan) -> QueryResult<Self> {
        let mut groups = Vec::with_capacity(plan.groups.len());
        for group in context.groups {
            let key = ResourceKey { kind: RowKind::Data, name: group.schema.name.as_ref().into() };
            groups.push((key, context.snapshots.snapshot(group.id, context.time)?.segments));
        }
        Ok(Sources { time: context.time, cancel: context.cancel, groups })
    }

    /// The name of a group's rows in the engine.
    pub fn key(&self, group: usize) -> &ResourceKey {
        &self.groups[group].0
    }

    /// All tables of a group, oldest segment first.
    pub fn tables(&self, group: usize) -> impl Iterator<Item = &TableSnapshot> {
        self.groups[group].1.iter().flat_map(|segment| &segment.tables)
    }
}

/// Columns to read, each once.
#[derive(Debug, Default)]
pub(super) struct ColumnSet(Vec<ColumnKey>);

impl ColumnSet {
    /// The position of a column, which is added if it is new.
    pub fn position(&mut self, key: &ColumnKey) -> usize {
        if let Some(at) = self.0.iter().position(|known| known == key) {
            return at;
        }
        self.0.push(key.clone());
        self.0.len() - 1
    }

    /// The columns in order.
    pub fn keys(&self) -> &[ColumnKey] {
        &self.0
    }
}

/// A row filter with the positions of its columns.
pub(super) struct PlacedFilter<'a> {
    filter: &'a RowFilter,
    positions: Vec<Option<usize>>,
}

impl<'a> PlacedFilter<'a> {
    /// Adds the columns of a filter to those that are read.
    pub fn new(filter: &'a RowFilter, columns: &mut ColumnSet) -> Self {
        let positions =
            filter.leaves.iter().map(|leaf| leaf.column.as_ref().map(|key| columns.position(key))).collect();
        PlacedFilter { filter, positions }
    }

    /// The rows of a batch that are alive and pass.
    pub fn select(&self, batch: &ScanBatch, rows: &mut Vec<u32>) {
        rows.clear();
        rows.extend((0..batch.rows.len() as u32).filter(|row| !batch.rows.is_deleted(*row as usize)));
        self.retain(&batch.rows.columns, batch.rows.len(), rows);
    }

    /// Keeps of `rows` those that pass; `columns` has `count` values of each of the columns that are read.
    pub fn retain(&self, columns: &[Column], count: usize, rows: &mut Vec<u32>) {
        let columns: Vec<Option<&Column>> =
            self.positions.iter().map(|at| at.and_then(|at| columns.get(at))).collect();
        self.filter.retain(&columns, count, rows);
    }
}

/// Scans series of a table and gives each batch to `visit`. `held_bytes` tells what the caller holds.
pub(super) fn scan(
    sources: &Sources<'_>,
    table: &TableSnapshot,
    request: ScanRequest<'_>,
    series: &MergedSeries,
    budget: &Budget,
    visit: &mut impl FnMut(&ScanBatch) -> usize,
) -> QueryResult<()> {
    let chosen: Vec<u32> = (0..series.len() as u32).collect();
    let mut scan = table.scan(request, series, &chosen, sources.cancel)?;
    let mut batch = ScanBatch::new(request.columns);
    while scan.next_batch(&mut batch)? {
        let held = visit(&batch);
        let batch_bytes = batch.rows.heap_bytes() + batch.series.capacity() * 4;
        budget.check(held + batch_bytes + scan.heap_bytes() + series.heap_bytes() + chosen.capacity() * 4)?;
    }
    Ok(())
}

/// The entity bytes of a trace.
pub(super) fn entity_of(id: &[u8]) -> Vec<u8> {
    let mut entity = Vec::with_capacity(id.len() + 2);
    push_entity_value(ValueRef::Str(id), &mut entity);
    entity
}

/// The trace id of entity bytes.
pub(super) fn id_of<'a>(entity: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    match entity::value(entity, 0, scratch) {
        ValueRef::Str(id) => id,
        _ => &[],
    }
}
