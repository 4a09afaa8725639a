//! What rows must be like to be of use, as far as a source can rule rows out before it reads them.
//!
//! A filter may say no only if no row matches. So a predicate is weaker than the conditions that it comes from: rows
//! that it refuses match for certain not, and whoever asks evaluates the conditions on what is read, as without it.
//!
//! It is of use where a row stands for itself, which is the policy `Collapse` of streams and traces. A row of any
//! other policy may replace one that the conditions accept, so that leaving it out would bring back an old value.

use crate::terms::{any_word, has_any_of, ordered_number};
use pipal_model::{Analyzer, ColumnKey, ValueRef};

/// Conditions on single rows; a missing value meets none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowPredicate {
    /// Any row may do.
    All,
    /// No row does.
    Nothing,
    /// The value, or an element of it, has one of these terms.
    Has {
        /// The column.
        column: ColumnKey,
        /// Text as its bytes, integers in their order-preserving form; sorted and distinct.
        terms: Vec<Box<[u8]>>,
    },
    /// The text, or an element of it, has one of these words.
    Word {
        /// The column.
        column: ColumnKey,
        /// What makes words of the text.
        analyzer: Analyzer,
        /// Sorted and distinct.
        words: Vec<Box<[u8]>>,
    },
    /// The number lies between these, both included.
    Range {
        /// The column.
        column: ColumnKey,
        /// Integers and times as they are, doubles by [`crate::ordered_float`].
        least: i64,
        /// As `least`.
        greatest: i64,
    },
    /// Both sides hold.
    And(Box<RowPredicate>, Box<RowPredicate>),
    /// At least one side holds.
    Or(Box<RowPredicate>, Box<RowPredicate>),
}

impl RowPredicate {
    /// Both sides.
    pub fn and(self, other: RowPredicate) -> RowPredicate {
        use RowPredicate::{All, And, Nothing};
        match (self, other) {
            (All, side) | (side, All) => side,
            (Nothing, _) | (_, Nothing) => Nothing,
            (left, right) => And(Box::new(left), Box::new(right)),
        }
    }

    /// At least one side.
    pub fn or(self, other: RowPredicate) -> RowPredicate {
        use RowPredicate::{All, Nothing, Or};
        match (self, other) {
            (All, _) | (_, All) => All,
            (Nothing, side) | (side, Nothing) => side,
            (left, right) => Or(Box::new(left), Box::new(right)),
        }
    }

    /// Number of conditions.
    pub(crate) fn conditions(&self) -> usize {
        match self {
            RowPredicate::All | RowPredicate::Nothing => 0,
            RowPredicate::Has { .. } | RowPredicate::Word { .. } | RowPredicate::Range { .. } => 1,
            RowPredicate::And(left, right) | RowPredicate::Or(left, right) => {
                left.conditions() + right.conditions()
            }
        }
    }

    /// Adds the columns that conditions are on, each once.
    pub(crate) fn add_columns<'a>(&'a self, columns: &mut Vec<&'a ColumnKey>) {
        match self {
            RowPredicate::All | RowPredicate::Nothing => {}
            RowPredicate::Has { column, .. }
            | RowPredicate::Word { column, .. }
            | RowPredicate::Range { column, .. } => {
                if !columns.contains(&column) {
                    columns.push(column);
                }
            }
            RowPredicate::And(left, right) | RowPredicate::Or(left, right) => {
                left.add_columns(columns);
                right.add_columns(columns);
            }
        }
    }

    /// True for a row with these values.
    pub fn accepts<'v>(&self, value_of: &impl Fn(&ColumnKey) -> ValueRef<'v>) -> bool {
        match self {
            RowPredicate::All => true,
            RowPredicate::Nothing => false,
            RowPredicate::Has { column, terms } => has_any_of(value_of(column), terms),
            RowPredicate::Word { column, analyzer, words } => any_word(value_of(column), *analyzer, |word| {
                words.binary_search_by(|known| (**known).cmp(word)).is_ok()
            }),
            RowPredicate::Range { column, least, greatest } => {
                let number = ordered_number(value_of(column));
                number.is_some_and(|number| (*least..=*greatest).contains(&number))
            }
            RowPredicate::And(left, right) => left.accepts(value_of) && right.accepts(value_of),
            RowPredicate::Or(left, right) => left.accepts(value_of) || right.accepts(value_of),
        }
    }
}
