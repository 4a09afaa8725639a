//! Texts and messages are compared both ways, in the forms that clients of the gateway send and read.

use prost::{Message, Name};
use prost_types::{Duration, Struct, Timestamp, Value, value};

use super::{JsonError, ReadOptions, WriteOptions, bind_text, decode, descriptor, from_str, to_string};
use crate::common::v1::{Group, Metadata, SamplerPlugin, TracePipelineConfig};
use crate::database::v1::{GroupRegistryServiceDeleteRequest, Node, SchemaBody};
use crate::model::v1::{Condition, Float, Int, IntArray, Str, TagValue, field_value, tag_value};
use crate::model::v1::{FieldValue, StrArray, TimeRange};

const TERSE: WriteOptions = WriteOptions { emit_defaults: false };
const FULL: WriteOptions = WriteOptions { emit_defaults: true };
const STRICT: ReadOptions = ReadOptions { ignore_unknown: false, ignore_rest: false };
const GATEWAY: ReadOptions = ReadOptions { ignore_unknown: true, ignore_rest: true };

#[track_caller]
fn both_ways<M: Message + Name + Default + PartialEq + std::fmt::Debug>(message: &M, text: &str) {
    assert_eq!(to_string(message, TERSE).as_deref(), Ok(text));
    assert_eq!(from_str::<M>(text, STRICT).as_ref(), Ok(message));
    // Whatever the defaults add, the message stays the same.
    let full = to_string(message, FULL).unwrap();
    assert_eq!(from_str::<M>(&full, STRICT).as_ref(), Ok(message));
}

fn tag(value: tag_value::Value) -> TagValue {
    TagValue { value: Some(value) }
}

