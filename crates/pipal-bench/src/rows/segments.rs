//! Trace segments as the client writes them (workload model, sections 2.5, 3.2 and 5.2): 0.6 to 2.8 KB, a third of it
//! incompressible; geometrically many to a trace, 6 on average, and more than 200 in one trace of a hundred.

use std::collections::HashSet;

use pipal_api::model::v1::TagValue;
use pipal_api::trace::v1::{Span, Trace, WriteRequest};
use prost::Message;

use crate::batch::WriteHeader;
use crate::distribution::LogNormal;
use crate::protobuf::{
    put_bytes, put_int_value, put_number, put_str_value, put_texts_value, put_timestamp_value,
};
use crate::random::{Random, mix};
use crate::rows::check::{Wrong, tags_differ};
use crate::rows::clock::RowClock;
use crate::rows::entities::{Entities, number_of, numbered_name};
use crate::rows::progress::{Presence, Reach};
use crate::rows::text::{Vocabulary, put_noise};
use crate::rows::wheel::Wheel;
use crate::verify::Fault;

/// Traces of one turn of the pattern.
const TRACES: usize = 2_000;
/// Chance that a trace goes on behind a segment: 6 segments on average.
const CONTINUES: f64 = 5.0 / 6.0;
const SEGMENTS_MAX: usize = 100;
/// One trace in this many is a long one.
const LONG_EVERY: usize = 100;
const LONG_MIN: usize = 201;
/// Segments of different traces lie this close together.
const INTERLEAVED: u64 = 64;
/// The tag by which failed segments are looked for; half of them carry it.
pub const FAILURE_TAG: &str = "http.status_code=500";
const TAGS: [&str; 8] = [
    "http.method=GET",
    "http.method=POST",
    "http.status_code=200",
    "db.type=sql",
    "db.instance=orders",
    "mq.topic=payments",
    "cache.type=redis",
    "env=production",
];

/// Tags in the order of writes.
pub const SEGMENT_TAGS: [&str; 9] = [
    "endpoint_id",
    "is_error",
    "latency",
    "segment_id",
    "service_id",
    "service_instance_id",
    "start_time",
    "tags",
    "trace_id",
];

/// The segments of a run.
#[derive(Debug)]
pub struct SegmentRows {
    pub group: String,
    pub clock: RowClock,
    pub entities: Entities,
    pub header: WriteHeader,
    wheel: Wheel,
    /// The trace of each row of a turn.
    trace_of: Vec<u32>,
    /// The rows of each trace of a turn.
    rows_of: Vec<Vec<u32>>,
    run: u64,
    vocabulary: Vocabulary,
    latencies: LogNormal,
}

/// Draws how many segments each trace has and mixes those of neighbouring traces.
fn pattern(random: &mut Random) -> Vec<u32> {
    let mut places: Vec<(u64, u32)> = Vec::new();
    for trace in 0..TRACES {
        let mut segments = 1;
        while segments < SEGMENTS_MAX && random.chance(CONTINUES) {
            segments += 1;
        }
        if trace % LONG_EVERY == LONG_EVERY / 2 {
            segments = LONG_MIN + random.below(100) as usize;
        }
        for _ in 0..segments {
            places.push((places.len() as u64 + random.below(INTERLEAVED), trace as u32));
        }
    }
    places.sort_by_key(|&(place, _)| place);
    places.into_iter().map(|(_, trace)| trace).collect()
}

impl SegmentRows {
    /// The segments of a run that starts at the clock's time.
    pub fn new(group: &str, clock: RowClock, entities: Entities, seed: u64) -> Self {
        let mut random = Random::new(mix(seed, 0x7365_676d));
        let trace_of = pattern(&mut random);
        let mut rows_of = vec![Vec::new(); TRACES];
        for (row, &trace) in trace_of.iter().enumerate() {
            if let Some(rows) = rows_of.get_mut(trace as usize) {
                rows.push(row as u32);
            }
        }
        let services = trace_of.iter().map(|_| entities.draw(&mut random) as u32).collect();
        SegmentRows {
            group: group.to_owned(),
            clock,
            wheel: Wheel::new(services, entities.services()),
            entities,
            header: WriteHeader::of_trace(group, "segment", &SEGMENT_TAGS),
            trace_of,
            rows_of,
            run: mix(seed, clock.start_ms as u64),
            vocabulary: Vocabulary::default(),
            latencies: LogNormal::new(60.0, 1.0, 60_000),
        }
    }

