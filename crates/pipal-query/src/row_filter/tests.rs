//! The operator table of the stream specification, 7; errors of 5; and whole columns against single values.

use super::*;
use crate::error::QueryResult;
use pipal_api::common::v1::Metadata;
use pipal_api::database::v1::{Entity, IndexRule, Stream, TagFamilySpec, TagSpec, TagType};
use pipal_api::model::v1::{
    Criteria, Int, IntArray, LogicalExpression, Str, StrArray, TagValue, condition::BinaryOp, criteria::Exp,
    logical_expression::LogicalOp, tag_value::Value as Literal,
};
use pipal_model::value::{encode_int_array, encode_str_array};
use pipal_model::{ColumnType, Value};
use proptest::prelude::*;

/// Entity `svc`; tags `s`, `i`, `sa`, `ia`, `t`, and `url` with a rule of its name and an analyzer.
fn schema() -> RowSchema {
    let tag = |(name, ty): (&str, TagType)| TagSpec { name: name.into(), r#type: ty as i32 };
    let tags = [
        ("svc", TagType::String),
        ("s", TagType::String),
        ("i", TagType::Int),
        ("sa", TagType::StringArray),
        ("ia", TagType::IntArray),
        ("t", TagType::Timestamp),
        ("url", TagType::String),
    ];
    let metadata = |name: &str| Some(Metadata { name: name.into(), ..Metadata::default() });
    let stream = Stream {
        metadata: metadata("st"),
        tag_families: vec![TagFamilySpec { name: "f".into(), tags: tags.map(tag).into() }],
        entity: Some(Entity { tag_names: vec!["svc".into()] }),
        ..Stream::default()
    };
    let rule = IndexRule {
        metadata: metadata("url"),
        tags: vec!["url".into()],
        analyzer: "url".into(),
        ..IndexRule::default()
    };
    RowSchema::compile_stream(&stream, &[rule]).unwrap()
}

/// Removes conditions on `i`.
struct Rules<'a> {
    schema: &'a RowSchema,
    removes_i: bool,
}

impl LeafRules for Rules<'_> {
    fn is_removed(&self, condition: &Condition) -> bool {
        self.removes_i && condition.name == "i"
    }

    fn analyzer(&self, condition: &Condition) -> Option<Analyzer> {
        analyzer_of_namesake(self.schema, &condition.name)
    }
}

fn compile(criteria: &Criteria, removes_i: bool) -> QueryResult<RowFilter> {
    let schema = schema();
    RowFilter::compile(criteria, &schema, &Rules { schema: &schema, removes_i })
}

fn cond(name: &str, op: BinaryOp, literal: Literal) -> Criteria {
    let value = Some(TagValue { value: Some(literal) });
    let condition = Condition { name: name.into(), op: op as i32, value, match_option: None };
    Criteria { exp: Some(Exp::Condition(condition)) }
}

fn tree(op: LogicalOp, left: Option<Criteria>, right: Option<Criteria>) -> Criteria {
    let le = LogicalExpression { op: op as i32, left: left.map(Box::new), right: right.map(Box::new) };
    Criteria { exp: Some(Exp::Le(Box::new(le))) }
}

fn s(text: &str) -> Literal {
    Literal::Str(Str { value: text.into() })
}

fn i(value: i64) -> Literal {
    Literal::Int(Int { value })
}

fn sa(texts: &[&str]) -> Literal {
    Literal::StrArray(StrArray { value: texts.iter().map(|t| (*t).into()).collect() })
}

fn ia(values: &[i64]) -> Literal {
    Literal::IntArray(IntArray { value: values.into() })
}

fn stored_texts(texts: &[&str]) -> Value {
    let mut bytes = Vec::new();
    encode_str_array(texts.iter().map(|t| t.as_bytes()), &mut bytes);
    Value::StrArray(bytes)
}

fn stored_ints(values: &[i64]) -> Value {
    let mut bytes = Vec::new();
    encode_int_array(values.iter().copied(), &mut bytes);
    Value::IntArray(bytes)
}

fn text(text: &str) -> Value {
    Value::Str(text.as_bytes().to_vec())
}

