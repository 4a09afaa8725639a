use super::*;
use pipal_api::common::v1::Metadata;
use pipal_api::database::v1::{
    Entity, FieldSpec, FieldType, IndexRule, Measure, ShardingKey, TagFamilySpec, TagSpec, TagType, Trace,
    TraceTagSpec,
};
use pipal_model::{ColumnDef, ColumnKey, OrderKey, Orders, RowPolicy};

fn family(name: &str, tags: &[(&str, TagType)]) -> TagFamilySpec {
    let tags = tags.iter().map(|(name, ty)| TagSpec { name: (*name).into(), r#type: *ty as i32 }).collect();
    TagFamilySpec { name: name.into(), tags }
}

fn rule(name: &str, tags: &[&str]) -> IndexRule {
    IndexRule {
        metadata: Some(Metadata { group: "g".into(), name: name.into(), ..Metadata::default() }),
        tags: tags.iter().map(|t| (*t).into()).collect(),
        ..IndexRule::default()
    }
}

fn measure(families: Vec<TagFamilySpec>, entity: &[&str]) -> Measure {
    Measure {
        metadata: Some(Metadata {
            group: "g".into(),
            name: "m".into(),
            mod_revision: 7,
            ..Metadata::default()
        }),
        tag_families: families,
        entity: Some(Entity { tag_names: entity.iter().map(|t| (*t).into()).collect() }),
        fields: vec![FieldSpec {
            name: "value".into(),
            field_type: FieldType::Int as i32,
            ..FieldSpec::default()
        }],
        ..Measure::default()
    }
}

fn column_names(schema: &RowSchema) -> Vec<(String, String, bool)> {
    let name = |c: &ColumnDef| (c.key.family.to_string(), c.key.name.to_string(), c.attribute);
    schema.layout().columns().iter().map(name).collect()
}

#[test]
fn tags_fields_and_rules_find_their_places() {
    let families = vec![family("d", &[("host", TagType::String), ("zone", TagType::String)])];
    let rules = [rule("first", &["zone", "ghost"]), rule("second", &["zone", "host"])];
    let schema = RowSchema::compile(&measure(families, &["host"]), &rules).unwrap();
    assert_eq!(schema.tag(TagPlace { family: 0, tag: 0 }).unwrap().slot, Slot::Entity(0));
    assert_eq!(schema.tag(TagPlace { family: 0, tag: 0 }).unwrap().rule, Some(1));
    assert_eq!(schema.tag(TagPlace { family: 0, tag: 1 }).unwrap().rule, Some(0), "the first rule wins");
    assert_eq!(schema.fields[0].slot, Slot::Column(1));
    assert_eq!(
        column_names(&schema),
        [("d".into(), "zone".into(), true), (String::new(), "value".into(), false)],
        "only the indexed tag is an attribute, and entity tags are no columns"
    );
    assert_eq!(schema.layout().policy(), RowPolicy::Versioned);
    assert_eq!((schema.mod_revision, schema.series_may_spread), (7, false));
}

#[test]
fn an_index_mode_measure_has_no_attributes_and_keeps_the_latest_row() {
    let mut definition = measure(vec![family("d", &[("id", TagType::String), ("n", TagType::Int)])], &["id"]);
    definition.fields.clear();
    definition.index_mode = true;
    let schema = RowSchema::compile(&definition, &[rule("n", &["n"])]).unwrap();
    assert_eq!(column_names(&schema), [("d".into(), "n".into(), false)]);
    assert_eq!(schema.layout().policy(), RowPolicy::Latest);
}

#[test]
fn ambiguous_and_unknown_names_do_no_harm() {
    let families = vec![
        family("a", &[("t", TagType::String), ("t", TagType::Int), ("u", TagType::Unspecified)]),
        family("b", &[("t", TagType::Int), ("e", TagType::String)]),
    ];
    let mut definition = measure(families, &["ghost", "e"]);
    definition.fields.push(definition.fields[0].clone());
    let schema = RowSchema::compile(&definition, &[]).unwrap();
    assert_eq!(schema.entity, [Box::from("e")], "an entity tag that no family defines is skipped");
    assert_eq!(schema.find_tag("t"), Some(TagPlace { family: 0, tag: 0 }), "the first place wins");
    assert_eq!(schema.find_tag_in("b", "t"), Some(TagPlace { family: 1, tag: 0 }));
    assert_eq!(schema.families[0].tags[1].slot, Slot::Nowhere, "one column per family and name");
    assert_eq!(schema.families[0].tags[2].slot, Slot::Nowhere, "no type, no column");
    assert_eq!(schema.fields[1].slot, Slot::Nowhere);
    assert_eq!(schema.layout().columns().len(), 3, "a.t, b.t and value");
}

#[test]
fn an_entity_name_in_a_second_family_is_a_tag_of_its_own() {
    let families = vec![family("a", &[("e", TagType::String)]), family("b", &[("e", TagType::String)])];
    let schema = RowSchema::compile(&measure(families, &["e"]), &[]).unwrap();
    assert_eq!(schema.families[0].tags[0].slot, Slot::Entity(0));
    assert_eq!(schema.families[1].tags[0].slot, Slot::Column(0));
}

#[test]
fn a_sharding_key_outside_the_entity_spreads_series() {
    let families = vec![family("d", &[("host", TagType::String), ("zone", TagType::String)])];
    let mut definition = measure(families, &["host"]);
    definition.sharding_key = Some(ShardingKey { tag_names: vec!["zone".into()] });
    let schema = RowSchema::compile(&definition, &[]).unwrap();
    assert_eq!(schema.sharding_places, [TagPlace { family: 0, tag: 1 }]);
    assert!(schema.series_may_spread);
}

#[test]
fn a_definition_without_metadata_is_refused() {
    let definition = Measure { metadata: None, ..measure(Vec::new(), &[]) };
    assert!(RowSchema::compile(&definition, &[]).is_err());
}

#[test]
fn rules_of_a_trace_are_its_orders() {
    let tags = [
        ("trace_id", TagType::String),
        ("service", TagType::String),
        ("state", TagType::Int),
        ("latency", TagType::Int),
        ("start", TagType::Timestamp),
        ("note", TagType::String),
    ];
    let tag = |(name, ty): (&str, TagType)| TraceTagSpec { name: name.into(), r#type: ty as i32 };
    let trace = Trace {
        metadata: Some(Metadata { group: "g".into(), name: "segment".into(), ..Metadata::default() }),
        tags: tags.map(tag).into(),
        trace_id_tag_name: "trace_id".into(),
        span_id_tag_name: "span".into(),
        timestamp_tag_name: "start".into(),
        ..Trace::default()
    };
    let no_sort = IndexRule { no_sort: true, ..rule("state", &["state"]) };
    let rules = [
        rule("by_start", &["service", "trace_id", "unknown", "state", "start"]),
        rule("latency", &["service", "latency"]),
        no_sort,
        rule("note", &["note"]),
        rule("nothing", &["unknown"]),
    ];
    let key = |name: &str, ty| ColumnKey { family: TRACE_FAMILY.into(), name: name.into(), ty };
    let leading = vec![key("service", ColumnType::Str), key("state", ColumnType::Int)];
    let keys = vec![OrderKey::Time, OrderKey::Column(key("latency", ColumnType::Int))];
    let schema = RowSchema::compile_trace(&trace, &rules).unwrap();
    assert_eq!(**schema.layout().orders(), Orders::new(leading, keys));
    assert!(RowSchema::compile_trace(&trace, &[]).unwrap().layout().orders().is_empty());
}
