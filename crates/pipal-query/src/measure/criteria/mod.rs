//! Criteria of a measure query: from the request to a checked expression (measure specification, 3.4, 3.5, 3.7).
//!
//! Conditions are compiled against the schema of one group: entity tags of a normal measure compared by EQ or IN
//! become key tests on the encoded entity, everything else a test of terms that needs an index rule.

mod leaf;
mod select;
mod terms;
#[cfg(test)]
mod tests;

use crate::error::{QueryError, QueryResult};
use crate::expression::CRITERIA_DEPTH_MAX;
use crate::patterns::Patterns;
use crate::schema::RowSchema;
use crate::term::ValueTest;
use pipal_api::model::v1::{
    Criteria as CriteriaProto, LogicalExpression, criteria::Exp, logical_expression::LogicalOp,
};

pub(crate) use crate::expression::Expression;
pub(crate) use select::selectors;
pub(crate) use terms::term_filter;

/// A checked expression over numbered conditions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Criteria {
    /// Conditions.
    pub leaves: Vec<Leaf>,
    /// How they are combined; leaves are named by their index.
    pub expression: Expression,
    /// True when the reference finds no series to read in the conditions on the key, which clients see as an error
    /// as soon as there is data.
    pub unservable: bool,
}

/// A condition: what is tested, and the test.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Leaf {
    /// Where the value comes from.
    pub target: Target,
    /// The test.
    pub test: LeafTest,
}

/// The value that a condition tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An entity tag, by position.
    Entity(usize),
    /// A column of the layout.
    Column(usize),
    /// A tag without a column: it is always null.
    Nothing,
}

/// How the value is tested.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LeafTest {
    /// The encoded entity tag is one of these, sorted.
    Key(Vec<Box<[u8]>>),
    /// The terms of the value answer a question.
    Terms(ValueTest),
}

impl Criteria {
    /// Compiles criteria for a group. Errors: those of the specification, as invalid queries.
    pub fn compile(criteria: &CriteriaProto, schema: &RowSchema) -> QueryResult<Self> {
        let mut compiler = Compiler { schema, leaves: Vec::new() };
        let (expression, patterns) = compiler.compile(criteria, 0)?;
        let unservable = !schema.index_mode && patterns.into_servable().is_none();
        Ok(Criteria { leaves: compiler.leaves, expression, unservable })
    }
}

/// Names of the tags in conditions, in order.
pub(crate) fn condition_tags<'a>(criteria: &'a CriteriaProto, visit: &mut impl FnMut(&'a str)) {
    match &criteria.exp {
        Some(Exp::Condition(condition)) => visit(&condition.name),
        Some(Exp::Le(expression)) => {
            for side in [&expression.left, &expression.right].into_iter().flatten() {
                condition_tags(side, visit);
            }
        }
        None => {}
    }
}

struct Compiler<'a> {
    schema: &'a RowSchema,
    leaves: Vec<Leaf>,
}

impl Compiler<'_> {
    fn compile(&mut self, criteria: &CriteriaProto, depth: usize) -> QueryResult<(Expression, Patterns)> {
        if depth > CRITERIA_DEPTH_MAX {
            let detail = format!("criteria are nested deeper than {CRITERIA_DEPTH_MAX}");
            return Err(QueryError::invalid(detail));
        }
        match &criteria.exp {
            None => Err(QueryError::invalid("invalid criteria type")),
            Some(Exp::Le(expression)) => self.logical(expression, depth),
            Some(Exp::Condition(condition)) => {
                let leaf = leaf::compile(condition, self.schema)?;
                let patterns = self.patterns_of(&leaf);
                self.leaves.push(leaf);
                Ok((Expression::Leaf(self.leaves.len() - 1), patterns))
            }
        }
    }

    fn logical(
        &mut self,
        expression: &LogicalExpression,
        depth: usize,
    ) -> QueryResult<(Expression, Patterns)> {
        let (left, right) = match (&expression.left, &expression.right) {
            (None, None) => {
                let op = LogicalOp::try_from(expression.op).unwrap_or_default().as_str_name();
                return Err(QueryError::invalid(format!("both sides(left and right) of {op} are empty")));
            }
            (Some(only), None) | (None, Some(only)) => return self.compile(only, depth + 1),
            (Some(left), Some(right)) => (left, right),
        };
        let op = LogicalOp::try_from(expression.op).unwrap_or_default();
        if op == LogicalOp::Unspecified {
            return Err(QueryError::invalid("invalid logical operator"));
        }
        let (left, left_patterns) = self.compile(left, depth + 1)?;
        let (right, right_patterns) = self.compile(right, depth + 1)?;
        let (left, right) = (Box::new(left), Box::new(right));
        if op == LogicalOp::And {
            return Ok((Expression::And(left, right), left_patterns.and(right_patterns)?));
        }
        Ok((Expression::Or(left, right), left_patterns.or(right_patterns)?))
    }

    fn patterns_of(&self, leaf: &Leaf) -> Patterns {
        let slots = self.schema.entity.len();
        match (&leaf.target, &leaf.test) {
            _ if self.schema.index_mode => Patterns::open(slots),
            (Target::Entity(slot), LeafTest::Key(values)) => Patterns::of_key(slots, *slot, values),
            _ => Patterns::open(slots),
        }
    }
}
