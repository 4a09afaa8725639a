//! Rows of series that lie in more than one table of the same time: a sharding key outside the entity spreads a
//! series over shards, and the same measure may have the same series in several groups (measure specification,
//! 3.11 and 5.19). Of rows with one series and time the greatest version stays.

use super::unit::Unit;
use crate::buffer::RowBuffer;
use crate::shape::Shape;
use crate::view::View;
use hashbrown::HashSet;

/// Ids of the series that more than one unit has.
pub(super) fn spread_series(units: &[Unit<'_>]) -> HashSet<u64> {
    if units.len() < 2 {
        return HashSet::new();
    }
    let mut sids: Vec<u64> =
        units.iter().flat_map(|u| u.chosen.iter().map(|s| u.sids[*s as usize])).collect();
    sids.sort_unstable();
    sids.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect()
}

/// Holds the rows of spread series until all units of a region were read.
pub(super) struct Resolver {
    rows: RowBuffer,
}

impl Resolver {
    /// A resolver without rows.
    pub fn new(shape: &Shape) -> Self {
        Resolver { rows: RowBuffer::new(shape) }
    }

    /// Adds rows.
    pub fn extend(&mut self, view: &View<'_>, rows: &[u32]) {
        self.rows.extend(view, rows);
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.rows.heap_bytes()
    }

    /// The rows that stay, sorted by series and time. With `one_per_series`, one row stays per series: the latest.
    pub fn resolve(&self, shape: &Shape, one_per_series: bool) -> RowBuffer {
        let rows = self.rows.with_view(|view| {
            let identity = |row: u32| {
                let row = row as usize;
                (view.series.sid(view.row_series[row] as usize), view.times[row], view.versions[row])
            };
            let mut rows: Vec<u32> = (0..self.rows.len() as u32).collect();
            // Of equal rows the last is kept: the greatest version, and in index mode the latest time.
            rows.sort_by_key(|row| identity(*row));
            let mut kept: Vec<u32> = Vec::with_capacity(rows.len());
            for (i, row) in rows.iter().enumerate() {
                let (sid, time, _) = identity(*row);
                let replaced = rows.get(i + 1).is_some_and(|next| {
                    let (next_sid, next_time, _) = identity(*next);
                    next_sid == sid && (one_per_series || next_time == time)
                });
                if !replaced {
                    kept.push(*row);
                }
            }
            kept
        });
        self.rows.gather(shape, &rows)
    }
}
