//! The best traces seen so far, in bounded memory.

use std::cmp::Ordering;

/// So many candidates more than needed are held before the worse ones are dropped.
const SLACK: usize = 1024;

/// A trace of one group with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Key; 0 in a lookup.
    pub key: i64,
    /// Trace id.
    pub id: Box<[u8]>,
    /// Position of the group among those of the query.
    pub group: usize,
}

/// Keeps the best traces. A trace may be offered often; its best key counts. Dropping early is right because a key
/// only ever gets better: a trace that was dropped comes back when a better key of it is seen.
#[derive(Debug)]
pub(super) struct Best {
    needed: usize,
    descending: bool,
    candidates: Vec<Found>,
    id_bytes: usize,
    /// The key of the worst of the `needed` best traces at the last cut; none while there were fewer.
    worst: Option<i64>,
}

impl Best {
    /// Keeps `needed` traces, those with the least or greatest keys.
    pub fn new(needed: usize, descending: bool) -> Self {
        Best { needed, descending, candidates: Vec::new(), id_bytes: 0, worst: None }
    }

    /// A key beyond which nothing is of use any more; the key itself is, for equal keys are ordered by id.
    pub fn worst_key(&self) -> Option<i64> {
        self.worst
    }

    /// True when a trace with this key may be among the best.
    pub fn is_wanted(&self, key: i64) -> bool {
        self.worst.is_none_or(|worst| self.compare(key, worst) != Ordering::Greater)
    }

    /// Of two keys the better one.
    pub fn better(&self, a: i64, b: i64) -> i64 {
        if self.descending { a.max(b) } else { a.min(b) }
    }

    /// Offers a trace.
    pub fn offer(&mut self, key: i64, id: &[u8], group: usize) {
        if !self.is_wanted(key) {
            return;
        }
        self.id_bytes += id.len();
        self.candidates.push(Found { key, id: id.into(), group });
        if self.candidates.len() >= self.needed.saturating_mul(2).saturating_add(SLACK) {
            self.cut();
        }
    }

    /// The best traces, best first.
    pub fn finish(mut self) -> Vec<Found> {
        self.cut();
        self.candidates
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.candidates.capacity() * size_of::<Found>() + self.id_bytes
    }

    fn compare(&self, a: i64, b: i64) -> Ordering {
        if self.descending { b.cmp(&a) } else { a.cmp(&b) }
    }

    /// Learns the worst useful key early, if there are enough traces to tell.
    pub fn settle(&mut self) {
        if self.candidates.len() >= self.needed {
            self.cut();
        }
    }

    /// Keeps of each trace its best key, and of the traces the best.
    fn cut(&mut self) {
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.sort_unstable_by(|a, b| {
            (a.group, &a.id).cmp(&(b.group, &b.id)).then(self.compare(a.key, b.key))
        });
        candidates.dedup_by(|later, first| later.group == first.group && later.id == first.id);
        candidates.sort_unstable_by(|a, b| {
            self.compare(a.key, b.key).then_with(|| (&a.id, a.group).cmp(&(&b.id, b.group)))
        });
        candidates.truncate(self.needed);
        self.id_bytes = candidates.iter().map(|found| found.id.len()).sum();
        if candidates.len() == self.needed {
            self.worst = candidates.last().map(|found| found.key);
        }
        self.candidates = candidates;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_best_traces_are_those_of_a_full_sort(
            offers in prop::collection::vec((-20i64..20, 0u8..40, 0usize..2), 0..400),
            needed in 0usize..12,
            descending: bool,
            settle_every in 1usize..50,
        ) {
            let mut best = Best::new(needed, descending);
            let mut all: BTreeMap<(u8, usize), i64> = BTreeMap::new();
            for (i, (key, id, group)) in offers.iter().enumerate() {
                best.offer(*key, &[*id], *group);
                if i % settle_every == 0 {
                    best.settle();
                }
                let known = all.entry((*id, *group)).or_insert(*key);
                *known = if descending { (*known).max(*key) } else { (*known).min(*key) };
            }
            let mut expected: Vec<Found> =
                all.into_iter().map(|((id, group), key)| Found { key, id: [id].into(), group }).collect();
            // The sort is stable: equal keys stay in the order of ids and groups.
            expected.sort_by_key(|found| if descending { -found.key } else { found.key });
            expected.truncate(needed);
            prop_assert_eq!(best.finish(), expected);
        }
    }

    #[test]
    fn memory_stays_bounded() {
        let mut best = Best::new(10, true);
        for key in 0..100_000 {
            best.offer(key, format!("trace {key}").as_bytes(), 0);
            assert!(best.candidates.len() <= 20 + SLACK);
        }
        assert_eq!(best.finish()[0].key, 99_999);
    }
}
