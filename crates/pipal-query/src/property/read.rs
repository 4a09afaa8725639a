//! Reading documents: the newest version of each, whichever shard has it.
//!
//! A document is in the shard of its key, unless the number of shards was changed after it was written. Such strays
//! may have a newer or older version in the shard of today, so of them the versions of all shards are compared.

use super::PropertyGroup;
use super::document::{body_column, decode, entity_of, id_of, length_column, shard_of};
use crate::budget::Budget;
use crate::error::QueryResult;
use crate::measure::Snapshots;
use hashbrown::HashMap;
use pipal_api::property::v1::Property;
use pipal_engine::rows::{EntitySelector, ResourceKey, RowKind};
use pipal_engine::scan::{MergedSeries, ScanBatch, ScanRequest};
use pipal_engine::{CancelToken, TableSnapshot};
use pipal_model::{ColumnKey, Error, Result, RowPolicy, TimeRange, ValueRef};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// Documents whose versions are looked at together.
const DOCUMENTS_PER_ROUND: usize = 1_024;
/// Bodies are read together up to this many bytes; a longer one is read alone.
const BODY_BYTES_PER_READ: u64 = 4 << 20;

/// The tables of a group.
pub(super) struct GroupReader<'a> {
    group: &'a PropertyGroup,
    tables: Vec<TableSnapshot>,
    budget: &'a Budget,
    cancel: &'a CancelToken,
}

/// The documents of one name, in all shards.
pub(super) struct Resource<'a> {
    reader: &'a GroupReader<'a>,
    key: ResourceKey,
    /// Per table the selected documents.
    series: Vec<MergedSeries>,
    /// Per stray its newest version, and the table that has it.
    strays: HashMap<Vec<u8>, (i64, usize)>,
}

/// The newest version of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its `mod_revision`.
    pub version: i64,
    /// True for a tombstone.
    pub deleted: bool,
    /// Position in the list of documents of its table.
    series: u32,
    body_bytes: u64,
}

impl<'a> GroupReader<'a> {
    /// The group as it is now.
    pub fn open(
        snapshots: &dyn Snapshots,
        group: &'a PropertyGroup,
        budget: &'a Budget,
        cancel: &'a CancelToken,
    ) -> QueryResult<Self> {
        let snapshot = snapshots.snapshot(group.id, TimeRange::ALL)?;
        let tables = snapshot.segments.into_iter().flat_map(|segment| segment.tables).collect();
        Ok(GroupReader { group, tables, budget, cancel })
    }

    /// Names of properties that have documents, sorted.
    pub fn names(&self) -> QueryResult<Vec<Arc<str>>> {
        let mut names = BTreeSet::new();
        for table in &self.tables {
            let is_data = |head: &pipal_engine::rows::ResourceHead| {
                head.key.kind == RowKind::Data && head.policy == RowPolicy::Document
            };
            names.extend(table.heads()?.into_iter().filter(is_data).map(|head| head.key.name));
        }
        Ok(names.into_iter().collect())
    }

    /// The selected documents of a name.
    pub fn resource(&'a self, name: Arc<str>, selector: &EntitySelector) -> QueryResult<Resource<'a>> {
        let key = ResourceKey { kind: RowKind::Data, name };
        let mut series = Vec::with_capacity(self.tables.len());
        let mut held = 0;
        for table in &self.tables {
            self.cancel.check()?;
            let found = table.series(&key, selector)?;
            held += found.heap_bytes();
            self.budget.check(held)?;
            series.push(found);
        }
        let mut resource = Resource { reader: self, key, series, strays: HashMap::new() };
        resource.resolve_strays()?;
        Ok(resource)
    }
}

impl Resource<'_> {
    /// Number of tables.
    pub fn tables(&self) -> usize {
        self.series.len()
    }

    /// Number of documents in all tables, deleted ones included.
    pub fn stored(&self) -> usize {
        self.series.iter().map(MergedSeries::len).sum()
    }

