//! Criteria against a naive evaluator that knows values, not terms; and their errors.

use super::*;
use crate::property::term::nanos;
use pipal_api::model::v1::{
    Condition, Int, IntArray, Str, StrArray, TagValue, condition::BinaryOp, condition::MatchOption,
    condition::match_option::Operator, tag_value::Value,
};
use proptest::prelude::*;

fn str(text: &str) -> Value {
    Value::Str(Str { value: text.into() })
}

fn int(value: i64) -> Value {
    Value::Int(Int { value })
}

fn strs(texts: &[&str]) -> Value {
    Value::StrArray(StrArray { value: texts.iter().map(|text| (*text).to_owned()).collect() })
}

fn ints(numbers: &[i64]) -> Value {
    Value::IntArray(IntArray { value: numbers.to_vec() })
}

fn time(nanos: i32) -> Value {
    Value::Timestamp(prost_types::Timestamp { seconds: 0, nanos })
}

fn tag(key: &str, value: Value) -> Tag {
    Tag { key: key.into(), value: Some(TagValue { value: Some(value) }) }
}

fn condition(name: &str, op: BinaryOp, value: Value) -> Condition {
    let value = Some(TagValue { value: Some(value) });
    Condition { name: name.into(), op: op as i32, value, match_option: None }
}

fn leaf(condition: Condition) -> CriteriaProto {
    CriteriaProto { exp: Some(Exp::Condition(condition)) }
}

fn both(op: LogicalOp, left: Option<CriteriaProto>, right: Option<CriteriaProto>) -> CriteriaProto {
    let (left, right) = (left.map(Box::new), right.map(Box::new));
    CriteriaProto { exp: Some(Exp::Le(Box::new(LogicalExpression { op: op as i32, left, right }))) }
}

fn matches(criteria: &CriteriaProto, tags: &[Tag]) -> bool {
    Criteria::compile(criteria).unwrap().matches(tags, &mut Vec::new())
}

fn error(criteria: &CriteriaProto) -> String {
    match Criteria::compile(criteria) {
        Err(QueryError::Invalid(detail)) => detail,
        other => panic!("{other:?}"),
    }
}

/// The text of a value, joined if it is a list; none for other types.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Str(text) => Some(text.value.clone()),
        Value::StrArray(list) => Some(list.value.join("\n")),
        _ => None,
    }
}

fn numbers_of(value: &Value) -> Option<Vec<i64>> {
    match value {
        Value::Int(number) => Some(vec![number.value]),
        Value::IntArray(list) => Some(list.value.clone()),
        Value::Timestamp(time) => Some(vec![nanos(time)]),
        _ => None,
    }
}

fn is_null(value: &Value) -> bool {
    matches!(value, Value::Null(_))
}

/// Whether a value equals a literal that is no list. Null counts as the empty text.
fn equals(value: &Value, literal: &Value) -> bool {
    if is_null(value) {
        return text_of(literal).is_some_and(|text| text.is_empty());
    }
    let texts = text_of(value).is_some() && text_of(value) == text_of(literal);
    texts || (numbers_of(value).is_some() && numbers_of(value) == numbers_of(literal))
}

