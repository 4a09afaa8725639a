//! One condition: which terms it accepts, and its errors (property specification, 6.2 and 6.3).

use crate::error::{QueryError, QueryResult};
use crate::property::term::{TermKind, nanos, term_of};
use crate::term::{TermSet, int_term};
use pipal_api::model::v1::{
    Condition, Tag, condition::BinaryOp, condition::MatchOption, condition::match_option, tag_value::Value,
};
use pipal_model::Analyzer;
use std::ops::Bound;

type Term = Box<[u8]>;

/// A checked condition.
#[derive(Debug)]
pub(in crate::property) struct Leaf {
    tag: String,
    test: Test,
    /// True when the answer is turned around, also for documents without the tag.
    negated: bool,
}

/// A question about the term of a value.
#[derive(Debug)]
enum Test {
    /// It is one of these.
    Any(TermKind, TermSet),
    /// It is inside the bounds.
    Range(TermKind, Bound<Term>, Bound<Term>),
}

impl Leaf {
    /// Checks a condition.
    pub fn compile(condition: &Condition) -> QueryResult<Self> {
        let op = BinaryOp::try_from(condition.op).unwrap_or_default();
        let literal = Literal::of(condition)?;
        let negated = matches!(op, BinaryOp::Ne | BinaryOp::NotIn | BinaryOp::NotHaving);
        Ok(Leaf { tag: condition.name.clone(), test: test_of(op, literal, condition)?, negated })
    }

    /// True when a document with these tags satisfies the condition. A key that occurs twice satisfies it with
    /// either value.
    pub fn matches(&self, tags: &[Tag], term: &mut Vec<u8>) -> bool {
        let mut values = tags.iter().filter(|tag| tag.key == self.tag).map(|tag| tag.value.as_ref());
        values.any(|value| self.test.accepts(term_of(value, term), term)) != self.negated
    }
}

impl Test {
    /// `kind` is none for null, which has the empty term but is inside no bounds.
    fn accepts(&self, kind: Option<TermKind>, term: &[u8]) -> bool {
        match self {
            Test::Any(wanted, set) => {
                kind.unwrap_or(TermKind::Text) == *wanted && set.position(term).is_some()
            }
            Test::Range(wanted, lower, upper) => {
                let above = match lower {
                    Bound::Unbounded => true,
                    Bound::Included(bound) => term >= &**bound,
                    Bound::Excluded(bound) => term > &**bound,
                };
                let below = match upper {
                    Bound::Unbounded => true,
                    Bound::Included(bound) => term <= &**bound,
                    Bound::Excluded(bound) => term < &**bound,
                };
                kind == Some(*wanted) && above && below
            }
        }
    }
}

/// The terms of the value of a condition.
enum Literal<'a> {
    Null,
    Text(&'a str),
    Number(i64),
    List(TermKind, Vec<Term>),
}

impl<'a> Literal<'a> {
    fn of(condition: &'a Condition) -> QueryResult<Self> {
        let value = condition.value.as_ref().and_then(|value| value.value.as_ref());
        let missing = || QueryError::invalid(format!("the condition on tag {} has no value", condition.name));
        Ok(match value.ok_or_else(missing)? {
            Value::Null(_) => Literal::Null,
            Value::Str(text) => Literal::Text(&text.value),
            Value::Int(number) => Literal::Number(number.value),
            Value::Timestamp(time) => Literal::Number(nanos(time)),
            Value::StrArray(list) => {
                Literal::List(TermKind::Text, list.value.iter().map(|text| text.as_bytes().into()).collect())
            }
            Value::IntArray(list) => {
                let terms = list.value.iter().map(|number| int_term(*number).into());
                Literal::List(TermKind::Number, terms.collect())
            }
            Value::BinaryData(_) => {
                let detail = format!("unsupported condition value type: tag {}", condition.name);
                return Err(QueryError::invalid(detail));
            }
        })
    }

    /// The one term of a comparison.
    fn single(self, condition: &Condition) -> QueryResult<(TermKind, Term)> {
        let refused = || {
            let detail = format!(
                "don't support multiple or null value: tag {}: unsupported condition operation",
                condition.name
            );
            QueryError::invalid(detail)
        };
        match self {
            Literal::Text(text) => Ok((TermKind::Text, text.as_bytes().into())),
            Literal::Number(number) => Ok((TermKind::Number, int_term(number).into())),
            Literal::List(kind, terms) => match <[Term; 1]>::try_from(terms) {
                Ok([only]) => Ok((kind, only)),
                Err(_) => Err(refused()),
            },
            Literal::Null => Err(refused()),
        }
    }
}

fn test_of(op: BinaryOp, literal: Literal<'_>, condition: &Condition) -> QueryResult<Test> {
    let bounds = |literal: Literal<'_>, to_bound: fn(Term) -> (Bound<Term>, Bound<Term>)| {
        let (kind, term) = literal.single(condition)?;
        let (lower, upper) = to_bound(term);
        Ok(Test::Range(kind, lower, upper))
    };
    match op {
        BinaryOp::Eq | BinaryOp::Ne => {
            let (kind, term) = literal.single(condition)?;
            Ok(Test::Any(kind, TermSet::new(vec![term])))
        }
        BinaryOp::Lt => bounds(literal, |term| (Bound::Unbounded, Bound::Excluded(term))),
        BinaryOp::Le => bounds(literal, |term| (Bound::Unbounded, Bound::Included(term))),
        BinaryOp::Gt => bounds(literal, |term| (Bound::Excluded(term), Bound::Unbounded)),
        BinaryOp::Ge => bounds(literal, |term| (Bound::Included(term), Bound::Unbounded)),
        BinaryOp::In | BinaryOp::NotIn => match literal {
            Literal::List(kind, terms) => Ok(Test::Any(kind, TermSet::new(terms))),
            _ => {
                let name = if op == BinaryOp::In { "IN" } else { "NOT_IN" };
                Err(QueryError::invalid(format!("{name} condition requires array value type")))
            }
        },
        BinaryOp::Having | BinaryOp::NotHaving => Ok(match literal {
            Literal::Null => every(TermKind::Text, Vec::new()),
            Literal::List(kind, terms) => every(kind, terms),
            literal => {
                let (kind, term) = literal.single(condition)?;
                every(kind, vec![term])
            }
        }),
        BinaryOp::Match => match literal {
            Literal::Text(text) => Ok(matching(text, condition.match_option.as_ref())),
            _ => Err(QueryError::invalid("MATCH condition requires string value type")),
        },
        BinaryOp::Unspecified => {
            Err(QueryError::invalid(format!("tag {}: unsupported condition operation", condition.name)))
        }
    }
}

/// The term equals every one of these: possible only if they are all the same, and there is one.
fn every(kind: TermKind, terms: Vec<Term>) -> Test {
    let set = TermSet::new(terms);
    Test::Any(kind, if set.len() == 1 { set } else { TermSet::default() })
}

/// Stored terms are whole values, so only the text of the condition is cut into tokens.
fn matching(text: &str, option: Option<&MatchOption>) -> Test {
    let analyzer = option.map_or("", |option| &option.analyzer);
    let mut tokens: Vec<Term> = Vec::new();
    Analyzer::by_name(analyzer).tokens(text.as_bytes(), |token| {
        tokens.push(token.into());
        true
    });
    match option.is_some_and(|option| option.operator == match_option::Operator::And as i32) {
        true => every(TermKind::Text, tokens),
        false => Test::Any(TermKind::Text, TermSet::new(tokens)),
    }
}
