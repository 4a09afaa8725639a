//! One round of the client: every 25 seconds all workers write what they have aggregated.

use crate::batch::WriteHeader;
use crate::protobuf::{put_bytes, put_int_value, put_str_value};
use crate::random::mix;
use crate::shape::layer;
use crate::skywalking::catalog::{METRICS, Scope};
use crate::skywalking::cutter::Cutter;
use crate::skywalking::definitions::{Granularity, METADATA_GROUP};
use crate::skywalking::model::{Entity, Model};
use crate::skywalking::tracker::{Sample, SampleKey, is_sampled};

/// Distance of two rounds.
pub const ROUND_MS: i64 = 25_000;
/// Hour and day workers write in every fourth round.
const COARSE_ROUNDS: u32 = 4;
/// Entities that write in a round, in thousandths.
const ACTIVE_INSTANCES: u64 = 950;
const ACTIVE_ENDPOINTS: u64 = 600;
/// Late minute points, in hundred-thousandths: 0.5 % up to ten minutes, 0.05 % up to a day.
const LATE_SCALE: u64 = 100_000;
const LATE_MINUTES: u64 = 500;
const LATE_DAY: u64 = 50;

/// Numbers of layers in metadata rows.
const LAYER_GENERAL: i64 = 2;

/// One round.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    pub number: u32,
    pub now_ms: i64,
    /// First-insert time of metadata rows.
    pub epoch_ms: i64,
    /// Whether metrics and rows of edges are written.
    pub relations: bool,
}

/// The write headers of everything a round may contain; a header's number is its place.
#[derive(Debug)]
pub struct Headers {
    headers: Vec<WriteHeader>,
}

/// Edge rows: measure, scope of the edge, scope of its ends.
const EDGE_ROWS: [(&str, Scope, Scope); 5] = [
    ("service_relation_client_side", Scope::ServiceEdge, Scope::Service),
    ("service_relation_server_side", Scope::ServiceEdge, Scope::Service),
    ("service_instance_relation_client_side", Scope::InstanceEdge, Scope::Instance),
    ("service_instance_relation_server_side", Scope::InstanceEdge, Scope::Instance),
    ("endpoint_relation_server_side", Scope::EndpointEdge, Scope::Endpoint),
];
const GRANULARITIES: usize = Granularity::ALL.len();
const EDGE_HEADERS: usize = METRICS.len() * GRANULARITIES;
const TRAFFIC_HEADERS: usize = EDGE_HEADERS + EDGE_ROWS.len() * GRANULARITIES;

impl Headers {
    /// Encodes all headers: families, tags and fields sorted by name, as the client sends them.
    pub fn new() -> Self {
        let mut headers = Vec::new();
        for metric in METRICS {
            let mut searchable = metric.tags.searchable().to_vec();
            searchable.sort_unstable();
            let mut fields: Vec<&str> = metric.fields.fields().iter().map(|(name, _)| *name).collect();
            fields.sort_unstable();
            let mut families = vec![("searchable", searchable), ("storage-only", vec!["entity_id"])];
            families.retain(|(_, tags)| !tags.is_empty());
            headers.extend(Granularity::ALL.map(|granularity| {
                let name = format!("{}{}", metric.name, granularity.suffix());
                WriteHeader::new(granularity.group(), &name, &families, &fields)
            }));
        }
        for (name, edge, _) in EDGE_ROWS {
            let (searchable, storage_only) = edge_tags(edge);
            let families = [("searchable", searchable), ("storage-only", storage_only)];
            headers.extend(Granularity::ALL.map(|granularity| {
                let name = format!("{name}{}", granularity.suffix());
                WriteHeader::new(granularity.group(), &name, &families, &[])
            }));
        }
        for (name, searchable, storage_only) in [
            (
                "instance_traffic_minute",
                vec!["last_ping", "service_id"],
                vec!["id", "instance_traffic_name", "properties"],
            ),
            ("endpoint_traffic_minute", vec!["endpoint_traffic_name", "last_ping", "service_id"], vec!["id"]),
            (
                "service_traffic_minute",
                vec!["layer", "service_group", "service_id", "service_traffic_name", "short_name"],
                vec!["id"],
            ),
        ] {
            let families = [("searchable", searchable), ("storage-only", storage_only)];
            headers.push(WriteHeader::new(METADATA_GROUP, name, &families, &[]));
        }
        Headers { headers }
    }

    fn get(&self, number: usize) -> Result<(usize, &WriteHeader), String> {
        self.headers.get(number).map(|header| (number, header)).ok_or_else(|| format!("no header {number}"))
    }
}

