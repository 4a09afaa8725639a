//! Answers as lines of text.

use crate::lang::query::Statement;
use crate::values::{nanos_of, show_field, show_tag, show_time};
use pipal_api::model::v1::{Tag, TagFamily};
use pipal_api::{measure, property, stream, trace};
use std::collections::HashMap;

fn joined(words: impl IntoIterator<Item = String>) -> String {
    words.into_iter().collect::<Vec<_>>().join(" ")
}

/// `@names` shows families and names: `d(host=h1) ms=10`.
fn tags(statement: &Statement, families: &[TagFamily]) -> Vec<String> {
    let value = |tag: &Tag| show_tag(tag.value.as_ref().expect("a tag has a value"));
    if !statement.shows("names") {
        return families.iter().flat_map(|family| &family.tags).map(value).collect();
    }
    let named = |tag: &Tag| format!("{}={}", tag.key, value(tag));
    let family = |family: &TagFamily| format!("{}({})", family.name, joined(family.tags.iter().map(named)));
    families.iter().map(family).collect()
}

pub fn point(statement: &Statement, point: &measure::v1::DataPoint) -> String {
    let mut words = Vec::new();
    if statement.shows("time") {
        words.push(point.timestamp.as_ref().map_or("none".into(), |at| show_time(nanos_of(at))));
    }
    if statement.shows("version") {
        words.push(point.version.to_string());
    }
    if statement.shows("sid") {
        words.push(point.sid.to_string());
    }
    assert_eq!(point.timestamp.is_some(), point.sid > 0, "rows have a time and a series, aggregates neither");
    words.extend(tags(statement, &point.tag_families));
    for field in &point.fields {
        let value = show_field(field.value.as_ref().expect("a field has a value"));
        words.push(if statement.shows("names") { format!("{}={value}", field.name) } else { value });
    }
    joined(words)
}

/// `ids` leads from the ids of answers back to those that were written.
pub fn element(
    statement: &Statement,
    element: &stream::v1::Element,
    ids: &HashMap<String, String>,
) -> String {
    let mut words = Vec::new();
    if statement.shows("time") {
        words.push(show_time(nanos_of(element.timestamp.as_ref().expect("an element has a time"))));
    }
    if statement.shows("id") {
        words.push(ids.get(&element.element_id).unwrap_or(&element.element_id).clone());
    }
    words.extend(tags(statement, &element.tag_families));
    joined(words)
}

/// `t1`, or with something to show `t1: s1 web, s2 web`, spans sorted by their text.
pub fn trace(statement: &Statement, trace: &trace::v1::Trace) -> String {
    assert!(!trace.spans.is_empty(), "a trace has spans");
    if statement.show.is_empty() {
        return trace.trace_id.clone();
    }
    let span = |span: &trace::v1::Span| {
        let mut words = vec![span.span_id.clone()];
        if statement.shows("span") {
            words.push(String::from_utf8_lossy(&span.span).into_owned());
        }
        for tag in &span.tags {
            let value = show_tag(tag.value.as_ref().expect("a tag has a value"));
            words.push(if statement.shows("names") { format!("{}={value}", tag.key) } else { value });
        }
        joined(words)
    };
    let mut spans: Vec<String> = trace.spans.iter().map(span).collect();
    spans.sort();
    format!("{}: {}", trace.trace_id, spans.join(", "))
}

/// Id, then the tags in stored order: `1 name=a at=5`.
pub fn document(statement: &Statement, document: &property::v1::Property) -> String {
    let mut words = Vec::new();
    if statement.shows("names") {
        let metadata = document.metadata.clone().unwrap_or_default();
        words.push(format!("{}/{}", metadata.group, metadata.name));
    }
    words.push(document.id.clone());
    let tag = |tag: &Tag| format!("{}={}", tag.key, show_tag(tag.value.as_ref().expect("a tag has a value")));
    words.extend(document.tags.iter().map(tag));
    joined(words)
}

/// Entity and value of each place; a list of its own for each list of the answer.
pub fn ranking(statement: &Statement, list: &measure::v1::TopNList) -> Vec<String> {
    let item = |item: &measure::v1::top_n_list::Item| {
        let mut words = Vec::new();
        if statement.shows("time") {
            words.push(item.timestamp.as_ref().map_or("none".into(), |at| show_time(nanos_of(at))));
        }
        words.extend(item.entity.iter().map(|tag| show_tag(tag.value.as_ref().expect("a tag has a value"))));
        words.push(show_field(item.value.as_ref().expect("a place has a value")));
        joined(words)
    };
    list.items.iter().map(item).collect()
}
