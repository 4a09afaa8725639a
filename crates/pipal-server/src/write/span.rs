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
