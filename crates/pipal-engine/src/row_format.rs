//! Rows as bytes: the form that the commit log and memory tables share.
//!
//! A row is: layout (varint, an index into a table of layouts beside the rows), entity length (varint), entity,
//! time and version (8 bytes little-endian each), flags (1 byte, bit 0: tombstone), two bits of presence per
//! column (0 value, 1 null, 2 absent; four columns to a byte), and the present values in column order: integers
//! and timestamps as zigzag varints, doubles as 8 bytes, everything else as a varint length and bytes.
//!
//! A request of ten thousand rows may touch two thousand resources. In columns, the headers of five-row pieces
//! would outweigh the values; as rows they cost nothing, and one copy serves log and memory.

use pipal_codec::{Column, Presence};
use pipal_model::value::{read_varint, unzigzag, write_varint, zigzag};
use pipal_model::{ColumnType, Layout, ValueRef};

const DELETED: u8 = 1;

/// The fixed part of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowHead<'a> {
    pub layout: u32,
    pub entity: &'a [u8],
    pub time: i64,
    pub version: i64,
    pub deleted: bool,
    /// Presence bits and values.
    pub body: &'a [u8],
}

/// Appends a row. A value of another type than its column's is written as null.
pub(crate) fn encode_row(layout_index: u32, layout: &Layout, row: &crate::batch::Row<'_>, out: &mut Vec<u8>) {
    encode_head(layout_index, row.entity, row.time, row.version, row.deleted, out);
    let presence_at = out.len();
    let columns = layout.columns();
    out.resize(presence_at + columns.len().div_ceil(4), 0);
    for (i, column) in columns.iter().enumerate() {
        let value = row.values.get(i).copied().unwrap_or(ValueRef::Absent);
        let presence = match value {
            ValueRef::Absent => Presence::Absent,
            _ if value.column_type() == Some(column.key.ty) => Presence::Value,
            _ => Presence::Null,
        };
        out[presence_at + i / 4] |= (presence as u8) << (2 * (i % 4));
        if presence == Presence::Value {
            encode_value(value, out);
        }
    }
}

fn encode_head(layout: u32, entity: &[u8], time: i64, version: i64, deleted: bool, out: &mut Vec<u8>) {
    write_varint(u64::from(layout), out);
    write_varint(entity.len() as u64, out);
    out.extend_from_slice(entity);
    out.extend_from_slice(&time.to_le_bytes());
    out.extend_from_slice(&version.to_le_bytes());
    out.push(if deleted { DELETED } else { 0 });
}

fn encode_value(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Absent | ValueRef::Null => {}
        ValueRef::Int(v) | ValueRef::Timestamp(v) => write_varint(zigzag(v), out),
        ValueRef::Float(v) => out.extend_from_slice(&v.to_bits().to_le_bytes()),
        ValueRef::Str(b) | ValueRef::Binary(b) | ValueRef::StrArray(b) | ValueRef::IntArray(b) => {
            write_varint(b.len() as u64, out);
            out.extend_from_slice(b);
        }
    }
}

/// Appends a row under another layout index, with the values of the listed columns only.
pub(crate) fn encode_projection(
    layout_index: u32,
    head: &RowHead<'_>,
    layout: &Layout,
    positions: &[usize],
    out: &mut Vec<u8>,
) -> Option<()> {
    encode_head(layout_index, head.entity, head.time, head.version, false, out);
    let presence_at = out.len();
    out.resize(presence_at + positions.len().div_ceil(4), 0);
    let mut next = 0;
    let mut values = ValueReader::new(layout, head.body);
    for i in 0..layout.columns().len() {
        let value = values.next_value()?;
        if positions.get(next) != Some(&i) {
            continue;
        }
        let presence = match value {
            ValueRef::Absent => Presence::Absent,
            ValueRef::Null => Presence::Null,
            _ => Presence::Value,
        };
        out[presence_at + next / 4] |= (presence as u8) << (2 * (next % 4));
        encode_value(value, out);
        next += 1;
    }
    Some(())
}

/// Appends a copy of a row under another layout index.
pub(crate) fn copy_row(layout_index: u32, head: &RowHead<'_>, out: &mut Vec<u8>) {
    encode_head(layout_index, head.entity, head.time, head.version, head.deleted, out);
    out.extend_from_slice(head.body);
}

/// Reads the head of the row at the start of `bytes`; the body runs to the end of `bytes`, see [`row_length`].
pub(crate) fn decode_head(bytes: &[u8]) -> Option<RowHead<'_>> {
    let (layout, used) = read_varint(bytes)?;
    let rest = &bytes[used..];
    let (length, used) = read_varint(rest)?;
    let end = used.checked_add(usize::try_from(length).ok()?)?;
    let entity = rest.get(used..end)?;
    let fixed = rest.get(end..end.checked_add(17)?)?;
    Some(RowHead {
        layout: u32::try_from(layout).ok()?,
        entity,
        time: read_i64(fixed)?,
        version: read_i64(&fixed[8..])?,
        deleted: fixed[16] & DELETED != 0,
        body: &rest[end + 17..],
    })
}

fn read_i64(bytes: &[u8]) -> Option<i64> {
    Some(i64::from_le_bytes(bytes.get(..8)?.try_into().ok()?))
}

/// Length of the body (presence bits and values) at the start of `body`; none when it is malformed.
pub(crate) fn body_length(layout: &Layout, body: &[u8]) -> Option<usize> {
    let mut reader = ValueReader::new(layout, body);
    for _ in layout.columns() {
        reader.next_value()?;
    }
    Some(reader.at)
}

