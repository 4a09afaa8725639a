//! Several groups (stream specification, 12).

use crate::fixture::*;
use pipal_api::database::v1::TagType;
use pipal_api::model::v1::Sort;
use pipal_api::stream::v1::QueryRequest;
use pipal_model::Value;
use pipal_query::budget::QUERY_BYTES_MAX;

fn definitions() -> [Definition; 2] {
    let rules = || vec![("b", vec!["b"], RuleType::Inverted, "")];
    let a = ("a", TagType::String);
    let first = Definition {
        name: "dd",
        families: vec![("f", vec![a, ("b", TagType::Int)])],
        entity: vec!["a"],
        rules: rules(),
    };
    let second_tags = vec![a, ("b", TagType::String), ("z", TagType::String)];
    let second =
        Definition { name: "dd", families: vec![("f", second_tags)], entity: vec!["a"], rules: rules() };
    [first, second]
}

fn filled() -> Fixture {
    let fixture = Fixture::new(2, &definitions());
    let element = |second: i64, id, a, b: Value| row(second * SECOND, id, vec![text(a), b]);
    fixture.write(
        0,
        &[
            element(1, "k", "x", Value::Int(3)),
            element(2, "k", "y", Value::Int(1)),
            element(4, "m", "x", Value::Int(9)),
        ],
    );
    let second = |second: i64, id, a, b, z| row(second * SECOND, id, vec![text(a), text(b), z]);
    fixture.write(1, &[second(0, "k", "x", "3", text("zz")), second(5, "q", "y", "7", Value::Null)]);
    fixture
}

#[test]
fn groups_merge_with_their_own_types_and_ids() {
    let both = || select(&[("f", &["b", "z"])]);
    let only_b = || select(&[("f", &["b"])]);
    let cases: Vec<(QueryRequest, &[&str])> = vec![
        (both(), &["3 zz", "3 null", "9 null", "7 null"]),
        (QueryRequest { order_by: by("", Sort::Desc), limit: 2, offset: 1, ..only_b() }, &["9", "1"]),
        (QueryRequest { criteria: Some(eq("b", i(3))), ..only_b() }, &["3"]),
        (QueryRequest { criteria: Some(eq("b", s("7"))), ..both() }, &["7 null"]),
        (QueryRequest { criteria: Some(eq("a", s("x"))), ..both() }, &["3 zz", "3 null", "9 null"]),
    ];
    filled().check(ALWAYS, &cases);
}

#[test]
fn groups_merge_by_key() {
    let [first, _] = definitions();
    let fixture = Fixture::new(2, &[first.clone(), first]);
    let element = |second: i64, id, b| row(second * SECOND, id, vec![text("x"), b]);
    fixture.write(0, &[element(0, "1", Value::Int(5)), element(1, "2", Value::Int(-5))]);
    fixture.write(1, &[element(0, "1", Value::Int(7)), element(1, "2", Value::Null)]);
    let ordered = |sort| QueryRequest { order_by: by("b", sort), ..select(&[("f", &["b"])]) };
    assert_eq!(fixture.lines(&ordered(Sort::Asc), ALWAYS), ["null", "-5", "5", "7"]);
    assert_eq!(fixture.lines(&ordered(Sort::Desc), ALWAYS), ["7", "5", "-5", "null"]);
}

#[test]
fn a_group_that_is_named_twice_gives_its_rows_twice() {
    let fixture = filled();
    let twice = [fixture.groups[0].clone(), fixture.groups[0].clone()];
    let request = QueryRequest { limit: 3, ..select(&[("f", &["b"])]) };
    let response = fixture.respond(&twice, &request, ALWAYS, QUERY_BYTES_MAX).unwrap();
    assert_eq!(response.elements.iter().map(line).collect::<Vec<_>>(), ["3", "3", "9"]);
}

#[test]
fn groups_that_do_not_fit_are_refused() {
    let fixture = filled();
    fixture.check_errors(&[
        (
            QueryRequest { criteria: Some(eq("z", s("zz"))), ..select(&[("f", &["b"])]) },
            "tag \"z\" does not exist",
        ),
        (QueryRequest { order_by: by("z", Sort::Asc), ..select(&[("f", &["b"])]) }, "index is not define"),
    ]);
    let [first, mut second] = definitions();
    second.entity = vec!["z"];
    Fixture::new(1, &[first.clone(), second])
        .check_errors(&[(select(&[("f", &["a"])]), "schemas have different entity lists")]);
    let mut third = first.clone();
    third.rules = vec![("b", vec!["a"], RuleType::Inverted, "")];
    let ordered = QueryRequest { order_by: by("b", Sort::Asc), ..select(&[("f", &["b"])]) };
    Fixture::new(1, &[first, third]).check_errors(&[(ordered, "different tags in the groups")]);
}
