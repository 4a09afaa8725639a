//! Asks everything in every state, and compares.

use super::fill::{Face, fill, tags_of};
use super::{
    Index, Question, ROWS, Stored, Tag, Verdict, key, measure, property, questions, stored, stream, trace,
};
use crate::values::{BASE, Value, timestamp};
use crate::world::{STATES, World};
use pipal_api::model::v1::{
    Criteria, LogicalExpression, QueryOrder, TagProjection, TimeRange, criteria::Exp,
    logical_expression::LogicalOp, tag_projection, tag_value,
};
use pipal_api::{measure as measure_api, property as property_api, stream as stream_api, trace as trace_api};
use std::collections::BTreeSet;
use tonic::Status;

/// The keys of the rows of an answer.
type Keys = BTreeSet<String>;

/// Decides about one row.
type Evaluator = fn(&Tag, &Question, &Stored) -> Verdict;

async fn ask(world: &World, face: Face, criteria: Criteria) -> Result<Keys, Status> {
    let open = world.open();
    let (groups, name, criteria) = (vec!["g".to_owned()], "m".to_owned(), Some(criteria));
    let k = tag_projection::TagFamily { name: "d".into(), tags: vec!["k".into()] };
    let projection = Some(TagProjection { tag_families: vec![k] });
    let text = |value: &Option<pipal_api::model::v1::TagValue>| match value
        .as_ref()
        .and_then(|v| v.value.as_ref())
    {
        Some(tag_value::Value::Str(text)) => text.value.clone(),
        other => panic!("{other:?} is no key"),
    };
    match face {
        Face::Measure | Face::IndexMode => {
            let time = |seconds: i64| Some(timestamp(BASE + seconds * 1_000_000_000));
            let request = measure_api::v1::QueryRequest {
                groups,
                name,
                criteria,
                tag_projection: projection,
                time_range: Some(TimeRange { begin: time(-60), end: time(60) }),
                ..Default::default()
            };
            let points = open.queries.query(request).await?.response.data_points;
            Ok(points.iter().map(|point| text(&point.tag_families[0].tags[0].value)).collect())
        }
        Face::Stream => {
            let request =
                stream_api::v1::QueryRequest { groups, name, criteria, projection, ..Default::default() };
            let elements = open.queries.query(request).await?.response.elements;
            Ok(elements.iter().map(|element| text(&element.tag_families[0].tags[0].value)).collect())
        }
        Face::Document => {
            let request = property_api::v1::QueryRequest { groups, name, criteria, ..Default::default() };
            let documents = open.documents.query(request).await?.response.properties;
            Ok(documents.into_iter().map(|document| document.id).collect())
        }
        Face::Lookup | Face::InOrder | Face::OnOrderTag => {
            let rule = if face == Face::OnOrderTag { "int_tree" } else { "at" };
            let order = QueryOrder { index_rule_name: rule.into(), sort: 0 };
            let (criteria, order_by) = match face {
                Face::Lookup => (criteria.map(beside_all_ids), None),
                _ => (criteria, Some(order)),
            };
            let request =
                trace_api::v1::QueryRequest { groups, name, criteria, order_by, ..Default::default() };
            let traces = open.queries.query(request).await?.response.traces;
            Ok(traces.into_iter().map(|trace| trace.trace_id).collect())
        }
    }
}

fn beside_all_ids(criteria: Criteria) -> Criteria {
    let ids = Question {
        op: pipal_api::model::v1::condition::BinaryOp::In,
        literal: Value::Strs((0..ROWS).map(key).collect()),
        analyzer: "",
        operator: Default::default(),
    };
    node(LogicalOp::And, ids.criteria("k"), criteria)
}

fn node(op: LogicalOp, left: Criteria, right: Criteria) -> Criteria {
    let (left, right) = (Some(Box::new(left)), Some(Box::new(right)));
    Criteria { exp: Some(Exp::Le(Box::new(LogicalExpression { op: op as i32, left, right }))) }
}

/// What is to be answered; rows of which nothing is said are left out of both sides.
struct Expected {
    is_error: bool,
    keys: Keys,
    open: Keys,
}

fn expected(face: Face, evaluator: Evaluator, tag: &Tag, question: &Question) -> Option<Expected> {
    let verdicts: Vec<Verdict> = stored(tag.ty).iter().map(|value| evaluator(tag, question, value)).collect();
    let of = |wanted: Verdict| {
        let rows = verdicts.iter().enumerate().filter(|(_, verdict)| **verdict == wanted);
        rows.map(|(row, _)| key(row)).collect::<Keys>()
    };
    let is_error = verdicts[0] == Verdict::Error;
    assert!(verdicts.iter().all(|v| (*v == Verdict::Error) == is_error), "errors do not depend on rows");
    // A whole query of which nothing is said may also be refused.
    let all_open = verdicts.iter().all(|verdict| *verdict == Verdict::Open);
    let of_order_tag = face == Face::OnOrderTag && tag.name != "int_tree";
    (!all_open && !of_order_tag).then(|| Expected {
        is_error,
        keys: of(Verdict::Yes),
        open: of(Verdict::Open),
    })
}

