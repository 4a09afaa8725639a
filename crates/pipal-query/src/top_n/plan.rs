//! From a request to the stored series that answer it (measure specification 4.7).

use super::group::push_group_value;
use super::ranking::Direction;
use super::{TopNTarget, direction_of};
use crate::error::{QueryError, QueryResult};
use pipal_api::measure::v1::TopNRequest;
use pipal_api::model::v1::{AggregationFunction, Condition, Sort, condition::BinaryOp, tag_value::Value};
use pipal_engine::GroupId;
use pipal_model::ValueRef;
use pipal_model::series::push_entity_value;

/// A request that can be answered.
#[derive(Debug)]
pub(super) struct Plan {
    pub direction: Direction,
    pub top_n: usize,
    pub agg: AggregationFunction,
    /// Names of the entity tags, in order.
    pub entity: Vec<Box<str>>,
    /// Per group the beginning of the entity of the series to read; none where nothing can be stored.
    pub sources: Vec<(GroupId, Vec<u8>)>,
}

impl Plan {
    /// None when the answer is empty whatever is stored.
    pub fn new(request: &TopNRequest, targets: &[TopNTarget]) -> QueryResult<Option<Plan>> {
        let (Some(direction), Some(first)) = (direction_of(request.field_value_sort), targets.first()) else {
            return Ok(None);
        };
        let failed = |detail: String| {
            QueryError::invalid(format!(
                "fail to analyze the query request for topn {}: {detail}",
                request.name
            ))
        };
        let mut sources = Vec::with_capacity(targets.len());
        for target in targets {
            let agrees = target.source.entity == first.source.entity
                && target.aggregation.field_name == first.aggregation.field_name;
            if !agrees {
                return Err(failed("the groups differ in entity or field".to_owned()));
            }
            let group =
                group_of(&target.aggregation.group_by_tag_names, &request.conditions).map_err(failed)?;
            if keeps(target, direction) {
                sources.push((target.group, prefix(&request.name, direction, group.as_deref())));
            }
        }
        Ok(Some(Plan {
            direction,
            top_n: usize::try_from(request.top_n).unwrap_or(0),
            agg: AggregationFunction::try_from(request.agg).unwrap_or_default(),
            entity: first.source.entity.clone(),
            sources,
        }))
    }
}

/// True when the aggregation keeps this direction at all.
fn keeps(target: &TopNTarget, direction: Direction) -> bool {
    let declared = target.aggregation.field_value_sort;
    declared == Sort::Unspecified as i32 || direction_of(declared) == Some(direction)
}

/// The beginning of the entity of stored rankings: name, direction and, if asked for, the ranking group.
fn prefix(name: &str, direction: Direction, group: Option<&[u8]>) -> Vec<u8> {
    let mut prefix = Vec::new();
    let fixed = [ValueRef::Str(name.as_bytes()), ValueRef::Int(direction.code())];
    for value in fixed.into_iter().chain(group.map(ValueRef::Str)) {
        // Texts and integers can be keys.
        push_entity_value(value, &mut prefix);
    }
    prefix
}

/// The ranking group that conditions name; none when there are none.
fn group_of(group_by: &[String], conditions: &[Condition]) -> Result<Option<Vec<u8>>, String> {
    if conditions.is_empty() {
        return Ok(None);
    }
    let mut values: Vec<Option<ValueRef<'_>>> = vec![None; group_by.len()];
    for condition in conditions {
        let position = group_by.iter().position(|tag| *tag == condition.name);
        let Some(value) = position.and_then(|at| values.get_mut(at)) else {
            return Err(format!("only groupBy tag name is supported, not {}", condition.name));
        };
        if condition.op != BinaryOp::Eq as i32 {
            return Err(format!("tag {} belongs to the entity only supports EQ operation", condition.name));
        }
        *value = Some(literal(condition)?);
    }
    let values: Option<Vec<ValueRef<'_>>> = values.into_iter().collect();
    let values = values.ok_or("failed to parse all groupBy tags")?;
    let mut group = Vec::new();
    for (i, value) in values.into_iter().enumerate() {
        push_group_value(i == 0, value, &mut group);
    }
    Ok(Some(group))
}

fn literal(condition: &Condition) -> Result<ValueRef<'_>, String> {
    match condition.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::Str(text)) => Ok(ValueRef::Str(text.value.as_bytes())),
        Some(Value::Int(number)) => Ok(ValueRef::Int(number.value)),
        Some(Value::Null(_)) => Ok(ValueRef::Null),
        _ => Err(format!("unsupported condition value for {}", condition.name)),
    }
}
