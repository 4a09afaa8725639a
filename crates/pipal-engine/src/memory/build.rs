//! How runs are made: from the rows of a request, or from older runs.

use super::attributes::{AttributeIndex, resource_seed};
use super::run::{MemRun, RunResource, RunRow, entity_hash};
use crate::batch::TableRows;
use crate::row_format::{body_length, copy_row, decode_head, encode_projection, present_columns};
use crate::rows::{ColumnUse, ResourceHead, ResourceKey, RowKind};
use crate::terms::use_of;
use hashbrown::HashMap;
use pipal_model::{ColumnKey, Error, Layout, Orders, Result, RowPolicy, TimeRange};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

impl MemRun {
    /// Makes a run of one request's rows for a table; `seqs` are its first and last log position. Series attributes that the rows set, in the order of the
    /// log, are added as rows of their own.
    pub fn of_request(table: TableRows, seqs: (u64, u64), attributes: &mut AttributeIndex) -> Result<Self> {
        let mut builder = RunBuilder::new(table.layouts, table.bytes);
        builder.rows.reserve(table.offsets.len());
        for offset in table.offsets {
            builder.add_row(offset, RowKind::Data)?;
        }
        builder.sort();
        builder.add_attributes(attributes)?;
        builder.finish(seqs.0, seqs.1)
    }
}

/// Makes one run of several, given in the order of the log.
pub(crate) fn merge_runs(runs: &[Arc<MemRun>]) -> Result<MemRun> {
    let bytes = runs.iter().map(|r| r.bytes.len()).sum();
    let mut builder = RunBuilder::new(Vec::new(), Vec::with_capacity(bytes));
    builder.rows.reserve(runs.iter().map(|r| r.rows.len()).sum());
    for run in runs {
        builder.add_run(run)?;
    }
    builder.sort();
    let first_seq = runs.first().map_or(0, |r| r.first_seq);
    let last_seq = runs.last().map_or(0, |r| r.last_seq);
    builder.finish(first_seq, last_seq)
}

/// Rows on their way into a run. `resource` of a row is a number in order of appearance until `sort`.
struct RunBuilder {
    layouts: Vec<Arc<Layout>>,
    bytes: Vec<u8>,
    rows: Vec<RunRow>,
    resources: BTreeMap<ResourceKey, u32>,
    policies: Vec<RowPolicy>,
    names: Vec<Arc<str>>,
    layout_resources: HashMap<(u32, RowKind), u32>,
    layout_numbers: HashMap<u128, u32>,
}

fn malformed() -> Error {
    Error::internal("build memory run", "a row does not follow the row format")
}

impl RunBuilder {
    fn new(layouts: Vec<Arc<Layout>>, bytes: Vec<u8>) -> Self {
        let layout_numbers = layouts.iter().enumerate().map(|(i, l)| (l.fingerprint(), i as u32)).collect();
        RunBuilder {
            layouts,
            bytes,
            rows: Vec::new(),
            resources: BTreeMap::new(),
            policies: Vec::new(),
            names: Vec::new(),
            layout_resources: HashMap::new(),
            layout_numbers,
        }
    }

    fn layout_number(&mut self, layout: &Arc<Layout>) -> u32 {
        *self.layout_numbers.entry(layout.fingerprint()).or_insert_with(|| {
            self.layouts.push(layout.clone());
            self.layouts.len() as u32 - 1
        })
    }

    fn resource_number(&mut self, layout: u32, kind: RowKind) -> Result<u32> {
        if let Some(number) = self.layout_resources.get(&(layout, kind)) {
            return Ok(*number);
        }
        let definition = self.layouts.get(layout as usize).ok_or_else(malformed)?;
        let next = self.policies.len() as u32;
        let key = ResourceKey { kind, name: definition.resource().into() };
        let number = *self.resources.entry(key).or_insert(next);
        if number == next {
            self.policies.push(definition.policy());
        }
        self.layout_resources.insert((layout, kind), number);
        Ok(number)
    }

    fn add_row(&mut self, offset: u32, kind: RowKind) -> Result<()> {
        let head = self.bytes.get(offset as usize..).and_then(decode_head).ok_or_else(malformed)?;
        let (layout, time, version) = (head.layout, head.time, head.version);
        let hash = entity_hash(head.entity);
        let resource = self.resource_number(layout, kind)?;
        self.rows.push(RunRow { hash, time, version, offset, resource });
        Ok(())
    }

