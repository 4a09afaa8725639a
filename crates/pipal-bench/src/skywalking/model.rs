//! The entities of an installation with their identifiers and encoded tags.

use crate::distribution::{LogNormal, Zipf};
use crate::protobuf::{put_bytes, put_int_value, put_null_value, put_str_value};
use crate::random::{Random, mix};
use crate::shape::{base64, layer};
use crate::skywalking::catalog::{FieldSet, Scope};
use crate::skywalking::tier::Sizes;

/// Edges per service, per instance and (times two) per endpoint.
const SERVICE_EDGES: usize = 2;
const INSTANCE_EDGES: usize = 2;
const ENDPOINT_EDGES_HALVES: usize = 3;

/// One thing that metrics describe.
#[derive(Debug, Clone)]
pub struct Entity {
    pub id: String,
    /// Name without the service, as traffic rows hold it.
    pub name: String,
    /// The services (for edges: from and to) and, of instances and endpoints, the ends' own ids.
    pub source: usize,
    pub target: usize,
    /// The `tag_families` fields of its metric points, encoded.
    pub encoded_tags: Vec<u8>,
}

/// All entities and value distributions.
#[derive(Debug)]
pub struct Model {
    pub seed: u64,
    services: Vec<Entity>,
    instances: Vec<Entity>,
    endpoints: Vec<Entity>,
    service_edges: Vec<Entity>,
    instance_edges: Vec<Entity>,
    endpoint_edges: Vec<Entity>,
    latencies: LogNormal,
    calls: LogNormal,
}

impl Model {
    /// The installation of these sizes; everything follows from the seed.
    pub fn new(sizes: Sizes, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let services: Vec<Entity> = (0..sizes.services).map(service).collect();
        let instances = members(&services, &Zipf::new(sizes.services, 1.0).shares(sizes.instances), instance);
        let endpoints = members(&services, &Zipf::new(sizes.services, 1.1).shares(sizes.endpoints), endpoint);
        let mut connect = |ends: &[Entity], count| edges(ends, count, &mut random);
        Model {
            seed,
            service_edges: connect(&services, sizes.services * SERVICE_EDGES),
            instance_edges: connect(&instances, sizes.instances * INSTANCE_EDGES),
            endpoint_edges: connect(&endpoints, sizes.endpoints * ENDPOINT_EDGES_HALVES / 2),
            services,
            instances,
            endpoints,
            latencies: LogNormal::new(60.0, 1.0, 60_000),
            calls: LogNormal::new(120.0, 1.5, 1_000_000),
        }
    }

    /// The entities of a scope.
    pub fn entities(&self, scope: Scope) -> &[Entity] {
        match scope {
            Scope::Service => &self.services,
            Scope::Instance => &self.instances,
            Scope::Endpoint => &self.endpoints,
            Scope::ServiceEdge => &self.service_edges,
            Scope::InstanceEdge => &self.instance_edges,
            Scope::EndpointEdge => &self.endpoint_edges,
        }
    }

    /// The id of the entity that an edge or member refers to.
    pub fn id(&self, scope: Scope, index: usize) -> &str {
        self.entities(scope).get(index).map_or("", |entity| &entity.id)
    }

    /// The hash from which the fields of one bucket of one series follow.
    pub fn bucket_hash(&self, metric: usize, entity: usize, time_ms: i64) -> u64 {
        mix(mix(self.seed, (metric as u64) << 32 | entity as u64), time_ms as u64)
    }

