//! The measure queries of the client on the SkyWalking load (workload model, section 4.3).

use pipal_api::measure::v1::query_request::{Aggregation, GroupBy, Top};
use pipal_api::measure::v1::{QueryRequest, TopNRequest, TopNResponse, top_n_list};
use pipal_api::model::v1::condition::{BinaryOp, MatchOption, match_option};
use pipal_api::model::v1::logical_expression::LogicalOp;
use pipal_api::model::v1::{
    AggregationFunction, Criteria, Int, QueryOrder, Sort, TagValue, criteria, field_value, tag_value,
};

use crate::distribution::Zipf;
use crate::message_ids::now_nanos;
use crate::query::prepared::{Prepared, QuerySource};
use crate::random::Random;
use crate::read::{and, condition, fields, logical, tags, text_value, texts_value, time_range};
use crate::skywalking::catalog::{FieldSet, METRICS, Metric, Scope};
use crate::skywalking::definitions::{Granularity, METADATA_GROUP};
use crate::skywalking::model::Model;
use crate::skywalking::round::minute_number;

/// Path of the call for pre-aggregated rankings.
const TOP_N_PATH: &str = "/banyandb.measure.v1.MeasureService/TopN";
/// Places of a ranking.
const RANKED: usize = 10;
/// The client's LIMIT where it names none.
const LIMIT: u32 = 10_000;
/// Steps of one chart at most.
const STEPS_MAX: i64 = 500;
/// Values of one `IN` at most.
const IN_VALUES_MAX: usize = 2_000;
/// "All time": 0 to 2262-04-11.
const TIME_MAX_MS: i64 = 9_223_372_036_854;
const ENTITY_ONLY: &[(&str, &[&str])] = &[("storage-only", &["entity_id"])];

/// Queries on what `skywalking` wrote.
#[derive(Debug)]
pub struct SkyWalkingSource {
    model: Model,
    service_popularity: Zipf,
}

fn now_ms() -> i64 {
    (now_nanos() / 1_000_000) as i64
}

fn number_value(value: i64) -> TagValue {
    TagValue { value: Some(tag_value::Value::Int(Int { value })) }
}

fn equals(tag: &str, text: &str) -> Criteria {
    condition(tag, BinaryOp::Eq, text_value(text))
}

impl SkyWalkingSource {
    /// Queries with the present as end of their ranges.
    pub fn new(model: Model) -> Self {
        let service_popularity = Zipf::new(model.entities(Scope::Service).len(), 1.1);
        SkyWalkingSource { model, service_popularity }
    }

    /// Granularity and range: 60 % the last 15 to 30 minutes, 25 % 1 to 6 hours, 10 % days in hours, 5 % weeks in days.
    fn range(&self, random: &mut Random) -> (Granularity, i64, i64) {
        let (granularity, steps) = match random.below(100) {
            0..60 => (Granularity::Minute, 15 + random.below(16) as i64),
            60..85 => (Granularity::Minute, (60 + random.below(301) as i64).min(STEPS_MAX)),
            85..95 => (Granularity::Hour, 12 + random.below(157) as i64),
            _ => (Granularity::Day, 2 + random.below(14) as i64),
        };
        let bucket = granularity.bucket_ms();
        // The client's range ends with the start of the step behind the last one.
        let now_ms = now_ms();
        let last = now_ms - now_ms.rem_euclid(bucket) + bucket;
        (granularity, last - steps * bucket, steps)
    }

    fn minutes(&self, random: &mut Random) -> (i64, i64) {
        let minutes = 15 + random.below(16) as i64;
        let now_ms = now_ms();
        (now_ms - minutes * 60_000, now_ms)
    }

    fn entity(&self, scope: Scope, random: &mut Random) -> &str {
        let entities = self.model.entities(scope);
        let place = match scope {
            Scope::Service => self.service_popularity.draw(random),
            _ => random.below(entities.len() as u64) as usize,
        };
        self.model.id(scope, place)
    }

