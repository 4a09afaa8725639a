//! Log rows as the client writes them (workload model, sections 2.5 and 3.2): 0.2 to 1 KB of content in 80 % of them, 1
//! to 4 KB in the others.

use std::collections::HashSet;

use pipal_api::model::v1::{TagValue, tag_value};
use pipal_api::stream::v1::{Element, ElementValue};
use prost::Message;

use crate::batch::WriteHeader;
use crate::protobuf::{
    put_binary_value, put_bytes, put_int_value, put_null_value, put_number, put_str_value, put_texts_value,
    put_timestamp,
};
use crate::random::{Random, mix};
use crate::rows::check::Wrong;
use crate::rows::clock::RowClock;
use crate::rows::entities::{Entities, number_of, numbered_name};
use crate::rows::progress::{Presence, Reach};
use crate::rows::text::Vocabulary;
use crate::rows::wheel::Wheel;
use crate::verify::Fault;

/// Rows of one turn of the wheel of services.
const TURN: usize = 16_384;
/// Neighbouring rows that belong to one request, if they carry a trace id at all.
const ROWS_PER_TRACE: u64 = 4;
const LEVELS: [&str; 3] = ["INFO", "WARN", "ERROR"];
/// Tags besides the level.
const TAGS: [&str; 8] = [
    "http.method=GET",
    "http.method=POST",
    "http.status_code=200",
    "http.status_code=500",
    "env=production",
    "thread=worker-7",
    "logger=org.example.orders.OrderService",
    "user.tier=gold",
];

/// Tags of family `searchable`, in the order of writes.
pub const SEARCHABLE: [&str; 6] =
    ["content", "endpoint_id", "tags", "trace_id", "trace_segment_id", "unique_id"];
/// Tags of family `storage-only`, in the order of writes.
pub const STORAGE_ONLY: [&str; 6] =
    ["content_type", "service_id", "service_instance_id", "span_id", "tags_raw_data", "timestamp"];

/// The rows of a run.
#[derive(Debug)]
pub struct LogRows {
    pub group: String,
    pub clock: RowClock,
    pub entities: Entities,
    pub header: WriteHeader,
    wheel: Wheel,
    run: u64,
    vocabulary: Vocabulary,
}

impl LogRows {
    /// The rows of a run that starts at the clock's time.
    pub fn new(group: &str, clock: RowClock, entities: Entities, seed: u64) -> Self {
        let mut random = Random::new(mix(seed, 0x006c_6f67));
        let services = (0..TURN).map(|_| entities.draw(&mut random) as u32).collect();
        let families = [("searchable", SEARCHABLE.to_vec()), ("storage-only", STORAGE_ONLY.to_vec())];
        LogRows {
            group: group.to_owned(),
            clock,
            wheel: Wheel::new(services, entities.services()),
            entities,
            header: WriteHeader::of_stream(group, "log", &families),
            run: mix(seed, clock.start_ms as u64),
            vocabulary: Vocabulary::default(),
        }
    }

    fn hash(&self, row: u64) -> u64 {
        mix(self.run, row)
    }

    /// The service of a row.
    pub fn service(&self, row: u64) -> usize {
        self.wheel.choice(row)
    }

    /// The rows of a service, from the last to the first.
    pub fn rows_back(&self, service: usize, rows: std::ops::Range<u64>) -> impl Iterator<Item = u64> {
        self.wheel.rows_back(service, rows)
    }