    fn series_bytes(&self) -> usize {
        self.series.iter().map(MergedSeries::heap_bytes).sum()
    }

    /// Finds documents outside of the shard of their key, and where their newest version is.
    fn resolve_strays(&mut self) -> QueryResult<()> {
        let reader = self.reader;
        if reader.tables.len() < 2 {
            return Ok(());
        }
        let mut strays = HashMap::new();
        let mut held = self.series_bytes();
        for (table, series) in reader.tables.iter().zip(&self.series) {
            for at in 0..series.len() {
                let entity = series.entity(at);
                let id = self.id(entity)?;
                if shard_of(reader.group, &self.key.name, &id) != table.shard() {
                    held += entity.len() + size_of::<(Vec<u8>, (i64, usize))>();
                    strays.insert(entity.to_vec(), (i64::MIN, usize::MAX));
                }
            }
            reader.budget.check(held)?;
        }
        for (table, series) in self.series.iter().enumerate() {
            let chosen =
                (0..series.len() as u32).filter(|at| strays.contains_key(series.entity(*at as usize)));
            for head in self.scan_heads(table, &chosen.collect::<Vec<_>>())? {
                if let Some(newest) = strays.get_mut(series.entity(head.series as usize)) {
                    *newest = (*newest).max((head.version, table));
                }
            }
        }
        self.strays = strays;
        Ok(())
    }

    /// The newest versions of some documents of a table, those left out whose newest version is in another one.
    pub fn heads(&self, table: usize, documents: Range<usize>) -> QueryResult<Vec<Head>> {
        let chosen: Vec<u32> = documents.map(|at| at as u32).collect();
        let mut heads = self.scan_heads(table, &chosen)?;
        if !self.strays.is_empty() {
            heads.retain(|head| {
                let entity = self.series[table].entity(head.series as usize);
                self.strays.get(entity).is_none_or(|(_, newest)| *newest == table)
            });
        }
        Ok(heads)
    }

    fn scan_heads(&self, table: usize, chosen: &[u32]) -> QueryResult<Vec<Head>> {
        let mut heads = Vec::with_capacity(chosen.len());
        self.scan(table, chosen, &[length_column()], &mut |batch| {
            for (row, series) in batch.series.iter().enumerate() {
                let length = match batch.rows.columns[0].get(row) {
                    ValueRef::Int(length) => u64::try_from(length).unwrap_or(0),
                    _ => 0,
                };
                heads.push(Head {
                    version: batch.rows.versions[row],
                    deleted: batch.rows.is_deleted(row),
                    series: *series,
                    body_bytes: length,
                });
            }
            Ok(true)
        })?;
        Ok(heads)
    }