fn order(value: &Value, literal: &Value) -> Option<std::cmp::Ordering> {
    match (text_of(value), text_of(literal), numbers_of(value), numbers_of(literal)) {
        (Some(a), Some(b), _, _) => Some(a.as_bytes().cmp(b.as_bytes())),
        (_, _, Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => None,
    }
}

fn elements(literal: &Value) -> Vec<Value> {
    match literal {
        Value::StrArray(list) => list.value.iter().map(|text| str(text)).collect(),
        Value::IntArray(list) => list.value.iter().map(|number| int(*number)).collect(),
        Value::Null(_) => Vec::new(),
        scalar => vec![scalar.clone()],
    }
}

fn naive_condition(condition: &Condition, tags: &[Tag]) -> bool {
    let literal = condition.value.as_ref().unwrap().value.as_ref().unwrap();
    let list = elements(literal);
    let op = BinaryOp::try_from(condition.op).unwrap();
    let some = |test: &dyn Fn(&Value) -> bool| {
        tags.iter()
            .filter(|tag| tag.key == condition.name)
            .any(|tag| test(tag.value.as_ref().unwrap().value.as_ref().unwrap()))
    };
    let is = |accepted: &[std::cmp::Ordering]| {
        some(&|value| order(value, &list[0]).is_some_and(|order| accepted.contains(&order)))
    };
    use std::cmp::Ordering::{Equal, Greater, Less};
    let every = |value: &Value| !list.is_empty() && list.iter().all(|element| equals(value, element));
    match op {
        BinaryOp::Eq | BinaryOp::Match => some(&|value| equals(value, &list[0])),
        BinaryOp::Ne => !some(&|value| equals(value, &list[0])),
        BinaryOp::Lt => is(&[Less]),
        BinaryOp::Le => is(&[Less, Equal]),
        BinaryOp::Gt => is(&[Greater]),
        BinaryOp::Ge => is(&[Greater, Equal]),
        BinaryOp::In => some(&|value| list.iter().any(|element| equals(value, element))),
        BinaryOp::NotIn => !some(&|value| list.iter().any(|element| equals(value, element))),
        BinaryOp::Having => some(&every),
        BinaryOp::NotHaving => !some(&every),
        BinaryOp::Unspecified => unreachable!("not generated"),
    }
}

fn naive(criteria: &CriteriaProto, tags: &[Tag]) -> bool {
    match criteria.exp.as_ref().unwrap() {
        Exp::Condition(condition) => naive_condition(condition, tags),
        Exp::Le(expression) => {
            let sides: Vec<bool> = [&expression.left, &expression.right]
                .into_iter()
                .flatten()
                .map(|side| naive(side, tags))
                .collect();
            match expression.op == LogicalOp::And as i32 || sides.len() == 1 {
                true => sides.iter().all(|holds| *holds),
                false => sides.iter().any(|holds| *holds),
            }
        }
    }
}

fn any_text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "b", "B", "a\nb", "zz"]).prop_map(String::from)
}

fn any_int() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![i64::MIN, -1, 0, 5, i64::MAX])
}

fn any_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![any_text().prop_map(|text| str(&text)), any_int().prop_map(int), (0..3i32).prop_map(time),]
}

fn any_list() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::collection::vec(any_text(), 0..3).prop_map(|value| Value::StrArray(StrArray { value })),
        prop::collection::vec(any_int(), 0..3).prop_map(|value| Value::IntArray(IntArray { value })),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![4 => any_scalar(), 2 => any_list(), 1 => Just(Value::Null(0))]
}

fn any_key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["x", "y", "z"])
}

fn any_condition() -> impl Strategy<Value = Condition> {
    use BinaryOp::{Eq, Ge, Gt, Having, In, Le, Lt, Match, Ne, NotHaving, NotIn};
    let scalar = prop::sample::select(vec![Eq, Ne, Lt, Le, Gt, Ge]);
    let list = prop::sample::select(vec![In, NotIn, Having, NotHaving]);
    let of_one = any_text().prop_map(|text| strs(&[&text]));
    prop_oneof![
        (any_key(), scalar, prop_oneof![3 => any_scalar(), 1 => of_one])
            .prop_map(|(key, op, value)| condition(key, op, value)),
        (any_key(), list, any_list()).prop_map(|(key, op, value)| condition(key, op, value)),
        (any_key(), prop::sample::select(vec![Having, NotHaving]), any_value())
            .prop_map(|(key, op, value)| condition(key, op, value)),
        (any_key(), any_text()).prop_map(|(key, text)| condition(key, Match, str(&text))),
    ]
}

fn any_criteria() -> impl Strategy<Value = CriteriaProto> {
    any_condition().prop_map(leaf).prop_recursive(3, 12, 2, |inner| {
        let side = prop::option::weighted(0.8, inner.clone());
        (any::<bool>(), inner, side).prop_map(|(and, left, right)| {
            both(if and { LogicalOp::And } else { LogicalOp::Or }, Some(left), right)
        })
    })
}

proptest! {
    #[test]
    fn criteria_accept_what_a_naive_evaluator_accepts(
        criteria in any_criteria(),
        tags in prop::collection::vec((any_key(), any_value()), 0..5),
    ) {
        let tags: Vec<Tag> = tags.into_iter().map(|(key, value)| tag(key, value)).collect();
        prop_assert_eq!(matches(&criteria, &tags), naive(&criteria, &tags));
    }
}

