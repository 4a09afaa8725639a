//! Queries on load M: the minutes that are there are asked from the server, everything else follows from the seed.

use std::collections::HashMap;
use std::sync::Arc;

use pipal_api::measure::v1::query_request::{Aggregation, GroupBy, Top};
use pipal_api::measure::v1::{DataPoint, QueryRequest, QueryResponse};
use pipal_api::model::v1::condition::BinaryOp;
use pipal_api::model::v1::{AggregationFunction, Sort, field_value, tag_value};

use crate::connection::Connections;
use crate::distribution::Zipf;
use crate::message_ids::now_nanos;
use crate::query::prepared::{Prepared, QuerySource};
use crate::random::Random;
use crate::read::{condition, fields, read_rows, rows_request, tags, text_value, time_range};
use crate::shape::{Shape, layer_of_entity};

const MINUTE_MS: i64 = 60_000;
/// Retention of the group, and so the range in which data is looked for.
const LOOK_BACK_MS: i64 = 7 * 24 * 60 * MINUTE_MS;
const TIMES_MAX: u32 = 50_000;
const TOP_NUMBER: usize = 10;
const LAYERS: [&str; 3] = ["GENERAL", "MESH", "K8S_SERVICE"];
/// Entities of a Q7, as in the table of measured systems.
const Q7_ENTITIES: u32 = 200;
/// The client's LIMIT where it names none.
const LIMIT: u32 = 10_000;

/// The data that is there.
#[derive(Debug)]
struct Stored {
    shape: Shape,
    /// Times with rows, ascending, Unix milliseconds.
    times_ms: Vec<i64>,
    last_pass: u32,
}

/// Queries on what `load-m` wrote.
#[derive(Debug)]
pub struct LoadMSource {
    stored: Arc<Stored>,
    popularity: Zipf,
}

impl LoadMSource {
    /// Asks the server which minutes it has.
    pub async fn discover(connections: &Connections, shape: Shape, passes: u32) -> Result<Self, String> {
        let now_ms = (now_nanos() / 1_000_000) as i64 / MINUTE_MS * MINUTE_MS;
        let mut request = rows_request(&shape, 0, [0], 0..=0, TIMES_MAX);
        request.time_range = Some(time_range(now_ms - LOOK_BACK_MS, now_ms + LOOK_BACK_MS));
        let rows = read_rows(connections.take()?, &request).await?;
        let mut times_ms: Vec<i64> = rows.iter().map(|row| row.time_ms).collect();
        times_ms.sort_unstable();
        if times_ms.is_empty() {
            let group = &shape.options.group;
            return Err(format!(
                "group {group} holds no load M with this seed; write one with `pipal-bench load-m`"
            ));
        }
        let popularity = Zipf::new(shape.options.entities as usize, 1.1);
        Ok(LoadMSource {
            stored: Arc::new(Stored { shape, times_ms, last_pass: passes.max(1) - 1 }),
            popularity,
        })
    }

    /// The minute behind the last one.
    pub fn end_ms(&self) -> i64 {
        self.stored.times_ms.last().map_or(0, |last| last + MINUTE_MS)
    }

    /// The last 15 to 30 minutes: the range of most queries.
    fn range(&self, random: &mut Random) -> (i64, i64) {
        let minutes = 15 + random.below(16) as i64;
        (self.end_ms() - minutes * MINUTE_MS, self.end_ms() - MINUTE_MS)
    }

    fn request(&self, measure: u32, (first_ms, last_ms): (i64, i64), limit: u32) -> QueryRequest {
        QueryRequest {
            groups: vec![self.stored.shape.options.group.clone()],
            name: self.stored.shape.measure_name(measure),
            time_range: Some(time_range(first_ms, last_ms)),
            tag_projection: tags(&[("storage-only", &["entity_id"])]),
            field_projection: fields(&["value"]),
            limit,
            ..Default::default()
        }
    }

