//! The span tree of a query: what was done, in which order, and how long it took (server surface, 7.5).

use pipal_api::common::v1::{Span, Tag, Trace};
use std::time::Instant;

/// Most children of a span; the others are counted in the tag `ignored_child_spans`.
const CHILDREN_MAX: usize = 20;

/// Collects spans, or does nothing when no trace was asked for.
#[derive(Debug)]
pub(crate) struct Tracer {
    start_nanos: i64,
    start: Instant,
    /// Open spans with the number of their ignored children, the root first; empty when nothing is collected.
    open: Vec<(Span, usize)>,
}

impl Tracer {
    /// A tracer whose root span is `message` and starts at `now`, nanoseconds since the epoch.
    pub fn new(enabled: bool, now: i64, message: &str) -> Self {
        let mut tracer = Tracer { start_nanos: now, start: Instant::now(), open: Vec::new() };
        if enabled {
            let root = Span { message: message.into(), start_time: Some(timestamp(now)), ..Span::default() };
            tracer.open.push((root, 0));
        }
        tracer
    }

    /// True when spans are collected.
    pub fn is_enabled(&self) -> bool {
        !self.open.is_empty()
    }

    /// Opens a child of the current span.
    pub fn enter(&mut self, message: impl FnOnce() -> String) {
        if self.is_enabled() {
            let start_time = Some(timestamp(self.now()));
            self.open.push((Span { message: message(), start_time, ..Span::default() }, 0));
        }
    }

    /// Adds a tag to the current span.
    pub fn tag(&mut self, key: &str, value: impl FnOnce() -> String) {
        if let Some((span, _)) = self.open.last_mut() {
            span.tags.push(Tag { key: key.into(), value: value() });
        }
    }

    /// Closes the current span. The root stays open until [`Tracer::finish`].
    pub fn exit(&mut self) {
        if self.open.len() < 2 {
            return;
        }
        let Some(span) = self.close() else { return };
        if let Some((parent, ignored)) = self.open.last_mut() {
            if parent.children.len() < CHILDREN_MAX {
                parent.children.push(span);
            } else {
                *ignored += 1;
            }
        }
    }

    /// Marks all open spans as failed, says why in the innermost one, and closes all but the root.
    pub fn fail(&mut self, reason: &dyn std::fmt::Display) {
        self.tag("error_msg", || reason.to_string());
        for (span, _) in &mut self.open {
            span.error = true;
        }
        self.leave_all();
    }

    /// Closes all spans but the root.
    pub fn leave_all(&mut self) {
        while self.open.len() > 1 {
            self.exit();
        }
    }

    /// Closes everything and gives the trace, if one was asked for.
    pub fn finish(mut self) -> Option<Trace> {
        self.leave_all();
        let root = self.close()?;
        let trace_id = rfc3339_nanos(self.start_nanos);
        Some(Trace { trace_id, error: root.error, spans: vec![root] })
    }

    fn close(&mut self) -> Option<Span> {
        let now = self.now();
        let (mut span, ignored) = self.open.pop()?;
        if ignored > 0 {
            span.tags.push(Tag { key: "ignored_child_spans".into(), value: ignored.to_string() });
        }
        let started =
            span.start_time.as_ref().map_or(now, |time| time.seconds * 1_000_000_000 + i64::from(time.nanos));
        span.duration = now - started;
        span.end_time = Some(timestamp(now));
        Some(span)
    }

    fn now(&self) -> i64 {
        let elapsed = i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX);
        self.start_nanos.saturating_add(elapsed)
    }
}

/// Nanoseconds since the epoch as a protobuf timestamp.
pub(crate) fn timestamp(nanos: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: nanos.div_euclid(1_000_000_000),
        nanos: nanos.rem_euclid(1_000_000_000) as i32,
    }
}

/// The time in RFC 3339 with nanoseconds, UTC. The date is computed after Howard Hinnant's `civil_from_days`.
fn rfc3339_nanos(nanos: i64) -> String {
    let seconds = nanos.div_euclid(1_000_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = nanos.rem_euclid(1_000_000_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_rfc_3339() {
        assert_eq!(rfc3339_nanos(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339_nanos(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(rfc3339_nanos(951_782_400_000_000_001), "2000-02-29T00:00:00.000000001Z");
        assert_eq!(rfc3339_nanos(1_767_225_599_000_000_000), "2025-12-31T23:59:59.000000000Z");
    }

    #[test]
    fn children_beyond_the_limit_are_counted() {
        let mut tracer = Tracer::new(true, 0, "root");
        for i in 0..CHILDREN_MAX + 3 {
            tracer.enter(|| format!("child {i}"));
            tracer.exit();
        }
        let root = tracer.finish().unwrap().spans.remove(0);
        assert_eq!(root.children.len(), CHILDREN_MAX);
        assert_eq!(root.tags, [Tag { key: "ignored_child_spans".into(), value: "3".into() }]);
        assert!(root.duration >= 0 && root.end_time.is_some());
    }

    #[test]
    fn a_failure_marks_what_was_open() {
        let mut tracer = Tracer::new(true, 0, "root");
        tracer.enter(|| "done".into());
        tracer.exit();
        tracer.enter(|| "data".into());
        tracer.enter(|| "scan".into());
        tracer.fail(&"out of luck");
        tracer.tag("count", || "0".into());
        let trace = tracer.finish().unwrap();
        let root = &trace.spans[0];
        assert!(trace.error && root.error && !root.children[0].error && root.children[1].error);
        let scan = &root.children[1].children[0];
        assert_eq!(scan.tags, [Tag { key: "error_msg".into(), value: "out of luck".into() }]);
        assert_eq!(root.tags, [Tag { key: "count".into(), value: "0".into() }]);
    }

    #[test]
    fn nothing_is_collected_unasked() {
        let mut tracer = Tracer::new(false, 0, "root");
        tracer.enter(|| panic!("messages are made only when a trace was asked for"));
        tracer.exit();
        assert!(tracer.finish().is_none());
    }
}
