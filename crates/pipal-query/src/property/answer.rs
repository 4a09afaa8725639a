//! Collects the documents of an answer: criteria, order, projection, limit (property specification, 4).

use super::plan::Plan;
use super::term::term_of;
use crate::budget::Budget;
use crate::error::QueryResult;
use pipal_api::model::v1::Tag;
use pipal_api::property::v1::Property;
use prost::Message;
use std::cell::Cell;
use std::cmp::Ordering;

/// With an order, this many documents beyond the limit are kept before the last ones are thrown away.
const SURPLUS_MIN: usize = 1_024;

/// A document that may be part of the answer, and its place in the order.
struct Candidate {
    /// None without a value, which is last in both directions.
    term: Option<Vec<u8>>,
    property: Property,
    bytes: usize,
}

/// Keeps what the plan asks for.
pub(super) struct Collector<'p, 'b> {
    plan: &'p Plan<'p>,
    budget: &'b Budget,
    candidates: Vec<Candidate>,
    /// Bytes of the candidates, which those who read see too.
    held_bytes: &'b Cell<usize>,
    term: Vec<u8>,
}

impl<'p, 'b> Collector<'p, 'b> {
    /// An empty answer, which counts its bytes in `held_bytes`.
    pub fn new(plan: &'p Plan<'p>, budget: &'b Budget, held_bytes: &'b Cell<usize>) -> Self {
        Collector { plan, budget, candidates: Vec::new(), held_bytes, term: Vec::new() }
    }

    /// Takes a live document; says false when no further one is needed. Errors: the memory limit.
    pub fn take(&mut self, mut property: Property) -> QueryResult<bool> {
        if let Some(criteria) = &self.plan.criteria
            && !criteria.matches(&property.tags, &mut self.term)
        {
            return Ok(true);
        }
        let term = self.plan.order.and_then(|order| self.term_of(order.tag, &property.tags));
        if let Some(names) = self.plan.projection {
            property.tags.retain(|tag| names.contains(&tag.key));
        }
        let bytes = bytes_of(&property) + term.as_ref().map_or(0, Vec::len) + size_of::<Candidate>();
        self.held_bytes.set(self.held_bytes.get() + bytes);
        self.budget.check(self.held_bytes.get())?;
        self.candidates.push(Candidate { term, property, bytes });
        if self.plan.order.is_none() {
            let is_full = self.candidates.len() >= self.plan.limit;
            return Ok(!is_full);
        }
        if self.candidates.len() >= self.plan.limit.saturating_mul(2).saturating_add(SURPLUS_MIN) {
            self.keep_first();
        }
        Ok(true)
    }

    /// The term of the first value of a tag.
    fn term_of(&mut self, name: &str, tags: &[Tag]) -> Option<Vec<u8>> {
        let mut values = tags.iter().filter(|tag| tag.key == name).map(|tag| tag.value.as_ref());
        values.find_map(|value| term_of(value, &mut self.term).map(|_| self.term.clone()))
    }

    /// Throws away what is behind the limit for certain.
    fn keep_first(&mut self) {
        let descending = self.plan.order.is_some_and(|order| order.descending);
        let compare = |a: &Candidate, b: &Candidate| compare(descending, a, b);
        self.candidates.select_nth_unstable_by(self.plan.limit, compare);
        self.candidates.truncate(self.plan.limit);
        self.held_bytes.set(self.candidates.iter().map(|candidate| candidate.bytes).sum());
    }

    /// The answer.
    pub fn finish(mut self) -> QueryResult<Vec<Property>> {
        if let Some(order) = self.plan.order {
            self.candidates.sort_unstable_by(|a, b| compare(order.descending, a, b));
        }
        self.candidates.truncate(self.plan.limit);
        Ok(self.candidates.into_iter().map(|candidate| candidate.property).collect())
    }
}

/// By term, those without one last; of equal terms by id, name and group.
fn compare(descending: bool, a: &Candidate, b: &Candidate) -> Ordering {
    let by_term = match (&a.term, &b.term) {
        (Some(a), Some(b)) if descending => b.cmp(a),
        (Some(a), Some(b)) => a.cmp(b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    };
    let by_id = || a.property.id.cmp(&b.property.id);
    by_term.then_with(by_id).then_with(|| place_of(&a.property).cmp(&place_of(&b.property)))
}

/// Name and group.
fn place_of(property: &Property) -> Option<(&str, &str)> {
    property.metadata.as_ref().map(|metadata| (metadata.name.as_str(), metadata.group.as_str()))
}

/// About the bytes that a message holds.
fn bytes_of(property: &Property) -> usize {
    property.encoded_len() + size_of::<Property>() + property.tags.capacity() * size_of::<Tag>()
}
