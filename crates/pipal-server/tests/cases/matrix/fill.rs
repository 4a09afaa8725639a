//! Defines the resource of the matrix and writes its rows.

use super::{Index, ROWS, Tag, key, keys, stored, tags};
use crate::lang::Block;
use crate::lang::define::{Kind, Resource, group, metadata};
use crate::values::{BASE, Type, Value, timestamp};
use crate::world::World;
use bytes::Bytes;
use pipal_api::model::v1::TagFamilyForWrite;
use pipal_api::property::v1::{ApplyRequest, Property};
use pipal_api::write::Model;
use pipal_api::{measure as measure_api, stream as stream_api, trace as trace_api};
use prost::Message;

/// How a model is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Face {
    Measure,
    IndexMode,
    Stream,
    Lookup,
    InOrder,
    OnOrderTag,
    Document,
}

fn type_name(ty: Type) -> &'static str {
    match ty {
        Type::Str => "str",
        Type::Int => "int",
        Type::Strs => "strs",
        Type::Ints => "ints",
        Type::Bin => "bin",
        Type::Time => "time",
        Type::Float => "float",
    }
}

/// The lines of a definition: tags and rules.
fn definition(face: Face, tags: &[Tag]) -> Vec<String> {
    let typed = |tag: &Tag| format!("{} {}", tag.name, type_name(tag.ty));
    let list = tags.iter().map(typed).collect::<Vec<_>>().join(", ");
    let mut lines = match face {
        Face::Measure => {
            vec![format!("tags k str, {list}"), "entity k key_str key_int".into(), "fields v int".into()]
        }
        Face::IndexMode => {
            vec![format!("tags k str, {list}"), "entity k key_str key_int".into(), "index mode".into()]
        }
        Face::Stream => vec![format!("tags k str, {list}"), "entity k key_str key_int".into()],
        Face::Document => return vec![format!("tags always str, {list}")],
        _ => {
            return vec![
                format!("tags k str, span str, at time, {list}"),
                "ids k span at".into(),
                "rule at tree key_str key_int at".into(),
                "rule int_tree tree key_str key_int int_tree".into(),
            ];
        }
    };
    for tag in tags {
        let (rule, kind) = match tag.index {
            Index::None | Index::Key => continue,
            Index::Inverted(analyzer, true) => (tag.name.clone(), format!("inverted/{analyzer}")),
            Index::Inverted(analyzer, false) => (format!("of_{}", tag.name), format!("inverted/{analyzer}")),
            Index::Skipping => (tag.name.clone(), "skipping".into()),
            Index::Tree => (tag.name.clone(), "tree".into()),
        };
        lines.push(format!("rule {rule} {kind} {}", tag.name));
    }
    lines
}

/// The tags that a face asks about.
pub fn tags_of(face: Face) -> Vec<Tag> {
    match face {
        Face::Measure | Face::IndexMode | Face::Stream => keys().into_iter().chain(tags()).collect(),
        Face::Document => tags().into_iter().filter(|tag| tag.index == Index::None).collect(),
        // The first trace rule gives the series tags; an order needs an integer.
        _ => {
            let is_asked = |tag: &Tag| tag.index == Index::None || tag.name == "int_tree";
            keys().into_iter().chain(tags().into_iter().filter(is_asked)).collect()
        }
    }
}

