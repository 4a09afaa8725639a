//! The row filter of streams and traces (stream specification, 5 and 7; trace specification, 7): conditions on the
//! typed values of single rows. The conditions of measures are others, see `term.rs`.
//!
//! Criteria are compiled against the schema of one group. The model says which conditions take no part
//! ([`LeafRules`]); an AND or OR of which one side vanished is the other side. Conditions on tags of the entity never
//! take part: series are selected by them before. What is left is evaluated over whole columns.

mod compile;
mod predicate;
mod test;
#[cfg(test)]
mod tests;

use crate::expression::{Expression, Join};
use crate::schema::RowSchema;
use crate::term::ValueTest;
use pipal_api::model::v1::Condition;
use pipal_codec::Column;
use pipal_engine::part::{LeadingFilter, Verdict};
use pipal_model::{Analyzer, ColumnKey, ValueRef};

pub(crate) use test::{Elements, RowTest};

/// Conditions that rows must meet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RowFilter {
    /// Conditions; the expression names them by their index.
    pub leaves: Vec<RowLeaf>,
    /// How they are combined; none when every row passes.
    pub expression: Option<Expression>,
}

/// A condition on a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RowLeaf {
    /// The column; none for a tag without one, which is always null.
    pub column: Option<ColumnKey>,
    /// The test of its values.
    pub test: RowTest,
}

/// What the models decide about conditions.
pub(crate) trait LeafRules {
    /// True when the condition takes no part in the row filter. It is checked all the same.
    fn is_removed(&self, condition: &Condition) -> bool;
    /// How the literal and the stored text of a MATCH become words; none when nothing matches.
    fn analyzer(&self, condition: &Condition) -> Option<Analyzer>;
    /// What the value must pass beside the condition itself, where the model looks a MATCH up in an index.
    fn index_test(&self, _condition: &Condition) -> Option<ValueTest> {
        None
    }
}

/// The analyzer of the rule named like the tag, if it names one (stream specification, 7.1).
pub(crate) fn analyzer_of_namesake(schema: &RowSchema, tag: &str) -> Option<Analyzer> {
    let rule = schema.find_rule(tag).filter(|rule| !rule.analyzer.is_empty())?;
    Some(Analyzer::by_name(&rule.analyzer))
}

impl RowFilter {
    /// Keeps of `rows` those that pass. `columns` holds, per condition, the values of its column in the batch, of
    /// `count` rows; none where nothing has the column.
    pub fn retain(&self, columns: &[Option<&Column>], count: usize, rows: &mut Vec<u32>) {
        let Some(expression) = &self.expression else { return };
        if rows.is_empty() {
            return;
        }
        let mask = expression.outcomes(count, &|leaf, out: &mut Vec<u8>| {
            let test = &self.leaves[leaf].test;
            match columns.get(leaf).copied().flatten() {
                None => out.resize(count, u8::from(test.matches(ValueRef::Null))),
                Some(column) => push_outcomes(test, column, count, out),
            }
        });
        rows.retain(|row| mask[*row as usize] != 0);
    }

    /// A filter of one condition.
    pub fn of_leaf(leaf: RowLeaf) -> Self {
        RowFilter { leaves: vec![leaf], expression: Some(Expression::Leaf(0)) }
    }

    /// Joins two filters; one that every row passes counts as a side that vanished.
    pub fn join(mut self, how: Join, other: RowFilter) -> RowFilter {
        let other_expression = other.expression.map(|expression| expression.renumbered(self.leaves.len()));
        self.leaves.extend(other.leaves);
        self.expression = how.of(self.expression, other_expression);
        self
    }

    /// True when every row passes.
    pub fn is_empty(&self) -> bool {
        self.expression.is_none()
    }
}

impl LeadingFilter for RowFilter {
    /// Conditions on other columns than these are open.
    fn verdicts(&self, columns: &[ColumnKey], values: &[Column], tuples: usize) -> Vec<Verdict> {
        let Some(expression) = &self.expression else { return vec![Verdict::Yes; tuples] };
        let (no, open, yes) = (0, 1, 2);
        let outcomes = expression.outcomes(tuples, &|leaf, out: &mut Vec<u8>| {
            let RowLeaf { column, test } = &self.leaves[leaf];
            let Some(column) = column else {
                out.resize(tuples, if test.matches(ValueRef::Null) { yes } else { no });
                return;
            };
            match columns.iter().zip(values).find(|(known, _)| *known == column) {
                None => out.resize(tuples, open),
                Some((_, values)) => {
                    push_outcomes(test, values, tuples, out);
                    out.iter_mut().for_each(|outcome| *outcome *= yes);
                }
            }
        });
        let verdict = |outcome: u8| match outcome {
            0 => Verdict::No,
            1 => Verdict::Open,
            _ => Verdict::Yes,
        };
        outcomes.into_iter().map(verdict).collect()
    }
}

/// Values repeat, and tests may cut them into words: the last outcome is remembered.
fn push_outcomes(test: &RowTest, column: &Column, count: usize, out: &mut Vec<u8>) {
    let mut last: Option<(ValueRef<'_>, u8)> = None;
    for row in 0..count {
        let value = column.get(row);
        let outcome = match last {
            Some((known, outcome)) if known == value => outcome,
            _ => u8::from(test.matches(value)),
        };
        last = Some((value, outcome));
        out.push(outcome);
    }
}
