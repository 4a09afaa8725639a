//! Schema definitions of the catalog: metrics, relations, metadata, Top-N rules.

use pipal_api::database::v1::{Measure, ShardingKey, TagType, TopNAggregation};
use pipal_api::model::v1::Sort;

use crate::schema::{entity, family, field, metadata};
use crate::skywalking::catalog::{FieldSet, TagSet, metric_measures};

use TagType::{Int as I, String as S};

/// Distance of the buckets of a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Granularity {
    Minute,
    Hour,
    Day,
}

/// Tags with their types.
type Tags = &'static [(&'static str, TagType)];

/// Tags of the two families, `storage-only` and `searchable`.
struct TagsOnly {
    name: &'static str,
    storage_only: Tags,
    searchable: Tags,
}

/// Edges between services, instances and endpoints: no fields, yet one row per bucket.
const RELATIONS: [TagsOnly; 5] = [
    TagsOnly { name: "service_relation_server_side", storage_only: COMPONENTS, searchable: SERVICE_ENDS },
    TagsOnly { name: "service_relation_client_side", storage_only: COMPONENTS, searchable: SERVICE_ENDS },
    TagsOnly {
        name: "service_instance_relation_server_side",
        storage_only: ENTITY,
        searchable: INSTANCE_ENDS,
    },
    TagsOnly {
        name: "service_instance_relation_client_side",
        storage_only: ENTITY,
        searchable: INSTANCE_ENDS,
    },
    TagsOnly {
        name: "endpoint_relation_server_side",
        storage_only: &[("component_id", I), ("entity_id", S)],
        searchable: &[("source_endpoint", S), ("dest_endpoint", S)],
    },
];

/// Edges between processes exist per minute only.
const PROCESS_RELATIONS: [&str; 2] = ["process_relation_client_side", "process_relation_server_side"];

const ENTITY: Tags = &[("entity_id", S)];
const COMPONENTS: Tags = &[("component_ids", S), ("entity_id", S)];
const SERVICE_ENDS: Tags = &[("source_service_id", S), ("dest_service_id", S)];
const INSTANCE_ENDS: Tags = &[
    ("source_service_id", S),
    ("source_service_instance_id", S),
    ("dest_service_id", S),
    ("dest_service_instance_id", S),
];
const ID: Tags = &[("id", S)];

/// Measures in index mode: one document per entity and segment.
const METADATA: [TagsOnly; 13] = [
    TagsOnly {
        name: "endpoint_traffic",
        storage_only: ID,
        searchable: &[("service_id", S), ("endpoint_traffic_name", S), ("last_ping", I)],
    },
    TagsOnly {
        name: "instance_traffic",
        storage_only: &[("instance_traffic_name", S), ("properties", S), ("id", S)],
        searchable: &[("service_id", S), ("last_ping", I)],
    },
    TagsOnly {
        name: "network_address_alias",
        storage_only: ID,
        searchable: &[
            ("address", S),
            ("represent_service_id", S),
            ("represent_service_instance_id", S),
            ("last_update_time_bucket", I),
        ],
    },
    TagsOnly {
        name: "process_traffic",
        storage_only: &[("properties", S), ("labels_json", S), ("id", S)],
        searchable: &[
            ("service_id", S),
            ("instance_id", S),
            ("name", S),
            ("last_ping", I),
            ("detect_type", I),
            ("agent_id", S),
            ("profiling_support_status", I),
        ],
    },
    TagsOnly { name: "service_label", storage_only: ID, searchable: &[("service_id", S), ("label", S)] },
    TagsOnly {
        name: "tag_autocomplete",
        storage_only: ID,
        searchable: &[("tag_key", S), ("tag_value", S), ("tag_type", S)],
    },
    TagsOnly {
        name: "service_traffic",
        storage_only: ID,
        searchable: &[
            ("service_traffic_name", S),
            ("short_name", S),
            ("service_id", S),
            ("service_group", S),
            ("layer", I),
        ],
    },
    TagsOnly {
        name: "instance_hierarchy_relation",
        storage_only: ID,
        searchable: &[
            ("instance_id", S),
            ("service_layer", I),
            ("related_instance_id", S),
            ("related_service_layer", I),
        ],
    },
    TagsOnly {
        name: "service_hierarchy_relation",
        storage_only: ID,
        searchable: &[
            ("service_id", S),
            ("service_layer", I),
            ("related_service_id", S),
            ("related_service_layer", I),
        ],
    },
    TagsOnly {
        name: "ebpf_profiling_schedule",
        storage_only: ID,
        searchable: &[
            ("task_id", S),
            ("process_id", S),
            ("start_time", I),
            ("end_time", I),
            ("ebpf_profiling_schedule_id", S),
        ],
    },
    TagsOnly {
        name: "zipkin_service_relation_traffic",
        storage_only: ID,
        searchable: &[("service_name", S), ("remote_service_name", S)],
    },
    TagsOnly {
        name: "zipkin_service_span_traffic",
        storage_only: ID,
        searchable: &[("service_name", S), ("span_name", S)],
    },
    TagsOnly { name: "zipkin_service_traffic", storage_only: ID, searchable: &[("service_name", S)] },
];

