//! Which entities may satisfy conditions on indexed columns: a superset that spares listing all series of a resource.
//!
//! A filter may say no only if no row matches. So candidates are those of all versions of all sources, a source that
//! cannot tell gives all of its entities, and whoever asks evaluates the conditions on what is read, as without them.

use super::TableSnapshot;
use crate::rows::{EntitySelector, ResourceKey, RowKind, RowSource, TermMatch};
use pipal_model::{ColumnKey, ErrorKind, Result};
use std::sync::Arc;

/// Most candidates that are given; beyond, listing all series costs less.
const CANDIDATES_MAX: usize = 1 << 16;
/// This many are given however few series there are.
const CANDIDATES_MIN: usize = 64;
/// More than one in this many series are no candidates: looking them up one by one costs more than listing all.
const SERIES_PER_CANDIDATE: u64 = 4;

/// Filters of more conditions are not looked up: each may look at all rows in memory.
const LOOKUPS_MAX: usize = 32;

/// Conditions on the terms of columns, as far as an index can tell: entities outside of it match for certain not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TermFilter {
    /// Any entity may match.
    All,
    /// A row has one of these terms in the column, or an attribute of the series does.
    Terms {
        /// The column.
        column: ColumnKey,
        /// Sorted and distinct.
        terms: Vec<Box<[u8]>>,
    },
    /// Both hold, not necessarily for one row.
    And(Box<TermFilter>, Box<TermFilter>),
    /// At least one holds.
    Or(Box<TermFilter>, Box<TermFilter>),
}

impl TermFilter {
    /// Both sides; [`TermFilter::All`] adds nothing.
    pub fn and(self, other: TermFilter) -> TermFilter {
        match (self, other) {
            (TermFilter::All, side) | (side, TermFilter::All) => side,
            (left, right) => TermFilter::And(Box::new(left), Box::new(right)),
        }
    }

    /// At least one side; [`TermFilter::All`] absorbs the other, and conditions on one column become one.
    pub fn or(self, other: TermFilter) -> TermFilter {
        use TermFilter::Terms;
        match (self, other) {
            (TermFilter::All, _) | (_, TermFilter::All) => TermFilter::All,
            (Terms { column, mut terms }, Terms { column: same, terms: more }) if column == same => {
                terms.extend(more);
                terms.sort_unstable();
                terms.dedup();
                Terms { column, terms }
            }
            (left, right) => TermFilter::Or(Box::new(left), Box::new(right)),
        }
    }

    fn lookups(&self) -> usize {
        match self {
            TermFilter::All => 0,
            TermFilter::Terms { .. } => 1,
            TermFilter::And(left, right) | TermFilter::Or(left, right) => left.lookups() + right.lookups(),
        }
    }
}

/// Entities, sorted and distinct; none when there are too many to be worth it.
type Candidates = Option<Vec<Vec<u8>>>;

impl TableSnapshot {
    /// Entities of a resource, sorted and distinct, among which are all that have rows which satisfy the filter; an
    /// attribute of the series, of whatever age, counts for each of its rows. None when the filter rules out too
    /// little to be of use. A damaged index is logged and not asked.
    pub fn candidates(&self, resource: &str, filter: &TermFilter) -> Result<Candidates> {
        if !(1..=LOOKUPS_MAX).contains(&filter.lookups()) {
            return Ok(None);
        }
        let name: Arc<str> = resource.into();
        let key = |kind| ResourceKey { kind, name: name.clone() };
        let keys = [key(RowKind::Attribute), key(RowKind::Data)];
        let mut series = 0u64;
        for source in self.sources.iter() {
            series = series.saturating_add(source.series_bound(&keys[1])?);
        }
        let worth = usize::try_from(series / SERIES_PER_CANDIDATE).unwrap_or(usize::MAX);
        let limit = worth.clamp(CANDIDATES_MIN, CANDIDATES_MAX);
        CandidateFinder { sources: &self.sources, keys, limit }.find(filter)
    }
}

