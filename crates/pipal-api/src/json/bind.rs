//! Text from a path or a query parameter into a field of a request.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value};
use prost_types::{Duration, Timestamp};

use super::JsonError;

/// Paths with more dots than this name nothing: no route binds deeper, and messages that contain themselves must not
/// let a path decide how deep we go.
const PATH_DOTS_MAX: usize = 8;

/// Sets the field at a dotted `path` (names in either case) of `message`; a list gets one more element.
/// Returns whether the message has such a field.
///
/// # Errors
/// [`JsonError::Text`] if the text does not fit the field, or the field is one that no text can stand for.
pub fn bind_text(message: &mut DynamicMessage, path: &str, text: &str) -> Result<bool, JsonError> {
    if path.matches('.').count() > PATH_DOTS_MAX {
        return Ok(false);
    }
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let descriptor = message.descriptor();
    let found = descriptor.get_field_by_name(name).or_else(|| descriptor.get_field_by_json_name(name));
    let Some(field) = found else { return Ok(false) };
    let Some(rest) = rest else {
        let value = parse(&field, text)?;
        match message.get_field_mut(&field) {
            Value::List(values) => values.push(value),
            single => *single = value,
        }
        return Ok(true);
    };
    if field.is_list() || field.is_map() || field.kind().as_message().is_none() {
        return Ok(false);
    }
    // The message is set even if the rest of the path turns out unknown, so look before.
    let mut inner = message.get_field(&field).into_owned();
    let bound = match inner.as_message_mut() {
        Some(inner) => bind_text(inner, rest, text)?,
        None => false,
    };
    if bound {
        message.set_field(&field, inner);
    }
    Ok(bound)
}

fn parse(field: &FieldDescriptor, text: &str) -> Result<Value, JsonError> {
    let misfit = || JsonError::Text(format!("parsing field {:?}: invalid value {text:?}", field.name()));
    let value = match field.kind() {
        _ if field.is_map() => None,
        Kind::String => Some(Value::String(text.to_owned())),
        Kind::Bool => match text {
            "true" | "1" | "t" | "T" | "TRUE" | "True" => Some(Value::Bool(true)),
            "false" | "0" | "f" | "F" | "FALSE" | "False" => Some(Value::Bool(false)),
            _ => None,
        },
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => text.parse().ok().map(Value::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => text.parse().ok().map(Value::I64),
        Kind::Uint32 | Kind::Fixed32 => text.parse().ok().map(Value::U32),
        Kind::Uint64 | Kind::Fixed64 => text.parse().ok().map(Value::U64),
        Kind::Float => text.parse().ok().map(Value::F32),
        Kind::Double => text.parse().ok().map(Value::F64),
        Kind::Bytes => None,
        Kind::Enum(names) => {
            let number = names.get_value_by_name(text).map(|value| value.number());
            number.or_else(|| text.parse().ok()).map(Value::EnumNumber)
        }
        Kind::Message(inner) => {
            let mut message = DynamicMessage::new(inner.clone());
            let filled = match inner.full_name() {
                "google.protobuf.Timestamp" => {
                    text.parse::<Timestamp>().ok().and_then(|time| message.transcode_from(&time).ok())
                }
                "google.protobuf.Duration" => {
                    text.parse::<Duration>().ok().and_then(|span| message.transcode_from(&span).ok())
                }
                _ => None,
            };
            filled.map(|()| Value::Message(message))
        }
    };
    value.ok_or_else(misfit)
}
