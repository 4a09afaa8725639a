//! Conditions joined by AND and OR: the tree of a request, and the same over numbered conditions.

use crate::error::{QueryError, QueryResult};
use pipal_api::model::v1::{
    Condition, Criteria, LogicalExpression, criteria::Exp, logical_expression::LogicalOp,
};

/// Deepest nesting of expressions.
pub(crate) const CRITERIA_DEPTH_MAX: usize = 512;

/// And, or, and the conditions below.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression {
    /// A condition.
    Leaf(usize),
    /// Both sides hold.
    And(Box<Expression>, Box<Expression>),
    /// At least one side holds.
    Or(Box<Expression>, Box<Expression>),
}

impl Expression {
    /// The expression with `first` added to the number of every condition.
    pub fn renumbered(self, first: usize) -> Self {
        let side = |side: Box<Expression>| Box::new(side.renumbered(first));
        match self {
            Expression::Leaf(number) => Expression::Leaf(number + first),
            Expression::And(left, right) => Expression::And(side(left), side(right)),
            Expression::Or(left, right) => Expression::Or(side(left), side(right)),
        }
    }

    /// Combines columns of outcomes, numbers in an order in which 0 is false: a conjunction is the least of its sides
    /// and a disjunction the greatest. `leaf` appends the `count` outcomes of a condition.
    pub fn outcomes(&self, count: usize, leaf: &impl Fn(usize, &mut Vec<u8>)) -> Vec<u8> {
        match self {
            Expression::Leaf(number) => {
                let mut outcomes = Vec::with_capacity(count);
                leaf(*number, &mut outcomes);
                outcomes
            }
            Expression::And(left, right) => {
                let mut outcomes = left.outcomes(count, leaf);
                // Nothing can make a conjunction true again: the other side need not be looked at.
                if outcomes.iter().any(|outcome| *outcome != 0) {
                    let other = right.outcomes(count, leaf);
                    outcomes.iter_mut().zip(other).for_each(|(a, b)| *a = (*a).min(b));
                }
                outcomes
            }
            Expression::Or(left, right) => {
                let mut outcomes = left.outcomes(count, leaf);
                let other = right.outcomes(count, leaf);
                outcomes.iter_mut().zip(other).for_each(|(a, b)| *a = (*a).max(b));
                outcomes
            }
        }
    }
}

/// How two sides are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// Both hold.
    And,
    /// At least one holds.
    Or,
}

impl Join {
    /// The expression of both sides; a side that vanished leaves the other one.
    pub fn of(self, left: Option<Expression>, right: Option<Expression>) -> Option<Expression> {
        let (left, right) = match (left, right) {
            (Some(left), Some(right)) => (Box::new(left), Box::new(right)),
            (one, other) => return one.or(other),
        };
        Some(match self {
            Join::And => Expression::And(left, right),
            Join::Or => Expression::Or(left, right),
        })
    }
}

/// Computes something of criteria from the conditions upwards: `leaf` for a condition, `join` for two sides. A node
/// with one side is that side. Errors: malformed trees, with the texts of streams and traces (stream specification,
/// 5), and those of the functions.
pub(crate) fn fold<T>(
    criteria: &Criteria,
    leaf: &mut impl FnMut(&Condition) -> QueryResult<T>,
    join: &mut impl FnMut(Join, T, T) -> QueryResult<T>,
) -> QueryResult<T> {
    fold_at(criteria, 0, leaf, join)
}

fn fold_at<T>(
    criteria: &Criteria,
    depth: usize,
    leaf: &mut impl FnMut(&Condition) -> QueryResult<T>,
    join: &mut impl FnMut(Join, T, T) -> QueryResult<T>,
) -> QueryResult<T> {
    if depth > CRITERIA_DEPTH_MAX {
        let detail = format!("criteria are nested deeper than {CRITERIA_DEPTH_MAX}");
        return Err(QueryError::invalid(detail));
    }
    let expression: &LogicalExpression = match &criteria.exp {
        None => return Err(QueryError::invalid("invalid criteria type")),
        Some(Exp::Condition(condition)) => return leaf(condition),
        Some(Exp::Le(expression)) => expression,
    };
    let how = match LogicalOp::try_from(expression.op) {
        Ok(LogicalOp::And) => Join::And,
        Ok(LogicalOp::Or) => Join::Or,
        Ok(LogicalOp::Unspecified) | Err(_) => return Err(QueryError::invalid("invalid criteria type")),
    };
    match (&expression.left, &expression.right) {
        (None, None) => {
            Err(QueryError::invalid(format!("both sides(left and right) of [{how:?}] are empty")))
        }
        (Some(only), None) | (None, Some(only)) => fold_at(only, depth + 1, leaf, join),
        (Some(left), Some(right)) => {
            let left = fold_at(left, depth + 1, leaf, join)?;
            let right = fold_at(right, depth + 1, leaf, join)?;
            join(how, left, right)
        }
    }
}
