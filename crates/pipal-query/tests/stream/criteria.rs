//! Criteria (stream specification, 5 to 8): series selection, row filter and MATCH.

use crate::fixture::*;
use pipal_api::database::v1::TagType;
use pipal_api::model::v1::condition::{BinaryOp, MatchOption, match_option::Operator};
use pipal_api::model::v1::{Criteria, Sort, criteria::Exp, logical_expression::LogicalOp, tag_value};
use pipal_api::stream::v1::QueryRequest;
use pipal_model::Value;

fn definition() -> Definition {
    use TagType::{DataBinary, Int, IntArray, String, StringArray};
    let tags = vec![
        ("k", String),
        ("svc", String),
        ("inst", String),
        ("state", Int),
        ("dur", Int),
        ("tid", String),
        ("msg", String),
        ("arr", StringArray),
        ("iarr", IntArray),
        ("plain", String),
        ("num", Int),
        ("tree", String),
        ("lvl", String),
    ];
    Definition {
        name: "st",
        families: vec![("data", vec![("blob", DataBinary)]), ("s", tags)],
        entity: vec!["svc", "inst", "state"],
        rules: vec![
            ("dur", vec!["dur"], RuleType::Inverted, ""),
            ("tid", vec!["tid"], RuleType::Skipping, ""),
            ("msg", vec!["msg"], RuleType::Inverted, "url"),
            ("tree", vec!["tree"], RuleType::Tree, ""),
            ("lvl_nosort", vec!["lvl"], RuleType::Inverted, ""),
            ("two", vec!["num", "plain"], RuleType::Inverted, ""),
        ],
    }
}

fn filled() -> Fixture {
    let opt = |word: &str| if word == "-" { Value::Null } else { text(word) };
    let int = |number: i64| if number == -999 { Value::Null } else { Value::Int(number) };
    let data = |id: i64, svc, inst, state, dur, msg, arr: Value, iarr, plain, num| {
        let name = format!("e{id}");
        let tags = vec![
            Value::Binary(vec![id as u8]),
            text(&name),
            text(svc),
            text(inst),
            Value::Int(state),
            int(dur),
            text(&format!("t{id}")),
            opt(msg),
            arr,
            iarr,
            opt(plain),
            int(num),
            text(&format!("r{id}")),
            text("INFO"),
        ];
        row(id * SECOND / 2, &name, tags)
    };
    let fixture = Fixture::new(2, &[definition()]);
    let rows = [
        data(1, "a", "i1", 1, 1000, "jdbc:mysql://test:3306/bar", texts(&["x", "y"]), ints(&[1, 2]), "p1", 1),
        data(2, "a", "i2", 1, 500, "-", Value::Null, Value::Null, "", 2),
        data(3, "a", "i1", 0, 30, "GET /Home/index.html", texts(&["y"]), ints(&[2]), "-", -999),
        data(4, "b", "i3", 0, 60, "mysql", texts(&["x", "y", "z"]), ints(&[1, 2, 3]), "p4", -4),
        data(5, "b", "i1", 1, -999, "plain words", Value::Null, Value::Null, "p5", 5),
    ];
    fixture.write(0, &rows);
    fixture
}

fn asking(criteria: Criteria) -> QueryRequest {
    QueryRequest { criteria: Some(criteria), ..select(&[("s", &["k"])]) }
}

/// Checks criteria in all stages; an answer is told as the digits of its elements.
fn check(cases: Vec<(Criteria, &str)>) {
    let mut fixture = filled();
    for stage in STAGES {
        fixture.enter(stage);
        for (criteria, expected) in &cases {
            let lines = fixture.lines(&asking(criteria.clone()), ALWAYS);
            let found = lines.concat().replace('e', "");
            assert_eq!(found, *expected, "{stage}: {criteria:?}");
        }
    }
}