#[test]
fn every_kind_of_tag_value() {
    both_ways(&TagValue { value: None }, "{}");
    both_ways(&tag(tag_value::Value::Null(0)), r#"{"null":null}"#);
    both_ways(
        &tag(tag_value::Value::Str(Str { value: "a\"\\\n\u{1}é".into() })),
        r#"{"str":{"value":"a\"\\\n\u0001é"}}"#,
    );
    both_ways(
        &tag(tag_value::Value::Int(Int { value: 9_007_199_254_740_993 })),
        r#"{"int":{"value":"9007199254740993"}}"#,
    );
    both_ways(&tag(tag_value::Value::Int(Int { value: 0 })), r#"{"int":{}}"#);
    both_ways(
        &tag(tag_value::Value::IntArray(IntArray { value: vec![-1, i64::MIN] })),
        r#"{"intArray":{"value":["-1","-9223372036854775808"]}}"#,
    );
    both_ways(
        &tag(tag_value::Value::StrArray(StrArray { value: vec![String::new()] })),
        r#"{"strArray":{"value":[""]}}"#,
    );
    both_ways(&tag(tag_value::Value::BinaryData(vec![0xff, 0xef, 0xbc].into())), r#"{"binaryData":"/++8"}"#);
    both_ways(
        &tag(tag_value::Value::Timestamp(Timestamp { seconds: 1, nanos: 20_000_000 })),
        r#"{"timestamp":"1970-01-01T00:00:01.020Z"}"#,
    );
    let float = |value| FieldValue { value: Some(field_value::Value::Float(Float { value })) };
    both_ways(&float(2.0), r#"{"float":{"value":2}}"#);
    both_ways(&float(f64::NEG_INFINITY), r#"{"float":{"value":"-Infinity"}}"#);
}

#[test]
fn durations_structs_and_optional_messages() {
    let nested = Value { kind: Some(value::Kind::BoolValue(true)) };
    let list = vec![
        Value { kind: Some(value::Kind::NullValue(0)) },
        Value { kind: Some(value::Kind::NumberValue(1.5)) },
    ];
    let fields = [
        ("b".to_owned(), nested),
        (
            "a".to_owned(),
            Value { kind: Some(value::Kind::ListValue(prost_types::ListValue { values: list })) },
        ),
    ];
    let sampler = SamplerPlugin { config: Some(Struct { fields: fields.into() }), ..Default::default() };
    both_ways(&sampler, r#"{"config":{"a":[null,1.5],"b":true}}"#);

    let config = TracePipelineConfig {
        merge_grace: Some(Duration { seconds: -1, nanos: -500_000_000 }),
        enabled_events: vec![1, 77],
        ..Default::default()
    };
    both_ways(&config, r#"{"mergeGrace":"-1.500s","enabledEvents":["PIPELINE_EVENT_MERGE",77]}"#);
    both_ways(
        &Group { pipeline: Some(config.clone()), ..Default::default() },
        r#"{"pipeline":{"mergeGrace":"-1.500s","enabledEvents":["PIPELINE_EVENT_MERGE",77]}}"#,
    );
}

#[test]
fn maps_are_sorted_and_any_names_its_type() {
    let labels = [("z".to_owned(), "1".to_owned()), ("a".to_owned(), String::new())];
    both_ways(
        &Node { labels: labels.into(), roles: vec![3], ..Default::default() },
        r#"{"roles":["ROLE_LIAISON"],"labels":{"a":"","z":"1"}}"#,
    );
    let metadata = Metadata { name: "m".into(), ..Default::default() };
    let payload = prost_types::Any {
        type_url: format!("type.googleapis.com/{}", Metadata::full_name()),
        value: metadata.encode_to_vec(),
    };
    both_ways(
        &SchemaBody { payload: Some(payload), bound_index_rule_refs: vec![2] },
        r#"{"payload":{"@type":"type.googleapis.com/banyandb.common.v1.Metadata","name":"m"},"boundIndexRuleRefs":[2]}"#,
    );
}

#[test]
fn defaults_are_written_except_for_oneofs_and_optional_fields() {
    assert_eq!(
        to_string(&Group { metadata: Some(Metadata::default()), ..Default::default() }, FULL).unwrap(),
        concat!(
            r#"{"metadata":{"group":"","name":"","id":0,"createRevision":"0","modRevision":"0"},"#,
            r#""catalog":"CATALOG_UNSPECIFIED","resourceOpts":null,"updatedAt":null,"createdAt":null}"#
        )
    );
    assert_eq!(
        to_string(&Condition { value: Some(TagValue { value: None }), ..Default::default() }, FULL).unwrap(),
        r#"{"name":"","op":"BINARY_OP_UNSPECIFIED","value":{},"matchOption":null}"#
    );
    assert_eq!(
        to_string(&SamplerPlugin::default(), FULL).unwrap(),
        r#"{"path":"","symbol":"","abiVersion":0,"config":null}"#
    );
}

#[test]
fn the_reader_takes_the_forms_that_clients_send() {
    let group: Group = from_str(
        r#"{"catalog": 2, "resource_opts": {"shard_num": "1", "segmentInterval": {"unit": "UNIT_DAY", "num": 1e0}, "stages": []},
            "metadata": null, "bogus": {"x": [1]}, "updatedAt": "2024-02-29T23:59:59.5+01:00"} trailing"#,
        GATEWAY,
    )
    .unwrap();
    let opts = group.resource_opts.unwrap();
    assert_eq!((group.catalog, opts.shard_num, opts.segment_interval.unwrap().num), (2, 1, 1));
    assert_eq!(group.metadata, None);
    assert_eq!(group.updated_at, Some(Timestamp { seconds: 1_709_247_599, nanos: 500_000_000 }));

    let unknown_name: Group = from_str(r#"{"catalog": "CATALOG_NONE"}"#, GATEWAY).unwrap();
    assert_eq!(unknown_name, Group::default());
    let url_safe: TagValue = from_str(r#"{"binaryData": "_--8"}"#, STRICT).unwrap();
    assert_eq!(url_safe, tag(tag_value::Value::BinaryData(vec![0xff, 0xef, 0xbc].into())));
    let null_by_name: TagValue = from_str(r#"{"null": "NULL_VALUE"}"#, STRICT).unwrap();
    assert_eq!(null_by_name, tag(tag_value::Value::Null(0)));
}

#[test]
fn texts_that_do_not_fit_are_refused() {
    let texts = [
        "",
        "null",
        "[]",
        "{bad",
        r#"{"metadata": "x"}"#,
        r#"{"metadata": {"id": -1}}"#,
        r#"{"metadata": {"id": 1.5}}"#,
        r#"{"metadata": {"name": 1}}"#,
        r#"{"catalog": true}"#,
        r#"{"catalog": 1, "catalog": 2}"#,
        r#"{"metadata": {"name": "a", "name": "b"}}"#,
        r#"{"resourceOpts": {"stages": [{"close": "true"}]}}"#,
        r#"{"updatedAt": "yesterday"}"#,
    ];
    for text in texts {
        let refused = from_str::<Group>(text, GATEWAY);
        assert!(matches!(refused, Err(JsonError::Text(_))), "{text}: {refused:?}");
    }
    assert!(from_str::<Group>(r#"{"bogus": 1}"#, STRICT).is_err());
    assert!(from_str::<Group>("{} x", STRICT).is_err());
    assert!(from_str::<TagValue>(r#"{"int": {"value": 1}, "str": {"value": "a"}}"#, GATEWAY).is_err());
    assert!(decode("banyandb.none.v1.None", "{}", GATEWAY).is_err());
    // Deep nesting ends in an error, not in an exhausted stack.
    assert!(from_str::<Group>(&"{\"a\":[".repeat(100_000), GATEWAY).is_err());
}

#[test]
fn times_without_a_json_form_are_errors() {
    for (seconds, nanos) in
        [(i64::MAX, 0), (253_402_300_800, 0), (-62_135_596_801, 0), (0, -1), (0, 1_000_000_000)]
    {
        let range = TimeRange { begin: Some(Timestamp { seconds, nanos }), end: None };
        assert!(
            matches!(to_string(&range, TERSE), Err(JsonError::Unrepresentable { .. })),
            "{seconds} {nanos}"
        );
    }
}

#[test]
fn text_binds_to_fields_of_either_spelling() {
    let full_name = GroupRegistryServiceDeleteRequest::full_name();
    let mut request = decode(&full_name, "{}", STRICT).unwrap();
    assert_eq!(bind_text(&mut request, "group", "g"), Ok(true));
    assert_eq!(bind_text(&mut request, "dryRun", "true"), Ok(true));
    assert_eq!(bind_text(&mut request, "data_only", "1"), Ok(true));
    assert_eq!(bind_text(&mut request, "nothing.at.all", "1"), Ok(false));
    assert!(bind_text(&mut request, "force", "yes").is_err());
    let bound: GroupRegistryServiceDeleteRequest = request.transcode_to().unwrap();
    let expected =
        GroupRegistryServiceDeleteRequest { group: "g".into(), dry_run: true, force: false, data_only: true };
    assert_eq!(bound, expected);

    let mut group = prost_reflect::DynamicMessage::new(descriptor(&Group::full_name()).unwrap());
    assert_eq!(bind_text(&mut group, "metadata.unknown", "x"), Ok(false));
    assert_eq!(bind_text(&mut group, "metadata.name.more", "x"), Ok(false));
    assert_eq!(group.transcode_to::<Group>().unwrap(), Group::default());
    assert_eq!(bind_text(&mut group, "metadata.name", "n"), Ok(true));
    assert_eq!(bind_text(&mut group, "resource_opts.default_stages", "hot"), Ok(true));
    assert_eq!(bind_text(&mut group, "resourceOpts.defaultStages", "warm"), Ok(true));
    assert_eq!(bind_text(&mut group, "catalog", "CATALOG_TRACE"), Ok(true));
    let bound: Group = group.transcode_to().unwrap();
    assert_eq!((bound.metadata.unwrap().name.as_str(), bound.catalog), ("n", 4));
    assert_eq!(bound.resource_opts.unwrap().default_stages, ["hot", "warm"]);
}

#[test]
fn every_route_names_known_messages() {
    for route in crate::routes::ROUTES {
        descriptor(route.request).unwrap();
        descriptor(route.response).unwrap();
    }
}
