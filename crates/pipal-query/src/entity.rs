//! Entity tags, read from entity bytes without copying them (measure specification, 1.3).

use pipal_model::ValueRef;
use pipal_model::value::unzigzag;

const END: u8 = b'|';
const ESCAPE: u8 = b'\\';

/// The bytes of one entity tag, with its type byte and its end mark. None when the entity has fewer tags.
pub(crate) fn slot(entity: &[u8], position: usize) -> Option<&[u8]> {
    let mut rest = entity;
    for _ in 0..position {
        rest = &rest[slot_length(rest)?..];
    }
    Some(&rest[..slot_length(rest)?])
}

fn slot_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match *bytes.get(at)? {
            END => return Some(at + 1),
            ESCAPE => at += 2,
            _ => at += 1,
        }
    }
}

/// The value of an entity tag as it was sent. `scratch` holds it when it had to be unescaped.
pub(crate) fn value<'a>(entity: &'a [u8], position: usize, scratch: &'a mut Vec<u8>) -> ValueRef<'a> {
    let Some([type_byte, payload @ .., END]) = slot(entity, position) else { return ValueRef::Null };
    let payload = unescape(payload, scratch);
    match type_byte {
        1 => ValueRef::Str(payload),
        4 => ValueRef::Binary(payload),
        2 => number(payload).map_or(ValueRef::Null, ValueRef::Int),
        7 => number(payload).map_or(ValueRef::Null, ValueRef::Timestamp),
        _ => ValueRef::Null,
    }
}

/// The value of an entity tag as answers show it: empty text and empty bytes are null.
pub(crate) fn shown_value<'a>(entity: &'a [u8], position: usize, scratch: &'a mut Vec<u8>) -> ValueRef<'a> {
    match value(entity, position, scratch) {
        ValueRef::Str([]) | ValueRef::Binary([]) => ValueRef::Null,
        value => value,
    }
}

fn unescape<'a>(payload: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if !payload.contains(&ESCAPE) {
        return payload;
    }
    scratch.clear();
    let mut bytes = payload.iter();
    while let Some(&byte) = bytes.next() {
        let kept = if byte == ESCAPE { bytes.next() } else { Some(&byte) };
        scratch.extend(kept);
    }
    scratch
}

fn number(payload: &[u8]) -> Option<i64> {
    Some(unzigzag(u64::from_be_bytes(payload.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipal_model::series::{EntityValue, decode_entity, push_entity_value};
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = EntityValue> {
        prop_oneof![
            Just(EntityValue::Null),
            "[a|\\\\]{0,6}".prop_map(|text| EntityValue::Str(text.into_bytes())),
            any::<i64>().prop_map(EntityValue::Int),
            prop::collection::vec(any::<u8>(), 0..6).prop_map(EntityValue::Binary),
            any::<i64>().prop_map(EntityValue::Timestamp),
        ]
    }

    fn borrowed(value: &EntityValue) -> ValueRef<'_> {
        match value {
            EntityValue::Null => ValueRef::Null,
            EntityValue::Str(text) => ValueRef::Str(text),
            EntityValue::Int(v) => ValueRef::Int(*v),
            EntityValue::Binary(bytes) => ValueRef::Binary(bytes),
            EntityValue::Timestamp(v) => ValueRef::Timestamp(*v),
        }
    }

    proptest! {
        #[test]
        fn every_tag_reads_back_alone(values in prop::collection::vec(any_value(), 0..5)) {
            let mut entity = Vec::new();
            for value in &values {
                prop_assert!(push_entity_value(borrowed(value), &mut entity));
            }
            prop_assert_eq!(decode_entity(&entity).unwrap(), values.clone());
            let mut scratch = Vec::new();
            for (i, expected) in values.iter().enumerate() {
                prop_assert_eq!(value(&entity, i, &mut scratch), borrowed(expected));
            }
            prop_assert_eq!(slot(&entity, values.len()), None);
        }

        #[test]
        fn damaged_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..20), position in 0usize..4) {
            let mut scratch = Vec::new();
            value(&bytes, position, &mut scratch);
        }
    }
}
