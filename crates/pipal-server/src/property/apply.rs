//! Apply: the checks of a request, and how it is merged with what is stored (property specification, 2).

use super::gate::{property_group, target_of};
use crate::api::database::{Property as PropertySchema, TagType};
use crate::api::model::{Tag, tag_value::Value};
use crate::api::property::{ApplyRequest, Property, apply_request::Strategy};
use crate::registry::Registry;
use crate::services::validate;
use crate::status::SchemaError;
use hashbrown::HashSet;
use pipal_query::property::PropertyGroup;
use tonic::Status;

/// A request that passed its checks.
pub struct Application {
    /// Where it goes.
    pub group: PropertyGroup,
    /// The document as it was sent.
    pub property: Property,
    /// True when stored tags that the request lacks are given up.
    pub replaces: bool,
}

impl Application {
    /// Checks a request, in the order of the specification (2.1).
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a malformed request, those of [`property_group`], `NOT_FOUND` without a schema,
    /// `UNKNOWN` for tags that do not fit it.
    pub fn admit(registry: &Registry, request: ApplyRequest) -> Result<Self, Status> {
        validate(&request)?;
        let replaces = request.strategy == Strategy::Replace as i32;
        let property = request.property.unwrap_or_default();
        let metadata = property.metadata.clone().unwrap_or_default();
        let (group, name) = (&metadata.group, &metadata.name);
        if group.is_empty() || name.is_empty() {
            return Err(Status::invalid_argument("group and name of a property should not be empty"));
        }
        if let Some(tag) = property.tags.iter().find(|tag| value_of(tag).is_none()) {
            let text = format!("property {name} tag {} has no value", tag.key);
            return Err(Status::invalid_argument(text));
        }
        let state = property_group(registry, group)?;
        let schema = registry.get::<PropertySchema>(group, name).ok_or(SchemaError::NotFound)?;
        check_tags(&property.tags, name, &schema)?;
        Ok(Application { group: target_of(&state), property, replaces })
    }
}

fn value_of(tag: &Tag) -> Option<&Value> {
    tag.value.as_ref()?.value.as_ref()
}

fn check_tags(tags: &[Tag], name: &str, schema: &PropertySchema) -> Result<(), Status> {
    if tags.len() > schema.tags.len() {
        return Err(Status::unknown(format!("property {name} tags count mismatch")));
    }
    for tag in tags {
        let key = &tag.key;
        let Some(declared) = schema.tags.iter().find(|declared| declared.name == *key) else {
            return Err(Status::unknown(format!("property {name} tag {key} not found")));
        };
        let ty = value_of(tag).and_then(type_of);
        if ty.is_some_and(|ty| ty as i32 != declared.r#type) {
            return Err(Status::unknown(format!("property {name} tag {key} type mismatch")));
        }
    }
    Ok(())
}

/// The type of a value; none for null, which fits any.
fn type_of(value: &Value) -> Option<TagType> {
    Some(match value {
        Value::Null(_) => return None,
        Value::Str(_) => TagType::String,
        Value::Int(_) => TagType::Int,
        Value::StrArray(_) => TagType::StringArray,
        Value::IntArray(_) => TagType::IntArray,
        Value::BinaryData(_) => TagType::DataBinary,
        Value::Timestamp(_) => TagType::Timestamp,
    })
}

/// The tags of the request, then those stored whose keys it lacks, in their old order.
pub fn merged(mut sent: Vec<Tag>, stored: Vec<Tag>) -> Vec<Tag> {
    let keys: HashSet<String> = sent.iter().map(|tag| tag.key.clone()).collect();
    sent.extend(stored.into_iter().filter(|tag| !keys.contains(&tag.key)));
    sent
}