pub async fn fill(world: &mut World, face: Face, tags: &[Tag]) {
    let kind = match face {
        Face::Measure | Face::IndexMode => Kind::Measure,
        Face::Stream => Kind::Stream,
        Face::Document => Kind::Property,
        _ => Kind::Trace,
    };
    let (catalog, model) = match kind {
        Kind::Measure => ("measure", Model::Measure),
        Kind::Stream => ("stream", Model::Stream),
        Kind::Property => ("property", Model::Measure),
        _ => ("trace", Model::Trace),
    };
    let body = definition(face, tags).into_iter().enumerate().collect();
    let resource = Resource::of(kind, "g/m", &Block { line: 0, head: String::new(), body });
    world.open().registry.create_group(group(&["g", catalog])).await.unwrap();
    for rule in &resource.rules {
        world.put(rule.clone()).await;
    }
    match kind {
        Kind::Measure => world.put(resource.measure()).await,
        Kind::Stream => world.put(resource.stream()).await,
        Kind::Property => world.put(resource.property()).await,
        _ => world.put(resource.trace()).await,
    }
    if let Some(binding) = resource.binding() {
        world.put(binding).await;
    }
    let rows: Vec<usize> = (0..ROWS).collect();
    for rows in rows.chunks(ROWS / 3) {
        if face == Face::Document {
            for row in rows {
                world.open().changes.apply(document(*row, tags)).await.unwrap();
            }
            world.wrote();
            continue;
        }
        let messages = rows.iter().map(|row| message(model, *row, tags)).collect();
        let replies = world.write(model, messages).await;
        assert!(replies.iter().all(|(_, status)| *status == "STATUS_SUCCEED"), "{replies:?}");
    }
    world.settle().await;
}

/// Names and values of the tags that a row sends.
fn sent(row: usize, tags: &[Tag]) -> (Vec<String>, Vec<Value>) {
    let values = tags.iter().map(|tag| (tag.name.clone(), stored(tag.ty)[row].clone()));
    values.filter_map(|(name, value)| Some((name, value?))).unzip()
}

fn message(model: Model, row: usize, tags: &[Tag]) -> Bytes {
    let (mut names, mut values) = sent(row, tags);
    names.insert(0, "k".into());
    values.insert(0, Value::Str(key(row)));
    let time = BASE + row as i64 * 1_000_000_000;
    let message_id = row as u64 + 1;
    let metadata = metadata("g", "m");
    let timestamp = Some(timestamp(time));
    if model == Model::Trace {
        names.extend(["span".to_owned(), "at".to_owned()]);
        values.extend([Value::Str("s".into()), Value::Time(time)]);
        let tags = values.iter().map(Value::tag).collect();
        let tag_spec = Some(trace_api::v1::TagSpec { tag_names: names });
        let request = trace_api::v1::WriteRequest {
            metadata,
            tags,
            version: message_id,
            tag_spec,
            ..Default::default()
        };
        return request.encode_to_vec().into();
    }
    let tag_families = vec![TagFamilyForWrite { tags: values.iter().map(Value::tag).collect() }];
    if model == Model::Stream {
        let element = stream_api::v1::ElementValue { element_id: key(row), timestamp, tag_families };
        let tag_family_spec = vec![stream_api::v1::TagFamilySpec { name: "d".into(), tag_names: names }];
        let element = Some(element);
        let request = stream_api::v1::WriteRequest { metadata, element, message_id, tag_family_spec };
        return request.encode_to_vec().into();
    }
    let tag_family_spec = vec![measure_api::v1::TagFamilySpec { name: "d".into(), tag_names: names }];
    let request = measure_api::v1::WriteRequest {
        metadata,
        data_point: Some(measure_api::v1::DataPointValue { timestamp, tag_families, ..Default::default() }),
        message_id,
        data_point_spec: Some(measure_api::v1::DataPointSpec { tag_family_spec, field_names: vec![] }),
    };
    request.encode_to_vec().into()
}

fn document(row: usize, tags: &[Tag]) -> ApplyRequest {
    let (names, values) = sent(row, tags);
    let tag = |(key, value): (String, Value)| pipal_api::model::v1::Tag { key, value: Some(value.tag()) };
    // A document needs a tag at least; nobody asks for this one.
    let always = ("always".to_owned(), Value::Null);
    let tags = names.into_iter().zip(values).chain([always]).map(tag).collect();
    let property = Property { metadata: metadata("g", "m"), id: key(row), tags, updated_at: None };
    ApplyRequest { property: Some(property), strategy: 0 }
}