    /// One field of one entity.
    fn q1(&self, random: &mut Random) -> Prepared {
        let measure = random.below(u64::from(self.stored.shape.options.measures)) as u32;
        let entity = self.popularity.draw(random) as u32;
        let range = self.range(random);
        let steps = ((range.1 - range.0) / MINUTE_MS + 1) as u32;
        let mut request = self.request(measure, range, steps);
        let id = text_value(self.stored.shape.entity_id(entity));
        request.criteria = Some(condition("entity_id", BinaryOp::Eq, id));
        let rows = self.stored.times_within(range).len();
        let stored = Arc::clone(&self.stored);
        Prepared::new("Q1", &request, rows..=rows).comparing(move |answer: &QueryResponse| {
            let expected: Vec<(i64, i64)> = stored
                .times_within(range)
                .iter()
                .map(|&time| (time, stored.value(measure, entity, time)))
                .collect();
            let mut found: Vec<(i64, i64)> = answer.data_points.iter().filter_map(time_and_value).collect();
            found.sort_unstable();
            if found == expected { Ok(()) } else { Err(format!("{found:?} instead of {expected:?}")) }
        })
    }

    /// The ten entities of a layer with the greatest mean.
    fn q4(&self, random: &mut Random) -> Prepared {
        let measure = random.below(u64::from(self.stored.shape.options.measures)) as u32;
        let layer = LAYERS.get(random.below(LAYERS.len() as u64) as usize).copied().unwrap_or("GENERAL");
        let range = self.range(random);
        let mut request = self.request(measure, range, TOP_NUMBER as u32);
        request.criteria = Some(condition("attr0", BinaryOp::Eq, text_value(layer)));
        request.group_by = Some(GroupBy {
            tag_projection: tags(&[("storage-only", &["entity_id"])]),
            field_name: "value".to_owned(),
        });
        let function = AggregationFunction::Mean as i32;
        request.agg = Some(Aggregation { function, field_name: "value".to_owned() });
        request.top = Some(Top {
            number: TOP_NUMBER as i32,
            field_name: "value".to_owned(),
            field_value_sort: Sort::Desc as i32,
        });
        let entities = self.stored.entities_of(layer).take(TOP_NUMBER).count();
        let rows = if self.stored.times_within(range).is_empty() { 0 } else { entities };
        let stored = Arc::clone(&self.stored);
        Prepared::new("Q4", &request, rows..=rows).comparing(move |answer: &QueryResponse| {
            let expected = stored.top_means(measure, layer, range);
            let found: Vec<i64> = answer.data_points.iter().filter_map(value).collect();
            if found == expected { Ok(()) } else { Err(format!("means {found:?} instead of {expected:?}")) }
        })
    }

    /// All columns of 200 entities.
    fn q7(&self, random: &mut Random) -> Prepared {
        let shape = &self.stored.shape;
        let measure = random.below(u64::from(shape.options.measures)) as u32;
        let count = Q7_ENTITIES.min(shape.options.entities);
        let first = random.below(u64::from(shape.options.entities - count + 1)) as u32;
        let range = self.range(random);
        let mut request = rows_request(shape, measure, first..first + count, 0..=0, LIMIT);
        request.time_range = Some(time_range(range.0, range.1));
        let rows = (count as usize * self.stored.times_within(range).len()).min(LIMIT as usize);
        let stored = Arc::clone(&self.stored);
        Prepared::new("Q7", &request, rows..=rows).comparing(move |answer: &QueryResponse| {
            stored.compare_entities(measure, first..first + count, answer)
        })
    }
}

impl QuerySource for LoadMSource {
    fn shapes(&self) -> &'static [&'static str] {
        &["Q1", "Q4", "Q7"]
    }

    fn prepare(&self, shape: &str, random: &mut Random) -> Option<Prepared> {
        match shape {
            "Q1" => Some(self.q1(random)),
            "Q4" => Some(self.q4(random)),
            "Q7" => Some(self.q7(random)),
            _ => None,
        }
    }
}

impl Stored {
    fn times_within(&self, (first_ms, last_ms): (i64, i64)) -> &[i64] {
        let from = self.times_ms.partition_point(|&time| time < first_ms);
        let to = self.times_ms.partition_point(|&time| time <= last_ms);
        self.times_ms.get(from..to).unwrap_or_default()
    }

    /// The last value written at a time. The shape of a source has bucket 0 at the epoch.
    fn value(&self, measure: u32, entity: u32, time_ms: i64) -> i64 {
        let bucket = self.shape.bucket_at(time_ms).unwrap_or(0);
        self.shape.values(measure, entity, bucket, self.last_pass).value
    }