    /// Visits documents of a table, whose heads are given in order, until the visitor says false. The caller holds
    /// `held_bytes` beside.
    fn read(
        &self,
        table: usize,
        heads: &[Head],
        held_bytes: &Cell<usize>,
        visit: &mut dyn FnMut(Property) -> QueryResult<bool>,
    ) -> QueryResult<bool> {
        let mut rest = heads;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |head: &&Head| {
                bytes += head.body_bytes;
                bytes <= BODY_BYTES_PER_READ
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (now, later) = rest.split_at(count);
            rest = later;
            // A body is held by its source's block, by the buffer of the scan and by its batch.
            let body_bytes: u64 = now.iter().map(|head| head.body_bytes).sum();
            let copies = usize::try_from(body_bytes).unwrap_or(usize::MAX).saturating_mul(3);
            let held = held_bytes.get().saturating_add(self.series_bytes()).saturating_add(copies);
            self.reader.budget.check(held)?;
            let chosen: Vec<u32> = now.iter().map(|head| head.series).collect();
            let goes_on = self.scan(table, &chosen, &[body_column()], &mut |batch| {
                for row in 0..batch.rows.len() {
                    if batch.rows.is_deleted(row) {
                        continue;
                    }
                    if !visit(self.document(table, batch, row)?)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            })?;
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Visits all live documents, table by table in the order of their ids, until the visitor says false.
    pub fn visit_live(
        &self,
        held_bytes: &Cell<usize>,
        visit: &mut dyn FnMut(Property) -> QueryResult<bool>,
    ) -> QueryResult<bool> {
        for (table, series) in self.series.iter().enumerate() {
            for start in (0..series.len()).step_by(DOCUMENTS_PER_ROUND) {
                let end = series.len().min(start + DOCUMENTS_PER_ROUND);
                let mut heads = self.heads(table, start..end)?;
                heads.retain(|head| !head.deleted);
                if !self.read(table, &heads, held_bytes, visit)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn scan(
        &self,
        table: usize,
        chosen: &[u32],
        columns: &[ColumnKey],
        visit: &mut dyn FnMut(&ScanBatch) -> QueryResult<bool>,
    ) -> QueryResult<bool> {
        if chosen.is_empty() {
            return Ok(true);
        }
        let reader = self.reader;
        let request = ScanRequest { key: &self.key, time: TimeRange::ALL, columns, collapse: false };
        let mut scan = reader.tables[table].scan(request, &self.series[table], chosen, reader.cancel)?;
        let mut batch = ScanBatch::new(columns);
        while scan.next_batch(&mut batch)? {
            if !visit(&batch)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn document(&self, table: usize, batch: &ScanBatch, row: usize) -> QueryResult<Property> {
        let id = self.id(self.series[table].entity(batch.series[row] as usize))?;
        let (group, name) = (&self.reader.group.name, &self.key.name);
        match batch.rows.columns[0].get(row) {
            ValueRef::Binary(body) => decode(group, name, id, batch.rows.versions[row], body),
            _ => {
                let subject = format!("{group}/{name}/{id}");
                Err(Error::corrupt("read property", subject, "the document has no body").into())
            }
        }
    }

    fn id(&self, entity: &[u8]) -> Result<String> {
        id_of(entity).ok_or_else(|| {
            let subject = format!("{}/{}", self.reader.group.name, self.key.name);
            Error::corrupt("read property", subject, "an id is malformed")
        })
    }
}

/// The newest version of a document, and the document itself unless it is deleted.
pub fn find(
    snapshots: &dyn Snapshots,
    group: &PropertyGroup,
    name: &str,
    id: &str,
    budget: &Budget,
    cancel: &CancelToken,
) -> QueryResult<Option<(Head, Option<Property>)>> {
    let reader = GroupReader::open(snapshots, group, budget, cancel)?;
    let resource = reader.resource(name.into(), &EntitySelector::Exact(vec![entity_of(id)]))?;
    for table in 0..resource.tables() {
        let Some(head) = resource.heads(table, 0..resource.series[table].len())?.pop() else { continue };
        let mut found = None;
        if !head.deleted {
            resource.read(table, &[head], &Cell::new(0), &mut |property| {
                found = Some(property);
                Ok(true)
            })?;
        }
        return Ok(Some((head, found)));
    }
    Ok(None)
}

/// Ids and versions of all live documents of a name.
pub fn live_documents(
    snapshots: &dyn Snapshots,
    group: &PropertyGroup,
    name: &str,
    budget: &Budget,
    cancel: &CancelToken,
) -> QueryResult<Vec<(String, i64)>> {
    let reader = GroupReader::open(snapshots, group, budget, cancel)?;
    let resource = reader.resource(name.into(), &EntitySelector::All)?;
    let mut live = Vec::new();
    let mut held = resource.series_bytes();
    for (table, series) in resource.series.iter().enumerate() {
        for start in (0..series.len()).step_by(DOCUMENTS_PER_ROUND) {
            let heads = resource.heads(table, start..series.len().min(start + DOCUMENTS_PER_ROUND))?;
            for head in heads.into_iter().filter(|head| !head.deleted) {
                let id = resource.id(series.entity(head.series as usize))?;
                held += id.len() + size_of::<(String, i64)>();
                live.push((id, head.version));
            }
            budget.check(held)?;
        }
    }
    Ok(live)
}
