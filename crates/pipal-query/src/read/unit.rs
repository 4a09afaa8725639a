//! A unit of reading: the chosen series of one table, and everything that is known of them before rows are read.

use super::{GroupRead, SeriesOutcomes};
use crate::error::QueryResult;
use crate::schema::RowSchema;
use crate::shape::Shape;
use crate::view::SeriesInfo;
use pipal_codec::{Column, Validity};
use pipal_engine::rows::{EntitySelector, ResourceKey, RowBatch, RowKind};
use pipal_engine::scan::{MergedSeries, Narrowed, TableSnapshot};
use pipal_model::series::SeriesHasher;
use pipal_model::{ColumnKey, ValueRef};
use std::borrow::Cow;

/// What all units of a group share.
pub(super) struct GroupReader<'a> {
    /// Position of the group among those of the query.
    pub group: usize,
    /// Criteria and selectors.
    pub plan: &'a GroupRead<'a>,
    /// The schema.
    pub schema: &'a RowSchema,
    /// Names the rows in the engine.
    pub key: ResourceKey,
    hasher: SeriesHasher,
    /// Attributes that output, order and criteria need.
    attribute_keys: Vec<ColumnKey>,
    /// Per attribute of the shape its position in `attribute_keys`.
    shape_attributes: Vec<Option<usize>>,
    /// Per condition its position in `attribute_keys`, if it is on an attribute.
    leaf_attributes: Vec<Option<usize>>,
    /// Per condition its column, if it is on one.
    leaf_columns: Vec<Option<ColumnKey>>,
}

impl<'a> GroupReader<'a> {
    /// Prepares a group.
    pub fn new(group: usize, plan: &'a GroupRead<'a>, schema: &'a RowSchema, shape: &Shape) -> Self {
        let mut reader = GroupReader {
            group,
            plan,
            schema,
            key: ResourceKey { kind: RowKind::Data, name: schema.name.as_ref().into() },
            hasher: SeriesHasher::new(&schema.name),
            attribute_keys: Vec::new(),
            shape_attributes: Vec::new(),
            leaf_attributes: Vec::new(),
            leaf_columns: Vec::new(),
        };
        for key in &shape.attributes {
            let known = reader.is_attribute(key);
            let position = known.then(|| reader.attribute_position(key));
            reader.shape_attributes.push(position);
        }
        for key in plan.criteria.iter().flat_map(|criteria| criteria.columns(schema)) {
            let attribute = key.as_ref().filter(|key| reader.is_attribute(key));
            let position = attribute.map(|key| reader.attribute_position(key));
            reader.leaf_attributes.push(position);
            reader.leaf_columns.push(key);
        }
        reader
    }

    fn is_attribute(&self, key: &ColumnKey) -> bool {
        self.schema.layout().columns().iter().any(|column| column.attribute && column.key == *key)
    }

    fn has_column(&self, key: &ColumnKey) -> bool {
        self.schema.layout().columns().iter().any(|column| column.key == *key)
    }

    fn attribute_position(&mut self, key: &ColumnKey) -> usize {
        if let Some(at) = self.attribute_keys.iter().position(|known| known == key) {
            return at;
        }
        self.attribute_keys.push(key.clone());
        self.attribute_keys.len() - 1
    }

    /// Entities of a table among which are all that the criteria accept; none when no index can tell.
    pub fn candidates(&self, table: &TableSnapshot) -> QueryResult<Option<Vec<Vec<u8>>>> {
        Ok(table.candidates(&self.schema.name, self.plan.terms)?)
    }

    /// The table without the rows that its sources can rule out.
    pub fn narrowed(&self, table: &TableSnapshot) -> QueryResult<Narrowed> {
        Ok(table.narrowed(&self.key, self.plan.predicate, self.plan.selectors)?)
    }

    /// Finds the series of a table that the criteria do not rule out; none when there are none.
    pub fn open<'t>(
        &'t self,
        narrowed: &Narrowed,
        selector: &EntitySelector,
        shape: &Shape,
    ) -> QueryResult<Option<Unit<'t>>> {
        let table = narrowed.table.clone();
        let series = table.series(&self.key, selector)?;
        if series.is_empty() {
            return Ok(None);
        }
        let attributes = match self.attribute_keys.is_empty() {
            true => RowBatch::default(),
            false => table.attributes(&self.schema.name, &series, &self.attribute_keys)?,
        };
        let filter = self.plan.criteria.as_ref().map(|criteria| {
            let columns: Vec<Option<&Column>> =
                self.leaf_attributes.iter().map(|at| at.and_then(|at| attributes.columns.get(at))).collect();
            criteria.on_series(&series, &columns)
        });
        let chosen = match &filter {
            Some(filter) => filter.chosen(),
            None => (0..series.len() as u32).collect(),
        };
        if chosen.is_empty() {
            return Ok(None);
        }
        let mut sids = vec![0; series.len()];
        for &chosen in &chosen {
            sids[chosen as usize] = self.hasher.sid(series.entity(chosen as usize));
        }
        let filter = filter.filter(|filter| filter.is_open());
        let mut unit = Unit {
            reader: self,
            table,
            table_bytes: narrowed.heap_bytes,
            series,
            attributes,
            filter,
            chosen,
            sids,
            columns: Vec::new(),
            shape_columns: Vec::new(),
            leaf_columns: Vec::new(),
        };
        unit.choose_columns(shape);
        Ok(Some(unit))
    }
}

