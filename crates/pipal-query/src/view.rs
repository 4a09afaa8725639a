//! Rows as operators see them: columns, and what belongs to the series of a row.
//!
//! Rows of a scan and rows that were kept look the same here. Columns are numbered by the plan's
//! [`Shape`](crate::shape::Shape), the same for all groups, shards and segments of a query.

use crate::entity;
use pipal_codec::Column;
use pipal_model::ValueRef;

/// Facts about series that rows refer to by index.
pub(crate) trait SeriesInfo {
    /// Entity bytes.
    fn entity(&self, series: usize) -> &[u8];
    /// Series id.
    fn sid(&self, series: usize) -> u64;
    /// Position of the group among those of the query.
    fn group(&self, series: usize) -> usize;
    /// An attribute of the shape; absent when the series does not have it.
    fn attribute(&self, attribute: usize, series: usize) -> ValueRef<'_>;
}

/// Rows. All slices have one slot per row.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    /// Facts about the series.
    pub series: &'a dyn SeriesInfo,
    /// Per row its series.
    pub row_series: &'a [u32],
    /// Nanoseconds since the epoch.
    pub times: &'a [i64],
    /// Versions.
    pub versions: &'a [i64],
    /// Per column of the shape the values; none when all rows lack it.
    pub columns: &'a [Option<&'a Column>],
}

/// Where the value of a tag comes from, in one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagSource {
    /// The entity, by position.
    Entity(usize),
    /// A column of the shape.
    Column(usize),
    /// An attribute of the series, and where that is missing the row's own value in a column.
    Attribute {
        /// Attribute of the shape.
        attribute: usize,
        /// Column of the shape.
        column: usize,
    },
    /// The group does not have the tag.
    Nothing,
}

impl<'a> View<'a> {
    /// Facts about the series of a row: its index, and the position of its group.
    pub fn series_of(&self, row: usize) -> (usize, usize) {
        let series = self.row_series[row] as usize;
        (series, self.series.group(series))
    }

    /// A value of a column.
    pub fn column_value(&self, column: usize, row: usize) -> ValueRef<'a> {
        self.columns[column].map_or(ValueRef::Absent, |column| column.get(row))
    }

    /// The value of a tag as answers show it.
    pub fn tag_value<'b>(&'b self, source: TagSource, row: usize, scratch: &'b mut Vec<u8>) -> ValueRef<'b> {
        let series = self.row_series[row] as usize;
        match source {
            TagSource::Nothing => ValueRef::Null,
            TagSource::Entity(position) => entity::shown_value(self.series.entity(series), position, scratch),
            TagSource::Column(column) => self.column_value(column, row),
            TagSource::Attribute { attribute, column } => match self.series.attribute(attribute, series) {
                value if value.is_missing() => self.column_value(column, row),
                value => value,
            },
        }
    }

    /// True when all rows of a series show the same value of the tag.
    pub fn is_constant(&self, source: TagSource, series: usize) -> bool {
        match source {
            TagSource::Entity(_) | TagSource::Nothing => true,
            TagSource::Column(_) => false,
            TagSource::Attribute { attribute, .. } => !self.series.attribute(attribute, series).is_missing(),
        }
    }
}