    /// Appends the encoded fields in order of their names; totals grow with every write of the bucket.
    pub fn put_fields(&self, out: &mut Vec<u8>, fields: FieldSet, hash: u64, write: u32) {
        let int = |out: &mut Vec<u8>, value| put_int_value(out, 3, 3, value);
        let value = i64::from(self.latencies.of_hash(hash)) + i64::from(write);
        let count = i64::from(self.calls.of_hash(hash >> 32)) * (i64::from(write) + 1);
        match fields {
            FieldSet::Average => [count, value * count, value].into_iter().for_each(|v| int(out, v)),
            FieldSet::PerMinute => [count, value].into_iter().for_each(|v| int(out, v)),
            FieldSet::Value => int(out, count),
            FieldSet::Rate => {
                let percentage = if hash % 100 < 97 { 10_000 } else { 9_000 + (hash >> 8) as i64 % 1_000 };
                [count * percentage / 10_000, percentage, count].into_iter().for_each(|v| int(out, v));
            }
            FieldSet::Apdex => {
                let satisfied = count - count / 20;
                let index = (satisfied + count / 40) * 10_000 / count.max(1);
                [index, satisfied, count / 20, count].into_iter().for_each(|v| int(out, v));
            }
            FieldSet::DoubleAverage => {
                let average = value as f64 / 100.0;
                int(out, count);
                for double in [average * count as f64, average] {
                    crate::protobuf::put_binary_value(out, 3, 4, &double.to_be_bytes());
                }
            }
            _ => {
                let (dataset, values) = percentile_texts(hash, write);
                put_str_value(out, 3, &dataset);
                put_str_value(out, 3, &values);
                int(out, 10);
            }
        }
    }
}

/// 20 to 120 pairs of `latency / 10` and count, and the five percentiles that charts show.
fn percentile_texts(hash: u64, write: u32) -> (String, String) {
    use std::fmt::Write as _;
    let mut random = Random::new(hash);
    let (mut dataset, mut key) = (String::with_capacity(512), 0);
    for pair in 0..20 + random.below(101) {
        key += 1 + random.below(4);
        let separator = if pair == 0 { "" } else { "|" };
        let _ = write!(dataset, "{separator}{key},{}", 1 + random.below(40) + u64::from(write));
    }
    let mut values = String::with_capacity(64);
    for (i, percentile) in [50, 75, 90, 95, 99].into_iter().enumerate() {
        let separator = if i == 0 { "" } else { "|" };
        let _ = write!(values, "{separator}{{p={percentile}}},{}", key * 10 * percentile / 100);
    }
    (dataset, values)
}

fn families(searchable: &[u8], storage_only: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(searchable.len() + storage_only.len() + 8);
    if !searchable.is_empty() {
        put_bytes(&mut encoded, 2, searchable);
    }
    put_bytes(&mut encoded, 2, storage_only);
    encoded
}

fn text_tag(text: &str) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len() + 8);
    put_str_value(&mut encoded, 1, text);
    encoded
}

fn attributes(service: usize) -> Vec<u8> {
    let mut encoded = text_tag(layer(service as u64));
    (0..5).for_each(|_| put_null_value(&mut encoded, 1));
    encoded
}

fn service(number: usize) -> Entity {
    let name = format!("agent::svc-{number:05}.{}", mix(number as u64, 7) % 1000);
    let id = format!("{}.1", base64(name.as_bytes()));
    let encoded_tags = families(&attributes(number), &text_tag(&id));
    Entity { id, name, source: number, target: number, encoded_tags }
}

fn instance(service: &Entity, number: usize) -> Entity {
    let name =
        format!("{:016x}@10.{}.{}.{}", mix(number as u64, 11), number >> 16, number >> 8 & 255, number & 255);
    let id = format!("{}_{}", service.id, base64(name.as_bytes()));
    let encoded_tags = families(&text_tag(&service.id), &text_tag(&id));
    Entity { id, name, source: service.source, target: service.source, encoded_tags }
}

fn endpoint(service: &Entity, number: usize) -> Entity {
    const VERBS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
    const NOUNS: [&str; 5] = ["users", "orders", "products", "carts", "payments"];
    let verb = VERBS.get(number % 4).copied().unwrap_or("GET");
    let noun = NOUNS.get(number % 5).copied().unwrap_or("users");
    let name = format!("{verb}:/api/v{}/{noun}/{number}/details", 1 + number % 3);
    let id = format!("{}_{}", service.id, base64(name.as_bytes()));
    let mut searchable = attributes(service.source);
    searchable.extend(text_tag(&service.id));
    let encoded_tags = families(&searchable, &text_tag(&id));
    Entity { id, name, source: service.source, target: service.source, encoded_tags }
}