    fn add_run(&mut self, run: &MemRun) -> Result<()> {
        let numbers: Vec<u32> = run.layouts.iter().map(|l| self.layout_number(l)).collect();
        for resource in &run.resources {
            for at in resource.rows.clone() {
                let row = &run.rows[at];
                let mut head = run.head_of(row)?;
                let end = run.body_end(&head)?;
                head.body = &head.body[..end];
                let layout = *numbers.get(head.layout as usize).ok_or_else(malformed)?;
                let number = self.resource_number(layout, resource.head.key.kind)?;
                let offset = self.bytes.len() as u32;
                copy_row(layout, &head, &mut self.bytes);
                self.rows.push(RunRow { offset, resource: number, ..*row });
            }
        }
        Ok(())
    }

    fn entity(&self, row: &RunRow) -> &[u8] {
        self.bytes.get(row.offset as usize..).and_then(decode_head).map_or(&[], |head| head.entity)
    }

    /// Replaces resource numbers by ranks and sorts. The sort is stable, so that rows of one identity stay in
    /// the order of arrival; it is quick where rows come from runs, which are sorted already.
    fn sort(&mut self) {
        let mut rank_of = vec![0; self.policies.len()];
        let mut policies = Vec::with_capacity(self.policies.len());
        self.names.clear();
        for (rank, (key, number)) in self.resources.iter_mut().enumerate() {
            rank_of[*number as usize] = rank as u32;
            policies.push(self.policies[*number as usize]);
            self.names.push(key.name.clone());
            *number = rank as u32;
        }
        self.policies = policies;
        self.layout_resources.values_mut().for_each(|number| *number = rank_of[*number as usize]);
        self.rows.iter_mut().for_each(|row| row.resource = rank_of[row.resource as usize]);
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_by(|a, b| self.compare(a, b));
        self.rows = rows;
    }

    /// The order of rows; rows that compare equal are of one identity, or at least candidates for it.
    fn compare(&self, a: &RunRow, b: &RunRow) -> Ordering {
        let series =
            (a.resource, a.hash).cmp(&(b.resource, b.hash)).then_with(|| self.entity(a).cmp(self.entity(b)));
        series.then_with(|| match self.policies[a.resource as usize] {
            RowPolicy::Versioned => a.time.cmp(&b.time),
            RowPolicy::Document | RowPolicy::Latest => Ordering::Equal,
            RowPolicy::Collapse => (a.time, a.version)
                .cmp(&(b.time, b.version))
                .then_with(|| self.content(a).cmp(&self.content(b))),
        })
    }

    /// Layout and bytes behind the head: with the head, the whole row.
    fn content(&self, row: &RunRow) -> Option<(u128, bool, &[u8])> {
        let head = self.bytes.get(row.offset as usize..).and_then(decode_head)?;
        let layout = self.layouts.get(head.layout as usize)?;
        let length = body_length(layout, head.body)?;
        Some((layout.fingerprint(), head.deleted, &head.body[..length]))
    }

    fn same_series(&self, a: &RunRow, b: &RunRow) -> bool {
        a.resource == b.resource && a.hash == b.hash && self.entity(a) == self.entity(b)
    }

    /// Adds the attribute rows that sorted rows of a request set: of each series the row that arrived last.
    fn add_attributes(&mut self, index: &mut AttributeIndex) -> Result<()> {
        if self.layouts.iter().all(|l| l.attributes().is_none()) {
            return Ok(());
        }
        let mut start = 0;
        let mut added: Vec<u32> = Vec::new();
        let mut seed = (u32::MAX, 0);
        while start < self.rows.len() {
            let first = self.rows[start];
            let mut end = start + 1;
            while end < self.rows.len() && self.same_series(&first, &self.rows[end]) {
                end += 1;
            }
            let last = self.rows[start..end].iter().max_by_key(|row| row.offset).unwrap_or(&first);
            if seed.0 != first.resource {
                seed = (first.resource, resource_seed(&self.names[first.resource as usize]));
            }
            if let Some(offset) = self.attribute_row(last.offset, seed.1, index)? {
                added.push(offset);
            }
            start = end;
        }
        if added.is_empty() {
            return Ok(());
        }
        for offset in added {
            self.add_row(offset, RowKind::Attribute)?;
        }
        self.sort();
        Ok(())
    }

