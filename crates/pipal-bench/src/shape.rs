//! Load M: measures with the tags, identifiers and values that SkyWalking's metrics have. Every value follows from the
//! seed and the point's coordinates, so that a reader knows what a writer must have stored.

use crate::distribution::LogNormal;
use crate::protobuf::{put_bytes, put_int_value, put_null_value, put_str_value};
use crate::random::mix;

/// Instances that share one service, as in the workload model (5,640 instances of 852 services).
const ENTITIES_PER_SERVICE: u64 = 7;

/// The tags `attr1` to `attr5`, null in nearly every row of a real installation.
pub const NULL_ATTRIBUTES: [&str; 5] = ["attr1", "attr2", "attr3", "attr4", "attr5"];

/// What makes one load differ from another.
#[derive(Debug, Clone, PartialEq)]
pub struct ShapeOptions {
    pub seed: u64,
    pub group: String,
    pub measures: u32,
    pub entities: u32,
    /// Time of bucket 0, Unix milliseconds.
    pub start_ms: i64,
    /// Distance of two buckets, milliseconds.
    pub step_ms: i64,
}

/// The integer fields of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PointValues {
    pub value: i64,
    pub count: i64,
    pub summation: i64,
}

/// Names, tags and values of a load.
#[derive(Debug)]
pub struct Shape {
    pub options: ShapeOptions,
    entity_ids: Vec<String>,
    /// The `tag_families` fields of a data point, encoded, per entity.
    encoded_tags: Vec<Vec<u8>>,
    values: LogNormal,
    counts: LogNormal,
}

impl Shape {
    /// Prepares the identifiers and distributions of a load.
    pub fn new(options: ShapeOptions) -> Self {
        let entity_ids: Vec<String> = (0..options.entities).map(|e| entity_id(options.seed, e)).collect();
        let encoded_tags = (0..options.entities).zip(&entity_ids).map(|(e, id)| encode_tags(e, id)).collect();
        Shape {
            options,
            entity_ids,
            encoded_tags,
            values: LogNormal::new(60.0, 1.0, 60_000),
            counts: LogNormal::new(120.0, 1.5, 1_000_000),
        }
    }

    /// Points of one bucket: one per measure and entity.
    pub fn points_per_bucket(&self) -> u64 {
        u64::from(self.options.measures) * u64::from(self.options.entities)
    }

    /// Measure and entity of a bucket's point; points of one measure lie together, as in a batch of the client.
    pub fn point(&self, index: u64) -> (u32, u32) {
        let entities = u64::from(self.options.entities.max(1));
        ((index / entities) as u32, (index % entities) as u32)
    }

    /// The name of a measure.
    pub fn measure_name(&self, measure: u32) -> String {
        format!("service_instance_metric_{measure:03}_minute")
    }

    /// The 65 characters that identify an entity; empty beyond the last entity.
    pub fn entity_id(&self, entity: u32) -> &str {
        self.entity_ids.get(entity as usize).map_or("", String::as_str)
    }

    /// The encoded tags of an entity.
    pub fn encoded_tags(&self, entity: u32) -> &[u8] {
        self.encoded_tags.get(entity as usize).map_or(&[], Vec::as_slice)
    }

    /// Time of a bucket, Unix milliseconds.
    pub fn time_ms(&self, bucket: u32) -> i64 {
        self.options.start_ms + i64::from(bucket) * self.options.step_ms
    }

    /// The bucket that has this time, if the time lies on the grid.
    pub fn bucket_at(&self, time_ms: i64) -> Option<u32> {
        let distance = time_ms.checked_sub(self.options.start_ms)?;
        if distance % self.options.step_ms != 0 {
            return None;
        }
        u32::try_from(distance / self.options.step_ms).ok()
    }

    /// The fields of the write number `pass` of a point. They depend on the time, not on the number of its bucket, so that
    /// loads that start at different times agree. Every pass has other values in all three fields, and count
    /// and sum grow, as they do while a bucket is open.
    pub fn values(&self, measure: u32, entity: u32, bucket: u32, pass: u32) -> PointValues {
        let series = mix(self.options.seed, u64::from(measure) << 32 | u64::from(entity));
        let hash = mix(series, self.time_ms(bucket) as u64);
        let value = i64::from(self.values.of_hash(hash)) + i64::from(pass);
        let count = i64::from(self.counts.of_hash(hash >> 32)) * (i64::from(pass) + 1);
        PointValues { value, count, summation: value * count }
    }
}

/// `<service id>_<instance name in base64>`: 32 + 1 + 32 characters with a prefix that instances of a service share.
fn entity_id(seed: u64, entity: u32) -> String {
    let instance = format!("{:016x}@{:07}", mix(seed, u64::from(entity) | 1 << 40), entity % 10_000_000);
    format!("{}_{}", service_id(entity), base64(instance.as_bytes()))
}