/// Which of the listed columns of a row have a value.
pub(crate) fn present_columns(layout: &Layout, body: &[u8], positions: &[usize]) -> Option<Box<[bool]>> {
    let bits = body.get(..layout.columns().len().div_ceil(4))?;
    Some(positions.iter().map(|&i| (bits[i / 4] >> (2 * (i % 4))) & 3 == Presence::Value as u8).collect())
}

/// Reads the values of a row one after the other.
pub(crate) struct ValueReader<'a> {
    layout: &'a Layout,
    body: &'a [u8],
    column: usize,
    at: usize,
}

impl<'a> ValueReader<'a> {
    pub fn new(layout: &'a Layout, body: &'a [u8]) -> Self {
        ValueReader { layout, body, column: 0, at: layout.columns().len().div_ceil(4) }
    }

    /// The value of the column that is `skipped` behind the next one.
    pub fn nth_value(&mut self, skipped: usize) -> Option<ValueRef<'a>> {
        for _ in 0..skipped {
            self.next_value()?;
        }
        self.next_value()
    }

    /// The value of the next column; none behind the last column or when the bytes are malformed.
    pub fn next_value(&mut self) -> Option<ValueRef<'a>> {
        let column = self.layout.columns().get(self.column)?;
        let bits = self.body.get(self.column / 4)? >> (2 * (self.column % 4)) & 3;
        self.column += 1;
        match bits {
            0 => {}
            1 => return Some(ValueRef::Null),
            2 => return Some(ValueRef::Absent),
            _ => return None,
        }
        let rest = self.body.get(self.at..)?;
        let (value, used) = match column.key.ty {
            ColumnType::Int | ColumnType::Timestamp => {
                let (raw, used) = read_varint(rest)?;
                let v = unzigzag(raw);
                let int = column.key.ty == ColumnType::Int;
                (if int { ValueRef::Int(v) } else { ValueRef::Timestamp(v) }, used)
            }
            ColumnType::Float => (ValueRef::Float(f64::from_bits(read_i64(rest)? as u64)), 8),
            ty => {
                let (length, used) = read_varint(rest)?;
                let end = used.checked_add(usize::try_from(length).ok()?)?;
                let bytes = rest.get(used..end)?;
                let value = match ty {
                    ColumnType::Str => ValueRef::Str(bytes),
                    ColumnType::Binary => ValueRef::Binary(bytes),
                    ColumnType::StrArray => ValueRef::StrArray(bytes),
                    _ => ValueRef::IntArray(bytes),
                };
                (value, end)
            }
        };
        self.at += used;
        Some(value)
    }
}

/// Appends the wanted columns of a row: `targets[i]` is where the layout's column `i` goes, if anywhere.
/// Columns of `out` that no layout column feeds get an absent value.
pub(crate) fn read_columns(
    layout: &Layout,
    body: &[u8],
    targets: &[Option<usize>],
    unfed: &[usize],
    out: &mut [Column],
) -> Option<()> {
    let mut reader = ValueReader::new(layout, body);
    for target in targets {
        let value = reader.next_value()?;
        if let Some(target) = target {
            out[*target].push(value);
        }
    }
    for &column in unfed {
        out[column].push(ValueRef::Absent);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Row;
    use pipal_model::{ColumnDef, ColumnKey, RowPolicy};

    fn layout() -> Layout {
        let column =
            |name: &str, ty| ColumnDef::plain(ColumnKey { family: "f".into(), name: name.into(), ty });
        Layout::new(
            "r",
            RowPolicy::Versioned,
            vec![
                column("a", ColumnType::Str),
                column("b", ColumnType::Int),
                column("c", ColumnType::Float),
                column("d", ColumnType::Binary),
                column("e", ColumnType::Timestamp),
            ],
        )
    }

    #[test]
    fn a_row_reads_back_with_every_presence_and_its_cuts_are_refused() {
        let layout = layout();
        let values = [
            ValueRef::Str(b""),
            ValueRef::Int(i64::MIN),
            ValueRef::Float(-0.0),
            ValueRef::Null,
            ValueRef::Str(b"not a timestamp"),
        ];
        let row = Row { entity: b"e|", time: -1, version: 7, deleted: true, values: &values };
        let mut bytes = Vec::new();
        encode_row(300, &layout, &row, &mut bytes);
        let head = decode_head(&bytes).unwrap();
        assert_eq!(
            (head.layout, head.entity, head.time, head.version, head.deleted),
            (300, &b"e|"[..], -1, 7, true)
        );
        assert_eq!(body_length(&layout, head.body), Some(head.body.len()));
        let mut reader = ValueReader::new(&layout, head.body);
        assert_eq!(reader.next_value(), Some(ValueRef::Str(b"")));
        assert_eq!(reader.next_value(), Some(ValueRef::Int(i64::MIN)));
        let Some(ValueRef::Float(zero)) = reader.next_value() else { panic!("a double was written") };
        assert_eq!(zero.to_bits(), (-0.0f64).to_bits());
        assert_eq!(reader.next_value(), Some(ValueRef::Null));
        assert_eq!(reader.next_value(), Some(ValueRef::Null), "a value of the wrong type is null");
        assert_eq!(reader.next_value(), None);
        for cut in 0..bytes.len() {
            let whole = decode_head(&bytes[..cut]).and_then(|h| body_length(&layout, h.body));
            assert_eq!(whole, None, "a row cut at {cut} must be refused");
        }
    }
}
