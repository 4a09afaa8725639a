use super::*;
use crate::api::model::{Int, IntArray, Str, StrArray, TagValue};

fn text(value: &str) -> Literal {
    Literal::Str(Str { value: value.into() })
}

fn texts(values: &[&str]) -> Literal {
    Literal::StrArray(StrArray { value: values.iter().map(|value| value.to_string()).collect() })
}

fn condition(name: &str, op: BinaryOp, literal: Literal) -> Message {
    let value = Some(TagValue { value: Some(literal) });
    let condition = Condition { name: name.into(), op: op as i32, value, ..Condition::default() };
    Message { exp: Some(Exp::Condition(condition)) }
}

fn joined(op: LogicalOp, left: Message, right: Message) -> Message {
    let (left, right) = (Some(Box::new(left)), Some(Box::new(right)));
    Message { exp: Some(Exp::Le(Box::new(LogicalExpression { op: op as i32, left, right }))) }
}

/// Tags `a` and `b`; the values of a row in that order, none when it did not send the tag.
fn accepts(message: &Message, row: [Option<ValueRef<'_>>; 2]) -> bool {
    let mut number = |name: &str| ["a", "b"].iter().position(|tag| *tag == name);
    match Criteria::compile(message, &mut number) {
        Ok(Some(criteria)) => criteria.accepts(&mut |tag| row[tag]).unwrap_or(false),
        Ok(None) => true,
        Err(ExcludesAll) => false,
    }
}

#[test]
fn conditions_do_what_the_table_says() {
    use BinaryOp::{Eq, Having, In, Lt, Match, Ne, NotIn};
    let (k1, k2) = (Some(ValueRef::Str(b"k1")), Some(ValueRef::Str(b"k2")));
    let (null, seven) = (Some(ValueRef::Null), Some(ValueRef::Int(7)));
    // Per operation and literal: what becomes of k1, k2, null, a tag that was not sent, and another type.
    let cases = [
        (Eq, text("k1"), [true, false, false, false, false]),
        (Ne, text("k1"), [false, true, true, false, true]),
        (In, texts(&["k1", "k3"]), [true, false, false, false, false]),
        (NotIn, texts(&["k1"]), [false, true, true, false, true]),
        (In, text("k1"), [false, false, false, false, false]),
        (Lt, text("k2"), [true, false, false, false, false]),
        (Having, text("k1"), [false, false, false, false, false]),
        (Match, text("k1"), [false, false, false, false, false]),
        (Eq, Literal::Null(0), [false, false, false, false, false]),
        (Ne, Literal::Null(0), [true, true, true, false, true]),
    ];
    for (op, literal, want) in cases {
        let message = condition("a", op, literal.clone());
        let got = [k1, k2, null, None, seven].map(|value| accepts(&message, [value, null]));
        assert_eq!(got, want, "{op:?} {literal:?}");
    }
}

#[test]
fn ranges_and_sets_of_integers() {
    let number = |value| Literal::Int(Int { value });
    let range = joined(
        LogicalOp::And,
        condition("b", BinaryOp::Ge, number(2)),
        condition("b", BinaryOp::Lt, number(4)),
    );
    let set = condition("b", BinaryOp::In, Literal::IntArray(IntArray { value: vec![1, 3] }));
    for (value, in_range, in_set) in [(1, false, true), (2, true, false), (3, true, true), (4, false, false)]
    {
        let row = [Some(ValueRef::Null), Some(ValueRef::Int(value))];
        assert_eq!((accepts(&range, row), accepts(&set, row)), (in_range, in_set), "{value}");
    }
}

#[test]
fn a_row_without_a_tag_is_out_whatever_the_other_side_says() {
    let either = joined(
        LogicalOp::Or,
        condition("a", BinaryOp::Eq, text("x")),
        condition("b", BinaryOp::Eq, text("y")),
    );
    assert!(accepts(&either, [Some(ValueRef::Str(b"x")), Some(ValueRef::Null)]));
    assert!(!accepts(&either, [Some(ValueRef::Str(b"x")), None]));
}

#[test]
fn an_unknown_tag_and_a_bottomless_tree_exclude_every_row() {
    let row = [Some(ValueRef::Null), Some(ValueRef::Null)];
    assert!(!accepts(&condition("ghost", BinaryOp::Ne, text("x")), row));
    let mut deep = condition("a", BinaryOp::Ne, text("x"));
    assert!(accepts(&deep, row));
    for _ in 0..=DEPTH_MAX {
        deep = Message {
            exp: Some(Exp::Le(Box::new(LogicalExpression {
                op: LogicalOp::And as i32,
                left: Some(Box::new(deep)),
                right: None,
            }))),
        };
    }
    assert!(!accepts(&deep, row));
    assert!(accepts(&Message { exp: None }, row));
}

#[test]
fn array_tags_have_their_elements() {
    let mut array = Vec::new();
    encode_str_array([&b"x"[..], b"y"], &mut array);
    let row = [Some(ValueRef::StrArray(&array)), Some(ValueRef::Null)];
    assert!(accepts(&condition("a", BinaryOp::Having, texts(&["y"])), row));
    assert!(accepts(&condition("a", BinaryOp::Having, text("x")), row));
    assert!(!accepts(&condition("a", BinaryOp::Having, texts(&["y", "z"])), row));
    assert!(accepts(&condition("a", BinaryOp::NotHaving, texts(&["z"])), row));
    assert!(accepts(&condition("a", BinaryOp::Eq, texts(&["x", "y"])), row));
}
