//! What is special about the messages of spans: time, trace id and span id are tags among others (trace
//! specification 2.2).

use super::mapping::Spec;
use super::row::RowFault;
use crate::admission::time::time_of;
use pipal_api::write::Slot;
use pipal_model::Error;
use pipal_query::schema::RowSchema;
use prost_types::Timestamp;

/// Positions of these tags in a message; none where the spec does not name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanPlaces {
    trace_id: Option<usize>,
    span_id: Option<usize>,
    timestamp: Option<usize>,
    by_name: bool,
}

impl SpanPlaces {
    /// The places for messages with this spec; none for other models than traces.
    pub fn of(schema: &RowSchema, spec: Option<&Spec>) -> Option<Self> {
        let names = schema.trace_tags.as_ref()?;
        let position = |name: &str| match spec {
            Some(spec) => spec.families.first()?.1.iter().position(|tag| tag == name),
            None => schema.families.first()?.tags.iter().position(|tag| *tag.name == *name),
        };
        Some(SpanPlaces {
            trace_id: position(&names.trace_id),
            span_id: position(&names.span_id),
            timestamp: position(&names.timestamp),
            by_name: spec.is_some(),
        })
    }

    /// The time of a span, in nanoseconds: that of its tag, or else the first time among the tags. None when there is
    /// none that is a whole millisecond.
    pub fn time(&self, tags: &[Slot<'_>]) -> Option<i64> {
        let named = self.timestamp.filter(|_| self.by_name).and_then(|at| timestamp(tags.get(at)?));
        let time = named.or_else(|| tags.iter().find_map(timestamp))?;
        time_of(time.seconds, time.nanos).ok()
    }

    /// Whether a span can be kept. The trace id is a text that is not empty: nothing else is found again.
    pub fn check(&self, tags: &[Slot<'_>]) -> Result<(), RowFault> {
        if let Some(at) = self.trace_id {
            match tags.get(at) {
                Some(Slot::Str(id)) if !id.is_empty() => {}
                _ => return Err(RowFault::Refused(Error::invalid("write span", "the span has no trace id"))),
            }
        }
        if self.by_name && self.span_id.is_some_and(|at| at >= tags.len()) {
            return Err(RowFault::Refused(Error::invalid("write span", "the span ends before its span id")));
        }
        let has_time = self.timestamp.is_some_and(|at| tags.get(at).and_then(timestamp).is_some());
        if self.trace_id.is_none() || self.span_id.is_none() || !has_time {
            return Err(RowFault::NotKept);
        }
        Ok(())
    }
}

fn timestamp(slot: &Slot<'_>) -> Option<Timestamp> {
    match slot {
        Slot::Timestamp(time) => Some(*time),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipal_api::common::v1::Metadata;
    use pipal_api::database::v1::{TagType, Trace, TraceTagSpec};

    fn places(spec: Option<&[&str]>) -> SpanPlaces {
        let tag = |name: &str, ty: TagType| TraceTagSpec { name: name.into(), r#type: ty as i32 };
        let trace = Trace {
            metadata: Some(Metadata { group: "g".into(), name: "t".into(), ..Metadata::default() }),
            tags: vec![
                tag("trace_id", TagType::String),
                tag("span_id", TagType::String),
                tag("at", TagType::Timestamp),
                tag("other", TagType::Timestamp),
            ],
            trace_id_tag_name: "trace_id".into(),
            span_id_tag_name: "span_id".into(),
            timestamp_tag_name: "at".into(),
            ..Trace::default()
        };
        let schema = RowSchema::compile_trace(&trace, &[]).unwrap();
        let spec = spec.map(|names| Spec {
            families: vec![("trace".into(), names.iter().map(|name| (*name).to_owned()).collect())],
            fields: Vec::new(),
        });
        SpanPlaces::of(&schema, spec.as_ref()).unwrap()
    }

    fn at(seconds: i64) -> Slot<'static> {
        Slot::Timestamp(Timestamp { seconds, nanos: 0 })
    }

    const ID: Slot<'static> = Slot::Str(b"t1");

    #[test]
    fn the_time_is_that_of_its_tag_by_name_and_the_first_one_otherwise() {
        let by_name = places(Some(&["other", "at", "trace_id", "span_id"]));
        assert_eq!(by_name.time(&[at(1), at(2), ID, ID]), Some(2_000_000_000));
        assert_eq!(by_name.time(&[at(1), Slot::Int(2), ID, ID]), Some(1_000_000_000));
        let by_position = places(None);
        assert_eq!(by_position.time(&[ID, at(3), at(4)]), Some(3_000_000_000));
        assert_eq!(by_position.time(&[ID, ID, Slot::Int(4)]), None);
        let fraction = Slot::Timestamp(Timestamp { seconds: 1, nanos: 1 });
        assert_eq!(by_position.time(&[ID, ID, fraction]), None);
    }

    /// The reference accepts a trace id that is empty or binary, and then fails every query of every trace of the
    /// segment.
    #[test]
    fn a_trace_id_is_a_text_that_is_not_empty() {
        let places = places(None);
        for id in
            [Slot::Null, Slot::Unset, Slot::Int(1), Slot::Str(b""), Slot::Binary(b"t1"), Slot::Binary(b"")]
        {
            assert!(matches!(places.check(&[id, ID, at(1)]), Err(RowFault::Refused(_))), "{id:?}");
        }
        assert!(places.check(&[ID, ID, at(1)]).is_ok());
        assert!(places.check(&[ID, Slot::Null, at(1)]).is_ok(), "a span id may be null");
        assert!(matches!(places.check(&[]), Err(RowFault::Refused(_))));
    }

    #[test]
    fn a_span_that_can_not_be_found_again_is_not_kept() {
        for spec in [&["span_id", "at"][..], &["trace_id", "at", "at"], &["trace_id", "span_id", "x"]] {
            let fault = places(Some(spec)).check(&[ID, at(1), at(1)]);
            assert!(matches!(fault, Err(RowFault::NotKept)), "{spec:?}");
        }
        let short = places(Some(&["trace_id", "at", "span_id"])).check(&[ID, at(1)]);
        assert!(matches!(short, Err(RowFault::Refused(_))), "the span id is named and missing");
        assert!(matches!(places(None).check(&[ID, ID, Slot::Int(1)]), Err(RowFault::NotKept)));
    }
}
