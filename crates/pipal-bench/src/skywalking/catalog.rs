//! The measures of a default SkyWalking installation: 1,846 per minute, 1,844 per hour and per day, 13 of metadata. The
//! numbers of measures per combination of tags and fields are those of a recorded start of the client; measures that
//! the load writes carry their real names, the others stand for their kind.

use pipal_api::database::v1::FieldType;

/// Tags besides `entity_id`; all of them are indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagSet {
    None,
    Service,
    Attributes,
    ServiceAttributes,
    ServiceName,
}

/// The fields that a function of the metrics language stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldSet {
    Average,
    LabeledAverage,
    Value,
    LabeledValue,
    PerMinute,
    Percentile,
    HistogramPercentile,
    Histogram,
    Rate,
    ErrorRate,
    Apdex,
    DoubleAverage,
    LabelCount,
}

/// What a written metric describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    Service,
    Instance,
    Endpoint,
    ServiceEdge,
    InstanceEdge,
    EndpointEdge,
}

/// Measures of one kind.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub count: usize,
    pub tags: TagSet,
    pub fields: FieldSet,
    /// Sharded by `service_id` although the entity is `entity_id` alone.
    pub sharded: bool,
}

/// A metric that the load writes.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub name: &'static str,
    pub scope: Scope,
    pub tags: TagSet,
    pub fields: FieldSet,
    pub sharded: bool,
}

use FieldSet as F;
use Scope as S;
use TagSet as T;

const fn kind(count: usize, tags: TagSet, fields: FieldSet) -> Kind {
    Kind { count, tags, fields, sharded: false }
}

const fn sharded(count: usize, tags: TagSet, fields: FieldSet) -> Kind {
    Kind { count, tags, fields, sharded: true }
}

/// All kinds of metrics with the number of measures per granularity.
pub const KINDS: [Kind; 41] = [
    kind(748, T::ServiceAttributes, F::Average),
    kind(520, T::ServiceAttributes, F::LabeledAverage),
    kind(90, T::None, F::Average),
    kind(71, T::Service, F::Average),
    kind(68, T::None, F::Value),
    kind(58, T::Attributes, F::HistogramPercentile),
    kind(54, T::None, F::PerMinute),
    kind(28, T::Attributes, F::Average),
    kind(26, T::Service, F::Value),
    kind(26, T::ServiceAttributes, F::Value),
    kind(15, T::None, F::Percentile),
    kind(15, T::Service, F::PerMinute),
    kind(13, T::Attributes, F::PerMinute),
    kind(12, T::None, F::Rate),
    kind(12, T::Attributes, F::Value),
    kind(9, T::Service, F::Percentile),
    sharded(7, T::Service, F::PerMinute),
    kind(6, T::ServiceAttributes, F::LabeledValue),
    sharded(6, T::Service, F::Value),
    sharded(6, T::Service, F::Average),
    kind(5, T::ServiceName, F::Average),
    kind(4, T::Service, F::Rate),
    sharded(4, T::ServiceAttributes, F::Average),
    kind(4, T::Attributes, F::Histogram),
    kind(4, T::None, F::Apdex),
    kind(3, T::ServiceName, F::Value),
    kind(2, T::ServiceName, F::Percentile),
    kind(2, T::Service, F::DoubleAverage),
    kind(2, T::Attributes, F::Rate),
    kind(2, T::Attributes, F::Percentile),
    kind(2, T::Attributes, F::Apdex),
    kind(2, T::Service, F::LabeledAverage),
    kind(2, T::Service, F::LabelCount),
    sharded(2, T::Service, F::Rate),
    kind(1, T::ServiceName, F::PerMinute),
    kind(1, T::ServiceName, F::Rate),
    sharded(1, T::ServiceAttributes, F::PerMinute),
    sharded(1, T::ServiceAttributes, F::Rate),
    sharded(1, T::ServiceAttributes, F::Percentile),
    kind(1, T::Service, F::Apdex),
    kind(1, T::None, F::ErrorRate),
];

/// Kinds of a single measure whose names Top-N rules mention.
pub const NAMED_KINDS: [(Kind, &str); 2] = [
    (kind(1, T::Service, F::ErrorRate), "browser_app_single_version_error_rate"),
    (sharded(1, T::Service, F::ErrorRate), "browser_app_page_error_rate"),
];

const fn metric(name: &'static str, scope: Scope, tags: TagSet, fields: FieldSet) -> Metric {
    Metric { name, scope, tags, fields, sharded: matches!(scope, S::Endpoint) }
}

