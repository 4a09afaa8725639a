//! Byte strings: text, binary values and arrays in their stored form.
//!
//! `Constant`: the bytes of the value up to the end. `Slices`: sized integer stream of lengths, then
//! [contents](crate::blob). `Dictionary`: varint number of distinct values; sized `Slices` body of them in
//! ascending order; integer stream of codes.

use std::ops::Range;

use hashbrown::HashTable;
use pipal_model::value::write_varint;
use xxhash_rust::xxh3::xxh3_64;

use crate::blob;
use crate::column::BytesData;
use crate::encoding::{Effort, Encoding};
use crate::error::DecodeError;
use crate::ints::{decode_i64s_at, encode_i64s};
use crate::reader::{Reader, write_sized};

/// Appends the body of a column of byte strings and tells its encoding.
pub(crate) fn encode_body(values: &[&[u8]], effort: Effort, out: &mut Vec<u8>) -> Encoding {
    let Some((first, rest)) = values.split_first() else { return Encoding::Empty };
    if rest.iter().all(|v| v == first) {
        out.extend_from_slice(first);
        return Encoding::Constant;
    }
    let Some((distinct, codes)) = find_dictionary(values, effort) else {
        write_slices(values, effort, out);
        return Encoding::Slices;
    };
    let at = out.len();
    write_dictionary(&distinct, &codes, effort, out);
    if effort == Effort::Thorough || distinct.len() * 2 > values.len() {
        let mut slices = Vec::new();
        write_slices(values, effort, &mut slices);
        if slices.len() < out.len() - at {
            out.truncate(at);
            out.extend_from_slice(&slices);
            return Encoding::Slices;
        }
    }
    Encoding::Dictionary
}

pub(crate) fn write_slices(values: &[&[u8]], effort: Effort, out: &mut Vec<u8>) {
    let lengths: Vec<i64> = values.iter().map(|v| v.len() as i64).collect();
    write_sized(out, |out| encode_i64s(&lengths, effort, out));
    blob::write(values, effort, out);
}

fn write_dictionary(distinct: &[&[u8]], codes: &[i64], effort: Effort, out: &mut Vec<u8>) {
    write_varint(distinct.len() as u64, out);
    write_sized(out, |out| write_slices(distinct, effort, out));
    encode_i64s(codes, effort, out);
}

/// Distinct values in ascending order and the code of each value, unless a dictionary cannot pay.
fn find_dictionary<'a>(values: &[&'a [u8]], effort: Effort) -> Option<(Vec<&'a [u8]>, Vec<i64>)> {
    /// A flush gives up when most of this many values differ.
    const SAMPLE: usize = 256;
    let mut codes = Vec::with_capacity(values.len());
    let mut known: HashTable<u32> = HashTable::new();
    let mut distinct: Vec<&[u8]> = Vec::new();
    let mut hashes: Vec<u64> = Vec::new();
    let mut previous: Option<(&[u8], i64)> = None;
    for (i, &value) in values.iter().enumerate() {
        if let Some((bytes, code)) = previous
            && bytes == value
        {
            codes.push(code);
            continue;
        }
        let hash = xxh3_64(value);
        let same = |code: &u32| distinct.get(*code as usize) == Some(&value);
        let hash_of = |code: &u32| hashes.get(*code as usize).copied().unwrap_or(0);
        let entry = known.entry(hash, same, hash_of).or_insert_with(|| distinct.len() as u32);
        let code = *entry.get();
        if code as usize == distinct.len() {
            distinct.push(value);
            hashes.push(hash);
        }
        codes.push(i64::from(code));
        previous = Some((value, i64::from(code)));
        if effort == Effort::Fast && i == SAMPLE && distinct.len() > SAMPLE * 3 / 4 {
            return None;
        }
    }
    if distinct.len() * 4 > values.len() * 3 {
        return None;
    }
    let mut order: Vec<usize> = (0..distinct.len()).collect();
    order.sort_unstable_by_key(|&i| distinct.get(i).copied());
    let mut rank = vec![0i64; distinct.len()];
    for (position, &i) in order.iter().enumerate() {
        if let Some(slot) = rank.get_mut(i) {
            *slot = position as i64;
        }
    }
    let sorted = order.iter().filter_map(|&i| distinct.get(i).copied()).collect();
    let codes = codes.iter().map(|&code| rank.get(code as usize).copied().unwrap_or(0)).collect();
    Some((sorted, codes))
}

/// Appends the values at `range` of a body of `count` values.
pub(crate) fn decode_body(
    encoding: Encoding,
    reader: Reader<'_>,
    count: usize,
    range: Range<usize>,
    out: &mut BytesData,
) -> Result<(), DecodeError> {
    if range.is_empty() {
        return Ok(());
    }
    match encoding {
        Encoding::Constant => {
            let view = store(out, reader.rest(), &reader)?;
            out.push_views(view, range.len());
            Ok(())
        }
        Encoding::Slices => decode_slices(reader, count, range, out),
        Encoding::Dictionary => decode_dictionary(reader, count, range, out),
        Encoding::Empty => Err(reader.error("no values where some are expected")),
        _ => Err(reader.error("not an encoding of byte strings")),
    }
}

