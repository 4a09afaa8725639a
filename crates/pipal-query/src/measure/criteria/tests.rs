//! The tables of the measure specification, 3.5 and 3.7: which conditions are errors, and of which kind.

use super::*;
use crate::schema::RowSchema;
use pipal_api::common::v1::Metadata;
use pipal_api::database::v1::{Entity, IndexRule, Measure, TagFamilySpec, TagSpec, TagType};
use pipal_api::model::v1::{
    Condition, Int, IntArray, Str, StrArray, TagValue, condition::BinaryOp, tag_value::Value,
};

/// Entity `svc`, `inst`; `tag` has a rule, `note` has none.
fn schema(index_mode: bool) -> RowSchema {
    let tag = |name: &str| TagSpec { name: name.into(), r#type: TagType::String as i32 };
    let measure = Measure {
        metadata: Some(Metadata { name: "m".into(), ..Metadata::default() }),
        tag_families: vec![TagFamilySpec {
            name: "d".into(),
            tags: ["svc", "inst", "tag", "note"].map(tag).into(),
        }],
        entity: Some(Entity { tag_names: vec!["svc".into(), "inst".into()] }),
        index_mode,
        ..Measure::default()
    };
    let rule = IndexRule {
        metadata: Some(Metadata { name: "tag".into(), ..Metadata::default() }),
        tags: vec!["tag".into()],
        ..IndexRule::default()
    };
    RowSchema::compile(&measure, &[rule]).unwrap()
}

fn condition(name: &str, op: BinaryOp, value: Option<Value>) -> CriteriaProto {
    let value = value.map(|value| TagValue { value: Some(value) });
    let condition = Condition { name: name.into(), op: op as i32, value, match_option: None };
    CriteriaProto { exp: Some(Exp::Condition(condition)) }
}

fn text(value: &str) -> Value {
    Value::Str(Str { value: value.into() })
}

fn texts(values: &[&str]) -> Value {
    Value::StrArray(StrArray { value: values.iter().map(|v| (*v).into()).collect() })
}

fn eq(name: &str, value: &str) -> CriteriaProto {
    condition(name, BinaryOp::Eq, Some(text(value)))
}

fn logical(op: LogicalOp, left: Option<CriteriaProto>, right: Option<CriteriaProto>) -> CriteriaProto {
    let expression =
        LogicalExpression { op: op as i32, left: left.map(Box::new), right: right.map(Box::new) };
    CriteriaProto { exp: Some(Exp::Le(Box::new(expression))) }
}

fn and(left: CriteriaProto, right: CriteriaProto) -> CriteriaProto {
    logical(LogicalOp::And, Some(left), Some(right))
}

fn or(left: CriteriaProto, right: CriteriaProto) -> CriteriaProto {
    logical(LogicalOp::Or, Some(left), Some(right))
}

/// "ok", or the part of the error that clients know it by.
fn verdict(criteria: &CriteriaProto, schema: &RowSchema) -> &'static str {
    let error = match Criteria::compile(criteria, schema) {
        Ok(compiled) if compiled.unservable => return "series is required",
        Ok(_) => return "ok",
        Err(error) => error.to_string(),
    };
    let known = [
        "don't support multiple or null value",
        "unsupported condition value",
        "unsupported condition operation",
        "panic",
        "are empty",
        "invalid criteria type",
        "logical operator",
    ];
    known.into_iter().find(|part| error.contains(part)).unwrap_or("another error")
}

