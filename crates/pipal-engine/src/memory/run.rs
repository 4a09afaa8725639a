//! A run: rows of one or more requests, sorted and immutable, that answers reads like a part.
//!
//! Rows are ordered by (resource, 64-bit hash of the entity, entity, time): numbers decide nearly every
//! comparison. The order of parts, by entity bytes, is made when series are listed.

use super::useful::numbers_of_use;
use crate::row_format::{RowHead, ValueReader, decode_head, read_columns};
use crate::row_ranges::RowRanges;
use crate::rows::{
    EntitySelector, GivenRows, ReadRequest, ReadStats, ResourceHead, ResourceKey, RowBatch, RowSource,
    SeriesCursor, SeriesList, TermMatch,
};
use crate::scan::RowPredicate;
use crate::terms::{has_any_of, has_terms};
use pipal_model::{ColumnKey, Error, Layout, Result, TimeRange};
use std::ops::Range;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Where a row is and what orders it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunRow {
    pub hash: u64,
    pub time: i64,
    pub version: i64,
    pub offset: u32,
    pub resource: u32,
}

/// The rows of one resource.
#[derive(Debug)]
pub(crate) struct RunResource {
    pub head: ResourceHead,
    pub rows: Range<usize>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct MemRun {
    pub(super) layouts: Vec<Arc<Layout>>,
    pub(super) resources: Vec<RunResource>,
    pub(super) rows: Vec<RunRow>,
    pub(super) bytes: Vec<u8>,
    pub(super) time_range: Option<TimeRange>,
    /// Log positions of the requests in the run, both included.
    pub first_seq: u64,
    pub last_seq: u64,
}

/// Hash that orders entities inside a run.
pub(super) fn entity_hash(entity: &[u8]) -> u64 {
    xxh3_64(entity)
}

impl MemRun {
    /// Bytes held, to be charged.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.rows.capacity() * size_of::<RunRow>() + self.resources.len() * 256
    }

    /// Number of rows.
    pub fn row_count(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn head_of(&self, row: &RunRow) -> Result<RowHead<'_>> {
        self.bytes
            .get(row.offset as usize..)
            .and_then(decode_head)
            .ok_or_else(|| Error::internal("read memory run", "a row in memory is malformed"))
    }

    fn find(&self, key: &ResourceKey) -> Option<&RunResource> {
        let at = self.resources.binary_search_by(|r| r.head.key.cmp(key)).ok()?;
        self.resources.get(at)
    }

    /// First row and number of rows of the entity, whose rows are adjacent.
    fn find_entity(&self, resource: &RunResource, entity: &[u8]) -> Result<Option<(u64, u32)>> {
        let rows = &self.rows[resource.rows.clone()];
        let hash = entity_hash(entity);
        let mut at = rows.partition_point(|row| row.hash < hash);
        let mut found: Option<(u64, u32)> = None;
        while let Some(row) = rows.get(at).filter(|row| row.hash == hash) {
            if self.head_of(row)?.entity == entity {
                match &mut found {
                    Some((_, count)) => *count += 1,
                    None => found = Some(((resource.rows.start + at) as u64, 1)),
                }
            }
            at += 1;
        }
        Ok(found)
    }

