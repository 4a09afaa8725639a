//! The term index in queries: it changes what is looked at, never what is found.

use crate::fixture::*;
use pipal_api::database::v1::{FieldType, TagType};
use pipal_api::measure::v1::QueryRequest;
use pipal_api::model::v1::{Criteria, condition::BinaryOp};
use pipal_model::Value;
use pipal_model::value::encode_str_array;
use pipal_query::budget::QUERY_BYTES_MAX;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A measure of instances with a name of their own, a zone that many share and a label or two.
fn definition(index_mode: bool) -> Definition {
    let tags = vec![
        ("id", TagType::String),
        ("name", TagType::String),
        ("zone", TagType::String),
        ("size", TagType::Int),
        ("labels", TagType::StringArray),
    ];
    Definition {
        name: "instances",
        families: vec![("d", tags)],
        entity: vec!["id"],
        fields: if index_mode { vec![] } else { vec![("value", FieldType::Int)] },
        rules: vec![
            ("names", vec!["name"], ""),
            ("zones", vec!["zone"], ""),
            ("sizes", vec!["size"], ""),
            ("labels", vec!["labels"], ""),
        ],
        index_mode,
        ..Definition::default()
    }
}

fn tags(id: usize, name: &str, zone: &str, size: i64, label: &str) -> Vec<Value> {
    let mut labels = Vec::new();
    encode_str_array([&b"every"[..], label.as_bytes()], &mut labels);
    let id = format!("i{id:04}");
    vec![text(&id), text(name), text(zone), Value::Int(size), Value::StrArray(labels)]
}

fn asking(criteria: Criteria) -> QueryRequest {
    QueryRequest {
        criteria: Some(criteria),
        limit: 1000,
        trace: true,
        ..select(&[("d", &["id", "name", "zone"])], &[])
    }
}

/// The answer, and the numbers of the search for series.
fn search(fixture: &Fixture, criteria: Criteria) -> (Vec<String>, BTreeMap<String, String>) {
    let response = fixture.respond(&fixture.groups, &asking(criteria), -100, 100, QUERY_BYTES_MAX).unwrap();
    let mut spans = response.trace.unwrap().spans;
    let mut found = BTreeMap::new();
    while let Some(span) = spans.pop() {
        if span.message == "seriesIndex.search" {
            found.extend(span.tags.into_iter().map(|tag| (tag.key, tag.value)));
        }
        spans.extend(span.children);
    }
    (response.data_points.iter().map(line).collect(), found)
}

#[test]
fn a_rare_term_leads_to_its_series_alone_and_a_common_one_is_not_looked_up() {
    for index_mode in [false, true] {
        let fixture = Fixture::new(1, &[definition(index_mode)]);
        let fields = if index_mode { vec![] } else { vec![Value::Int(1)] };
        let row = |i: usize| TestRow {
            time: TEN,
            version: 1,
            tags: tags(
                i,
                &format!("name {i}"),
                if i.is_multiple_of(2) { "even" } else { "odd" },
                i as i64,
                "some",
            ),
            fields: fields.clone(),
        };
        fixture.write(0, &(0..500).map(row).collect::<Vec<_>>());
        for flushed in [false, true] {
            if flushed {
                fixture.engine.flush().unwrap();
            }
            let context = format!("index mode {index_mode}, flushed {flushed}");
            let (lines, numbers) = search(&fixture, eq("name", "name 77"));
            assert_eq!(lines, ["i0077 name 77 odd"], "{context}");
            let of = |numbers: &BTreeMap<String, String>, key: &str| numbers[key].clone();
            assert_eq!(of(&numbers, "term_index_tables"), "1 of 1", "{context}");
            assert_eq!(of(&numbers, "term_index_candidates"), "1", "{context}");
            assert_eq!(of(&numbers, "series_considered"), "1", "{context}");

            let both = and(eq("zone", "even"), cond("size", BinaryOp::In, ints(&[3, 4])));
            let (lines, numbers) = search(&fixture, both);
            assert_eq!(lines, ["i0004 name 4 even"], "{context}");
            assert_eq!(
                of(&numbers, "series_considered"),
                "2",
                "{context}: the common side rules out nothing"
            );

            let (lines, numbers) = search(&fixture, eq("zone", "odd"));
            assert_eq!((lines.len(), of(&numbers, "series_considered")), (250, "500".into()), "{context}");
            assert_eq!(of(&numbers, "term_index_tables"), "0 of 1", "{context}");

            let (lines, numbers) = search(&fixture, cond("name", BinaryOp::Ne, s("name 77")));
            assert_eq!(lines.len(), 499, "{context}");
            assert!(!numbers.contains_key("term_index_tables"), "{context}: no index can tell");

            let (lines, numbers) = search(&fixture, eq("labels", "none"));
            assert_eq!((lines.len(), of(&numbers, "series_considered")), (0, "0".into()), "{context}");
        }
    }
}

