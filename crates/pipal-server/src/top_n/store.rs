//! What Top-N keeps in the engine: published rankings, and the ledger of windows.
//!
//! The ledger is a resource of its own beside the measures, [`LEDGER`], with one row per aggregation and window.
//! A request that writes rows of a window carries a row of the ledger which says that the window is pending, so that
//! both become durable together or not at all; the request that publishes the window carries one which says that it
//! is not. After a crash the ledger names exactly the windows whose rankings lack rows.

use super::definition::Definition;
use super::rows::{Ranking, WindowRow};
use crate::registry::{CompiledResource, Registry};
use pipal_engine::rows::{EntitySelector, ResourceKey, RowBatch, RowKind};
use pipal_engine::{
    CancelToken, Engine, GroupId, Route, Row, ScanBatch, ScanRequest, TableKey, TableSnapshot, WriteBatch,
};
use pipal_model::series::{EntityValue, ShardHasher, decode_entity, push_entity_value};
use pipal_model::{ColumnDef, ColumnKey, ColumnType, Error, Layout, Result, RowPolicy, TimeRange, ValueRef};
use pipal_query::top_n::{RESULT_MEASURE, value_column};
use std::sync::{Arc, LazyLock};

/// Name of the ledger in the engine; no measure has it.
pub const LEDGER: &str = "_top_n_window";

static LEDGER_LAYOUT: LazyLock<Arc<Layout>> = LazyLock::new(|| {
    let column = ColumnDef::plain(pending_column());
    Arc::new(Layout::new(LEDGER, RowPolicy::Versioned, vec![column]))
});

fn pending_column() -> ColumnKey {
    ColumnKey { family: "".into(), name: "pending".into(), ty: ColumnType::Int }
}

fn data_key(name: &str) -> ResourceKey {
    ResourceKey { kind: RowKind::Data, name: name.into() }
}

fn entity_of(values: &[ValueRef<'_>]) -> Vec<u8> {
    let mut entity = Vec::new();
    for value in values {
        // Texts and integers can be keys.
        push_entity_value(*value, &mut entity);
    }
    entity
}

fn entity_value(entity: &[u8], position: usize) -> Option<EntityValue> {
    decode_entity(entity)?.into_iter().nth(position)
}

/// Adds a row of the ledger. Nothing is added when the window has expired.
pub fn push_ledger(
    engine: &Engine,
    batch: &mut WriteBatch,
    (group, name): (GroupId, &str),
    window: i64,
    version: i64,
    is_pending: bool,
) -> Result<()> {
    let Route::Segment(segment) = engine.route(group, window)? else { return Ok(()) };
    let entity = entity_of(&[ValueRef::Str(name.as_bytes())]);
    let values = [ValueRef::Int(i64::from(is_pending))];
    let row = Row { entity: &entity, time: window, version, deleted: false, values: &values };
    batch.push(TableKey { group, segment, shard: 0 }, &LEDGER_LAYOUT, &row)
}

/// Adds a published ranking. Nothing is added when the window has expired.
pub fn push_ranking(
    engine: &Engine,
    batch: &mut WriteBatch,
    results: &CompiledResource,
    definition: &Definition,
    window: i64,
    version: i64,
    ranking: &Ranking,
) -> Result<()> {
    let group = results.group.id;
    let Route::Segment(segment) = engine.route(group, window)? else { return Ok(()) };
    let key = [
        ValueRef::Str(definition.name.as_bytes()),
        ValueRef::Int(ranking.direction.code()),
        ValueRef::Str(&ranking.group),
        ValueRef::Str(definition.parameters.as_bytes()),
    ];
    let mut hasher = ShardHasher::new(RESULT_MEASURE);
    key.iter().for_each(|value| hasher.push(*value));
    let shard = hasher.shard(results.group.options.shard_num);
    let values = [ValueRef::Binary(&ranking.bytes)];
    let entity = entity_of(&key);
    let row = Row { entity: &entity, time: window, version, deleted: false, values: &values };
    batch.push(TableKey { group, segment, shard }, results.schema.layout(), &row)
}

/// The measure of results of a group.
pub fn results_of(registry: &Registry, group: &str) -> Result<Arc<CompiledResource>> {
    let missing = || Error::internal("publish rankings", format!("group {group} has no measure for them"));
    registry.measure(group, RESULT_MEASURE).ok_or_else(missing)
}

/// A row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// Name of the aggregation.
    pub name: Box<str>,
    /// Start of the window.
    pub window: i64,
    /// When it was written, in nanoseconds.
    pub version: i64,
    /// True when rows of the window are not in a published ranking.
    pub is_pending: bool,
}

