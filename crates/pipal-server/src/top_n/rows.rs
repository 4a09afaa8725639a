//! The rows of one window, and the rankings that follow from them.
//!
//! All rows count, each by its identity (series and time) with its greatest version, and a ranking is cut only when
//! it is published. So a window is a function of the rows that are stored, whatever the order of their arrival: a
//! value that is replaced by a worse one lets a series back in that was beyond the cut before.

use super::definition::Definition;
use super::names::Names;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use pipal_query::top_n::{Direction, Number, encode};

/// Most bytes of one ranking. The worst entries beyond it are left out.
const RANKING_BYTES_MAX: usize = 16 << 20;
/// A row as a window sees it.
#[derive(Clone, Copy, Debug)]
pub struct WindowRow<'a> {
    /// Entity bytes of its series.
    pub entity: &'a [u8],
    /// Nanoseconds since the epoch.
    pub time: i64,
    /// Version.
    pub version: i64,
    /// Its ranking group; means nothing when it is not ranked.
    pub group: &'a [u8],
    /// The value by which it is ranked; none when the criteria exclude it.
    pub rank: Option<Number>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    time: i64,
    version: i64,
    rank: Option<(u32, Number)>,
}

/// A published ranking.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// The ranking group.
    pub group: Vec<u8>,
    /// The direction.
    pub direction: Direction,
    /// The encoded entries.
    pub bytes: Vec<u8>,
}

/// Every row of a window.
#[derive(Debug, Default)]
pub struct Rows {
    series: Names,
    groups: Names,
    /// Groups, by number, that changed since they were published.
    changed: Vec<bool>,
    /// The first row of each series, by number; most windows have no other.
    first: Vec<Held>,
    /// The rows of series at other times.
    more: HashMap<(u32, i64), Held>,
}

impl Rows {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        /// A table is filled to seven eighths, and has a byte of its own per slot.
        const ENTRY_BYTES: usize = (size_of::<((u32, i64), Held)>() + 1) * 8 / 7;
        self.series.heap_bytes()
            + self.groups.heap_bytes()
            + self.changed.capacity()
            + self.first.capacity() * size_of::<Held>()
            + self.more.capacity() * ENTRY_BYTES
    }

    /// Takes a row. One with a smaller version than the row of its identity changes nothing; of equal versions the
    /// last counts, as it does in storage.
    pub fn apply(&mut self, row: WindowRow<'_>) {
        let series = self.series.number(row.entity);
        let rank = row.rank.map(|number| (self.group(row.group), number));
        let new = Held { time: row.time, version: row.version, rank };
        let Some(old) = self.replace(series, new) else { return };
        for (group, _) in old.iter().chain(&rank) {
            self.mark(*group);
        }
    }

    /// Puts a row in the place of the one with its identity, and gives the rank that this one had; none when it stays.
    fn replace(&mut self, series: u32, new: Held) -> Option<Option<(u32, Number)>> {
        let held = match self.first.get_mut(series as usize) {
            None => {
                self.first.push(new);
                return Some(None);
            }
            Some(first) if first.time == new.time => first,
            Some(_) => match self.more.entry((series, new.time)) {
                Entry::Occupied(slot) => slot.into_mut(),
                Entry::Vacant(slot) => {
                    slot.insert(new);
                    return Some(None);
                }
            },
        };
        (held.version <= new.version).then(|| std::mem::replace(held, new).rank)
    }

    /// Makes sure that a group is published, even if it has no entries.
    pub fn add_group(&mut self, group: &[u8]) {
        let number = self.group(group);
        self.mark(number);
    }

    fn group(&mut self, group: &[u8]) -> u32 {
        let number = self.groups.number(group);
        self.changed.resize(self.groups.len(), false);
        number
    }

    fn mark(&mut self, group: u32) {
        if let Some(changed) = self.changed.get_mut(group as usize) {
            *changed = true;
        }
    }

    /// All groups are as they were published.
    pub fn set_published(&mut self) {
        self.changed.fill(false);
    }

    /// The rankings of the groups that changed.
    pub fn rankings(&self, definition: &Definition) -> Vec<Ranking> {
        let mut latest: HashMap<(u32, u32), (i64, Number)> = HashMap::new();
        let first = self.first.iter().enumerate().map(|(series, held)| (series as u32, held));
        for (series, held) in first.chain(self.more.iter().map(|((series, _), held)| (*series, held))) {
            let Some((group, number)) = held.rank else { continue };
            if self.changed.get(group as usize) != Some(&true) {
                continue;
            }
            let entry = latest.entry((group, series)).or_insert((held.time, number));
            if held.time > entry.0 {
                *entry = (held.time, number);
            }
        }
        let mut entries: Vec<Vec<(&[u8], Number)>> = vec![Vec::new(); self.groups.len()];
        for ((group, series), (_, number)) in latest {
            if let Some(list) = entries.get_mut(group as usize) {
                list.push((self.series.name(series), number));
            }
        }
        let mut rankings = Vec::new();
        for (group, list) in entries.iter_mut().enumerate() {
            if self.changed.get(group) == Some(&true) {
                rankings.extend(cut(definition, self.groups.name(group as u32), list));
            }
        }
        rankings
    }
}

/// The rankings of one group: the best entries of each direction.
pub(super) fn cut(definition: &Definition, group: &[u8], entries: &mut [(&[u8], Number)]) -> Vec<Ranking> {
    let ranking = |&direction: &Direction| {
        entries.sort_unstable_by(|a, b| direction.rank(&a.1, &b.1).then_with(|| a.0.cmp(b.0)));
        let best = entries.get(..definition.counters).unwrap_or(entries);
        Ranking { group: group.to_vec(), direction, bytes: encode(best, RANKING_BYTES_MAX) }
    };
    definition.directions.iter().map(ranking).collect()
}

#[cfg(test)]
mod tests;
