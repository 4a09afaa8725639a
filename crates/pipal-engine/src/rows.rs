//! Rows between the modules of the engine: kinds, batches, selections, and the trait of everything that holds rows.

use crate::part::Companion;
use crate::row_ranges::RowRanges;
use crate::scan::RowPredicate;
use pipal_codec::{Column, ColumnData, column::BytesData};
use pipal_model::{Analyzer, ColumnKey, OrderKey, Orders, Result, RowPolicy, TimeRange};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

pub use crate::series_cursor::{PendingRows, SeriesCursor};

/// Most rows of one chunk, the unit in which columns are encoded.
pub const CHUNK_ROWS_MAX: usize = 8192;

/// The two kinds of rows of a table. The numbers are part of the format on disk and of the order of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum RowKind {
    /// Series attributes: at most one row per entity; the policy is `Latest`, the time is that of the row which
    /// set them, and time ranges do not apply.
    Attribute = 0,
    /// Rows that clients wrote.
    Data = 1,
}

/// Names one sorted set of series: all rows of a kind of one resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceKey {
    /// Kind of rows; the first part of the order.
    pub kind: RowKind,
    /// Plain name of the measure, stream, trace or document kind.
    pub name: Arc<str>,
}

/// Columns of rows of one resource. All vectors have one slot per row; `deleted` is empty when no row is a tombstone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowBatch {
    /// Nanoseconds since the epoch.
    pub times: Vec<i64>,
    /// Versions or revisions.
    pub versions: Vec<i64>,
    /// Tombstones of documents.
    pub deleted: Vec<bool>,
    /// One column per key of the request or head that the batch belongs to.
    pub columns: Vec<Column>,
}

impl RowBatch {
    /// An empty batch with a column per key.
    pub fn new(keys: &[ColumnKey]) -> Self {
        RowBatch { columns: keys.iter().map(|k| Column::new(k.ty)).collect(), ..RowBatch::default() }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// True when the row is a tombstone.
    pub fn is_deleted(&self, row: usize) -> bool {
        self.deleted.get(row).copied().unwrap_or(false)
    }

    /// Appends rows of a batch with the same columns.
    pub fn extend_from(&mut self, other: &RowBatch, rows: Range<usize>) {
        self.extend_head(other, rows.clone());
        for (to, from) in self.columns.iter_mut().zip(&other.columns) {
            to.extend_from(from, rows.clone());
        }
    }

    /// Appends times, versions and tombstones only; the caller appends the columns.
    pub fn extend_head(&mut self, other: &RowBatch, rows: Range<usize>) {
        if !other.deleted.is_empty() || !self.deleted.is_empty() {
            self.deleted.resize(self.times.len(), false);
            self.deleted.extend(rows.clone().map(|row| other.is_deleted(row)));
        }
        self.times.extend_from_slice(&other.times[rows.clone()]);
        self.versions.extend_from_slice(&other.versions[rows]);
    }

    /// Forgets all rows and keeps columns and allocations.
    pub fn clear(&mut self) {
        self.times.clear();
        self.versions.clear();
        self.deleted.clear();
        self.columns.iter_mut().for_each(Column::clear);
    }

    /// Bytes of the texts of rows.
    pub fn text_bytes(&self, rows: Range<usize>) -> usize {
        let texts = self.columns.iter().filter_map(|column| match column.data() {
            ColumnData::Bytes(values) => Some(rows.clone().map(|row| values.get(row).len()).sum::<usize>()),
            ColumnData::I64(_) | ColumnData::F64(_) => None,
        });
        texts.sum()
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        (self.times.capacity() + self.versions.capacity()) * 8
            + self.deleted.capacity()
            + self.columns.iter().map(Column::heap_bytes).sum::<usize>()
    }

    /// True when all vectors have one slot per row.
    pub fn is_consistent(&self) -> bool {
        let rows = self.times.len();
        self.versions.len() == rows
            && (self.deleted.is_empty() || self.deleted.len() == rows)
            && self.columns.iter().all(|c| c.len() == rows)
    }
}

/// What a resource looks like in one source.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceHead {
    /// Kind and name.
    pub key: ResourceKey,
    /// Policy of the rows.
    pub policy: RowPolicy,
    /// Columns, sorted by key.
    pub columns: Arc<[ColumnKey]>,
    /// Per column, whether the terms of its values are indexed (see `terms.rs`).
    pub indexed: Arc<[bool]>,
    /// Per column, how its values become terms of filters of chunks, if they do.
    pub filters: Arc<[Option<Analyzer>]>,
    /// Orders in which rows are asked for too; their columns are among `columns`.
    pub orders: Arc<Orders>,
}