fn holds(name: &str, op: BinaryOp, literal: Literal, value: &Value) -> bool {
    let filter = compile(&cond(name, op, literal), false).unwrap();
    filter.leaves[0].test.matches(value.as_ref())
}

#[test]
fn the_operator_table_holds() {
    use BinaryOp::{Eq, Ge, Gt, Having, In, Le, Lt, Match, Ne, NotHaving, NotIn};
    let null = || Literal::Null(0);
    let array = || stored_texts(&["a", "b"]);
    let cases: Vec<(&str, BinaryOp, Literal, Value, bool)> = vec![
        ("s", Eq, s("a"), text("a"), true),
        ("s", Eq, s("a"), text("b"), false),
        ("s", Eq, s(""), text(""), true),
        ("s", Eq, i(1), text("1"), false),
        ("s", Eq, null(), Value::Null, false),
        ("s", Ne, s("a"), Value::Null, true),
        ("s", Ne, null(), text("a"), true),
        ("s", Ne, i(1), text("1"), true),
        ("s", Ne, s("a"), text("a"), false),
        ("i", Lt, i(5), Value::Int(4), true),
        ("i", Lt, i(5), Value::Int(5), false),
        ("i", Le, i(5), Value::Int(5), true),
        ("i", Gt, i(5), Value::Int(6), true),
        ("i", Ge, i(i64::MIN), Value::Int(5), true),
        ("i", Ge, s("5"), Value::Int(5), false),
        ("i", Ge, i(5), Value::Null, false),
        ("s", Gt, s("a"), text("b"), true),
        ("s", Lt, null(), text("b"), false),
        ("s", In, sa(&["x", "a"]), text("a"), true),
        ("s", In, s("a"), text("a"), false),
        ("s", In, ia(&[1]), text("a"), false),
        ("s", In, sa(&[]), text("a"), false),
        ("s", In, null(), Value::Null, false),
        ("i", In, ia(&[9, 1]), Value::Int(1), true),
        ("i", NotIn, ia(&[9, 1]), Value::Int(1), false),
        ("i", NotIn, ia(&[9]), Value::Null, true),
        ("i", NotIn, null(), Value::Int(1), true),
        ("sa", Having, sa(&["b", "a"]), array(), true),
        ("sa", Having, sa(&["b", "c"]), array(), false),
        ("sa", Having, s("b"), array(), true),
        ("sa", Having, sa(&[]), array(), true),
        ("sa", Having, sa(&[]), stored_texts(&[]), true),
        ("sa", Having, sa(&[]), Value::Null, false),
        ("sa", Having, sa(&["a"]), stored_texts(&[]), false),
        ("sa", Having, sa(&["a"]), Value::Null, false),
        ("sa", NotHaving, sa(&["a"]), Value::Null, true),
        ("sa", NotHaving, s("a"), array(), false),
        ("s", Having, sa(&["a"]), text("a"), true),
        ("s", Having, s("a"), text("a"), false),
        ("s", Having, sa(&["a", "b"]), text("a"), false),
        ("ia", Having, ia(&[2]), stored_ints(&[1, 2]), true),
        ("ia", Having, sa(&["2"]), stored_ints(&[1, 2]), false),
        ("sa", Eq, sa(&["a", "b"]), array(), true),
        ("sa", Eq, sa(&["b", "a"]), array(), false),
        ("sa", Eq, s("a"), array(), false),
        ("sa", Eq, sa(&[]), stored_texts(&[]), true),
        ("sa", Eq, sa(&[]), Value::Null, false),
        ("sa", Ne, sa(&[]), stored_texts(&[]), false),
        ("ia", Eq, ia(&[]), stored_ints(&[]), true),
        ("sa", Gt, sa(&["a"]), array(), false),
        ("ia", Eq, ia(&[1, 2]), stored_ints(&[1, 2]), true),
        ("t", Ge, i(0), Value::Timestamp(5), false),
        ("s", Match, s("a"), text("a"), false),
        ("url", Match, s("mysql"), text("jdbc:mysql://test:3306/bar"), true),
        ("url", Match, s("MySQL"), text("jdbc:mysql://test:3306/bar"), false),
        ("url", Match, s("test bar"), text("jdbc:mysql://test:3306/bar"), true),
        ("url", Match, s("test nope"), text("jdbc:mysql://test:3306/bar"), false),
        ("url", Match, s(""), text("x"), false),
        ("url", Match, s("x"), Value::Null, false),
        ("url", Eq, s("a b"), text("a b"), true),
    ];
    for (name, op, literal, value, expected) in cases {
        assert_eq!(holds(name, op, literal.clone(), &value), expected, "{name} {op:?} {literal:?} {value:?}");
    }
}

