//! The three questions of the demo with their answers as text.

use pipal_api::measure::v1::query_request::{Aggregation, FieldProjection, GroupBy, Top};
use pipal_api::measure::v1::{DataPoint, QueryRequest, QueryResponse};
use pipal_api::model::v1::condition::BinaryOp;
use pipal_api::model::v1::logical_expression::LogicalOp;
use pipal_api::model::v1::tag_projection::TagFamily;
use pipal_api::model::v1::{
    AggregationFunction, Condition, Criteria, LogicalExpression, Sort, Str, TagProjection, TagValue,
    TimeRange, criteria, field_value, tag_value,
};

use super::DemoError;
use super::data::{Hour, MINUTES, SERVICES};
use super::schema::{FAMILY, FIELDS, GROUP, MEASURE};
use super::text::{bar, sparkline, table};

const TOP_NUMBER: i32 = 3;
const BAR_WIDTH: usize = 24;
/// Minutes that the first table shows: those around the slowest one.
const SHOWN_MINUTES: usize = 6;

/// A question: title, query in words, request, and how its answer looks.
pub struct Question {
    pub title: &'static str,
    pub ql: &'static str,
    pub request: QueryRequest,
    pub render: fn(&QueryResponse) -> Result<String, DemoError>,
}

fn base(hour: Hour) -> QueryRequest {
    let (first, last) = hour.bounds_s();
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    QueryRequest {
        groups: vec![GROUP.to_owned()],
        name: MEASURE.to_owned(),
        time_range: Some(TimeRange { begin: at(first), end: at(last) }),
        limit: 1_000,
        ..Default::default()
    }
}

fn tags(names: &[&str]) -> Option<TagProjection> {
    let tags = names.iter().map(|&name| name.to_owned()).collect();
    Some(TagProjection { tag_families: vec![TagFamily { name: FAMILY.to_owned(), tags }] })
}

fn fields(names: &[&str]) -> Option<FieldProjection> {
    Some(FieldProjection { names: names.iter().map(|&name| name.to_owned()).collect() })
}

fn equals(tag: &str, text: &str) -> Criteria {
    let value = TagValue { value: Some(tag_value::Value::Str(Str { value: text.to_owned() })) };
    let condition =
        Condition { name: tag.to_owned(), op: BinaryOp::Eq as i32, value: Some(value), ..Default::default() };
    Criteria { exp: Some(criteria::Exp::Condition(condition)) }
}

fn both(left: Criteria, right: Criteria) -> Criteria {
    let op = LogicalOp::And as i32;
    let expression = LogicalExpression { op, left: Some(Box::new(left)), right: Some(Box::new(right)) };
    Criteria { exp: Some(criteria::Exp::Le(Box::new(expression))) }
}

fn mean_latency() -> Option<Aggregation> {
    let function = AggregationFunction::Mean as i32;
    Some(Aggregation { function, field_name: "latency_ms".to_owned() })
}

/// All questions about an hour.
pub fn all(hour: Hour) -> [Question; 3] {
    let one_series = QueryRequest {
        criteria: Some(both(equals("service", "checkout"), equals("instance", "checkout-1"))),
        tag_projection: tags(&["instance"]),
        field_projection: fields(&FIELDS),
        ..base(hour)
    };
    let by_service = QueryRequest {
        tag_projection: tags(&["service"]),
        field_projection: fields(&["latency_ms"]),
        group_by: Some(GroupBy { tag_projection: tags(&["service"]), field_name: "latency_ms".to_owned() }),
        agg: mean_latency(),
        ..base(hour)
    };
    let slowest = QueryRequest {
        criteria: Some(equals("region", "eu-west")),
        tag_projection: tags(&["service", "instance"]),
        field_projection: fields(&["latency_ms"]),
        group_by: Some(GroupBy {
            tag_projection: tags(&["service", "instance"]),
            field_name: "latency_ms".to_owned(),
        }),
        agg: mean_latency(),
        top: Some(Top {
            number: TOP_NUMBER,
            field_name: "latency_ms".to_owned(),
            field_value_sort: Sort::Desc as i32,
        }),
        ..base(hour)
    };
    [
        Question {
            title: "1. How did checkout-1 do in the last hour?",
            ql: "service = 'checkout' AND instance = 'checkout-1'",
            request: one_series,
            render: render_series,
        },
        Question {
            title: "2. Which service is slow?",
            ql: "MEAN(latency_ms) GROUP BY service",
            request: by_service,
            render: |answer| render_means(answer, &["service"], SERVICES.len()),
        },
        Question {
            title: "3. Which three instances in eu-west are slowest?",
            ql: "TOP 3 MEAN(latency_ms) WHERE region = 'eu-west' GROUP BY service, instance",
            request: slowest,
            render: |answer| render_means(answer, &["service", "instance"], TOP_NUMBER as usize),
        },
    ]
}

fn expect_rows(answer: &QueryResponse, rows: usize) -> Result<(), DemoError> {
    match answer.data_points.len() {
        found if found == rows => Ok(()),
        found => Err(DemoError::new(format!("the answer has {found} rows instead of {rows}"))),
    }
}