#[test]
fn conditions_filter_rows_by_typed_values() {
    use BinaryOp::{Eq, Ge, Gt, Having, In, Le, Lt, Ne, NotHaving, NotIn};
    check(vec![
        (cond("dur", Eq, i(500)), "2"),
        (cond("dur", Ne, i(500)), "1345"),
        (cond("dur", Lt, i(500)), "34"),
        (cond("dur", Ge, i(500)), "12"),
        (cond("dur", Le, i(500)), "234"),
        (cond("dur", Ge, i(i64::MIN)), "1234"),
        (cond("dur", In, ii(&[30, 60, 61])), "34"),
        (cond("dur", NotIn, ii(&[30, 60])), "125"),
        (cond("dur", Eq, s("500")), ""),
        (cond("dur", Ne, s("500")), "12345"),
        (cond("dur", Eq, null()), ""),
        (cond("dur", Ne, null()), "12345"),
        (cond("dur", In, i(30)), ""),
        (cond("dur", In, ii(&[])), ""),
        (cond("dur", Having, ii(&[500])), "2"),
        (cond("dur", Having, i(500)), ""),
        (cond("num", NotHaving, ii(&[5])), "1234"),
        (cond("tid", Eq, s("t3")), "3"),
        (cond("tid", In, ss(&["t3", "t9", "t1"])), "13"),
        (cond("tid", Ne, s("t3")), "1245"),
        (cond("tree", Gt, s("r3")), "45"),
        (cond("plain", Ne, s("p1")), "2345"),
        (cond("plain", Eq, s("")), "2"),
        (cond("plain", Gt, s("p1")), "45"),
        (cond("num", Lt, i(2)), "14"),
        (cond("num", Lt, s("a")), ""),
        (cond("arr", Having, s("x")), "14"),
        (cond("arr", Having, ss(&["y", "x"])), "14"),
        (cond("arr", NotHaving, ss(&["x", "y"])), "235"),
        (cond("arr", Eq, s("x")), ""),
        (cond("arr", Eq, ss(&["x", "y"])), "1"),
        (cond("arr", Eq, ss(&["y", "x"])), ""),
        (cond("arr", Ne, ss(&["y"])), "1245"),
        (cond("arr", Having, ss(&[])), "134"),
        (cond("arr", Gt, s("x")), ""),
        (cond("iarr", Having, ii(&[2, 1])), "14"),
        (cond("iarr", Eq, ii(&[1, 2])), "1"),
        (cond("blob", Eq, s("x")), ""),
        (cond("blob", Ne, s("x")), "12345"),
    ]);
}

#[test]
fn conditions_on_the_entity_select_series_by_the_tuples_of_the_reference() {
    use BinaryOp::{Gt, In, Lt};
    let svc = |value| eq("svc", s(value));
    let state = |value| eq("state", i(value));
    let dur = || cond("dur", Gt, i(500));
    let a_or_0 = || or(svc("a"), state(0));
    check(vec![
        (svc("a"), "123"),
        (state(1), "125"),
        (eq("inst", s("i1")), "135"),
        (cond("svc", In, ss(&["a", "zz"])), "123"),
        (cond("svc", In, s("a")), "123"),
        (cond("state", In, ii(&[0, 1])), "12345"),
        (svc("zz"), ""),
        (eq("svc", i(1)), ""),
        (and(svc("a"), state(0)), "3"),
        (and(and(svc("a"), eq("inst", s("i1"))), state(1)), "1"),
        (or(svc("b"), state(0)), "345"),
        (or(svc("a"), svc("b")), "12345"),
        (and(a_or_0(), a_or_0()), "3"),
        // Beside an open side, a condition on the entity vanishes.
        (or(svc("a"), dur()), "1"),
        (and(svc("b"), cond("dur", Lt, i(100))), "4"),
        // Contradictions below the root select all series.
        (and(and(svc("a"), svc("b")), dur()), "1"),
        (and(cond("svc", In, ss(&[])), dur()), "1"),
        // The second alternative narrows the first one.
        (or(svc("a"), and(svc("a"), eq("inst", s("i1")))), "13"),
        // Series and rows are chosen without regard to each other.
        (or(and(svc("a"), cond("dur", Lt, i(40))), and(eq("inst", s("i3")), cond("dur", Lt, i(70)))), "34"),
    ]);
}

#[test]
fn trees_join_conditions() {
    use BinaryOp::{Ge, In, Lt};
    let short = || cond("dur", Lt, i(100));
    check(vec![
        (and(cond("dur", Ge, i(30)), cond("num", Lt, i(5))), "124"),
        (or(short(), eq("plain", s("p5"))), "345"),
        (or(eq("tid", s("t3")), eq("dur", i(500))), "23"),
        (and(eq("tid", s("t3")), cond("arr", BinaryOp::Having, s("y"))), "3"),
        (and(or(short(), eq("tid", s("t5"))), cond("plain", In, ss(&["p4", "p5"]))), "45"),
        (tree(LogicalOp::Or, None, Some(eq("dur", i(30)))), "3"),
    ]);
}

