//! Index mode: one document per series and segment, natural Boolean algebra on all indexed tags.

use crate::fixture::*;
use pipal_api::database::v1::TagType;
use pipal_api::measure::v1::QueryRequest;
use pipal_api::model::v1::{QueryOrder, Sort, condition::BinaryOp};
use pipal_model::Value;
use pipal_model::value::{encode_int_array, encode_str_array};

fn definition() -> Definition {
    let tags = vec![
        ("id", TagType::String),
        ("n", TagType::Int),
        ("zone", TagType::String),
        ("labels", TagType::StringArray),
        ("codes", TagType::IntArray),
        ("text", TagType::String),
        ("note", TagType::String),
    ];
    Definition {
        name: "ix",
        families: vec![("d", tags)],
        entity: vec!["id"],
        rules: vec![
            ("n", vec!["n"], ""),
            ("zone", vec!["zone"], ""),
            ("labels", vec!["labels"], ""),
            ("codes", vec!["codes"], ""),
            ("text", vec!["text"], "simple"),
        ],
        index_mode: true,
        ..Definition::default()
    }
}

fn labels(values: &[&str]) -> Value {
    let mut bytes = Vec::new();
    encode_str_array(values.iter().map(|v| v.as_bytes()), &mut bytes);
    Value::StrArray(bytes)
}

fn codes(values: &[i64]) -> Value {
    let mut bytes = Vec::new();
    encode_int_array(values.iter().copied(), &mut bytes);
    Value::IntArray(bytes)
}

fn filled() -> Fixture {
    let fixture = Fixture::new(2, &[definition()]);
    let int = Value::Int;
    let rows = [
        row(
            0,
            1,
            [
                text("d1"),
                int(1),
                text("eu-1"),
                labels(&["a", "b"]),
                codes(&[1, 2]),
                text("Hello big World"),
                text("x"),
            ],
            [],
        ),
        row(
            1,
            1,
            [
                text("d2"),
                int(2),
                text("eu-2"),
                labels(&["b", "c"]),
                codes(&[2, 3]),
                text("hello"),
                Value::Null,
            ],
            [],
        ),
        row(2, 1, [text("d3"), int(3), Value::Null, Value::Null, Value::Null, Value::Null, Value::Null], []),
        row(
            3,
            1,
            [text("d4"), int(-4), text("us"), Value::Null, Value::Null, text("world of it"), text("x")],
            [],
        ),
        row(
            4,
            1,
            [text("d5"), int(5), text(""), labels(&["", "b"]), codes(&[0, -1]), text(""), text("")],
            [],
        ),
        row(
            5,
            1,
            [text("d6"), int(6), text("EU-1"), labels(&["a"]), codes(&[1]), text("big"), text("y")],
            [],
        ),
    ];
    fixture.write(0, &rows);
    fixture
}

fn by(rule: &str, sort: Sort) -> Option<QueryOrder> {
    Some(QueryOrder { index_rule_name: rule.into(), sort: sort as i32 })
}

fn ids(criteria: pipal_api::model::v1::Criteria) -> String {
    let request = QueryRequest {
        criteria: Some(criteria),
        order_by: by("n", Sort::Asc),
        ..select(&[("d", &["id"])], &[])
    };
    let fixture = filled();
    let lines = fixture.lines(&request, -10, 10);
    fixture.engine.flush().unwrap();
    assert_eq!(fixture.lines(&request, -10, 10), lines, "in a part as in memory");
    lines.join(" ").replace('d', "")
}

#[test]
fn conditions_compare_terms() {
    use BinaryOp::{Eq, Ge, Gt, Having, In, Le, Lt, Match, Ne, NotHaving, NotIn};
    let cases = [
        (cond("zone", Eq, s("eu-1")), "1"),
        (cond("zone", Eq, s("EU-1")), "6"),
        (cond("zone", Eq, s("")), "5"),
        (cond("zone", Ne, s("eu-1")), "4 2 3 5 6"),
        (cond("zone", Ge, s("eu-2")), "4 2"),
        (cond("zone", Gt, s("eu-2")), "4"),
        (cond("zone", In, strings(&["eu-1", "us", "zz"])), "4 1"),
        (cond("zone", In, strings(&[])), ""),
        (cond("zone", NotIn, strings(&["eu-1", "eu-2", "us"])), "3 5 6"),
        (cond("zone", NotIn, strings(&[])), "4 1 2 3 5 6"),
        (cond("zone", Having, s("us")), "4"),
        (cond("zone", Eq, strings(&["eu-1"])), "1"),
        (cond("zone", Eq, i(1)), ""),
        (cond("zone", Ne, i(1)), "4 1 2 3 5 6"),
        (cond("n", Lt, i(2)), "4 1"),
        (cond("n", Le, i(2)), "4 1 2"),
        (cond("n", Gt, i(3)), "5 6"),
        (cond("n", Eq, s("3")), ""),
        (cond("labels", Eq, s("a")), "1 6"),
        (cond("labels", Ne, s("a")), "4 2 3 5"),
        (cond("labels", Having, strings(&["b", "a"])), "1"),
        (cond("labels", Having, strings(&[])), ""),
        (cond("labels", NotHaving, strings(&["a", "b"])), "4 2 3 5 6"),
        (cond("labels", NotIn, strings(&["a", "c"])), "4 3 5"),
        (cond("codes", Gt, i(2)), "2"),
        (cond("codes", Lt, i(0)), "5"),
        (cond("text", Match, s("WORLD")), "4 1"),
        (cond("text", Match, s("big world")), "4 1 6"),
        (cond("text", Match, s("...")), ""),
        (cond("text", Eq, s("hello")), "1 2"),
        (cond("id", Ge, s("d5")), "5 6"),
        (cond("id", NotIn, strings(&["d1", "d2", "d3", "d5"])), "4 6"),
        (and(eq("id", "d1"), eq("id", "d2")), ""),
        (or(eq("id", "d1"), cond("n", Eq, i(6))), "1 6"),
        (or(and(eq("zone", "eu-1"), cond("n", Lt, i(2))), and(cond("n", Gt, i(2)), eq("id", "d3"))), "1 3"),
    ];
    for (criteria, expected) in cases {
        assert_eq!(ids(criteria.clone()), expected, "{criteria:?}");
    }
}