#[test]
fn malformed_criteria_have_their_errors() {
    let bytes = || Literal::BinaryData(vec![1].into());
    let time = || Literal::Timestamp(prost_types::Timestamp::default());
    let fine = || cond("s", BinaryOp::Eq, s("a"));
    let no_value = Condition { name: "s".into(), op: BinaryOp::Eq as i32, ..Condition::default() };
    let cases = [
        (Criteria { exp: None }, "invalid criteria type"),
        (tree(LogicalOp::Unspecified, Some(fine()), Some(fine())), "invalid criteria type"),
        (tree(LogicalOp::And, None, None), "are empty"),
        (
            cond("nope", BinaryOp::Eq, s("a")),
            "tag \"nope\" does not exist in the current schema: tag is not defined",
        ),
        (cond("s", BinaryOp::Eq, bytes()), "unsupported condition value type"),
        (cond("t", BinaryOp::Gt, time()), "unsupported condition value type"),
        (cond("svc", BinaryOp::Eq, time()), "unsupported condition value type"),
        (cond("url", BinaryOp::Match, i(1)), "unsupported condition value type"),
        (cond("sa", BinaryOp::In, sa(&["a"])), "sa: in condition is not supported for array type"),
        (cond("ia", BinaryOp::NotIn, ia(&[1])), "ia: not in condition is not supported for array type"),
        (cond("s", BinaryOp::Unspecified, s("a")), "unsupported condition operation"),
        (Criteria { exp: Some(Exp::Condition(no_value)) }, "no value"),
        (tree(LogicalOp::And, Some(fine()), Some(cond("s", BinaryOp::Eq, bytes()))), "unsupported"),
    ];
    for (criteria, expected) in cases {
        let error = compile(&criteria, false).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} has no {expected}");
    }
    let mut deep = fine();
    for _ in 0..=crate::expression::CRITERIA_DEPTH_MAX {
        deep = tree(LogicalOp::And, Some(deep), None);
    }
    assert!(compile(&deep, false).unwrap_err().to_string().contains("nested deeper"));
}

#[test]
fn removed_conditions_leave_the_other_side() {
    let on_s = || cond("s", BinaryOp::Eq, s("a"));
    let on_i = || cond("i", BinaryOp::Eq, i(1));
    for op in [LogicalOp::And, LogicalOp::Or] {
        let kept = compile(&tree(op, Some(on_i()), Some(on_s())), true).unwrap();
        assert_eq!(kept, compile(&on_s(), true).unwrap());
        assert!(compile(&tree(op, Some(on_i()), Some(on_i())), true).unwrap().is_empty());
        let on_entity = cond("svc", BinaryOp::Ne, s("a"));
        assert_eq!(compile(&tree(op, Some(on_s()), Some(on_entity)), false).unwrap(), kept);
    }
    assert_eq!(compile(&tree(LogicalOp::Or, None, Some(on_s())), true).unwrap().leaves.len(), 1);
}

/// What a criteria tree means, told value by value: `None` for removed conditions.
fn naive(criteria: &Criteria, row: &[(&str, Value)]) -> Option<bool> {
    match criteria.exp.as_ref().unwrap() {
        Exp::Condition(condition) if condition.name == "i" => None,
        Exp::Condition(condition) => {
            let op = BinaryOp::try_from(condition.op).unwrap();
            let literal = condition.value.clone().unwrap().value.unwrap();
            let value = &row.iter().find(|(name, _)| **name == condition.name).unwrap().1;
            Some(holds(&condition.name, op, literal, value))
        }
        Exp::Le(le) => {
            let left = naive(le.left.as_ref().unwrap(), row);
            let right = naive(le.right.as_ref().unwrap(), row);
            match (left, right) {
                (Some(a), Some(b)) if le.op == LogicalOp::And as i32 => Some(a && b),
                (Some(a), Some(b)) => Some(a || b),
                (one, other) => one.or(other),
            }
        }
    }
}

