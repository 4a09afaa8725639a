//! Reading a table: all its sources seen as one sorted set of series and rows.
//!
//! Queries and merges use the same code: a merge is a scan of all columns of its inputs.

mod cancel;
mod candidates;
mod gather;
mod lane;
mod narrow;
mod predicate;
mod rows;
mod series;

pub use cancel::CancelToken;
pub use candidates::TermFilter;
pub use narrow::Narrowed;
pub use predicate::RowPredicate;
pub use rows::{Scan, ScanBatch, ScanRequest};
pub use series::MergedSeries;

use crate::rows::{ColumnUse, EntitySelector, ResourceHead, ResourceKey, RowBatch, RowKind, RowSource};
use crate::table_key::SegmentBounds;
use pipal_model::{ColumnKey, Result, TimeRange};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Up to this many series, attributes are looked up one by one; beyond, all of the resource are listed.
const ATTRIBUTE_LOOKUPS_MAX: usize = 1024;

/// What a query sees of a group: whole requests only, and nothing that changes while it looks.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Segments that overlap the range and have not expired, by start.
    pub segments: Vec<SegmentSnapshot>,
}

/// What a query sees of a segment.
#[derive(Clone, Debug)]
pub struct SegmentSnapshot {
    /// Span of the segment.
    pub bounds: SegmentBounds,
    /// One per shard that has rows.
    pub tables: Vec<TableSnapshot>,
}

/// What a query sees of a table: its sources, oldest first.
#[derive(Clone)]
pub struct TableSnapshot {
    shard: u32,
    parts: usize,
    sources: Arc<[Arc<dyn RowSource>]>,
}

impl std::fmt::Debug for TableSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "table snapshot of shard {} with {} sources", self.shard, self.sources.len())
    }
}

impl TableSnapshot {
    /// Sources in the order of the log; the first `parts` are parts, the others are in memory.
    pub fn new(shard: u32, parts: usize, sources: Vec<Arc<dyn RowSource>>) -> Self {
        TableSnapshot { shard, parts, sources: sources.into() }
    }

    /// Number of the shard.
    pub fn shard(&self) -> u32 {
        self.shard
    }

    /// Number of parts and memory runs.
    pub fn source_count(&self) -> usize {
        self.sources.len()
    }

    /// Number of parts.
    pub fn part_count(&self) -> usize {
        self.parts
    }

    /// The sources, oldest first.
    pub fn sources(&self) -> &[Arc<dyn RowSource>] {
        &self.sources
    }

    /// All resources of all sources, sorted, each with the union of its columns.
    pub fn heads(&self) -> Result<Vec<ResourceHead>> {
        let mut heads: BTreeMap<ResourceKey, ResourceHead> = BTreeMap::new();
        for source in self.sources.iter() {
            for head in source.resources()? {
                match heads.entry(head.key.clone()) {
                    std::collections::btree_map::Entry::Vacant(entry) => {
                        entry.insert(head);
                    }
                    std::collections::btree_map::Entry::Occupied(mut entry) => unite(entry.get_mut(), head),
                }
            }
        }
        Ok(heads.into_values().collect())
    }

    /// One resource with the union of its columns; the newest source decides the policy and the orders.
    pub fn head(&self, key: &ResourceKey) -> Result<Option<ResourceHead>> {
        let mut found: Option<ResourceHead> = None;
        for source in self.sources.iter() {
            if let Some(head) = source.resource(key)? {
                match &mut found {
                    Some(all) => unite(all, head),
                    None => found = Some(head),
                }
            }
        }
        Ok(found)
    }

    /// The selected series of all sources, sorted by entity bytes.
    pub fn series(&self, key: &ResourceKey, selector: &EntitySelector) -> Result<MergedSeries> {
        let lists = self.sources.iter().map(|s| s.series(key, selector)).collect::<Result<Vec<_>>>()?;
        Ok(MergedSeries::merge(lists))
    }

    /// The attributes of data series of a resource: one row per series of `series`, in order; absent values
    /// where a series has no attributes.
    pub fn attributes(
        &self,
        resource: &str,
        series: &MergedSeries,
        columns: &[ColumnKey],
    ) -> Result<RowBatch> {
        let key = ResourceKey { kind: RowKind::Attribute, name: resource.into() };
        let selector = if series.len() <= ATTRIBUTE_LOOKUPS_MAX {
            EntitySelector::Exact((0..series.len()).map(|i| series.entity(i).to_vec()).collect())
        } else {
            EntitySelector::All
        };
        let found = self.series(&key, &selector)?;
        let (chosen, positions) = common_series(&found, series);
        let cancel = CancelToken::default();
        let request = ScanRequest { key: &key, time: TimeRange::ALL, columns, collapse: false };
        let mut scan = self.scan(request, &found, &chosen, &cancel)?;
        let mut batch = ScanBatch::new(columns);
        let mut out = RowBatch::new(columns);
        let mut at = 0;
        while scan.next_batch(&mut batch)? {
            for row in 0..batch.rows.len() {
                while chosen.get(at).is_some_and(|series| *series < batch.series[row]) {
                    at += 1;
                }
                let position = positions.get(at).map_or(series.len(), |p| *p as usize);
                extend_missing(&mut out, position);
                out.extend_from(&batch.rows, row..row + 1);
            }
        }
        extend_missing(&mut out, series.len());
        Ok(out)
    }

    /// Rows of the chosen series (ascending indices into `series`), see [`Scan`].
    pub fn scan<'a>(
        &'a self,
        request: ScanRequest<'a>,
        series: &'a MergedSeries,
        chosen: &'a [u32],
        cancel: &'a CancelToken,
    ) -> Result<Scan<'a>> {
        let policy = self.head(request.key)?.map(|h| h.policy);
        Ok(Scan::new(&self.sources, policy, request, series, chosen, cancel))
    }
}

fn unite(all: &mut ResourceHead, head: ResourceHead) {
    all.policy = head.policy;
    all.orders = head.orders.clone();
    if all.columns == head.columns && all.indexed == head.indexed && all.filters == head.filters {
        return;
    }
    let mut columns: BTreeMap<ColumnKey, ColumnUse> = BTreeMap::new();
    for head in [&*all, &head] {
        for (column, used) in head.uses() {
            columns.entry(column.clone()).or_default().unite(used);
        }
    }
    *all = ResourceHead { orders: head.orders, ..ResourceHead::of_columns(head.key, head.policy, columns) };
}

/// Appends absent rows until the batch has `rows`.
fn extend_missing(out: &mut RowBatch, rows: usize) {
    let count = rows.saturating_sub(out.len());
    for column in &mut out.columns {
        column.push_missing(pipal_codec::Presence::Absent, count);
    }
    out.times.resize(out.times.len() + count, 0);
    out.versions.resize(out.versions.len() + count, 0);
}

/// The series that both lists have: their indices in the first and in the second.
fn common_series(first: &MergedSeries, second: &MergedSeries) -> (Vec<u32>, Vec<u32>) {
    let (mut in_first, mut in_second) = (Vec::new(), Vec::new());
    let (mut i, mut j) = (0, 0);
    while i < first.len() && j < second.len() {
        match first.entity(i).cmp(second.entity(j)) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                in_first.push(i as u32);
                in_second.push(j as u32);
                i += 1;
                j += 1;
            }
        }
    }
    (in_first, in_second)
}
