//! Analysis: from a request and the schemas of its groups to a plan (stream specification, 3.3 to 6, 10, 12).

use super::criteria::StreamCriteria;
use crate::context::GroupTarget;
use crate::error::{QueryError, QueryResult};
use crate::order::{Order, Ties};
use crate::read::{Duplicates, GroupRead, ReadPlan};
use crate::rule_order::tag_of_rule;
use crate::schema::{ELEMENT_ID_FIELD, RowSchema, RuleKind};
use crate::series_patterns::selectors;
use crate::shape::Shape;
use crate::tags::{OutputTags, family_of};
use pipal_api::model::v1::{QueryOrder, Sort, TagProjection};
use pipal_api::stream::v1::QueryRequest;
use pipal_engine::rows::EntitySelector;
use pipal_engine::{RowPredicate, TermFilter};
use std::fmt;

/// Elements given out when the request does not say.
const LIMIT_DEFAULT: u32 = 20;

/// What to read of one group.
#[derive(Debug)]
struct GroupPlan {
    criteria: Option<StreamCriteria>,
    /// Disjoint sets of series that together hold all accepted ones; none when the conditions on the entity contradict
    /// each other.
    selectors: Option<Vec<EntitySelector>>,
    /// What the criteria say of rows before they are read.
    predicate: RowPredicate,
}

/// An analysed query.
#[derive(Debug)]
pub(super) struct Plan {
    groups: Vec<GroupPlan>,
    /// Columns that operators work on.
    pub shape: Shape,
    /// Tags of the answer.
    pub tags: OutputTags,
    /// Column of the shape with the hash of the element id.
    pub id_column: usize,
    /// Order of elements.
    pub order: Order,
    offset: usize,
    limit: usize,
}

impl Plan {
    /// Analyses a request. Errors: those of the specification, as invalid queries.
    pub fn new(groups: &[GroupTarget], request: &QueryRequest) -> QueryResult<Plan> {
        if let Some((first, others)) = groups.split_first()
            && others.iter().any(|group| group.schema.entity != first.schema.entity)
        {
            return Err(QueryError::invalid("schemas have different entity lists"));
        }
        let mut shape = Shape::default();
        let tags = output_tags(request.projection.as_ref(), groups, &mut shape)?;
        let order = order_of(request.order_by.as_ref(), groups, &mut shape)?;
        let id_column = id_column(groups, &mut shape)?;
        let groups =
            groups.iter().map(|group| GroupPlan::new(request, &group.schema)).collect::<QueryResult<_>>()?;
        let limit = if request.limit == 0 { LIMIT_DEFAULT } else { request.limit };
        Ok(Plan {
            groups,
            shape,
            tags,
            id_column,
            order,
            offset: usize::try_from(request.offset).unwrap_or(usize::MAX),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        })
    }

    /// False when the conditions on the entity contradict each other.
    pub fn is_servable(&self) -> bool {
        self.groups.iter().all(|group| group.selectors.is_some())
    }

    /// The greatest number of elements in order that the answer can use.
    pub fn rows_needed(&self) -> Option<usize> {
        Some(self.offset.saturating_add(self.limit))
    }

    /// The rows of the result, in order, that offset and limit leave.
    pub fn shown<'a>(&self, order: &'a [u32]) -> &'a [u32] {
        let rest = order.get(self.offset..).unwrap_or_default();
        &rest[..rest.len().min(self.limit)]
    }

    /// What is to be read.
    pub fn reading(&self) -> ReadPlan<'_> {
        ReadPlan {
            groups: self.groups.iter().map(GroupPlan::reading).collect(),
            shape: &self.shape,
            newest_first: self.order == (Order::Time { descending: true }),
            duplicates: Duplicates::AllStay,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "order {:?} offset {} limit {}", self.order, self.offset, self.limit)?;
        for group in &self.groups {
            let conditions = group.criteria.as_ref().map_or(0, |criteria| criteria.rows.leaves.len());
            let selectors = group.selectors.as_ref().map_or(0, Vec::len);
            write!(f, "; {selectors} selectors, {conditions} conditions on rows")?;
        }
        Ok(())
    }
}

impl GroupPlan {
    fn new(request: &QueryRequest, schema: &RowSchema) -> QueryResult<Self> {
        let Some(criteria) = &request.criteria else {
            let selectors = Some(vec![EntitySelector::All]);
            return Ok(GroupPlan { criteria: None, selectors, predicate: RowPredicate::All });
        };
        let (criteria, patterns) = StreamCriteria::compile(criteria, schema)?;
        let selectors = patterns.map(|patterns| selectors(&patterns));
        let predicate = criteria.rows.predicate();
        Ok(GroupPlan { criteria: Some(criteria), selectors, predicate })
    }

    fn reading(&self) -> GroupRead<'_> {
        GroupRead {
            criteria: self.criteria.as_ref().map(|criteria| criteria as _),
            selectors: self.selectors.as_deref().unwrap_or_default(),
            terms: &TermFilter::All,
            predicate: &self.predicate,
            refusal: None,
        }
    }
}

/// Families and tags come back in the order of the request, each once.
fn output_tags(
    projection: Option<&TagProjection>,
    groups: &[GroupTarget],
    shape: &mut Shape,
) -> QueryResult<OutputTags> {
    let mut families: Vec<(&str, Vec<&str>)> = Vec::new();
    for family in projection.iter().flat_map(|projection| &projection.tag_families) {
        for tag in &family.tags {
            if groups.iter().all(|group| group.schema.find_tag(tag).is_none()) {
                return Err(QueryError::invalid(format!("{tag}: tag is not defined")));
            }
            let tags = family_of(&mut families, &family.name);
            if !tags.contains(&tag.as_str()) {
                tags.push(tag);
            }
        }
    }
    if families.is_empty() {
        return Err(QueryError::invalid("invalid query options: tagProjection is required"));
    }
    OutputTags::resolve(&families, groups, |schema, family, name| Ok(shape.source_in(schema, family, name)))
}

/// All groups have the id in a column of one name and type.
fn id_column(groups: &[GroupTarget], shape: &mut Shape) -> QueryResult<usize> {
    let mut column = None;
    for group in groups {
        column = shape.field(&group.schema, ELEMENT_ID_FIELD);
        if column.is_none() {
            return Err(QueryError::invalid(format!("{} is not a stream", group.schema.name)));
        }
    }
    column.ok_or_else(|| QueryError::invalid("no group is queried"))
}

/// A rule of several tags gives the order of time. TREE rules mean nothing to streams.
fn order_of(request: Option<&QueryOrder>, groups: &[GroupTarget], shape: &mut Shape) -> QueryResult<Order> {
    let descending = request.is_some_and(|order| order.sort == Sort::Desc as i32);
    let rule = request.map_or("", |order| order.index_rule_name.as_str());
    if rule.is_empty() {
        return Ok(Order::Time { descending });
    }
    let sources = tag_of_rule(rule, groups, |rule| rule.kind != RuleKind::Tree, shape)?;
    let has_many_tags =
        |group: &GroupTarget| group.schema.find_rule(rule).is_some_and(|rule| rule.tags.len() > 1);
    if groups.iter().any(has_many_tags) {
        return Ok(Order::Time { descending });
    }
    Ok(Order::Tag { descending, sources, ties: Ties::TimeMissingLowest })
}
