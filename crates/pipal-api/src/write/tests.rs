//! The view is held against the generated decoder: same verdict on any bytes, same values.

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::Timestamp;

mod models;

use super::{MalformedWrite, Model, RawMessage, Slot, WriteSlots, WriteView};
use crate::common::v1::Metadata;
use crate::measure::v1::{DataPointSpec, DataPointValue, TagFamilySpec, WriteRequest};
use crate::model::v1::{
    FieldValue, Float, Int, IntArray, Str, StrArray, TagFamilyForWrite, TagValue, field_value, tag_value,
};
use crate::validate::Validate;

/// What a view of `bytes` says, as a generated message, and whether it needed the general decoder.
fn viewed(bytes: &[u8]) -> Result<(WriteRequest, bool), MalformedWrite> {
    let mut spare = Vec::new();
    let mut slots = WriteSlots::default();
    let view = WriteView::parse(Model::Measure, bytes, &mut spare, &mut slots)?;
    let metadata = view.metadata.map(|m| {
        let metadata = Metadata::decode(m.bytes).unwrap();
        let said = (m.group, m.name, m.mod_revision);
        assert_eq!(said, (metadata.group.as_str(), metadata.name.as_str(), metadata.mod_revision));
        metadata
    });
    let data_point = view.value.map(|point| DataPointValue {
        timestamp: point.timestamp,
        version: point.version,
        tag_families: slots
            .families()
            .map(|f| TagFamilyForWrite { tags: f.iter().map(tag).collect() })
            .collect(),
        fields: slots.fields().iter().map(field).collect(),
    });
    if view.value.is_none() {
        assert_eq!((slots.families().len(), slots.fields().len()), (0, 0));
    }
    let data_point_spec = view.spec.map(|spec| DataPointSpec::decode(spec).unwrap());
    let request = WriteRequest { metadata, data_point, message_id: view.message_id, data_point_spec };
    assert_eq!(view.validate(Model::Measure, &slots), request.validate());
    drop(slots);
    Ok((request, !spare.is_empty()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn tag(slot: &Slot<'_>) -> TagValue {
    let value = match *slot {
        Slot::Unset => None,
        Slot::Null => Some(tag_value::Value::Null(0)),
        Slot::Str(value) => Some(tag_value::Value::Str(Str { value: text(value) })),
        Slot::Int(value) => Some(tag_value::Value::Int(Int { value })),
        Slot::Binary(value) => Some(tag_value::Value::BinaryData(Bytes::copy_from_slice(value))),
        Slot::StrArray(array) => {
            Some(tag_value::Value::StrArray(StrArray { value: array.iter().map(text).collect() }))
        }
        Slot::IntArray(array) => Some(tag_value::Value::IntArray(IntArray { value: array.iter().collect() })),
        Slot::Timestamp(time) => Some(tag_value::Value::Timestamp(time)),
        Slot::Float(_) => panic!("a tag is no float"),
    };
    TagValue { value }
}

fn field(slot: &Slot<'_>) -> FieldValue {
    let value = match *slot {
        Slot::Unset => None,
        Slot::Null => Some(field_value::Value::Null(0)),
        Slot::Str(value) => Some(field_value::Value::Str(Str { value: text(value) })),
        Slot::Int(value) => Some(field_value::Value::Int(Int { value })),
        Slot::Binary(value) => Some(field_value::Value::BinaryData(Bytes::copy_from_slice(value))),
        Slot::Float(value) => Some(field_value::Value::Float(Float { value })),
        other => panic!("no field value: {other:?}"),
    };
    FieldValue { value }
}

/// The verdict and the values of the view and of the generated decoder are the same.
#[track_caller]
fn check(bytes: &[u8]) -> bool {
    match (viewed(bytes), WriteRequest::decode(bytes)) {
        (Ok((seen, _)), Ok(decoded)) => {
            // Bits, not values: a NaN differs from itself. A null of any number is the same null.
            assert_eq!(seen.encode_to_vec(), plain_nulls(decoded).encode_to_vec());
            true
        }
        (Err(_), Err(_)) => false,
        (seen, decoded) => panic!("view {seen:?}, generated {decoded:?}"),
    }
}

fn plain_nulls(mut request: WriteRequest) -> WriteRequest {
    let Some(point) = &mut request.data_point else { return request };
    for tag in point.tag_families.iter_mut().flat_map(|f| &mut f.tags) {
        if let Some(tag_value::Value::Null(number)) = &mut tag.value {
            *number = 0;
        }
    }
    for field in &mut point.fields {
        if let Some(field_value::Value::Null(number)) = &mut field.value {
            *number = 0;
        }
    }
    request
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), any::<i32>()).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

fn any_tag() -> impl Strategy<Value = TagValue> {
    use tag_value::Value;
    let value = prop_oneof![
        Just(Value::Null(0)),
        ".{0,12}".prop_map(|value| Value::Str(Str { value })),
        any::<i64>().prop_map(|value| Value::Int(Int { value })),
        prop::collection::vec(".{0,3}", 0..4).prop_map(|value| Value::StrArray(StrArray { value })),
        prop::collection::vec(any::<i64>(), 0..4).prop_map(|value| Value::IntArray(IntArray { value })),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(|value| Value::BinaryData(value.into())),
        any_time().prop_map(Value::Timestamp),
    ];
    prop::option::of(value).prop_map(|value| TagValue { value })
}

fn any_field() -> impl Strategy<Value = FieldValue> {
    use field_value::Value;
    let value = prop_oneof![
        Just(Value::Null(0)),
        ".{0,12}".prop_map(|value| Value::Str(Str { value })),
        any::<i64>().prop_map(|value| Value::Int(Int { value })),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(|value| Value::BinaryData(value.into())),
        any::<f64>().prop_map(|value| Value::Float(Float { value })),
    ];
    prop::option::of(value).prop_map(|value| FieldValue { value })
}

fn any_metadata() -> impl Strategy<Value = Metadata> {
    (".{0,8}", ".{0,8}", any::<u32>(), any::<i64>(), any::<i64>()).prop_map(
        |(group, name, id, create_revision, mod_revision)| Metadata {
            group,
            name,
            id,
            create_revision,
            mod_revision,
        },
    )
}

fn any_spec() -> impl Strategy<Value = DataPointSpec> {
    let names = || prop::collection::vec(".{0,5}", 0..3);
    let family = (".{0,5}", names()).prop_map(|(name, tag_names)| TagFamilySpec { name, tag_names });
    (prop::collection::vec(family, 0..3), names())
        .prop_map(|(tag_family_spec, field_names)| DataPointSpec { tag_family_spec, field_names })
}

fn any_request() -> impl Strategy<Value = WriteRequest> {
    let family = prop::collection::vec(any_tag(), 0..4).prop_map(|tags| TagFamilyForWrite { tags });
    let point = (
        prop::option::of(any_time()),
        prop::collection::vec(family, 0..3),
        prop::collection::vec(any_field(), 0..4),
        any::<i64>(),
    )
        .prop_map(|(timestamp, tag_families, fields, version)| DataPointValue {
            timestamp,
            tag_families,
            fields,
            version,
        });
    (prop::option::of(any_metadata()), prop::option::of(point), any::<u64>(), prop::option::of(any_spec()))
        .prop_map(|(metadata, data_point, message_id, data_point_spec)| WriteRequest {
            metadata,
            data_point,
            message_id,
            data_point_spec,
        })
}

/// Well-formed fields of random tags and types, nested: repeated, mistyped, unknown, groups.
fn any_fields(depth: u32) -> BoxedStrategy<Vec<u8>> {
    let varint = any::<u64>().prop_map(|value| {
        let mut out = Vec::new();
        encode_varint(value, &mut out);
        (WireType::Varint, out)
    });
    let bytes = if depth == 0 {
        prop_oneof![".{0,3}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..4)].boxed()
    } else {
        prop_oneof![3 => any_fields(depth - 1), 1 => ".{0,3}".prop_map(String::into_bytes)].boxed()
    };
    let delimited = bytes.clone().prop_map(|value| {
        let mut out = Vec::new();
        encode_varint(value.len() as u64, &mut out);
        out.extend(value);
        (WireType::LengthDelimited, out)
    });
    let fixed64 = any::<[u8; 8]>().prop_map(|value| (WireType::SixtyFourBit, value.to_vec()));
    let fixed32 = any::<[u8; 4]>().prop_map(|value| (WireType::ThirtyTwoBit, value.to_vec()));
    let group = bytes.prop_map(|value| (WireType::StartGroup, value));
    let payload = prop_oneof![4 => varint, 12 => delimited, 1 => fixed64, 1 => fixed32, 1 => group];
    let field = (1u32..9, payload).prop_map(|(tag, (wire_type, payload))| {
        let mut out = Vec::new();
        encode_key(tag, wire_type, &mut out);
        out.extend(payload);
        if wire_type == WireType::StartGroup {
            encode_key(tag, WireType::EndGroup, &mut out);
        }
        out
    });
    prop::collection::vec(field, 0..4).prop_map(|fields| fields.concat()).boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_generated_request_is_read_in_place(request in any_request()) {
        let (seen, general) = viewed(&request.encode_to_vec()).unwrap();
        prop_assert!(!general);
        prop_assert_eq!(seen.encode_to_vec(), request.encode_to_vec());
    }

    #[test]
    fn two_requests_in_a_row_merge(first in any_request(), second in any_request()) {
        let joined = [first.encode_to_vec(), second.encode_to_vec()].concat();
        prop_assert!(check(&joined));
    }

    #[test]
    fn an_edited_request_gets_the_same_verdict(
        request in any_request(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..4),
    ) {
        let mut bytes = request.encode_to_vec();
        for (at, byte, edit) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at),
            }
        }
        check(&bytes);
    }

    #[test]
    fn random_fields_get_the_same_verdict(bytes in any_fields(4)) {
        check(&bytes);
    }

    #[test]
    fn random_bytes_get_the_same_verdict(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        check(&bytes);
    }

    #[test]
    fn a_raw_message_is_its_bytes(bytes in any_fields(2), more in any_fields(2)) {
        let mut raw = RawMessage::decode(Bytes::from(bytes.clone())).unwrap();
        prop_assert_eq!(raw.encode_to_vec(), bytes.clone());
        raw.merge(more.as_slice()).unwrap();
        prop_assert_eq!(raw.bytes(), &[bytes.clone(), more].concat());

        // Length-delimited decoding goes field by field; its outcome is the same.
        let delimited = RawMessage::from(Bytes::from(bytes.clone())).encode_length_delimited_to_vec();
        if let Ok(raw) = RawMessage::decode_length_delimited(delimited.as_slice()) {
            prop_assert_eq!(raw.bytes(), &bytes);
        }
    }
}