    fn hash(&self, row: u64) -> u64 {
        mix(self.run, row)
    }

    /// The service of a segment.
    pub fn service(&self, row: u64) -> usize {
        self.wheel.choice(row)
    }

    /// The segments of a service, from the last to the first.
    pub fn rows_back(&self, service: usize, rows: std::ops::Range<u64>) -> impl Iterator<Item = u64> {
        self.wheel.rows_back(service, rows)
    }

    /// The number of a segment's trace.
    pub fn trace(&self, row: u64) -> u64 {
        let (turn, place) = (row / self.wheel.turn(), row % self.wheel.turn());
        turn * TRACES as u64 + u64::from(self.trace_of.get(place as usize).copied().unwrap_or(0))
    }

    /// The segments of a trace, ascending.
    pub fn rows_of(&self, trace: u64) -> impl Iterator<Item = u64> {
        let (turn, place) = (trace / TRACES as u64, trace % TRACES as u64);
        let rows = self.rows_of.get(place as usize).map_or(&[][..], Vec::as_slice);
        rows.iter().map(move |&row| turn * self.wheel.turn() + u64::from(row))
    }

    /// Traces that may have a segment below `rows`.
    pub fn traces_below(&self, rows: u64) -> u64 {
        rows.div_ceil(self.wheel.turn()) * TRACES as u64
    }

    /// The id of a trace.
    pub fn trace_id(&self, trace: u64) -> String {
        numbered_name(mix(self.run, trace ^ 1 << 51), self.run, trace)
    }

    /// The id of a segment.
    pub fn segment_id(&self, row: u64) -> String {
        numbered_name(self.hash(row), self.run, row)
    }

    /// True for the 2 % of segments that failed.
    pub fn is_error(&self, row: u64) -> bool {
        mix(self.hash(row), 1) % 100 < 2
    }

    /// True if the segment failed and carries the tag that says so.
    pub fn has_failure_tag(&self, row: u64) -> bool {
        self.is_error(row) && mix(self.hash(row), 2) & 1 == 0
    }

    /// Milliseconds that a segment took.
    pub fn latency(&self, row: u64) -> i64 {
        i64::from(self.latencies.of_hash(mix(self.hash(row), 3)))
    }

    /// A segment's payload in the client's wrapper, whose source 0 is left out.
    pub fn span(&self, row: u64) -> Vec<u8> {
        let mut random = Random::new(self.hash(row));
        let length = 600 + random.below(2_201) as usize;
        let mut payload = Vec::with_capacity(length + 16);
        payload.extend_from_slice(self.trace_id(self.trace(row)).as_bytes());
        payload.extend_from_slice(self.segment_id(row).as_bytes());
        put_noise(&mut payload, length / 3, &mut random);
        let rest = length.saturating_sub(payload.len());
        self.vocabulary.put(&mut payload, rest, &mut random);
        let mut span = Vec::with_capacity(payload.len() + 4);
        put_bytes(&mut span, 1, &payload);
        span
    }

    /// Appends a segment's write message, all but the header. The version only tells the reply's message.
    pub fn put_message(&self, out: &mut Vec<u8>, row: u64, version: u64) {
        let (hash, service) = (self.hash(row), self.service(row));
        put_str_value(out, 2, self.entities.endpoint(service, mix(hash, 4)));
        put_int_value(out, 2, 4, i64::from(self.is_error(row)));
        put_int_value(out, 2, 4, self.latency(row));
        put_str_value(out, 2, &self.segment_id(row));
        put_str_value(out, 2, self.entities.service(service));
        put_str_value(out, 2, self.entities.instance(service, mix(hash, 5)));
        put_timestamp_value(out, 2, self.clock.time_ms(row));
        let more = mix(hash, 6);
        let mut tags = vec![if self.has_failure_tag(row) { FAILURE_TAG } else { "span.layer=http" }];
        for place in 0..more % 4 {
            tags.push(
                TAGS.get((more >> (8 + 8 * place)) as usize % TAGS.len())
                    .copied()
                    .unwrap_or("env=production"),
            );
        }
        put_texts_value(out, 2, &tags);
        put_str_value(out, 2, &self.trace_id(self.trace(row)));
        put_bytes(out, 3, &self.span(row));
        put_number(out, 4, version);
    }

