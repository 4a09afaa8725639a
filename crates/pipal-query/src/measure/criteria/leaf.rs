//! One condition: which values it accepts, and its errors (measure specification, 3.4 to 3.6).

use super::{Leaf, LeafTest, Target};
use crate::error::{QueryError, QueryResult};
use crate::key_values::{key_values, nanos};
use crate::schema::{RowSchema, Slot};
use crate::term::{TermSet, TermTest, ValueTest, int_term};
use pipal_api::model::v1::{Condition, condition::BinaryOp, condition::match_option, tag_value::Value};
use pipal_model::Analyzer;
use std::ops::Bound;

/// Compiles a condition.
pub(super) fn compile(condition: &Condition, schema: &RowSchema) -> QueryResult<Leaf> {
    let op = BinaryOp::try_from(condition.op).unwrap_or_default();
    let entity = schema.entity_position(&condition.name);
    if let (false, Some(position)) = (schema.index_mode, entity)
        && let Some(values) = key_values(op, condition.value.as_ref())
    {
        return Ok(Leaf { target: Target::Entity(position), test: LeafTest::Key(values) });
    }
    let tag = schema.find_tag(&condition.name).and_then(|place| schema.tag(place));
    let rule = tag.and_then(|tag| tag.rule).and_then(|rule| schema.rules.get(rule));
    let searchable_key = schema.index_mode && entity.is_some() && op != BinaryOp::Match;
    if rule.is_none() && !searchable_key {
        return Err(no_rule(condition));
    }
    let analyzer = rule.map_or(Analyzer::Keyword, |rule| Analyzer::by_name(&rule.analyzer));
    let target = match (entity, tag.map(|tag| tag.slot)) {
        (Some(position), _) => Target::Entity(position),
        (None, Some(Slot::Column(column))) => Target::Column(column),
        _ => Target::Nothing,
    };
    let (test, negated) = term_test(op, condition, analyzer)?;
    Ok(Leaf { target, test: LeafTest::Terms(ValueTest { test, negated, analyzer }) })
}

/// The terms of a literal, by its shape.
enum Literal<'a> {
    Null,
    Text(&'a str),
    Number(i64),
    List(Vec<Box<[u8]>>),
    Bytes,
}

impl<'a> Literal<'a> {
    fn of(condition: &'a Condition) -> QueryResult<Self> {
        let value = condition.value.as_ref().and_then(|value| value.value.as_ref());
        Ok(match value.ok_or_else(|| QueryError::invalid("panic: a condition has no value"))? {
            Value::Null(_) => Literal::Null,
            Value::Str(text) => Literal::Text(&text.value),
            Value::Int(number) => Literal::Number(number.value),
            Value::Timestamp(time) => Literal::Number(nanos(time)),
            Value::StrArray(list) => Literal::List(list.value.iter().map(|t| t.as_bytes().into()).collect()),
            Value::IntArray(list) => Literal::List(list.value.iter().map(|v| int_term(*v).into()).collect()),
            Value::BinaryData(_) => Literal::Bytes,
        })
    }
}

fn term_test(op: BinaryOp, condition: &Condition, analyzer: Analyzer) -> QueryResult<(TermTest, bool)> {
    if op == BinaryOp::Unspecified {
        return Err(no_rule(condition));
    }
    let literal = Literal::of(condition)?;
    match op {
        BinaryOp::Eq => Ok((any(vec![scalar(literal, condition)?]), false)),
        BinaryOp::Ne => Ok((any(vec![scalar(literal, condition)?]), true)),
        BinaryOp::Lt => Ok((range(None, Some(Bound::Excluded(scalar(literal, condition)?))), false)),
        BinaryOp::Le => Ok((range(None, Some(Bound::Included(scalar(literal, condition)?))), false)),
        BinaryOp::Gt => Ok((range(Some(Bound::Excluded(scalar(literal, condition)?)), None), false)),
        BinaryOp::Ge => Ok((range(Some(Bound::Included(scalar(literal, condition)?)), None), false)),
        BinaryOp::In => match literal {
            Literal::List(terms) => Ok((any(terms), false)),
            _ => Err(unsupported(condition)),
        },
        BinaryOp::NotIn => Ok((any(list(literal, condition)?), true)),
        BinaryOp::Having => Ok((all(list(literal, condition)?), false)),
        BinaryOp::NotHaving => Ok((all(list(literal, condition)?), true)),
        BinaryOp::Match => matching(literal, condition, analyzer),
        BinaryOp::Unspecified => Err(no_rule(condition)),
    }
}