#[test]
fn leaves_on_the_index_follow_the_table() {
    use BinaryOp::{Eq, Ge, Gt, Having, In, Le, Lt, Match, Ne, NotHaving, NotIn, Unspecified};
    const A: &str = "don't support multiple or null value";
    const B: &str = "unsupported condition value";
    let schema = schema(false);
    let values: [Option<Value>; 9] = [
        Some(text("x")),
        Some(Value::Int(Int { value: 1 })),
        Some(Value::Timestamp(prost_types::Timestamp::default())),
        Some(texts(&["x"])),
        Some(texts(&[])),
        Some(Value::IntArray(IntArray { value: vec![1, 2] })),
        Some(Value::Null(0)),
        Some(Value::BinaryData(vec![120].into())),
        None,
    ];
    let compare = ["ok", "ok", "ok", "ok", A, A, A, B, "panic"];
    let set = ["ok", "ok", "ok", "ok", "ok", "ok", "ok", B, "panic"];
    let table = [
        (Eq, compare),
        (Ne, compare),
        (Lt, compare),
        (Gt, compare),
        (Le, compare),
        (Ge, compare),
        (In, [B, B, B, "ok", "ok", "ok", B, B, "panic"]),
        (NotIn, set),
        (Having, set),
        (NotHaving, set),
        (Match, ["ok", B, B, B, B, B, B, B, "panic"]),
        (Unspecified, ["unsupported condition operation"; 9]),
    ];
    for (op, expected) in table {
        for (value, expected) in values.iter().zip(expected) {
            let found = verdict(&condition("tag", op, value.clone()), &schema);
            assert_eq!(found, expected, "{op:?} {value:?}");
        }
    }
}

#[test]
fn leaves_on_the_key_need_no_rule_and_everything_else_does() {
    let schema = schema(false);
    let no_rule = "unsupported condition operation";
    let cases = [
        (BinaryOp::Eq, text("a"), "ok"),
        (BinaryOp::In, text("a"), "ok"),
        (BinaryOp::In, texts(&["a", "b"]), "ok"),
        (BinaryOp::In, texts(&[]), "series is required"),
        (BinaryOp::Eq, texts(&["a"]), no_rule),
        (BinaryOp::Eq, Value::Null(0), no_rule),
        (BinaryOp::In, Value::Null(0), no_rule),
        (BinaryOp::Ne, text("a"), no_rule),
        (BinaryOp::Match, text("a"), no_rule),
    ];
    for (op, value, expected) in cases {
        assert_eq!(
            verdict(&condition("svc", op, Some(value.clone())), &schema),
            expected,
            "{op:?} {value:?}"
        );
    }
    for name in ["note", "ghost"] {
        assert_eq!(verdict(&eq(name, "a"), &schema), no_rule, "{name}");
    }
}

#[test]
fn index_mode_searches_entity_tags_but_matches_words_only_with_a_rule() {
    let schema = schema(true);
    assert_eq!(verdict(&condition("svc", BinaryOp::Ge, Some(text("a"))), &schema), "ok");
    assert_eq!(
        verdict(&condition("svc", BinaryOp::Match, Some(text("a"))), &schema),
        "unsupported condition operation"
    );
    assert_eq!(verdict(&eq("note", "a"), &schema), "unsupported condition operation");
    assert_eq!(
        verdict(&and(eq("svc", "a"), eq("svc", "b")), &schema),
        "ok",
        "the answer is empty, not an error"
    );
}

#[test]
fn trees_have_their_structural_errors() {
    let schema = schema(false);
    assert_eq!(verdict(&CriteriaProto { exp: None }, &schema), "invalid criteria type");
    assert_eq!(verdict(&logical(LogicalOp::And, None, None), &schema), "are empty");
    assert_eq!(verdict(&logical(LogicalOp::Or, None, Some(eq("tag", "x"))), &schema), "ok");
    let unspecified = logical(LogicalOp::Unspecified, Some(eq("tag", "x")), Some(eq("tag", "y")));
    assert_eq!(verdict(&unspecified, &schema), "logical operator");
    let mut deep = eq("tag", "x");
    for _ in 0..=CRITERIA_DEPTH_MAX {
        deep = logical(LogicalOp::And, Some(deep), None);
    }
    assert_eq!(verdict(&deep, &schema), "another error");
    // The destructor of so deep a tree is fine with a test's stack.
}

