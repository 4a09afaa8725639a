//! Several groups, and series that a sharding key spreads over shards.

use crate::fixture::*;
use pipal_api::database::v1::{FieldType, TagType};
use pipal_api::measure::v1::{QueryRequest, query_request};
use pipal_api::model::v1::{AggregationFunction, QueryOrder, Sort, condition::BinaryOp};
use pipal_model::{ErrorKind, Value};

fn measure(a: TagType, extra: (&'static str, FieldType)) -> Definition {
    Definition {
        name: "m",
        families: vec![("d", vec![("e", TagType::String), ("a", a)])],
        entity: vec!["e"],
        fields: vec![("v", FieldType::Int), extra],
        ..Definition::default()
    }
}

fn filled() -> Fixture {
    let second = Definition {
        families: vec![("d", vec![("e", TagType::String), ("a", TagType::Int), ("b", TagType::String)])],
        ..measure(TagType::Int, ("only2", FieldType::Float))
    };
    let fixture = Fixture::new(2, &[measure(TagType::String, ("only1", FieldType::Int)), second]);
    let int = Value::Int;
    fixture.write(
        0,
        &[
            row(0, 1, [text("s1"), text("x")], [int(1), int(11)]),
            row(2, 1, [text("s2"), text("y")], [int(2), int(12)]),
            row(9, 5, [text("dup"), text("z")], [int(50), int(0)]),
        ],
    );
    fixture.write(
        1,
        &[
            row(1, 1, [text("s3"), int(7), text("bb")], [int(3), Value::Float(1.5)]),
            row(3, 1, [text("s4"), int(8), text("cc")], [int(4), Value::Float(2.5)]),
            row(9, 6, [text("dup"), int(1), text("dd")], [int(60), Value::Float(0.5)]),
        ],
    );
    fixture
}

#[test]
fn groups_are_merged_by_time_and_keep_their_types() {
    let request = select(&[("d", &["e", "a", "b"])], &["v", "only1", "only2"]);
    let expected = ["s1 x null 1 11 null", "s3 7 bb 3 null 1.5", "s2 y null 2 12 null", "s4 8 cc 4 null 2.5"];
    assert_eq!(filled().lines(&request, 0, 5), expected);
    let newest_first = QueryRequest {
        order_by: Some(QueryOrder { sort: Sort::Desc as i32, ..QueryOrder::default() }),
        limit: 3,
        ..select(&[("d", &["e"])], &[])
    };
    assert_eq!(filled().lines(&newest_first, 0, 5), ["s4", "s2", "s3"], "the limit counts merged rows");
    let some = QueryRequest {
        criteria: Some(cond("e", BinaryOp::In, strings(&["s1", "s4"]))),
        ..select(&[("d", &["e"])], &[])
    };
    assert_eq!(filled().lines(&some, 0, 5), ["s1", "s4"]);
}

#[test]
fn the_same_series_and_time_in_two_groups_is_one_row() {
    let request = select(&[("d", &["e"])], &["v"]);
    let points = filled().ask(&request, 9, 9).unwrap();
    assert_eq!(points.iter().map(line).collect::<Vec<_>>(), ["dup 60"]);
    assert_eq!(points[0].version, 6);
}

#[test]
fn aggregations_run_over_the_union_without_duplicates() {
    let sum = QueryRequest {
        agg: Some(query_request::Aggregation {
            function: AggregationFunction::Sum as i32,
            field_name: "v".into(),
        }),
        ..QueryRequest::default()
    };
    assert_eq!(filled().lines(&sum, 0, 20), ["70"]);
}

#[test]
fn groups_must_agree_on_the_entity() {
    let other = Definition {
        families: vec![("d", vec![("e", TagType::String), ("f", TagType::String)])],
        entity: vec!["e", "f"],
        ..measure(TagType::String, ("x", FieldType::Int))
    };
    let fixture = Fixture::new(1, &[measure(TagType::String, ("x", FieldType::Int)), other]);
    assert!(fixture.lines(&select(&[("d", &["e"])], &[]), 0, 1)[0].contains("different entity lists"));
    assert!(filled().lines(&select(&[("d", &["ghost"])], &[]), 0, 1)[0].contains("tag is not defined"));
}

/// A sharding key outside the entity spreads a series: equal rows in two shards meet only in the query.
#[test]
fn a_spread_series_gives_each_time_once() {
    let definition = Definition {
        name: "spread",
        families: vec![("d", vec![("e", TagType::String), ("k", TagType::String)])],
        entity: vec!["e"],
        sharding: vec!["k"],
        fields: vec![("v", FieldType::Int)],
        ..Definition::default()
    };
    let fixture = Fixture::new(8, &[definition]);
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for (i, key) in keys.iter().enumerate() {
        let i = i as i64;
        let rows = [
            row(5, i, [text("one"), text(key)], [Value::Int(i)]),
            row(6 + i, 1, [text("one"), text(key)], [Value::Int(100)]),
        ];
        fixture.write(0, &rows);
    }
    let request = select(&[("d", &["k"])], &["v"]);
    assert_eq!(fixture.lines(&request, 5, 5), ["h 7"], "the greatest version stays");
    assert_eq!(fixture.lines(&request, 0, 60).len(), 9);
    let count = QueryRequest {
        agg: Some(query_request::Aggregation {
            function: AggregationFunction::Count as i32,
            field_name: "v".into(),
        }),
        ..QueryRequest::default()
    };
    assert_eq!(fixture.lines(&count, 0, 60), ["9"]);
}

/// A limit over many rows holds little; without one, the same query runs into the byte limit.
#[test]
fn memory_follows_the_limit_and_is_bounded() {
    let definition = measure(TagType::String, ("x", FieldType::Int));
    let fixture = Fixture::new(2, &[definition]);
    for block in 0..20 {
        let rows: Vec<_> = (0..2_000)
            .map(|i| {
                row(
                    i % 50,
                    1,
                    [text(&format!("s{block}-{i}")), text("0123456789")],
                    [Value::Int(i % 50), Value::Null],
                )
            })
            .collect();
        fixture.write(0, &rows);
    }
    let all = |limit, sort| QueryRequest {
        limit,
        order_by: Some(QueryOrder { sort, ..QueryOrder::default() }),
        ..select(&[("d", &["a"])], &["v"])
    };
    let ask = |request: &QueryRequest, bytes| fixture.ask_with(&fixture.groups, request, 0, 100, bytes);
    for sort in [Sort::Asc, Sort::Desc] {
        let few = ask(&all(10, sort as i32), 6 << 20).unwrap();
        let expected = if sort == Sort::Asc { "0" } else { "49" };
        assert_eq!(few.len(), 10);
        assert!(few.iter().all(|point| line(point) == format!("0123456789 {expected}")), "{}", line(&few[0]));
    }
    assert_eq!(ask(&all(u32::MAX, 0), 256 << 20).unwrap().len(), 40_000);
    assert_eq!(ask(&all(u32::MAX, 0), 6 << 20).unwrap_err().kind(), ErrorKind::ResourceExhausted);
}