#[test]
fn packed_and_single_integers_are_one_list() {
    // A data point with one family and one tag: an integer array of 1, then 2 and 3 packed, then -1.
    let array = [&[0x08, 1][..], &[0x0a, 2, 2, 3], &[0x08], &[0xff; 9], &[1]].concat();
    let wrap = |tag: u8, inner: &[u8]| [&[tag << 3 | 2, inner.len() as u8], inner].concat();
    let bytes = wrap(2, &wrap(2, &wrap(1, &wrap(5, &array))));
    let (request, general) = viewed(&bytes).unwrap();
    let tags = &request.data_point.unwrap().tag_families[0].tags;
    assert_eq!(tags[0].value, Some(tag_value::Value::IntArray(IntArray { value: vec![1, 2, 3, -1] })));
    assert!(!general);
}

#[test]
fn an_array_that_occurs_twice_is_joined() {
    let tag = [0x1a, 3, 0x0a, 1, b'a', 0x1a, 3, 0x0a, 1, b'b'];
    let wrap = |tag: u8, inner: &[u8]| [&[tag << 3 | 2, inner.len() as u8], inner].concat();
    let (request, general) = viewed(&wrap(2, &wrap(2, &wrap(1, &tag)))).unwrap();
    let tags = &request.data_point.unwrap().tag_families[0].tags;
    let joined = StrArray { value: vec!["a".into(), "b".into()] };
    assert_eq!(tags[0].value, Some(tag_value::Value::StrArray(joined)));
    assert!(general);
}

#[test]
fn text_must_be_utf8_and_bytes_need_not() {
    let wrap = |tag: u8, inner: &[u8]| [&[tag << 3 | 2, inner.len() as u8], inner].concat();
    assert!(!check(&wrap(1, &wrap(1, &[0xff]))));
    assert!(!check(&wrap(2, &wrap(2, &wrap(1, &wrap(2, &wrap(1, &[0xc3])))))));
    assert!(check(&wrap(2, &wrap(2, &wrap(1, &wrap(6, &[0xff]))))));
}

#[test]
fn lists_keep_their_memory_between_requests() {
    let request = WriteRequest {
        data_point: Some(DataPointValue {
            tag_families: vec![TagFamilyForWrite { tags: vec![TagValue::default(); 100] }],
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut slots = WriteSlots::default();
    let mut spare = Vec::new();
    let bytes = request.encode_to_vec();
    WriteView::parse(Model::Measure, &bytes, &mut spare, &mut slots).unwrap();
    let kept = slots.recycle();
    assert!(kept.tag_capacity() >= 100);
    assert_eq!(kept.families().len(), 0);
}
