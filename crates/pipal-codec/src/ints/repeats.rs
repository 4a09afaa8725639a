//! `Dictionary`, `Runs` and `Periodic`: integers that repeat.
//!
//! `Dictionary`: varint number of distinct values; sized stream of them in ascending order; stream of codes.
//! `Runs`: varint number of runs; sized stream of the runs' values; stream of the runs' ends (index after the
//! last value of the run, ascending).
//! `Periodic`: varint period; stream of the first period; value `i` is value `i % period` of it.
//! A sized stream is preceded by its length as a varint.

use pipal_model::value::write_varint;

use super::{decode_nested, encode_nested};
use crate::encoding::Effort;
use crate::error::DecodeError;
use crate::reader::{Reader, write_sized};

pub(super) fn write_dictionary(values: &[i64], distinct: &[i64], effort: Effort, out: &mut Vec<u8>) {
    write_varint(distinct.len() as u64, out);
    write_sized(out, |out| encode_nested(distinct, effort, out));
    let code = |v: &i64| distinct.binary_search(v).unwrap_or_else(|at| at) as i64;
    let codes: Vec<i64> = values.iter().map(code).collect();
    encode_nested(&codes, effort, out);
}

pub(super) fn decode_dictionary(
    mut reader: Reader<'_>,
    count: usize,
    start: usize,
    out: &mut [i64],
    depth: u32,
) -> Result<(), DecodeError> {
    let distinct = reader.count(count, "more distinct values than values")?;
    let entries_reader = reader.sized_section()?;
    let codes = reader;
    decode_nested(codes, count, start, out, depth)?;
    let mut entries = vec![0; distinct];
    decode_nested(entries_reader, distinct, 0, &mut entries, depth)?;
    for slot in out {
        let entry = usize::try_from(*slot).ok().and_then(|code| entries.get(code));
        *slot = *entry.ok_or_else(|| codes.error("code outside of the dictionary"))?;
    }
    Ok(())
}

/// Bounds of a `Dictionary` body: its first and last entry.
pub(super) fn dictionary_bounds(
    mut reader: Reader<'_>,
    count: usize,
    depth: u32,
) -> Result<(i64, i64), DecodeError> {
    let distinct = reader.count(count, "more distinct values than values")?;
    let entries = reader.sized_section()?;
    let Some(last) = distinct.checked_sub(1) else { return Err(reader.error("empty dictionary")) };
    let (mut least, mut greatest) = ([0], [0]);
    decode_nested(entries, distinct, 0, &mut least, depth)?;
    decode_nested(entries, distinct, last, &mut greatest, depth)?;
    Ok((least[0], greatest[0]))
}

pub(super) fn count_runs(values: &[i64]) -> usize {
    let changes = values.iter().zip(values.iter().skip(1)).filter(|(a, b)| a != b).count();
    changes + usize::from(!values.is_empty())
}

pub(super) fn write_runs(values: &[i64], effort: Effort, out: &mut Vec<u8>) {
    let (mut heads, mut ends) = (Vec::new(), Vec::new());
    let mut end = 0;
    for run in values.chunk_by(|a, b| a == b) {
        end += run.len() as i64;
        heads.extend(run.first().copied());
        ends.push(end);
    }
    write_varint(heads.len() as u64, out);
    write_sized(out, |out| encode_nested(&heads, effort, out));
    encode_nested(&ends, effort, out);
}

pub(super) fn decode_runs(
    mut reader: Reader<'_>,
    count: usize,
    start: usize,
    out: &mut [i64],
    depth: u32,
) -> Result<(), DecodeError> {
    let runs = reader.count(count, "more runs than values")?;
    let heads_reader = reader.sized_section()?;
    let ends_reader = reader;
    let mut heads = vec![0; runs];
    decode_nested(heads_reader, runs, 0, &mut heads, depth)?;
    let mut ends = vec![0; runs];
    decode_nested(ends_reader, runs, 0, &mut ends, depth)?;
    let (mut filled, mut before) = (0, 0);
    for (&head, &end) in heads.iter().zip(&ends) {
        let end = usize::try_from(end).ok().filter(|&end| end > before && end <= count);
        let end = end.ok_or_else(|| ends_reader.error("run ends do not ascend"))?;
        before = end;
        let filled_to = end.saturating_sub(start).min(out.len());
        out.get_mut(filled..filled_to).unwrap_or_default().fill(head);
        filled = filled_to.max(filled);
    }
    if filled < out.len() {
        return Err(ends_reader.error("runs end before the values do"));
    }
    Ok(())
}

/// Bounds of a `Runs` body come from its values; gives the number of runs and their stream.
pub(super) fn run_heads<'a>(
    mut reader: Reader<'a>,
    count: usize,
) -> Result<(usize, Reader<'a>), DecodeError> {
    let runs = reader.count(count, "more runs than values")?;
    Ok((runs, reader.sized_section()?))
}

/// The period of values that repeat at least twice, if there is one.
pub(super) fn find_period(values: &[i64]) -> Option<usize> {
    /// Candidates tried before giving up; each fails early unless the values nearly repeat.
    const MAX_CANDIDATES: usize = 16;
    let first = *values.first()?;
    let half = values.len() / 2;
    let candidates = (1..=half).filter(|&p| values.get(p) == Some(&first)).take(MAX_CANDIDATES);
    let repeats = |p: usize| values.iter().zip(values.iter().skip(p)).all(|(a, b)| a == b);
    candidates.into_iter().find(|&p| repeats(p))
}

pub(super) fn write_periodic(values: &[i64], period: usize, effort: Effort, out: &mut Vec<u8>) {
    write_varint(period as u64, out);
    encode_nested(values.get(..period).unwrap_or(values), effort, out);
}

pub(super) fn decode_periodic(
    mut reader: Reader<'_>,
    count: usize,
    start: usize,
    out: &mut [i64],
    depth: u32,
) -> Result<(), DecodeError> {
    let (period, stream) = periodic_parts(&mut reader, count)?;
    let phase = start % period;
    if phase + out.len() <= period {
        return decode_nested(stream, period, phase, out, depth);
    }
    let mut first = vec![0; period];
    decode_nested(stream, period, 0, &mut first, depth)?;
    let repeated = first.iter().cycle().skip(phase);
    out.iter_mut().zip(repeated).for_each(|(slot, &value)| *slot = value);
    Ok(())
}

/// The period and the stream of the first one.
pub(super) fn periodic_parts<'a>(
    reader: &mut Reader<'a>,
    count: usize,
) -> Result<(usize, Reader<'a>), DecodeError> {
    let start = *reader;
    let period = reader.count(count, "period longer than the values")?;
    if period == 0 {
        return Err(start.error("period of zero"));
    }
    Ok((period, *reader))
}
