//! Terms of stored values: the bytes that criteria and order compare (property specification, 6.1).
//!
//! Each value has one term, also an array, whose elements are joined.

use crate::term::int_term;
use pipal_api::model::v1::{TagValue, tag_value::Value};

/// Values of different kinds never compare equal, less or greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TermKind {
    /// Texts, lists of texts, bytes.
    Text,
    /// Integers, lists of integers, times.
    Number,
}

/// Replaces `out` by the term of a value; none, with an empty term, when the value is null.
pub(super) fn term_of(value: Option<&TagValue>, out: &mut Vec<u8>) -> Option<TermKind> {
    out.clear();
    match value.and_then(|value| value.value.as_ref())? {
        Value::Null(_) => return None,
        Value::Str(text) => out.extend_from_slice(text.value.as_bytes()),
        Value::BinaryData(bytes) => out.extend_from_slice(bytes),
        Value::StrArray(list) => {
            for (i, text) in list.value.iter().enumerate() {
                if i > 0 {
                    out.push(b'\n');
                }
                out.extend_from_slice(text.as_bytes());
            }
        }
        Value::Int(number) => {
            out.extend_from_slice(&int_term(number.value));
            return Some(TermKind::Number);
        }
        Value::IntArray(list) => {
            list.value.iter().for_each(|number| out.extend_from_slice(&int_term(*number)));
            return Some(TermKind::Number);
        }
        Value::Timestamp(time) => {
            out.extend_from_slice(&int_term(nanos(time)));
            return Some(TermKind::Number);
        }
    }
    Some(TermKind::Text)
}

/// Nanoseconds since the epoch; times outside of their range count as its ends.
pub(super) fn nanos(time: &prost_types::Timestamp) -> i64 {
    time.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(time.nanos))
}