    fn attribute_row(&mut self, offset: u32, seed: u64, index: &mut AttributeIndex) -> Result<Option<u32>> {
        let bytes = std::mem::take(&mut self.bytes);
        let head = bytes.get(offset as usize..).and_then(decode_head).ok_or_else(malformed)?;
        let layout = self.layouts.get(head.layout as usize).ok_or_else(malformed)?.clone();
        let mut encoded = None;
        if let Some((attributes, positions)) = layout.attributes() {
            let present = present_columns(&layout, head.body, positions).ok_or_else(malformed)?;
            if present.iter().any(|p| *p) && index.must_store(seed, head.entity, attributes, present) {
                let mut row = Vec::new();
                let number = self.layout_number(attributes);
                encode_projection(number, &head, &layout, positions, &mut row).ok_or_else(malformed)?;
                encoded = Some(row);
            }
        }
        self.bytes = bytes;
        Ok(encoded.map(|row| {
            let at = self.bytes.len() as u32;
            self.bytes.extend_from_slice(&row);
            at
        }))
    }

    /// Applies the policies to the sorted rows and makes the run.
    fn finish(mut self, first_seq: u64, last_seq: u64) -> Result<MemRun> {
        let mut kept: Vec<RunRow> = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let policy = self.policies[row.resource as usize];
            match kept.last_mut() {
                Some(last) if self.compare(last, row).is_eq() => {
                    if replaces(policy, last, row) {
                        *last = *row;
                    }
                }
                _ => kept.push(*row),
            }
        }
        kept.shrink_to_fit();
        self.rows = kept;
        let mut columns = self.resource_columns();
        let mut resources = Vec::with_capacity(self.resources.len());
        let mut start = 0;
        let mut time_range: Option<TimeRange> = None;
        for (key, rank) in &self.resources {
            let end = start + self.rows[start..].partition_point(|row| row.resource <= *rank);
            if key.kind == RowKind::Data {
                for row in &self.rows[start..end] {
                    let range = time_range.get_or_insert(TimeRange { begin: row.time, end: row.time });
                    range.begin = range.begin.min(row.time);
                    range.end = range.end.max(row.time);
                }
            }
            let policy = self.policies[*rank as usize];
            let columns = std::mem::take(&mut columns[*rank as usize]);
            let head = ResourceHead::of_columns(key.clone(), policy, columns);
            let head = ResourceHead { orders: self.newest_orders(*rank), ..head };
            resources.push(RunResource { head, rows: start..end });
            start = end;
        }
        Ok(MemRun {
            layouts: self.layouts,
            resources,
            rows: self.rows,
            bytes: self.bytes,
            time_range,
            first_seq,
            last_seq,
        })
    }

    /// The orders of a resource: those of its layout that came last.
    fn newest_orders(&self, rank: u32) -> Arc<Orders> {
        let of_resource = self.layout_resources.iter().filter(|(_, of)| **of == rank);
        let newest = of_resource.map(|((layout, _), _)| *layout).max();
        let layout = newest.and_then(|layout| self.layouts.get(layout as usize));
        layout.map_or_else(Arc::default, |layout| layout.orders().clone())
    }

    /// Union of the columns of all layouts per resource, each with what some layout uses it for.
    fn resource_columns(&self) -> Vec<BTreeMap<ColumnKey, ColumnUse>> {
        let mut columns: Vec<BTreeMap<ColumnKey, ColumnUse>> = vec![BTreeMap::new(); self.policies.len()];
        // Layouts are numbered as they arrive, so that later ones count where only one can.
        let mut layouts: Vec<(&(u32, RowKind), &u32)> = self.layout_resources.iter().collect();
        layouts.sort_unstable();
        for ((layout, _), rank) in layouts {
            let layout = &self.layouts[*layout as usize];
            for column in layout.columns() {
                columns[*rank as usize].entry(column.key.clone()).or_default().unite(use_of(layout, column));
            }
        }
        columns
    }
}

/// True when `new`, which arrived later, takes the place of `old`, which has the same identity.
pub(crate) fn replaces(policy: RowPolicy, old: &RunRow, new: &RunRow) -> bool {
    match policy {
        RowPolicy::Versioned | RowPolicy::Document => new.version >= old.version,
        RowPolicy::Latest => true,
        RowPolicy::Collapse => false,
    }
}

impl MemRun {
    fn body_end(&self, head: &crate::row_format::RowHead<'_>) -> Result<usize> {
        let layout = self.layouts.get(head.layout as usize).ok_or_else(malformed)?;
        body_length(layout, head.body).ok_or_else(malformed)
    }
}
