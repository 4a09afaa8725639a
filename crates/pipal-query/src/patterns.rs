//! The key patterns of the reference (measure specification, 3.7; stream, 6.2; trace, 6.2).
//!
//! The reference reduces criteria on the tags of a key to a list of patterns with one slot per tag of the key. What a
//! list means differs: measures and streams refuse queries whose patterns contradict each other, traces answer them
//! with nothing. Streams and traces select by the patterns; measures select rows by plain Boolean algebra, which
//! differs from the reference where that loses or invents rows.

use crate::error::{QueryError, QueryResult};
use crate::expression::Join;

/// One slot per tag of the key: an encoded value, or none for any.
pub(crate) type Pattern = Vec<Option<Box<[u8]>>>;

/// The list of a subtree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Patterns {
    slots: usize,
    /// Alternatives: empty for a list condition without elements, none when the patterns contradict each other.
    list: Option<Vec<Pattern>>,
}

impl Patterns {
    /// What a condition that is not on the key contributes.
    pub fn open(slots: usize) -> Self {
        Patterns { slots, list: Some(vec![vec![None; slots]]) }
    }

    /// One pattern per value of a condition on the key.
    pub fn of_key(slots: usize, slot: usize, values: &[Box<[u8]>]) -> Self {
        let mut list = Vec::with_capacity(values.len());
        for value in values {
            let mut pattern = vec![None; slots];
            pattern[slot] = Some(value.clone());
            list.push(pattern);
        }
        Patterns { slots, list: Some(list) }
    }

    /// The patterns at the root of criteria; none when no query can be served with them, which is an error for
    /// measures and streams and an empty answer for traces.
    pub fn into_servable(self) -> Option<Vec<Pattern>> {
        self.list.filter(|list| !list.is_empty())
    }

    fn is_open(&self) -> bool {
        self.list.iter().flatten().all(|pattern| pattern.iter().all(Option::is_none))
    }

    /// The list of a node. Errors: values of different types meet in a slot.
    pub fn join(self, how: Join, other: Patterns) -> QueryResult<Patterns> {
        match how {
            Join::And => self.and(other),
            Join::Or => self.or(other),
        }
    }

    /// The list of a conjunction. Errors: values of different types meet in a slot.
    pub fn and(self, other: Patterns) -> QueryResult<Patterns> {
        match (self.is_open(), other.is_open()) {
            (true, false) => return Ok(other),
            (false, true) => return Ok(self),
            _ => {}
        }
        let slots = self.slots;
        let all = self.concat(other);
        let mut united: Pattern = vec![None; slots];
        for (slot, value) in united.iter_mut().enumerate() {
            for candidate in all.iter().filter_map(|pattern| pattern[slot].as_ref()) {
                match value {
                    None => *value = Some(candidate.clone()),
                    Some(value) if !same_value(value, candidate)? => {
                        return Ok(Patterns { slots, list: None });
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(Patterns { slots, list: Some(vec![united]) })
    }

    /// The list of a disjunction. Errors: values of different types meet in a slot.
    pub fn or(self, other: Patterns) -> QueryResult<Patterns> {
        if self.is_open() {
            return Ok(self);
        }
        if other.is_open() {
            return Ok(other);
        }
        let slots = self.slots;
        let all = self.concat(other);
        let mut united: Pattern = vec![None; slots];
        for (slot, current) in united.iter_mut().enumerate() {
            for pattern in &all {
                match (&*current, &pattern[slot]) {
                    (None, value) => *current = value.clone(),
                    (Some(value), Some(other)) if same_value(value, other)? => {}
                    (Some(_), _) => return Ok(Patterns { slots, list: Some(all) }),
                }
            }
        }
        Ok(Patterns { slots, list: Some(vec![united]) })
    }

    fn concat(self, other: Patterns) -> Vec<Pattern> {
        [self, other].into_iter().flat_map(|side| side.list.unwrap_or_default()).collect()
    }
}

/// Encoded values begin with their type. Clients know the comparison of two types as an error.
fn same_value(a: &[u8], b: &[u8]) -> QueryResult<bool> {
    if a.first() != b.first() {
        return Err(QueryError::invalid(
            "panic: values of different types are compared with one tag of the key",
        ));
    }
    Ok(a == b)
}
