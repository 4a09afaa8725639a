//! A chunk: up to [`CHUNK_ROWS_MAX`] consecutive rows of one resource, column by column.
//!
//! ```text
//! flags      1 byte: 1 = versions are stored as their distance to the time, 2 = there is a list of tombstones
//! times      length, integer list
//! versions   length, integer list
//! tombstones one bit per row, lowest bit first, only if flagged
//! columns    per column of the schema: 0 = all absent, 1 = all null, otherwise length + 2 and the encoded column
//! ```
//! Lengths are LEB128. The number of rows and the schema are known from outside.

use super::regions::Regions;
use super::wire::{Decoded, Malformed, Reader, put_prefixed, put_varint};
use crate::rows::{CHUNK_ROWS_MAX, RowBatch};
use pipal_codec::{Column, ColumnData, Effort, Presence, Validity, decode_i64s, encode_column, encode_i64s};
use std::ops::Range;

const VERSIONS_RELATIVE: u8 = 1;
const HAS_TOMBSTONES: u8 = 2;

const ALL_ABSENT: u64 = 0;
const ALL_NULL: u64 = 1;
const LENGTH_BIAS: u64 = 2;

/// Appends the rows of a batch (1 to [`CHUNK_ROWS_MAX`]) as one chunk and counts its bytes per region.
/// `families` holds the region of each column.
pub(super) fn encode_chunk(
    rows: &RowBatch,
    families: &[usize],
    effort: Effort,
    regions: &mut Regions,
    out: &mut Vec<u8>,
) {
    debug_assert!(!rows.is_empty() && rows.len() <= CHUNK_ROWS_MAX && rows.is_consistent());
    let relative = relative_versions(rows);
    let tombstones = rows.deleted.contains(&true);
    let start = out.len();
    out.push(
        if relative.is_some() { VERSIONS_RELATIVE } else { 0 } | if tombstones { HAS_TOMBSTONES } else { 0 },
    );
    put_prefixed(out, |out| encode_i64s(&rows.times, effort, out));
    let versions = relative.as_deref().unwrap_or(&rows.versions);
    put_prefixed(out, |out| encode_i64s(versions, effort, out));
    if tombstones {
        put_bits(&rows.deleted, out);
    }
    regions.add_head(out.len() - start, rows.len());
    let mut encoded = Vec::new();
    for (column, family) in rows.columns.iter().zip(families) {
        let start = out.len();
        match column.validity() {
            Validity::All(Presence::Absent) => put_varint(ALL_ABSENT, out),
            Validity::All(Presence::Null) => put_varint(ALL_NULL, out),
            _ => {
                encoded.clear();
                encode_column(column, effort, &mut encoded);
                put_varint(encoded.len() as u64 + LENGTH_BIAS, out);
                regions.add_framing(*family, out.len() - start);
                regions.add_values(*family, encoded.len(), value_bytes(column));
                out.extend_from_slice(&encoded);
                continue;
            }
        }
        regions.add_framing(*family, out.len() - start);
    }
}

/// Versions as distances to the time, when these have the smaller spread. Clients that use the clock for
/// versions store next to nothing this way.
fn relative_versions(rows: &RowBatch) -> Option<Vec<i64>> {
    let (mut least, mut greatest) = (i64::MAX, i64::MIN);
    let (mut least_distance, mut greatest_distance) = (i64::MAX, i64::MIN);
    for (&time, &version) in rows.times.iter().zip(&rows.versions) {
        let distance = version.wrapping_sub(time);
        least = least.min(version);
        greatest = greatest.max(version);
        least_distance = least_distance.min(distance);
        greatest_distance = greatest_distance.max(distance);
    }
    let spread = greatest.abs_diff(least);
    if greatest_distance.abs_diff(least_distance) >= spread {
        return None;
    }
    Some(rows.times.iter().zip(&rows.versions).map(|(time, version)| version.wrapping_sub(*time)).collect())
}

/// Bytes of the values of a column before encoding.
fn value_bytes(column: &Column) -> usize {
    match column.data() {
        ColumnData::I64(values) => values.len() * 8,
        ColumnData::F64(values) => values.len() * 8,
        ColumnData::Bytes(values) => (0..values.len()).map(|row| values.get(row).len()).sum(),
    }
}

fn put_bits(bits: &[bool], out: &mut Vec<u8>) {
    for eight in bits.chunks(8) {
        out.push(eight.iter().enumerate().fold(0, |byte, (i, &bit)| byte | u8::from(bit) << i));
    }
}

/// How a column lies in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoredColumn<'a> {
    /// No row has a value, for this reason.
    Missing(Presence),
    /// An encoded column.
    Encoded(&'a [u8]),
}

/// A chunk whose parts were told apart; nothing is decoded yet.
#[derive(Clone, Debug)]
pub(super) struct ChunkView<'a> {
    rows: usize,
    relative: bool,
    times: &'a [u8],
    versions: &'a [u8],
    tombstones: Option<&'a [u8]>,
    columns: Vec<StoredColumn<'a>>,
}

impl<'a> ChunkView<'a> {
    /// Tells the parts of a chunk of `rows` rows and `columns` columns apart.
    pub(super) fn parse(bytes: &'a [u8], rows: usize, columns: usize) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u8()?;
        if flags & !(VERSIONS_RELATIVE | HAS_TOMBSTONES) != 0 {
            return Err(Malformed("known flags of a chunk"));
        }
        let times = reader.bytes()?;
        let versions = reader.bytes()?;
        let tombstones = match flags & HAS_TOMBSTONES {
            0 => None,
            _ => Some(reader.take(rows.div_ceil(8))?),
        };
        let mut stored = Vec::with_capacity(columns.min(bytes.len()));
        for _ in 0..columns {
            stored.push(match reader.varint()? {
                ALL_ABSENT => StoredColumn::Missing(Presence::Absent),
                ALL_NULL => StoredColumn::Missing(Presence::Null),
                length => StoredColumn::Encoded(reader.take((length - LENGTH_BIAS) as usize)?),
            });
        }
        reader.end()?;
        let relative = flags & VERSIONS_RELATIVE != 0;
        Ok(ChunkView { rows, relative, times, versions, tombstones, columns: stored })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn column(&self, number: usize) -> Decoded<StoredColumn<'a>> {
        self.columns.get(number).copied().ok_or(Malformed("a column of the schema"))
    }

    pub(super) fn has_tombstones(&self) -> bool {
        self.tombstones.is_some()
    }

    pub(super) fn is_deleted(&self, row: usize) -> bool {
        let byte = self.tombstones.and_then(|bits| bits.get(row / 8));
        byte.is_some_and(|byte| byte >> (row % 8) & 1 == 1)
    }

    /// Appends the times of a range of rows.
    pub(super) fn decode_times(&self, range: Range<usize>, out: &mut Vec<i64>) -> Decoded<()> {
        Ok(decode_i64s(self.times, self.rows, range, out)?)
    }

    /// Appends the versions of a range of rows, whose times are given.
    pub(super) fn decode_versions(
        &self,
        range: Range<usize>,
        times: &[i64],
        out: &mut Vec<i64>,
    ) -> Decoded<()> {
        let start = out.len();
        decode_i64s(self.versions, self.rows, range, out)?;
        if self.relative {
            for (version, time) in out[start..].iter_mut().zip(times) {
                *version = version.wrapping_add(*time);
            }
        }
        Ok(())
    }
}
