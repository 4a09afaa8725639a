//! How a document is kept: its place, its key, its columns.
//!
//! The resource is the name of the property, the entity its id, the version its `mod_revision`. The body is the
//! message `banyandb.property.v1.Property` itself without what the place tells: tags are kept as they were written,
//! whatever becomes of the schema. The length of the body is a column of its own, so that a reader knows what a
//! document costs before it reads it.

use super::PropertyGroup;
use crate::error::QueryResult;
use crate::trace::timestamp;
use pipal_api::common::v1::Metadata;
use pipal_api::property::v1::Property;
use pipal_engine::{Row, SegmentBounds, TableKey, WriteBatch};
use pipal_model::series::{EntityValue, ShardHasher, decode_entity, push_entity_value};
use pipal_model::{ColumnDef, ColumnKey, ColumnType, Error, ErrorKind, Layout, Result, RowPolicy, ValueRef};
use prost::Message;
use std::sync::Arc;

/// Largest document. A document of the largest message that the server takes fits twice, since a merge may keep
/// tags that no schema declares any more.
pub const DOCUMENT_BYTES_MAX: usize = 32 << 20;

/// The column of the length of the body.
pub(super) fn length_column() -> ColumnKey {
    ColumnKey { family: "".into(), name: "length".into(), ty: ColumnType::Int }
}

/// The column of the body.
pub(super) fn body_column() -> ColumnKey {
    ColumnKey { family: "".into(), name: "body".into(), ty: ColumnType::Binary }
}

/// The layout of the documents of a name.
pub fn layout(name: &str) -> Arc<Layout> {
    let columns = [body_column(), length_column()].map(ColumnDef::plain);
    Arc::new(Layout::new(name, RowPolicy::Document, columns.into()))
}

/// The entity of a document.
pub fn entity_of(id: &str) -> Vec<u8> {
    let mut entity = Vec::with_capacity(id.len() + 2);
    let is_key = push_entity_value(ValueRef::Str(id.as_bytes()), &mut entity);
    debug_assert!(is_key, "text is always a key");
    entity
}

/// The id in an entity; none when the entity is not that of a document.
pub(super) fn id_of(entity: &[u8]) -> Option<String> {
    match <[EntityValue; 1]>::try_from(decode_entity(entity)?) {
        Ok([EntityValue::Str(id)]) => String::from_utf8(id).ok(),
        _ => None,
    }
}

/// The shard of a document: xxHash64 of `group/name/id` (property specification, 2.4).
pub(super) fn shard_of(group: &PropertyGroup, name: &str, id: &str) -> u32 {
    let mut hasher = ShardHasher::new(&group.name);
    for text in ["/", name, "/", id] {
        hasher.push(ValueRef::Str(text.as_bytes()));
    }
    hasher.shard(group.shard_num)
}

/// The table that takes new versions of a document.
fn table_of(group: &PropertyGroup, name: &str, id: &str) -> TableKey {
    let shard = shard_of(group, name, id);
    TableKey { group: group.id, segment: SegmentBounds::UNBOUNDED, shard }
}

/// Adds a version of a document, whose `mod_revision` is its version. Errors: it is too large.
pub fn push_document(
    batch: &mut WriteBatch,
    group: &PropertyGroup,
    layout: &Arc<Layout>,
    mut property: Property,
) -> Result<()> {
    let metadata = property.metadata.take().unwrap_or_default();
    let id = std::mem::take(&mut property.id);
    let revision = metadata.mod_revision;
    let kept = Metadata { group: String::new(), name: String::new(), mod_revision: 0, ..metadata };
    property.metadata = Some(kept);
    property.updated_at = None;
    let length = property.encoded_len();
    if length > DOCUMENT_BYTES_MAX {
        let detail = format!("a property of {length} bytes exceeds the maximum of {DOCUMENT_BYTES_MAX}");
        return Err(Error::new(ErrorKind::ResourceExhausted, "write property", detail));
    }
    let body = property.encode_to_vec();
    let row = Row {
        entity: &entity_of(&id),
        time: revision,
        version: revision,
        deleted: false,
        values: &[ValueRef::Binary(&body), ValueRef::Int(length as i64)],
    };
    batch.push(table_of(group, layout.resource(), &id), layout, &row)
}

/// Adds the tombstone of a document. Errors: the batch is too large.
pub fn push_tombstone(
    batch: &mut WriteBatch,
    group: &PropertyGroup,
    layout: &Arc<Layout>,
    id: &str,
    revision: i64,
) -> Result<()> {
    let row = Row { entity: &entity_of(id), time: revision, version: revision, deleted: true, values: &[] };
    batch.push(table_of(group, layout.resource(), id), layout, &row)
}

/// A document as it was written. Errors: its bytes are not those of a document.
pub(super) fn decode(
    group: &str,
    name: &str,
    id: String,
    version: i64,
    body: &[u8],
) -> QueryResult<Property> {
    let mut property = Property::decode(body).map_err(|cause| {
        let subject = format!("{group}/{name}/{id}");
        Error::corrupt("read property", subject, "the document is malformed").caused_by(cause)
    })?;
    let kept = property.metadata.unwrap_or_default();
    property.metadata =
        Some(Metadata { group: group.into(), name: name.into(), mod_revision: version, ..kept });
    property.id = id;
    property.updated_at = Some(timestamp(version));
    Ok(property)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_any_text_survive_their_entity() {
        for id in ["1", "", "a|b\\c", "ключ"] {
            assert_eq!(id_of(&entity_of(id)).as_deref(), Some(id));
        }
        assert_eq!(id_of(b"\x02abc|"), None, "a number is no id");
    }

    #[test]
    fn the_shard_is_that_of_the_whole_key() {
        let group = |shard_num| PropertyGroup { id: 1, name: "sw".into(), shard_num };
        let mut whole = ShardHasher::new("sw/ui_menu/1");
        assert_eq!(shard_of(&group(7), "ui_menu", "1"), whole.shard(7));
        whole.push(ValueRef::Str(b"0"));
        assert_eq!(shard_of(&group(7), "ui_menu", "10"), whole.shard(7));
        assert_eq!(shard_of(&group(1), "ui_menu", "1"), 0);
    }
}
