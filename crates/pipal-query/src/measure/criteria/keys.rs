//! The key patterns of the reference (measure specification, 3.7).
//!
//! The reference reduces criteria on entity tags to a list of patterns with one slot per entity tag, and refuses
//! queries whose patterns contradict each other. Clients see that as an error, so the list is computed here, but for
//! its errors only: rows are selected by plain Boolean algebra, which differs from the reference where that loses or
//! invents rows.

use crate::error::{QueryError, QueryResult};

/// One slot per entity tag: an encoded value, or none for any.
pub(super) type Pattern = Vec<Option<Box<[u8]>>>;

/// The list `E` of a subtree.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Patterns {
    /// Alternatives; empty for a list condition without elements.
    List(Vec<Pattern>),
    /// The patterns contradict each other.
    Conflict,
}

impl Patterns {
    /// What a condition that is not on a key contributes.
    pub fn open(slots: usize) -> Self {
        Patterns::List(vec![vec![None; slots]])
    }

    /// One pattern per value of a key condition.
    pub fn of_key(slots: usize, slot: usize, values: &[Box<[u8]>]) -> Self {
        let mut list = Vec::with_capacity(values.len());
        for value in values {
            let mut pattern = vec![None; slots];
            pattern[slot] = Some(value.clone());
            list.push(pattern);
        }
        Patterns::List(list)
    }

    /// True when the root of criteria cannot be served with this list.
    pub fn is_none_or_empty(&self) -> bool {
        match self {
            Patterns::Conflict => true,
            Patterns::List(list) => list.is_empty(),
        }
    }

    fn is_open(&self) -> bool {
        match self {
            Patterns::Conflict => true,
            Patterns::List(list) => list.iter().all(|pattern| pattern.iter().all(Option::is_none)),
        }
    }

    /// The list of a conjunction. Errors: values of different types meet in a slot.
    pub fn and(self, other: Patterns) -> QueryResult<Patterns> {
        match (self.is_open(), other.is_open()) {
            (true, false) => return Ok(other),
            (false, true) => return Ok(self),
            _ => {}
        }
        let all: Vec<Pattern> = [self, other].into_iter().flat_map(Patterns::into_list).collect();
        let Some(slots) = all.first().map(Vec::len) else { return Ok(Patterns::List(all)) };
        let mut united: Pattern = vec![None; slots];
        for (slot, value) in united.iter_mut().enumerate() {
            for candidate in all.iter().filter_map(|pattern| pattern[slot].as_ref()) {
                match value {
                    None => *value = Some(candidate.clone()),
                    Some(value) if !same_value(value, candidate)? => return Ok(Patterns::Conflict),
                    Some(_) => {}
                }
            }
        }
        Ok(Patterns::List(vec![united]))
    }

    /// The list of a disjunction. Errors: values of different types meet in a slot.
    pub fn or(self, other: Patterns) -> QueryResult<Patterns> {
        if self.is_open() {
            return Ok(self);
        }
        if other.is_open() {
            return Ok(other);
        }
        let all: Vec<Pattern> = [self, other].into_iter().flat_map(Patterns::into_list).collect();
        let slots = all.first().map_or(0, Vec::len);
        let mut united: Pattern = vec![None; slots];
        for (slot, current) in united.iter_mut().enumerate() {
            for pattern in &all {
                match (&*current, &pattern[slot]) {
                    (None, value) => *current = value.clone(),
                    (Some(value), Some(other)) if same_value(value, other)? => {}
                    (Some(_), _) => return Ok(Patterns::List(all)),
                }
            }
        }
        Ok(Patterns::List(vec![united]))
    }

    fn into_list(self) -> Vec<Pattern> {
        match self {
            Patterns::List(list) => list,
            Patterns::Conflict => Vec::new(),
        }
    }
}

/// Encoded values begin with their type. Clients know the comparison of two types as an error.
fn same_value(a: &[u8], b: &[u8]) -> QueryResult<bool> {
    if a.first() != b.first() {
        return Err(QueryError::invalid("panic: values of different types are compared with one entity tag"));
    }
    Ok(a == b)
}
