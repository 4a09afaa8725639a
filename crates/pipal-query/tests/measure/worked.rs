//! The worked queries of the measure specification, section 6, and the tables around it.

use crate::fixture::*;
use pipal_api::database::v1::{FieldType, TagType};
use pipal_api::measure::v1::{QueryRequest, query_request};
use pipal_api::model::v1::{AggregationFunction, QueryOrder, Sort, condition::BinaryOp};
use pipal_model::Value;

fn lat() -> Definition {
    Definition {
        name: "lat",
        families: vec![(
            "d",
            vec![("host", TagType::String), ("zone", TagType::String), ("note", TagType::String)],
        )],
        entity: vec!["host"],
        fields: vec![("ms", FieldType::Int), ("load", FieldType::Float), ("txt", FieldType::String)],
        rules: vec![("zone", vec!["zone"], "")],
        ..Definition::default()
    }
}

fn filled() -> Fixture {
    let fixture = Fixture::new(2, &[lat()]);
    let zone = |zone: &str| if zone.is_empty() { Value::Null } else { text(zone) };
    let data = |minute, host, z, note, ms, load, version| {
        let ms = if ms < 0 { Value::Null } else { Value::Int(ms) };
        row(minute, version, [text(host), zone(z), text(note)], [ms, Value::Float(load)])
    };
    fixture.write(
        0,
        &[
            data(0, "h1", "eu", "a", 10, 0.5, 1),
            data(1, "h2", "us", "b", 20, 0.5, 1),
            data(2, "h1", "eu", "c", 30, 1.5, 1),
            data(2, "h1", "eu", "d", 35, 2.5, 2),
            data(3, "h3", "", "e", -1, 4.0, 1),
        ],
    );
    fixture
}

fn group(tags: &[&str]) -> Option<query_request::GroupBy> {
    Some(query_request::GroupBy {
        tag_projection: Some(projection(&[("d", tags)])),
        field_name: String::new(),
    })
}

fn agg(function: AggregationFunction, field: &str) -> Option<query_request::Aggregation> {
    Some(query_request::Aggregation { function: function as i32, field_name: field.into() })
}

fn top(number: i32, field: &str, sort: Sort) -> Option<query_request::Top> {
    Some(query_request::Top { number, field_name: field.into(), field_value_sort: sort as i32 })
}

fn by(rule: &str, sort: Sort) -> Option<QueryOrder> {
    Some(QueryOrder { index_rule_name: rule.into(), sort: sort as i32 })
}

/// Runs the check before and after everything was flushed into parts.
fn check(request: QueryRequest, expected: &[&str]) {
    let fixture = filled();
    assert_eq!(fixture.lines(&request, 0, 3), expected, "from memory");
    fixture.engine.flush().unwrap();
    assert_eq!(fixture.lines(&request, 0, 3), expected, "from parts");
}

fn check_error(request: QueryRequest, part: &str) {
    let lines = filled().lines(&request, 0, 3);
    assert!(
        lines.len() == 1 && lines[0].starts_with("error") && lines[0].contains(part),
        "{lines:?} lacks {part}"
    );
}

#[test]
fn rows_come_by_time_and_the_newer_version_wins() {
    check(select(&[("d", &["host"])], &["ms"]), &["h1 10", "h2 20", "h1 35", "h3 null"]);
    let newest_first = QueryRequest { order_by: by("", Sort::Desc), ..select(&[("d", &["host"])], &[]) };
    check(newest_first, &["h3", "h1", "h2", "h1"]);
}

#[test]
fn conditions_on_attributes_select_series() {
    let filtered = |criteria| QueryRequest { criteria: Some(criteria), ..select(&[("d", &["host"])], &[]) };
    check(filtered(eq("zone", "eu")), &["h1", "h1"]);
    check(filtered(cond("zone", BinaryOp::Ne, s("eu"))), &["h2", "h3"]);
    check(filtered(cond("zone", BinaryOp::NotIn, strings(&["eu", "us"]))), &["h3"]);
    check(filtered(cond("zone", BinaryOp::Ge, s("us"))), &["h2"]);
    check(filtered(cond("host", BinaryOp::Eq, i(1))), &[]);
    let only_field = QueryRequest { criteria: Some(eq("zone", "eu")), ..select(&[], &["ms"]) };
    let points = filled().ask(&only_field, 0, 3).unwrap();
    assert!(points.iter().all(|point| point.tag_families.is_empty()), "a hidden tag leaves no family");
    let notes = QueryRequest {
        criteria: Some(cond("host", BinaryOp::In, strings(&["h1", "zz"]))),
        ..select(&[("d", &["note"])], &[])
    };
    check(notes, &["a", "d"]);
}