/// A query of the matrix.
struct Asked {
    what: String,
    criteria: Criteria,
    expected: Expected,
}

fn single_conditions(face: Face, evaluator: Evaluator, tags: &[Tag]) -> Vec<Asked> {
    let questions = questions();
    let mut asked = Vec::new();
    for tag in tags {
        for question in &questions {
            let Some(expected) = expected(face, evaluator, tag, question) else { continue };
            let (what, criteria) = (format!("{} {question:?}", tag.name), question.criteria(&tag.name));
            asked.push(Asked { what, criteria, expected });
        }
    }
    asked
}

/// `(a AND b) OR c` of conditions that are legal and clear, chosen by a simple generator.
fn trees(face: Face, singles: &[Asked], tags: &[Tag]) -> Vec<Asked> {
    if matches!(face, Face::Lookup | Face::OnOrderTag) {
        // There an OR beside ids is refused, and conditions on the order tag are not what they seem.
        return Vec::new();
    }
    let is_key =
        |asked: &&Asked| tags.iter().any(|tag| tag.index == Index::Key && asked.what.starts_with(&tag.name));
    // EQ on an integer alone makes an ordered query of traces empty, beside others it does not.
    let is_special = |asked: &&Asked| face == Face::InOrder && asked.what.starts_with("int");
    let is_legal = |asked: &&Asked| !asked.expected.is_error && asked.expected.open.is_empty();
    let legal: Vec<&Asked> =
        singles.iter().filter(is_legal).filter(|a| !is_key(a) && !is_special(a)).collect();
    let mut seed = 7u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        legal[(seed >> 33) as usize % legal.len()]
    };
    let tree = |a: &Asked, b: &Asked, c: &Asked| {
        let and = node(LogicalOp::And, a.criteria.clone(), b.criteria.clone());
        let criteria = node(LogicalOp::Or, and, c.criteria.clone());
        let both: Keys = a.expected.keys.intersection(&b.expected.keys).cloned().collect();
        let keys = both.union(&c.expected.keys).cloned().collect();
        let what = format!("({} AND {}) OR {}", a.what, b.what, c.what);
        Asked { what, criteria, expected: Expected { is_error: false, keys, open: Keys::new() } }
    };
    (0..1_500).map(|_| tree(next(), next(), next())).collect()
}

fn play(face: Face, evaluator: Evaluator) {
    let tags = tags_of(face);
    let mut all = single_conditions(face, evaluator, &tags);
    all.extend(trees(face, &all, &tags));
    assert!(all.len() > 100, "{} questions are few", all.len());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut failures = Vec::new();
    for state in STATES {
        let mut world = runtime.block_on(World::new(state));
        runtime.block_on(fill(&mut world, face, &tags));
        for Asked { what, criteria, expected } in &all {
            let found = runtime.block_on(ask(&world, face, criteria.clone()));
            let is_right = match &found {
                Err(_) => expected.is_error,
                Ok(keys) => !expected.is_error && keys.difference(&expected.open).eq(expected.keys.iter()),
            };
            if !is_right {
                let wanted =
                    if expected.is_error { "an error".into() } else { format!("{:?}", expected.keys) };
                let found = found.map_err(|status| status.message().to_owned());
                failures.push(format!("{state:?} {what}\n   {found:?}\n   instead of {wanted}"));
            }
        }
    }
    let shown = failures.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} answers to {} questions are wrong\n{shown}", failures.len(), all.len());
}

#[test]
fn of_measures() {
    play(Face::Measure, measure::verdict);
}

#[test]
fn of_index_mode() {
    play(Face::IndexMode, measure::verdict_in_index_mode);
}

#[test]
fn of_streams() {
    play(Face::Stream, stream::verdict);
}

#[test]
fn of_lookups_of_traces() {
    play(Face::Lookup, trace::verdict_of_lookup);
}

#[test]
fn of_ordered_traces() {
    play(Face::InOrder, trace::verdict_in_order);
}

#[test]
fn of_the_order_tag_of_traces() {
    play(Face::OnOrderTag, |_, question, stored| trace::verdict_on_order_tag(question, stored));
}

#[test]
fn of_documents() {
    play(Face::Document, property::verdict);
}
