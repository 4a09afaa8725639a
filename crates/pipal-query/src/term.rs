//! Terms: the bytes that index conditions compare (measure specification, 3.5 and 3.6).
//!
//! A stored value has no, one or many terms: none when it is missing, one per element of an array, one per token
//! when its tag has an analyzer. A [`TermTest`] is a question about that set of terms. There is no type check: text
//! is compared as UTF-8, integers and times in an order-preserving form.

use pipal_model::value::{decode_int_array, decode_str_array};
pub use pipal_model::value::{int_of_term, int_term};
use pipal_model::{Analyzer, ValueRef};
use std::ops::Bound;

/// A sorted set of distinct terms.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TermSet(Vec<Box<[u8]>>);

impl TermSet {
    /// The set of these terms.
    pub fn new(mut terms: Vec<Box<[u8]>>) -> Self {
        terms.sort_unstable();
        terms.dedup();
        TermSet(terms)
    }

    /// Number of terms.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without terms.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The terms, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|term| &**term)
    }

    /// Position of a term, if it is in the set.
    pub fn position(&self, term: &[u8]) -> Option<usize> {
        match &*self.0 {
            [] => None,
            [only] => (**only == *term).then_some(0),
            terms => terms.binary_search_by(|probe| (**probe).cmp(term)).ok(),
        }
    }
}

/// A question about the terms of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TermTest {
    /// True when at least one term is in the set.
    Any(TermSet),
    /// True when the set is not empty and all of it is among the terms.
    All(TermSet),
    /// True when at least one term is inside the bounds.
    Range(Bound<Box<[u8]>>, Bound<Box<[u8]>>),
}

/// A test of values of a tag that may have an analyzer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueTest {
    /// The question.
    pub test: TermTest,
    /// True when the answer is turned around.
    pub negated: bool,
    /// The analyzer of the tag's rule.
    pub analyzer: Analyzer,
}

impl ValueTest {
    /// Answers the question for a value.
    pub fn matches(&self, value: ValueRef<'_>) -> bool {
        let answer = match &self.test {
            TermTest::Any(set) => any_term(value, self.analyzer, |term| set.position(term).is_some()),
            TermTest::All(set) => !set.0.is_empty() && self.holds_all(value, set),
            TermTest::Range(lower, upper) => {
                any_term(value, self.analyzer, |term| above(term, lower) && below(term, upper))
            }
        };
        answer != self.negated
    }

    /// Sets of more than 64 terms take one pass over the value per 64 of them, so that no list is allocated.
    fn holds_all(&self, value: ValueRef<'_>, set: &TermSet) -> bool {
        (0..set.0.len()).step_by(64).all(|first| {
            let count = (set.0.len() - first).min(64);
            let wanted = u64::MAX >> (64 - count);
            let mut found = 0u64;
            any_term(value, self.analyzer, |term| {
                if let Some(at) = set.position(term).filter(|at| (first..first + count).contains(at)) {
                    found |= 1 << (at - first);
                }
                found == wanted
            })
        })
    }
}

fn above(term: &[u8], lower: &Bound<Box<[u8]>>) -> bool {
    match lower {
        Bound::Unbounded => true,
        Bound::Included(bound) => term >= &**bound,
        Bound::Excluded(bound) => term > &**bound,
    }
}

fn below(term: &[u8], upper: &Bound<Box<[u8]>>) -> bool {
    match upper {
        Bound::Unbounded => true,
        Bound::Included(bound) => term <= &**bound,
        Bound::Excluded(bound) => term < &**bound,
    }
}

/// True when `test` holds for one of the terms of `value`. Doubles have no terms: they are no tag values.
pub fn any_term(value: ValueRef<'_>, analyzer: Analyzer, mut test: impl FnMut(&[u8]) -> bool) -> bool {
    match value {
        ValueRef::Absent | ValueRef::Null | ValueRef::Float(_) => false,
        ValueRef::Int(v) | ValueRef::Timestamp(v) => test(&int_term(v)),
        ValueRef::Binary(bytes) => test(bytes),
        ValueRef::IntArray(bytes) => decode_int_array(bytes).any(|v| test(&int_term(v))),
        ValueRef::Str(text) => any_token(text, analyzer, &mut test),
        ValueRef::StrArray(bytes) => decode_str_array(bytes).any(|text| any_token(text, analyzer, &mut test)),
    }
}