/// The metrics that the load writes: 5 per service, 3 + 18 per instance, 4 per endpoint, 8, 8 and 4 per edge.
pub const METRICS: [Metric; 50] = [
    metric("service_resp_time", S::Service, T::Attributes, F::Average),
    metric("service_sla", S::Service, T::Attributes, F::Rate),
    metric("service_cpm", S::Service, T::Attributes, F::PerMinute),
    metric("service_percentile", S::Service, T::Attributes, F::Percentile),
    metric("service_apdex", S::Service, T::Attributes, F::Apdex),
    metric("service_instance_resp_time", S::Instance, T::Service, F::Average),
    metric("service_instance_sla", S::Instance, T::Service, F::Rate),
    metric("service_instance_cpm", S::Instance, T::Service, F::PerMinute),
    metric("instance_jvm_cpu", S::Instance, T::Service, F::DoubleAverage),
    metric("instance_jvm_memory_heap", S::Instance, T::Service, F::Average),
    metric("instance_jvm_memory_noheap", S::Instance, T::Service, F::Average),
    metric("instance_jvm_memory_heap_max", S::Instance, T::Service, F::Average),
    metric("instance_jvm_memory_noheap_max", S::Instance, T::Service, F::Average),
    metric("instance_jvm_young_gc_time", S::Instance, T::Service, F::Value),
    metric("instance_jvm_old_gc_time", S::Instance, T::Service, F::Value),
    metric("instance_jvm_normal_gc_time", S::Instance, T::Service, F::Value),
    metric("instance_jvm_young_gc_count", S::Instance, T::Service, F::Value),
    metric("instance_jvm_old_gc_count", S::Instance, T::Service, F::Value),
    metric("instance_jvm_normal_gc_count", S::Instance, T::Service, F::Value),
    metric("instance_jvm_thread_live_count", S::Instance, T::Service, F::Average),
    metric("instance_jvm_thread_daemon_count", S::Instance, T::Service, F::Average),
    metric("instance_jvm_thread_peak_count", S::Instance, T::Service, F::Average),
    metric("instance_jvm_thread_runnable_state_thread_count", S::Instance, T::Service, F::Average),
    metric("instance_jvm_thread_blocked_state_thread_count", S::Instance, T::Service, F::Average),
    metric("instance_jvm_thread_waiting_state_thread_count", S::Instance, T::Service, F::Average),
    metric("instance_jvm_thread_timed_waiting_state_thread_count", S::Instance, T::Service, F::Average),
    metric("endpoint_resp_time", S::Endpoint, T::ServiceAttributes, F::Average),
    metric("endpoint_cpm", S::Endpoint, T::ServiceAttributes, F::PerMinute),
    metric("endpoint_sla", S::Endpoint, T::ServiceAttributes, F::Rate),
    metric("endpoint_percentile", S::Endpoint, T::ServiceAttributes, F::Percentile),
    metric("service_relation_client_cpm", S::ServiceEdge, T::None, F::PerMinute),
    metric("service_relation_server_cpm", S::ServiceEdge, T::None, F::PerMinute),
    metric("service_relation_client_call_sla", S::ServiceEdge, T::None, F::Rate),
    metric("service_relation_server_call_sla", S::ServiceEdge, T::None, F::Rate),
    metric("service_relation_client_resp_time", S::ServiceEdge, T::None, F::Average),
    metric("service_relation_server_resp_time", S::ServiceEdge, T::None, F::Average),
    metric("service_relation_client_percentile", S::ServiceEdge, T::None, F::Percentile),
    metric("service_relation_server_percentile", S::ServiceEdge, T::None, F::Percentile),
    metric("service_instance_relation_client_cpm", S::InstanceEdge, T::None, F::PerMinute),
    metric("service_instance_relation_server_cpm", S::InstanceEdge, T::None, F::PerMinute),
    metric("service_instance_relation_client_call_sla", S::InstanceEdge, T::None, F::Rate),
    metric("service_instance_relation_server_call_sla", S::InstanceEdge, T::None, F::Rate),
    metric("service_instance_relation_client_resp_time", S::InstanceEdge, T::None, F::Average),
    metric("service_instance_relation_server_resp_time", S::InstanceEdge, T::None, F::Average),
    metric("service_instance_relation_client_percentile", S::InstanceEdge, T::None, F::Percentile),
    metric("service_instance_relation_server_percentile", S::InstanceEdge, T::None, F::Percentile),
    metric("endpoint_relation_cpm", S::EndpointEdge, T::None, F::PerMinute),
    metric("endpoint_relation_resp_time", S::EndpointEdge, T::None, F::Average),
    metric("endpoint_relation_sla", S::EndpointEdge, T::None, F::Rate),
    metric("endpoint_relation_percentile", S::EndpointEdge, T::None, F::Percentile),
];