fn field(point: &DataPoint, name: &str) -> Option<f64> {
    match point.fields.iter().find(|field| field.name == name)?.value.as_ref()?.value.as_ref()? {
        field_value::Value::Float(number) => Some(number.value),
        field_value::Value::Int(number) => Some(number.value as f64),
        _ => None,
    }
}

fn tag<'a>(point: &'a DataPoint, name: &str) -> &'a str {
    let mut all = point.tag_families.iter().flat_map(|family| &family.tags);
    match all
        .find(|tag| tag.key == name)
        .and_then(|tag| tag.value.as_ref())
        .and_then(|value| value.value.as_ref())
    {
        Some(tag_value::Value::Str(text)) => &text.value,
        _ => "?",
    }
}

fn clock(point: &DataPoint) -> String {
    let minute = point.timestamp.as_ref().map_or(0, |time| time.seconds.div_euclid(60)).rem_euclid(24 * 60);
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn render_series(answer: &QueryResponse) -> Result<String, DemoError> {
    expect_rows(answer, MINUTES as usize)?;
    let points = &answer.data_points;
    let latencies: Vec<f64> = points.iter().filter_map(|point| field(point, "latency_ms")).collect();
    if latencies.len() != points.len() {
        return Err(DemoError::new("a row came back without its latency"));
    }
    let (slowest, greatest) = latencies
        .iter()
        .copied()
        .enumerate()
        .fold((0, 0.0), |best, (i, ms)| if ms > best.1 { (i, ms) } else { best });
    let least = latencies.iter().copied().fold(f64::INFINITY, f64::min);
    let label = |index: usize| points.get(index).map_or_else(String::new, clock);
    let first_shown =
        slowest.saturating_sub(SHOWN_MINUTES / 2).min(points.len().saturating_sub(SHOWN_MINUTES));
    let rows = points.iter().skip(first_shown).take(SHOWN_MINUTES).map(|point| {
        let number =
            |name, digits| field(point, name).map_or_else(|| "null".to_owned(), |v| format!("{v:.digits$}"));
        vec![clock(point), number("latency_ms", 2), number("calls", 0)]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    Ok(format!(
        "  {} {} {} UTC\n  {least:.0} to {greatest:.0} ms, slowest at {}:\n\n{}",
        label(0),
        sparkline(&latencies),
        label(points.len() - 1),
        label(slowest),
        table(&["minute", "latency ms", "calls"], &rows)
    ))
}

fn render_means(answer: &QueryResponse, columns: &[&str], expected: usize) -> Result<String, DemoError> {
    expect_rows(answer, expected)?;
    let mut means: Vec<(Vec<String>, f64)> = Vec::new();
    for point in &answer.data_points {
        let mean =
            field(point, "latency_ms").ok_or_else(|| DemoError::new("a row came back without its mean"))?;
        means.push((columns.iter().map(|name| tag(point, name).to_owned()).collect(), mean));
    }
    means.sort_by(|a, b| b.1.total_cmp(&a.1));
    let greatest = means.first().map_or(0.0, |(_, mean)| *mean);
    let row = |(mut cells, mean): (Vec<String>, f64)| {
        cells.push(format!("{mean:.2}"));
        cells.push(bar(mean, greatest, BAR_WIDTH));
        cells
    };
    let rows: Vec<Vec<String>> = means.into_iter().map(row).collect();
    let header: Vec<&str> = columns.iter().copied().chain(["mean ms", ""]).collect();
    Ok(table(&header, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipal_api::measure::v1::data_point::Field;
    use pipal_api::model::v1::{FieldValue, Float, Tag};

    fn mean_row(service: &str, mean: f64) -> DataPoint {
        let value = TagValue { value: Some(tag_value::Value::Str(Str { value: service.into() })) };
        let mean = FieldValue { value: Some(field_value::Value::Float(Float { value: mean })) };
        DataPoint {
            tag_families: vec![pipal_api::model::v1::TagFamily {
                name: FAMILY.into(),
                tags: vec![Tag { key: "service".into(), value: Some(value) }],
            }],
            fields: vec![Field { name: "latency_ms".into(), value: Some(mean) }],
            ..Default::default()
        }
    }

    #[test]
    fn means_are_ranked_and_drawn() {
        let answer = QueryResponse {
            data_points: vec![mean_row("search", 20.0), mean_row("payment", 40.0)],
            ..Default::default()
        };
        let text = render_means(&answer, &["service"], 2).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].contains("payment") && lines[2].contains("40.00"), "{text}");
        assert_eq!(lines[2].matches('\u{2588}').count(), 2 * lines[3].matches('\u{2588}').count());
    }

    #[test]
    fn missing_rows_and_values_are_errors() {
        let answer = QueryResponse { data_points: vec![DataPoint::default()], ..Default::default() };
        assert!(render_means(&answer, &["service"], 2).is_err());
        assert!(render_means(&answer, &["service"], 1).is_err());
        assert!(render_series(&answer).is_err());
    }
}
