//! Presence of rows: which have a value, which are null, which are absent.
//!
//! When all rows agree, the validity mode in the header byte says everything: 0 all values, 1 all null,
//! 2 all absent (modes 1 and 2 take no further byte). Mode 3 (mixed) is followed by a kind byte and:
//! kind 0: bitmap, 1 = value, 0 = null; kind 1: bitmap, 1 = value, 0 = absent; kind 2: two bits per row
//! (0 value, 1 null, 2 absent); kind 3: runs, each a varint `length << 2 | presence`, until all rows are
//! covered. Bitmaps are packed as in [`crate::bits`]. Values of missing rows are not stored.

use std::ops::Range;

use pipal_model::value::write_varint;

use crate::bits::{get, pack, packed_len};
use crate::column::{Presence, Validity};
use crate::error::DecodeError;
use crate::reader::Reader;

pub(crate) const MIXED: u8 = 3;
const VALUE_OR_NULL: u8 = 0;
const VALUE_OR_ABSENT: u8 = 1;
const PAIRS: u8 = 2;
const RUNS: u8 = 3;

/// The validity mode of `rows` rows.
pub(crate) fn mode_of(validity: &Validity, rows: usize) -> u8 {
    match validity {
        _ if rows == 0 => 0,
        Validity::All(presence) => *presence as u8,
        Validity::Mixed(list) => match list.split_first() {
            Some((first, rest)) if rest.iter().all(|p| p == first) => *first as u8,
            _ => MIXED,
        },
    }
}

/// Appends the section of mode 3 in its smallest form.
pub(crate) fn write_mixed(list: &[Presence], out: &mut Vec<u8>) {
    let has = |presence| list.contains(&presence);
    let mut runs = Vec::new();
    for run in list.chunk_by(|a, b| a == b) {
        let presence = run.first().map_or(0, |p| *p as u64);
        write_varint((run.len() as u64) << 2 | presence, &mut runs);
    }
    let two_states = !(has(Presence::Null) && has(Presence::Absent));
    let width = if two_states { 1 } else { 2 };
    if runs.len() <= packed_len(list.len(), width).unwrap_or(usize::MAX) {
        out.push(RUNS);
        out.extend_from_slice(&runs);
        return;
    }
    match (two_states, has(Presence::Absent)) {
        (true, false) => out.push(VALUE_OR_NULL),
        (true, true) => out.push(VALUE_OR_ABSENT),
        (false, _) => {
            out.push(PAIRS);
            return pack(list.iter().map(|p| *p as u64), 2, out);
        }
    }
    pack(list.iter().map(|p| u64::from(*p == Presence::Value)), 1, out);
}