#[test]
fn criteria_errors_have_their_texts() {
    let filtered = |criteria| QueryRequest { criteria: Some(criteria), ..select(&[("d", &["host"])], &[]) };
    check_error(filtered(eq("note", "a")), "mandatory index rule conf:");
    check_error(filtered(eq("ghost", "a")), "unsupported condition operation: invalid query message");
    check_error(filtered(and(eq("host", "h1"), eq("host", "h2"))), "series is required");
    check_error(filtered(cond("zone", BinaryOp::In, s("eu"))), "unsupported condition value");
    check_error(filtered(cond("host", BinaryOp::Gt, s("h1"))), "unsupported condition operation");
    check_error(select(&[], &[]), "tagProjection or fieldProjection is required");
    check_error(select(&[("d", &["ghost"])], &["ghost"]), "ghost: tag is not defined");
    check_error(select(&[], &["ghost"]), "field ghost not found in schema");
}

#[test]
fn a_condition_that_names_no_series_is_an_error_only_where_there_is_data() {
    let request = QueryRequest {
        criteria: Some(cond("host", BinaryOp::In, strings(&[]))),
        ..select(&[("d", &["host"])], &[])
    };
    check_error(request.clone(), "series is required");
    assert_eq!(Fixture::new(2, &[lat()]).lines(&request, 0, 3), [""; 0]);
}

#[test]
fn order_by_a_rule_gives_series_by_value_with_missing_ones_last() {
    let ordered = |sort| QueryRequest { order_by: by("zone", sort), ..select(&[("d", &["note"])], &[]) };
    check(ordered(Sort::Desc), &["b", "a", "d", "e"]);
    check(ordered(Sort::Asc), &["a", "d", "b", "e"]);
    check_error(
        QueryRequest { order_by: by("ghost", Sort::Asc), ..select(&[("d", &["note"])], &[]) },
        "index is not define",
    );
}

#[test]
fn groups_and_aggregates() {
    use AggregationFunction::{Count, Max, Mean, Min, Sum};
    let grouped = |function, field| QueryRequest {
        group_by: group(&["zone"]),
        agg: agg(function, field),
        ..QueryRequest::default()
    };
    check(
        QueryRequest { tag_projection: Some(projection(&[("d", &["zone", "host"])])), ..grouped(Sum, "ms") },
        &["eu h1 45", "us h2 20", "null h3 0"],
    );
    check(grouped(Min, "ms"), &["eu 10", "us 20", "null 9223372036854775807"]);
    check(grouped(Max, "ms"), &["eu 35", "us 20", "null -9223372036854775808"]);
    check(grouped(Mean, "ms"), &["eu 22", "us 20", "null 0"]);
    check(grouped(Count, "ms"), &["eu 2", "us 1", "null 0"]);
    check(grouped(Mean, "load"), &["eu 1.5", "us 1.0", "null 4.0"]);
    check(QueryRequest { top: top(1, "load", Sort::Desc), ..grouped(Count, "load") }, &["eu 2.0"]);
    let newest_first = QueryRequest {
        tag_projection: Some(projection(&[("d", &["zone", "note"])])),
        order_by: by("", Sort::Desc),
        ..grouped(Sum, "ms")
    };
    check(newest_first, &["null e 0", "eu d 45", "us b 20"]);
    let page = QueryRequest { top: top(3, "ms", Sort::Asc), offset: 1, limit: 1, ..grouped(Sum, "ms") };
    check(page, &["us 20"]);
    let all = QueryRequest {
        tag_projection: Some(projection(&[("d", &["host"])])),
        agg: agg(Max, "ms"),
        ..QueryRequest::default()
    };
    check(all.clone(), &["h1 35"]);
    assert_eq!(filled().lines(&all, -30, -20), [""; 0], "no rows, no number");
    let point = filled().ask(&all, 0, 3).unwrap().remove(0);
    assert_eq!((point.timestamp, point.sid, point.version), (None, 0, 0));
}

