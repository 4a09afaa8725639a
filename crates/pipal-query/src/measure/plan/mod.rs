//! Analysis: from a request and the schemas of its groups to a plan (measure specification, 3.3 to 3.11).

mod operation;
mod projection;

pub(crate) use operation::{Aggregate, Function, Operation, Top};
pub(crate) use projection::Output;

use super::criteria::{Criteria, condition_tags, selectors, term_filter};
use super::{GroupTarget, QueryContext};
use crate::error::{QueryError, QueryResult};
use crate::order::{Order, Ties};
use crate::read::{Duplicates, GroupRead, ReadPlan};
use crate::rule_order::tag_of_rule;
use crate::schema::RowSchema;
use crate::shape::Shape;
use pipal_api::measure::v1::QueryRequest;
use pipal_api::model::v1::{QueryOrder, Sort};
use pipal_engine::rows::EntitySelector;
use pipal_engine::{RowPredicate, TermFilter};

/// Rows given out when the request does not say.
const LIMIT_DEFAULT: u64 = 100;

/// What to read of one group.
#[derive(Debug)]
pub(crate) struct GroupPlan {
    /// Conditions, if there are any.
    pub criteria: Option<Criteria>,
    /// Disjoint sets of series that together hold all accepted ones.
    pub selectors: Vec<EntitySelector>,
    /// What indexes of terms can tell of the series; nothing where selectors name them one by one.
    pub terms: TermFilter,
}

/// An analysed query.
#[derive(Debug)]
pub(crate) struct Plan {
    /// One per group of the context.
    pub groups: Vec<GroupPlan>,
    /// Columns that operators work on.
    pub shape: Shape,
    /// Tags and fields of the answer.
    pub output: Output,
    /// Order of rows before grouping.
    pub order: Order,
    /// Grouping and aggregation.
    pub operation: Operation,
    /// The best rows only.
    pub top: Option<Top>,
    /// Rows of the result to leave out.
    pub offset: u64,
    /// Most rows to give out.
    pub limit: u64,
}

impl Plan {
    /// Analyses a request.
    pub fn new(context: &QueryContext<'_>, request: &QueryRequest) -> QueryResult<Plan> {
        let groups = context.groups;
        if let Some((first, others)) = groups.split_first()
            && others.iter().any(|group| group.schema.entity != first.schema.entity)
        {
            return Err(QueryError::invalid("schemas have different entity lists"));
        }
        let mut shape = Shape::default();
        let projection = projection::Projection::of(request, groups)?;
        require_projection(request, groups, &projection)?;
        let order = order_of(request.order_by.as_ref(), groups, &mut shape)?;
        let output = projection.resolve(groups, &mut shape)?;
        let operation = Operation::of(request, groups, &output)?;
        let top = Top::of(request, groups, &output, &operation)?;
        let groups =
            groups.iter().map(|group| GroupPlan::new(request, &group.schema)).collect::<QueryResult<_>>()?;
        Ok(Plan {
            groups,
            shape,
            output,
            order,
            operation,
            top,
            offset: u64::from(request.offset),
            limit: if request.limit == 0 { LIMIT_DEFAULT } else { u64::from(request.limit) },
        })
    }

    /// What is to be read.
    pub fn reading(&self, index_mode: bool) -> ReadPlan<'_> {
        ReadPlan {
            groups: self.groups.iter().map(GroupPlan::reading).collect(),
            shape: &self.shape,
            newest_first: index_mode || self.order == (Order::Time { descending: true }),
            duplicates: Duplicates::GreatestVersion,
        }
    }

    /// The greatest number of rows in order that the answer can use; none when it needs all of them.
    pub fn rows_needed(&self) -> Option<usize> {
        match (&self.operation, &self.top) {
            (Operation::Rows, Some(top)) => Some(top.number),
            (Operation::Rows, None) => usize::try_from(self.offset + self.limit).ok(),
            _ => None,
        }
    }
}

impl GroupPlan {
    fn new(request: &QueryRequest, schema: &RowSchema) -> QueryResult<Self> {
        let criteria =
            request.criteria.as_ref().map(|criteria| Criteria::compile(criteria, schema)).transpose()?;
        let selectors = selectors(criteria.as_ref(), schema.entity.len());
        let are_listed = selectors.iter().any(|selector| !matches!(selector, EntitySelector::Exact(_)));
        let terms = match &criteria {
            Some(criteria) if are_listed => term_filter(criteria, schema),
            _ => TermFilter::All,
        };
        Ok(GroupPlan { criteria, selectors, terms })
    }

    fn reading(&self) -> GroupRead<'_> {
        let unservable = self.criteria.as_ref().is_some_and(|criteria| criteria.unservable);
        GroupRead {
            criteria: self.criteria.as_ref().map(|criteria| criteria as _),
            selectors: &self.selectors,
            terms: &self.terms,
            predicate: &RowPredicate::All,
            refusal: unservable.then_some("invalid query options: series is required"),
        }
    }
}

/// A query must ask for something. A condition on a tag outside the entity counts, since it has to be read.
fn require_projection(
    request: &QueryRequest,
    groups: &[GroupTarget],
    projection: &projection::Projection<'_>,
) -> QueryResult<()> {
    if !projection.is_empty() {
        return Ok(());
    }
    let mut reads_tag = false;
    if let Some(criteria) = &request.criteria {
        condition_tags(criteria, &mut |name| {
            reads_tag |= groups.iter().any(|group| group.schema.entity_position(name).is_none());
        });
    }
    if reads_tag {
        return Ok(());
    }
    Err(QueryError::invalid("invalid query options: tagProjection or fieldProjection is required"))
}

fn order_of(request: Option<&QueryOrder>, groups: &[GroupTarget], shape: &mut Shape) -> QueryResult<Order> {
    let descending = request.is_some_and(|order| order.sort == Sort::Desc as i32);
    let rule = request.map_or("", |order| order.index_rule_name.as_str());
    if !rule.is_empty() {
        let sources = tag_of_rule(rule, groups, |_| true, shape)?;
        return Ok(Order::Tag { descending, sources, ties: Ties::SeriesMissingLast });
    }
    if groups.iter().all(|group| group.schema.index_mode) {
        return Ok(Order::Series);
    }
    Ok(Order::Time { descending })
}