    fn entities_of(&self, layer: &str) -> impl Iterator<Item = u32> {
        (0..self.shape.options.entities).filter(move |&entity| layer_of_entity(entity) == layer)
    }

    /// The greatest means, falling. A mean of whole numbers is cut off and never below 1.
    fn top_means(&self, measure: u32, layer: &str, range: (i64, i64)) -> Vec<i64> {
        let times = self.times_within(range);
        let mean = |entity| {
            let sum: i64 = times.iter().map(|&time| self.value(measure, entity, time)).sum();
            (sum / times.len().max(1) as i64).max(1)
        };
        let mut means: Vec<i64> =
            if times.is_empty() { Vec::new() } else { self.entities_of(layer).map(mean).collect() };
        means.sort_unstable_by(|a, b| b.cmp(a));
        means.truncate(TOP_NUMBER);
        means
    }

    fn compare_entities(
        &self,
        measure: u32,
        entities: std::ops::Range<u32>,
        answer: &QueryResponse,
    ) -> Result<(), String> {
        let index: HashMap<&str, u32> =
            entities.map(|entity| (self.shape.entity_id(entity), entity)).collect();
        for point in &answer.data_points {
            let entity =
                entity_id(point).and_then(|id| index.get(id)).ok_or("a row of an entity not asked for")?;
            let (time_ms, found) = time_and_value(point).ok_or("a row without time or value")?;
            let expected = self.value(measure, *entity, time_ms);
            if found != expected {
                return Err(format!("entity {entity} at {time_ms}: {found} instead of {expected}"));
            }
        }
        Ok(())
    }
}

fn value(point: &DataPoint) -> Option<i64> {
    let field = point.fields.iter().find(|field| field.name == "value")?;
    match field.value.as_ref()?.value.as_ref()? {
        field_value::Value::Int(number) => Some(number.value),
        _ => None,
    }
}

fn time_and_value(point: &DataPoint) -> Option<(i64, i64)> {
    let time = point.timestamp.as_ref()?;
    Some((time.seconds * 1000 + i64::from(time.nanos) / 1_000_000, value(point)?))
}

fn entity_id(point: &DataPoint) -> Option<&str> {
    let mut all = point.tag_families.iter().flat_map(|family| &family.tags);
    match all.find(|tag| tag.key == "entity_id")?.value.as_ref()?.value.as_ref()? {
        tag_value::Value::Str(text) => Some(&text.value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::ShapeOptions;

    fn source() -> LoadMSource {
        let options = crate::shape::tests::small_shape(2, 300).options;
        let shape = Shape::new(ShapeOptions { start_ms: 0, ..options });
        let times_ms = (0..20).map(|minute| (28_000_000 + minute) * MINUTE_MS).collect();
        LoadMSource {
            stored: Arc::new(Stored { shape, times_ms, last_pass: 1 }),
            popularity: Zipf::new(300, 1.1),
        }
    }

    #[test]
    fn means_are_cut_off_ranked_and_never_below_one() {
        let source = source();
        let range = (28_000_003 * MINUTE_MS, 28_000_007 * MINUTE_MS);
        assert_eq!(source.stored.times_within(range).len(), 5);
        let means = source.stored.top_means(1, "GENERAL", range);
        assert_eq!(means.len(), 10);
        assert!(means.is_sorted_by(|a, b| a >= b));
        let best = source.stored.entities_of("GENERAL").map(|entity| {
            let sum: i64 =
                (3..=7).map(|m| source.stored.value(1, entity, (28_000_000 + m) * MINUTE_MS)).sum();
            sum / 5
        });
        assert_eq!(means.first().copied(), best.max());
        assert!(source.stored.top_means(1, "GENERAL", (0, 1)).is_empty());
    }

    #[test]
    fn requests_expect_the_rows_that_are_there() {
        let source = source();
        let mut random = Random::new(4);
        for shape in source.shapes() {
            let prepared = source.prepare(shape, &mut random).unwrap();
            assert_eq!(prepared.shape, *shape);
            assert!(*prepared.rows.start() >= 10, "{shape}: {:?}", prepared.rows);
        }
        assert!(source.prepare("Q9", &mut random).is_none());
    }
}