    fn metric(&self, random: &mut Random, fits: impl Fn(&Metric) -> bool) -> &'static Metric {
        let core =
            |metric: &&Metric| matches!(metric.scope, Scope::Service | Scope::Instance | Scope::Endpoint);
        let fitting: Vec<&'static Metric> =
            METRICS.iter().filter(core).filter(|metric| fits(metric)).collect();
        let draw = random.below(fitting.len() as u64) as usize;
        fitting.get(draw).copied().unwrap_or(&METRICS[0])
    }

    /// Q1 and Q2: one field of one entity, as many rows as there are steps at most.
    fn chart(&self, shape: &'static str, random: &mut Random) -> Prepared {
        let is_text = |metric: &Metric| metric.fields == FieldSet::Percentile;
        let metric = self.metric(random, |metric| is_text(metric) == (shape == "Q2"));
        let (granularity, first, steps) = self.range(random);
        let mut request =
            self.metric_request(metric.name, granularity, first, first + steps * granularity.bucket_ms());
        request.criteria = Some(equals("entity_id", self.entity(metric.scope, random)));
        request.field_projection = fields(&[metric.fields.value_field()]);
        request.limit = steps as u32;
        Prepared::new(shape, &request, 0..=steps as usize)
    }

    fn metric_request(&self, name: &str, granularity: Granularity, first: i64, last: i64) -> QueryRequest {
        QueryRequest {
            groups: vec![granularity.group().to_owned()],
            name: format!("{name}{}", granularity.suffix()),
            time_range: Some(time_range(first, last)),
            tag_projection: tags(ENTITY_ONLY),
            limit: LIMIT,
            ..Default::default()
        }
    }

    /// Q4: ten greatest means, of the services of a layer or the instances of a service.
    fn top(&self, random: &mut Random) -> Prepared {
        let (first, last) = self.minutes(random);
        let of_services = random.chance(0.5);
        let name = if of_services { "service_resp_time" } else { "service_instance_cpm" };
        let mut request = self.metric_request(name, Granularity::Minute, first, last);
        request.criteria = Some(match of_services {
            true => equals("attr0", "GENERAL"),
            false => equals("service_id", self.entity(Scope::Service, random)),
        });
        request.field_projection = fields(&["value"]);
        request.group_by =
            Some(GroupBy { tag_projection: tags(ENTITY_ONLY), field_name: "value".to_owned() });
        let function = AggregationFunction::Mean as i32;
        request.agg = Some(Aggregation { function, field_name: "value".to_owned() });
        let field_value_sort = Sort::Desc as i32;
        request.top = Some(Top { number: 10, field_name: "value".to_owned(), field_value_sort });
        request.limit = 10;
        Prepared::new("Q4", &request, 0..=10)
    }

    /// Q3: the busiest endpoints of a service, from the pre-aggregated ranking.
    fn ranking(&self, random: &mut Random) -> Prepared {
        let (first, last) = self.minutes(random);
        let service = self.entity(Scope::Service, random).to_owned();
        let equals = equals("service_id", &service);
        let conditions = match equals.exp {
            Some(criteria::Exp::Condition(condition)) => vec![condition],
            _ => Vec::new(),
        };
        let request = TopNRequest {
            groups: vec![Granularity::Minute.group().to_owned()],
            name: "endpoint_cpm-service".to_owned(),
            time_range: Some(time_range(first, last)),
            top_n: RANKED as i32,
            agg: AggregationFunction::Mean as i32,
            conditions,
            field_value_sort: Sort::Desc as i32,
            ..Default::default()
        };
        Prepared::call("Q3", TOP_N_PATH, &request, 0..=1)
            .comparing(move |answer: &TopNResponse| compare_ranking(answer, &service))
    }

    /// Q5: edges of some services, one row each.
    fn topology(&self, random: &mut Random) -> Prepared {
        let (first, last) = self.minutes(random);
        let count = 1 + random.below(self.model.entities(Scope::Service).len().min(200) as u64);
        let services: Vec<String> =
            (0..count).map(|_| self.entity(Scope::Service, random).to_owned()).collect();
        let mut request =
            self.metric_request("service_relation_server_side", Granularity::Minute, first, last);
        let ends = |tag: &str| condition(tag, BinaryOp::In, texts_value(services.clone()));
        request.criteria = Some(logical(LogicalOp::Or, ends("source_service_id"), ends("dest_service_id")));
        let projection = tags(&[("storage-only", &["component_ids", "entity_id"])]);
        request.tag_projection = projection.clone();
        request.group_by = Some(GroupBy { tag_projection: projection, field_name: String::new() });
        Prepared::new("Q5", &request, 0..=self.model.entities(Scope::ServiceEdge).len())
    }

    /// Q6: edges between the instances of two services, a row per minute and edge.
    fn instance_topology(&self, random: &mut Random) -> Prepared {
        let (first, last) = self.minutes(random);
        let edges = self.model.entities(Scope::InstanceEdge);
        let edge = edges.get(random.below(edges.len() as u64) as usize);
        let service = |place: usize| {
            let service =
                self.model.entities(Scope::Instance).get(place).map_or(0, |instance| instance.source);
            self.model.id(Scope::Service, service)
        };
        let (from, to) = edge.map_or(("", ""), |edge| (service(edge.source), service(edge.target)));
        let name = "service_instance_relation_client_side";
        let mut request = self.metric_request(name, Granularity::Minute, first, last);
        request.criteria = Some(logical(
            LogicalOp::Or,
            and(equals("source_service_id", from), equals("dest_service_id", to)),
            and(equals("dest_service_id", from), equals("source_service_id", to)),
        ));
        Prepared::new("Q6", &request, 0..=LIMIT as usize)
    }

    fn some_ids(&self, scope: Scope, random: &mut Random) -> Vec<String> {
        let entities = self.model.entities(scope);
        let count = entities.len().min(1 + random.below(IN_VALUES_MAX as u64) as usize);
        let first = random.below((entities.len() - count + 1) as u64) as usize;
        entities.iter().skip(first).take(count).map(|entity| entity.id.clone()).collect()
    }

    /// Q7: what the client reads back before it continues an hour.
    fn read_back(&self, random: &mut Random) -> Prepared {
        let ids = self.some_ids(Scope::Endpoint, random);
        let now_ms = now_ms();
        let hour = now_ms - now_ms.rem_euclid(Granularity::Hour.bucket_ms());
        let mut request = self.metric_request("endpoint_resp_time", Granularity::Hour, hour, hour);
        let rows = ids.len();
        request.criteria = Some(condition("entity_id", BinaryOp::In, texts_value(ids)));
        request.tag_projection = tags(&[
            ("searchable", &["attr0", "attr1", "attr2", "attr3", "attr4", "attr5", "service_id"]),
            ("storage-only", &["entity_id"]),
        ]);
        request.field_projection = fields(&["count", "summation", "value"]);
        Prepared::new("Q7", &request, 0..=rows)
    }

    fn metadata_request(&self, name: &str, families: &[(&str, &[&str])]) -> QueryRequest {
        QueryRequest {
            groups: vec![METADATA_GROUP.to_owned()],
            name: name.to_owned(),
            time_range: Some(time_range(0, TIME_MAX_MS)),
            tag_projection: tags(families),
            limit: LIMIT,
            ..Default::default()
        }
    }

    /// Q8: endpoint documents by id; all of them exist since the first round.
    fn documents(&self, random: &mut Random) -> Prepared {
        let ids = self.some_ids(Scope::Endpoint, random);
        let columns: &[(&str, &[&str])] = &[
            ("searchable", &["endpoint_traffic_name", "last_ping", "service_id"]),
            ("storage-only", &["id"]),
        ];
        let mut request = self.metadata_request("endpoint_traffic_minute", columns);
        let rows = ids.len();
        request.criteria = Some(condition("id", BinaryOp::In, texts_value(ids)));
        Prepared::new("Q8", &request, rows..=rows)
    }

    /// Q9: all services.
    fn services(&self) -> Prepared {
        let columns: &[&str] =
            &["layer", "service_group", "service_id", "service_traffic_name", "short_name"];
        let request = self.metadata_request("service_traffic_minute", &[("searchable", columns)]);
        let rows = self.model.entities(Scope::Service).len().min(LIMIT as usize);
        Prepared::new("Q9", &request, rows..=rows)
    }

    /// Q10 and Q11: instances or endpoints of a service that were seen since a while.
    fn members(&self, shape: &'static str, random: &mut Random) -> Prepared {
        let service = self.service_popularity.draw(random);
        let scope = if shape == "Q10" { Scope::Instance } else { Scope::Endpoint };
        let since =
            condition("last_ping", BinaryOp::Ge, number_value(minute_number(now_ms() - 7 * 86_400_000)));
        let of_service = and(equals("service_id", self.model.id(Scope::Service, service)), since);
        let count = self.model.entities(scope).iter().filter(|entity| entity.source == service).count();
        if scope == Scope::Instance {
            let columns: &[(&str, &[&str])] = &[
                ("storage-only", &["instance_traffic_name", "properties"]),
                ("searchable", &["last_ping", "service_id"]),
            ];
            let mut request = self.metadata_request("instance_traffic_minute", columns);
            request.criteria = Some(of_service);
            return Prepared::new(shape, &request, count..=count);
        }
        let columns: &[(&str, &[&str])] = &[("searchable", &["endpoint_traffic_name", "service_id"])];
        let mut request = self.metadata_request("endpoint_traffic_minute", columns);
        let mut named = condition("endpoint_traffic_name", BinaryOp::Match, text_value("users"));
        if let Some(criteria::Exp::Condition(condition)) = &mut named.exp {
            let operator = match_option::Operator::And as i32;
            condition.match_option = Some(MatchOption { analyzer: String::new(), operator });
        }
        request.criteria = Some(and(of_service, named));
        request.order_by = Some(QueryOrder { index_rule_name: String::new(), sort: Sort::Desc as i32 });
        request.limit = 20 + random.below(81) as u32;
        Prepared::new(shape, &request, 0..=count.min(request.limit as usize))
    }
}

