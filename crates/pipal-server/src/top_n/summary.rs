//! Rankings of a window with more rows than memory has room for.

use super::definition::Definition;
use super::rows::{Ranking, WindowRow, cut};
use hashbrown::HashMap;
use pipal_query::top_n::{Direction, Number};

/// A series and its latest value.
type Entry = (Box<[u8]>, Number);

/// What is kept of a window with more rows than memory has room for: the latest value of each series, read series by
/// series, and only the best of each group.
#[derive(Debug)]
pub struct Summary<'d> {
    definition: &'d Definition,
    pub(super) groups: HashMap<Vec<u8>, Vec<Entry>>,
    /// The series that is being read, with its latest value per group.
    current: Vec<u8>,
    latest: HashMap<Vec<u8>, (i64, i64, Number)>,
}

/// A group is cut when it has this many entries more than are published.
pub(super) const CUT_SLACK: usize = 4_096;

impl<'d> Summary<'d> {
    /// A summary without rows.
    pub fn new(definition: &'d Definition) -> Self {
        Summary { definition, groups: HashMap::new(), current: Vec::new(), latest: HashMap::new() }
    }

    /// Takes a row; the rows of a series must come one after the other.
    pub fn apply(&mut self, row: WindowRow<'_>) {
        if self.current != row.entity {
            self.end_series();
            self.current = row.entity.to_vec();
        }
        let Some(number) = row.rank else { return };
        let new = (row.time, row.version, number);
        match self.latest.get_mut(row.group) {
            Some(old) if (old.0, old.1) <= (new.0, new.1) => *old = new,
            Some(_) => {}
            None => {
                self.latest.insert(row.group.to_vec(), new);
            }
        }
    }

    /// Makes sure that a group is published, even if it has no entries.
    pub fn add_group(&mut self, group: &[u8]) {
        self.groups.entry(group.to_vec()).or_default();
    }

    fn end_series(&mut self) {
        for (group, (_, _, number)) in std::mem::take(&mut self.latest) {
            let entries = self.groups.entry(group).or_default();
            entries.push((self.current.as_slice().into(), number));
            let kept = self.definition.counters.saturating_mul(2);
            if entries.len() > kept.saturating_add(CUT_SLACK) {
                keep_best(self.definition, entries);
            }
        }
    }

    /// The rankings of all groups.
    pub fn rankings(mut self) -> Vec<Ranking> {
        self.end_series();
        let mut rankings = Vec::new();
        for (group, entries) in &self.groups {
            let mut entries: Vec<(&[u8], Number)> = entries.iter().map(|(e, n)| (&**e, *n)).collect();
            rankings.extend(cut(self.definition, group, &mut entries));
        }
        rankings
    }
}

/// Keeps what some direction publishes.
fn keep_best(definition: &Definition, entries: &mut Vec<Entry>) {
    let counters = definition.counters;
    let order = |direction: Direction| {
        move |a: &Entry, b: &Entry| direction.rank(&a.1, &b.1).then_with(|| a.0.cmp(&b.0))
    };
    match definition.directions[..] {
        [only] => {
            entries.sort_unstable_by(order(only));
            entries.truncate(counters);
        }
        _ => {
            entries.sort_unstable_by(order(Direction::Desc));
            let low = entries.len().saturating_sub(counters).max(counters);
            let mut lowest = entries.split_off(low.min(entries.len()));
            entries.truncate(counters);
            entries.append(&mut lowest);
        }
    }
}
