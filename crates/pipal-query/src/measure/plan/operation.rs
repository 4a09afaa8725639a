//! Grouping, aggregation and top: what is checked of them before rows are read (measure specification, 3.8, 3.9).

use super::Output;
use crate::context::GroupTarget;
use crate::error::{QueryError, QueryResult};
use crate::order::Ranking;
use pipal_api::measure::v1::QueryRequest;
use pipal_api::model::v1::{AggregationFunction, Sort};
use pipal_model::ColumnType;

/// What becomes of the rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operation {
    /// They are the result.
    Rows,
    /// The first row of each group; groups differ in these tags of the output.
    FirstOfGroup(Vec<usize>),
    /// One number per group; no tags make one group of all rows.
    Aggregate(Vec<usize>, Aggregate),
}

/// An aggregation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Aggregate {
    /// The function.
    pub function: Function,
    /// True when the result is a double.
    pub float: bool,
    /// Columns of the shape with the field, per group.
    pub columns: Vec<Option<usize>>,
}

/// Functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    /// Sum through count, at least 1.
    Mean,
    /// Greatest value.
    Max,
    /// Least value.
    Min,
    /// Number of values.
    Count,
    /// Sum.
    Sum,
}

/// The best rows by a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Top {
    /// How many.
    pub number: usize,
    /// Which are best; after an aggregation its columns do not matter.
    pub ranking: Ranking,
}

impl Operation {
    /// Reads and checks grouping and aggregation.
    pub fn of(request: &QueryRequest, groups: &[GroupTarget], output: &Output) -> QueryResult<Self> {
        let tags = match &request.group_by {
            Some(_) => Some(group_tags(request, groups, output)?),
            None => None,
        };
        let Some(aggregation) = &request.agg else {
            return Ok(tags.map_or(Operation::Rows, Operation::FirstOfGroup));
        };
        let function = match AggregationFunction::try_from(aggregation.function) {
            Ok(AggregationFunction::Mean) => Function::Mean,
            Ok(AggregationFunction::Max) => Function::Max,
            Ok(AggregationFunction::Min) => Function::Min,
            Ok(AggregationFunction::Count) => Function::Count,
            Ok(AggregationFunction::Sum) => Function::Sum,
            Ok(AggregationFunction::Unspecified) | Err(_) => {
                return Err(QueryError::invalid("unknown aggregation function"));
            }
        };
        let types = field_types(groups, &aggregation.field_name);
        if !types.iter().all(|ty| matches!(ty, ColumnType::Int | ColumnType::Float)) {
            return Err(QueryError::invalid("unsupported aggregation operation on this field"));
        }
        let columns = output.fields.first().map(|field| field.columns.clone()).unwrap_or_default();
        let aggregate = Aggregate { function, float: types.contains(&ColumnType::Float), columns };
        Ok(Operation::Aggregate(tags.unwrap_or_default(), aggregate))
    }
}

/// Positions of the group tags in the output: one family with at least one tag that belongs to it.
fn group_tags(request: &QueryRequest, groups: &[GroupTarget], output: &Output) -> QueryResult<Vec<usize>> {
    let projection = request.group_by.as_ref().and_then(|group_by| group_by.tag_projection.as_ref());
    let [family] = projection.map_or(&[][..], |p| &p.tag_families) else {
        return Err(QueryError::invalid("group by needs the tags of exactly one family"));
    };
    if family.tags.is_empty() {
        return Err(QueryError::invalid("group by needs at least one tag"));
    }
    let position = |name: &String| {
        let known = groups.iter().any(|group| group.schema.find_tag_in(&family.name, name).is_some());
        let position = output.tags.position(&family.name, name).filter(|_| known);
        position.ok_or_else(|| {
            QueryError::invalid(format!("{name}: tag is not defined in family {}", family.name))
        })
    };
    family.tags.iter().map(position).collect()
}

/// Types that a field has in the groups.
fn field_types(groups: &[GroupTarget], name: &str) -> Vec<ColumnType> {
    let ty = |group: &GroupTarget| group.schema.fields.get(group.schema.find_field(name)?)?.ty;
    groups.iter().filter_map(ty).collect()
}

impl Top {
    /// Reads and checks the top clause.
    pub fn of(
        request: &QueryRequest,
        groups: &[GroupTarget],
        output: &Output,
        operation: &Operation,
    ) -> QueryResult<Option<Self>> {
        let Some(top) = &request.top else { return Ok(None) };
        let Some(field) = output.field_position(&top.field_name) else {
            let detail = format!("top field {} is not in the result", top.field_name);
            return Err(QueryError::invalid(detail));
        };
        let types = field_types(groups, &top.field_name);
        if !types.iter().all(|ty| matches!(ty, ColumnType::Int | ColumnType::Float)) {
            return Err(QueryError::invalid(format!("top field {} is not a number", top.field_name)));
        }
        let ranking = Ranking {
            columns: output.fields[field].columns.clone(),
            ascending: top.field_value_sort == Sort::Asc as i32,
            mixed: types.contains(&ColumnType::Int) && types.contains(&ColumnType::Float),
        };
        let ranking = match operation {
            Operation::Aggregate(..) => Ranking { mixed: false, ..ranking },
            _ => ranking,
        };
        Ok(Some(Top { number: usize::try_from(top.number).unwrap_or(0), ranking }))
    }
}