#[test]
fn group_without_aggregation_gives_whole_first_rows() {
    let request = QueryRequest {
        tag_projection: Some(projection(&[("d", &["zone", "note"])])),
        group_by: group(&["zone"]),
        ..select(&[], &["ms"])
    };
    let request = QueryRequest { tag_projection: Some(projection(&[("d", &["zone", "note"])])), ..request };
    check(request.clone(), &["eu a 10", "us b 20", "null e null"]);
    check(QueryRequest { top: top(1, "ms", Sort::Asc), ..request.clone() }, &["null e null"]);
    assert!(filled().ask(&request, 0, 3).unwrap().iter().all(|p| p.timestamp.is_some() && p.sid > 0));
    check(
        QueryRequest {
            group_by: group(&["note"]),
            agg: agg(AggregationFunction::Count, "ms"),
            ..Default::default()
        },
        &["a 1", "b 1", "d 1", "e 0"],
    );
}

#[test]
fn top_ranks_plain_rows() {
    let ranked =
        |number, sort| QueryRequest { top: top(number, "ms", sort), ..select(&[("d", &["host"])], &["ms"]) };
    check(ranked(2, Sort::Desc), &["h1 35", "h2 20"]);
    check(ranked(2, Sort::Unspecified), &["h1 35", "h2 20"]);
    check(ranked(2, Sort::Asc), &["h3 null", "h1 10"]);
    check(ranked(0, Sort::Asc), &[]);
    check(ranked(-1, Sort::Asc), &[]);
    let ties = QueryRequest { top: top(3, "load", Sort::Asc), ..select(&[("d", &["note"])], &["load"]) };
    check(ties, &["a 0.5", "b 0.5", "d 2.5"]);
    check_error(QueryRequest { top: top(2, "load", Sort::Desc), ..select(&[], &["ms"]) }, "top field load");
}

#[test]
fn grouping_and_aggregation_are_checked() {
    use AggregationFunction::{Count, Sum, Unspecified};
    let two_families = Some(query_request::GroupBy {
        tag_projection: Some(projection(&[("d", &["zone"]), ("e", &["x"])])),
        field_name: String::new(),
    });
    check_error(
        QueryRequest { group_by: two_families, agg: agg(Count, "ms"), ..Default::default() },
        "error",
    );
    check_error(
        QueryRequest { group_by: group(&["x"]), agg: agg(Count, "ms"), ..Default::default() },
        "error",
    );
    check_error(QueryRequest { group_by: group(&[]), agg: agg(Count, "ms"), ..Default::default() }, "error");
    check_error(QueryRequest { agg: agg(Sum, "ghost"), ..Default::default() }, "not found");
    check_error(QueryRequest { agg: agg(Unspecified, "ms"), ..Default::default() }, "aggregation");
    check_error(QueryRequest { agg: agg(Count, "txt"), ..Default::default() }, "unsupported aggregation");
}

#[test]
fn paging_counts_in_64_bits() {
    let page = |offset, limit| QueryRequest { offset, limit, ..select(&[("d", &["host"])], &[]) };
    check(page(1, 2), &["h2", "h1"]);
    check(page(4, 0), &[]);
    check(page(1, u32::MAX), &["h2", "h1", "h3"]);
    check(page(u32::MAX, u32::MAX), &[]);
}

#[test]
fn the_time_range_holds_both_ends() {
    let request = select(&[], &["ms"]);
    let fixture = filled();
    assert_eq!(fixture.lines(&request, 0, 1), ["10", "20"]);
    assert_eq!(fixture.lines(&request, 1, 1), ["20"]);
    assert_eq!(fixture.lines(&request, 3, 0), [""; 0]);
}

#[test]
fn projections_keep_the_order_of_the_request() {
    let merged = select(&[("d", &["note"]), ("d", &["host"])], &["load", "ms"]);
    check(merged.clone(), &["a h1 0.5 10", "b h2 0.5 20", "d h1 2.5 35", "e h3 4.0 null"]);
    assert_eq!(filled().ask(&merged, 0, 0).unwrap()[0].tag_families.len(), 1);
    let wrong_family = select(&[("x", &["note", "host"])], &[]);
    check(wrong_family, &["null h1", "null h2", "null h1", "null h3"]);
    let twice = select(&[("d", &["host", "host"])], &["ms", "ms"]);
    assert_eq!(filled().lines(&twice, 0, 0), ["h1 h1 10 10"]);
    let text_field = select(&[], &["txt"]);
    assert_eq!(filled().lines(&text_field, 0, 0), ["\"\""], "a null text reads as an empty one");
}
