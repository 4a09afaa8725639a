//! Stored values as answers show them.

use crate::trace::timestamp;
use pipal_api::model::v1::{Int, IntArray, Str, StrArray, tag_value};
use pipal_model::ValueRef;
use pipal_model::value::{decode_int_array, decode_str_array};

/// The value of a tag.
pub(crate) fn tag_value(value: ValueRef<'_>) -> tag_value::Value {
    match value {
        ValueRef::Str(text) => tag_value::Value::Str(Str { value: text_of(text) }),
        ValueRef::Int(value) => tag_value::Value::Int(Int { value }),
        ValueRef::Binary(bytes) => tag_value::Value::BinaryData(bytes.to_vec().into()),
        ValueRef::Timestamp(nanos) => tag_value::Value::Timestamp(timestamp(nanos)),
        ValueRef::StrArray(bytes) => {
            tag_value::Value::StrArray(StrArray { value: decode_str_array(bytes).map(text_of).collect() })
        }
        ValueRef::IntArray(bytes) => {
            tag_value::Value::IntArray(IntArray { value: decode_int_array(bytes).collect() })
        }
        _ => tag_value::Value::Null(0),
    }
}

/// Text came through the API as UTF-8; damaged bytes are shown as such rather than failing the query.
pub(crate) fn text_of(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}
