//! Which tags and fields an answer shows, in which order, and where their values come from.

use super::{Shape, TagSources};
use crate::error::{QueryError, QueryResult};
use crate::measure::GroupTarget;
use crate::measure::view::TagSource;
use crate::schema::{RowSchema, Slot, TagPlace};
use pipal_api::measure::v1::QueryRequest;
use std::ops::Range;

/// Tags and fields of the answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Output {
    /// Families that are not empty.
    pub families: Vec<OutputFamily>,
    /// Tags of all families.
    pub tags: Vec<OutputTag>,
    /// Fields; after an aggregation the aggregated one only.
    pub fields: Vec<OutputField>,
}

/// A family of the answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OutputFamily {
    /// Name.
    pub name: String,
    /// Its tags in [`Output::tags`].
    pub tags: Range<usize>,
}

/// A tag of the answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OutputTag {
    /// Name.
    pub name: String,
    /// Where it comes from, per group.
    pub sources: TagSources,
}

/// A field of the answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OutputField {
    /// Name.
    pub name: String,
    /// Where it comes from, per group.
    pub sources: Vec<FieldSource>,
}

/// Where the value of a field comes from, in one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldSource {
    /// A column of the shape.
    Column(usize),
    /// The group does not have the field.
    Nothing,
}

impl Output {
    /// Position of a tag among all tags.
    pub fn tag_position(&self, family: &str, name: &str) -> Option<usize> {
        let family = self.families.iter().find(|f| f.name == family)?;
        family.tags.clone().find(|tag| self.tags[*tag].name == name)
    }

    /// Position of a field.
    pub fn field_position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }
}

/// Names that the answer shows, before they are looked up: families merged, group tags and the aggregated field
/// added.
#[derive(Debug)]
pub(super) struct Projection<'a> {
    families: Vec<(&'a str, Vec<&'a str>)>,
    fields: Vec<&'a str>,
}

impl<'a> Projection<'a> {
    /// Reads the request. Errors: a tag or field that no group has; tags are looked at first.
    pub fn of(request: &'a QueryRequest, groups: &[GroupTarget]) -> QueryResult<Self> {
        let mut projection = Projection { families: Vec::new(), fields: Vec::new() };
        for family in request.tag_projection.iter().flat_map(|p| &p.tag_families) {
            for tag in &family.tags {
                if groups.iter().all(|group| group.schema.find_tag(tag).is_none()) {
                    return Err(QueryError::invalid(format!("{tag}: tag is not defined")));
                }
                projection.family(&family.name).push(tag);
            }
        }
        for field in request.field_projection.iter().flat_map(|p| &p.names) {
            if groups.iter().all(|group| group.schema.find_field(field).is_none()) {
                return Err(unknown_field(field));
            }
            projection.fields.push(field);
        }
        projection.add_group_tags(request);
        if let Some(aggregation) = &request.agg {
            if groups.iter().all(|group| group.schema.find_field(&aggregation.field_name).is_none()) {
                return Err(unknown_field(&aggregation.field_name));
            }
            projection.fields.clear();
            projection.fields.push(&aggregation.field_name);
        }
        Ok(projection)
    }

    /// True when nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.families.is_empty() && self.fields.is_empty()
    }

    fn family(&mut self, name: &'a str) -> &mut Vec<&'a str> {
        let at = self.families.iter().position(|(known, _)| *known == name).unwrap_or(self.families.len());
        if at == self.families.len() {
            self.families.push((name, Vec::new()));
        }
        &mut self.families[at].1
    }

    fn add_group_tags(&mut self, request: &'a QueryRequest) {
        let projection = request.group_by.as_ref().and_then(|group_by| group_by.tag_projection.as_ref());
        for family in projection.iter().flat_map(|p| &p.tag_families) {
            for tag in &family.tags {
                let tags = self.family(&family.name);
                if !tags.contains(&tag.as_str()) {
                    tags.push(tag);
                }
            }
        }
    }

    /// Looks the names up in every group. Errors: index mode does not find tags under a wrong family.
    pub fn resolve(self, groups: &[GroupTarget], shape: &mut Shape) -> QueryResult<Output> {
        let mut output = Output::default();
        for (family, tags) in self.families {
            let first = output.tags.len();
            for name in tags {
                let source = |group: &GroupTarget| tag_source(&group.schema, family, name, shape);
                let sources = groups.iter().map(source).collect::<QueryResult<_>>()?;
                output.tags.push(OutputTag { name: name.into(), sources });
            }
            output.families.push(OutputFamily { name: family.into(), tags: first..output.tags.len() });
        }
        for name in self.fields {
            let source = |group: &GroupTarget| field_source(&group.schema, name, shape);
            output
                .fields
                .push(OutputField { name: name.into(), sources: groups.iter().map(source).collect() });
        }
        Ok(output)
    }
}

fn unknown_field(name: &str) -> QueryError {
    QueryError::invalid(format!("field {name} not found in schema"))
}

/// Entity tags come back whatever family the request names; other tags only under their own.
fn tag_source(schema: &RowSchema, family: &str, name: &str, shape: &mut Shape) -> QueryResult<TagSource> {
    if let Some(place) = schema.find_tag_in(family, name) {
        return Ok(source_of(schema, place, shape));
    }
    if let Some(position) = schema.entity_position(name) {
        return Ok(TagSource::Entity(position));
    }
    if schema.index_mode && schema.find_tag(name).is_some() {
        return Err(QueryError::invalid(format!("tag {name} not found in schema")));
    }
    Ok(TagSource::Nothing)
}

/// Where the tag at a place comes from.
pub(super) fn source_of(schema: &RowSchema, place: TagPlace, shape: &mut Shape) -> TagSource {
    match schema.tag(place).map(|tag| tag.slot) {
        Some(Slot::Entity(position)) => TagSource::Entity(position),
        Some(Slot::Column(column)) => match schema.layout().columns().get(column) {
            Some(column) if column.attribute => TagSource::Attribute {
                attribute: shape.attribute(&column.key),
                column: shape.column(&column.key),
            },
            Some(column) => TagSource::Column(shape.column(&column.key)),
            None => TagSource::Nothing,
        },
        Some(Slot::Nowhere) | None => TagSource::Nothing,
    }
}

fn field_source(schema: &RowSchema, name: &str, shape: &mut Shape) -> FieldSource {
    let slot = schema.find_field(name).and_then(|field| schema.fields.get(field)).map(|field| field.slot);
    match slot {
        Some(Slot::Column(column)) => match schema.layout().columns().get(column) {
            Some(column) => FieldSource::Column(shape.column(&column.key)),
            None => FieldSource::Nothing,
        },
        _ => FieldSource::Nothing,
    }
}
