//! One condition on one value (stream specification, 7).

use crate::term::ValueTest;
use pipal_model::value::{decode_int_array, decode_str_array, encode_int_array, encode_str_array};
use pipal_model::{Value, ValueRef};
use std::cmp::Ordering;

/// A question about a value, and whether the answer is turned around.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RowTest {
    pub(super) question: Question,
    pub(super) negated: bool,
}

/// Questions; all are answered with no for a missing value and for one of another type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Question {
    /// Never.
    Nothing,
    /// Is it this value? Arrays are compared element by element.
    Equal(Value),
    /// Is it on this side of a scalar, or equal to it if `or_equal`?
    Side { side: Ordering, or_equal: bool, bound: Value },
    /// Is it one of these, sorted?
    OneOf(Elements),
    /// Is it an array with all of these, or a scalar that is the only one of these?
    HoldsAll(Elements),
    /// Is it an array with this scalar? An equal scalar does not do.
    Element(Value),
    /// Does its text have all these words?
    Words(ValueTest),
}

/// Elements of a literal array, sorted and distinct.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Elements {
    /// Texts.
    Texts(Vec<Box<[u8]>>),
    /// Integers.
    Ints(Vec<i64>),
}

impl Elements {
    /// A set of texts.
    pub fn of_texts(mut texts: Vec<Box<[u8]>>) -> Self {
        texts.sort_unstable();
        texts.dedup();
        Elements::Texts(texts)
    }

    /// A set of integers.
    pub fn of_ints(mut ints: Vec<i64>) -> Self {
        ints.sort_unstable();
        ints.dedup();
        Elements::Ints(ints)
    }

    fn has(&self, value: ValueRef<'_>) -> bool {
        match (self, value) {
            (Elements::Texts(texts), ValueRef::Str(text)) => {
                texts.binary_search_by(|known| (**known).cmp(text)).is_ok()
            }
            (Elements::Ints(ints), ValueRef::Int(int)) => ints.binary_search(&int).is_ok(),
            _ => false,
        }
    }

    fn are_held_by(&self, value: ValueRef<'_>) -> bool {
        match (self, value) {
            (Elements::Texts(texts), ValueRef::StrArray(array)) => {
                texts.iter().all(|text| decode_str_array(array).any(|e| *e == **text))
            }
            (Elements::Ints(ints), ValueRef::IntArray(array)) => {
                ints.iter().all(|int| decode_int_array(array).any(|e| e == *int))
            }
            (Elements::Texts(texts), scalar) => texts.len() == 1 && self.has(scalar),
            (Elements::Ints(ints), scalar) => ints.len() == 1 && self.has(scalar),
        }
    }
}

/// A scalar asked for by HAVING is held by arrays only.
fn holds_element(value: ValueRef<'_>, scalar: &Value) -> bool {
    match (value, scalar) {
        (ValueRef::StrArray(array), Value::Str(text)) => decode_str_array(array).any(|e| *e == **text),
        (ValueRef::IntArray(array), Value::Int(int)) => decode_int_array(array).any(|e| e == *int),
        _ => false,
    }
}

impl RowTest {
    fn new(question: Question) -> Self {
        RowTest { question, negated: false }
    }

    /// True for no value.
    pub fn nothing() -> Self {
        Self::new(Question::Nothing)
    }

    /// True for this value alone.
    pub fn equal(value: Value) -> Self {
        match value {
            Value::Absent | Value::Null => Self::nothing(),
            value => Self::new(Question::Equal(value)),
        }
    }

    /// True for this array of texts, in this order.
    pub fn equal_texts<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut bytes = Vec::new();
        encode_str_array(texts, &mut bytes);
        Self::new(Question::Equal(Value::StrArray(bytes)))
    }

    /// True for this array of integers, in this order.
    pub fn equal_ints(ints: impl IntoIterator<Item = i64>) -> Self {
        let mut bytes = Vec::new();
        encode_int_array(ints, &mut bytes);
        Self::new(Question::Equal(Value::IntArray(bytes)))
    }

    /// True for scalars of the type of `bound` on this side of it, and for `bound` itself if `or_equal`.
    pub fn side(side: Ordering, or_equal: bool, bound: Value) -> Self {
        Self::new(Question::Side { side, or_equal, bound })
    }

    /// True for scalars among the elements.
    pub fn one_of(elements: Elements) -> Self {
        Self::new(Question::OneOf(elements))
    }

    /// True for arrays that hold every element, and for a scalar that is the only one.
    pub fn holds_all(elements: Elements) -> Self {
        Self::new(Question::HoldsAll(elements))
    }

    /// True for arrays that hold the scalar.
    pub fn holds(scalar: Value) -> Self {
        Self::new(Question::Element(scalar))
    }

    /// True for texts that the test of words accepts.
    pub fn words(test: ValueTest) -> Self {
        Self::new(Question::Words(test))
    }

    /// The opposite; true for missing values and for those of other types.
    pub fn negated(self) -> Self {
        RowTest { negated: !self.negated, ..self }
    }

    /// Answers the question for a value.
    pub fn matches(&self, value: ValueRef<'_>) -> bool {
        self.question.holds_for(value) != self.negated
    }
}

impl Question {
    fn holds_for(&self, value: ValueRef<'_>) -> bool {
        match self {
            Question::Nothing => false,
            Question::Equal(literal) => literal.as_ref() == value,
            Question::Side { side, or_equal, bound } => match (value, bound) {
                (ValueRef::Str(text), Value::Str(bound)) => is_on(text.cmp(&**bound), *side, *or_equal),
                (ValueRef::Int(int), Value::Int(bound)) => is_on(int.cmp(bound), *side, *or_equal),
                _ => false,
            },
            Question::OneOf(elements) => elements.has(value),
            Question::HoldsAll(elements) => elements.are_held_by(value),
            Question::Element(scalar) => holds_element(value, scalar),
            Question::Words(test) => {
                matches!(value, ValueRef::Str(_) | ValueRef::StrArray(_)) && test.matches(value)
            }
        }
    }
}

fn is_on(found: Ordering, side: Ordering, or_equal: bool) -> bool {
    found == side || (or_equal && found == Ordering::Equal)
}
