//! Reading single rows by their numbers.

use super::super::chunk::{ChunkView, StoredColumn};
use super::super::lookup::EntityCursor;
use super::super::primary::{ChunkEntry, RowGroup};
use super::super::read::{GroupCursor, read_column};
use super::super::reader::inconsistent;
use super::super::wire::Decoded;
use super::open::Companion;
use crate::rows::ReadStats;
use pipal_codec::{Column, Presence, decode_column};
use pipal_model::{ColumnKey, Result};
use std::ops::Range;

/// Rows that are at least one in this many of those that they span are decoded with them.
const SPARSE_FACTOR: usize = 128;

impl Companion<'_> {
    /// Values of the wanted columns of rows, which ascend: one slot per row. A column that the part does not have
    /// reads as absent.
    pub fn read(&self, rows: &[u64], wanted: &[ColumnKey], stats: &mut ReadStats) -> Result<Vec<Column>> {
        self.check(rows)?;
        let mut columns: Vec<Column> = wanted.iter().map(|key| Column::new(key.ty)).collect();
        let places: Vec<Option<usize>> = wanted.iter().map(|key| self.list.position(key)).collect();
        let mut groups = GroupCursor::new(self.part, &self.index);
        let mut rest = rows;
        while let Some(&first) = rest.first() {
            let entry = groups.find(first, stats)?;
            let group = groups.load(entry, stats)?;
            let chunk = self.part.file.located(entry.offset, group.find(first - entry.first_row))?;
            let chunk_row = entry.first_row + u64::from(chunk.first_row);
            let end = chunk_row + u64::from(chunk.rows);
            let (inside, behind) = rest.split_at(rest.partition_point(|row| *row < end).max(1));
            let read = self.read_chunk(&group, chunk, &ranges_of(inside, chunk_row), &places, &mut columns);
            self.part.file.located(entry.offset, read)?;
            stats.rows += inside.len() as u64;
            rest = behind;
        }
        Ok(columns)
    }

    fn read_chunk(
        &self,
        group: &RowGroup,
        chunk: ChunkEntry,
        ranges: &[Range<usize>],
        places: &[Option<usize>],
        columns: &mut [Column],
    ) -> Decoded<()> {
        let view = ChunkView::parse(group.bytes_of(chunk)?, chunk.rows as usize, self.list.columns.len())?;
        let count = ranges.iter().map(Range::len).sum();
        for (column, place) in columns.iter_mut().zip(places) {
            match place {
                None => column.push_missing(Presence::Absent, count),
                Some(place) => read_points(view.column(*place)?, view.rows(), ranges, count, column)?,
            }
        }
        Ok(())
    }

    /// Gives the entity of each of the rows, which ascend, with the place of the row in the list. Returns the number of
    /// different entities.
    pub fn entities(&self, rows: &[u64], mut visit: impl FnMut(usize, &[u8])) -> Result<usize> {
        self.check(rows)?;
        let ids = self.part.entities_around(&self.index, &self.resource, rows)?;
        let mut distinct = ids.clone();
        distinct.dedup();
        let mut next = 0;
        let mut given = distinct.iter();
        EntityCursor::new(self.part, &self.index).each(&distinct, |entity| {
            let Some(id) = given.next() else { return };
            while ids.get(next) == Some(id) {
                visit(next, entity);
                next += 1;
            }
        })?;
        Ok(distinct.len())
    }

    fn check(&self, rows: &[u64]) -> Result<()> {
        let inside = |row: &u64| (self.resource.first_row..self.resource.end_row()).contains(row);
        let ascend = rows.windows(2).all(|pair| pair[0] < pair[1]);
        if ascend && rows.first().is_none_or(inside) && rows.last().is_none_or(inside) {
            return Ok(());
        }
        Err(inconsistent("rows of another resource or out of order"))
    }
}

/// Appends the rows in `ranges`, `count` together. Each range costs the head of the column once more, so that a few
/// rows of a chunk are better decoded with all between them.
fn read_points(
    stored: StoredColumn<'_>,
    rows: usize,
    ranges: &[Range<usize>],
    count: usize,
    out: &mut Column,
) -> Decoded<()> {
    let (Some(first), Some(last), StoredColumn::Encoded(bytes)) = (ranges.first(), ranges.last(), stored)
    else {
        return read_column(stored, rows, ranges, count, out);
    };
    let whole = first.start..last.end;
    if ranges.len() == 1 || count.saturating_mul(SPARSE_FACTOR) < whole.len() {
        return read_column(stored, rows, ranges, count, out);
    }
    let mut spanned = Column::new(out.column_type());
    decode_column(out.column_type(), bytes, rows, whole.clone(), &mut spanned)?;
    for range in ranges {
        out.extend_from(&spanned, range.start - whole.start..range.end - whole.start);
    }
    Ok(())
}

/// Ranges of consecutive rows, counted from the first row of a chunk.
fn ranges_of(rows: &[u64], chunk_row: u64) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for row in rows {
        let row = (row - chunk_row) as usize;
        match ranges.last_mut() {
            Some(last) if last.end == row => last.end += 1,
            _ => ranges.push(row..row + 1),
        }
    }
    ranges
}
