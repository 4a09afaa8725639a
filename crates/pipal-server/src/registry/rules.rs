//! Business rules of schema objects (server surface 2.4). Each text reaches the client with status `UNKNOWN`.
//!
//! Field rules of the protos (presence, lengths, defined enums) are checked before, see `pipal_api`.

use crate::api::common::{Catalog, Group, IntervalRule, Metadata, Plugin, ResourceOpts, plugin};
use crate::api::database::{
    IndexRule, IndexRuleBinding, Measure, Stream, TagFamilySpec, TopNAggregation, Trace,
};

type Rule = Result<(), String>;

/// The only ABI of sampler plugins that there is.
const SAMPLER_ABI_VERSION: u32 = 1;

fn ensure(holds: bool, text: impl Into<String>) -> Rule {
    if holds { Ok(()) } else { Err(text.into()) }
}

/// Every object but a group has a name and a group. Neither has a character set or a length limit.
pub fn identity(metadata: Option<&Metadata>) -> Rule {
    let metadata = metadata.ok_or("metadata is required")?;
    ensure(!metadata.name.is_empty(), "name is empty")?;
    ensure(!metadata.group.is_empty(), "group is empty")
}

/// Rules of groups: data groups have shards, segments and a time to live, property groups have shards only.
pub fn group(group: &Group) -> Rule {
    let metadata = group.metadata.as_ref().ok_or("metadata is required")?;
    ensure(!metadata.name.is_empty(), "name is empty")?;
    ensure(group.catalog != Catalog::Unspecified as i32, "catalog is unspecified")?;
    let options = group.resource_opts.as_ref().ok_or("resourceOpts is nil")?;
    ensure(options.shard_num > 0, "shardNum is invalid")?;
    match group.catalog == Catalog::Property as i32 {
        true => property_group(options)?,
        false => data_group(options)?,
    }
    pipeline(group)
}

fn property_group(options: &ResourceOpts) -> Rule {
    ensure(options.segment_interval.is_none(), "segmentInterval should be nil in a property group")?;
    ensure(options.ttl.is_none(), "ttl should be nil in a property group")
}

fn data_group(options: &ResourceOpts) -> Rule {
    interval_rule("segmentInterval", options.segment_interval.as_ref())?;
    interval_rule("ttl", options.ttl.as_ref())
}

fn interval_rule(field: &str, rule: Option<&IntervalRule>) -> Rule {
    let rule = rule.ok_or_else(|| format!("{field} is nil"))?;
    ensure(rule.num > 0, format!("{field}.num is invalid"))?;
    ensure(rule.unit != 0, format!("{field}.unit is unspecified"))
}

fn pipeline(group: &Group) -> Rule {
    let Some(pipeline) = &group.pipeline else { return Ok(()) };
    for (i, plugin) in pipeline.plugins.iter().enumerate() {
        sampler(&format!("pipeline.plugins[{i}]"), plugin)?;
    }
    let mut staged = pipeline.stages.iter().flat_map(|stage| &stage.plugins);
    let sampler_in_stage = staged.any(is_sampler);
    ensure(!sampler_in_stage, "pipeline.stages: samplers are not supported in stages")
}

fn sampler(place: &str, plugin: &Plugin) -> Rule {
    let Some(plugin::Kind::Sampler(sampler)) = &plugin.kind else { return Ok(()) };
    ensure(!sampler.path.starts_with('/'), format!("{place}.sampler.path must be a relative path"))?;
    let stays_below = sampler.path.split('/').try_fold(0_usize, step_into).is_some();
    ensure(stays_below, format!("{place}.sampler.path escapes the trusted directory"))?;
    let text = format!("{place}.sampler.abi_version must be {SAMPLER_ABI_VERSION}");
    ensure(sampler.abi_version == SAMPLER_ABI_VERSION, text)
}

/// The depth below the start after one component of a path; none above the start.
fn step_into(depth: usize, component: &str) -> Option<usize> {
    match component {
        "" | "." => Some(depth),
        ".." => depth.checked_sub(1),
        _ => Some(depth + 1),
    }
}

/// True when rows of the group pass an enabled sampler, which allows a single trace only.
pub fn has_sampler(group: &Group) -> bool {
    let enabled = group.pipeline.as_ref().filter(|pipeline| pipeline.enabled);
    enabled.is_some_and(|pipeline| pipeline.plugins.iter().any(is_sampler))
}

fn is_sampler(plugin: &Plugin) -> bool {
    matches!(plugin.kind, Some(plugin::Kind::Sampler(_)))
}

/// The text for a second trace in a group with a sampler.
pub fn only_one_trace(group: &str) -> String {
    format!("group {group} has an enabled sampler pipeline and may contain only one trace")
}

