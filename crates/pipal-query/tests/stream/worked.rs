//! The worked example of the stream specification, section 16.

use crate::fixture::*;
use pipal_api::database::v1::TagType;
use pipal_api::model::v1::{Sort, condition::BinaryOp};
use pipal_api::stream::v1::QueryRequest;
use pipal_model::Value;

fn sw() -> Definition {
    let searchable = vec![
        ("trace_id", TagType::String),
        ("service_id", TagType::String),
        ("service_instance_id", TagType::String),
        ("state", TagType::Int),
        ("duration", TagType::Int),
        ("http.method", TagType::String),
        ("status_code", TagType::Int),
        ("span_id", TagType::String),
        ("start_time", TagType::Int),
        ("extended_tags", TagType::StringArray),
    ];
    Definition {
        name: "sw",
        families: vec![("searchable", searchable), ("data", vec![("data_binary", TagType::DataBinary)])],
        entity: vec!["service_id", "service_instance_id", "state"],
        rules: vec![
            ("duration", vec!["duration"], RuleType::Inverted, ""),
            ("extended_tags", vec!["extended_tags"], RuleType::Inverted, ""),
            ("trace_id", vec!["trace_id"], RuleType::Skipping, ""),
        ],
    }
}

fn filled() -> Fixture {
    let fixture = Fixture::new(2, &[sw()]);
    let http = |method: &str| match method {
        "null" => Value::Null,
        method => text(method),
    };
    let data = |id: i64, state, instance, duration, method, code, span, extended: &[&str]| {
        let code = if code == 0 { Value::Null } else { Value::Int(code) };
        let extended = if extended.is_empty() { Value::Null } else { texts(extended) };
        let tags = vec![
            text(&(id + 1).to_string()),
            text("webapp_id"),
            text(instance),
            Value::Int(state),
            Value::Int(duration),
            http(method),
            code,
            text(span),
            Value::Int(7),
            extended,
            Value::Binary(b"abc".to_vec()),
        ];
        row(id * SECOND / 2, &id.to_string(), tags)
    };
    let rows = [
        data(0, 1, "10.0.0.1_id", 1000, "null", 0, "1", &[]),
        data(1, 1, "10.0.0.3_id", 500, "", 0, "1", &[]),
        data(2, 0, "10.0.0.1_id", 30, "GET", 500, "2", &["c"]),
        data(3, 0, "10.0.0.5_id", 60, "GET", 400, "2", &["b", "c"]),
        data(4, 0, "10.0.0.1_id", 300, "GET", 500, "3", &["a", "b", "c"]),
    ];
    fixture.write(0, &rows[..3]);
    fixture.engine().flush().unwrap();
    fixture.write(0, &rows[3..]);
    fixture
}

fn ids() -> QueryRequest {
    select(&[("searchable", &["trace_id"])])
}

#[test]
fn the_queries_of_the_worked_example_have_its_answers() {
    use BinaryOp::{Gt, Having, Lt, Ne, NotHaving};
    let service = || eq("service_id", s("webapp_id"));
    let filtered = |criteria| QueryRequest { criteria: Some(criteria), ..ids() };
    let short = |op, value| cond("duration", op, i(value));
    let time_desc = || by("", Sort::Desc);
    let cases: Vec<(QueryRequest, &[&str])> = vec![
        (ids(), &["1", "2", "3", "4", "5"]),
        (QueryRequest { order_by: time_desc(), limit: 2, offset: 3, ..ids() }, &["2", "1"]),
        (QueryRequest { order_by: by("duration", Sort::Desc), ..ids() }, &["1", "2", "5", "4", "3"]),
        (QueryRequest { order_by: time_desc(), limit: 2, ..filtered(short(Lt, 500)) }, &["5", "4"]),
        (filtered(short(Ne, 500)), &["1", "3", "4", "5"]),
        (filtered(cond("extended_tags", Having, ss(&["c", "b"]))), &["4", "5"]),
        (filtered(cond("extended_tags", NotHaving, s("c"))), &["1", "2"]),
        (
            QueryRequest {
                order_by: by("duration", Sort::Desc),
                ..filtered(and(service(), eq("state", i(0))))
            },
            &["5", "4", "3"],
        ),
        (filtered(or(and(cond("status_code", Lt, i(200)), service()), short(Lt, 100))), &["3", "4"]),
        (
            filtered(or(eq("span_id", s("1")), and(eq("start_time", i(7)), eq("state", i(0))))),
            &["1", "2", "3", "4", "5"],
        ),
        (
            QueryRequest {
                order_by: by("duration", Sort::Asc),
                offset: 3,
                limit: 5,
                ..filtered(and(short(Gt, 30), short(Lt, 1000)))
            },
            &[],
        ),
        (filtered(and(short(Gt, 500), short(Lt, 500))), &[]),
    ];
    filled().check(ALWAYS, &cases);
}

#[test]
fn null_and_empty_text_are_told_apart() {
    let request = select(&[("searchable", &["http.method"])]);
    filled().check(ALWAYS, &[(request, &["null", "\"\"", "GET", "GET", "GET"])]);
}

#[test]
fn elements_have_the_id_in_16_digits_and_their_time() {
    let elements = filled().ask(&QueryRequest { limit: 2, ..ids() }, ALWAYS).unwrap();
    for (number, element) in elements.iter().enumerate() {
        assert_eq!(element.element_id, format!("{:016x}", hash(&number.to_string())));
        let time = element.timestamp.as_ref().unwrap();
        let nanos = time.seconds * SECOND + i64::from(time.nanos);
        assert_eq!(nanos, TEN + number as i64 * SECOND / 2);
    }
}