struct CandidateFinder<'a> {
    sources: &'a [Arc<dyn RowSource>],
    /// Attributes of the resource, and its rows.
    keys: [ResourceKey; 2],
    limit: usize,
}

impl CandidateFinder<'_> {
    fn find(&self, filter: &TermFilter) -> Result<Candidates> {
        match filter {
            TermFilter::All => Ok(None),
            TermFilter::Terms { column, terms } => self.with_terms(column, terms),
            TermFilter::And(left, right) => {
                let left = self.find(left)?;
                if left.as_ref().is_some_and(Vec::is_empty) {
                    return Ok(left);
                }
                // An entity may have one term in an attribute and the other in a row of another source.
                Ok(match (left, self.find(right)?) {
                    (Some(mut left), Some(right)) => {
                        left.retain(|entity| right.binary_search(entity).is_ok());
                        Some(left)
                    }
                    (one, other) => one.or(other),
                })
            }
            TermFilter::Or(left, right) => {
                let Some(mut entities) = self.find(left)? else { return Ok(None) };
                let Some(more) = self.find(right)? else { return Ok(None) };
                entities.extend(more);
                Ok(self.sorted(entities))
            }
        }
    }

    fn with_terms(&self, column: &ColumnKey, terms: &[Box<[u8]>]) -> Result<Candidates> {
        let mut entities = Vec::new();
        for source in self.sources {
            for key in &self.keys {
                let room = self.limit - entities.len();
                let found = source.entities_with_terms(key, column, terms, room).or_else(|error| {
                    if error.kind() != ErrorKind::Corrupt {
                        return Err(error);
                    }
                    tracing::error!(%error, "an index of terms cannot be read; all series are looked at");
                    Ok(TermMatch::Unknown)
                })?;
                match found {
                    TermMatch::Entities(found) => entities.extend(found),
                    TermMatch::Unknown => {
                        if source.series_bound(key)? > room as u64 {
                            return Ok(None);
                        }
                        let series = source.series(key, &EntitySelector::All)?;
                        entities.extend((0..series.len()).map(|i| series.entity(i).to_vec()));
                    }
                    TermMatch::TooMany => return Ok(None),
                }
                if entities.len() > self.limit {
                    return Ok(None);
                }
            }
        }
        Ok(self.sorted(entities))
    }

    fn sorted(&self, mut entities: Vec<Vec<u8>>) -> Candidates {
        entities.sort_unstable();
        entities.dedup();
        (entities.len() <= self.limit).then_some(entities)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipal_model::ColumnType;

    fn with(name: &str, terms: &[&str]) -> TermFilter {
        let column = ColumnKey { family: "t".into(), name: name.into(), ty: ColumnType::Str };
        TermFilter::Terms { column, terms: terms.iter().map(|term| term.as_bytes().into()).collect() }
    }

    #[test]
    fn what_any_entity_may_match_adds_nothing_to_and_and_absorbs_or() {
        assert_eq!(with("a", &["x"]).and(TermFilter::All), with("a", &["x"]));
        assert_eq!(TermFilter::All.and(with("a", &["x"])), with("a", &["x"]));
        assert_eq!(with("a", &["x"]).or(TermFilter::All), TermFilter::All);
        assert_eq!(TermFilter::All.or(with("a", &["x"])), TermFilter::All);
    }

    #[test]
    fn alternatives_of_one_column_are_one_look_up_and_too_many_of_others_none() {
        assert_eq!(with("a", &["x", "z"]).or(with("a", &["x", "y"])), with("a", &["x", "y", "z"]));
        let chain = |count: usize| {
            let names = (0..count).map(|i| with(&format!("tag {i}"), &["x"]));
            names.reduce(TermFilter::or).unwrap_or(TermFilter::All)
        };
        let table = TableSnapshot::new(0, 0, Vec::new());
        assert_eq!(table.candidates("m", &chain(LOOKUPS_MAX)).unwrap(), Some(Vec::new()));
        assert_eq!(table.candidates("m", &chain(LOOKUPS_MAX + 1)).unwrap(), None);
        assert_eq!(table.candidates("m", &TermFilter::All).unwrap(), None);
    }
}