/// Rules of streams.
pub fn stream(stream: &Stream) -> Rule {
    identity(stream.metadata.as_ref())?;
    ensure(stream.entity.is_some(), "entity is nil")?;
    tag_families(&stream.tag_families)
}

/// Rules of measures.
pub fn measure(measure: &Measure) -> Rule {
    identity(measure.metadata.as_ref())?;
    ensure(measure.entity.is_some(), "entity is nil")?;
    tag_families(&measure.tag_families)?;
    for field in &measure.fields {
        ensure(!field.name.is_empty(), "field name is empty")?;
        ensure(field.field_type != 0, format!("field type is unspecified for field {}", field.name))?;
        let text = format!("compression method is unspecified for field {}", field.name);
        ensure(field.compression_method != 0, text)?;
    }
    ensure(!measure.index_mode || measure.fields.is_empty(), "index mode is enabled, fields must be empty")?;
    let interval_fits = measure.interval.is_empty() || super::interval::is_valid(&measure.interval);
    ensure(interval_fits, format!("interval is malformed: {:?}", measure.interval))
}

fn tag_families(families: &[TagFamilySpec]) -> Rule {
    ensure(!families.is_empty(), "tag families are empty")?;
    for family in families {
        ensure(!family.name.is_empty(), "tag family name is empty")?;
        ensure(!family.tags.is_empty(), format!("tag family {} has no tags", family.name))?;
        family.tags.iter().try_for_each(|tag| self::tag(&tag.name, tag.r#type))?;
    }
    Ok(())
}

fn tag(name: &str, tag_type: i32) -> Rule {
    ensure(!name.is_empty(), "tag name is empty")?;
    ensure(!name.contains('#'), format!("tag name {name:?} contains the reserved character \"#\""))?;
    ensure(tag_type != 0, format!("tag type is unspecified for tag {name}"))
}

/// Rules of traces.
pub fn trace(trace: &Trace) -> Rule {
    identity(trace.metadata.as_ref())?;
    ensure(!trace.trace_id_tag_name.is_empty(), "traceIdTagName is empty")?;
    ensure(!trace.timestamp_tag_name.is_empty(), "timestampTagName is empty")?;
    ensure(!trace.span_id_tag_name.is_empty(), "spanIdTagName is empty")?;
    trace.tags.iter().try_for_each(|tag| self::tag(&tag.name, tag.r#type))
}

/// Rules of index rules, after the server has chosen an id. The analyzer is not checked.
pub fn index_rule(rule: &IndexRule) -> Rule {
    identity(rule.metadata.as_ref())?;
    ensure(!rule.tags.is_empty(), "tags are empty")?;
    ensure(rule.r#type != 0, "type is unspecified")
}

/// The id of a rule that brings none: CRC-32 (IEEE) over the bytes of group and name; never 0, which means unset.
pub fn index_rule_id(group: &str, name: &str) -> u32 {
    let bytes = group.bytes().chain(name.bytes());
    let crc = !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    });
    crc.max(1)
}

/// Rules of bindings. Neither subject nor rules need exist, and the times are not compared.
pub fn index_rule_binding(binding: &IndexRuleBinding) -> Rule {
    identity(binding.metadata.as_ref())?;
    let subject = binding.subject.as_ref().ok_or("subject is nil")?;
    ensure(!subject.name.is_empty(), "subject name is empty")?;
    ensure(subject.catalog != 0, "subject catalog is unspecified")?;
    ensure(!binding.rules.is_empty(), "rules are empty")
}

/// Rules of Top-N aggregations. The source need not exist.
pub fn top_n_aggregation(aggregation: &TopNAggregation) -> Rule {
    identity(aggregation.metadata.as_ref())?;
    let source = aggregation.source_measure.as_ref().ok_or("sourceMeasure is nil")?;
    ensure(!source.group.is_empty(), "sourceMeasure group is empty")?;
    ensure(!source.name.is_empty(), "sourceMeasure name is empty")?;
    ensure(!aggregation.field_name.is_empty(), "fieldName is empty")?;
    ensure(aggregation.counters_number > 0, "topNAggregation countersNumber is invalid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_ids_are_crc32_over_group_and_name() {
        // The check value of CRC-32/ISO-HDLC, however the nine digits are divided.
        assert_eq!(index_rule_id("123456789", ""), 0xcbf4_3926);
        assert_eq!(index_rule_id("1234", "56789"), 0xcbf4_3926);
    }

    #[test]
    fn sampler_paths_stay_below_their_directory() {
        let below = |path: &str| path.split('/').try_fold(0, step_into).is_some();
        assert!(below("a.so") && below("./a/../b.so") && below("a/b/c.so"));
        assert!(!below("../a.so") && !below("a/../../b.so"));
    }
}