#[test]
fn order_is_that_of_the_rule_with_missing_tags_last() {
    let ordered = |rule, sort, criteria| QueryRequest {
        order_by: by(rule, sort),
        criteria,
        ..select(&[("d", &["id"])], &[])
    };
    let fixture = filled();
    assert_eq!(fixture.lines(&ordered("n", Sort::Desc, None), -10, 10), ["d6", "d5", "d3", "d2", "d1", "d4"]);
    assert_eq!(
        fixture.lines(&ordered("zone", Sort::Asc, None), -10, 10)[..5],
        ["d5", "d6", "d1", "d2", "d4"]
    );
    for sort in [Sort::Asc, Sort::Desc] {
        let two = Some(cond("id", BinaryOp::In, strings(&["d1", "d3"])));
        assert_eq!(fixture.lines(&ordered("zone", sort, two), -10, 10), ["d1", "d3"]);
    }
    let page = QueryRequest { offset: 1, limit: 2, ..ordered("n", Sort::Desc, None) };
    assert_eq!(fixture.lines(&page, -10, 10), ["d5", "d3"]);
    assert_eq!(
        fixture.lines(&ordered("n", Sort::Asc, None), 1, 2),
        ["d2", "d3"],
        "times bound the documents"
    );
}

#[test]
fn whole_values_come_back() {
    let request = select(&[("d", &["labels", "codes", "text", "zone"])], &[]);
    let fixture = filled();
    assert_eq!(fixture.lines(&request, 0, 0), ["[\"a\", \"b\"] [1, 2] Hello big World eu-1"]);
    assert_eq!(fixture.lines(&request, 2, 2), ["null null null null"]);
    assert_eq!(fixture.lines(&request, 4, 4), ["[\"\", \"b\"] [0, -1] \"\" \"\""]);
    let wrong_family = select(&[("x", &["zone"])], &[]);
    assert!(fixture.lines(&wrong_family, 0, 0)[0].contains("tag zone not found in schema"));
}

/// The check happens per segment with the criteria: if the newest document fails them, an older one that passes is
/// shown. Otherwise a series is shown once.
#[test]
fn a_series_is_shown_once_from_its_newest_accepted_document() {
    let fixture = Fixture::new(1, &[definition()]);
    let day = 24 * 60;
    let document = |minute, id: &str, zone: &str| {
        let none = Value::Null;
        row(
            minute,
            1,
            [text(id), Value::Int(7), text(zone), none.clone(), none.clone(), none.clone(), none],
            [],
        )
    };
    fixture.write(0, &[document(-day, "a", "up"), document(-day, "old", "up")]);
    fixture.write(0, &[document(0, "a", "down")]);
    let request = QueryRequest { order_by: by("zone", Sort::Asc), ..select(&[("d", &["id", "zone"])], &[]) };
    assert_eq!(fixture.lines(&request, -2 * day, 10), ["a down", "old up"]);
    let up = QueryRequest { criteria: Some(eq("zone", "up")), ..request };
    let mut rows = fixture.lines(&up, -2 * day, 10);
    rows.sort();
    assert_eq!(rows, ["a up", "old up"]);
}

#[test]
fn a_document_is_replaced_by_the_last_arrival_whatever_its_version() {
    let fixture = Fixture::new(1, &[definition()]);
    let document = |minute, version| {
        let none = Value::Null;
        row(
            minute,
            version,
            [text("7"), Value::Int(1), none.clone(), none.clone(), none.clone(), none.clone(), none],
            [],
        )
    };
    fixture.write(0, &[document(60, 9)]);
    fixture.write(0, &[document(0, 2)]);
    let request = select(&[("d", &["id"])], &[]);
    assert_eq!(fixture.lines(&request, 30, 90), [""; 0]);
    let points = fixture.ask(&request, 0, 90).unwrap();
    assert_eq!((points.len(), points[0].version), (1, 2));
}
