//! The texts of violations are compared with those that clients of the founding implementation observe.

use prost_types::{Duration, Timestamp};

use super::Validate;
use crate::common::v1::{
    Group, IntervalRule, LifecycleStage, Metadata, PipelineEvent, Plugin, ResourceOpts, SamplerPlugin,
    TracePipelineConfig, plugin,
};
use crate::database::v1::{
    Entity, FieldSpec, GroupRegistryServiceCreateRequest, Measure, MeasureRegistryServiceCreateRequest,
    TagFamilySpec, TagSpec, TagType,
};
use crate::measure::v1::{DataPointValue, TopNRequest, WriteRequest};
use crate::model::v1::TimeRange;

#[track_caller]
fn check(message: &impl Validate, expected: &str) {
    let found = message.validate().err().map(|violations| violations.to_string()).unwrap_or_default();
    assert_eq!(found, expected);
}

fn day(num: u32) -> Option<IntervalRule> {
    Some(IntervalRule { unit: 2, num })
}

#[test]
fn absent_and_empty_fields_are_reported_in_field_order() {
    check(
        &WriteRequest::default(),
        "invalid WriteRequest.DataPoint: value is required; \
         invalid WriteRequest.MessageId: value must be greater than 0",
    );
    check(
        &TopNRequest { top_n: -1, time_range: Some(TimeRange::default()), ..Default::default() },
        "invalid TopNRequest.Groups: value must contain at least 1 item(s); \
         invalid TopNRequest.Name: value length must be at least 1 runes; \
         invalid TopNRequest.TopN: value must be greater than 0",
    );
}

#[test]
fn embedded_messages_bring_their_own_list() {
    let request =
        WriteRequest { data_point: Some(DataPointValue::default()), message_id: 1, ..Default::default() };
    check(
        &request,
        "invalid WriteRequest.DataPoint: embedded message failed validation | caused by: \
         invalid DataPointValue.Timestamp: value is required; \
         invalid DataPointValue.TagFamilies: value must contain at least 1 item(s)",
    );
    check(
        &GroupRegistryServiceCreateRequest { group: Some(Group::default()) },
        "invalid GroupRegistryServiceCreateRequest.Group: embedded message failed validation | caused by: \
         invalid Group.Metadata: value is required",
    );
}

#[test]
fn elements_of_lists_carry_their_position() {
    let group = Group {
        metadata: Some(Metadata::default()),
        resource_opts: Some(ResourceOpts {
            shard_num: 1,
            segment_interval: day(1),
            ttl: Some(IntervalRule { unit: 9, num: 0 }),
            stages: vec![LifecycleStage {
                name: "warm".into(),
                shard_num: 1,
                segment_interval: day(2),
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    };
    check(
        &group,
        "invalid Group.ResourceOpts: embedded message failed validation | caused by: \
         invalid ResourceOpts.Ttl: embedded message failed validation | caused by: \
         invalid IntervalRule.Unit: value must be one of the defined enum values; \
         invalid IntervalRule.Num: value must be greater than 0; \
         invalid ResourceOpts.Stages[0]: embedded message failed validation | caused by: \
         invalid LifecycleStage.Ttl: value is required; \
         invalid LifecycleStage.NodeSelector: value length must be at least 1 runes",
    );
}

#[test]
fn sampling_rules_reach_into_oneofs_lists_and_durations() {
    let sampler = SamplerPlugin { path: "a.so".into(), ..Default::default() };
    let config = TracePipelineConfig {
        plugins: vec![Plugin { name: "p".into(), kind: Some(plugin::Kind::Sampler(sampler)) }],
        merge_grace: Some(Duration { seconds: 0, nanos: 0 }),
        finalize_grace: Some(Duration { seconds: 0, nanos: 1 }),
        schema_names: vec!["a".into(), String::new()],
        enabled_events: vec![PipelineEvent::Merge as i32, 0, 7],
        ..Default::default()
    };
    check(
        &config,
        "invalid TracePipelineConfig.Plugins[0]: embedded message failed validation | caused by: \
         invalid Plugin.Sampler: embedded message failed validation | caused by: \
         invalid SamplerPlugin.AbiVersion: value must be greater than or equal to 1; \
         invalid TracePipelineConfig.MergeGrace: value must be greater than 0s; \
         invalid TracePipelineConfig.SchemaNames[1]: value length must be at least 1 runes; \
         invalid TracePipelineConfig.EnabledEvents[1]: value must not be in list [PIPELINE_EVENT_UNSPECIFIED]; \
         invalid TracePipelineConfig.EnabledEvents[2]: value must be one of the defined enum values",
    );
}

#[test]
fn a_complete_measure_passes_and_undefined_numbers_without_rule_do_too() {
    let measure = Measure {
        metadata: Some(Metadata::default()),
        tag_families: vec![TagFamilySpec {
            name: "default".into(),
            tags: vec![TagSpec { name: "id".into(), r#type: TagType::String as i32 }],
        }],
        fields: vec![FieldSpec { name: "total".into(), ..Default::default() }],
        entity: Some(Entity { tag_names: vec!["id".into()] }),
        ..Default::default()
    };
    check(&MeasureRegistryServiceCreateRequest { measure: Some(measure) }, "");
    check(&MeasureRegistryServiceCreateRequest { measure: None }, "");
    let metadata = Some(Metadata::default());
    check(&Group { metadata, catalog: 99, ..Default::default() }, "");
}

#[test]
fn a_present_timestamp_satisfies_required_whatever_its_value() {
    let data_point = DataPointValue {
        timestamp: Some(Timestamp { seconds: i64::MAX, nanos: -1 }),
        tag_families: vec![Default::default()],
        ..Default::default()
    };
    check(&WriteRequest { data_point: Some(data_point), message_id: 1, ..Default::default() }, "");
}