/// Tags of edge rows, sorted by name: `searchable`, `storage-only`.
fn edge_tags(edge: Scope) -> (Vec<&'static str>, Vec<&'static str>) {
    match edge {
        Scope::ServiceEdge => {
            (vec!["dest_service_id", "source_service_id"], vec!["component_ids", "entity_id"])
        }
        Scope::InstanceEdge => (
            vec![
                "dest_service_id",
                "dest_service_instance_id",
                "source_service_id",
                "source_service_instance_id",
            ],
            vec!["entity_id"],
        ),
        _ => (vec!["dest_endpoint", "source_endpoint"], vec!["component_id", "entity_id"]),
    }
}

impl Round {
    fn is_active(&self, scope: Scope, entity: usize) -> bool {
        // The first round meets everything, so that all metadata is there.
        if self.number == 0 {
            return true;
        }
        let draw = mix(entity as u64, u64::from(self.number)) % 1000;
        match scope {
            Scope::Instance | Scope::InstanceEdge => draw < ACTIVE_INSTANCES,
            Scope::Endpoint | Scope::EndpointEdge => draw < ACTIVE_ENDPOINTS,
            Scope::Service | Scope::ServiceEdge => true,
        }
    }

    fn granularities(&self) -> &'static [Granularity] {
        match self.number % COARSE_ROUNDS {
            0 => &Granularity::ALL,
            _ => &[Granularity::Minute],
        }
    }

    fn covers(&self, scope: Scope) -> bool {
        self.relations || matches!(scope, Scope::Service | Scope::Instance | Scope::Endpoint)
    }

    /// The bucket that a point belongs to; a few minute points come late.
    fn bucket_ms(&self, granularity: Granularity, metric: usize, entity: usize) -> i64 {
        let draw = mix(mix(metric as u64, entity as u64), u64::from(self.number));
        let late_minutes = match draw % LATE_SCALE {
            _ if granularity != Granularity::Minute => 0,
            0..LATE_DAY => 11 + (draw >> 32) % 1_429,
            LATE_DAY..LATE_MINUTES => 1 + (draw >> 32) % 10,
            _ => 0,
        };
        let time_ms = self.now_ms - late_minutes as i64 * 60_000;
        time_ms - time_ms.rem_euclid(granularity.bucket_ms())
    }

    /// Writes the whole round into the cutter.
    pub async fn write(&self, model: &Model, headers: &Headers, cutter: &mut Cutter) -> Result<(), String> {
        for (number, metric) in METRICS.iter().enumerate().filter(|(_, metric)| self.covers(metric.scope)) {
            for granularity in self.granularities() {
                let header = headers.get(number * GRANULARITIES + *granularity as usize)?;
                for (place, entity) in model.entities(metric.scope).iter().enumerate() {
                    if !self.is_active(metric.scope, place) {
                        continue;
                    }
                    let time_ms = self.bucket_ms(*granularity, number, place);
                    let hash = model.bucket_hash(number, place, time_ms);
                    let put = |out: &mut Vec<u8>| model.put_fields(out, metric.fields, hash, self.number);
                    let id = cutter.push(header, time_ms, &entity.encoded_tags, put);
                    if is_sampled(model.seed, number, place) {
                        let key =
                            SampleKey { metric: number, granularity: *granularity, entity: place, time_ms };
                        cutter.track(key, Sample { version: id, write: self.number });
                    }
                    cutter.flush_full().await?;
                }
            }
        }
        if self.relations {
            self.write_edges(model, headers, cutter).await?;
        }
        self.write_traffic(model, headers, cutter).await?;
        cutter.flush().await
    }

    async fn write_edges(&self, model: &Model, headers: &Headers, cutter: &mut Cutter) -> Result<(), String> {
        for (number, (_, edge, ends)) in EDGE_ROWS.into_iter().enumerate() {
            for granularity in self.granularities() {
                let header = headers.get(EDGE_HEADERS + number * GRANULARITIES + *granularity as usize)?;
                let time_ms = self.now_ms - self.now_ms.rem_euclid(granularity.bucket_ms());
                for (place, entity) in model.entities(edge).iter().enumerate() {
                    if self.is_active(edge, place) {
                        let tags = encode_edge(model, entity, edge, ends);
                        cutter.push(header, time_ms, &tags, |_| {});
                        cutter.flush_full().await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Metadata rows keep the time of their first insert; every round refreshes those of active entities.
    async fn write_traffic(
        &self,
        model: &Model,
        headers: &Headers,
        cutter: &mut Cutter,
    ) -> Result<(), String> {
        let last_ping = minute_number(self.now_ms);
        let kinds = [(Scope::Instance, 0), (Scope::Endpoint, 1), (Scope::Service, 2)];
        for (scope, place_of_header) in kinds {
            let header = headers.get(TRAFFIC_HEADERS + place_of_header)?;
            for (place, entity) in model.entities(scope).iter().enumerate() {
                let due = self.is_active(scope, place) && (scope != Scope::Service || self.number == 0);
                if due {
                    let service = model.id(Scope::Service, entity.source);
                    let tags = encode_traffic(scope, entity, service, last_ping);
                    cutter.push(header, self.epoch_ms, &tags, |_| {});
                    cutter.flush_full().await?;
                }
            }
        }
        Ok(())
    }
}

fn encode_families(searchable: &[u8], storage_only: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(searchable.len() + storage_only.len() + 8);
    put_bytes(&mut encoded, 2, searchable);
    put_bytes(&mut encoded, 2, storage_only);
    encoded
}

fn encode_edge(model: &Model, edge: &Entity, scope: Scope, ends: Scope) -> Vec<u8> {
    let (mut searchable, mut storage_only) = (Vec::with_capacity(300), Vec::with_capacity(300));
    let mut end = |place: usize| {
        if scope == Scope::InstanceEdge {
            let service = model.entities(ends).get(place).map_or(0, |instance| instance.source);
            put_str_value(&mut searchable, 1, model.id(Scope::Service, service));
        }
        put_str_value(&mut searchable, 1, model.id(ends, place));
    };
    end(edge.target);
    end(edge.source);
    match scope {
        Scope::ServiceEdge => put_str_value(&mut storage_only, 1, "2,5"),
        Scope::EndpointEdge => put_int_value(&mut storage_only, 1, 4, 2),
        _ => {}
    }
    put_str_value(&mut storage_only, 1, &edge.id);
    encode_families(&searchable, &storage_only)
}

fn encode_traffic(scope: Scope, entity: &Entity, service_id: &str, last_ping: i64) -> Vec<u8> {
    let (mut searchable, mut storage_only) = (Vec::with_capacity(200), Vec::with_capacity(200));
    let text = |out: &mut Vec<u8>, text: &str| put_str_value(out, 1, text);
    match scope {
        Scope::Instance => {
            put_int_value(&mut searchable, 1, 4, last_ping);
            text(&mut searchable, service_id);
            text(&mut storage_only, &entity.id);
            text(&mut storage_only, &entity.name);
            text(&mut storage_only, r#"{"OS Name":"Linux","language":"java","Process No.":"1"}"#);
        }
        Scope::Endpoint => {
            text(&mut searchable, &entity.name);
            put_int_value(&mut searchable, 1, 4, last_ping);
            text(&mut searchable, service_id);
            text(&mut storage_only, &entity.id);
        }
        _ => {
            put_int_value(
                &mut searchable,
                1,
                4,
                LAYER_GENERAL + (layer(entity.source as u64).len() as i64 % 7),
            );
            text(&mut searchable, "");
            text(&mut searchable, service_id);
            text(&mut searchable, &entity.name);
            text(&mut searchable, &entity.name);
            text(&mut storage_only, &entity.id);
        }
    }
    encode_families(&searchable, &storage_only)
}

/// `yyyyMMddHHmm` of a time in UTC: how the client stores `last_ping` (civil date after Hinnant, "chrono-compatible
/// low-level date algorithms").
pub fn minute_number(time_ms: i64) -> i64 {
    let minutes = time_ms.div_euclid(60_000);
    let days = minutes.div_euclid(1_440) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let minute_of_day = minutes.rem_euclid(1_440);
    (((year * 100 + month) * 100 + day) * 100 + minute_of_day / 60) * 100 + minute_of_day % 60
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_numbered_by_date_and_time() {
        assert_eq!(minute_number(0), 197_001_010_000);
        assert_eq!(minute_number(951_827_696_789), 200_002_291_234);
        assert_eq!(minute_number(1_798_761_599_999), 202_612_312_359);
    }

    #[test]
    fn shares_of_active_and_late_points_are_those_of_the_model() {
        let round = Round { number: 5, now_ms: 1_700_000_000_000, epoch_ms: 0, relations: true };
        let active = |scope| (0..20_000).filter(|&entity| round.is_active(scope, entity)).count();
        assert_eq!(active(Scope::Service), 20_000);
        assert!((18_850..19_150).contains(&active(Scope::Instance)));
        assert!((11_700..12_300).contains(&active(Scope::Endpoint)));
        let on_time = round.now_ms - round.now_ms % 60_000;
        let late = |entity| (on_time - round.bucket_ms(Granularity::Minute, 1, entity)) / 60_000;
        let within = (0..200_000).filter(|&entity| (1..=10).contains(&late(entity))).count();
        let long = (0..200_000).filter(|&entity| late(entity) > 10).count();
        assert!((800..1_000).contains(&within), "{within}");
        assert!((60..140).contains(&long), "{long}");
        assert!((0..200_000).all(|entity| (0..1_440).contains(&late(entity))));
    }

    #[test]
    fn every_fourth_round_also_writes_hours_and_days() {
        let round = |number| Round { number, now_ms: 0, epoch_ms: 0, relations: false };
        assert_eq!(
            (0..8).map(|n| round(n).granularities().len()).collect::<Vec<_>>(),
            [3, 1, 1, 1, 3, 1, 1, 1]
        );
        assert_eq!(Headers::new().headers.len(), TRAFFIC_HEADERS + 3);
    }
}
