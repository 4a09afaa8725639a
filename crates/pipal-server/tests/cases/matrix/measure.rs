//! Measures and index mode: conditions compare terms (measure specification, 3.4 to 3.6).

use super::tokens::tokens;
use super::{Index, Question, Stored, Tag, Verdict, is_in_range, is_range};
use crate::values::Value;
use pipal_api::model::v1::condition::{BinaryOp, match_option::Operator};

/// A condition on a measure.
pub fn verdict(tag: &Tag, question: &Question, stored: &Stored) -> Verdict {
    match tag.index {
        Index::None => Verdict::Error,
        Index::Key => key(question, stored),
        Index::Inverted(analyzer, _) => leaf(analyzer, question, stored),
        Index::Skipping | Index::Tree => leaf("", question, stored),
    }
}

/// A condition in index mode: keys are searched by terms, too, but for MATCH.
pub fn verdict_in_index_mode(tag: &Tag, question: &Question, stored: &Stored) -> Verdict {
    match tag.index {
        Index::Key if question.op == BinaryOp::Match => Verdict::Error,
        Index::Key => leaf("", question, stored),
        _ => verdict(tag, question, stored),
    }
}

/// Values of the key are compared by type; what is no EQ or IN of scalars would need a rule.
fn key(question: &Question, stored: &Stored) -> Verdict {
    let is_scalar = |value: &Value| matches!(value, Value::Str(_) | Value::Int(_) | Value::Time(_));
    let candidates: Vec<Value> = match (question.op, &question.literal) {
        (BinaryOp::Eq | BinaryOp::In, scalar) if is_scalar(scalar) => vec![scalar.clone()],
        (BinaryOp::In, Value::Strs(list)) => list.iter().cloned().map(Value::Str).collect(),
        (BinaryOp::In, Value::Ints(list)) => list.iter().copied().map(Value::Int).collect(),
        _ => return Verdict::Error,
    };
    if candidates.is_empty() {
        return Verdict::Error;
    }
    stored.as_ref().is_some_and(|value| candidates.contains(value)).into()
}

type Term = Vec<u8>;

fn int_term(number: i64) -> Term {
    ((number as u64) ^ (1 << 63)).to_be_bytes().to_vec()
}

/// The terms of a stored value.
fn terms_of(stored: &Stored, analyzer: &str) -> Vec<Term> {
    let cut = |text: &String| tokens(analyzer, text).into_iter().map(String::into_bytes);
    match stored {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Str(text)) => cut(text).collect(),
        Some(Value::Strs(list)) => list.iter().flat_map(cut).collect(),
        Some(Value::Int(number) | Value::Time(number)) => vec![int_term(*number)],
        Some(Value::Ints(list)) => list.iter().copied().map(int_term).collect(),
        Some(Value::Bin(bytes)) => vec![bytes.clone()],
        Some(other) => panic!("{other:?} is not stored"),
    }
}

/// The terms of a literal, whole; none for null, bytes and what is not set.
fn terms_of_literal(literal: &Value) -> Option<Vec<Term>> {
    match literal {
        Value::Str(text) => Some(vec![text.clone().into_bytes()]),
        Value::Int(number) | Value::Time(number) => Some(vec![int_term(*number)]),
        Value::Strs(list) => Some(list.iter().map(|text| text.clone().into_bytes()).collect()),
        Value::Ints(list) => Some(list.iter().copied().map(int_term).collect()),
        _ => None,
    }
}

fn leaf(analyzer: &str, question: &Question, stored: &Stored) -> Verdict {
    let is_list = matches!(question.literal, Value::Strs(_) | Value::Ints(_));
    let found = terms_of(stored, analyzer);
    let (op, literal) = (question.op, &question.literal);
    if matches!(literal, Value::Unset | Value::Bin(_)) || op == BinaryOp::Unspecified {
        return Verdict::Error;
    }
    let Some(wanted) = terms_of_literal(literal) else {
        // Null.
        return match op {
            BinaryOp::NotIn | BinaryOp::NotHaving => Verdict::Yes,
            BinaryOp::Having => Verdict::No,
            _ => Verdict::Error,
        };
    };
    let any = found.iter().any(|term| wanted.contains(term));
    let all = !wanted.is_empty() && wanted.iter().all(|term| found.contains(term));
    match op {
        BinaryOp::Eq | BinaryOp::Ne if wanted.len() != 1 => Verdict::Error,
        BinaryOp::Eq => any.into(),
        BinaryOp::Ne => (!any).into(),
        op if is_range(op) => match &*wanted {
            [bound] => found.iter().any(|term| is_in_range(op, term.cmp(bound))).into(),
            _ => Verdict::Error,
        },
        BinaryOp::In if !is_list => Verdict::Error,
        BinaryOp::In => any.into(),
        BinaryOp::NotIn => (!any).into(),
        BinaryOp::Having => all.into(),
        BinaryOp::NotHaving => (!all).into(),
        _ => matching(analyzer, question, &found),
    }
}

fn matching(analyzer: &str, question: &Question, found: &[Term]) -> Verdict {
    let Value::Str(text) = &question.literal else { return Verdict::Error };
    if text.is_empty() {
        return Verdict::Open;
    }
    let analyzer = if question.analyzer.is_empty() { analyzer } else { question.analyzer };
    let wanted: Vec<Term> = tokens(analyzer, text).into_iter().map(String::into_bytes).collect();
    let is_found = |term: &Term| found.contains(term);
    match question.operator {
        Operator::And => (!wanted.is_empty() && wanted.iter().all(is_found)).into(),
        _ => wanted.iter().any(is_found).into(),
    }
}
