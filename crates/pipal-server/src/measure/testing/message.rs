//! Write and query requests in short.

use super::NOW_MS;
use crate::api::common::Metadata;
use crate::api::measure::{
    DataPointSpec, DataPointValue, QueryRequest, TagFamilySpec, WriteRequest, query_request::FieldProjection,
};
use crate::api::model::{
    FieldValue, Float, Int, IntArray, Str, StrArray, TagFamilyForWrite, TagProjection, TagValue, TimeRange,
    field_value, tag_projection, tag_value,
};
use bytes::Bytes;
use pipal_query::schema::RowSchema;
use prost::Message;
use prost_types::Timestamp;

/// Builds a write request.
#[derive(Clone)]
pub struct MessageBuilder(WriteRequest);

/// A message with this id whose point lies `minutes` before now and has no tags yet.
pub fn point(message_id: u64, minutes: i64) -> MessageBuilder {
    let timestamp = Some(timestamp_ms(NOW_MS - minutes * 60_000));
    let data_point = Some(DataPointValue { timestamp, ..DataPointValue::default() });
    MessageBuilder(WriteRequest { message_id, data_point, ..WriteRequest::default() })
}

fn timestamp_ms(ms: i64) -> Timestamp {
    Timestamp { seconds: ms.div_euclid(1_000), nanos: ms.rem_euclid(1_000) as i32 * 1_000_000 }
}

impl MessageBuilder {
    /// Names the measure in group `g`.
    pub fn to(self, measure: &str) -> Self {
        self.of_group("g", measure, 0)
    }

    /// Names the measure, its group, and the revision that the client knows.
    pub fn of_group(mut self, group: &str, measure: &str, mod_revision: i64) -> Self {
        let metadata =
            Metadata { group: group.into(), name: measure.into(), mod_revision, ..Metadata::default() };
        self.0.metadata = Some(metadata);
        self
    }

    /// Adds a family. Values are written as `-` (null), `?` (unset), a number, `[a b]`, `[1 2]`, `0x` and bytes,
    /// `@` and seconds for a timestamp, or text.
    pub fn tags(mut self, values: &[&str]) -> Self {
        let tags = values.iter().map(|value| TagValue { value: tag(value) }).collect();
        self.0.data_point.get_or_insert_default().tag_families.push(TagFamilyForWrite { tags });
        self
    }

    /// Sets the fields, written like tags; a number with a point is a float.
    pub fn fields(mut self, values: &[&str]) -> Self {
        let fields = values.iter().map(|value| FieldValue { value: field(value) }).collect();
        self.0.data_point.get_or_insert_default().fields = fields;
        self
    }

    /// Sets the spec.
    pub fn spec(mut self, families: &[(&str, &[&str])], fields: &[&str]) -> Self {
        let texts = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let family =
            |(name, tags): &(&str, &[&str])| TagFamilySpec { name: name.to_string(), tag_names: texts(tags) };
        let tag_family_spec = families.iter().map(family).collect();
        self.0.data_point_spec = Some(DataPointSpec { tag_family_spec, field_names: texts(fields) });
        self
    }

    /// Sets the version.
    pub fn version(mut self, version: i64) -> Self {
        self.0.data_point.get_or_insert_default().version = version;
        self
    }

    /// Sets the time.
    pub fn at(mut self, seconds: i64, nanos: i32) -> Self {
        self.0.data_point.get_or_insert_default().timestamp = Some(Timestamp { seconds, nanos });
        self
    }

    /// Changes the message in some other way.
    pub fn with(mut self, change: impl FnOnce(&mut WriteRequest)) -> Self {
        change(&mut self.0);
        self
    }

    /// The message on the wire.
    pub fn encode(&self) -> Bytes {
        self.0.encode_to_vec().into()
    }
}

fn tag(text: &str) -> Option<tag_value::Value> {
    use tag_value::Value;
    if let Some(list) = text.strip_prefix('[') {
        let items: Vec<&str> = list.trim_end_matches(']').split_whitespace().collect();
        let numbers: Option<Vec<i64>> = items.iter().map(|item| item.parse().ok()).collect();
        return Some(match numbers {
            Some(value) => Value::IntArray(IntArray { value }),
            None => Value::StrArray(StrArray { value: items.iter().map(|item| item.to_string()).collect() }),
        });
    }
    if let Some(bytes) = text.strip_prefix("0x") {
        return Some(Value::BinaryData(bytes.as_bytes().to_vec().into()));
    }
    if let Some(seconds) = text.strip_prefix('@') {
        return Some(Value::Timestamp(Timestamp { seconds: seconds.parse().unwrap(), nanos: 0 }));
    }
    match text {
        "-" => Some(Value::Null(0)),
        "?" => None,
        _ => Some(match text.parse() {
            Ok(value) => Value::Int(Int { value }),
            Err(_) => Value::Str(Str { value: text.into() }),
        }),
    }
}

fn field(text: &str) -> Option<field_value::Value> {
    use field_value::Value;
    if let Some(bytes) = text.strip_prefix("0x") {
        return Some(Value::BinaryData(bytes.as_bytes().to_vec().into()));
    }
    match text {
        "-" => Some(Value::Null(0)),
        "?" => None,
        _ => Some(match (text.parse(), text.parse()) {
            (Ok(value), _) => Value::Int(Int { value }),
            (_, Ok(value)) => Value::Float(Float { value }),
            _ => Value::Str(Str { value: text.into() }),
        }),
    }
}

/// A query for all tags and fields of the rows of the last 30 days and the next.
pub fn everything(schema: &RowSchema) -> QueryRequest {
    let families = schema.families.iter().map(|family| tag_projection::TagFamily {
        name: family.name.to_string(),
        tags: family.tags.iter().map(|tag| tag.name.to_string()).collect(),
    });
    let names = schema.fields.iter().map(|field| field.name.to_string()).collect();
    let day_ms = 86_400_000;
    QueryRequest {
        groups: vec![schema.group.to_string()],
        name: schema.name.to_string(),
        time_range: Some(TimeRange {
            begin: Some(timestamp_ms(NOW_MS - 30 * day_ms)),
            end: Some(timestamp_ms(NOW_MS + day_ms)),
        }),
        tag_projection: Some(TagProjection { tag_families: families.collect() }),
        field_projection: Some(FieldProjection { names }),
        ..QueryRequest::default()
    }
}
