//! Criteria: `a = 'x' AND (b IN [1, 2] OR c NOT HAVING ['y'])`.
//!
//! AND binds more tightly than OR, and both join from left to right. Operators: `=`, `!=`, `<`, `<=`, `>`, `>=`, `IN`,
//! `NOT IN`, `HAVING`, `NOT HAVING`, `MATCH` (then perhaps `by url` and `all` or `any`), and `NONE`, which is no
//! operator. Literals: `'text'`, `5`, `['a', 'b']`, `[1, 2]`, `[]`, `null`, `0xff`, `@+1m`, `unset`. Malformed trees
//! are written with `missing` (a side that is not there), `void` (criteria without content) and `NOR` (a node without
//! an operator).

use super::tokens::{Token, Tokens};
use crate::values::{Value, bytes, int, time};
use pipal_api::model::v1::condition::{BinaryOp, MatchOption, match_option::Operator};
use pipal_api::model::v1::{
    Condition, Criteria, LogicalExpression, criteria::Exp, logical_expression::LogicalOp,
};

/// Reads criteria; none for `missing`.
pub fn criteria(tokens: &mut Tokens) -> Option<Criteria> {
    let mut left = conjunction(tokens);
    loop {
        let op = match (tokens.take_word("OR"), tokens.take_word("NOR")) {
            (true, _) => LogicalOp::Or,
            (_, true) => LogicalOp::Unspecified,
            _ => return left,
        };
        left = Some(node(op, left, conjunction(tokens)));
    }
}

fn conjunction(tokens: &mut Tokens) -> Option<Criteria> {
    let mut left = leaf(tokens);
    while tokens.take_word("AND") {
        left = Some(node(LogicalOp::And, left, leaf(tokens)));
    }
    left
}

pub fn node(op: LogicalOp, left: Option<Criteria>, right: Option<Criteria>) -> Criteria {
    let (left, right) = (left.map(Box::new), right.map(Box::new));
    Criteria { exp: Some(Exp::Le(Box::new(LogicalExpression { op: op as i32, left, right }))) }
}

fn leaf(tokens: &mut Tokens) -> Option<Criteria> {
    if tokens.take_sign("(") {
        let inner = criteria(tokens);
        tokens.expect_sign(")");
        return inner;
    }
    if tokens.take_word("missing") {
        return None;
    }
    if tokens.take_word("void") {
        return Some(Criteria { exp: None });
    }
    let name = tokens.word();
    let op = operator(tokens);
    let value = Some(literal(tokens).tag());
    let match_option = (op == BinaryOp::Match).then(|| match_option(tokens)).flatten();
    let condition = Condition { name, op: op as i32, value, match_option };
    Some(Criteria { exp: Some(Exp::Condition(condition)) })
}

fn operator(tokens: &mut Tokens) -> BinaryOp {
    let negated = tokens.take_word("NOT");
    let op = match tokens.next() {
        Some(Token::Sign("=")) => BinaryOp::Eq,
        Some(Token::Sign("!=")) => BinaryOp::Ne,
        Some(Token::Sign("<")) => BinaryOp::Lt,
        Some(Token::Sign("<=")) => BinaryOp::Le,
        Some(Token::Sign(">")) => BinaryOp::Gt,
        Some(Token::Sign(">=")) => BinaryOp::Ge,
        Some(Token::Word(word)) => match (&*word, negated) {
            ("IN", false) => return BinaryOp::In,
            ("IN", true) => return BinaryOp::NotIn,
            ("HAVING", false) => return BinaryOp::Having,
            ("HAVING", true) => return BinaryOp::NotHaving,
            ("MATCH", false) => BinaryOp::Match,
            ("NONE", false) => BinaryOp::Unspecified,
            _ => panic!("no operator: {word}"),
        },
        other => panic!("{other:?} where an operator should be"),
    };
    assert!(!negated, "NOT stands before IN and HAVING");
    op
}

fn match_option(tokens: &mut Tokens) -> Option<MatchOption> {
    let analyzer = tokens.take_word("by").then(|| tokens.word());
    let operator = match (tokens.take_word("all"), tokens.take_word("any")) {
        (true, _) => Some(Operator::And),
        (_, true) => Some(Operator::Or),
        _ => None,
    };
    (analyzer.is_some() || operator.is_some()).then(|| MatchOption {
        analyzer: analyzer.unwrap_or_default(),
        operator: operator.unwrap_or_default() as i32,
    })
}

fn literal(tokens: &mut Tokens) -> Value {
    match tokens.next() {
        Some(Token::Text(text)) => Value::Str(text),
        Some(Token::Sign("[")) => list(tokens),
        Some(Token::Word(word)) => match &*word {
            "null" => Value::Null,
            "unset" => Value::Unset,
            _ if word.starts_with("0x") => Value::Bin(bytes(&word)),
            _ => word.strip_prefix('@').map_or_else(|| Value::Int(int(&word)), |at| Value::Time(time(at))),
        },
        other => panic!("{other:?} where a literal should be"),
    }
}

fn list(tokens: &mut Tokens) -> Value {
    let (mut texts, mut ints) = (Vec::new(), Vec::new());
    while !tokens.take_sign("]") {
        match tokens.next() {
            Some(Token::Text(text)) => texts.push(text),
            Some(Token::Word(word)) => ints.push(int(&word)),
            Some(Token::Sign(",")) => {}
            other => panic!("{other:?} in a list"),
        }
    }
    assert!(texts.is_empty() || ints.is_empty(), "a list of texts and integers");
    if ints.is_empty() { Value::Strs(texts) } else { Value::Ints(ints) }
}
