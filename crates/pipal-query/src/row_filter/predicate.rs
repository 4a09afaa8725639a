//! What a row filter says of rows before they are read: a weaker condition that parts can answer for whole chunks.

use super::test::{Elements, Question, RowTest};
use super::{RowFilter, RowLeaf};
use crate::expression::Expression;
use crate::term::{TermSet, TermTest, ValueTest, int_term};
use pipal_engine::RowPredicate;
use pipal_model::value::{decode_int_array, decode_str_array};
use pipal_model::{Analyzer, ColumnKey, Value};
use std::cmp::Ordering;

/// Of a condition that requires many terms, so many are looked up: the first ones rule out nearly everything.
const REQUIRED_TERMS_MAX: usize = 4;

type Term = Box<[u8]>;

impl RowFilter {
    /// A predicate that every row meets that passes the filter.
    pub fn predicate(&self) -> RowPredicate {
        self.expression.as_ref().map_or(RowPredicate::All, |expression| self.predicate_of(expression))
    }

    fn predicate_of(&self, expression: &Expression) -> RowPredicate {
        match expression {
            Expression::Leaf(leaf) => self.leaves.get(*leaf).map_or(RowPredicate::All, RowLeaf::predicate),
            Expression::And(left, right) => self.predicate_of(left).and(self.predicate_of(right)),
            Expression::Or(left, right) => self.predicate_of(left).or(self.predicate_of(right)),
        }
    }
}

impl RowLeaf {
    /// Nothing can be said of what is not asked for; a tag without a column is always null.
    fn predicate(&self) -> RowPredicate {
        match &self.column {
            _ if self.test.negated => RowPredicate::All,
            Some(column) => self.test.predicate(column),
            None => RowPredicate::Nothing,
        }
    }
}

impl RowTest {
    fn predicate(&self, column: &ColumnKey) -> RowPredicate {
        match &self.question {
            Question::Nothing => RowPredicate::Nothing,
            Question::Equal(value) => equal(column, value),
            Question::Side { side, or_equal, bound: Value::Int(bound) } => {
                range(column, *side, *or_equal, *bound)
            }
            Question::Side { .. } => RowPredicate::All,
            Question::OneOf(elements) => has(column, elements.terms().collect()),
            Question::HoldsAll(elements) => has_all(column, elements.terms()),
            Question::Element(value) => equal(column, value),
            Question::Words(test) => words(column, test),
        }
    }
}

impl Elements {
    fn terms(&self) -> Box<dyn Iterator<Item = Term> + '_> {
        match self {
            Elements::Texts(texts) => Box::new(texts.iter().cloned()),
            Elements::Ints(ints) => Box::new(ints.iter().map(|int| int_term(*int).into())),
        }
    }
}

/// One of the terms. They are sorted: integers keep their order as terms.
fn has(column: &ColumnKey, terms: Vec<Term>) -> RowPredicate {
    if terms.is_empty() {
        return RowPredicate::Nothing;
    }
    RowPredicate::Has { column: column.clone(), terms }
}

/// All of the terms; any row will do if there are none.
fn has_all(column: &ColumnKey, terms: impl Iterator<Item = Term>) -> RowPredicate {
    terms.take(REQUIRED_TERMS_MAX).fold(RowPredicate::All, |all, term| all.and(has(column, vec![term])))
}

/// An array that equals another one has all elements of it.
fn equal(column: &ColumnKey, value: &Value) -> RowPredicate {
    match value {
        Value::Str(text) => has(column, vec![text.as_slice().into()]),
        Value::Int(int) => has(column, vec![int_term(*int).into()]),
        Value::StrArray(bytes) => has_all(column, decode_str_array(bytes).map(Term::from)),
        Value::IntArray(bytes) => has_all(column, decode_int_array(bytes).map(|int| int_term(int).into())),
        _ => RowPredicate::All,
    }
}

fn range(column: &ColumnKey, side: Ordering, or_equal: bool, bound: i64) -> RowPredicate {
    let step = i64::from(!or_equal);
    let bounds = match side {
        Ordering::Less => bound.checked_sub(step).map(|greatest| (i64::MIN, greatest)),
        Ordering::Greater => bound.checked_add(step).map(|least| (least, i64::MAX)),
        Ordering::Equal => Some((bound, bound)),
    };
    match bounds {
        Some((least, greatest)) => RowPredicate::Range { column: column.clone(), least, greatest },
        None => RowPredicate::Nothing,
    }
}

/// Without an analyzer the only word of a text is the text.
fn words(column: &ColumnKey, test: &ValueTest) -> RowPredicate {
    let with_one_of = |words: Vec<Term>| match test.analyzer {
        _ if words.is_empty() => RowPredicate::Nothing,
        Analyzer::Keyword => has(column, words),
        analyzer => RowPredicate::Word { column: column.clone(), analyzer, words },
    };
    let terms = |set: &TermSet| set.iter().map(Term::from).collect::<Vec<Term>>();
    match &test.test {
        _ if test.negated => RowPredicate::All,
        TermTest::Any(set) => with_one_of(terms(set)),
        TermTest::All(set) if set.is_empty() => RowPredicate::Nothing,
        TermTest::All(set) => (terms(set).into_iter().take(REQUIRED_TERMS_MAX))
            .fold(RowPredicate::All, |all, word| all.and(with_one_of(vec![word]))),
        TermTest::Range(..) => RowPredicate::All,
    }
}