    /// Entities of the rows that have one of the terms in a column; none when there are more than `limit`.
    fn find_terms(
        &self,
        resource: &RunResource,
        column: &ColumnKey,
        terms: &[Box<[u8]>],
        limit: usize,
    ) -> Result<Option<Vec<&[u8]>>> {
        let name = &*resource.head.key.name;
        let place = |layout: &Arc<Layout>| {
            let columns = (layout.resource() == name).then(|| layout.columns());
            columns.and_then(|columns| columns.iter().position(|c| c.key == *column))
        };
        let places: Vec<Option<usize>> = self.layouts.iter().map(place).collect();
        let mut found: Vec<&[u8]> = Vec::new();
        for row in self.rows.get(resource.rows.clone()).unwrap_or_default() {
            let head = self.head_of(row)?;
            let Some(place) = places.get(head.layout as usize).copied().flatten() else { continue };
            if found.last() == Some(&head.entity) {
                continue;
            }
            let malformed = || Error::internal("read memory run", "a row in memory does not fit its layout");
            let layout = self.layouts.get(head.layout as usize).ok_or_else(malformed)?;
            let value = ValueReader::new(layout, head.body).nth_value(place).ok_or_else(malformed)?;
            if !has_any_of(value, terms) {
                continue;
            }
            if found.len() >= limit {
                return Ok(None);
            }
            found.push(head.entity);
        }
        // The rows of an entity are adjacent, so that it was found once.
        found.sort_unstable();
        Ok(Some(found))
    }

    fn all_series(&self, resource: &RunResource, prefix: &[u8]) -> Result<SeriesList> {
        let mut found: Vec<(&[u8], u64, u32)> = Vec::new();
        for at in resource.rows.clone() {
            let entity = self.head_of(&self.rows[at])?.entity;
            match found.last_mut() {
                Some((last, _, count)) if *last == entity => *count += 1,
                _ if entity.starts_with(prefix) => found.push((entity, at as u64, 1)),
                _ => {}
            }
        }
        found.sort_unstable_by(|a, b| a.0.cmp(b.0));
        let mut list = SeriesList::default();
        found.iter().for_each(|(entity, first, count)| list.push(entity, *first, *count));
        Ok(list)
    }
}

impl RowSource for MemRun {
    fn resources(&self) -> Result<Vec<ResourceHead>> {
        Ok(self.resources.iter().map(|r| r.head.clone()).collect())
    }

    fn resource(&self, key: &ResourceKey) -> Result<Option<ResourceHead>> {
        Ok(self.find(key).map(|r| r.head.clone()))
    }

    fn time_range(&self) -> Option<TimeRange> {
        self.time_range
    }

    fn series(&self, key: &ResourceKey, selector: &EntitySelector) -> Result<SeriesList> {
        let Some(resource) = self.find(key) else { return Ok(SeriesList::default()) };
        match selector {
            EntitySelector::All => self.all_series(resource, &[]),
            EntitySelector::Prefix(prefix) => self.all_series(resource, prefix),
            EntitySelector::Exact(entities) => {
                let mut list = SeriesList::default();
                for entity in entities {
                    if let Some((first, count)) = self.find_entity(resource, entity)? {
                        list.push(entity, first, count);
                    }
                }
                Ok(list)
            }
        }
    }

    fn series_bound(&self, key: &ResourceKey) -> Result<u64> {
        Ok(self.find(key).map_or(0, |resource| resource.rows.len() as u64))
    }

    fn entities_with_terms(
        &self,
        key: &ResourceKey,
        column: &ColumnKey,
        terms: &[Box<[u8]>],
        limit: usize,
    ) -> Result<TermMatch> {
        let Some(resource) = self.find(key) else { return Ok(TermMatch::Entities(Vec::new())) };
        if !has_terms(column.ty) {
            return Ok(TermMatch::Unknown);
        }
        Ok(match self.find_terms(resource, column, terms, limit)? {
            Some(found) => TermMatch::Entities(found.into_iter().map(<[u8]>::to_vec).collect()),
            None => TermMatch::TooMany,
        })
    }

    fn useful_rows(&self, key: &ResourceKey, predicate: &RowPredicate) -> Result<Option<RowRanges>> {
        let Some(resource) = self.find(key) else { return Ok(Some(RowRanges::default())) };
        self.accepted_rows(resource, predicate).map(Some)
    }

