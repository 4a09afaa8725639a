//! Every value of every tag comes back as the specification says, whatever the index and wherever the row lies
//! (measure specification 1.6, stream 2.7, trace 2.6, property 5).

use super::fill::{Face, fill, tags_of};
use super::{Index, ROWS, Stored, Tag, key, stored};
use crate::values::{BASE, Value, timestamp};
use crate::world::{STATES, World};
use pipal_api::model::v1::condition::BinaryOp;
use pipal_api::model::v1::{TagFamily, TagProjection, TagValue, TimeRange, tag_projection};
use pipal_api::{measure, property, stream, trace};
use std::collections::BTreeMap;

/// What is shown of each row, by key; none where a document does not have the tag.
type Shown = BTreeMap<String, Option<TagValue>>;

/// A value as it is shown.
fn shown(face: Face, tag: &Tag, stored: &Stored) -> Option<TagValue> {
    let is_measure = matches!(face, Face::Measure | Face::IndexMode);
    let is_entity = tag.index == Index::Key && (is_measure || face == Face::Stream);
    let value = match stored {
        None if face == Face::Document => return None,
        None => Value::Null,
        Some(Value::Strs(list)) if is_measure && list.is_empty() => Value::Null,
        Some(Value::Ints(list)) if is_measure && list.is_empty() => Value::Null,
        Some(Value::Str(text)) if is_entity && text.is_empty() => Value::Null,
        Some(value) => value.clone(),
    };
    Some(value.tag())
}

/// Key and value out of a row that shows both.
fn pair(families: &[TagFamily]) -> (String, Option<TagValue>) {
    let tags = &families[0].tags;
    let Some(pipal_api::model::v1::tag_value::Value::Str(key)) =
        tags[0].value.as_ref().and_then(|value| value.value.as_ref())
    else {
        panic!("{tags:?} have no key")
    };
    (key.value.clone(), tags[1].value.clone())
}

async fn read(world: &World, face: Face, tag: &Tag) -> Shown {
    let (groups, name, open) = (vec!["g".to_owned()], "m".to_owned(), world.open());
    let family = tag_projection::TagFamily { name: "d".into(), tags: vec!["k".into(), tag.name.clone()] };
    let projection = Some(TagProjection { tag_families: vec![family] });
    let time = |seconds: i64| Some(timestamp(BASE + seconds * 1_000_000_000));
    let time_range = Some(TimeRange { begin: time(-60), end: time(60) });
    match face {
        Face::Measure | Face::IndexMode => {
            let request = measure::v1::QueryRequest {
                groups,
                name,
                time_range,
                tag_projection: projection,
                ..Default::default()
            };
            let answer = open.queries.query(request).await.unwrap().response;
            answer.data_points.iter().map(|point| pair(&point.tag_families)).collect()
        }
        Face::Stream => {
            let request =
                stream::v1::QueryRequest { groups, name, time_range, projection, ..Default::default() };
            let answer = open.queries.query(request).await.unwrap().response;
            answer.elements.iter().map(|element| pair(&element.tag_families)).collect()
        }
        Face::Document => {
            let tag_projection = vec![tag.name.clone()];
            let request = property::v1::QueryRequest { groups, name, tag_projection, ..Default::default() };
            let answer = open.documents.query(request).await.unwrap().response;
            let value = |tags: Vec<pipal_api::model::v1::Tag>| tags.into_iter().next()?.value;
            answer.properties.into_iter().map(|document| (document.id, value(document.tags))).collect()
        }
        Face::Lookup | Face::InOrder | Face::OnOrderTag => {
            let ids = super::Question {
                op: BinaryOp::In,
                literal: Value::Strs((0..ROWS).map(key).collect()),
                analyzer: "",
                operator: Default::default(),
            };
            let request = trace::v1::QueryRequest {
                groups,
                name,
                criteria: Some(ids.criteria("k")),
                tag_projection: vec![tag.name.clone()],
                ..Default::default()
            };
            let answer = open.queries.query(request).await.unwrap().response;
            let value = |trace: &trace::v1::Trace| trace.spans[0].tags[0].value.clone();
            answer.traces.iter().map(|trace| (trace.trace_id.clone(), value(trace))).collect()
        }
    }
}

#[test]
fn values_come_back_as_they_were_written() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for face in [Face::Measure, Face::IndexMode, Face::Stream, Face::Lookup, Face::Document] {
        let tags = tags_of(face);
        for state in STATES {
            let mut world = runtime.block_on(World::new(state));
            runtime.block_on(fill(&mut world, face, &tags));
            for tag in &tags {
                let rows = stored(tag.ty);
                let expected: Shown =
                    rows.iter().enumerate().map(|(row, value)| (key(row), shown(face, tag, value))).collect();
                let found = runtime.block_on(read(&world, face, tag));
                assert_eq!(found, expected, "{face:?} {state:?} {}", tag.name);
            }
        }
    }
}
