//! Selection of series by the leading tags of index rules (trace specification, 6.2). The engine groups spans by trace,
//! so that a series is no more than a condition on each span.

use super::conditions::{literal_of, op_of};
use crate::error::QueryResult;
use crate::expression::{Join, fold};
use crate::patterns::{Pattern, Patterns};
use crate::row_filter::{Elements, RowFilter, RowLeaf, RowTest};
use crate::schema::{RowSchema, Slot};
use pipal_api::model::v1::{Condition, Criteria, condition::BinaryOp, tag_value::Value as Literal};
use pipal_model::series::{EntityValue, decode_entity, push_entity_value};
use pipal_model::{ColumnKey, Value, ValueRef};

/// The tags by which series are selected: the leading ones of the first rule, whichever rule gives the order.
pub(super) fn series_tags(schema: &RowSchema) -> &[Box<str>] {
    let tags = schema.rules.first().map_or(&[][..], |rule| &rule.tags);
    &tags[..tags.len().saturating_sub(1)]
}

/// The filter of the spans of the series that criteria select; none when they select none. Errors: conditions on one
/// tag compare values of different types.
pub(super) fn selection(criteria: &Criteria, schema: &RowSchema) -> QueryResult<Option<RowFilter>> {
    let tags = series_tags(schema);
    let patterns = fold(
        criteria,
        &mut |condition| {
            let slot = tags.iter().position(|tag| **tag == *condition.name);
            let values = slot.and_then(|slot| Some((slot, key_values(condition)?)));
            Ok(values.map_or_else(
                || Patterns::open(tags.len()),
                |(slot, v)| Patterns::of_key(tags.len(), slot, &v),
            ))
        },
        &mut |how, left: Patterns, right| left.join(how, right),
    )?;
    Ok(patterns.into_servable().map(|patterns| filter_of(&patterns, &columns_of(tags, schema))))
}

/// Encoded values of a condition on a series tag; none when it leaves the series open. The reference finds no value in
/// EQ with null or a list and in HAVING.
fn key_values(condition: &Condition) -> Option<Vec<Box<[u8]>>> {
    let op = op_of(condition);
    let values: Vec<ValueRef<'_>> = match (op, literal_of(condition)?) {
        (BinaryOp::Eq | BinaryOp::In, Literal::Str(text)) => vec![ValueRef::Str(text.value.as_bytes())],
        (BinaryOp::Eq | BinaryOp::In, Literal::Int(number)) => vec![ValueRef::Int(number.value)],
        (BinaryOp::In, Literal::StrArray(list)) => {
            list.value.iter().map(|text| ValueRef::Str(text.as_bytes())).collect()
        }
        (BinaryOp::In, Literal::IntArray(list)) => list.value.iter().map(|v| ValueRef::Int(*v)).collect(),
        (BinaryOp::Eq | BinaryOp::In | BinaryOp::Having, _) => Vec::new(),
        _ => return None,
    };
    Some(values.into_iter().map(encoded).collect())
}

fn encoded(value: ValueRef<'_>) -> Box<[u8]> {
    let mut bytes = Vec::new();
    push_entity_value(value, &mut bytes);
    bytes.into()
}

fn columns_of(tags: &[Box<str>], schema: &RowSchema) -> Vec<Option<ColumnKey>> {
    let column = |tag: &str| match schema.tag(schema.find_tag(tag)?)?.slot {
        Slot::Column(column) => Some(schema.layout().columns().get(column)?.key.clone()),
        Slot::Entity(_) | Slot::Nowhere => None,
    };
    tags.iter().map(|tag| column(tag)).collect()
}

/// Spans that meet one of the patterns. Patterns with one and the same fixed slot become a test for a set of values:
/// they come of lists, which may be long.
fn filter_of(patterns: &[Pattern], columns: &[Option<ColumnKey>]) -> RowFilter {
    let mut filter = RowFilter::default();
    let mut texts: Vec<Vec<Box<[u8]>>> = vec![Vec::new(); columns.len()];
    let mut numbers: Vec<Vec<i64>> = vec![Vec::new(); columns.len()];
    for pattern in patterns {
        let fixed: Vec<(usize, Value)> = fixed_slots(pattern).collect();
        match &fixed[..] {
            [] => return RowFilter::default(),
            [(slot, Value::Str(text))] => texts[*slot].push(text.as_slice().into()),
            [(slot, Value::Int(number))] => numbers[*slot].push(*number),
            _ => filter = filter.join(Join::Or, all_of(fixed, columns)),
        }
    }
    for ((texts, numbers), column) in texts.into_iter().zip(numbers).zip(columns) {
        let texts = (!texts.is_empty()).then(|| Elements::of_texts(texts));
        let numbers = (!numbers.is_empty()).then(|| Elements::of_ints(numbers));
        for elements in [texts, numbers].into_iter().flatten() {
            let leaf = RowLeaf { column: column.clone(), test: RowTest::one_of(elements) };
            filter = filter.join(Join::Or, RowFilter::of_leaf(leaf));
        }
    }
    filter
}

fn all_of(fixed: Vec<(usize, Value)>, columns: &[Option<ColumnKey>]) -> RowFilter {
    let leaf = |(slot, value): (usize, Value)| {
        RowFilter::of_leaf(RowLeaf { column: columns[slot].clone(), test: RowTest::equal(value) })
    };
    fixed.into_iter().map(leaf).fold(RowFilter::default(), |all, one| all.join(Join::And, one))
}

/// The fixed slots of a pattern with their values.
fn fixed_slots(pattern: &Pattern) -> impl Iterator<Item = (usize, Value)> {
    pattern.iter().enumerate().filter_map(|(slot, value)| {
        let value = decode_entity(value.as_ref()?)?.into_iter().next()?;
        Some((
            slot,
            match value {
                EntityValue::Str(text) => Value::Str(text),
                EntityValue::Int(number) => Value::Int(number),
                EntityValue::Null | EntityValue::Binary(_) | EntityValue::Timestamp(_) => Value::Null,
            },
        ))
    })
}