fn matching(tag: &str, words: &str, analyzer: &str, operator: Operator) -> Criteria {
    let mut condition = condition(tag, BinaryOp::Match, s(words));
    condition.match_option = Some(MatchOption { analyzer: analyzer.into(), operator: operator as i32 });
    Criteria { exp: Some(Exp::Condition(condition)) }
}

#[test]
fn match_needs_every_word() {
    let words = |text| cond("msg", BinaryOp::Match, s(text));
    check(vec![
        (words("mysql"), "14"),
        (words("MySQL"), ""),
        (words("test bar"), "1"),
        (words("test nope"), ""),
        (words(""), ""),
        (matching("msg", "bar test", "", Operator::And), "1"),
        (matching("msg", "bar nope", "", Operator::Or), ""),
        (and(words("mysql"), eq("plain", s("p4"))), "4"),
        (or(words("mysql"), eq("dur", i(500))), "124"),
        (cond("plain", BinaryOp::Match, s("p1")), ""),
        // Another analyzer is for the terms that the index is asked for: unknown ones leave the text whole.
        (matching("msg", "test bar", "nope", Operator::Or), ""),
        (matching("msg", "mysql", "keyword", Operator::Or), "14"),
        (matching("msg", "Home", "simple", Operator::Or), ""),
        // Other operators compare the whole value.
        (eq("msg", s("mysql")), "4"),
        (cond("msg", BinaryOp::Ne, s("mysql")), "1235"),
    ]);
}

#[test]
fn match_goes_by_the_analyzer_of_the_rule_that_is_named_like_the_tag() {
    let names = ["svc", "k", "kw", "bare", "sim", "std", "url", "oth"];
    let rules = [
        ("kw", "kw", "keyword"),
        ("bare", "bare", ""),
        ("sim", "sim", "simple"),
        ("std", "std", "standard"),
        ("url", "url", "url"),
        ("other", "oth", "url"),
    ];
    let definition = Definition {
        name: "s",
        families: vec![("f", names.map(|name| (name, TagType::String)).into())],
        entity: vec!["svc"],
        rules: rules.map(|(name, tag, analyzer)| (name, vec![tag], RuleType::Inverted, analyzer)).into(),
    };
    let mut fixture = Fixture::new(2, &[definition]);
    let data = |second, svc, k, message| {
        let mut tags = vec![text(message); names.len()];
        tags[0] = text(svc);
        tags[1] = text(k);
        row(second * SECOND, k, tags)
    };
    fixture.write(0, &[data(0, "a", "1", "Foo-BAR 42/baz"), data(1, "b", "2", "it's a.b:c x_y 3.5 ab12")]);
    let cases = [
        ("kw", "Foo-BAR 42/baz", "1"),
        ("kw", "Foo", ""),
        ("kw", "foo-bar 42/baz", ""),
        ("sim", "foo", "1"),
        ("sim", "BAR", "1"),
        ("sim", "42", ""),
        ("sim", "ab", "2"),
        ("sim", "b:c", "2"),
        ("std", "FOO", "1"),
        ("std", "42", "1"),
        ("std", "it", ""),
        ("std", "it's", "2"),
        ("std", "a.b", ""),
        ("std", "a.b:c", "2"),
        ("std", "x_y", "2"),
        ("std", "3.5", "2"),
        ("std", "ab", ""),
        ("url", "Foo", "1"),
        ("url", "foo", ""),
        ("url", "42", "1"),
        ("url", "it", "2"),
        ("url", "y", "2"),
        ("url", "ab12", "2"),
        ("url", "ab", ""),
        ("bare", "Foo-BAR 42/baz", ""),
        ("oth", "Foo", ""),
    ];
    for stage in STAGES {
        fixture.enter(stage);
        for (tag, words, expected) in cases {
            let criteria = Some(cond(tag, BinaryOp::Match, s(words)));
            let request = QueryRequest { criteria, ..select(&[("f", &["k"])]) };
            assert_eq!(fixture.lines(&request, ALWAYS).concat(), expected, "{stage}: {tag} MATCH {words}");
        }
    }
}