/// What a column is used for beside giving its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColumnUse {
    /// The terms of its values are indexed.
    pub indexed: bool,
    /// How its values become terms of filters of chunks, if they do.
    pub filter: Option<Analyzer>,
}

impl ColumnUse {
    /// Adds what newer rows use the column for. Of two analyzers the newer one counts.
    pub fn unite(&mut self, newer: ColumnUse) {
        self.indexed |= newer.indexed;
        self.filter = newer.filter.or(self.filter);
    }
}

impl ResourceHead {
    /// A head of columns that only give their values, and without orders.
    pub fn new(key: ResourceKey, policy: RowPolicy, columns: Arc<[ColumnKey]>) -> Self {
        let indexed = columns.iter().map(|_| false).collect();
        let filters = columns.iter().map(|_| None).collect();
        ResourceHead { key, policy, columns, indexed, filters, orders: Arc::default() }
    }

    /// A head with these columns, each with its use, and without orders.
    pub fn of_columns(key: ResourceKey, policy: RowPolicy, columns: BTreeMap<ColumnKey, ColumnUse>) -> Self {
        let indexed = columns.values().map(|used| used.indexed).collect();
        let filters = columns.values().map(|used| used.filter).collect();
        ResourceHead {
            key,
            policy,
            columns: columns.into_keys().collect(),
            indexed,
            filters,
            orders: Arc::default(),
        }
    }

    /// The columns with their uses.
    pub fn uses(&self) -> impl Iterator<Item = (&ColumnKey, ColumnUse)> {
        let flags = self.indexed.iter().zip(self.filters.iter());
        let uses = flags.map(|(indexed, filter)| ColumnUse { indexed: *indexed, filter: *filter });
        self.columns.iter().zip(uses)
    }
}

/// Which entities of a resource are asked for.
#[derive(Clone, Debug)]
pub enum EntitySelector {
    /// All of them.
    All,
    /// Those whose bytes begin with this.
    Prefix(Vec<u8>),
    /// Just these, sorted and distinct.
    Exact(Vec<Vec<u8>>),
}

/// Series of one resource in one source, sorted by entity bytes.
#[derive(Clone, Debug, Default)]
pub struct SeriesList {
    entities: BytesData,
    rows: Vec<(u64, u32)>,
}

impl SeriesList {
    /// Number of series.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True without series.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Entity bytes of a series.
    pub fn entity(&self, series: usize) -> &[u8] {
        self.entities.get(series)
    }

    /// First row, as the source numbers them, and number of rows of a series.
    pub fn rows(&self, series: usize) -> (u64, u32) {
        self.rows[series]
    }

    /// Appends a series; its entity must be greater than the last one.
    pub fn push(&mut self, entity: &[u8], first_row: u64, row_count: u32) {
        debug_assert!(
            self.is_empty() || self.entity(self.len() - 1) < entity,
            "series must be pushed in order"
        );
        self.entities.push(entity);
        self.rows.push((first_row, row_count));
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.entities.heap_bytes() + self.rows.capacity() * 16
    }
}

/// What a source knows of the entities that have a term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TermMatch {
    /// Every entity that has one, sorted and distinct; there may be others among them.
    Entities(Vec<Vec<u8>>),
    /// The source cannot tell: every entity may have one.
    Unknown,
    /// There are more entities than were asked for.
    TooMany,
}

/// What to read of series.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest<'a> {
    /// The resource.
    pub key: &'a ResourceKey,
    /// Rows outside are left out; attributes are read with [`TimeRange::ALL`].
    pub time: TimeRange,
    /// Columns wanted, in the order of the batch; a column that the source does not have reads as absent.
    pub columns: &'a [ColumnKey],
    /// If given, rows outside are of no use: they may be left out.
    pub rows: Option<&'a RowRanges>,
    /// Where the read pauses.
    pub limit: ReadLimit,
}