fn members(services: &[Entity], shares: &[usize], make: fn(&Entity, usize) -> Entity) -> Vec<Entity> {
    let mut all = Vec::with_capacity(shares.iter().sum());
    for (service, &share) in services.iter().zip(shares) {
        for _ in 0..share {
            all.push(make(service, all.len()));
        }
    }
    all
}

/// Distinct directed edges between random entities; `source` and `target` number the ends.
fn edges(ends: &[Entity], count: usize, random: &mut Random) -> Vec<Entity> {
    let mut seen = std::collections::HashSet::with_capacity(count);
    let possible = ends.len() * ends.len().saturating_sub(1);
    let mut all = Vec::with_capacity(count);
    while all.len() < count.min(possible) {
        let (source, target) =
            (random.below(ends.len() as u64) as usize, random.below(ends.len() as u64) as usize);
        let (Some(from), Some(to)) = (ends.get(source), ends.get(target)) else { break };
        if source == target || !seen.insert((source, target)) {
            continue;
        }
        let id = format!("{}-{}", from.id, to.id);
        let encoded_tags = families(&[], &text_tag(&id));
        all.push(Entity { id, name: String::new(), source, target, encoded_tags });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skywalking::tier::Tier;
    use std::collections::HashSet;

    const SCOPES: [Scope; 6] = [
        Scope::Service,
        Scope::Instance,
        Scope::Endpoint,
        Scope::ServiceEdge,
        Scope::InstanceEdge,
        Scope::EndpointEdge,
    ];

    #[test]
    fn entities_have_the_numbers_and_lengths_of_the_model() {
        let model = Model::new(Tier::Small.sizes(), 1);
        let counts = SCOPES.map(|scope| model.entities(scope).len());
        assert_eq!(counts, [426, 2_820, 4_500, 852, 5_640, 6_750]);
        for scope in SCOPES {
            let ids: HashSet<&str> = model.entities(scope).iter().map(|entity| entity.id.as_str()).collect();
            assert_eq!(ids.len(), model.entities(scope).len(), "{scope:?}");
        }
        let lengths = |scope| model.entities(scope).iter().map(|e| e.id.len()).collect::<Vec<_>>();
        assert!(lengths(Scope::Service).iter().all(|l| (20..=60).contains(l)));
        assert!(lengths(Scope::Instance).iter().all(|l| (60..=120).contains(l)));
        assert!(lengths(Scope::Endpoint).iter().all(|l| (50..=160).contains(l)));
    }

    #[test]
    fn the_model_follows_from_its_seed() {
        let (a, b, c) = (
            Model::new(Tier::Smoke.sizes(), 1),
            Model::new(Tier::Smoke.sizes(), 1),
            Model::new(Tier::Smoke.sizes(), 2),
        );
        let ids = |model: &Model| {
            SCOPES.map(|s| model.entities(s).iter().map(|e| e.id.clone()).collect::<Vec<_>>())
        };
        assert_eq!(ids(&a), ids(&b));
        assert_ne!(ids(&a), ids(&c), "edges are random");
        let fields = |model: &Model| {
            let mut out = Vec::new();
            model.put_fields(&mut out, FieldSet::Percentile, model.bucket_hash(3, 4, 60_000), 1);
            out
        };
        assert_eq!(fields(&a), fields(&b));
        assert_ne!(fields(&a), fields(&c));
    }

    #[test]
    fn percentile_rows_have_the_size_of_the_model() {
        for hash in 0..200 {
            let (dataset, values) = percentile_texts(mix(hash, 0), 0);
            assert!((80..=1_000).contains(&dataset.len()), "{}", dataset.len());
            assert_eq!(values.matches("{p=").count(), 5);
        }
    }
}