#[test]
fn conditions_that_cannot_be_answered_are_refused() {
    use BinaryOp::{Eq, Gt, Having, In, Match, Ne, NotIn};
    let only = "only EQ and IN are supported";
    let unserved = "timeRange and series are required";
    let binary = || tag_value::Value::BinaryData(vec![1].into());
    let time = || tag_value::Value::Timestamp(prost_types::Timestamp::default());
    let svc = |value| eq("svc", s(value));
    let unknown = "tag \"nope\" does not exist in the current schema: tag is not defined";
    let mut no_value = condition("dur", Eq, i(1));
    no_value.value = None;
    let no_value = Criteria { exp: Some(Exp::Condition(no_value)) };
    let cases = [
        (cond("svc", Ne, s("a")), only),
        (cond("svc", Gt, s("a")), only),
        (cond("svc", NotIn, ss(&["a"])), only),
        (cond("svc", Having, ss(&["a"])), only),
        (cond("svc", Match, s("a")), "operation BINARY_OP_MATCH on entity tag \"svc\" is not supported"),
        (cond("svc", Eq, null()), only),
        (cond("svc", In, null()), only),
        (cond("svc", Eq, ss(&["a"])), only),
        (cond("svc", In, ss(&[])), unserved),
        (and(svc("a"), svc("b")), unserved),
        (and(cond("svc", In, ss(&["a", "b"])), eq("state", i(0))), unserved),
        (and(svc("a"), eq("svc", i(1))), "panic"),
        (cond("tid", Match, s("t3")), "unsupported condition operation"),
        (cond("msg", Match, i(5)), "unsupported condition value type"),
        (cond("msg", Match, ss(&["a"])), "unsupported condition value type"),
        (cond("arr", In, ss(&["x"])), "in condition is not supported for array type"),
        (cond("iarr", NotIn, ii(&[1])), "not in condition is not supported for array type"),
        (cond("nope", Eq, s("x")), unknown),
        (or(cond("nope", Eq, s("x")), svc("a")), unknown),
        (cond("plain", Eq, binary()), "unsupported condition value type"),
        (cond("svc", Eq, time()), "unsupported condition value type"),
        (cond("dur", BinaryOp::Unspecified, i(5)), "unsupported condition operation"),
        (no_value, "no value"),
        (Criteria { exp: None }, "invalid criteria type"),
        (tree(LogicalOp::Unspecified, Some(svc("a")), Some(svc("a"))), "invalid criteria type"),
        (tree(LogicalOp::And, None, None), "are empty"),
    ];
    let fixture = filled();
    let cases: Vec<_> = cases.into_iter().map(|(criteria, part)| (asking(criteria), part)).collect();
    fixture.check_errors(&cases);
}

#[test]
fn rules_that_do_not_order_are_refused() {
    let ordered = |rule| QueryRequest { order_by: by(rule, Sort::Asc), ..select(&[("s", &["k"])]) };
    let undefined = "index is not define for the tag";
    filled().check_errors(&[
        (ordered("nope"), undefined),
        (ordered("tree"), undefined),
        (ordered("lvl_nosort"), "index does not support sorting"),
    ]);
}

#[test]
fn rules_order_by_value_with_null_lowest() {
    let ordered = |rule, sort| QueryRequest { order_by: by(rule, sort), ..select(&[("s", &["k"])]) };
    let filtered =
        |criteria, limit| QueryRequest { criteria: Some(criteria), limit, ..ordered("dur", Sort::Desc) };
    let cases: Vec<(QueryRequest, &[&str])> = vec![
        (ordered("dur", Sort::Asc), &["e5", "e3", "e4", "e2", "e1"]),
        (ordered("dur", Sort::Unspecified), &["e5", "e3", "e4", "e2", "e1"]),
        (ordered("dur", Sort::Desc), &["e1", "e2", "e4", "e3", "e5"]),
        (ordered("tid", Sort::Desc), &["e5", "e4", "e3", "e2", "e1"]),
        (ordered("two", Sort::Desc), &["e5", "e4", "e3", "e2", "e1"]),
        (ordered("msg", Sort::Asc), &["e2", "e3", "e1", "e4", "e5"]),
        (filtered(cond("dur", BinaryOp::Lt, i(600)), 0), &["e2", "e4", "e3"]),
        (filtered(eq("plain", s("p4")), 1), &["e4"]),
    ];
    filled().check(ALWAYS, &cases);
}
