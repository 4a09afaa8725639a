//! The criteria of an aggregation, evaluated on rows as they are written, indexed or not (measure specification
//! 4.3).

use crate::api::model::{
    Condition, Criteria as Message, LogicalExpression, condition::BinaryOp, criteria::Exp,
};
use crate::api::model::{logical_expression::LogicalOp, tag_value::Value as Literal};
use pipal_model::value::{decode_int_array, decode_str_array, encode_int_array, encode_str_array};
use pipal_model::{Value, ValueRef};
use std::cmp::Ordering;

/// Conditions deeper than this are refused when an aggregation is compiled, so that no stack overflows.
const DEPTH_MAX: usize = 128;

/// A compiled tree.
#[derive(Debug)]
pub enum Criteria {
    /// Both must hold.
    And(Box<Criteria>, Box<Criteria>),
    /// One must hold.
    Or(Box<Criteria>, Box<Criteria>),
    /// A comparison of a tag, by its number among the tags of the definition.
    Test(usize, Test),
}

/// A comparison with a literal.
#[derive(Debug)]
pub struct Test {
    op: BinaryOp,
    literal: Value,
}

/// The criteria exclude every row: a tag is unknown or of a type that cannot be compared.
#[derive(Debug, PartialEq, Eq)]
pub struct ExcludesAll;

impl Criteria {
    /// Compiles a message; `tag` numbers the tag of a name, or knows no comparable tag of it. None when the message
    /// says nothing.
    pub fn compile(
        message: &Message,
        tag: &mut dyn FnMut(&str) -> Option<usize>,
    ) -> Result<Option<Criteria>, ExcludesAll> {
        compile(message, tag, 0)
    }

    /// True when a row with these tags is ranked. No value means that the row did not send the tag: such a row is
    /// out, whatever the condition.
    pub fn accepts<'v>(&self, value: &mut dyn FnMut(usize) -> Option<ValueRef<'v>>) -> Option<bool> {
        match self {
            // Both sides are looked at, since a tag that was not sent on either excludes the row.
            Criteria::And(left, right) => Some(left.accepts(value)? & right.accepts(value)?),
            Criteria::Or(left, right) => Some(left.accepts(value)? | right.accepts(value)?),
            Criteria::Test(tag, test) => Some(test.accepts(value(*tag)?)),
        }
    }
}

fn compile(
    message: &Message,
    tag: &mut dyn FnMut(&str) -> Option<usize>,
    depth: usize,
) -> Result<Option<Criteria>, ExcludesAll> {
    if depth > DEPTH_MAX {
        return Err(ExcludesAll);
    }
    match &message.exp {
        None => Ok(None),
        Some(Exp::Condition(condition)) => {
            let number = tag(&condition.name).ok_or(ExcludesAll)?;
            Ok(Some(Criteria::Test(number, Test::compile(condition))))
        }
        Some(Exp::Le(expression)) => both(expression, tag, depth),
    }
}

fn both(
    expression: &LogicalExpression,
    tag: &mut dyn FnMut(&str) -> Option<usize>,
    depth: usize,
) -> Result<Option<Criteria>, ExcludesAll> {
    let mut side = |side: Option<&Message>| match side {
        Some(message) => compile(message, tag, depth + 1),
        None => Ok(None),
    };
    let (left, right) = (side(expression.left.as_deref())?, side(expression.right.as_deref())?);
    let (left, right) = match (left, right) {
        (Some(left), Some(right)) => (Box::new(left), Box::new(right)),
        (one, other) => return Ok(one.or(other)),
    };
    Ok(Some(match expression.op == LogicalOp::Or as i32 {
        true => Criteria::Or(left, right),
        false => Criteria::And(left, right),
    }))
}

impl Test {
    fn compile(condition: &Condition) -> Self {
        let literal = match condition.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Literal::Str(text)) => Value::Str(text.value.as_bytes().to_vec()),
            Some(Literal::Int(number)) => Value::Int(number.value),
            Some(Literal::StrArray(list)) => {
                let mut bytes = Vec::new();
                encode_str_array(list.value.iter().map(|text| text.as_bytes()), &mut bytes);
                Value::StrArray(bytes)
            }
            Some(Literal::IntArray(list)) => {
                let mut bytes = Vec::new();
                encode_int_array(list.value.iter().copied(), &mut bytes);
                Value::IntArray(bytes)
            }
            // Tags of these types are never compared, so that such a literal equals nothing, as null does.
            Some(Literal::Null(_) | Literal::BinaryData(_) | Literal::Timestamp(_)) | None => Value::Null,
        };
        Test { op: BinaryOp::try_from(condition.op).unwrap_or_default(), literal }
    }

    fn accepts(&self, value: ValueRef<'_>) -> bool {
        let literal = self.literal.as_ref();
        let is = |wanted: &[Ordering]| order(value, literal).is_some_and(|order| wanted.contains(&order));
        match self.op {
            BinaryOp::Eq => equal(value, literal),
            BinaryOp::Ne => !equal(value, literal),
            BinaryOp::Lt => is(&[Ordering::Less]),
            BinaryOp::Le => is(&[Ordering::Less, Ordering::Equal]),
            BinaryOp::Gt => is(&[Ordering::Greater]),
            BinaryOp::Ge => is(&[Ordering::Greater, Ordering::Equal]),
            BinaryOp::In => contains(literal, value),
            BinaryOp::NotIn => !contains(literal, value),
            BinaryOp::Having => contains_all(value, literal),
            BinaryOp::NotHaving => !contains_all(value, literal),
            BinaryOp::Match | BinaryOp::Unspecified => false,
        }
    }
}

fn equal(value: ValueRef<'_>, literal: ValueRef<'_>) -> bool {
    !value.is_missing() && value == literal
}

/// The order of two scalars of one type.
fn order(value: ValueRef<'_>, literal: ValueRef<'_>) -> Option<Ordering> {
    match (value, literal) {
        (ValueRef::Str(a), ValueRef::Str(b)) => Some(a.cmp(b)),
        (ValueRef::Int(a), ValueRef::Int(b)) => Some(a.cmp(&b)),
        _ => None,
    }
}

/// True when a scalar is an element of an array of its type.
fn contains(array: ValueRef<'_>, scalar: ValueRef<'_>) -> bool {
    match (array, scalar) {
        (ValueRef::StrArray(array), ValueRef::Str(text)) => decode_str_array(array).any(|item| item == text),
        (ValueRef::IntArray(array), ValueRef::Int(number)) => {
            decode_int_array(array).any(|item| item == number)
        }
        _ => false,
    }
}

/// True when an array tag has the literal, or all of its elements.
fn contains_all(value: ValueRef<'_>, literal: ValueRef<'_>) -> bool {
    match (value, literal) {
        (ValueRef::StrArray(_), ValueRef::StrArray(wanted)) => {
            decode_str_array(wanted).all(|item| contains(value, ValueRef::Str(item)))
        }
        (ValueRef::IntArray(_), ValueRef::IntArray(wanted)) => {
            decode_int_array(wanted).all(|item| contains(value, ValueRef::Int(item)))
        }
        _ => contains(value, literal),
    }
}

#[cfg(test)]
mod tests;