    /// The tags of a segment by name, from the very bytes that are written.
    pub fn tags(&self, row: u64) -> Vec<(&'static str, TagValue)> {
        let mut message = Vec::with_capacity(4_096);
        self.put_message(&mut message, row, 1);
        let decoded = WriteRequest::decode(message.as_slice()).unwrap_or_default();
        SEGMENT_TAGS.into_iter().zip(decoded.tags).collect()
    }

    /// The number of the trace that an answered trace claims to be.
    pub fn trace_number(&self, trace: &Trace) -> Result<u64, Wrong> {
        match number_of(&trace.trace_id).filter(|&number| self.trace_id(number) == trace.trace_id) {
            Some(number) => Ok(number),
            None => {
                Err(Wrong::new(Fault::Foreign, format!("no trace of this run is named {}", trace.trace_id)))
            }
        }
    }

    fn compare_span(&self, number: u64, span: &Span) -> Result<u64, Wrong> {
        let row = number_of(&span.span_id).filter(|&row| self.segment_id(row) == span.span_id);
        let row = row.filter(|&row| self.trace(row) == number).ok_or_else(|| {
            Wrong::new(Fault::Foreign, format!("trace {number} has no segment {:?}", span.span_id))
        })?;
        if span.span != self.span(row) {
            let text = format!("segment {row}: {} bytes of payload differ", span.span.len());
            return Err(Wrong::new(Fault::Altered, text));
        }
        if span.tags.is_empty() {
            return Ok(row);
        }
        match tags_differ(&span.tags, &self.tags(row)) {
            Some(text) => Err(Wrong::new(Fault::Altered, format!("segment {row}: {text}"))),
            None => Ok(row),
        }
    }

    /// Compares an answered trace with what was written: every segment that must be there exactly once with its payload,
    /// none that was never sent.
    pub fn compare(&self, trace: &Trace, presence: &dyn Fn(u64) -> Presence) -> Vec<Wrong> {
        let number = match self.trace_number(trace) {
            Ok(number) => number,
            Err(wrong) => return vec![wrong],
        };
        let (mut wrongs, mut seen) = (Vec::new(), HashSet::new());
        for span in &trace.spans {
            match self.compare_span(number, span) {
                Err(wrong) => {
                    // A segment that differs is not lost as well.
                    seen.extend(number_of(&span.span_id));
                    wrongs.push(wrong);
                }
                Ok(row) if !seen.insert(row) => {
                    wrongs.push(Wrong::new(Fault::Duplicated, format!("segment {row} of trace {number}")));
                }
                Ok(row) if presence(row) == Presence::Never => {
                    wrongs.push(Wrong::new(Fault::Foreign, format!("segment {row} was never sent")));
                }
                Ok(_) => {}
            }
        }
        let lost = self.rows_of(number).filter(|row| presence(*row) == Presence::Must && !seen.contains(row));
        wrongs.extend(lost.map(|row| Wrong::new(Fault::Lost, format!("segment {row} of trace {number}"))));
        wrongs
    }