    fn series_within(
        &self,
        key: &ResourceKey,
        selector: &EntitySelector,
        rows: &RowRanges,
    ) -> Result<SeriesList> {
        let all = self.series(key, selector)?;
        let mut list = SeriesList::default();
        for series in 0..all.len() {
            let (first_row, count) = all.rows(series);
            if let Some((first_row, count)) = rows.cut_series(first_row, count) {
                list.push(all.entity(series), first_row, count);
            }
        }
        Ok(list)
    }

    fn read(
        &self,
        request: &ReadRequest<'_>,
        series: &SeriesList,
        cursor: &mut SeriesCursor,
        out: &mut RowBatch,
        given: &mut Vec<GivenRows>,
        stats: &mut ReadStats,
    ) -> Result<()> {
        let mut targets = TargetCache::new(&self.layouts, request.columns);
        let (mut given_rows, mut given_bytes) = (0, 0);
        while let Some(pending) = cursor.pending(series) {
            let first = pending.first_row as usize;
            let rows = self.rows.get(first..first + pending.rows as usize).unwrap_or_default();
            let from = rows.partition_point(|row| row.time < request.time.begin);
            let to = rows.partition_point(|row| row.time <= request.time.end).max(from);
            // The first row that is not done, and how many rows were given on the way.
            let (mut end, mut count) = (to, 0);
            for number in numbers_of_use(first as u64 + from as u64..first as u64 + to as u64, request.rows) {
                if request.limit.is_reached(given_rows, given_bytes) {
                    end = number as usize - first;
                    break;
                }
                let Some(row) = self.rows.get(number as usize) else { break };
                let head = self.head_of(row)?;
                if head.deleted || !out.deleted.is_empty() {
                    out.deleted.resize(out.times.len(), false);
                    out.deleted.push(head.deleted);
                }
                out.times.push(row.time);
                out.versions.push(row.version);
                targets.read(&head, &mut out.columns)?;
                given_rows += 1;
                given_bytes += head.body.len();
                count += 1;
            }
            if count > 0 {
                GivenRows::push(given, pending.wanted, count);
            }
            if end < to {
                cursor.advance(series, end as u32);
                break;
            }
            cursor.advance(series, pending.rows);
        }
        stats.rows += given_rows as u64;
        Ok(())
    }
}

/// Where the columns of each layout go in a batch, worked out at the first row of the layout.
struct TargetCache<'a> {
    layouts: &'a [Arc<Layout>],
    columns: &'a [ColumnKey],
    targets: Vec<Option<Targets>>,
}

struct Targets {
    of_column: Box<[Option<usize>]>,
    unfed: Box<[usize]>,
}

impl<'a> TargetCache<'a> {
    fn new(layouts: &'a [Arc<Layout>], columns: &'a [ColumnKey]) -> Self {
        TargetCache { layouts, columns, targets: Vec::new() }
    }

    fn read(&mut self, head: &RowHead<'_>, out: &mut [pipal_codec::Column]) -> Result<()> {
        let index = head.layout as usize;
        if self.targets.len() <= index {
            self.targets.resize_with(index + 1, || None);
        }
        let malformed = || Error::internal("read memory run", "a row in memory does not fit its layout");
        let layout = self.layouts.get(index).ok_or_else(malformed)?;
        let targets = self.targets[index].get_or_insert_with(|| Targets::new(layout, self.columns));
        read_columns(layout, head.body, &targets.of_column, &targets.unfed, out).ok_or_else(malformed)
    }
}

impl Targets {
    fn new(layout: &Layout, columns: &[ColumnKey]) -> Self {
        let mut fed = vec![false; columns.len()];
        let find = |def: &pipal_model::ColumnDef| {
            let at = columns.iter().position(|key| *key == def.key)?;
            // Of two columns with one name, which schemas do not forbid, the first one counts.
            (!std::mem::replace(&mut fed[at], true)).then_some(at)
        };
        let of_column = layout.columns().iter().map(find).collect();
        let unfed = (0..columns.len()).filter(|&i| !fed[i]).collect();
        Targets { of_column, unfed }
    }
}
