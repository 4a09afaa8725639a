//! The columns that the operators of a query work on, and where the values of tags come from.

use crate::schema::{RowSchema, Slot, TagPlace};
use crate::view::TagSource;
use pipal_model::ColumnKey;

/// The columns that operators work on, the same for all groups: the union of what the groups have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Shape {
    /// Columns of rows.
    pub columns: Vec<ColumnKey>,
    /// Attributes of series.
    pub attributes: Vec<ColumnKey>,
}

impl Shape {
    /// Position of a column, which is added if it is new.
    pub fn column(&mut self, key: &ColumnKey) -> usize {
        position_or_push(&mut self.columns, key)
    }

    fn attribute(&mut self, key: &ColumnKey) -> usize {
        position_or_push(&mut self.attributes, key)
    }

    /// Where the tag at a place comes from.
    pub fn source_of(&mut self, schema: &RowSchema, place: TagPlace) -> TagSource {
        match schema.tag(place).map(|tag| tag.slot) {
            Some(Slot::Entity(position)) => TagSource::Entity(position),
            Some(Slot::Column(column)) => match schema.layout().columns().get(column) {
                Some(column) if column.attribute => TagSource::Attribute {
                    attribute: self.attribute(&column.key),
                    column: self.column(&column.key),
                },
                Some(column) => TagSource::Column(self.column(&column.key)),
                None => TagSource::Nothing,
            },
            Some(Slot::Nowhere) | None => TagSource::Nothing,
        }
    }

    /// Where a tag that a request names under a family comes from. Entity tags come back whatever family the request
    /// names; other tags only under their own.
    pub fn source_in(&mut self, schema: &RowSchema, family: &str, name: &str) -> TagSource {
        if let Some(place) = schema.find_tag_in(family, name) {
            return self.source_of(schema, place);
        }
        schema.entity_position(name).map_or(TagSource::Nothing, TagSource::Entity)
    }

    /// The column of a field; none if the schema does not have it.
    pub fn field(&mut self, schema: &RowSchema, name: &str) -> Option<usize> {
        let field = schema.find_field(name).and_then(|field| schema.fields.get(field))?;
        let Slot::Column(column) = field.slot else { return None };
        schema.layout().columns().get(column).map(|column| self.column(&column.key))
    }
}

fn position_or_push(list: &mut Vec<ColumnKey>, key: &ColumnKey) -> usize {
    if let Some(at) = list.iter().position(|known| known == key) {
        return at;
    }
    list.push(key.clone());
    list.len() - 1
}
