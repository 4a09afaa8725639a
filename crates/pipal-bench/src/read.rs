//! Reads points of load M back and decodes them completely.

use bytes::Bytes;
use pipal_api::measure::v1::query_request::FieldProjection;
use pipal_api::measure::v1::{DataPoint, QueryRequest, QueryResponse};
use pipal_api::model::v1::condition::BinaryOp;
use pipal_api::model::v1::logical_expression::LogicalOp;
use pipal_api::model::v1::tag_projection::TagFamily;
use pipal_api::model::v1::{
    Condition, Criteria, LogicalExpression, Str, StrArray, TagProjection, TagValue, TimeRange, criteria,
    field_value, tag_value,
};
use prost::Message;
use tonic::transport::Channel;

use crate::data_model::DataModel;
use crate::shape::{PointValues, Shape};
use crate::write_stream::call;

/// The client's limit for one answer.
pub const ANSWER_BYTES_MAX: usize = 50 << 20;

/// One row as it came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub entity_id: String,
    pub service_id: Option<String>,
    pub layer: Option<String>,
    /// True if the tag `attr1` came back as an explicit null.
    pub attr1_is_null: bool,
    pub time_ms: i64,
    pub version: i64,
    pub values: Option<PointValues>,
}

/// A time range in Unix milliseconds, both ends included.
pub fn time_range(first_ms: i64, last_ms: i64) -> TimeRange {
    let at = |ms: i64| prost_types::Timestamp {
        seconds: ms.div_euclid(1000),
        nanos: ms.rem_euclid(1000) as i32 * 1_000_000,
    };
    TimeRange { begin: Some(at(first_ms)), end: Some(at(last_ms)) }
}

/// A text as tag value.
pub fn text_value(text: &str) -> TagValue {
    TagValue { value: Some(tag_value::Value::Str(Str { value: text.to_owned() })) }
}

/// A list of texts as tag value.
pub fn texts_value(texts: Vec<String>) -> TagValue {
    TagValue { value: Some(tag_value::Value::StrArray(StrArray { value: texts })) }
}

/// The criteria of a single condition.
pub fn condition(name: &str, op: BinaryOp, value: TagValue) -> Criteria {
    let condition =
        Condition { name: name.to_owned(), op: op as i32, value: Some(value), ..Default::default() };
    Criteria { exp: Some(criteria::Exp::Condition(condition)) }
}

/// Both criteria.
pub fn and(left: Criteria, right: Criteria) -> Criteria {
    logical(LogicalOp::And, left, right)
}

/// Two criteria, joined.
pub fn logical(op: LogicalOp, left: Criteria, right: Criteria) -> Criteria {
    let expression =
        LogicalExpression { op: op as i32, left: Some(Box::new(left)), right: Some(Box::new(right)) };
    Criteria { exp: Some(criteria::Exp::Le(Box::new(expression))) }
}

/// A projection of tags by family.
pub fn tags(families: &[(&str, &[&str])]) -> Option<TagProjection> {
    let family = |&(name, tags): &(&str, &[&str])| TagFamily {
        name: name.to_owned(),
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
    };
    Some(TagProjection { tag_families: families.iter().map(family).collect() })
}

/// A projection of fields.
pub fn fields(names: &[&str]) -> Option<FieldProjection> {
    Some(FieldProjection { names: names.iter().map(|&name| name.to_owned()).collect() })
}

/// The request for all columns of some entities of load M.
pub fn rows_request(
    shape: &Shape,
    measure: u32,
    entities: impl IntoIterator<Item = u32>,
    buckets: std::ops::RangeInclusive<u32>,
    limit: u32,
) -> QueryRequest {
    let ids = entities.into_iter().map(|entity| shape.entity_id(entity).to_owned()).collect();
    QueryRequest {
        groups: vec![shape.options.group.clone()],
        name: shape.measure_name(measure),
        time_range: Some(time_range(shape.time_ms(*buckets.start()), shape.time_ms(*buckets.end()))),
        criteria: Some(condition("entity_id", BinaryOp::In, texts_value(ids))),
        tag_projection: tags(&[
            ("storage-only", &["entity_id"]),
            ("searchable", &["service_id", "attr0", "attr1"]),
        ]),
        field_projection: fields(&["value", "count", "summation"]),
        limit,
        ..Default::default()
    }
}

/// Asks and decodes all rows.
pub async fn read_rows(channel: Channel, request: &QueryRequest) -> Result<Vec<Row>, String> {
    let encoded = Bytes::from(request.encode_to_vec());
    let answer = call(channel, DataModel::Measure.query_path(), encoded, ANSWER_BYTES_MAX).await;
    let answer = answer
        .map_err(|status| format!("query {}: {:?}: {}", request.name, status.code(), status.message()))?;
    let response = QueryResponse::decode(answer).map_err(|error| format!("unreadable answer: {error}"))?;
    response.data_points.iter().map(decode_row).collect()
}

fn decode_row(point: &DataPoint) -> Result<Row, String> {
    let time = point.timestamp.as_ref().ok_or("a row without timestamp")?;
    let tag = |wanted: &str| {
        let mut all = point.tag_families.iter().flat_map(|family| &family.tags);
        all.find(|tag| tag.key == wanted)
            .and_then(|tag| tag.value.as_ref())
            .and_then(|value| value.value.as_ref())
    };
    let text = |wanted: &str| match tag(wanted) {
        Some(tag_value::Value::Str(text)) => Some(text.value.clone()),
        _ => None,
    };
    Ok(Row {
        entity_id: text("entity_id").ok_or("a row without entity_id")?,
        service_id: text("service_id"),
        layer: text("attr0"),
        attr1_is_null: matches!(tag("attr1"), Some(tag_value::Value::Null(_))),
        time_ms: time.seconds * 1000 + i64::from(time.nanos) / 1_000_000,
        version: point.version,
        values: decode_values(point),
    })
}

fn decode_values(point: &DataPoint) -> Option<PointValues> {
    let number = |wanted: &str| {
        let field = point.fields.iter().find(|field| field.name == wanted)?;
        match field.value.as_ref()?.value.as_ref()? {
            field_value::Value::Int(number) => Some(number.value),
            _ => None,
        }
    };
    Some(PointValues { value: number("value")?, count: number("count")?, summation: number("summation")? })
}