fn ints(values: &[i64]) -> pipal_api::model::v1::tag_value::Value {
    let value = values.to_vec();
    pipal_api::model::v1::tag_value::Value::IntArray(pipal_api::model::v1::IntArray { value })
}

/// A condition on a document.
#[derive(Clone, Debug)]
enum Filter {
    Zone(BinaryOp, &'static str),
    Size(BinaryOp, i64),
    Labels(BinaryOp, Vec<&'static str>),
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
}

impl Filter {
    fn request(&self) -> Criteria {
        match self {
            Filter::Zone(op, zone) => cond("zone", *op, s(zone)),
            Filter::Size(op, size) => cond("size", *op, i(*size)),
            Filter::Labels(op, labels) => cond("labels", *op, strings(labels)),
            Filter::And(left, right) => and(left.request(), right.request()),
            Filter::Or(left, right) => or(left.request(), right.request()),
        }
    }

    fn accepts(&self, document: &Document) -> bool {
        match self {
            Filter::Zone(BinaryOp::Eq, zone) => document.zone == *zone,
            Filter::Zone(_, zone) => document.zone != *zone,
            Filter::Size(BinaryOp::Eq, size) => document.size == *size,
            Filter::Size(_, size) => document.size < *size,
            Filter::Labels(BinaryOp::Having, labels) => {
                !labels.is_empty() && labels.iter().all(|label| ["every", document.label].contains(label))
            }
            Filter::Labels(_, labels) => labels.iter().any(|label| ["every", document.label].contains(label)),
            Filter::And(left, right) => left.accepts(document) && right.accepts(document),
            Filter::Or(left, right) => left.accepts(document) || right.accepts(document),
        }
    }
}

#[derive(Clone, Debug)]
struct Document {
    id: usize,
    zone: &'static str,
    size: i64,
    label: &'static str,
}

fn any_document() -> impl Strategy<Value = Document> {
    let zone = prop::sample::select(vec!["", "a", "b", "c", "d"]);
    let label = prop::sample::select(vec!["every", "blue", "red"]);
    (0usize..260, zone, 0i64..20, label).prop_map(|(id, zone, size, label)| Document {
        id,
        zone,
        size,
        label,
    })
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let labels = prop::collection::vec(prop::sample::select(vec!["every", "blue", "red", "green"]), 0..3);
    let leaf = prop_oneof![
        3 => prop::sample::select(vec!["", "a", "b", "z"]).prop_map(|zone| Filter::Zone(BinaryOp::Eq, zone)),
        1 => prop::sample::select(vec!["", "a"]).prop_map(|zone| Filter::Zone(BinaryOp::Ne, zone)),
        3 => (0i64..21).prop_map(|size| Filter::Size(BinaryOp::Eq, size)),
        1 => (0i64..7).prop_map(|size| Filter::Size(BinaryOp::Lt, size)),
        2 => (any::<bool>(), labels).prop_map(|(all, labels)| {
            Filter::Labels(if all { BinaryOp::Having } else { BinaryOp::In }, labels)
        }),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(l, r)| Filter::And(Box::new(l), Box::new(r))),
            (inner.clone(), inner).prop_map(|(l, r)| Filter::Or(Box::new(l), Box::new(r))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]
    #[test]
    fn documents_are_found_by_their_last_version_wherever_older_ones_lie(
        batches in prop::collection::vec((prop::collection::vec(any_document(), 1..300), 0u8..3), 1..6),
        filters in prop::collection::vec(any_filter(), 1..10),
    ) {
        let fixture = Fixture::new(1, &[definition(true)]);
        let mut newest = BTreeMap::new();
        for (documents, then) in &batches {
            let row = |d: &Document| TestRow {
                time: TEN,
                version: 1,
                tags: tags(d.id, "n", d.zone, d.size, d.label),
                fields: vec![],
            };
            fixture.write(0, &documents.iter().map(row).collect::<Vec<_>>());
            newest.extend(documents.iter().map(|d| (d.id, d.clone())));
            if *then > 0 {
                fixture.engine.flush().unwrap();
            }
            if *then > 1 {
                fixture.engine.wait_merges().unwrap();
            }
        }
        for filter in &filters {
            let mut found = search(&fixture, filter.request()).0;
            found.sort();
            let accepted = newest.values().filter(|document| filter.accepts(document));
            let zone = |zone: &'static str| if zone.is_empty() { "\"\"" } else { zone };
            let wanted: Vec<String> =
                accepted.map(|d| format!("i{:04} n {}", d.id, zone(d.zone))).collect();
            prop_assert_eq!(found, wanted, "{:?}", filter);
        }
    }
}
