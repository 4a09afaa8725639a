//! Order, repeated ids, offset and limit, time ranges and segments (stream specification, 3.1, 3.3, 9, 10).

use crate::fixture::*;
use pipal_api::database::v1::TagType;
use pipal_api::model::v1::Sort;
use pipal_api::stream::v1::QueryRequest;
use pipal_model::Value;
use pipal_query::budget::QUERY_BYTES_MAX;

fn definition() -> Definition {
    Definition {
        name: "dd",
        families: vec![("f", vec![("a", TagType::String), ("b", TagType::Int)])],
        entity: vec!["a"],
        rules: vec![("b", vec!["b"], RuleType::Inverted, "")],
    }
}

fn element(second: i64, id: &str, a: &str, b: i64) -> TestRow {
    row(second * SECOND, id, vec![text(a), Value::Int(b)])
}

fn shown() -> QueryRequest {
    select(&[("f", &["b"])])
}

fn desc() -> QueryRequest {
    QueryRequest { order_by: by("", Sort::Desc), ..shown() }
}

#[test]
fn of_repeated_ids_the_first_in_order_stays() {
    let mut fixture = Fixture::new(2, &[definition()]);
    fixture.write(0, &[element(0, "k", "x", 3), element(1, "k", "y", 1), element(2, "k", "x", 2)]);
    fixture.engine().flush().unwrap();
    fixture.write(0, &[element(3, "m", "x", 9), element(4, "n", "x", 5)]);
    let by_b = |sort| QueryRequest { order_by: by("b", sort), ..shown() };
    let b_is_2 = || QueryRequest { criteria: Some(eq("b", i(2))), ..shown() };
    let cases: Vec<(QueryRequest, &[&str])> = vec![
        (shown(), &["3", "9", "5"]),
        (desc(), &["5", "9", "2"]),
        (by_b(Sort::Asc), &["1", "5", "9"]),
        (by_b(Sort::Desc), &["9", "5", "3"]),
        (QueryRequest { limit: 2, offset: 1, ..shown() }, &["9", "5"]),
        (QueryRequest { limit: 2, ..shown() }, &["3", "9"]),
        (QueryRequest { limit: 1, offset: 2, ..desc() }, &["2"]),
        // The filter comes first: an id is not lost because its first row does not pass.
        (b_is_2(), &["2"]),
    ];
    fixture.check(ALWAYS, &cases);
}

#[test]
fn offset_and_limit_have_their_defaults_and_no_cap() {
    let mut fixture = Fixture::new(2, &[definition()]);
    let names = ["x0", "x1", "x2"];
    let rows: Vec<TestRow> =
        (0..25).map(|n| element(n, &format!("i{n}"), names[n as usize % 3], n)).collect();
    fixture.write(0, &rows);
    let numbers: Vec<String> = (0..25).map(|n: i32| n.to_string()).collect();
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    let with = |offset, limit| QueryRequest { offset, limit, ..shown() };
    let cases: Vec<(QueryRequest, &[&str])> = vec![
        (with(0, 0), &numbers[..20]),
        (with(20, 0), &numbers[20..]),
        (with(0, 25), &numbers),
        (with(0, u32::MAX), &numbers),
        // The sum saturates where the reference wraps.
        (with(2, u32::MAX), &numbers[2..]),
        (with(u32::MAX, u32::MAX), &[]),
        (with(30, 1), &[]),
    ];
    fixture.check(ALWAYS, &cases);
}

#[test]
fn both_ends_of_a_time_range_count() {
    let mut fixture = Fixture::new(2, &[definition()]);
    let rows: Vec<TestRow> = (0..5).map(|n| element(n, &format!("i{n}"), "x", n)).collect();
    fixture.write(0, &rows);
    fixture.check((1, 3), &[(shown(), &["1", "2", "3"])]);
    for (range, expected) in [((2, 2), &["2"][..]), ((3, 1), &[]), ((-9 * DAY, -8 * DAY), &[])] {
        assert_eq!(fixture.lines(&shown(), range), expected, "{range:?}");
    }
}

#[test]
fn segments_follow_each_other_in_every_order() {
    let mut fixture = Fixture::new(2, &[definition()]);
    fixture.write(0, &[element(-2 * DAY, "1", "x", 3), element(-DAY, "2", "y", 1), element(0, "3", "x", 2)]);
    let cases: Vec<(QueryRequest, &[&str])> = vec![
        (shown(), &["3", "1", "2"]),
        (QueryRequest { limit: 2, ..desc() }, &["2", "1"]),
        (QueryRequest { order_by: by("b", Sort::Asc), ..shown() }, &["1", "2", "3"]),
    ];
    fixture.check(ALWAYS, &cases);
}

/// A limit ends the reading at the segment that fills it, and not at one whose rows are of too few ids.
#[test]
fn a_satisfied_limit_leaves_the_other_segments_alone() {
    let fixture = Fixture::new(2, &[definition()]);
    for day in -3..=0 {
        // Yesterday and today have one id between them.
        let id = |n: i64| if day < -1 { format!("{day} {n}") } else { "same".to_owned() };
        let rows: Vec<TestRow> = (0..10).map(|n| element(day * DAY + n, &id(n), "x", 10 * day + n)).collect();
        fixture.write(0, &rows);
    }
    let request = QueryRequest { limit: 3, trace: true, ..desc() };
    let response = fixture.respond(&fixture.groups, &request, ALWAYS, QUERY_BYTES_MAX).unwrap();
    assert_eq!(response.elements.iter().map(line).collect::<Vec<_>>(), ["9", "-11", "-12"]);
    let trace = response.trace.unwrap();
    let not_needed = trace.spans[0].children[0].tags.iter().find(|tag| tag.key == "segments_not_needed");
    assert_eq!(not_needed.map(|tag| tag.value.as_str()), Some("1"));
}

/// More rows than the sink holds before it drops worse ones, in an order that keeps bringing better ones.
#[test]
fn many_rows_are_cut_down_to_the_limit() {
    let fixture = Fixture::new(1, &[definition()]);
    let count = 30_000;
    let rows: Vec<TestRow> = (0..count)
        .map(|n| element(n, &format!("i{}", n / 3), if n % 2 == 0 { "x" } else { "y" }, (n * 7919) % count))
        .collect();
    for chunk in rows.chunks(10_000) {
        fixture.write(0, chunk);
    }
    let first = |request: QueryRequest| fixture.lines(&request, ALWAYS);
    let expected: Vec<String> = (0..5).map(|n| ((n * 3 * 7919) % count).to_string()).collect();
    assert_eq!(first(QueryRequest { limit: 5, ..shown() }), expected);
    let expected: Vec<String> =
        (1..=5).map(|n| (((count - 1 - 3 * (n - 1)) * 7919) % count).to_string()).collect();
    assert_eq!(first(QueryRequest { limit: 5, ..desc() }), expected);
    // By value, an id counts where its least value is.
    let mut least = vec![i64::MAX; count as usize / 3];
    for n in 0..count {
        let id = n as usize / 3;
        least[id] = least[id].min((n * 7919) % count);
    }
    least.sort_unstable();
    let expected: Vec<String> = least[2..12].iter().map(i64::to_string).collect();
    let by_b = QueryRequest { order_by: by("b", Sort::Asc), offset: 2, limit: 10, ..shown() };
    assert_eq!(first(by_b), expected);
}
