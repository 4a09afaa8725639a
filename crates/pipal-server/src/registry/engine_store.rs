//! Schema documents and groups in the engine.
//!
//! Documents are rows of one resource in the system group, which is not divided by time: the entity is kind,
//! group and name, the version is the revision, and the policy is that of documents, so the newest revision of
//! a key wins and a tombstone deletes.

use super::kind::Kind;
use super::storage::GroupStorage;
use super::store::{Completion, Document, DocumentKey, SchemaStore};
use pipal_engine::rows::{EntitySelector, ResourceKey, RowKind};
use pipal_engine::{
    CancelToken, Engine, GroupData, GroupId, GroupOptions, Row, SYSTEM_GROUP, ScanBatch, ScanRequest,
    SegmentBounds, TableKey, TableSnapshot, WriteBatch,
};
use pipal_model::series::{EntityValue, decode_entity, push_entity_value};
use pipal_model::{ColumnDef, ColumnKey, ColumnType, Error, Layout, Result, RowPolicy, TimeRange, ValueRef};
use std::sync::Arc;

/// Name of the resource that holds the documents.
const RESOURCE: &str = "schema";

/// The table of the documents.
const TABLE: TableKey = TableKey { group: SYSTEM_GROUP, segment: SegmentBounds::UNBOUNDED, shard: 0 };

/// Keeps documents in the engine's system group.
pub struct EngineStore {
    engine: Engine,
    layout: Arc<Layout>,
}

/// The columns of a document: its message, and the incarnation of the group that it is about.
fn columns() -> Vec<ColumnKey> {
    let column = |name: &str, ty| ColumnKey { family: "".into(), name: name.into(), ty };
    vec![column("body", ColumnType::Binary), column("incarnation", ColumnType::Int)]
}

impl EngineStore {
    /// A store in this engine.
    pub fn new(engine: Engine) -> Self {
        let columns = columns().into_iter().map(ColumnDef::plain).collect();
        EngineStore { engine, layout: Arc::new(Layout::new(RESOURCE, RowPolicy::Document, columns)) }
    }

    fn batch(&self, documents: &[Document]) -> Result<WriteBatch> {
        let mut batch = WriteBatch::new();
        for document in documents {
            let entity = entity_of(&document.key);
            let incarnation = i64::try_from(document.incarnation)
                .map_err(|_| Error::internal("store schema", "an incarnation exceeds 63 bits"))?;
            let body = document.body.as_deref().map_or(ValueRef::Null, ValueRef::Binary);
            let row = Row {
                entity: &entity,
                time: document.revision,
                version: document.revision,
                deleted: document.body.is_none(),
                values: &[body, ValueRef::Int(incarnation)],
            };
            batch.push(TABLE, &self.layout, &row)?;
        }
        Ok(batch)
    }
}

impl SchemaStore for EngineStore {
    fn load(&self) -> Result<Vec<Document>> {
        let snapshot = self.engine.snapshot(SYSTEM_GROUP, TimeRange::ALL)?;
        let mut documents = Vec::new();
        for table in snapshot.segments.iter().flat_map(|segment| &segment.tables) {
            load_table(table, &mut documents)?;
        }
        Ok(documents)
    }

    fn put(&self, documents: Vec<Document>, done: Completion) {
        match self.batch(&documents) {
            Ok(batch) => self.engine.commit(batch, done),
            Err(error) => done(Err(error)),
        }
    }
}

fn load_table(table: &TableSnapshot, documents: &mut Vec<Document>) -> Result<()> {
    let key = ResourceKey { kind: RowKind::Data, name: RESOURCE.into() };
    let series = table.series(&key, &EntitySelector::All)?;
    let count =
        u32::try_from(series.len()).map_err(|_| Error::internal("load schema", "too many documents"))?;
    let chosen: Vec<u32> = (0..count).collect();
    let (columns, cancel) = (columns(), CancelToken::default());
    let request = ScanRequest { key: &key, time: TimeRange::ALL, columns: &columns, collapse: false };
    let mut scan = table.scan(request, &series, &chosen, &cancel)?;
    let mut batch = ScanBatch::new(&columns);
    while scan.next_batch(&mut batch)? {
        for row in 0..batch.rows.len() {
            let entity = series.entity(batch.series[row] as usize);
            documents.push(document_of(entity, &batch, row)?);
        }
    }
    Ok(())
}

fn document_of(entity: &[u8], batch: &ScanBatch, row: usize) -> Result<Document> {
    let unreadable =
        || Error::corrupt("load schema", String::from_utf8_lossy(entity), "the document is malformed");
    let value = |column: usize| batch.rows.columns.get(column).map_or(ValueRef::Absent, |c| c.get(row));
    let incarnation = match value(1) {
        ValueRef::Int(number) => u64::try_from(number).map_err(|_| unreadable())?,
        _ => return Err(unreadable()),
    };
    let body = match (batch.rows.is_deleted(row), value(0)) {
        (true, _) => None,
        (false, ValueRef::Binary(bytes)) => Some(bytes.to_vec()),
        (false, _) => return Err(unreadable()),
    };
    let key = key_of(entity).ok_or_else(unreadable)?;
    Ok(Document { key, revision: batch.rows.versions[row], incarnation, body })
}

fn entity_of(key: &DocumentKey) -> Vec<u8> {
    let mut entity = Vec::new();
    for text in [key.kind.name(), &key.group, &key.name] {
        let is_key = push_entity_value(ValueRef::Str(text.as_bytes()), &mut entity);
        debug_assert!(is_key, "text is always a key");
    }
    entity
}

fn key_of(entity: &[u8]) -> Option<DocumentKey> {
    let mut texts = decode_entity(entity)?.into_iter().map(|value| match value {
        EntityValue::Str(text) => String::from_utf8(text).ok(),
        _ => None,
    });
    let kind = Kind::from_name(&texts.next()??)?;
    let (group, name) = (texts.next()??, texts.next()??);
    texts.next().is_none().then(|| DocumentKey { kind, group: group.into(), name: name.into() })
}

/// The rows of groups in the engine.
pub struct EngineGroups(pub Engine);

impl GroupStorage for EngineGroups {
    fn put_group(&self, id: GroupId, options: GroupOptions) -> Result<()> {
        self.0.put_group(id, options)
    }

    fn unknown_groups(&self, live: &[GroupId]) -> Vec<GroupId> {
        self.0.unknown_groups(live)
    }

    fn close_gate(&self, id: GroupId, done: Completion) {
        self.0.close_gate(id, done);
    }

    fn drop_group(&self, id: GroupId, done: Completion) {
        self.0.drop_group(id, done);
    }

    fn group_data(&self, id: GroupId) -> Result<GroupData> {
        self.0.group_data(id)
    }
}