/// Where a read pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// It gives at most this many rows.
    pub rows: usize,
    /// It ends with the chunk, or the row in memory, that takes the texts of the rows to this many bytes.
    pub bytes: usize,
}

impl ReadLimit {
    /// No pause: for readers of one row per series.
    pub const NONE: ReadLimit = ReadLimit { rows: usize::MAX, bytes: usize::MAX };

    /// True when this much reaches the limit.
    pub fn is_reached(&self, rows: usize, bytes: usize) -> bool {
        rows >= self.rows || bytes >= self.bytes
    }
}

/// Adjacent rows of one series that a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenRows {
    /// The series, as a position among those that the cursor wants.
    pub wanted: u32,
    /// Number of rows.
    pub rows: u32,
}

impl GivenRows {
    /// Notes rows behind those that were given before.
    pub fn push(list: &mut Vec<GivenRows>, wanted: u32, rows: u32) {
        match list.last_mut() {
            Some(last) if last.wanted == wanted => last.rows += rows,
            _ => list.push(GivenRows { wanted, rows }),
        }
    }
}

/// Counts of what a read did; printed by query traces and summed into metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadStats {
    /// Row groups that the selection touched.
    pub row_groups_considered: u64,
    /// Of these, skipped by time or bounds.
    pub row_groups_pruned: u64,
    /// Of these, read.
    pub row_groups_read: u64,
    /// Of the read ones, found in the cache.
    pub cache_hits: u64,
    /// Bytes read from files.
    pub file_bytes: u64,
    /// Rows given out.
    pub rows: u64,
}

impl std::ops::AddAssign for ReadStats {
    fn add_assign(&mut self, other: Self) {
        self.row_groups_considered += other.row_groups_considered;
        self.row_groups_pruned += other.row_groups_pruned;
        self.row_groups_read += other.row_groups_read;
        self.cache_hits += other.cache_hits;
        self.file_bytes += other.file_bytes;
        self.rows += other.rows;
    }
}

/// Something that holds sorted rows: a run of a memory table or a part. Within a source rows are sorted by
/// (kind, resource name, entity bytes, time) and the resource's policy holds: no two rows share an identity.
pub trait RowSource: Send + Sync {
    /// All resources, sorted by key.
    fn resources(&self) -> Result<Vec<ResourceHead>>;
    /// One resource, if the source has rows of it.
    fn resource(&self, key: &ResourceKey) -> Result<Option<ResourceHead>>;
    /// Least and greatest time of the data rows; none without data rows.
    fn time_range(&self) -> Option<TimeRange>;
    /// The selected series.
    fn series(&self, key: &ResourceKey, selector: &EntitySelector) -> Result<SeriesList>;
    /// An upper bound of the number of series, told without listing them.
    fn series_bound(&self, key: &ResourceKey) -> Result<u64>;
    /// The entities of which a row has one of `terms`, sorted and distinct, in a column: at most `limit`.
    fn entities_with_terms(
        &self,
        key: &ResourceKey,
        column: &ColumnKey,
        terms: &[Box<[u8]>],
        limit: usize,
    ) -> Result<TermMatch>;
    /// The companion that gives the rows of a resource in the order of `by`; none where the source has none, and the
    /// rows have to be looked at one by one.
    fn companion(&self, _key: &ResourceKey, _by: &OrderKey) -> Result<Option<Companion<'_>>> {
        Ok(None)
    }
    /// Rows of a resource among which are all that the predicate accepts; none when the source rules nothing out.
    fn useful_rows(&self, key: &ResourceKey, predicate: &RowPredicate) -> Result<Option<RowRanges>>;
    /// The selected series that have rows among these, cut to the rows from the first to the last of them.
    fn series_within(
        &self,
        key: &ResourceKey,
        selector: &EntitySelector,
        rows: &RowRanges,
    ) -> Result<SeriesList>;
    /// Appends to `out`, which has a column per requested key, rows in the time range of the cursor's series, in order,
    /// and moves the cursor behind them, until it is at its end or the limit is reached. `given` tells how many rows are
    /// of which series; series without such rows are not named. Rows of one series may come in several calls.
    fn read(
        &self,
        request: &ReadRequest<'_>,
        series: &SeriesList,
        cursor: &mut SeriesCursor,
        out: &mut RowBatch,
        given: &mut Vec<GivenRows>,
        stats: &mut ReadStats,
    ) -> Result<()>;
}
