//! The rows of one window, and the rankings that follow from them.
//!
//! All rows count, each by its identity (series and time) with its greatest version, and a ranking is cut only when
//! it is published. So a window is a function of the rows that are stored, whatever the order of their arrival: a
//! value that is replaced by a worse one lets a series back in that was beyond the cut before.

use super::definition::Definition;
use hashbrown::HashMap;
use pipal_query::top_n::{Direction, Number, encode};

/// Most bytes of one ranking. The worst entries beyond it are left out.
const RANKING_BYTES_MAX: usize = 16 << 20;
/// What a held row, a series or a group costs besides its bytes, roughly.
const ROW_BYTES: usize = 64;
const NAME_BYTES: usize = 64;

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

/// Byte strings with numbers.
#[derive(Debug, Default)]
struct Names(HashMap<Box<[u8]>, u32>);

impl Names {
    fn number(&mut self, name: &[u8], bytes: &mut usize) -> u32 {
        if let Some(&number) = self.0.get(name) {
            return number;
        }
        let number = self.0.len() as u32;
        *bytes += name.len() + NAME_BYTES;
        self.0.insert(name.into(), number);
        number
    }

    fn by_number(&self) -> Vec<&[u8]> {
        let mut names = vec![&[][..]; self.0.len()];
        for (name, &number) in &self.0 {
            if let Some(place) = names.get_mut(number as usize) {
                *place = name;
            }
        }
        names
    }
}

#[derive(Clone, Copy, Debug)]
struct Held {
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
    held: HashMap<(u32, i64), Held>,
    bytes: usize,
}

impl Rows {
    /// Bytes held, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a row. One with a smaller version than the row of its identity changes nothing; of equal versions the
    /// last counts, as it does in storage.
    pub fn apply(&mut self, row: WindowRow<'_>) {
        let series = self.series.number(row.entity, &mut self.bytes);
        let rank = row.rank.map(|number| (self.group(row.group), number));
        let new = Held { version: row.version, rank };
        let old = match self.held.entry((series, row.time)) {
            hashbrown::hash_map::Entry::Occupied(mut slot) => {
                if slot.get().version > row.version {
                    return;
                }
                slot.insert(new).rank
            }
            hashbrown::hash_map::Entry::Vacant(slot) => {
                slot.insert(new);
                self.bytes += ROW_BYTES;
                None
            }
        };
        for (group, _) in old.iter().chain(&rank) {
            self.mark(*group);
        }
    }

    /// Makes sure that a group is published, even if it has no entries.
    pub fn add_group(&mut self, group: &[u8]) {
        let number = self.group(group);
        self.mark(number);
    }

    fn group(&mut self, group: &[u8]) -> u32 {
        let number = self.groups.number(group, &mut self.bytes);
        self.changed.resize(self.groups.0.len(), false);
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
        for (&(series, time), held) in &self.held {
            let Some((group, number)) = held.rank else { continue };
            if self.changed.get(group as usize) != Some(&true) {
                continue;
            }
            let entry = latest.entry((group, series)).or_insert((time, number));
            if time > entry.0 {
                *entry = (time, number);
            }
        }
        let (series, groups) = (self.series.by_number(), self.groups.by_number());
        let mut entries: Vec<Vec<(&[u8], Number)>> = vec![Vec::new(); groups.len()];
        for ((group, at), (_, number)) in latest {
            if let (Some(list), Some(entity)) = (entries.get_mut(group as usize), series.get(at as usize)) {
                list.push((entity, number));
            }
        }
        let mut rankings = Vec::new();
        for ((group, list), _) in
            groups.iter().zip(&mut entries).zip(&self.changed).filter(|(_, changed)| **changed)
        {
            rankings.extend(cut(definition, group, list));
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
