//! Answers as text.

use super::NOW_MS;
use crate::api::measure::{DataPoint, QueryResponse};
use crate::api::model::{field_value, tag_value};

/// One line per data point: `-20m v7 | tags | fields`, values as [`super::MessageBuilder::tags`] writes them.
pub fn show(response: &QueryResponse) -> Vec<String> {
    response.data_points.iter().map(show_point).collect()
}

fn show_point(point: &DataPoint) -> String {
    let time = point.timestamp.unwrap_or_default();
    let minutes = (time.seconds - NOW_MS / 1_000) / 60;
    let tags = point.tag_families.iter().flat_map(|family| &family.tags);
    let tags: Vec<String> =
        tags.map(|tag| show_tag(tag.value.as_ref().and_then(|v| v.value.as_ref()))).collect();
    let fields =
        point.fields.iter().map(|field| show_field(field.value.as_ref().and_then(|v| v.value.as_ref())));
    let fields: Vec<String> = fields.collect();
    format!("{minutes}m v{} | {} | {}", point.version, tags.join(" "), fields.join(" "))
}

fn show_tag(value: Option<&tag_value::Value>) -> String {
    use tag_value::Value;
    match value {
        None => "?".into(),
        Some(Value::Null(_)) => "-".into(),
        Some(Value::Str(text)) if text.value.is_empty() => "\"\"".into(),
        Some(Value::Str(text)) => text.value.clone(),
        Some(Value::Int(number)) => number.value.to_string(),
        Some(Value::StrArray(list)) => format!("[{}]", list.value.join(" ")),
        Some(Value::IntArray(list)) => format!("{:?}", list.value).replace(',', ""),
        Some(Value::BinaryData(bytes)) => format!("0x{}", String::from_utf8_lossy(bytes)),
        Some(Value::Timestamp(time)) => format!("@{}", time.seconds),
    }
}

fn show_field(value: Option<&field_value::Value>) -> String {
    use field_value::Value;
    match value {
        None => "?".into(),
        Some(Value::Null(_)) => "-".into(),
        Some(Value::Str(text)) if text.value.is_empty() => "\"\"".into(),
        Some(Value::Str(text)) => text.value.clone(),
        Some(Value::Int(number)) => number.value.to_string(),
        Some(Value::BinaryData(bytes)) => format!("0x{}", String::from_utf8_lossy(bytes)),
        Some(Value::Float(number)) => format!("{:?}", number.value),
    }
}
