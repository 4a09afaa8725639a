//! Criteria over the tags of a document (property specification, 6).

mod leaf;
#[cfg(test)]
mod tests;

use crate::error::{QueryError, QueryResult};
use leaf::Leaf;
use pipal_api::model::v1::{
    Criteria as CriteriaProto, LogicalExpression, Tag, criteria::Exp, logical_expression::LogicalOp,
};

/// Deepest nesting of expressions.
const CRITERIA_DEPTH_MAX: usize = 512;

/// A checked expression.
#[derive(Debug)]
pub(super) enum Criteria {
    /// A condition.
    Leaf(Leaf),
    /// Both sides hold.
    And(Box<Criteria>, Box<Criteria>),
    /// At least one side holds.
    Or(Box<Criteria>, Box<Criteria>),
}

impl Criteria {
    /// Checks criteria; schemas are not consulted. Errors: those of the specification, as invalid queries.
    pub fn compile(criteria: &CriteriaProto) -> QueryResult<Self> {
        compile(criteria, 0)
    }

    /// True when a document with these tags satisfies the criteria. `term` is scratch space.
    pub fn matches(&self, tags: &[Tag], term: &mut Vec<u8>) -> bool {
        match self {
            Criteria::Leaf(leaf) => leaf.matches(tags, term),
            Criteria::And(left, right) => left.matches(tags, term) && right.matches(tags, term),
            Criteria::Or(left, right) => left.matches(tags, term) || right.matches(tags, term),
        }
    }
}

fn compile(criteria: &CriteriaProto, depth: usize) -> QueryResult<Criteria> {
    if depth > CRITERIA_DEPTH_MAX {
        return Err(QueryError::invalid(format!("criteria are nested deeper than {CRITERIA_DEPTH_MAX}")));
    }
    match &criteria.exp {
        None => Err(QueryError::invalid("invalid criteria type")),
        Some(Exp::Condition(condition)) => Ok(Criteria::Leaf(Leaf::compile(condition)?)),
        Some(Exp::Le(expression)) => logical(expression, depth),
    }
}

fn logical(expression: &LogicalExpression, depth: usize) -> QueryResult<Criteria> {
    let op = LogicalOp::try_from(expression.op).unwrap_or_default();
    let (left, right) = match (&expression.left, &expression.right) {
        (None, None) => {
            let detail = format!("both sides(left and right) of {} are empty", op.as_str_name());
            return Err(QueryError::invalid(detail));
        }
        (Some(only), None) | (None, Some(only)) => return compile(only, depth + 1),
        (Some(left), Some(right)) => (left, right),
    };
    let side = |criteria| compile(criteria, depth + 1).map(Box::new);
    match op {
        LogicalOp::And => Ok(Criteria::And(side(left)?, side(right)?)),
        LogicalOp::Or => Ok(Criteria::Or(side(left)?, side(right)?)),
        LogicalOp::Unspecified => Err(QueryError::invalid("invalid criteria type")),
    }
}
