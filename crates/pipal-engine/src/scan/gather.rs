//! Which rows of which source make up a series: the identity and version rules, in one place for queries and
//! merges (L-25).

use crate::rows::RowBatch;
use pipal_model::{RowPolicy, TimeRange};
use std::ops::Range;

/// Adjacent rows of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Take {
    pub source: u32,
    pub start: u32,
    pub length: u32,
}

/// Rows of a series in one source.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub source: u32,
    pub rows: Range<u32>,
}

/// Appends to `takes` the rows that a series has by the policy, in order of time, and returns their number.
/// `pieces` are not empty and ordered from the oldest to the newest source. With `collapse`, bit-equal rows of
/// the `Collapse` policy become one; that needs all columns to be there. Where an entity has one row only, `time`
/// can rule that row out.
pub(super) fn gather(
    policy: RowPolicy,
    collapse: bool,
    time: TimeRange,
    pieces: &mut [Piece],
    batches: &[RowBatch],
    takes: &mut Vec<Take>,
) -> u32 {
    if policy.one_row_per_entity() {
        let Some((source, row)) = only_row(policy, pieces, batches) else { return 0 };
        if !time.contains(time_of(batches, source, row)) {
            return 0;
        }
        return push(takes, source, row..row + 1);
    }
    if let [piece] = pieces {
        return push(takes, piece.source, piece.rows.clone());
    }
    pieces.sort_by_key(|p| time_of(batches, p.source, p.rows.start));
    let disjoint = pieces.windows(2).all(|pair| {
        let end = time_of(batches, pair[0].source, pair[0].rows.end - 1);
        end < time_of(batches, pair[1].source, pair[1].rows.start)
    });
    if disjoint {
        pieces.iter().map(|p| push(takes, p.source, p.rows.clone())).sum()
    } else if policy == RowPolicy::Versioned {
        merge_versions(pieces, batches, takes)
    } else {
        merge_all(pieces, batches, collapse, takes)
    }
}

fn only_row(policy: RowPolicy, pieces: &[Piece], batches: &[RowBatch]) -> Option<(u32, u32)> {
    let mut rows = pieces.iter().flat_map(|p| p.rows.clone().map(|row| (p.source, row)));
    if policy == RowPolicy::Latest {
        return rows.last();
    }
    // Of equal maxima the last is returned, which is that of the newest source.
    let first = rows.next()?;
    let version = |(source, row): (u32, u32)| batches[source as usize].versions[row as usize];
    Some(rows.fold(first, |best, row| if version(row) >= version(best) { row } else { best }))
}

fn time_of(batches: &[RowBatch], source: u32, row: u32) -> i64 {
    batches[source as usize].times[row as usize]
}

fn push(takes: &mut Vec<Take>, source: u32, rows: Range<u32>) -> u32 {
    let count = rows.end - rows.start;
    if let Some(last) = takes.last_mut()
        && last.source == source
        && last.start + last.length == rows.start
    {
        last.length += count;
        return count;
    }
    takes.push(Take { source, start: rows.start, length: count });
    count
}

fn merge_versions(pieces: &[Piece], batches: &[RowBatch], takes: &mut Vec<Take>) -> u32 {
    let mut taken = 0;
    let mut rows: Vec<(i64, i64, u32, u32)> = Vec::new();
    for piece in pieces {
        let batch = &batches[piece.source as usize];
        rows.extend(
            piece
                .rows
                .clone()
                .map(|r| (batch.times[r as usize], batch.versions[r as usize], piece.source, r)),
        );
    }
    // Source numbers grow with age of the log, so the last row of a time has the greatest version and, of equal
    // versions, arrived last.
    rows.sort_unstable();
    for (i, row) in rows.iter().enumerate() {
        if rows.get(i + 1).is_none_or(|next| next.0 != row.0) {
            taken += push(takes, row.2, row.3..row.3 + 1);
        }
    }
    taken
}

fn merge_all(pieces: &[Piece], batches: &[RowBatch], collapse: bool, takes: &mut Vec<Take>) -> u32 {
    let mut taken = 0;
    let mut rows: Vec<(i64, i64, u32, u32)> = Vec::new();
    for piece in pieces {
        let batch = &batches[piece.source as usize];
        rows.extend(
            piece
                .rows
                .clone()
                .map(|r| (batch.times[r as usize], batch.versions[r as usize], piece.source, r)),
        );
    }
    rows.sort_unstable();
    let mut group_start = 0;
    for i in 0..rows.len() {
        if (rows[i].0, rows[i].1) != (rows[group_start].0, rows[group_start].1) {
            group_start = i;
        }
        let equals = |other: &(i64, i64, u32, u32)| {
            same_row(&batches[other.2 as usize], other.3, &batches[rows[i].2 as usize], rows[i].3)
        };
        if collapse && rows[group_start..i].iter().any(equals) {
            continue;
        }
        taken += push(takes, rows[i].2, rows[i].3..rows[i].3 + 1);
    }
    taken
}

/// Bit equality of two rows with the same columns; doubles compare by bits.
fn same_row(a: &RowBatch, row_a: u32, b: &RowBatch, row_b: u32) -> bool {
    let (row_a, row_b) = (row_a as usize, row_b as usize);
    a.is_deleted(row_a) == b.is_deleted(row_b)
        && a.columns.iter().zip(&b.columns).all(|(x, y)| match (x.get(row_a), y.get(row_b)) {
            (pipal_model::ValueRef::Float(v), pipal_model::ValueRef::Float(w)) => v.to_bits() == w.to_bits(),
            (v, w) => v == w,
        })
}