fn any_token(text: &[u8], analyzer: Analyzer, test: &mut impl FnMut(&[u8]) -> bool) -> bool {
    let mut found = false;
    analyzer.tokens(text, |token| {
        found = test(token);
        !found
    });
    found
}

/// The bytes that a value is ordered by: its least term without analysis. None when it is missing or empty.
pub fn sort_term(value: ValueRef<'_>, out: &mut Vec<u8>) -> bool {
    let mut any = false;
    any_term(value, Analyzer::Keyword, |term| {
        if !any || term < &**out {
            out.clear();
            out.extend_from_slice(term);
            any = true;
        }
        false
    });
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipal_model::value::{encode_int_array, encode_str_array};

    fn set(terms: &[&[u8]]) -> TermSet {
        TermSet::new(terms.iter().map(|t| (*t).into()).collect())
    }

    fn test(test: TermTest) -> ValueTest {
        ValueTest { test, negated: false, analyzer: Analyzer::Keyword }
    }

    #[test]
    fn integers_keep_their_order_as_terms() {
        let sorted = [i64::MIN, -1, 0, 1, i64::MAX];
        assert!(sorted.windows(2).all(|pair| int_term(pair[0]) < int_term(pair[1])));
        assert!(sorted.iter().all(|v| int_of_term(&int_term(*v)) == Some(*v)));
    }

    #[test]
    fn missing_values_match_only_negated_tests() {
        for question in [
            TermTest::Any(set(&[b""])),
            TermTest::All(set(&[])),
            TermTest::Range(Bound::Unbounded, Bound::Unbounded),
        ] {
            let mut plain = test(question);
            assert!(!plain.matches(ValueRef::Null));
            assert!(!plain.matches(ValueRef::Absent));
            plain.negated = true;
            assert!(plain.matches(ValueRef::Null));
        }
    }

    #[test]
    fn arrays_match_by_element() {
        let mut texts = Vec::new();
        encode_str_array([&b"a"[..], b"b"], &mut texts);
        let mut ints = Vec::new();
        encode_int_array([-1, 7], &mut ints);
        let texts = ValueRef::StrArray(&texts);
        assert!(test(TermTest::Any(set(&[b"b", b"z"]))).matches(texts));
        assert!(test(TermTest::All(set(&[b"b", b"a"]))).matches(texts));
        assert!(!test(TermTest::All(set(&[b"a", b"c"]))).matches(texts));
        assert!(!test(TermTest::All(set(&[]))).matches(texts), "an empty list is held by nothing");
        let below_zero = TermTest::Range(Bound::Unbounded, Bound::Excluded(int_term(0).into()));
        assert!(test(below_zero).matches(ValueRef::IntArray(&ints)));
    }

    #[test]
    fn more_than_64_required_terms_are_all_required() {
        let words: Vec<String> = (0..130).map(|i| format!("w{i:03}")).collect();
        let terms = |skip: usize| -> Vec<Box<[u8]>> {
            words.iter().enumerate().filter(|(i, _)| *i != skip).map(|(_, w)| w.as_bytes().into()).collect()
        };
        let all = test(TermTest::All(TermSet::new(terms(usize::MAX))));
        for missing in [0, 63, 64, 129] {
            let mut value = Vec::new();
            encode_str_array(terms(missing).iter().map(|t| &**t), &mut value);
            assert!(!all.matches(ValueRef::StrArray(&value)), "without word {missing}");
        }
        let mut value = Vec::new();
        encode_str_array(words.iter().map(|w| w.as_bytes()), &mut value);
        assert!(all.matches(ValueRef::StrArray(&value)));
    }

    #[test]
    fn analysed_text_matches_by_token_and_sorts_whole() {
        let mut word = test(TermTest::Any(set(&[b"hello"])));
        word.analyzer = Analyzer::Simple;
        assert!(word.matches(ValueRef::Str(b"Hello big World")));
        let mut out = Vec::new();
        assert!(sort_term(ValueRef::Str(b"Hello big World"), &mut out));
        assert_eq!(out, b"Hello big World");
        let mut ints = Vec::new();
        encode_int_array([5, -2, 9], &mut ints);
        assert!(sort_term(ValueRef::IntArray(&ints), &mut out));
        assert_eq!(out, int_term(-2), "an array sorts by its least element");
        assert!(!sort_term(ValueRef::Null, &mut out));
    }
}
