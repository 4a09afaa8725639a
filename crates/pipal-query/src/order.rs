//! The order of rows (measure specification, 3.9 and 3.10; stream specification, 10), as keys that compare fast.

use crate::term::sort_term;
use crate::view::{TagSource, View};
use hashbrown::HashMap;
use pipal_model::ValueRef;
use std::cmp::Ordering;

/// How rows are ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// By time, then series id.
    Time {
        /// Newest first; equal times still by rising series id.
        descending: bool,
    },
    /// By the value of a tag.
    Tag {
        /// Greatest first.
        descending: bool,
        /// Where the tag comes from, per group.
        sources: Vec<TagSource>,
        /// Where rows without it go, and what orders rows of one value.
        ties: Ties,
    },
    /// By series id: rows of index mode, whose times mean nothing.
    Series,
}

/// What the models order differently behind the value of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ties {
    /// Rows without the tag are last in both directions. Equal values go by series id, then by rising time.
    SeriesMissingLast,
    /// Rows without the tag rank lowest: first when ascending. Equal values go by rising time, then by series id.
    TimeMissingLowest,
}

/// Ranks rows by a number before their order counts, best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ranking {
    /// Column of the shape that holds the number, per group; none where the group does not have it.
    pub columns: Vec<Option<usize>>,
    /// Least first; missing numbers count as the least.
    pub ascending: bool,
    /// True when groups disagree on the type, so that integers are compared as doubles.
    pub mixed: bool,
}

/// The place of a row. Compare with [`Sorter::compare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SortKey {
    tier: u8,
    term: u32,
    rank: u64,
    first: u64,
    second: u64,
}

/// The term of rows that lack the tag of the order.
const TERM_MISSING: u32 = u32::MAX;

/// Makes keys of rows and compares them.
#[derive(Debug)]
pub(crate) struct Sorter {
    order: Order,
    ranking: Option<Ranking>,
    tie_column: Option<usize>,
    terms: Terms,
    scratch: Vec<u8>,
    term_bytes: Vec<u8>,
}

/// Sort values, each kept once.
#[derive(Debug, Default)]
struct Terms {
    numbers: HashMap<Box<[u8]>, u32>,
    texts: Vec<Box<[u8]>>,
    bytes: usize,
}

impl Terms {
    fn intern(&mut self, term: &[u8]) -> u32 {
        if let Some(number) = self.numbers.get(term) {
            return *number;
        }
        let number = self.texts.len() as u32;
        self.texts.push(term.into());
        self.numbers.insert(term.into(), number);
        self.bytes += 2 * (term.len() + 32);
        number
    }

    fn compare(&self, a: u32, b: u32, descending: bool, missing_first: bool) -> Ordering {
        match (a, b) {
            _ if a == b => Ordering::Equal,
            (TERM_MISSING, _) | (_, TERM_MISSING) => {
                if (a == TERM_MISSING) == missing_first {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            _ if descending => self.texts[b as usize].cmp(&self.texts[a as usize]),
            _ => self.texts[a as usize].cmp(&self.texts[b as usize]),
        }
    }
}

/// Maps integers to unsigned numbers of the same order.
pub(crate) fn ordered_int(value: i64) -> u64 {
    value as u64 ^ (1 << 63)
}

fn int_of_ordered(value: u64) -> i64 {
    (value ^ (1 << 63)) as i64
}

/// Maps doubles to unsigned numbers of the same order; both zeros are equal and every NaN is at an end.
pub(crate) fn ordered_float(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | (1 << 63) }
}

impl Sorter {
    /// A sorter for the order, behind a ranking if there is one.
    pub fn new(order: Order, ranking: Option<Ranking>) -> Self {
        Sorter {
            order,
            ranking,
            tie_column: None,
            terms: Terms::default(),
            scratch: Vec::new(),
            term_bytes: Vec::new(),
        }
    }

    /// Orders equal times by the integers in a column of the shape instead of the series id, so that rows of one series
    /// and time have the same order wherever they are stored.
    pub fn break_ties_by(&mut self, column: usize) {
        self.tie_column = Some(column);
    }

    /// The order.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// The key of a row.
    pub fn key(&mut self, view: &View<'_>, row: usize) -> SortKey {
        let (series, group) = view.series_of(row);
        let time = ordered_int(view.times[row]);
        let tie = match self.tie_column.map(|column| view.column_value(column, row)) {
            Some(ValueRef::Int(number)) => number as u64,
            _ => view.series.sid(series),
        };
        let (tier, rank) = self.ranking.as_ref().map_or((0, 0), |ranking| ranking.rank(view, row, group));
        let (term, first, second) = match &self.order {
            Order::Time { descending: false } => (0, time, tie),
            Order::Time { descending: true } => (0, !time, tie),
            Order::Series => (0, tie, time),
            Order::Tag { sources, ties, .. } => {
                let value = view.tag_value(sources[group], row, &mut self.scratch);
                let present = sort_term(value, &mut self.term_bytes);
                let term = if present { self.terms.intern(&self.term_bytes) } else { TERM_MISSING };
                match ties {
                    Ties::SeriesMissingLast => (term, tie, time),
                    Ties::TimeMissingLowest => (term, time, tie),
                }
            }
        };
        SortKey { tier, term, rank, first, second }
    }