#[test]
fn the_examples_of_the_specification_hold() {
    let menu = |name: &str, time| vec![tag("menu_name", str(name)), tag("update_time", int(time))];
    let documents = [menu("test1", 100), menu("test2", 200), vec![tag("configuration", str("c3"))]];
    let ids = |name: &str, op, value: Value| -> Vec<usize> {
        let criteria = leaf(condition(name, op, value));
        (1..=3).filter(|id| matches(&criteria, &documents[id - 1])).collect()
    };
    assert_eq!(ids("menu_name", BinaryOp::Eq, str("test1")), [1]);
    assert_eq!(ids("menu_name", BinaryOp::Ne, str("test1")), [2, 3]);
    assert_eq!(ids("menu_name", BinaryOp::NotIn, strs(&["test1", "test2"])), [3]);
    assert_eq!(ids("update_time", BinaryOp::Gt, int(100)), [2]);
    assert_eq!(ids("update_time", BinaryOp::Gt, str("a")), [0; 0]);
    assert_eq!(ids("nosuch", BinaryOp::Eq, str("x")), [0; 0]);
    assert_eq!(ids("nosuch", BinaryOp::Ne, str("x")), [1, 2, 3]);
    assert_eq!(ids("update_time", BinaryOp::Le, int(i64::MAX)), [1, 2]);
    assert_eq!(ids("update_time", BinaryOp::Eq, ints(&[200])), [2], "a list of one is its element");
}

#[test]
fn analysed_text_matches_whole_values_token_by_token() {
    let with = |analyzer: &str, operator: Operator, text: &str| {
        let option = MatchOption { analyzer: analyzer.into(), operator: operator as i32 };
        leaf(Condition { match_option: Some(option), ..condition("m", BinaryOp::Match, str(text)) })
    };
    let test1 = [tag("m", str("test1"))];
    assert!(matches(&with("standard", Operator::Unspecified, "test1 test2"), &test1));
    assert!(!matches(&with("standard", Operator::And, "test1 test2"), &test1));
    assert!(matches(&with("standard", Operator::And, "Test1 test1"), &test1), "one token, twice");
    assert!(!matches(&with("keyword", Operator::Or, "test1 test2"), &test1));
    assert!(matches(&with("nosuch", Operator::Or, "test1"), &test1));
    assert!(!matches(&with("simple", Operator::And, " - "), &test1), "no token matches nothing");
}

#[test]
fn malformed_criteria_have_the_errors_of_the_protocol() {
    let multiple = "don't support multiple or null value";
    let cases = [
        (leaf(condition("m", BinaryOp::Eq, Value::Null(0))), multiple),
        (leaf(condition("m", BinaryOp::Ge, strs(&["a", "b"]))), multiple),
        (leaf(condition("m", BinaryOp::Ne, ints(&[]))), multiple),
        (leaf(condition("m", BinaryOp::In, str("a"))), "IN condition requires array value type"),
        (leaf(condition("m", BinaryOp::NotIn, Value::Null(0))), "requires array value type"),
        (leaf(condition("m", BinaryOp::Match, int(5))), "MATCH condition requires string value type"),
        (
            leaf(condition("m", BinaryOp::Eq, Value::BinaryData(vec![1].into()))),
            "unsupported condition value type",
        ),
        (leaf(condition("m", BinaryOp::Unspecified, str("x"))), "unsupported condition operation"),
        (leaf(Condition { value: None, ..condition("m", BinaryOp::Eq, str("x")) }), "has no value"),
        (CriteriaProto { exp: None }, "invalid criteria type"),
        (both(LogicalOp::And, None, None), "are empty"),
    ];
    for (i, (criteria, expected)) in cases.iter().enumerate() {
        assert!(error(criteria).contains(expected), "case {i}: {}", error(criteria));
    }
    let some = || Some(leaf(condition("m", BinaryOp::Eq, str("x"))));
    assert_eq!(error(&both(LogicalOp::Unspecified, some(), some())), "invalid criteria type");
    let deep = (0..=CRITERIA_DEPTH_MAX).fold(some(), |inner, _| Some(both(LogicalOp::And, inner, None)));
    assert!(error(&deep.unwrap()).contains("deeper"));
}
