//! Follows a sample of series through the whole run: every bucket must end with its last acknowledged write.

use std::collections::{BTreeMap, HashMap};

use pipal_api::measure::v1::{DataPoint, DataPointValue, QueryRequest, QueryResponse};
use pipal_api::model::v1::FieldValue;
use pipal_api::model::v1::condition::BinaryOp;
use prost::Message;

use crate::connection::Connections;
use crate::data_model::DataModel;
use crate::random::mix;
use crate::read::{ANSWER_BYTES_MAX, condition, fields, tags, text_value, time_range};
use crate::skywalking::catalog::METRICS;
use crate::skywalking::definitions::Granularity;
use crate::skywalking::model::Model;
use crate::write_stream::call;

/// One in this many series is followed.
const SAMPLE_EVERY: u64 = 100;
const LIMIT: u32 = 20_000;
const FAULT_TEXTS_MAX: usize = 10;

/// One bucket of a followed series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SampleKey {
    pub metric: usize,
    pub granularity: Granularity,
    pub entity: usize,
    pub time_ms: i64,
}

/// One write of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    pub version: u64,
    pub write: u32,
}

/// True if the series is followed.
pub fn is_sampled(seed: u64, metric: usize, entity: usize) -> bool {
    mix(seed ^ 0x7472_6163, (metric as u64) << 32 | entity as u64).is_multiple_of(SAMPLE_EVERY)
}

/// The last acknowledged write of every followed bucket.
#[derive(Debug, Default)]
pub struct Tracker {
    last: HashMap<SampleKey, Sample>,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Followed {
    pub series: u64,
    pub buckets: u64,
    pub wrong: u64,
    pub texts: Vec<String>,
}

impl Tracker {
    /// Notes the followed points of an acknowledged stream.
    pub fn acknowledged(&mut self, samples: Vec<(SampleKey, Sample)>) {
        for (key, sample) in samples {
            let last = self.last.entry(key).or_insert(sample);
            if sample.version > last.version {
                *last = sample;
            }
        }
    }

    /// Reads every followed series and compares all its buckets.
    pub async fn compare(&self, connections: &Connections, model: &Model) -> Result<Followed, String> {
        let mut series: HashMap<(usize, Granularity, usize), BTreeMap<i64, Sample>> = HashMap::new();
        for (key, sample) in &self.last {
            series.entry((key.metric, key.granularity, key.entity)).or_default().insert(key.time_ms, *sample);
        }
        let mut followed = Followed { series: series.len() as u64, ..Default::default() };
        for ((metric, granularity, entity), buckets) in series {
            followed.buckets += buckets.len() as u64;
            let request = series_request(model, metric, granularity, entity, &buckets);
            let encoded = request.encode_to_vec().into();
            let answer =
                call(connections.take()?, DataModel::Measure.query_path(), encoded, ANSWER_BYTES_MAX).await;
            let answer = answer.map_err(|status| format!("query {}: {status}", request.name))?;
            let answer =
                QueryResponse::decode(answer).map_err(|error| format!("unreadable answer: {error}"))?;
            for text in compare_series(model, metric, entity, &buckets, &answer.data_points) {
                followed.wrong += 1;
                if followed.texts.len() < FAULT_TEXTS_MAX {
                    followed.texts.push(format!("{} entity {entity}: {text}", request.name));
                }
            }
        }
        Ok(followed)
    }
}

fn series_request(
    model: &Model,
    metric: usize,
    granularity: Granularity,
    entity: usize,
    buckets: &BTreeMap<i64, Sample>,
) -> QueryRequest {
    let (name, scope, names) =
        METRICS.get(metric).map_or(("", crate::skywalking::catalog::Scope::Service, Vec::new()), |m| {
            (m.name, m.scope, sorted_fields(metric))
        });
    let first = buckets.keys().next().copied().unwrap_or(0);
    let last = buckets.keys().next_back().copied().unwrap_or(0);
    QueryRequest {
        groups: vec![granularity.group().to_owned()],
        name: format!("{name}{}", granularity.suffix()),
        time_range: Some(time_range(first, last)),
        criteria: Some(condition("entity_id", BinaryOp::Eq, text_value(model.id(scope, entity)))),
        tag_projection: tags(&[("storage-only", &["entity_id"])]),
        field_projection: fields(&names),
        limit: LIMIT,
        ..Default::default()
    }
}

fn sorted_fields(metric: usize) -> Vec<&'static str> {
    let Some(metric) = METRICS.get(metric) else { return Vec::new() };
    let mut names: Vec<&str> = metric.fields.fields().iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names
}