    /// Time behind which no acknowledged segment lies and before which all are acknowledged, exclusive.
    pub fn end_ms(&self, reach: Reach) -> i64 {
        self.clock.time_ms(reach.acknowledged)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::skywalking::tier::Tier;

    /// A run for tests of other modules.
    pub fn rows(seed: u64) -> SegmentRows {
        let clock = RowClock { start_ms: 1_700_000_000_000, rows_per_second: 150 };
        SegmentRows::new("test_s", clock, Entities::new(Tier::Smoke.sizes(), 1), seed)
    }

    /// The trace that an honest server gives back: its segments below `rows`.
    pub fn trace(segments: &SegmentRows, number: u64, rows: u64) -> Trace {
        let span =
            |row| Span { tags: vec![], span: segments.span(row).into(), span_id: segments.segment_id(row) };
        Trace {
            trace_id: segments.trace_id(number),
            spans: segments.rows_of(number).filter(|&row| row < rows).map(span).collect(),
        }
    }

    #[test]
    fn messages_decode_as_the_contract_says_and_follow_from_the_seed() {
        let segments = rows(1);
        let encode = |segments: &SegmentRows, row| {
            let mut bytes = Vec::new();
            segments.put_message(&mut bytes, row, 9);
            bytes
        };
        for row in 0..50 {
            let bytes = encode(&segments, row);
            let message = WriteRequest::decode(bytes.as_slice()).unwrap();
            assert_eq!((message.version, message.tags.len()), (9, SEGMENT_TAGS.len()));
            assert_eq!(message.span, segments.span(row));
            assert!(message.tags.iter().all(|tag| tag.value.is_some()));
            assert_eq!(bytes, encode(&rows(1), row));
            assert_ne!(bytes, encode(&rows(2), row));
        }
    }

    #[test]
    fn sizes_and_shares_are_those_of_the_measured_load() {
        let segments = rows(1);
        let lengths: Vec<usize> = (0..2_000).map(|row| segments.span(row).len() - 3).collect();
        assert!(lengths.iter().all(|length| (600..=2_800).contains(length)), "{:?}", lengths.iter().max());
        let mean = lengths.iter().sum::<usize>() / 2_000;
        assert!((1_600..1_800).contains(&mean), "{mean}");
        let mean = segments.wheel.turn() as f64 / TRACES as f64;
        assert!((7.5..9.5).contains(&mean), "{mean} segments to a trace");
        let long = (0..TRACES as u64).filter(|&trace| segments.rows_of(trace).count() > 200).count();
        assert_eq!(long, TRACES / LONG_EVERY);
        let errors = (0..10_000).filter(|&row| segments.is_error(row)).count();
        assert!((150..250).contains(&errors), "{errors}");
    }

    #[test]
    fn traces_and_their_segments_find_each_other() {
        let segments = rows(1);
        let turn = segments.wheel.turn();
        for row in (0..3 * turn).step_by(997) {
            assert!(segments.rows_of(segments.trace(row)).any(|other| other == row));
        }
        assert!(segments.rows_of(5).all(|row| segments.trace(row) == 5));
        assert!(segments.trace(2 * turn + 3) < segments.traces_below(2 * turn + 4));
    }

    #[test]
    fn every_kind_of_wrong_trace_is_found() {
        let segments = rows(1);
        let number = (0..).find(|&number| segments.rows_of(number).count() == 5).unwrap();
        let last = segments.rows_of(number).last().unwrap();
        let reach = Reach { acknowledged: last, sent: last + 1 };
        let faults = |trace: &Trace| {
            let wrongs = segments.compare(trace, &|row| reach.presence(row));
            wrongs.into_iter().map(|wrong| wrong.fault).collect::<Vec<_>>()
        };
        let whole = trace(&segments, number, last + 1);
        assert_eq!((faults(&whole), whole.spans.len()), (vec![], 5));
        assert_eq!(faults(&trace(&segments, number, last)), [], "what was not acknowledged may be absent");
        let change = |change: &dyn Fn(&mut Trace)| {
            let mut changed = whole.clone();
            change(&mut changed);
            faults(&changed)
        };
        assert_eq!(change(&|trace| drop(trace.spans.remove(1))), [Fault::Lost]);
        assert_eq!(change(&|trace| trace.spans.push(trace.spans[0].clone())), [Fault::Duplicated]);
        let flip = |bytes: &[u8]| {
            bytes.iter().enumerate().map(|(i, byte)| byte ^ u8::from(i == 90)).collect::<Vec<u8>>()
        };
        assert_eq!(
            change(&|trace| trace.spans[2].span = flip(&trace.spans[2].span).into()),
            [Fault::Altered]
        );
        assert_eq!(change(&|trace| trace.spans[1].span = whole.spans[0].span.clone()), [Fault::Altered]);
        assert_eq!(change(&|trace| trace.trace_id.push('0')), [Fault::Foreign]);
        let other = segments.rows_of(number + 1).next().unwrap();
        let stray =
            Span { tags: vec![], span: segments.span(other).into(), span_id: segments.segment_id(other) };
        assert_eq!(change(&|trace| trace.spans.push(stray.clone())), [Fault::Foreign]);
        let none_sent = segments.compare(&whole, &|_| Presence::Never);
        assert!(none_sent.iter().all(|wrong| wrong.fault == Fault::Foreign) && none_sent.len() == 5);
    }
}