/// At most ten endpoints of the service, each once, the greatest value first.
fn compare_ranking(answer: &TopNResponse, service: &str) -> Result<(), String> {
    let items = answer.lists.first().map_or(&[][..], |list| &list.items);
    let mut ids: Vec<&str> = Vec::with_capacity(items.len());
    for item in items {
        let tag = item.entity.iter().find(|tag| tag.key == "entity_id").and_then(|tag| tag.value.as_ref());
        let Some(tag_value::Value::Str(id)) = tag.and_then(|value| value.value.as_ref()) else {
            return Err("an item without entity_id".to_owned());
        };
        if !id.value.starts_with(service) || ids.contains(&id.value.as_str()) {
            return Err(format!("endpoint {} is of another service or occurs twice", id.value));
        }
        ids.push(&id.value);
    }
    let value = |item: &top_n_list::Item| match item.value.as_ref()?.value.as_ref()? {
        field_value::Value::Int(number) => Some(number.value),
        _ => None,
    };
    let values: Option<Vec<i64>> = items.iter().map(value).collect();
    match values {
        Some(values) if values.len() <= RANKED && values.is_sorted_by(|a, b| a >= b) => Ok(()),
        values => Err(format!("values {values:?} are no ranking of ten")),
    }
}

impl QuerySource for SkyWalkingSource {
    fn shapes(&self) -> &'static [&'static str] {
        &["Q1", "Q2", "Q3", "Q4", "Q5", "Q6", "Q7", "Q8", "Q9", "Q10", "Q11"]
    }

    fn prepare(&self, shape: &str, random: &mut Random) -> Option<Prepared> {
        Some(match shape {
            "Q1" => self.chart("Q1", random),
            "Q2" => self.chart("Q2", random),
            "Q3" => self.ranking(random),
            "Q4" => self.top(random),
            "Q5" => self.topology(random),
            "Q6" => self.instance_topology(random),
            "Q7" => self.read_back(random),
            "Q8" => self.documents(random),
            "Q9" => self.services(),
            "Q10" => self.members("Q10", random),
            "Q11" => self.members("Q11", random),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skywalking::tier::Tier;
    use pipal_api::measure::v1::TopNList;
    use pipal_api::model::v1::{FieldValue, Tag};

    #[test]
    fn rankings_with_doubled_foreign_or_unordered_items_are_found() {
        let ranking = |items: &[(&str, i64)]| {
            let item = |&(id, value): &(&str, i64)| top_n_list::Item {
                entity: vec![Tag { key: "entity_id".into(), value: Some(text_value(id)) }],
                value: Some(FieldValue { value: Some(field_value::Value::Int(Int { value })) }),
                ..Default::default()
            };
            let list = TopNList { items: items.iter().map(item).collect(), ..Default::default() };
            compare_ranking(&TopNResponse { lists: vec![list], ..Default::default() }, "svc")
        };
        assert_eq!(ranking(&[("svc_a", 9), ("svc_b", 9), ("svc_c", 1)]), Ok(()));
        for wrong in [&[("svc_a", 1), ("svc_b", 2)][..], &[("svc_a", 2), ("svc_a", 1)], &[("other_a", 2)]] {
            assert!(ranking(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(compare_ranking(&TopNResponse::default(), "svc"), Ok(()));
    }

    #[test]
    fn every_shape_can_be_asked_and_metadata_expects_exact_rows() {
        let source = SkyWalkingSource::new(Model::new(Tier::Smoke.sizes(), 1));
        let mut random = Random::new(2);
        for shape in source.shapes() {
            for _ in 0..20 {
                let prepared = source.prepare(shape, &mut random).unwrap();
                assert_eq!(prepared.shape, *shape);
                assert!(!prepared.request.is_empty());
                let exact = prepared.rows.start() == prepared.rows.end() && *prepared.rows.start() > 0;
                assert_eq!(exact, ["Q8", "Q9", "Q10"].contains(shape), "{shape}: {:?}", prepared.rows);
            }
        }
        assert!(source.prepare("Q99", &mut random).is_none());
    }
}
