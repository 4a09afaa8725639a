//! Rows that a query keeps: candidates for the answer, and rows of series that lie in several shards or groups.

use crate::shape::Shape;
use crate::view::{SeriesInfo, View};
use pipal_codec::{Column, Presence, column::BytesData};
use pipal_model::ValueRef;

/// Rows in columns, with the series that they belong to.
#[derive(Debug, Default)]
pub(crate) struct RowBuffer {
    series: KeptSeries,
    row_series: Vec<u32>,
    times: Vec<i64>,
    versions: Vec<i64>,
    columns: Vec<Column>,
}

/// Series of kept rows. A series may be there more than once: what matters is that rows find their facts.
#[derive(Debug, Default)]
struct KeptSeries {
    entities: BytesData,
    sids: Vec<u64>,
    groups: Vec<u32>,
    attributes: Vec<Column>,
}

impl RowBuffer {
    /// A buffer without rows.
    pub fn new(shape: &Shape) -> Self {
        let attributes = shape.attributes.iter().map(|key| Column::new(key.ty)).collect();
        RowBuffer {
            series: KeptSeries { attributes, ..KeptSeries::default() },
            columns: shape.columns.iter().map(|key| Column::new(key.ty)).collect(),
            ..RowBuffer::default()
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Adds a series of a view and returns its index here.
    pub fn push_series(&mut self, info: &dyn SeriesInfo, series: usize) -> u32 {
        let kept = &mut self.series;
        kept.entities.push(info.entity(series));
        kept.sids.push(info.sid(series));
        kept.groups.push(info.group(series) as u32);
        for (attribute, column) in kept.attributes.iter_mut().enumerate() {
            column.push(info.attribute(attribute, series));
        }
        kept.sids.len() as u32 - 1
    }

    /// Adds a row of a view; `series` is what [`RowBuffer::push_series`] gave for its series.
    pub fn push_row(&mut self, view: &View<'_>, row: usize, series: u32) {
        self.row_series.push(series);
        self.times.push(view.times[row]);
        self.versions.push(view.versions[row]);
        for (to, from) in self.columns.iter_mut().zip(view.columns) {
            match from {
                Some(from) => to.push(from.get(row)),
                None => to.push_missing(Presence::Absent, 1),
            }
        }
    }

    /// Adds the listed rows of a view, in that order.
    pub fn extend(&mut self, view: &View<'_>, rows: &[u32]) {
        let mut last = None;
        for &row in rows {
            let series = view.row_series[row as usize];
            let kept = match last {
                Some((known, kept)) if known == series => kept,
                _ => self.push_series(view.series, series as usize),
            };
            last = Some((series, kept));
            self.push_row(view, row as usize, kept);
        }
    }

    /// A buffer of the listed rows only, in that order, and of their series.
    pub fn gather(&self, shape: &Shape, rows: &[u32]) -> RowBuffer {
        let mut gathered = RowBuffer::new(shape);
        let mut numbers = vec![u32::MAX; self.series.sids.len()];
        self.with_view(|view| {
            for &row in rows {
                let series = view.row_series[row as usize];
                let number = &mut numbers[series as usize];
                if *number == u32::MAX {
                    *number = gathered.push_series(view.series, series as usize);
                }
                gathered.push_row(view, row as usize, *number);
            }
        });
        gathered
    }

    /// Gives the rows as a view.
    pub fn with_view<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        let columns: Vec<Option<&Column>> = self.columns.iter().map(Some).collect();
        look(&View {
            series: &self.series,
            row_series: &self.row_series,
            times: &self.times,
            versions: &self.versions,
            columns: &columns,
        })
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        let columns = self.columns.iter().chain(&self.series.attributes);
        self.times.capacity() * 20
            + self.series.sids.capacity() * 12
            + self.series.entities.heap_bytes()
            + columns.map(Column::heap_bytes).sum::<usize>()
    }
}

impl SeriesInfo for KeptSeries {
    fn entity(&self, series: usize) -> &[u8] {
        self.entities.get(series)
    }

    fn sid(&self, series: usize) -> u64 {
        self.sids[series]
    }

    fn group(&self, series: usize) -> usize {
        self.groups[series] as usize
    }

    fn attribute(&self, attribute: usize, series: usize) -> ValueRef<'_> {
        self.attributes[attribute].get(series)
    }
}