impl TagSet {
    /// Tags of the family `searchable` in schema order.
    pub fn searchable(self) -> &'static [&'static str] {
        match self {
            T::None => &[],
            T::Service => &["service_id"],
            T::Attributes => &["attr0", "attr1", "attr2", "attr3", "attr4", "attr5"],
            T::ServiceAttributes => &["service_id", "attr0", "attr1", "attr2", "attr3", "attr4", "attr5"],
            T::ServiceName => &["service_id", "name"],
        }
    }
}

impl FieldSet {
    /// Fields with their types in schema order.
    pub fn fields(self) -> &'static [(&'static str, FieldType)] {
        use FieldType::{DataBinary as B, Int as I, String as S};
        match self {
            F::Average => &[("summation", I), ("count", I), ("value", I)],
            F::LabeledAverage => {
                &[("datatable_summation", S), ("datatable_count", S), ("datatable_value", S)]
            }
            F::Value => &[("value", I)],
            F::LabeledValue => &[("datatable_value", S)],
            F::PerMinute => &[("value", I), ("total", I)],
            F::Percentile => &[("datatable_value", S), ("precision", I), ("dataset", S)],
            F::HistogramPercentile => &[
                ("datatable_value", S),
                ("datatable_summation", S),
                ("datatable_count", S),
                ("dataset", S),
                ("ranks", S),
            ],
            F::Histogram => &[("datatable_value", S), ("datatable_summation", S), ("ranks", S)],
            F::Rate => &[("total", I), ("percentage", I), ("match", I)],
            F::ErrorRate => &[("denominator", I), ("percentage", I), ("numerator", I)],
            F::Apdex => &[("total_num", I), ("s_num", I), ("t_num", I), ("int_value", I)],
            F::DoubleAverage => &[("double_summation", B), ("count", I), ("double_value", B)],
            F::LabelCount => &[("dataset", S), ("datatable_value", S)],
        }
    }

    /// The field that charts show.
    pub fn value_field(self) -> &'static str {
        match self {
            F::Rate | F::ErrorRate => "percentage",
            F::Apdex => "int_value",
            F::DoubleAverage => "double_value",
            F::Average | F::Value | F::PerMinute => "value",
            _ => "datatable_value",
        }
    }
}

/// Name, tags, fields and sharding of every metric measure of one granularity, without relations.
pub fn metric_measures() -> Vec<(String, TagSet, FieldSet, bool)> {
    let named = NAMED_KINDS.iter().map(|&(kind, name)| (kind, vec![name]));
    let known = |kind: &Kind| {
        let fits = |m: &&Metric| m.tags == kind.tags && m.fields == kind.fields && m.sharded == kind.sharded;
        let mut names: Vec<&str> = METRICS.iter().filter(fits).map(|metric| metric.name).collect();
        if kind.sharded && kind.tags == T::Service && kind.fields == F::Value {
            names.extend(["browser_app_page_pv", "browser_app_page_error_sum"]);
        }
        names
    };
    let all = KINDS.iter().map(|kind| (*kind, known(kind))).chain(named);
    all.flat_map(|(kind, names)| {
        let label =
            format!("{:?}_{:?}{}", kind.tags, kind.fields, if kind.sharded { "_sharded" } else { "" });
        (0..kind.count).map(move |i| {
            let stand_in = || format!("meter_{}_{i:03}", label.to_lowercase());
            let name = names.get(i).map_or_else(stand_in, |&name| name.to_owned());
            (name, kind.tags, kind.fields, kind.sharded)
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_catalog_has_the_recorded_numbers() {
        let measures = metric_measures();
        // Seven relation measures come on top: 1,846 per minute.
        assert_eq!(measures.len(), 1_839);
        assert_eq!(measures.iter().filter(|(.., sharded)| *sharded).count(), 29);
        assert_eq!(measures.iter().filter(|(_, tags, ..)| *tags == TagSet::None).count(), 244);
        let names: HashSet<&str> = measures.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names.len(), measures.len(), "names are distinct");
    }

    #[test]
    fn every_written_metric_is_in_the_catalog_with_its_shape() {
        let measures = metric_measures();
        for metric in METRICS {
            let found = measures.iter().find(|(name, ..)| name == metric.name);
            let (_, tags, fields, sharded) = found.unwrap_or_else(|| panic!("{} is missing", metric.name));
            assert_eq!((*tags, *fields, *sharded), (metric.tags, metric.fields, metric.sharded));
        }
        for top_n in [
            "endpoint_cpm",
            "browser_app_page_pv",
            "browser_app_page_error_rate",
            "browser_app_page_error_sum",
        ] {
            assert!(measures.iter().any(|(name, ..)| name == top_n), "{top_n}");
        }
    }
}
