//! Who a part is and what it holds: the statistics section and the names of part files.

use super::footer::HEADER_BYTES;
use super::wire::{Decoded, Malformed, Reader, put_varint};
use super::{FORMAT_VERSION, PARENTS_MAX};
use crate::rows::RowKind;
use pipal_model::TimeRange;
use std::path::{Path, PathBuf};

/// Where a part belongs and where its rows came from. Written once, never changed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PartIdentity {
    /// Assigned once, unique among all parts of all tables.
    pub id: u128,
    /// Incarnation of the group.
    pub group: u64,
    /// First nanosecond of the segment.
    pub segment_start: i64,
    /// First nanosecond after the segment.
    pub segment_end: i64,
    /// Shard in the segment.
    pub shard: u32,
    /// First log position that the part holds.
    pub log_first: u64,
    /// Last log position that the part holds.
    pub log_last: u64,
    /// Ids of the parts that were merged into this one; at most [`PARENTS_MAX`].
    pub parents: Vec<u128>,
}

/// Totals of a part.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PartSummary {
    /// Version of the format.
    pub format_version: u32,
    /// Length of the file.
    pub file_bytes: u64,
    /// Rows per kind, by the number of the kind.
    pub rows: [u64; 2],
    /// Resources, counted per kind and name.
    pub resources: u64,
    /// Series, counted per resource.
    pub series: u64,
    /// Distinct entities.
    pub entities: u64,
    /// Hashes of terms, counted per resource and indexed column.
    pub terms: u64,
    /// Hashes of terms in filters, counted per span and column.
    pub filter_hashes: u64,
    /// Row groups.
    pub row_groups: u64,
    /// Least and greatest time of the data rows; none without data rows.
    pub time: Option<TimeRange>,
    /// Bytes of times, versions and values before encoding.
    pub uncompressed_bytes: u64,
    /// Hash of the schema table: parts with equal ones have the same columns.
    pub schema_fingerprint: u128,
}

impl PartSummary {
    /// Rows of a kind.
    pub fn rows_of(&self, kind: RowKind) -> u64 {
        self.rows[kind as usize]
    }

    /// Rows of all kinds.
    pub fn total_rows(&self) -> u64 {
        self.rows[0].saturating_add(self.rows[1])
    }
}

/// Encodes the statistics section. The length of the file is in the footer instead.
pub(super) fn encode_statistics(identity: &PartIdentity, summary: &PartSummary) -> Vec<u8> {
    let mut out = Vec::with_capacity(160 + identity.parents.len() * 16);
    out.extend_from_slice(&identity.id.to_le_bytes());
    out.extend_from_slice(&identity.group.to_le_bytes());
    out.extend_from_slice(&identity.segment_start.to_le_bytes());
    out.extend_from_slice(&identity.segment_end.to_le_bytes());
    out.extend_from_slice(&identity.shard.to_le_bytes());
    out.extend_from_slice(&identity.log_first.to_le_bytes());
    out.extend_from_slice(&identity.log_last.to_le_bytes());
    put_varint(identity.parents.len() as u64, &mut out);
    for parent in &identity.parents {
        out.extend_from_slice(&parent.to_le_bytes());
    }
    for count in summary.rows {
        put_varint(count, &mut out);
    }
    put_varint(summary.resources, &mut out);
    put_varint(summary.series, &mut out);
    put_varint(summary.entities, &mut out);
    put_varint(summary.terms, &mut out);
    put_varint(summary.filter_hashes, &mut out);
    put_varint(summary.row_groups, &mut out);
    if let Some(time) = summary.time {
        out.extend_from_slice(&time.begin.to_le_bytes());
        out.extend_from_slice(&time.end.to_le_bytes());
    }
    put_varint(summary.uncompressed_bytes, &mut out);
    out.extend_from_slice(&summary.schema_fingerprint.to_le_bytes());
    out
}

/// Reads the statistics section of a file of `file_bytes`.
pub(super) fn decode_statistics(bytes: &[u8], file_bytes: u64) -> Decoded<(PartIdentity, PartSummary)> {
    let mut reader = Reader::new(bytes);
    let mut identity = PartIdentity {
        id: reader.u128()?,
        group: reader.u64()?,
        segment_start: reader.i64()?,
        segment_end: reader.i64()?,
        shard: reader.u32()?,
        log_first: reader.u64()?,
        log_last: reader.u64()?,
        parents: Vec::new(),
    };
    let parents = reader.count(16)?;
    if parents > PARENTS_MAX {
        return Err(Malformed("a number of parents within its limit"));
    }
    for _ in 0..parents {
        identity.parents.push(reader.u128()?);
    }
    let rows = [reader.varint()?, reader.varint()?];
    let mut summary = PartSummary {
        format_version: FORMAT_VERSION,
        file_bytes,
        rows,
        resources: reader.varint()?,
        series: reader.varint()?,
        entities: reader.varint()?,
        terms: reader.varint()?,
        filter_hashes: reader.varint()?,
        row_groups: reader.varint()?,
        ..PartSummary::default()
    };
    if summary.rows_of(RowKind::Data) > 0 {
        let time = TimeRange { begin: reader.i64()?, end: reader.i64()? };
        if time.begin > time.end {
            return Err(Malformed("a time range that does not end before it begins"));
        }
        summary.time = Some(time);
    }
    summary.uncompressed_bytes = reader.varint()?;
    summary.schema_fingerprint = reader.u128()?;
    reader.end()?;
    debug_assert!(file_bytes > HEADER_BYTES as u64);
    Ok((identity, summary))
}

/// File name of a part: its number as 16 lower-case hexadecimal digits (SE-010).
pub fn part_file_name(number: u64) -> String {
    format!("{number:016x}")
}

/// The number in a file name; none for anything but what [`part_file_name`] makes (SE-012).
pub fn parse_part_file_name(name: &str) -> Option<u64> {
    let digits = name.len() == 16 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !digits {
        return None;
    }
    u64::from_str_radix(name, 16).ok()
}

/// The name under which the part `path` is written until it is complete.
pub fn temporary_part_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_sixteen_lower_case_digits_and_nothing_wider() {
        assert_eq!(part_file_name(1), "0000000000000001");
        assert_eq!(part_file_name(u64::MAX), "ffffffffffffffff");
        for number in [0, 1, 0xabcdef, u64::MAX] {
            assert_eq!(parse_part_file_name(&part_file_name(number)), Some(number));
        }
        // The seed took `a` for part 10 and ignored what follows 16 digits (D-17).
        for name in
            ["a", "", "000000000000000A", "0000000000000001.tmp", "00000000000000001", "+000000000000001"]
        {
            assert_eq!(parse_part_file_name(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn parsing_is_the_inverse_of_formatting(name in "[0-9a-fA-F]{15,17}") {
            if let Some(number) = parse_part_file_name(&name) {
                prop_assert_eq!(part_file_name(number), name);
            }
        }
    }
}
