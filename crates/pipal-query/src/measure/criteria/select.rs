//! Which series can satisfy criteria: the cheapest way to ask the engine for a set that holds them all.

use super::{Criteria, Expression, LeafTest, Target};
use crate::term::{TermTest, ValueTest, int_of_term};
use pipal_engine::rows::EntitySelector;
use pipal_model::series::push_entity_value;
use pipal_model::{Analyzer, ValueRef};

/// Most entities that are asked for one by one; beyond, they are found by prefix and filter.
const EXACT_ENTITIES_MAX: usize = 16_384;
/// Most prefixes that are asked for one after the other.
const PREFIXES_MAX: usize = 64;

/// Encoded values that a slot of the entity must have one of; none when any value may do.
type SlotValues = Option<Vec<Box<[u8]>>>;

/// Selectors of disjoint sets that together hold every series which the criteria accept, and perhaps others.
/// An empty list means that no series can be accepted.
pub(crate) fn selectors(criteria: Option<&Criteria>, entity_tags: usize) -> Vec<EntitySelector> {
    let Some(criteria) = criteria else { return vec![EntitySelector::All] };
    let slots: Vec<SlotValues> =
        (0..entity_tags).map(|slot| needed(criteria, &criteria.expression, slot)).collect();
    if slots.iter().flatten().any(Vec::is_empty) {
        return Vec::new();
    }
    let fixed = slots.iter().take_while(|slot| slot.is_some()).count();
    if fixed == entity_tags
        && entity_tags > 0
        && let Some(mut entities) = products(&slots, EXACT_ENTITIES_MAX)
    {
        entities.sort_unstable();
        return vec![EntitySelector::Exact(entities)];
    }
    let longest = (1..=fixed).rev().find_map(|length| products(&slots[..length], PREFIXES_MAX));
    match longest {
        Some(prefixes) => prefixes.into_iter().map(EntitySelector::Prefix).collect(),
        None => vec![EntitySelector::All],
    }
}

/// The values that a slot must have one of for the expression to hold.
fn needed(criteria: &Criteria, expression: &Expression, slot: usize) -> SlotValues {
    match expression {
        Expression::Leaf(leaf) => match criteria.leaves.get(*leaf).map(|leaf| (&leaf.target, &leaf.test)) {
            Some((Target::Entity(at), LeafTest::Key(values))) if *at == slot => Some(values.clone()),
            Some((Target::Entity(at), LeafTest::Terms(test))) if *at == slot => keys_of_terms(test),
            _ => None,
        },
        Expression::And(left, right) => match (needed(criteria, left, slot), needed(criteria, right, slot)) {
            (Some(mut left), Some(right)) => {
                left.retain(|value| right.binary_search(value).is_ok());
                Some(left)
            }
            (one, other) => one.or(other),
        },
        Expression::Or(left, right) => {
            let mut values = needed(criteria, left, slot)?;
            values.extend(needed(criteria, right, slot)?);
            values.sort_unstable();
            values.dedup();
            Some(values)
        }
    }
}

/// The encoded values with one of the terms that a test asks for. Terms have no type: several values may have one.
fn keys_of_terms(test: &ValueTest) -> SlotValues {
    let TermTest::Any(terms) = &test.test else { return None };
    if test.negated || test.analyzer != Analyzer::Keyword {
        return None;
    }
    let mut keys = Vec::with_capacity(2 * terms.len());
    for term in terms.iter() {
        let number = int_of_term(term);
        let numbers = [number.map(ValueRef::Int), number.map(ValueRef::Timestamp)];
        let texts = [Some(ValueRef::Str(term)), Some(ValueRef::Binary(term))];
        for value in texts.into_iter().chain(numbers).flatten() {
            let mut key = Vec::with_capacity(term.len() + 2);
            if push_entity_value(value, &mut key) {
                keys.push(key.into_boxed_slice());
            }
        }
    }
    keys.sort_unstable();
    Some(keys)
}

/// All concatenations of one value per slot; none when there are more than `limit`.
fn products(slots: &[SlotValues], limit: usize) -> Option<Vec<Vec<u8>>> {
    let mut all = vec![Vec::new()];
    for values in slots.iter().flatten() {
        if all.len().checked_mul(values.len())? > limit {
            return None;
        }
        let mut longer = Vec::with_capacity(all.len() * values.len());
        for start in &all {
            for value in values {
                longer.push([start, &**value].concat());
            }
        }
        all = longer;
    }
    Some(all)
}