/// The fields that a write must have left, decoded from the very bytes that were sent.
fn expected_fields(model: &Model, metric: usize, entity: usize, time_ms: i64, write: u32) -> Vec<FieldValue> {
    let Some(definition) = METRICS.get(metric) else { return Vec::new() };
    let mut encoded = Vec::new();
    let hash = model.bucket_hash(metric, entity, time_ms);
    model.put_fields(&mut encoded, definition.fields, hash, write);
    DataPointValue::decode(encoded.as_slice()).map(|point| point.fields).unwrap_or_default()
}

/// Everything that is wrong with the answer for one series.
fn compare_series(
    model: &Model,
    metric: usize,
    entity: usize,
    buckets: &BTreeMap<i64, Sample>,
    points: &[DataPoint],
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut found = HashMap::new();
    for point in points {
        let time = point.timestamp.as_ref().map_or(0, |t| t.seconds * 1000 + i64::from(t.nanos) / 1_000_000);
        if found.insert(time, point).is_some() {
            wrong.push(format!("two rows at {time}"));
        }
    }
    for (time, sample) in buckets {
        let Some(point) = found.remove(time) else {
            wrong.push(format!("no row at {time}, version {} was acknowledged", sample.version));
            continue;
        };
        if point.version as u64 != sample.version {
            wrong.push(format!("version {} at {time} instead of {}", point.version, sample.version));
            continue;
        }
        let fields: Vec<FieldValue> = point.fields.iter().filter_map(|field| field.value.clone()).collect();
        let expected = expected_fields(model, metric, entity, *time, sample.write);
        if fields != expected {
            wrong.push(format!("{fields:?} at {time} instead of {expected:?}"));
        }
    }
    wrong.extend(found.keys().map(|time| format!("a row at {time} that nobody wrote")));
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skywalking::tier::Tier;
    use pipal_api::measure::v1::data_point::Field;

    #[test]
    fn only_the_last_acknowledged_write_counts() {
        let key = SampleKey { metric: 0, granularity: Granularity::Minute, entity: 1, time_ms: 60_000 };
        let mut tracker = Tracker::default();
        for version in [5, 9, 7] {
            tracker.acknowledged(vec![(key, Sample { version, write: version as u32 })]);
        }
        assert_eq!(tracker.last[&key], Sample { version: 9, write: 9 });
    }

    #[test]
    fn faults_of_a_series_are_found() {
        let model = Model::new(Tier::Smoke.sizes(), 1);
        for metric in [0, 3, 8] {
            let buckets: BTreeMap<i64, Sample> =
                [(60_000, Sample { version: 7, write: 2 }), (120_000, Sample { version: 8, write: 2 })]
                    .into();
            let point = |time_ms: i64, version, write| DataPoint {
                timestamp: Some(prost_types::Timestamp { seconds: time_ms / 1000, nanos: 0 }),
                version,
                fields: sorted_fields(metric)
                    .into_iter()
                    .zip(expected_fields(&model, metric, 3, time_ms, write))
                    .map(|(name, value)| Field { name: name.to_owned(), value: Some(value) })
                    .collect(),
                ..Default::default()
            };
            let check = |points: &[DataPoint]| compare_series(&model, metric, 3, &buckets, points).len();
            let (a, b) = (point(60_000, 7, 2), point(120_000, 8, 2));
            assert!(!a.fields.is_empty());
            assert_eq!(check(&[a.clone(), b.clone()]), 0);
            assert_eq!(check(std::slice::from_ref(&a)), 1, "a bucket is missing");
            assert_eq!(check(&[a.clone(), b.clone(), b.clone()]), 1, "a bucket comes twice");
            assert_eq!(check(&[a.clone(), point(120_000, 7, 2)]), 1, "an older version");
            assert_eq!(check(&[a.clone(), point(120_000, 8, 1)]), 1, "values of an older write");
            assert_eq!(check(&[a, b, point(180_000, 9, 2)]), 1, "a row too many");
        }
    }
}
