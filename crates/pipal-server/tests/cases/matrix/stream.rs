//! Streams: keys select series, everything else is tested with typed values of rows (stream specification, 6 to 8).

use super::tokens::tokens;
use super::{Index, Question, Stored, Tag, Verdict, compare, is_in_range, is_range};
use crate::values::{Type, Value};
use pipal_api::model::v1::condition::{BinaryOp, match_option::Operator};

pub fn verdict(tag: &Tag, question: &Question, stored: &Stored) -> Verdict {
    if is_refused(tag, question) {
        return Verdict::Error;
    }
    match (tag.index, question.op) {
        (Index::Key, _) => key(question, stored),
        (index, BinaryOp::Match) => matching(index, question, stored),
        _ => row(question, stored),
    }
}

/// Errors of any tag: section 5, and IN on arrays.
pub fn is_refused(tag: &Tag, question: &Question) -> bool {
    let is_array = matches!(tag.ty, Type::Strs | Type::Ints);
    let bad_literal = matches!(question.literal, Value::Unset | Value::Bin(_) | Value::Time(_));
    let is_in = matches!(question.op, BinaryOp::In | BinaryOp::NotIn);
    bad_literal || question.op == BinaryOp::Unspecified || (is_array && is_in)
}

fn key(question: &Question, stored: &Stored) -> Verdict {
    let candidates: Vec<Value> = match (question.op, &question.literal) {
        (BinaryOp::Eq | BinaryOp::In, scalar @ (Value::Str(_) | Value::Int(_))) => vec![scalar.clone()],
        (BinaryOp::In, Value::Strs(list)) => list.iter().cloned().map(Value::Str).collect(),
        (BinaryOp::In, Value::Ints(list)) => list.iter().copied().map(Value::Int).collect(),
        _ => return Verdict::Error,
    };
    if candidates.is_empty() {
        return Verdict::Error;
    }
    stored.as_ref().is_some_and(|value| candidates.contains(value)).into()
}

/// The table of section 7.
pub fn row(question: &Question, stored: &Stored) -> Verdict {
    let literal = &question.literal;
    let value = stored.as_ref().unwrap_or(&Value::Null);
    let is_null = *value == Value::Null || *literal == Value::Null;
    match question.op {
        BinaryOp::Eq => (!is_null && value == literal).into(),
        BinaryOp::Ne => (is_null || value != literal).into(),
        op if is_range(op) => compare(value, literal).is_some_and(|order| is_in_range(op, order)).into(),
        BinaryOp::In => is_one_of(value, literal).into(),
        BinaryOp::NotIn => (!is_one_of(value, literal)).into(),
        // Whether one element that is listed twice is several is not said.
        BinaryOp::Having | BinaryOp::NotHaving if is_repetition(literal) => Verdict::Open,
        BinaryOp::Having => holds(value, literal).into(),
        BinaryOp::NotHaving => (!holds(value, literal)).into(),
        op => panic!("{op:?} is not of the table"),
    }
}

fn is_repetition(literal: &Value) -> bool {
    matches!(literal, Value::Strs(list) if list.len() > 1 && list.iter().all(|text| *text == list[0]))
}

fn is_one_of(value: &Value, literal: &Value) -> bool {
    match (value, literal) {
        (Value::Str(text), Value::Strs(list)) => list.contains(text),
        (Value::Int(number), Value::Ints(list)) => list.contains(number),
        _ => false,
    }
}

fn holds(value: &Value, literal: &Value) -> bool {
    match (value, literal) {
        (Value::Strs(array), Value::Strs(list)) => list.iter().all(|text| array.contains(text)),
        (Value::Ints(array), Value::Ints(list)) => list.iter().all(|number| array.contains(number)),
        (Value::Strs(array), Value::Str(text)) => array.contains(text),
        (Value::Ints(array), Value::Int(number)) => array.contains(number),
        (Value::Str(text), Value::Strs(list)) => list.len() == 1 && list[0] == *text,
        (Value::Int(number), Value::Ints(list)) => list.len() == 1 && list[0] == *number,
        _ => false,
    }
}

/// Section 7.1: the row must hold every token by the analyzer of the rule that is named like the tag, and the index
/// the tokens by the analyzer of the condition.
fn matching(index: Index, question: &Question, stored: &Stored) -> Verdict {
    if index == Index::Skipping {
        return Verdict::Error;
    }
    let Value::Str(text) = &question.literal else { return Verdict::Error };
    let Index::Inverted(analyzer, true) = index else { return Verdict::No };
    if analyzer.is_empty() || text.is_empty() {
        return Verdict::No;
    }
    let found: Vec<String> = match stored {
        Some(Value::Str(text)) => tokens(analyzer, text),
        Some(Value::Strs(list)) => list.iter().flat_map(|text| tokens(analyzer, text)).collect(),
        _ => return Verdict::No,
    };
    let words = tokens(analyzer, text);
    let is_found = |word: &String| found.contains(word);
    let in_row = !words.is_empty() && words.iter().all(is_found);
    if question.analyzer.is_empty() {
        return in_row.into();
    }
    let words = tokens(question.analyzer, text);
    let in_index = match question.operator {
        Operator::And => !words.is_empty() && words.iter().all(is_found),
        _ => words.iter().any(is_found),
    };
    (in_row && in_index).into()
}