#[test]
fn key_patterns_that_contradict_each_other_are_an_error_at_the_root() {
    let schema = schema(false);
    let required = "series is required";
    let in_ab = condition("svc", BinaryOp::In, Some(texts(&["a", "b"])));
    let in_none = condition("svc", BinaryOp::In, Some(texts(&[])));
    let conflict = || and(eq("svc", "a"), eq("svc", "b"));
    let cases = [
        (and(eq("svc", "a"), eq("tag", "x")), "ok"),
        (and(eq("svc", "a"), eq("inst", "i")), "ok"),
        (and(in_ab.clone(), eq("inst", "i")), required),
        (conflict(), required),
        (and(conflict(), eq("inst", "i")), "ok"),
        (or(eq("svc", "a"), eq("svc", "b")), "ok"),
        (or(eq("svc", "a"), eq("inst", "i")), "ok"),
        (or(eq("svc", "a"), and(eq("svc", "a"), eq("inst", "i"))), "ok"),
        (and(in_none.clone(), eq("tag", "x")), "ok"),
        (or(in_none.clone(), in_none), required),
        (or(eq("tag", "x"), eq("svc", "a")), "ok"),
        (or(conflict(), eq("tag", "x")), required),
        (or(eq("tag", "x"), conflict()), "ok"),
        (and(eq("svc", "a"), condition("svc", BinaryOp::Eq, Some(Value::Int(Int { value: 1 })))), "panic"),
        (or(eq("svc", "a"), condition("svc", BinaryOp::Eq, Some(Value::Int(Int { value: 1 })))), "panic"),
    ];
    for (i, (criteria, expected)) in cases.iter().enumerate() {
        assert_eq!(verdict(criteria, &schema), *expected, "case {i}");
    }
}

#[test]
fn selectors_are_as_narrow_as_the_key_conditions_allow() {
    use pipal_engine::rows::EntitySelector;
    let schema = schema(false);
    let compiled = |criteria: &CriteriaProto| Criteria::compile(criteria, &schema).unwrap();
    let of = |criteria: &CriteriaProto| selectors(Some(&compiled(criteria)), 2);
    let in_ab = condition("svc", BinaryOp::In, Some(texts(&["a", "b"])));
    match &of(&and(eq("svc", "a"), eq("inst", "i")))[..] {
        [EntitySelector::Exact(entities)] => assert_eq!(entities, &[b"\x01a|\x01i|".to_vec()]),
        other => panic!("{other:?}"),
    }
    match &of(&and(in_ab, eq("tag", "x")))[..] {
        [EntitySelector::Prefix(a), EntitySelector::Prefix(b)] => {
            assert_eq!((&a[..], &b[..]), (&b"\x01a|"[..], &b"\x01b|"[..]))
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(&of(&eq("inst", "i"))[..], [EntitySelector::All]));
    assert!(matches!(&of(&or(eq("svc", "a"), eq("tag", "x")))[..], [EntitySelector::All]));
    assert!(of(&condition("svc", BinaryOp::In, Some(texts(&[])))).is_empty());
    let searched = Criteria::compile(&eq("svc", "12345678"), &self::schema(true)).unwrap();
    match &selectors(Some(&searched), 2)[..] {
        [
            EntitySelector::Prefix(_),
            EntitySelector::Prefix(_),
            EntitySelector::Prefix(_),
            EntitySelector::Prefix(_),
        ] => {}
        other => panic!("text, bytes, integer and time have the same term: {other:?}"),
    }
    let both = or(and(eq("svc", "a"), eq("inst", "i")), and(eq("svc", "b"), eq("inst", "j")));
    match &of(&both)[..] {
        [EntitySelector::Exact(entities)] => assert_eq!(entities.len(), 4, "a superset; rows are filtered"),
        other => panic!("{other:?}"),
    }
}
