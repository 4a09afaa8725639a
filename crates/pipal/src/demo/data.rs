//! The example metrics: four services of two or three instances. The values of a minute depend on nothing but the
//! minute, so that a second run rewrites what the first one wrote with equal values.

use std::time::{SystemTime, UNIX_EPOCH};

use pipal_api::common::v1::Metadata;
use pipal_api::measure::v1::{DataPointSpec, DataPointValue, TagFamilySpec, WriteRequest};
use pipal_api::model::v1::{
    FieldValue, Float, Int, Str, TagFamilyForWrite, TagValue, field_value, tag_value,
};

use super::schema::{FAMILY, FIELDS, GROUP, MEASURE, TAGS};

/// Minutes that the demo writes.
pub const MINUTES: i64 = 60;

/// A service with its number of instances and usual latency.
pub struct Service {
    pub name: &'static str,
    pub instances: usize,
    latency_ms: f64,
    calls: f64,
}

/// The services of the demo.
pub const SERVICES: [Service; 4] = [
    Service { name: "checkout", instances: 3, latency_ms: 62.0, calls: 180.0 },
    Service { name: "catalog", instances: 3, latency_ms: 18.0, calls: 640.0 },
    Service { name: "payment", instances: 2, latency_ms: 95.0, calls: 75.0 },
    Service { name: "search", instances: 2, latency_ms: 41.0, calls: 320.0 },
];

const REGIONS: [&str; 2] = ["eu-west", "us-east"];
/// The minutes of every hour in which `checkout-1` is slow: something to find in the plot.
const INCIDENT: std::ops::Range<i64> = 31..39;

/// The hour that the demo writes and asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hour {
    first_minute: i64,
}

impl Hour {
    /// The 60 minutes that end with the one of `now_s`.
    pub fn ending_at(now_s: i64) -> Self {
        Hour { first_minute: now_s.div_euclid(60) - MINUTES + 1 }
    }

    /// Start of each minute, Unix seconds.
    pub fn minutes_s(self) -> impl Iterator<Item = i64> {
        (self.first_minute..self.first_minute + MINUTES).map(|minute| minute * 60)
    }

    /// First and last minute, both part of the hour.
    pub fn bounds_s(self) -> (i64, i64) {
        (self.first_minute * 60, (self.first_minute + MINUTES - 1) * 60)
    }
}

/// Every instance: service, name, number within the service.
pub fn instances() -> impl Iterator<Item = (&'static Service, String, usize)> {
    SERVICES.iter().flat_map(|service| {
        (0..service.instances)
            .map(move |number| (service, format!("{}-{}", service.name, number + 1), number))
    })
}

/// The region of an instance.
pub fn region(number: usize) -> &'static str {
    REGIONS.get(number % REGIONS.len()).copied().unwrap_or("eu-west")
}

/// A number in 0..1 that only depends on its arguments (finalizer of SplitMix64).
fn noise(instance: &str, minute: i64) -> f64 {
    let start =
        instance.bytes().fold(minute as u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut z = start.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Latency in milliseconds (two digits behind the point) and calls of an instance in a minute.
pub fn values(service: &Service, instance: &str, number: usize, minute: i64) -> (f64, i64) {
    let tide = 1.0 + 0.3 * (minute as f64 / 60.0 * std::f64::consts::TAU).sin();
    let is_slow = instance == "checkout-1" && INCIDENT.contains(&minute.rem_euclid(60));
    let incident = if is_slow { 4.5 } else { 1.0 };
    let weight = 1.0 + 0.15 * number as f64;
    let jitter = 0.85 + 0.3 * noise(instance, minute);
    let latency_ms = service.latency_ms * weight * tide * jitter * incident;
    let calls = service.calls * tide * (1.15 - 0.3 * noise(instance, minute.wrapping_neg()));
    ((latency_ms * 100.0).round() / 100.0, calls.round() as i64)
}

fn text(value: &str) -> TagValue {
    TagValue { value: Some(tag_value::Value::Str(Str { value: value.to_owned() })) }
}

fn spec() -> DataPointSpec {
    DataPointSpec {
        tag_family_spec: vec![TagFamilySpec {
            name: FAMILY.to_owned(),
            tag_names: TAGS.map(str::to_owned).into(),
        }],
        field_names: FIELDS.map(str::to_owned).into(),
    }
}

/// All messages of the hour. The id of a message is the version of its point: a nanosecond clock makes the last run
/// win.
pub fn messages(hour: Hour) -> Vec<WriteRequest> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |elapsed| elapsed.as_nanos() as u64);
    let points = instances().flat_map(|(service, instance, number)| {
        hour.minutes_s().map(move |seconds| {
            let (latency_ms, calls) = values(service, &instance, number, seconds / 60);
            let tags = vec![text(service.name), text(&instance), text(region(number))];
            DataPointValue {
                timestamp: Some(prost_types::Timestamp { seconds, nanos: 0 }),
                tag_families: vec![TagFamilyForWrite { tags }],
                fields: vec![
                    FieldValue { value: Some(field_value::Value::Float(Float { value: latency_ms })) },
                    FieldValue { value: Some(field_value::Value::Int(Int { value: calls })) },
                ],
                version: 0,
            }
        })
    });
    let mut messages: Vec<WriteRequest> = points
        .zip(now..)
        .map(|(point, message_id)| WriteRequest { data_point: Some(point), message_id, ..Default::default() })
        .collect();
    // Measure and write spec stay in force for the whole stream.
    if let Some(first) = messages.first_mut() {
        first.metadata =
            Some(Metadata { group: GROUP.to_owned(), name: MEASURE.to_owned(), ..Default::default() });
        first.data_point_spec = Some(spec());
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_has_sixty_minutes_and_ends_now() {
        let hour = Hour::ending_at(1_700_000_059);
        let minutes: Vec<i64> = hour.minutes_s().collect();
        assert_eq!(minutes.len(), 60);
        assert_eq!((minutes[0], minutes[59]), hour.bounds_s());
        assert_eq!(minutes[59], 1_700_000_040);
    }

    #[test]
    fn a_second_run_writes_equal_values_with_greater_versions() {
        let hour = Hour::ending_at(1_700_000_000);
        let (first, second) = (messages(hour), messages(hour));
        assert_eq!(first.len(), 600);
        for (a, b) in first.iter().zip(&second) {
            assert_eq!(a.data_point, b.data_point);
            assert!(b.message_id > a.message_id);
        }
        assert_eq!(first.iter().filter(|message| message.metadata.is_some()).count(), 1);
    }

    #[test]
    fn the_incident_stands_out() {
        let service = &SERVICES[0];
        let latency = |minute| values(service, "checkout-1", 0, minute).0;
        let usual = (0..31).map(latency).fold(0.0, f64::max);
        assert!(INCIDENT.map(latency).all(|slow| slow > 1.3 * usual));
    }
}
