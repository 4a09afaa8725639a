//! Which tags and fields an answer shows, in which order, and where their values come from.

use crate::context::GroupTarget;
use crate::error::{QueryError, QueryResult};
use crate::schema::RowSchema;
use crate::shape::Shape;
use crate::tags::{OutputTags, family_of};
use crate::view::TagSource;
use pipal_api::measure::v1::QueryRequest;

/// Tags and fields of the answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Output {
    /// Tags.
    pub tags: OutputTags,
    /// Fields; after an aggregation the aggregated one only.
    pub fields: Vec<OutputField>,
}

/// A field of the answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OutputField {
    /// Name.
    pub name: String,
    /// Its column in the shape, per group; none where the group does not have it.
    pub columns: Vec<Option<usize>>,
}

impl Output {
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
                family_of(&mut projection.families, &family.name).push(tag);
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

    fn add_group_tags(&mut self, request: &'a QueryRequest) {
        let projection = request.group_by.as_ref().and_then(|group_by| group_by.tag_projection.as_ref());
        for family in projection.iter().flat_map(|p| &p.tag_families) {
            for tag in &family.tags {
                let tags = family_of(&mut self.families, &family.name);
                if !tags.contains(&tag.as_str()) {
                    tags.push(tag);
                }
            }
        }
    }

    /// Looks the names up in every group. Errors: index mode does not find tags under a wrong family.
    pub fn resolve(self, groups: &[GroupTarget], shape: &mut Shape) -> QueryResult<Output> {
        let tags = OutputTags::resolve(&self.families, groups, |schema, family, name| {
            tag_source(schema, family, name, shape)
        })?;
        let mut output = Output { tags, fields: Vec::new() };
        for name in self.fields {
            let columns = groups.iter().map(|group| shape.field(&group.schema, name)).collect();
            output.fields.push(OutputField { name: name.into(), columns });
        }
        Ok(output)
    }
}

fn unknown_field(name: &str) -> QueryError {
    QueryError::invalid(format!("field {name} not found in schema"))
}

/// Index mode does not find tags under a wrong family.
fn tag_source(schema: &RowSchema, family: &str, name: &str, shape: &mut Shape) -> QueryResult<TagSource> {
    let source = shape.source_in(schema, family, name);
    let is_hidden = source == TagSource::Nothing && schema.find_tag_in(family, name).is_none();
    if is_hidden && schema.index_mode && schema.find_tag(name).is_some() {
        return Err(QueryError::invalid(format!("tag {name} not found in schema")));
    }
    Ok(source)
}