fn any(terms: Vec<Box<[u8]>>) -> TermTest {
    TermTest::Any(TermSet::new(terms))
}

fn all(terms: Vec<Box<[u8]>>) -> TermTest {
    TermTest::All(TermSet::new(terms))
}

fn range(lower: Option<Bound<Box<[u8]>>>, upper: Option<Bound<Box<[u8]>>>) -> TermTest {
    TermTest::Range(lower.unwrap_or(Bound::Unbounded), upper.unwrap_or(Bound::Unbounded))
}

/// The one term of a comparison.
fn scalar(literal: Literal<'_>, condition: &Condition) -> QueryResult<Box<[u8]>> {
    match literal {
        Literal::Text(text) => Ok(text.as_bytes().into()),
        Literal::Number(number) => Ok(int_term(number).into()),
        Literal::Bytes => Err(unsupported(condition)),
        Literal::Null => Err(not_single(condition)),
        Literal::List(terms) => match <[Box<[u8]>; 1]>::try_from(terms) {
            Ok([only]) => Ok(only),
            Err(_) => Err(not_single(condition)),
        },
    }
}

/// The terms of a set condition; null is the empty set.
fn list(literal: Literal<'_>, condition: &Condition) -> QueryResult<Vec<Box<[u8]>>> {
    match literal {
        Literal::Null => Ok(Vec::new()),
        Literal::List(terms) => Ok(terms),
        literal => Ok(vec![scalar(literal, condition)?]),
    }
}

/// The literal is analysed by the condition's analyzer if it names one, else by the rule's; stored values always by
/// the rule's.
fn matching(
    literal: Literal<'_>,
    condition: &Condition,
    analyzer: Analyzer,
) -> QueryResult<(TermTest, bool)> {
    let Literal::Text(text) = literal else { return Err(unsupported(condition)) };
    let option = condition.match_option.as_ref();
    let analyzer = match option.map(|option| option.analyzer.as_str()) {
        None | Some("") => analyzer,
        Some(name) => Analyzer::by_name(name),
    };
    let mut tokens = Vec::new();
    analyzer.tokens(text.as_bytes(), |token| {
        tokens.push(token.into());
        true
    });
    let every = option.is_some_and(|option| option.operator == match_option::Operator::And as i32);
    Ok((if every { all(tokens) } else { any(tokens) }, false))
}

fn no_rule(condition: &Condition) -> QueryError {
    let text = describe(condition);
    QueryError::invalid(format!("mandatory index rule conf:{text}: unsupported condition operation"))
}

fn not_single(condition: &Condition) -> QueryError {
    QueryError::invalid(format!("{}: don't support multiple or null value", describe(condition)))
}

fn unsupported(condition: &Condition) -> QueryError {
    QueryError::invalid(format!("{}: unsupported condition value", describe(condition)))
}

/// The condition as people know it from requests.
fn describe(condition: &Condition) -> String {
    let op = BinaryOp::try_from(condition.op).unwrap_or_default().as_str_name();
    let value = match condition.value.as_ref().and_then(|value| value.value.as_ref()) {
        None => String::new(),
        Some(Value::Null(_)) => " value:{null:NULL_VALUE}".into(),
        Some(Value::Str(text)) => format!(" value:{{str:{{value:{:?}}}}}", text.value),
        Some(Value::Int(number)) => format!(" value:{{int:{{value:{}}}}}", number.value),
        Some(Value::Timestamp(time)) => {
            format!(" value:{{timestamp:{{seconds:{} nanos:{}}}}}", time.seconds, time.nanos)
        }
        Some(Value::StrArray(list)) => format!(" value:{{str_array:{{value:{:?}}}}}", list.value),
        Some(Value::IntArray(list)) => format!(" value:{{int_array:{{value:{:?}}}}}", list.value),
        Some(Value::BinaryData(bytes)) => format!(" value:{{binary_data:{} bytes}}", bytes.len()),
    };
    format!("name:{:?} op:{op}{value}", condition.name)
}