/// Name, source metric, ranked field and group-by tag of the Top-N rules; the lowest rank where the last is true.
const TOP_N: [(&str, &str, &str, &str, bool); 9] = [
    ("endpoint_cpm-layer", "endpoint_cpm", "value", "attr0", false),
    ("endpoint_cpm-service", "endpoint_cpm", "value", "service_id", false),
    ("endpoint_resp_time-layer", "endpoint_resp_time", "value", "attr0", false),
    ("endpoint_resp_time-service", "endpoint_resp_time", "value", "service_id", false),
    ("endpoint_sla-layer", "endpoint_sla", "percentage", "attr0", true),
    ("endpoint_sla-service", "endpoint_sla", "percentage", "service_id", true),
    ("browser_app_page_pv-service", "browser_app_page_pv", "value", "service_id", false),
    ("browser_app_page_error_rate-service", "browser_app_page_error_rate", "percentage", "service_id", false),
    ("browser_app_page_error_sum-service", "browser_app_page_error_sum", "value", "service_id", false),
];

impl Granularity {
    /// All three.
    pub const ALL: [Granularity; 3] = [Granularity::Minute, Granularity::Hour, Granularity::Day];

    /// Milliseconds of one bucket.
    pub fn bucket_ms(self) -> i64 {
        match self {
            Granularity::Minute => 60_000,
            Granularity::Hour => 3_600_000,
            Granularity::Day => 86_400_000,
        }
    }

    /// The end of measure names.
    pub fn suffix(self) -> &'static str {
        match self {
            Granularity::Minute => "_minute",
            Granularity::Hour => "_hour",
            Granularity::Day => "_day",
        }
    }

    /// The group of metrics, below the client's namespace.
    pub fn group(self) -> &'static str {
        match self {
            Granularity::Minute => "sw_metricsMinute",
            Granularity::Hour => "sw_metricsHour",
            Granularity::Day => "sw_metricsDay",
        }
    }

    /// Shards, days of a segment and days to live of the group.
    pub fn group_options(self) -> (u32, u32, u32) {
        match self {
            Granularity::Minute => (2, 1, 7),
            Granularity::Hour => (1, 5, 15),
            Granularity::Day => (1, 15, 15),
        }
    }

    fn interval(self) -> &'static str {
        match self {
            Granularity::Minute => "1m",
            Granularity::Hour => "1h",
            Granularity::Day => "1d",
        }
    }
}

/// The group of metadata.
pub const METADATA_GROUP: &str = "sw_metadata";

fn owned(tags: Tags) -> impl Iterator<Item = (String, TagType)> {
    tags.iter().map(|&(name, kind)| (name.to_owned(), kind))
}

