//! What the term index can tell of criteria: conditions that ask for equal terms of indexed columns.

use super::{Criteria, Expression, Leaf, LeafTest, Target};
use crate::schema::RowSchema;
use crate::term::TermTest;
use pipal_engine::TermFilter;
use pipal_model::Analyzer;

/// Of a condition that requires many terms, so many are looked up: the first ones rule out nearly everything.
const REQUIRED_TERMS_MAX: usize = 4;

/// A filter that holds wherever the criteria do. Conditions on the entity are left to selectors.
pub(crate) fn term_filter(criteria: &Criteria, schema: &RowSchema) -> TermFilter {
    filter_of(criteria, &criteria.expression, schema)
}

fn filter_of(criteria: &Criteria, expression: &Expression, schema: &RowSchema) -> TermFilter {
    match expression {
        Expression::Leaf(leaf) => {
            criteria.leaves.get(*leaf).map_or(TermFilter::All, |leaf| filter_of_leaf(leaf, schema))
        }
        Expression::And(left, right) => {
            filter_of(criteria, left, schema).and(filter_of(criteria, right, schema))
        }
        Expression::Or(left, right) => {
            filter_of(criteria, left, schema).or(filter_of(criteria, right, schema))
        }
    }
}

/// The index holds whole values and elements of arrays; a missing value is never equal to anything.
fn filter_of_leaf(leaf: &Leaf, schema: &RowSchema) -> TermFilter {
    let (Target::Column(column), LeafTest::Terms(test)) = (&leaf.target, &leaf.test) else {
        return TermFilter::All;
    };
    let column = schema.layout().columns().get(*column).filter(|c| c.attribute || schema.index_mode);
    let Some(column) = column.filter(|_| !test.negated && test.analyzer == Analyzer::Keyword) else {
        return TermFilter::All;
    };
    let with = |terms| TermFilter::Terms { column: column.key.clone(), terms };
    match &test.test {
        TermTest::Any(set) => with(set.iter().map(Box::from).collect()),
        TermTest::All(set) => set
            .iter()
            .take(REQUIRED_TERMS_MAX)
            .fold(TermFilter::All, |filter, term| filter.and(with(vec![term.into()]))),
        TermTest::Range(..) => TermFilter::All,
    }
}
