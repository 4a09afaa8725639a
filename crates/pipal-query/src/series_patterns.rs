//! Selecting series by patterns of their entities (stream specification, 6.2).

use crate::entity;
use crate::patterns::Pattern;
use hashbrown::{HashMap, HashSet};
use pipal_engine::rows::EntitySelector;

/// Most prefixes that are asked for one after the other; beyond, all series are looked at.
const PREFIXES_MAX: usize = 64;

/// Alternatives, sorted by which slots they fix, so that a series is looked up once per such set.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeriesPatterns {
    /// Positions of fixed slots, and the values there, one after the other.
    by_fixed_slots: Vec<(Vec<usize>, HashSet<Vec<u8>>)>,
}

impl SeriesPatterns {
    /// The union of what the patterns match.
    pub fn new(patterns: &[Pattern]) -> Self {
        let mut sets: HashMap<Vec<usize>, HashSet<Vec<u8>>> = HashMap::new();
        for pattern in patterns {
            let fixed: Vec<usize> = (0..pattern.len()).filter(|slot| pattern[*slot].is_some()).collect();
            sets.entry(fixed).or_default().insert(pattern.iter().flatten().flatten().copied().collect());
        }
        let mut by_fixed_slots: Vec<_> = sets.into_iter().collect();
        by_fixed_slots.sort_unstable_by_key(|(fixed, _)| fixed.len());
        SeriesPatterns { by_fixed_slots }
    }

    /// True when some pattern matches the entity.
    pub fn accept(&self, entity: &[u8], scratch: &mut Vec<u8>) -> bool {
        self.by_fixed_slots.iter().any(|(fixed, values)| {
            scratch.clear();
            for slot in fixed {
                scratch.extend_from_slice(entity::slot(entity, *slot).unwrap_or_default());
            }
            values.contains(scratch)
        })
    }
}

/// Selectors of disjoint sets that together hold every series which the patterns match, and perhaps others.
pub(crate) fn selectors(patterns: &[Pattern]) -> Vec<EntitySelector> {
    let mut prefixes: Vec<Vec<u8>> = Vec::with_capacity(patterns.len());
    let mut all_exact = true;
    for pattern in patterns {
        let fixed: Vec<&Box<[u8]>> = pattern.iter().map_while(Option::as_ref).collect();
        all_exact &= fixed.len() == pattern.len() && !pattern.is_empty();
        prefixes.push(fixed.iter().flat_map(|value| value.iter().copied()).collect());
    }
    prefixes.sort_unstable();
    if all_exact {
        prefixes.dedup();
        return vec![EntitySelector::Exact(prefixes)];
    }
    // What a prefix selects, one that begins with it selects too; in order, the shorter one comes first.
    prefixes.dedup_by(|longer, kept| longer.starts_with(kept));
    if prefixes.len() > PREFIXES_MAX || prefixes.iter().any(Vec::is_empty) {
        return vec![EntitySelector::All];
    }
    prefixes.into_iter().map(EntitySelector::Prefix).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(slots: &[Option<&str>]) -> Pattern {
        let encoded = |text: &str| [b"\x01", text.as_bytes(), b"|"].concat().into_boxed_slice();
        slots.iter().map(|slot| slot.map(encoded)).collect()
    }

    fn entity(slots: &[&str]) -> Vec<u8> {
        pattern(&slots.iter().map(|slot| Some(*slot)).collect::<Vec<_>>())
            .into_iter()
            .flatten()
            .flatten()
            .collect()
    }

    /// Selectors have no equality.
    fn shown(selectors: &[EntitySelector]) -> String {
        format!("{selectors:?}")
    }

    #[test]
    fn gaps_match_anything_and_alternatives_unite() {
        let union = SeriesPatterns::new(&[pattern(&[Some("a"), None]), pattern(&[None, Some("x")])]);
        let mut scratch = Vec::new();
        for (slots, expected) in
            [(["a", "y"], true), (["b", "x"], true), (["b", "y"], false), (["ax", "y"], false)]
        {
            assert_eq!(union.accept(&entity(&slots), &mut scratch), expected, "{slots:?}");
        }
        assert!(SeriesPatterns::new(&[pattern(&[None, None])]).accept(&entity(&["b", "y"]), &mut scratch));
        assert!(!SeriesPatterns::new(&[]).accept(&entity(&["b", "y"]), &mut scratch));
    }

    #[test]
    fn selectors_are_disjoint_and_hold_every_match() {
        let full = selectors(&[pattern(&[Some("b"), Some("x")]), pattern(&[Some("a"), Some("x")])]);
        assert_eq!(
            shown(&full),
            shown(&[EntitySelector::Exact(vec![entity(&["a", "x"]), entity(&["b", "x"])])])
        );
        let nested = selectors(&[pattern(&[Some("a"), Some("x")]), pattern(&[Some("a"), None])]);
        assert_eq!(shown(&nested), shown(&[EntitySelector::Prefix(entity(&["a"]))]));
        let open = selectors(&[pattern(&[Some("a"), Some("x")]), pattern(&[None, Some("x")])]);
        assert_eq!(shown(&open), shown(&[EntitySelector::All]));
        let names: Vec<String> = (0..=PREFIXES_MAX).map(|i| format!("{i:03}")).collect();
        let many: Vec<Pattern> = names.iter().map(|name| pattern(&[Some(name), None])).collect();
        assert_eq!(shown(&selectors(&many)), shown(&[EntitySelector::All]));
        assert_eq!(selectors(&many[1..]).len(), PREFIXES_MAX);
    }
}