/// The identifier of the service that an entity belongs to: 32 characters.
pub fn service_id(entity: u32) -> String {
    let service = u64::from(entity) / ENTITIES_PER_SERVICE;
    format!("{}.1", base64(format!("agent::service-{service:07}").as_bytes()))
}

/// The layer of the workload model: GENERAL 70 %, MESH 15 %, K8S_SERVICE 10 %, others 5 %.
pub fn layer(service: u64) -> &'static str {
    match mix(service, 0x006c_6179_6572) % 100 {
        0..70 => "GENERAL",
        70..85 => "MESH",
        85..95 => "K8S_SERVICE",
        _ => "VIRTUAL_DATABASE",
    }
}

/// The layer of an entity's service.
pub fn layer_of_entity(entity: u32) -> &'static str {
    layer(u64::from(entity) / ENTITIES_PER_SERVICE)
}

/// Families and tags sorted by name, as the client sends them: `searchable` before `storage-only`.
fn encode_tags(entity: u32, entity_id: &str) -> Vec<u8> {
    let mut searchable = Vec::with_capacity(96);
    put_str_value(&mut searchable, 1, layer_of_entity(entity));
    for _ in NULL_ATTRIBUTES {
        put_null_value(&mut searchable, 1);
    }
    put_str_value(&mut searchable, 1, &service_id(entity));
    let mut storage_only = Vec::with_capacity(80);
    put_str_value(&mut storage_only, 1, entity_id);
    let mut families = Vec::with_capacity(180);
    put_bytes(&mut families, 2, &searchable);
    put_bytes(&mut families, 2, &storage_only);
    families
}

/// Appends the fields in the order of the write spec: count, summation, value.
pub fn put_fields(out: &mut Vec<u8>, values: PointValues) {
    put_int_value(out, 3, 3, values.count);
    put_int_value(out, 3, 3, values.summation);
    put_int_value(out, 3, 3, values.value);
}

/// Base64 without padding (RFC 4648, section 4).
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().enumerate().fold(0u32, |word, (i, &byte)| word | u32::from(byte) << (16 - 8 * i));
        for sextet in 0..=chunk.len() {
            let index = (word >> (18 - 6 * sextet)) as usize & 63;
            text.push(ALPHABET.get(index).copied().map_or('A', char::from));
        }
    }
    text
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A small load for tests of other modules.
    pub fn small_shape(measures: u32, entities: u32) -> Shape {
        Shape::new(ShapeOptions {
            seed: 1,
            group: "test".into(),
            measures,
            entities,
            start_ms: 1_700_000_040_000,
            step_ms: 60_000,
        })
    }

    #[test]
    fn base64_meets_the_examples_of_its_standard() {
        let examples = [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, encoded) in examples {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn entity_ids_are_distinct_and_65_characters_long() {
        let shape = small_shape(1, 2_000);
        let mut ids: Vec<&str> = (0..2_000).map(|e| shape.entity_id(e)).collect();
        assert!(ids.iter().all(|id| id.len() == 65));
        assert!(ids[0].starts_with(&service_id(6)), "instances of one service share their prefix");
        assert!(!ids[0].starts_with(&service_id(7)));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 2_000);
    }

    #[test]
    fn values_follow_from_the_seed_and_grow_with_each_pass() {
        let (a, b) = (small_shape(4, 50), small_shape(4, 50));
        let other = Shape::new(ShapeOptions { seed: 2, ..a.options.clone() });
        let mut differing = 0;
        for point in 0..a.points_per_bucket() {
            let (measure, entity) = a.point(point);
            let first = a.values(measure, entity, 3, 0);
            let second = a.values(measure, entity, 3, 1);
            assert_eq!(first, b.values(measure, entity, 3, 0));
            assert_eq!(first.summation, first.value * first.count);
            assert!(second.value > first.value && second.count > first.count);
            differing += usize::from(first != other.values(measure, entity, 3, 0));
        }
        assert!(differing > 190, "{differing} of 200 points differ under another seed");
    }

    #[test]
    fn times_lie_on_a_grid() {
        let shape = small_shape(1, 1);
        assert_eq!(shape.bucket_at(shape.time_ms(17)), Some(17));
        assert_eq!(shape.bucket_at(shape.time_ms(17) + 1), None);
        assert_eq!(shape.bucket_at(shape.time_ms(0) - 60_000), None);
    }

    #[test]
    fn layers_have_the_shares_of_the_model() {
        let general = (0..10_000).filter(|&service| layer(service) == "GENERAL").count();
        assert!((6_800..7_200).contains(&general), "{general}");
    }
}
