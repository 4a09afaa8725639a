//! What the engine must hold, kept as simply as possible.

use pipal_engine::{GroupId, TableKey};
use pipal_model::{ColumnKey, Layout, RowPolicy, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A row as a client wrote it, with the values of the columns it has.
#[derive(Clone, Debug)]
pub struct ModelRow {
    pub entity: Vec<u8>,
    pub time: i64,
    pub version: i64,
    pub deleted: bool,
    pub values: BTreeMap<ColumnKey, Value>,
}

impl ModelRow {
    /// Comparable form: doubles by bits, absent values left out.
    pub fn canonical(&self) -> (Vec<u8>, i64, i64, bool, Vec<(ColumnKey, String)>) {
        let text = |v: &Value| match v {
            Value::Float(f) => format!("Float({:016x})", f.to_bits()),
            other => format!("{other:?}"),
        };
        let present = self.values.iter().filter(|(_, v)| **v != Value::Absent);
        let values = present.map(|(k, v)| (k.clone(), text(v))).collect();
        (self.entity.clone(), self.time, self.version, self.deleted, values)
    }
}

/// Rows of one resource in one table.
#[derive(Clone, Debug, Default)]
pub struct ModelResource {
    /// By identity: entity, time where it counts, and the whole row where that is the identity.
    pub rows: BTreeMap<(Vec<u8>, i64, String), ModelRow>,
    /// Attributes per entity.
    pub attributes: BTreeMap<Vec<u8>, BTreeMap<ColumnKey, Value>>,
}

impl ModelResource {
    fn add(&mut self, policy: RowPolicy, row: ModelRow) {
        let identity = match policy {
            RowPolicy::Versioned => (row.entity.clone(), row.time, String::new()),
            RowPolicy::Document | RowPolicy::Latest => (row.entity.clone(), 0, String::new()),
            RowPolicy::Collapse => (row.entity.clone(), row.time, format!("{:?}", row.canonical())),
        };
        let by_version = matches!(policy, RowPolicy::Versioned | RowPolicy::Document);
        match self.rows.get(&identity) {
            Some(old) if by_version && row.version < old.version => {}
            _ => {
                self.rows.insert(identity, row);
            }
        }
    }

    /// The rows in a fixed order.
    pub fn sorted(&self) -> Vec<ModelRow> {
        let mut rows: Vec<ModelRow> = self.rows.values().cloned().collect();
        rows.sort_by_cached_key(ModelRow::canonical);
        rows
    }
}

/// Table, resource and entity.
type SeriesKey = (TableKey, String, Vec<u8>);

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub tables: BTreeMap<TableKey, BTreeMap<String, ModelResource>>,
}

impl Model {
    /// Applies one request.
    pub fn apply(&mut self, request: &[(TableKey, Arc<Layout>, ModelRow)]) {
        let mut last_rows: BTreeMap<SeriesKey, (Arc<Layout>, ModelRow)> = BTreeMap::new();
        for (table, layout, row) in request {
            let resource =
                self.tables.entry(*table).or_default().entry(layout.resource().to_string()).or_default();
            resource.add(layout.policy(), row.clone());
            let key = (*table, layout.resource().to_string(), row.entity.clone());
            last_rows.insert(key, (layout.clone(), row.clone()));
        }
        for ((table, name, entity), (layout, row)) in last_rows {
            let Some((attributes, _)) = layout.attributes() else { continue };
            let values: BTreeMap<ColumnKey, Value> = attributes
                .columns()
                .iter()
                .filter_map(|c| Some((c.key.clone(), row.values.get(&c.key)?.clone())))
                .filter(|(_, v)| !matches!(v, Value::Null | Value::Absent))
                .collect();
            if values.is_empty() {
                continue;
            }
            let resource = self.tables.get_mut(&table).and_then(|t| t.get_mut(&name)).unwrap();
            let stored = resource.attributes.entry(entity).or_default();
            if values.keys().any(|key| !stored.contains_key(key)) {
                *stored = values;
            }
        }
    }

    pub fn drop_group(&mut self, group: GroupId) {
        self.tables.retain(|key, _| key.group != group);
    }
}
