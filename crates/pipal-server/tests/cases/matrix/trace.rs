//! Traces of one span: look-ups by id test rows as streams do, ordered queries have rules of their own (trace
//! specification, 5 to 7).

use super::{Index, Question, Stored, Tag, Verdict, is_range, stream};
use crate::values::{Type, Value};
use pipal_api::model::v1::condition::BinaryOp;

/// All ids are listed beside the condition.
pub fn verdict_of_lookup(tag: &Tag, question: &Question, stored: &Stored) -> Verdict {
    if stream::is_refused(tag, question) {
        return Verdict::Error;
    }
    match question.op {
        BinaryOp::Match => no_match(question),
        _ => stream::row(question, stored),
    }
}

/// In the order of time.
pub fn verdict_in_order(tag: &Tag, question: &Question, stored: &Stored) -> Verdict {
    if stream::is_refused(tag, question) {
        return Verdict::Error;
    }
    match (tag.index, question.op) {
        (Index::Key, _) => series(question, stored),
        (_, BinaryOp::Match) => no_match(question),
        (_, BinaryOp::Eq) if tag.ty == Type::Int => Verdict::No,
        _ => stream::row(question, stored),
    }
}

/// In the order of the tag itself, whose rule has its name: only ranges of integers count, and EQ finds nothing.
pub fn verdict_on_order_tag(question: &Question, stored: &Stored) -> Verdict {
    let is_missing = !matches!(stored, Some(Value::Int(_)));
    match question.op {
        BinaryOp::Unspecified => Verdict::Error,
        _ if matches!(question.literal, Value::Unset | Value::Bin(_) | Value::Time(_)) => Verdict::Error,
        BinaryOp::Eq => Verdict::No,
        op if is_range(op) => match question.literal {
            // Whether the key of a missing value, 0, is in a range is not said.
            Value::Int(_) if is_missing => Verdict::Open,
            Value::Int(_) => stream::row(question, stored),
            Value::Str(_) => Verdict::Yes,
            _ => Verdict::Open,
        },
        BinaryOp::In | BinaryOp::Ne if !matches!(question.literal, Value::Null) => Verdict::Yes,
        _ => Verdict::Open,
    }
}

/// No tag has an analyzer. What a literal that is no text does is not said.
fn no_match(question: &Question) -> Verdict {
    if matches!(question.literal, Value::Str(_)) { Verdict::No } else { Verdict::Open }
}

/// Series tags select by equality; negations, ranges and MATCH have no effect.
fn series(question: &Question, stored: &Stored) -> Verdict {
    let candidates: Vec<Value> = match (question.op, &question.literal) {
        (BinaryOp::Eq | BinaryOp::In, scalar @ (Value::Str(_) | Value::Int(_))) => vec![scalar.clone()],
        (BinaryOp::In, Value::Strs(list)) => list.iter().cloned().map(Value::Str).collect(),
        (BinaryOp::In, Value::Ints(list)) => list.iter().copied().map(Value::Int).collect(),
        (BinaryOp::In, _) => return Verdict::Open,
        (BinaryOp::Eq | BinaryOp::Having, _) => return Verdict::No,
        (BinaryOp::Match, literal) if !matches!(literal, Value::Str(_)) => return Verdict::Open,
        _ => return Verdict::Yes,
    };
    stored.as_ref().is_some_and(|value| candidates.contains(value)).into()
}