    /// The level of a row: INFO 85 %, WARN 10 %, ERROR 5 %.
    pub fn level(&self, row: u64) -> &'static str {
        let place = match mix(self.hash(row), 1) % 100 {
            0..85 => 0,
            85..95 => 1,
            _ => 2,
        };
        LEVELS.get(place).copied().unwrap_or("INFO")
    }

    /// The tag of a level.
    pub fn level_tag(level: &str) -> String {
        format!("level={level}")
    }

    /// The trace id of a row; 60 % carry one.
    pub fn trace_id(&self, row: u64) -> Option<String> {
        if mix(self.hash(row), 2) % 100 >= 60 {
            return None;
        }
        let request = row / ROWS_PER_TRACE;
        Some(numbered_name(mix(self.run, request ^ 1 << 50), self.run, request))
    }

    /// The rows that may carry the trace id of this one.
    pub fn rows_of_request(row: u64) -> std::ops::Range<u64> {
        let request = row / ROWS_PER_TRACE;
        request * ROWS_PER_TRACE..(request + 1) * ROWS_PER_TRACE
    }

    /// The value of `unique_id`, also sent as id of the element.
    pub fn unique_id(&self, row: u64) -> String {
        numbered_name(self.hash(row), self.run, row)
    }

    fn put_searchable(&self, out: &mut Vec<u8>, row: u64, unique_id: &str) {
        let hash = self.hash(row);
        let mut random = Random::new(hash);
        let length = match random.below(100) {
            0..80 => 200 + random.below(801),
            _ => 1_000 + random.below(3_001),
        };
        let mut content = Vec::with_capacity(length as usize + 64);
        self.vocabulary.put(&mut content, length as usize, &mut random);
        put_str_value(out, 1, &String::from_utf8_lossy(&content));
        put_str_value(out, 1, self.entities.endpoint(self.service(row), mix(hash, 3)));
        let level = Self::level_tag(self.level(row));
        let mut tags = vec![level.as_str()];
        let more = mix(hash, 4);
        for place in 0..more % 4 {
            tags.push(
                TAGS.get((more >> (8 + 8 * place)) as usize % TAGS.len())
                    .copied()
                    .unwrap_or("env=production"),
            );
        }
        put_texts_value(out, 1, &tags);
        match self.trace_id(row) {
            Some(trace_id) => {
                put_str_value(out, 1, &trace_id);
                put_str_value(out, 1, &numbered_name(mix(hash, 5), self.run, row));
            }
            None => (0..2).for_each(|_| put_null_value(out, 1)),
        }
        put_str_value(out, 1, unique_id);
    }

    fn put_storage_only(&self, out: &mut Vec<u8>, row: u64) {
        let (hash, service) = (self.hash(row), self.service(row));
        put_int_value(out, 1, 4, 1);
        put_str_value(out, 1, self.entities.service(service));
        match mix(hash, 6) % 100 {
            0..3 => put_null_value(out, 1),
            _ => put_str_value(out, 1, self.entities.instance(service, mix(hash, 7))),
        }
        put_int_value(out, 1, 4, (hash % 12) as i64);
        put_binary_value(out, 1, 6, self.level(row).as_bytes());
        put_int_value(out, 1, 4, self.clock.time_ms(row));
    }

    /// Encodes a row's `ElementValue`.
    pub fn element(&self, row: u64) -> Vec<u8> {
        let unique_id = self.unique_id(row);
        let (mut searchable, mut storage_only) = (Vec::with_capacity(1_536), Vec::with_capacity(384));
        self.put_searchable(&mut searchable, row, &unique_id);
        self.put_storage_only(&mut storage_only, row);
        let mut element = Vec::with_capacity(searchable.len() + storage_only.len() + 96);
        put_bytes(&mut element, 1, unique_id.as_bytes());
        put_timestamp(&mut element, 2, self.clock.time_ms(row));
        put_bytes(&mut element, 3, &searchable);
        put_bytes(&mut element, 3, &storage_only);
        element
    }

    /// Appends a row's write message, all but the header.
    pub fn put_message(&self, out: &mut Vec<u8>, row: u64, message_id: u64) {
        put_bytes(out, 2, &self.element(row));
        put_number(out, 3, message_id);
    }

    /// The tags of a row by name, from the very bytes that are written.
    pub fn tags(&self, row: u64) -> Vec<(&'static str, TagValue)> {
        let element = ElementValue::decode(self.element(row).as_slice()).unwrap_or_default();
        let values = element.tag_families.into_iter().flat_map(|family| family.tags);
        SEARCHABLE.into_iter().chain(STORAGE_ONLY).zip(values).collect()
    }

    /// The row that an element claims to be: the one named by its `unique_id`.
    pub fn row_of(&self, element: &Element) -> Result<u64, Wrong> {
        let mut tags = element.tag_families.iter().flat_map(|family| &family.tags);
        let value =
            tags.find(|tag| tag.key == "unique_id").and_then(|tag| tag.value.as_ref()?.value.as_ref());
        let Some(tag_value::Value::Str(name)) = value else {
            return Err(Wrong::new(
                Fault::Foreign,
                format!("element {} without unique_id", element.element_id),
            ));
        };
        match number_of(&name.value).filter(|&row| self.unique_id(row) == name.value) {
            Some(row) => Ok(row),
            None => Err(Wrong::new(Fault::Foreign, format!("no row of this run is named {}", name.value))),
        }
    }

    /// Compares an element with the row that it claims to be; gives the row.
    pub fn compare(&self, element: &Element) -> Result<u64, Wrong> {
        let row = self.row_of(element)?;
        let time = element
            .timestamp
            .as_ref()
            .map_or(0, |time| time.seconds * 1000 + i64::from(time.nanos) / 1_000_000);
        if time != self.clock.time_ms(row) {
            return Err(Wrong::new(
                Fault::Altered,
                format!("row {row} at {time}, not {}", self.clock.time_ms(row)),
            ));
        }
        let found = element.tag_families.iter().flat_map(|family| &family.tags);
        match crate::rows::check::tags_differ(found, &self.tags(row)) {
            Some(text) => Err(Wrong::new(Fault::Altered, format!("row {row}: {text}"))),
            None => Ok(row),
        }
    }

    /// Compares elements with the rows that they claim to be; gives the rows and what is wrong: rows that differ, occur
    /// twice or were never sent.
    pub fn compare_all(
        &self,
        elements: &[Element],
        presence: &dyn Fn(u64) -> Presence,
    ) -> (Vec<u64>, Vec<Wrong>) {
        let (mut rows, mut wrongs, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        for element in elements {
            let row = match self.compare(element) {
                Ok(row) => row,
                Err(wrong) => {
                    // A row that differs is not lost as well.
                    seen.extend(self.row_of(element));
                    rows.extend(self.row_of(element));
                    wrongs.push(wrong);
                    continue;
                }
            };
            if !seen.insert(row) {
                wrongs.push(Wrong::new(Fault::Duplicated, format!("row {row}")));
                continue;
            }
            if presence(row) == Presence::Never {
                wrongs.push(Wrong::new(Fault::Foreign, format!("row {row} was never sent")));
            }
            rows.push(row);
        }
        (rows, wrongs)
    }

    /// Time behind which no acknowledged row lies and before which all rows are acknowledged, exclusive.
    pub fn end_ms(&self, reach: Reach) -> i64 {
        self.clock.time_ms(reach.acknowledged)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::skywalking::tier::Tier;
    use pipal_api::model::v1::{Tag, TagFamily};
    use pipal_api::stream::v1::WriteRequest;

    /// A run for tests of other modules.
    pub fn rows(seed: u64) -> LogRows {
        let clock = RowClock { start_ms: 1_700_000_000_000, rows_per_second: 150 };
        LogRows::new("test_l", clock, Entities::new(Tier::Smoke.sizes(), 1), seed)
    }

    /// The element that an honest server gives back.
    pub fn element(logs: &LogRows, row: u64) -> Element {
        let all = logs.tags(row);
        let family = |names: &[&str], name: &str| TagFamily {
            name: name.to_owned(),
            tags: (all.iter().filter(|(tag, _)| names.contains(tag)))
                .map(|(tag, value)| Tag { key: (*tag).to_owned(), value: Some(value.clone()) })
                .collect(),
        };
        let time = logs.clock.time_ms(row);
        Element {
            element_id: format!("{row:016x}"),
            timestamp: Some(prost_types::Timestamp {
                seconds: time / 1000,
                nanos: (time % 1000) as i32 * 1_000_000,
            }),
            tag_families: vec![family(&SEARCHABLE, "searchable"), family(&STORAGE_ONLY, "storage-only")],
        }
    }

    #[test]
    fn messages_decode_as_the_contract_says_and_follow_from_the_seed() {
        let logs = rows(1);
        for row in 0..50 {
            let mut bytes = Vec::new();
            logs.put_message(&mut bytes, row, 77);
            let message = WriteRequest::decode(bytes.as_slice()).unwrap();
            let element = message.element.unwrap();
            assert_eq!((message.message_id, element.element_id), (77, logs.unique_id(row)));
            let counts: Vec<usize> = element.tag_families.iter().map(|family| family.tags.len()).collect();
            assert_eq!(counts, [SEARCHABLE.len(), STORAGE_ONLY.len()]);
            assert!(element.tag_families.iter().flat_map(|f| &f.tags).all(|tag| tag.value.is_some()));
            assert_eq!(logs.element(row), rows(1).element(row));
            assert_ne!(logs.element(row), rows(2).element(row));
        }
    }

    #[test]
    fn sizes_and_shares_are_those_of_the_measured_load() {
        let logs = rows(1);
        let content = |row| match &logs.tags(row)[0].1.value {
            Some(tag_value::Value::Str(text)) => text.value.len(),
            other => panic!("{other:?}"),
        };
        let lengths: Vec<usize> = (0..3_000).map(content).collect();
        assert!(lengths.iter().all(|length| (200..=4_000).contains(length)));
        let short = lengths.iter().filter(|&&length| length <= 1_000).count();
        assert!((2_300..2_500).contains(&short), "{short}");
        let bytes: usize = (0..3_000).map(|row| logs.element(row).len()).sum();
        assert!((1_400..1_750).contains(&(bytes / 3_000)), "{} bytes a row", bytes / 3_000);
        let traced = (0..3_000).filter(|&row| logs.trace_id(row).is_some()).count();
        assert!((1_700..1_900).contains(&traced), "{traced}");
        let errors = (0..3_000).filter(|&row| logs.level(row) == "ERROR").count();
        assert!((100..200).contains(&errors), "{errors}");
    }

    #[test]
    fn every_kind_of_wrong_row_is_found() {
        let logs = rows(1);
        let honest: Vec<Element> = (0..5).map(|row| element(&logs, row)).collect();
        let reach = Reach { acknowledged: 4, sent: 5 };
        let faults = |elements: &[Element]| {
            let (_, wrongs) = logs.compare_all(elements, &|row| reach.presence(row));
            wrongs.into_iter().map(|wrong| wrong.fault).collect::<Vec<_>>()
        };
        assert_eq!(logs.compare_all(&honest, &|row| reach.presence(row)), (vec![0, 1, 2, 3, 4], vec![]));
        let doubled: Vec<Element> = honest.iter().chain(&honest[2..3]).cloned().collect();
        assert_eq!(faults(&doubled), [Fault::Duplicated]);
        let mut altered = honest.clone();
        altered[1].tag_families[0].tags[0].value = altered[2].tag_families[0].tags[0].value.clone();
        altered[3].timestamp.as_mut().unwrap().nanos += 1_000_000;
        assert_eq!(faults(&altered), [Fault::Altered, Fault::Altered]);
        assert_eq!(faults(&[element(&rows(2), 0), element(&logs, 5)]), [Fault::Foreign, Fault::Foreign]);
        let mut nameless = honest[0].clone();
        nameless.tag_families[0].tags.pop();
        assert_eq!(faults(&[nameless]), [Fault::Foreign]);
    }
}
