//! Values and times: as they are written in case files, and as messages.

use pipal_api::model::v1::{
    FieldValue, Float, Int, IntArray, Str, StrArray, TagValue, field_value, tag_value,
};
use prost_types::Timestamp;

/// 2026-01-10T12:00:00Z in nanoseconds: what times of the files are relative to.
pub const BASE: i64 = 1_768_046_400_000_000_000;

/// Types of tags and fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Str,
    Int,
    Strs,
    Ints,
    Bin,
    Time,
    Float,
}

impl Type {
    pub fn by_name(name: &str) -> Type {
        match name {
            "str" => Type::Str,
            "int" => Type::Int,
            "strs" => Type::Strs,
            "ints" => Type::Ints,
            "bin" => Type::Bin,
            "time" => Type::Time,
            "float" => Type::Float,
            _ => panic!("no type is named {name:?}"),
        }
    }
}

/// A value of a row or a literal of a condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No variant is set.
    Unset,
    Null,
    Str(String),
    Int(i64),
    Float(f64),
    Strs(Vec<String>),
    Ints(Vec<i64>),
    Bin(Vec<u8>),
    /// Nanoseconds since the epoch.
    Time(i64),
}

impl Value {
    /// Reads a cell of a column of this type.
    pub fn of_cell(text: &str, ty: Type) -> Value {
        let text = text.trim();
        match text {
            "null" => return Value::Null,
            "unset" => return Value::Unset,
            _ => {}
        }
        if let Some((name, rest)) = text.split_once(':')
            && ["str", "int", "strs", "ints", "bin", "time", "float"].contains(&name)
        {
            return Value::of_type(rest, Type::by_name(name));
        }
        Value::of_type(text, ty)
    }

    fn of_type(text: &str, ty: Type) -> Value {
        match ty {
            Type::Str => Value::Str(unquoted(text)),
            Type::Int => Value::Int(int(text)),
            Type::Float => Value::Float(text.parse().unwrap_or_else(|_| panic!("no float: {text:?}"))),
            Type::Strs => Value::Strs(elements(text).iter().map(|text| unquoted(text)).collect()),
            Type::Ints => Value::Ints(elements(text).iter().map(|text| int(text)).collect()),
            Type::Bin => Value::Bin(bytes(text)),
            Type::Time => Value::Time(time(text)),
        }
    }

    pub fn tag(&self) -> TagValue {
        let value = match self.clone() {
            Value::Unset => None,
            Value::Null => Some(tag_value::Value::Null(0)),
            Value::Str(value) => Some(tag_value::Value::Str(Str { value })),
            Value::Int(value) => Some(tag_value::Value::Int(Int { value })),
            Value::Strs(value) => Some(tag_value::Value::StrArray(StrArray { value })),
            Value::Ints(value) => Some(tag_value::Value::IntArray(IntArray { value })),
            Value::Bin(value) => Some(tag_value::Value::BinaryData(value.into())),
            Value::Time(at) => Some(tag_value::Value::Timestamp(timestamp(at))),
            Value::Float(_) => panic!("no tag is a float"),
        };
        TagValue { value }
    }

    pub fn field(&self) -> FieldValue {
        let value = match self.clone() {
            Value::Unset => None,
            Value::Null => Some(field_value::Value::Null(0)),
            Value::Str(value) => Some(field_value::Value::Str(Str { value })),
            Value::Int(value) => Some(field_value::Value::Int(Int { value })),
            Value::Float(value) => Some(field_value::Value::Float(Float { value })),
            Value::Bin(value) => Some(field_value::Value::BinaryData(value.into())),
            other => panic!("no field is {other:?}"),
        };
        FieldValue { value }
    }
}

fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return text.to_owned();
    };
    inner.replace("\\n", "\n").replace("\\p", "|").replace("\\s", "\\")
}

pub fn int(text: &str) -> i64 {
    match text {
        "min" => i64::MIN,
        "max" => i64::MAX,
        _ => text.parse().unwrap_or_else(|_| panic!("no integer: {text:?}")),
    }
}

fn elements(text: &str) -> Vec<&str> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inner.unwrap_or_else(|| panic!("no list: {text:?}")).split_whitespace().collect()
}

pub fn bytes(text: &str) -> Vec<u8> {
    let digits = text.strip_prefix("0x").unwrap_or_else(|| panic!("no bytes: {text:?}"));
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

const UNITS: [(&str, i64); 5] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

/// Nanoseconds of a length of time such as `1d2h`.
pub fn length(text: &str) -> i64 {
    let (mut rest, mut nanos) = (text, 0);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: i64 = rest[..digits].parse().unwrap_or_else(|_| panic!("no time: {text:?}"));
        rest = &rest[digits..];
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let unit = UNITS.iter().find(|(name, _)| *name == &rest[..letters]);
        nanos += number * unit.unwrap_or_else(|| panic!("no time: {text:?}")).1;
        rest = &rest[letters..];
    }
    nanos
}

/// Nanoseconds since the epoch of a time such as `-2d`; `epoch` is 1970.
pub fn time(text: &str) -> i64 {
    match text.strip_prefix('-') {
        _ if text == "epoch" => 0,
        Some(before) => BASE - length(before),
        None => BASE + length(text.strip_prefix('+').unwrap_or(text)),
    }
}

/// A time in the way that files write it.
pub fn show_time(at: i64) -> String {
    let sign = if at < BASE { "-" } else { "+" };
    let mut rest = (at - BASE).abs();
    let mut text = String::new();
    for (name, nanos) in UNITS {
        if rest / nanos > 0 {
            text += &format!("{}{name}", rest / nanos);
        }
        rest %= nanos;
    }
    if text.is_empty() { "0s".to_owned() } else { format!("{sign}{text}") }
}

pub fn timestamp(at: i64) -> Timestamp {
    Timestamp { seconds: at.div_euclid(1_000_000_000), nanos: at.rem_euclid(1_000_000_000) as i32 }
}

pub fn nanos_of(at: &Timestamp) -> i64 {
    at.seconds * 1_000_000_000 + i64::from(at.nanos)
}

/// Text as it stands where that cannot be mistaken for another value.
fn show_text(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_./:-".contains(c);
    let is_number = text.parse::<f64>().is_ok();
    match !text.is_empty() && text != "null" && !is_number && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("{text:?}"),
    }
}

fn show_bytes(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

pub fn show_tag(value: &TagValue) -> String {
    match value.value.as_ref().expect("an answer has a value, if only null") {
        tag_value::Value::Null(_) => "null".to_owned(),
        tag_value::Value::Str(v) => show_text(&v.value),
        tag_value::Value::Int(v) => v.value.to_string(),
        tag_value::Value::StrArray(v) => {
            format!("[{}]", v.value.iter().map(|text| show_text(text)).collect::<Vec<_>>().join(" "))
        }
        tag_value::Value::IntArray(v) => {
            format!("[{}]", v.value.iter().map(i64::to_string).collect::<Vec<_>>().join(" "))
        }
        tag_value::Value::BinaryData(v) => show_bytes(v),
        tag_value::Value::Timestamp(at) => show_time(nanos_of(at)),
    }
}

pub fn show_field(value: &FieldValue) -> String {
    match value.value.as_ref().expect("an answer has a value, if only null") {
        field_value::Value::Null(_) => "null".to_owned(),
        field_value::Value::Str(v) => show_text(&v.value),
        field_value::Value::Int(v) => v.value.to_string(),
        field_value::Value::Float(v) => format!("{:?}", v.value),
        field_value::Value::BinaryData(v) => show_bytes(v),
    }
}