fn any_condition() -> impl Strategy<Value = Criteria> {
    let word = || prop::sample::select(vec!["", "a", "b"]);
    prop_oneof![
        (prop::sample::select(vec![BinaryOp::Eq, BinaryOp::Ne, BinaryOp::Le]), word())
            .prop_map(|(op, w)| cond("s", op, s(w))),
        word().prop_map(|w| cond("s", BinaryOp::NotIn, sa(&[w, "c"]))),
        word().prop_map(|w| cond("sa", BinaryOp::Having, sa(&[w]))),
        Just(cond("i", BinaryOp::Eq, i(1))),
    ]
}

fn any_criteria() -> impl Strategy<Value = Criteria> {
    any_condition().prop_recursive(4, 16, 2, |inner| {
        (any::<bool>(), inner.clone(), inner).prop_map(|(and, left, right)| {
            tree(if and { LogicalOp::And } else { LogicalOp::Or }, Some(left), Some(right))
        })
    })
}

fn any_row() -> impl Strategy<Value = [(&'static str, Value); 2]> {
    let word = || prop::sample::select(vec!["", "a", "b"]);
    let one = prop_oneof![Just(Value::Null), Just(Value::Absent), word().prop_map(text)];
    let many =
        prop_oneof![Just(Value::Null), prop::collection::vec(word(), 0..3).prop_map(|w| stored_texts(&w))];
    (one, many).prop_map(|(one, many)| [("s", one), ("sa", many)])
}

proptest! {
    #[test]
    fn columns_are_filtered_as_single_values_are(
        criteria in any_criteria(),
        rows in prop::collection::vec(any_row(), 1..40),
    ) {
        let filter = compile(&criteria, true).unwrap();
        let column = |leaf: &RowLeaf| {
            let key = leaf.column.as_ref()?;
            let mut column = Column::new(key.ty);
            let at = usize::from(key.ty != ColumnType::Str);
            rows.iter().for_each(|row| column.push(row[at].1.as_ref()));
            Some(column)
        };
        let columns: Vec<Option<Column>> = filter.leaves.iter().map(column).collect();
        let columns: Vec<Option<&Column>> = columns.iter().map(Option::as_ref).collect();
        let mut kept: Vec<u32> = (0..rows.len() as u32).collect();
        filter.retain(&columns, rows.len(), &mut kept);
        let expected: Vec<u32> = (0..rows.len() as u32)
            .filter(|row| naive(&criteria, &rows[*row as usize]).unwrap_or(true))
            .collect();
        prop_assert_eq!(kept, expected);
    }

    #[test]
    fn verdicts_of_some_columns_are_never_wrong_and_those_of_all_never_open(
        criteria in any_criteria(),
        rows in prop::collection::vec(any_row(), 1..40),
        knows in any::<[bool; 2]>(),
    ) {
        let filter = compile(&criteria, true).unwrap();
        let types = [("s", ColumnType::Str), ("sa", ColumnType::StrArray)];
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (at, (name, ty)) in types.into_iter().enumerate().filter(|(at, _)| knows[*at]) {
            keys.push(ColumnKey { family: "f".into(), name: name.into(), ty });
            let mut column = Column::new(ty);
            rows.iter().for_each(|row| column.push(row[at].1.as_ref()));
            values.push(column);
        }
        let verdicts = filter.verdicts(&keys, &values, rows.len());
        prop_assert_eq!(verdicts.len(), rows.len());
        for (row, verdict) in rows.iter().zip(verdicts) {
            let passes = naive(&criteria, row).unwrap_or(true);
            match verdict {
                Verdict::No => prop_assert!(!passes),
                Verdict::Yes => prop_assert!(passes),
                Verdict::Open => prop_assert!(knows != [true; 2]),
            }
        }
    }
}
