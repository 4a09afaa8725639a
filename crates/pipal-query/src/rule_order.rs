//! The tag of an index rule that a query is ordered by.

use crate::context::GroupTarget;
use crate::error::{QueryError, QueryResult};
use crate::schema::RuleRef;
use crate::shape::Shape;
use crate::view::TagSource;

/// Where the tag of a rule comes from, per group. Errors: a group has no such rule that `orders`, the rule forbids it,
/// the group has none of its tags, or the tag differs between groups.
pub(crate) fn tag_of_rule(
    name: &str,
    groups: &[GroupTarget],
    orders: impl Fn(&RuleRef) -> bool,
    shape: &mut Shape,
) -> QueryResult<Vec<TagSource>> {
    let mut sources = Vec::with_capacity(groups.len());
    let mut first_tag: Option<&str> = None;
    for group in groups {
        let schema = &group.schema;
        let undefined = || QueryError::invalid(format!("{name}: index is not define for the tag"));
        let rule = schema.find_rule(name).filter(|rule| orders(rule)).ok_or_else(undefined)?;
        if rule.no_sort {
            return Err(QueryError::invalid(format!("{name}: index does not support sorting")));
        }
        let tag = rule.tags.iter().find(|tag| schema.find_tag(tag).is_some()).ok_or_else(undefined)?;
        if first_tag.is_some_and(|first| *first != **tag) {
            return Err(QueryError::invalid(format!(
                "{name}: the index rule is on different tags in the groups"
            )));
        }
        first_tag = Some(tag);
        let place = schema.find_tag(tag).ok_or_else(undefined)?;
        sources.push(shape.source_of(schema, place));
    }
    Ok(sources)
}
