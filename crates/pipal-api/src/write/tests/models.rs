//! Views of stream and trace requests against the generated decoders.

use super::super::TRACE_FAMILY;
use super::*;
use crate::{stream, trace};

/// What the view of a stream request says, as a generated message.
fn viewed_stream(bytes: &[u8]) -> Result<stream::v1::WriteRequest, MalformedWrite> {
    let (mut spare, mut slots) = (Vec::new(), WriteSlots::default());
    let view = WriteView::parse(Model::Stream, bytes, &mut spare, &mut slots)?;
    let families = slots.families().map(|f| TagFamilyForWrite { tags: f.iter().map(tag).collect() });
    let tag_families: Vec<_> = families.collect();
    let element = view.value.map(|element| stream::v1::ElementValue {
        element_id: element.element_id.into(),
        timestamp: element.timestamp,
        tag_families,
    });
    let spec = slots.spec().map_or(DataPointSpec::default(), |spec| DataPointSpec::decode(spec).unwrap());
    let family = |f: TagFamilySpec| stream::v1::TagFamilySpec { name: f.name, tag_names: f.tag_names };
    let request = stream::v1::WriteRequest {
        metadata: view.metadata.map(|m| Metadata::decode(m.bytes).unwrap()),
        element,
        message_id: view.message_id,
        tag_family_spec: spec.tag_family_spec.into_iter().map(family).collect(),
    };
    assert_eq!(view.validate(Model::Stream, &slots), request.validate());
    Ok(request)
}

/// What the view of a trace request says, as a generated message.
fn viewed_trace(bytes: &[u8]) -> Result<trace::v1::WriteRequest, MalformedWrite> {
    let (mut spare, mut slots) = (Vec::new(), WriteSlots::default());
    let view = WriteView::parse(Model::Trace, bytes, &mut spare, &mut slots)?;
    assert_eq!(slots.families().len(), 1);
    let spec = slots.spec().map(|spec| {
        let mut families = DataPointSpec::decode(spec).unwrap().tag_family_spec;
        assert_eq!((families.len(), families[0].name.as_str()), (1, TRACE_FAMILY));
        trace::v1::TagSpec { tag_names: families.remove(0).tag_names }
    });
    let span = match slots.fields() {
        [Slot::Binary(span)] => Bytes::copy_from_slice(span),
        other => panic!("the span is the only field: {other:?}"),
    };
    let request = trace::v1::WriteRequest {
        metadata: view.metadata.map(|m| Metadata::decode(m.bytes).unwrap()),
        tags: slots.families().flatten().map(tag).collect(),
        span,
        version: view.message_id,
        tag_spec: spec,
    };
    assert_eq!(view.validate(Model::Trace, &slots), request.validate());
    Ok(request)
}

/// The encoded message with every null written as 0, as the view gives it back.
fn nulls_plain(tags: &mut [TagValue]) {
    for tag in tags {
        if let Some(tag_value::Value::Null(number)) = &mut tag.value {
            *number = 0;
        }
    }
}

fn check_both(bytes: &[u8]) {
    let mut wanted = stream::v1::WriteRequest::decode(bytes);
    if let Ok(request) = &mut wanted {
        let families = request.element.iter_mut().flat_map(|element| &mut element.tag_families);
        families.for_each(|family| nulls_plain(&mut family.tags));
    }
    let wanted = wanted.ok().map(|request| request.encode_to_vec());
    assert_eq!(viewed_stream(bytes).ok().map(|request| request.encode_to_vec()), wanted);
    let mut wanted = trace::v1::WriteRequest::decode(bytes);
    if let Ok(request) = &mut wanted {
        nulls_plain(&mut request.tags);
    }
    let wanted = wanted.ok().map(|request| request.encode_to_vec());
    assert_eq!(viewed_trace(bytes).ok().map(|request| request.encode_to_vec()), wanted);
}

fn any_stream_request() -> impl Strategy<Value = stream::v1::WriteRequest> {
    any_request().prop_map(|request| stream::v1::WriteRequest {
        metadata: request.metadata,
        element: request.data_point.map(|point| stream::v1::ElementValue {
            element_id: point.version.to_string(),
            timestamp: point.timestamp,
            tag_families: point.tag_families,
        }),
        message_id: request.message_id,
        tag_family_spec: request.data_point_spec.map_or(Vec::new(), |spec| {
            let family =
                |f: TagFamilySpec| stream::v1::TagFamilySpec { name: f.name, tag_names: f.tag_names };
            spec.tag_family_spec.into_iter().map(family).collect()
        }),
    })
}

fn any_trace_request() -> impl Strategy<Value = trace::v1::WriteRequest> {
    (any_request(), prop::collection::vec(any_tag(), 0..6)).prop_map(|(request, tags)| {
        trace::v1::WriteRequest {
            metadata: request.metadata,
            tags,
            span: request.message_id.to_be_bytes().to_vec().into(),
            version: request.message_id,
            tag_spec: request.data_point_spec.map(|spec| trace::v1::TagSpec { tag_names: spec.field_names }),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn generated_requests_of_streams_and_traces_are_read(
        element in any_stream_request(),
        span in any_trace_request(),
    ) {
        check_both(&element.encode_to_vec());
        check_both(&span.encode_to_vec());
        check_both(&[element.encode_to_vec(), element.encode_to_vec()].concat());
        check_both(&[span.encode_to_vec(), span.encode_to_vec()].concat());
    }

    #[test]
    fn random_fields_get_the_same_verdict_in_all_models(bytes in any_fields(4)) {
        check_both(&bytes);
    }
}
