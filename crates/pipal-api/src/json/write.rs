//! Messages to JSON text.

use std::collections::HashMap;
use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use prost_reflect::{Cardinality, DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, Value};
use prost_types::{Duration, Timestamp};

use super::{JsonError, descriptor, number};

/// How messages become JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Writes unset fields too: zeros, `""`, `[]`, `{}`, and `null` for messages. Unset members of a oneof and unset
    /// `optional` fields stay away.
    pub emit_defaults: bool,
}

/// Whole seconds from year 1 to the end of year 9999, the times that the JSON form can express.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// The greatest count of seconds of a duration in its JSON form: 10,000 years.
const DURATION_SECONDS_MAX: i64 = 315_576_000_000;
const NANOS_PER_SECOND: i32 = 1_000_000_000;

/// The JSON text of a message: one line, fields in the order of their numbers, map entries in the order of their keys.
///
/// # Errors
/// [`JsonError::Unrepresentable`] if a value has no JSON form.
pub fn write(message: &DynamicMessage, options: WriteOptions) -> Result<String, JsonError> {
    let mut writer = Writer { out: String::new(), options };
    writer.message(message)?;
    Ok(writer.out)
}

struct Writer {
    out: String,
    options: WriteOptions,
}

impl Writer {
    fn message(&mut self, message: &DynamicMessage) -> Result<(), JsonError> {
        match message.descriptor().full_name() {
            "google.protobuf.Timestamp" => self.timestamp(message),
            "google.protobuf.Duration" => self.duration(message),
            "google.protobuf.Struct" => self.only_field(message, "fields", "{}"),
            "google.protobuf.ListValue" => self.only_field(message, "values", "[]"),
            "google.protobuf.Value" => self.value_message(message),
            "google.protobuf.Any" => self.any(message),
            _ => {
                self.out.push('{');
                self.fields(message, true)?;
                self.out.push('}');
                Ok(())
            }
        }
    }

    fn fields(&mut self, message: &DynamicMessage, mut first: bool) -> Result<(), JsonError> {
        for field in message.descriptor().fields() {
            let present = message.has_field(&field);
            if !present && (!self.options.emit_defaults || field.containing_oneof().is_some()) {
                continue;
            }
            if !std::mem::take(&mut first) {
                self.out.push(',');
            }
            self.quoted(field.json_name());
            self.out.push(':');
            if !present && field.cardinality() != Cardinality::Repeated && field.kind().as_message().is_some()
            {
                self.out.push_str("null");
            } else {
                self.field_value(&field, &message.get_field(&field))?;
            }
        }
        Ok(())
    }