/// Parsed presence of the rows of a column.
pub(crate) enum Presences<'a> {
    All(Presence),
    /// One bit per row; what 0 means.
    Bitmap(&'a [u8], Presence),
    Pairs(&'a [u8]),
    /// End of each run and its presence.
    Runs(Vec<(usize, Presence)>),
}

impl<'a> Presences<'a> {
    /// Reads what follows the header byte.
    pub(crate) fn parse(mode: u8, rows: usize, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        match mode {
            0 => return Ok(Presences::All(Presence::Value)),
            1 => return Ok(Presences::All(Presence::Null)),
            2 => return Ok(Presences::All(Presence::Absent)),
            _ => {}
        }
        let start = *reader;
        let kind = reader.byte()?;
        let width = if kind == PAIRS { 2 } else { 1 };
        let bitmap_len = packed_len(rows, width).ok_or_else(|| start.error("too many rows"))?;
        Ok(match kind {
            VALUE_OR_NULL => Presences::Bitmap(reader.take(bitmap_len)?, Presence::Null),
            VALUE_OR_ABSENT => Presences::Bitmap(reader.take(bitmap_len)?, Presence::Absent),
            PAIRS => {
                let pairs = reader.take(bitmap_len)?;
                if pairs.iter().any(|byte| byte & byte >> 1 & 0x55 != 0) {
                    return Err(start.error("unknown presence"));
                }
                Presences::Pairs(pairs)
            }
            RUNS => Presences::Runs(read_runs(rows, reader)?),
            _ => return Err(start.error("unknown kind of validity")),
        })
    }

    /// Number of rows of `range` with a value.
    pub(crate) fn count_values(&self, range: Range<usize>) -> usize {
        match self {
            Presences::All(Presence::Value) => range.len(),
            Presences::All(_) => 0,
            Presences::Bitmap(bits, _) => count_ones(bits, range),
            _ => {
                let mut count = 0;
                self.for_each_run(range, |presence, length| {
                    count += if presence == Presence::Value { length } else { 0 };
                });
                count
            }
        }
    }

    /// Calls `visit(presence, length)` for consecutive runs that cover `range`.
    pub(crate) fn for_each_run(&self, range: Range<usize>, mut visit: impl FnMut(Presence, usize)) {
        match self {
            Presences::All(presence) => visit(*presence, range.len()),
            Presences::Bitmap(bits, missing) => {
                let at = |row| if get(bits, 1, row) == 1 { Presence::Value } else { *missing };
                runs_of(range, at, visit);
            }
            Presences::Pairs(pairs) => {
                let at = |row| match get(pairs, 2, row) {
                    0 => Presence::Value,
                    1 => Presence::Null,
                    _ => Presence::Absent,
                };
                runs_of(range, at, visit);
            }
            Presences::Runs(runs) => {
                let mut row = range.start;
                let first = runs.partition_point(|(end, _)| *end <= row);
                for (end, presence) in runs.iter().skip(first) {
                    if row >= range.end {
                        break;
                    }
                    let stop = (*end).min(range.end);
                    visit(*presence, stop - row);
                    row = stop;
                }
            }
        }
    }

    /// Moves values to their rows: `slots` ends with the values of `range`, in order, after as many slots as
    /// rows without value. Afterwards each row has its value or `missing`.
    pub(crate) fn spread<T: Copy>(&self, range: Range<usize>, slots: &mut [T], missing: T) {
        let mut from = slots.len() - self.count_values(range.clone());
        let mut to = 0;
        if from == 0 {
            return;
        }
        self.for_each_run(range, |presence, length| {
            if presence == Presence::Value {
                slots.copy_within(from..from + length, to);
                from += length;
            } else if let Some(gap) = slots.get_mut(to..to + length) {
                gap.fill(missing);
            }
            to += length;
        });
    }
}

fn runs_of(range: Range<usize>, at: impl Fn(usize) -> Presence, mut visit: impl FnMut(Presence, usize)) {
    let mut start = range.start;
    while start < range.end {
        let presence = at(start);
        let mut end = start + 1;
        while end < range.end && at(end) == presence {
            end += 1;
        }
        visit(presence, end - start);
        start = end;
    }
}

fn read_runs(rows: usize, reader: &mut Reader<'_>) -> Result<Vec<(usize, Presence)>, DecodeError> {
    let mut runs = Vec::new();
    let mut end = 0;
    while end < rows {
        let at = *reader;
        let run = reader.varint()?;
        let presence = match run & 3 {
            0 => Presence::Value,
            1 => Presence::Null,
            2 => Presence::Absent,
            _ => return Err(at.error("unknown presence")),
        };
        let length = usize::try_from(run >> 2).ok().filter(|&n| n > 0 && n <= rows - end);
        end += length.ok_or_else(|| at.error("validity run out of bounds"))?;
        runs.push((end, presence));
    }
    Ok(runs)
}

/// Bits set at `range`, which lies inside `bits`.
fn count_ones(bits: &[u8], range: Range<usize>) -> usize {
    let (first_byte, last_byte) = (range.start.div_ceil(8), range.end / 8);
    if first_byte > last_byte {
        return range.filter(|&row| get(bits, 1, row) == 1).count();
    }
    let whole = bits.get(first_byte..last_byte).unwrap_or_default();
    let (words, tail) = whole.as_chunks::<8>();
    let mut count: usize = words.iter().map(|w| u64::from_le_bytes(*w).count_ones() as usize).sum();
    count += tail.iter().map(|byte| byte.count_ones() as usize).sum::<usize>();
    let edges = (range.start..first_byte * 8).chain(last_byte * 8..range.end);
    count + edges.filter(|&row| get(bits, 1, row) == 1).count()
}