fn metric(name: &str, tags: TagSet, fields: FieldSet, sharded: bool, granularity: Granularity) -> Measure {
    let mut tag_families = vec![family("storage-only", owned(ENTITY))];
    if tags != TagSet::None {
        tag_families.push(family("searchable", tags.searchable().iter().map(|&tag| (tag.to_owned(), S))));
    }
    Measure {
        metadata: Some(metadata(granularity.group(), &format!("{name}{}", granularity.suffix()))),
        tag_families,
        fields: fields.fields().iter().map(|&(name, kind)| field(name, kind)).collect(),
        entity: Some(entity(&["entity_id"])),
        interval: granularity.interval().to_owned(),
        sharding_key: sharded.then(|| ShardingKey { tag_names: vec!["service_id".to_owned()] }),
        ..Default::default()
    }
}

fn tags_only(group: &str, definition: &TagsOnly, granularity: Granularity, keys: &[&str]) -> Measure {
    Measure {
        metadata: Some(metadata(group, &format!("{}{}", definition.name, granularity.suffix()))),
        tag_families: vec![
            family("storage-only", owned(definition.storage_only)),
            family("searchable", owned(definition.searchable)),
        ],
        entity: Some(entity(keys)),
        interval: granularity.interval().to_owned(),
        index_mode: group == METADATA_GROUP,
        ..Default::default()
    }
}

/// All measures of a granularity.
pub fn metrics_of(granularity: Granularity) -> Vec<Measure> {
    let metrics = metric_measures();
    let metrics = metrics
        .iter()
        .map(|(name, tags, fields, sharded)| metric(name, *tags, *fields, *sharded, granularity));
    let group = granularity.group();
    let relations = RELATIONS.iter().map(|relation| tags_only(group, relation, granularity, &["entity_id"]));
    let processes = PROCESS_RELATIONS.iter().filter(|_| granularity == Granularity::Minute).map(|&name| {
        let definition = TagsOnly {
            name,
            storage_only: &[("entity_id", S), ("component_id", I)],
            searchable: &[("service_instance_id", S), ("source_process_id", S), ("dest_process_id", S)],
        };
        tags_only(group, &definition, granularity, &["entity_id", "component_id"])
    });
    relations.chain(processes).chain(metrics).collect()
}

/// The measures of the metadata group.
pub fn metadata_measures() -> Vec<Measure> {
    METADATA
        .iter()
        .map(|definition| tags_only(METADATA_GROUP, definition, Granularity::Minute, &["id"]))
        .collect()
}

/// The Top-N rules of a granularity.
pub fn top_n_of(granularity: Granularity) -> Vec<TopNAggregation> {
    let rule =
        |&(name, source, field_name, group_by, lowest): &(&str, &str, &str, &str, bool)| TopNAggregation {
            metadata: Some(metadata(granularity.group(), name)),
            source_measure: Some(metadata(granularity.group(), &format!("{source}{}", granularity.suffix()))),
            field_name: field_name.to_owned(),
            field_value_sort: if lowest { Sort::Asc } else { Sort::Desc } as i32,
            group_by_tag_names: vec![group_by.to_owned()],
            counters_number: 1000,
            lru_size: if granularity == Granularity::Minute { 10 } else { 2 },
            ..Default::default()
        };
    TOP_N.iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_schema_set_has_the_recorded_numbers() {
        let counts = Granularity::ALL.map(|granularity| metrics_of(granularity).len());
        assert_eq!(counts, [1_846, 1_844, 1_844]);
        assert_eq!(metadata_measures().len(), 13);
        let rules = |measures: &[Measure]| {
            let searchable = measures.iter().flat_map(|m| &m.tag_families).filter(|f| f.name == "searchable");
            searchable.flat_map(|f| f.tags.iter().map(|tag| tag.name.clone())).collect::<HashSet<_>>().len()
        };
        let counts = Granularity::ALL.map(|granularity| rules(&metrics_of(granularity)));
        assert_eq!(counts, [17, 14, 14], "index rules per granularity");
        assert_eq!(rules(&metadata_measures()), 32);
        let bound = |measures: &[Measure]| measures.iter().filter(|m| m.tag_families.len() > 1).count();
        assert_eq!(
            Granularity::ALL.map(|granularity| bound(&metrics_of(granularity))),
            [1_602, 1_600, 1_600]
        );
    }
}