    fn field_value(&mut self, field: &FieldDescriptor, value: &Value) -> Result<(), JsonError> {
        match value {
            Value::List(values) => {
                self.out.push('[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        self.out.push(',');
                    }
                    self.single(&field.kind(), value)?;
                }
                self.out.push(']');
                Ok(())
            }
            Value::Map(entries) => self.map(field, entries),
            single => self.single(&field.kind(), single),
        }
    }

    fn map(&mut self, field: &FieldDescriptor, entries: &HashMap<MapKey, Value>) -> Result<(), JsonError> {
        let Some(value_kind) = field.kind().as_message().map(|entry| entry.map_entry_value_field().kind())
        else {
            return Err(JsonError::Descriptors(format!("map without entry: {}", field.full_name())));
        };
        let mut sorted: Vec<(String, &Value)> = entries.iter().map(|(key, v)| (map_key(key), v)).collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        self.out.push('{');
        for (index, (key, value)) in sorted.into_iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.quoted(&key);
            self.out.push(':');
            self.single(&value_kind, value)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn single(&mut self, kind: &Kind, value: &Value) -> Result<(), JsonError> {
        match value {
            Value::Bool(value) => self.display(value),
            Value::I32(value) => self.display(value),
            Value::U32(value) => self.display(value),
            // JavaScript reads numbers as doubles, which do not hold 64 bits.
            Value::I64(value) => self.display(&format_args!("\"{value}\"")),
            Value::U64(value) => self.display(&format_args!("\"{value}\"")),
            Value::F32(value) => number::push(&mut self.out, *value),
            Value::F64(value) => number::push(&mut self.out, *value),
            Value::String(value) => self.quoted(value),
            Value::Bytes(value) => self.quoted(&BASE64_STANDARD.encode(value)),
            Value::EnumNumber(number) => self.enum_number(kind, *number),
            Value::Message(message) => return self.message(message),
            Value::List(_) | Value::Map(_) => {
                return Err(JsonError::Descriptors("a list or map as a single value".to_owned()));
            }
        }
        Ok(())
    }

    fn enum_number(&mut self, kind: &Kind, number: i32) {
        let found = kind.as_enum();
        if found.is_some_and(|e| e.full_name() == "google.protobuf.NullValue") {
            return self.out.push_str("null");
        }
        match found.and_then(|e| e.get_value(number)) {
            Some(value) => self.quoted(value.name()),
            None => self.display(&number),
        }
    }

    fn timestamp(&mut self, message: &DynamicMessage) -> Result<(), JsonError> {
        let time: Timestamp = message.transcode_to().map_err(|e| JsonError::Bytes(e.to_string()))?;
        if !TIMESTAMP_SECONDS.contains(&time.seconds) || !(0..NANOS_PER_SECOND).contains(&time.nanos) {
            return Err(unrepresentable(message));
        }
        self.display(&format_args!("\"{time}\""));
        Ok(())
    }

    fn duration(&mut self, message: &DynamicMessage) -> Result<(), JsonError> {
        let span: Duration = message.transcode_to().map_err(|e| JsonError::Bytes(e.to_string()))?;
        let opposed = (span.seconds > 0 && span.nanos < 0) || (span.seconds < 0 && span.nanos > 0);
        let too_long = span.seconds.unsigned_abs() > DURATION_SECONDS_MAX.unsigned_abs();
        if opposed || too_long || span.nanos.unsigned_abs() >= NANOS_PER_SECOND.unsigned_abs() {
            return Err(unrepresentable(message));
        }
        self.display(&format_args!("\"{span}\""));
        Ok(())
    }

    /// A message that stands for its only field: a struct for its map, a list value for its list.
    fn only_field(&mut self, message: &DynamicMessage, name: &str, empty: &str) -> Result<(), JsonError> {
        match message.descriptor().get_field_by_name(name) {
            Some(field) if message.has_field(&field) => self.field_value(&field, &message.get_field(&field)),
            _ => {
                self.out.push_str(empty);
                Ok(())
            }
        }
    }

    fn value_message(&mut self, message: &DynamicMessage) -> Result<(), JsonError> {
        match message.fields().next() {
            Some((_, Value::F64(number))) if !number.is_finite() => Err(unrepresentable(message)),
            Some((field, value)) => self.single(&field.kind(), value),
            None => Err(unrepresentable(message)),
        }
    }

    fn any(&mut self, message: &DynamicMessage) -> Result<(), JsonError> {
        let any: prost_types::Any = message.transcode_to().map_err(|e| JsonError::Bytes(e.to_string()))?;
        let full_name = any.type_url.rsplit('/').next().unwrap_or_default();
        let inner = DynamicMessage::decode(descriptor(full_name)?, any.value.as_slice())
            .map_err(|e| JsonError::Bytes(e.to_string()))?;
        self.out.push_str("{\"@type\":");
        self.quoted(&any.type_url);
        if full_name.starts_with("google.protobuf.") {
            self.out.push_str(",\"value\":");
            self.message(&inner)?;
        } else {
            self.fields(&inner, false)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn display(&mut self, value: &dyn std::fmt::Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.out, "{value}");
    }

    fn quoted(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                c if c < ' ' => self.display(&format_args!("\\u{:04x}", u32::from(c))),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

fn map_key(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

fn unrepresentable(message: &DynamicMessage) -> JsonError {
    JsonError::Unrepresentable { message: message.descriptor().full_name().to_owned() }
}
