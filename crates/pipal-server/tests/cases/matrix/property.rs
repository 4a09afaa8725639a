//! Documents: each value has one term (property specification, 6).

use super::tokens::tokens;
use super::{Question, Stored, Tag, Verdict, compare, is_in_range, is_range};
use crate::values::{Type, Value};
use pipal_api::model::v1::condition::{BinaryOp, match_option::Operator};

type Term = Vec<u8>;

fn int_term(number: i64) -> Term {
    ((number as u64) ^ (1 << 63)).to_be_bytes().to_vec()
}

/// The term of a value; none when the document does not have the tag.
fn term_of(stored: &Stored) -> Option<Term> {
    Some(match stored.as_ref()? {
        Value::Null => Term::new(),
        Value::Str(text) => text.clone().into_bytes(),
        Value::Bin(bytes) => bytes.clone(),
        Value::Int(number) | Value::Time(number) => int_term(*number),
        Value::Strs(list) => list.join("\n").into_bytes(),
        Value::Ints(list) => list.iter().copied().flat_map(int_term).collect(),
        other => panic!("{other:?} is not stored"),
    })
}

pub fn verdict(tag: &Tag, question: &Question, stored: &Stored) -> Verdict {
    let (op, literal) = (question.op, &question.literal);
    if matches!(literal, Value::Unset | Value::Bin(_)) || op == BinaryOp::Unspecified {
        return Verdict::Error;
    }
    match op {
        BinaryOp::Match => matching(question, stored),
        op if is_range(op) => range(tag, question, stored),
        _ => equality(tag, question, stored),
    }
}

/// The elements of a literal; a scalar is its only one. None for null.
fn elements(literal: &Value) -> Option<Vec<Term>> {
    match literal {
        Value::Str(text) => Some(vec![text.clone().into_bytes()]),
        Value::Int(number) | Value::Time(number) => Some(vec![int_term(*number)]),
        Value::Strs(list) => Some(list.iter().map(|text| text.clone().into_bytes()).collect()),
        Value::Ints(list) => Some(list.iter().copied().map(int_term).collect()),
        _ => None,
    }
}

fn equality(tag: &Tag, question: &Question, stored: &Stored) -> Verdict {
    let is_list = matches!(question.literal, Value::Strs(_) | Value::Ints(_));
    let elements = elements(&question.literal);
    let is_single = elements.as_ref().is_some_and(|elements| elements.len() == 1);
    match question.op {
        BinaryOp::Eq | BinaryOp::Ne if !is_single => return Verdict::Error,
        BinaryOp::In | BinaryOp::NotIn if !is_list => return Verdict::Error,
        _ => {}
    }
    // What HAVING makes of null and of no elements is not said.
    let Some(elements) = elements else { return Verdict::Open };
    let is_having = matches!(question.op, BinaryOp::Having | BinaryOp::NotHaving);
    if is_having && elements.is_empty() {
        return Verdict::Open;
    }
    // Whether the empty list of integers is the empty text is not said either.
    if tag.ty == Type::Ints && elements.contains(&Term::new()) {
        return Verdict::Open;
    }
    let term = term_of(stored);
    let is_it = |element: &Term| term.as_ref() == Some(element);
    let found = match is_having {
        true => elements.iter().all(is_it),
        false => elements.iter().any(is_it),
    };
    match question.op {
        BinaryOp::Ne | BinaryOp::NotIn | BinaryOp::NotHaving => Verdict::from(found).negated(),
        _ => found.into(),
    }
}

/// Ranges are clear between scalars of one type, and between text and integers, which never match.
fn range(tag: &Tag, question: &Question, stored: &Stored) -> Verdict {
    let literal = match &question.literal {
        Value::Null => return Verdict::Error,
        Value::Strs(list) if list.len() != 1 => return Verdict::Error,
        Value::Ints(list) if list.len() != 1 => return Verdict::Error,
        Value::Strs(list) => Value::Str(list[0].clone()),
        Value::Ints(list) => Value::Int(list[0]),
        scalar => scalar.clone(),
    };
    let is_clear = matches!(
        (tag.ty, &literal),
        (Type::Str | Type::Int, Value::Str(_) | Value::Int(_)) | (Type::Time, Value::Time(_) | Value::Str(_))
    );
    if !is_clear {
        return Verdict::Open;
    }
    let order = stored.as_ref().and_then(|value| compare(value, &literal));
    order.is_some_and(|order| is_in_range(question.op, order)).into()
}

fn matching(question: &Question, stored: &Stored) -> Verdict {
    let Value::Str(text) = &question.literal else { return Verdict::Error };
    if text.is_empty() {
        return Verdict::Open;
    }
    let term = term_of(stored);
    let words = tokens(question.analyzer, text);
    let is_it = |word: &String| term.as_deref() == Some(word.as_bytes());
    match question.operator {
        Operator::And => (!words.is_empty() && words.iter().all(is_it)).into(),
        _ => words.iter().any(is_it).into(),
    }
}