/// The entities that are selected and candidates.
pub(super) fn narrowed<'a>(
    selector: &'a EntitySelector,
    candidates: Option<&[Vec<u8>]>,
) -> Cow<'a, EntitySelector> {
    let Some(candidates) = candidates else { return Cow::Borrowed(selector) };
    let prefix: &[u8] = match selector {
        EntitySelector::Exact(_) => return Cow::Borrowed(selector),
        EntitySelector::Prefix(prefix) => prefix,
        EntitySelector::All => &[],
    };
    let selected = candidates.iter().filter(|entity| entity.starts_with(prefix));
    Cow::Owned(EntitySelector::Exact(selected.cloned().collect()))
}

/// See the module.
pub(super) struct Unit<'a> {
    /// What the group shares.
    pub reader: &'a GroupReader<'a>,
    /// The table.
    pub table: TableSnapshot,
    /// Bytes that the table's rows of use take.
    table_bytes: usize,
    /// All series that were looked at.
    pub series: MergedSeries,
    attributes: RowBatch,
    /// The criteria, when rows have to be looked at.
    pub filter: Option<Box<dyn SeriesOutcomes + 'a>>,
    /// Series to read, ascending.
    pub chosen: Vec<u32>,
    /// Series ids; 0 for series that are not chosen.
    pub sids: Vec<u64>,
    /// Columns to read.
    pub columns: Vec<ColumnKey>,
    /// Per column of the shape its position in `columns`.
    pub shape_columns: Vec<Option<usize>>,
    /// Per condition its position in `columns`.
    pub leaf_columns: Vec<Option<usize>>,
}

impl Unit<'_> {
    /// The rows' own values of an attribute are read only if a chosen series lacks it.
    fn choose_columns(&mut self, shape: &Shape) {
        for key in &shape.columns {
            let shadowed = shape
                .attributes
                .iter()
                .position(|attribute| attribute == key)
                .and_then(|attribute| self.reader.shape_attributes.get(attribute).copied().flatten())
                .is_some_and(|attribute| !self.any_chosen_lacks(attribute));
            let wanted = !shadowed && self.reader.has_column(key);
            let position = wanted.then(|| self.column_position(key));
            self.shape_columns.push(position);
        }
        let open = self.filter.is_some();
        for key in &self.reader.leaf_columns {
            let position = key.as_ref().filter(|_| open).map(|key| self.column_position(key));
            self.leaf_columns.push(position);
        }
    }

    fn column_position(&mut self, key: &ColumnKey) -> usize {
        if let Some(at) = self.columns.iter().position(|known| known == key) {
            return at;
        }
        self.columns.push(key.clone());
        self.columns.len() - 1
    }

    fn any_chosen_lacks(&self, attribute: usize) -> bool {
        let Some(column) = self.attributes.columns.get(attribute) else { return true };
        match column.validity() {
            Validity::All(presence) => *presence != pipal_codec::Presence::Value,
            Validity::Mixed(_) => self.chosen.iter().any(|s| column.get(*s as usize).is_missing()),
        }
    }

    /// Stored rows of the chosen series, whatever their time: an upper bound.
    pub fn stored_rows(&self) -> u64 {
        self.chosen.iter().map(|series| self.series.stored_rows(*series as usize)).sum()
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.table_bytes
            + self.series.heap_bytes()
            + self.attributes.heap_bytes()
            + self.filter.as_ref().map_or(0, |filter| filter.heap_bytes())
            + self.chosen.capacity() * 4
            + self.sids.capacity() * 8
    }
}

impl SeriesInfo for Unit<'_> {
    fn entity(&self, series: usize) -> &[u8] {
        self.series.entity(series)
    }

    fn sid(&self, series: usize) -> u64 {
        self.sids[series]
    }

    fn group(&self, _series: usize) -> usize {
        self.reader.group
    }

    fn attribute(&self, attribute: usize, series: usize) -> ValueRef<'_> {
        let column = self.reader.shape_attributes.get(attribute).copied().flatten();
        match column.and_then(|column| self.attributes.columns.get(column)) {
            Some(column) => column.get(series),
            None => ValueRef::Absent,
        }
    }
}
