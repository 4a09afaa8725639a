//! Conditions on the tags of a key, as encoded values of the entity.

use pipal_api::model::v1::{TagValue, condition::BinaryOp, tag_value::Value};
use pipal_model::{ValueRef, series::push_entity_value};

/// Encoded entity values, sorted, when the condition is one on the key: EQ or IN with a scalar, IN with an array.
pub(crate) fn key_values(op: BinaryOp, value: Option<&TagValue>) -> Option<Vec<Box<[u8]>>> {
    let in_list = op == BinaryOp::In;
    if !in_list && op != BinaryOp::Eq {
        return None;
    }
    let mut values: Vec<Box<[u8]>> = match value?.value.as_ref()? {
        Value::Str(text) => vec![encoded(ValueRef::Str(text.value.as_bytes()))?],
        Value::Int(number) => vec![encoded(ValueRef::Int(number.value))?],
        Value::Timestamp(time) => vec![encoded(ValueRef::Timestamp(nanos(time)))?],
        Value::StrArray(list) if in_list => {
            list.value.iter().map(|text| encoded(ValueRef::Str(text.as_bytes()))).collect::<Option<_>>()?
        }
        Value::IntArray(list) if in_list => {
            list.value.iter().map(|number| encoded(ValueRef::Int(*number))).collect::<Option<_>>()?
        }
        _ => return None,
    };
    values.sort_unstable();
    values.dedup();
    Some(values)
}

fn encoded(value: ValueRef<'_>) -> Option<Box<[u8]>> {
    let mut bytes = Vec::new();
    push_entity_value(value, &mut bytes).then(|| bytes.into())
}

/// Nanoseconds since the epoch.
pub(crate) fn nanos(time: &prost_types::Timestamp) -> i64 {
    time.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(time.nanos))
}