/// The whole ledger of a group.
pub fn read_ledger(engine: &Engine, group: GroupId) -> Result<Vec<LedgerRow>> {
    let mut rows = Vec::new();
    let (key, columns) = (data_key(LEDGER), [pending_column()]);
    let snapshot = engine.snapshot(group, TimeRange::ALL)?;
    for table in snapshot.segments.iter().flat_map(|segment| &segment.tables) {
        let request = ScanRequest { key: &key, time: TimeRange::ALL, columns: &columns, collapse: false };
        scan_table(table, request, &EntitySelector::All, |row| {
            if let Some(EntityValue::Str(name)) = entity_value(row.entity, 0) {
                rows.push(LedgerRow {
                    name: String::from_utf8_lossy(&name).into(),
                    window: row.time(),
                    version: row.version(),
                    is_pending: row.value(0) == ValueRef::Int(1),
                });
            }
            true
        })?;
    }
    Ok(rows)
}

/// The ranking groups of an aggregation that have a published ranking of a window.
pub fn published_groups(engine: &Engine, definition: &Definition, window: i64) -> Result<Vec<Vec<u8>>> {
    let mut groups = Vec::new();
    let key = data_key(RESULT_MEASURE);
    let selector = EntitySelector::Prefix(entity_of(&[ValueRef::Str(definition.name.as_bytes())]));
    let time = TimeRange { begin: window, end: window };
    let columns = [value_column()];
    let snapshot = engine.snapshot(definition.group, time)?;
    for table in snapshot.segments.iter().flat_map(|segment| &segment.tables) {
        let request = ScanRequest { key: &key, time, columns: &columns, collapse: false };
        scan_table(table, request, &selector, |row| {
            if let Some(EntityValue::Str(group)) = entity_value(row.entity, 2) {
                groups.push(group);
            }
            true
        })?;
    }
    groups.sort_unstable();
    groups.dedup();
    Ok(groups)
}

/// Gives the stored rows of a window of the source measure, series by series inside each table, until `take` says
/// false.
pub fn read_window(
    engine: &Engine,
    definition: &Definition,
    window: i64,
    mut take: impl FnMut(WindowRow<'_>) -> bool,
) -> Result<()> {
    let end = window.saturating_add(definition.interval - 1);
    let (key, time) = (data_key(&definition.source), TimeRange { begin: window, end });
    let snapshot = engine.snapshot(definition.group, time)?;
    let mut group = Vec::new();
    for table in snapshot.segments.iter().flat_map(|segment| &segment.tables) {
        let columns = &definition.columns;
        let request = ScanRequest { key: &key, time, columns, collapse: false };
        let mut goes_on = true;
        scan_table(table, request, &EntitySelector::All, |row| {
            let rank = definition.rank(row.entity, |column| row.value(column), &mut group);
            let (time, version) = (row.time(), row.version());
            goes_on = take(WindowRow { entity: row.entity, time, version, group: &group, rank });
            goes_on
        })?;
        if !goes_on {
            break;
        }
    }
    Ok(())
}

/// Gives all rows of a table that a request is about, until `take` says false.
fn scan_table(
    table: &TableSnapshot,
    request: ScanRequest<'_>,
    selector: &EntitySelector,
    mut take: impl FnMut(&StoredRow<'_>) -> bool,
) -> Result<()> {
    let series = table.series(request.key, selector)?;
    let chosen: Vec<u32> = (0..series.len() as u32).collect();
    let cancel = CancelToken::default();
    let mut scan = table.scan(request, &series, &chosen, &cancel)?;
    let mut batch = ScanBatch::new(request.columns);
    while scan.next_batch(&mut batch)? {
        for (row, at) in batch.series.iter().enumerate() {
            let entity = series.entity(*at as usize);
            if !take(&StoredRow { entity, batch: &batch.rows, row }) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A row that a scan gives.
struct StoredRow<'a> {
    entity: &'a [u8],
    batch: &'a RowBatch,
    row: usize,
}

impl<'a> StoredRow<'a> {
    fn time(&self) -> i64 {
        self.batch.times.get(self.row).copied().unwrap_or_default()
    }

    fn version(&self) -> i64 {
        self.batch.versions.get(self.row).copied().unwrap_or_default()
    }

    fn value(&self, column: usize) -> ValueRef<'a> {
        self.batch.columns.get(column).map_or(ValueRef::Absent, |column| column.get(self.row))
    }
}