    /// The order of two rows.
    pub fn compare(&self, a: &SortKey, b: &SortKey) -> Ordering {
        let (descending, missing_first) = match self.order {
            Order::Tag { descending, ties, .. } => {
                (descending, !descending && ties == Ties::TimeMissingLowest)
            }
            Order::Time { .. } | Order::Series => (false, false),
        };
        (a.tier, a.rank)
            .cmp(&(b.tier, b.rank))
            .then_with(|| self.terms.compare(a.term, b.term, descending, missing_first))
            .then_with(|| (a.first, a.second).cmp(&(b.first, b.second)))
    }

    /// The time of the row with this key, if rows are ordered by nothing but time.
    pub fn time_bound(&self, key: &SortKey) -> Option<i64> {
        match (&self.order, &self.ranking) {
            (Order::Time { descending: false }, None) => Some(int_of_ordered(key.first)),
            (Order::Time { descending: true }, None) => Some(int_of_ordered(!key.first)),
            _ => None,
        }
    }

    /// True when rows are ordered by nothing but time, so that later regions hold worse rows only.
    pub fn is_by_time(&self) -> bool {
        matches!(self.order, Order::Time { .. }) && self.ranking.is_none()
    }

    /// Positions of the keys in their order; positions of equal keys keep theirs.
    pub fn sorted_positions(&self, keys: &[SortKey]) -> Vec<u32> {
        let mut positions: Vec<u32> = (0..keys.len() as u32).collect();
        if !keys.is_sorted_by(|a, b| self.compare(a, b).is_le()) {
            positions.sort_by(|a, b| self.compare(&keys[*a as usize], &keys[*b as usize]));
        }
        positions
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.terms.bytes
    }
}

impl Ranking {
    /// The rank of a row.
    pub fn rank(&self, view: &View<'_>, row: usize, group: usize) -> (u8, u64) {
        let value = self.columns[group].map_or(ValueRef::Null, |column| view.column_value(column, row));
        self.rank_value(value)
    }

    /// The rank of a number, least best.
    pub fn rank_value(&self, value: ValueRef<'_>) -> (u8, u64) {
        let rank = match value {
            ValueRef::Int(v) if self.mixed => ordered_float(v as f64),
            ValueRef::Int(v) => ordered_int(v),
            ValueRef::Float(v) => ordered_float(v),
            _ if self.ascending => return (0, 0),
            _ => return (1, 0),
        };
        if self.ascending { (1, rank) } else { (0, !rank) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_order() {
        let ints = [i64::MIN, -1, 0, 1, i64::MAX];
        assert!(ints.windows(2).all(|pair| ordered_int(pair[0]) < ordered_int(pair[1])));
        assert!(ints.iter().all(|v| int_of_ordered(ordered_int(*v)) == *v));
        let floats = [f64::NEG_INFINITY, -1.5, -f64::MIN_POSITIVE, 0.0, 1e-300, 1.0, f64::MAX, f64::INFINITY];
        assert!(floats.windows(2).all(|pair| ordered_float(pair[0]) < ordered_float(pair[1])));
        assert_eq!(ordered_float(-0.0), ordered_float(0.0));
    }

    #[test]
    fn a_missing_number_ranks_lowest_in_both_directions() {
        for ascending in [true, false] {
            let ranking = Ranking { columns: Vec::new(), ascending, mixed: false };
            let missing = ranking.rank_value(ValueRef::Null);
            let least = ranking.rank_value(ValueRef::Int(i64::MIN));
            assert_eq!(missing < least, ascending);
        }
    }

    #[test]
    fn missing_terms_are_at_the_end_that_is_asked_for() {
        let mut terms = Terms::default();
        let (a, b) = (terms.intern(b"a"), terms.intern(b"b"));
        assert_eq!(terms.intern(b"a"), a);
        assert_eq!(terms.compare(a, b, false, true), Ordering::Less);
        assert_eq!(terms.compare(a, b, true, true), Ordering::Greater);
        for descending in [false, true] {
            assert_eq!(terms.compare(TERM_MISSING, b, descending, false), Ordering::Greater);
            assert_eq!(terms.compare(b, TERM_MISSING, descending, true), Ordering::Greater);
            assert_eq!(terms.compare(TERM_MISSING, TERM_MISSING, descending, true), Ordering::Equal);
        }
    }
}