/// Stores bytes where the storage has room; its offsets are 32 bits.
fn store(out: &mut BytesData, bytes: &[u8], reader: &Reader<'_>) -> Result<(u32, u32), DecodeError> {
    if out.stored_bytes() + bytes.len() > u32::MAX as usize {
        return Err(reader.error("column above 4 GiB"));
    }
    Ok(out.store(bytes))
}

/// Values of a `Slices` body whose offsets are known and whose contents are inflated.
struct Slices<'a> {
    /// Offsets of the values of the range in `contents`, one more than values.
    offsets: Vec<usize>,
    contents: std::borrow::Cow<'a, [u8]>,
}

impl<'a> Slices<'a> {
    fn read(mut reader: Reader<'a>, count: usize, range: Range<usize>) -> Result<Self, DecodeError> {
        let at = reader;
        let lengths_reader = reader.sized_section()?;
        let mut lengths = vec![0; range.end];
        decode_i64s_at(lengths_reader, count, 0, &mut lengths)?;
        let mut sum = 0usize;
        let mut offsets = Vec::with_capacity(range.len() + 1);
        for (i, &length) in lengths.iter().enumerate() {
            if i >= range.start {
                offsets.push(sum);
            }
            let next = usize::try_from(length).ok().and_then(|length| sum.checked_add(length));
            let next = next.filter(|&n| n <= u32::MAX as usize);
            sum = next.ok_or_else(|| at.error("length out of bounds"))?;
        }
        offsets.push(sum);
        let first = offsets.first().copied().unwrap_or(0);
        let contents = blob::read(reader, first..sum)?;
        offsets.iter_mut().for_each(|offset| *offset -= first);
        Ok(Slices { offsets, contents })
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        self.contents.get(*self.offsets.get(index)?..*self.offsets.get(index + 1)?)
    }
}

fn decode_slices(
    reader: Reader<'_>,
    count: usize,
    range: Range<usize>,
    out: &mut BytesData,
) -> Result<(), DecodeError> {
    let slices = Slices::read(reader, count, range)?;
    let (base, _) = store(out, &slices.contents, &reader)?;
    for pair in slices.offsets.windows(2) {
        if let [from, to] = pair {
            out.push_view((base + *from as u32, (to - from) as u32));
        }
    }
    Ok(())
}

fn decode_dictionary(
    mut reader: Reader<'_>,
    count: usize,
    range: Range<usize>,
    out: &mut BytesData,
) -> Result<(), DecodeError> {
    let distinct = reader.count(count, "more distinct values than values")?;
    let entries_reader = reader.sized_section()?;
    let mut codes = vec![0; range.len()];
    decode_i64s_at(reader, count, range.start, &mut codes)?;
    let least = codes.iter().copied().min().unwrap_or(0);
    let greatest = codes.iter().copied().max().unwrap_or(0);
    let bounds = (usize::try_from(least).ok(), usize::try_from(greatest).ok().filter(|&g| g < distinct));
    let (Some(least), Some(greatest)) = bounds else {
        return Err(reader.error("code outside of the dictionary"));
    };
    let entries = Slices::read(entries_reader, distinct, least..greatest + 1)?;
    let mut views: Vec<Option<(u32, u32)>> = vec![None; greatest + 1 - least];
    for code in codes {
        let entry = code as usize - least;
        let Some(slot) = views.get_mut(entry) else { continue };
        let view = match *slot {
            Some(view) => view,
            None => store(out, entries.get(entry).unwrap_or_default(), &reader)?,
        };
        *slot = Some(view);
        out.push_view(view);
    }
    Ok(())
}

/// The least and greatest value of a body, where its encoding gives them without inflating.
pub(crate) fn bounds_of_body(
    encoding: Encoding,
    mut reader: Reader<'_>,
    count: usize,
) -> Result<Option<Range<Vec<u8>>>, DecodeError> {
    match encoding {
        Encoding::Constant => Ok(Some(reader.rest().to_vec()..reader.rest().to_vec())),
        Encoding::Dictionary => {
            let distinct = reader.count(count, "more distinct values than values")?;
            let entries = reader.sized_section()?;
            let Some(last) = distinct.checked_sub(1) else { return Err(reader.error("empty dictionary")) };
            let end = |i: usize| Slices::read(entries, distinct, i..i + 1).map(|s| s.contents.into_owned());
            Ok(Some(end(0)?..end(last)?))
        }
        _ => Ok(None),
    }
}
