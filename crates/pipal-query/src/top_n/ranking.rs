//! A stored ranking: the entries of one window, ranking group and direction, best first.
//!
//! Bytes: format (1), kind of the values (1 integers, 2 doubles), number of entries as LEB128; then per entry the
//! length of the entity as LEB128, the entity bytes (see [`pipal_model::series`]), and the value: an integer as
//! zigzag LEB128, a double as its 8 bytes little-endian. Nothing follows.

use pipal_model::value::{read_varint, unzigzag, write_varint, zigzag};
use std::cmp::Ordering;

const FORMAT: u8 = 1;
const INTS: u8 = 1;
const FLOATS: u8 = 2;

/// The value by which entities are ranked; all values of a ranking are of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Of an integer field.
    Int(i64),
    /// Of a double field.
    Float(f64),
}

impl Number {
    /// A total order. Numbers of different kinds meet only when a field was redefined; then integers come first.
    pub fn order(&self, other: &Number) -> Ordering {
        match (self, other) {
            (Number::Int(a), Number::Int(b)) => a.cmp(b),
            (Number::Float(a), Number::Float(b)) => a.total_cmp(b),
            (Number::Int(_), Number::Float(_)) => Ordering::Less,
            (Number::Float(_), Number::Int(_)) => Ordering::Greater,
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Number::Int(_) => INTS,
            Number::Float(_) => FLOATS,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Number::Int(value) => write_varint(zigzag(*value), out),
            Number::Float(value) => out.extend_from_slice(&value.to_le_bytes()),
        }
    }
}

/// The end of a ranking that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// The greatest values, falling.
    Desc,
    /// The least values, rising.
    Asc,
}

impl Direction {
    /// The number in requests, definitions and stored rows.
    pub fn code(self) -> i64 {
        match self {
            Direction::Desc => 1,
            Direction::Asc => 2,
        }
    }

    /// `Less` when `a` ranks before `b`.
    pub fn rank(self, a: &Number, b: &Number) -> Ordering {
        match self {
            Direction::Desc => b.order(a),
            Direction::Asc => a.order(b),
        }
    }
}

/// Encodes entries, at most as many as `bytes_max` holds; worse ones behind them are left out.
pub fn encode(entries: &[(&[u8], Number)], bytes_max: usize) -> Vec<u8> {
    let kind = entries.first().map_or(INTS, |(_, value)| value.kind());
    let mut body = Vec::new();
    let mut count = 0u64;
    for (entity, value) in entries {
        if value.kind() != kind {
            continue;
        }
        let end = body.len();
        write_varint(entity.len() as u64, &mut body);
        body.extend_from_slice(entity);
        value.encode(&mut body);
        if body.len() > bytes_max {
            body.truncate(end);
            break;
        }
        count += 1;
    }
    let mut out = vec![FORMAT, kind];
    write_varint(count, &mut out);
    out.append(&mut body);
    out
}

/// Reads back what [`encode`] wrote; none when the bytes are damaged.
pub fn decode(bytes: &[u8]) -> Option<Vec<(&[u8], Number)>> {
    let (&[format, kind], mut rest) = bytes.split_first_chunk()?;
    if format != FORMAT || (kind != INTS && kind != FLOATS) {
        return None;
    }
    let count = usize::try_from(take_varint(&mut rest)?).ok()?;
    // An entry has at least two bytes, so that a damaged number takes no memory.
    if count > rest.len() / 2 {
        return None;
    }
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let length = usize::try_from(take_varint(&mut rest)?).ok()?;
        let entity = rest.get(..length)?;
        rest = rest.get(length..)?;
        entries.push((entity, take_number(kind, &mut rest)?));
    }
    rest.is_empty().then_some(entries)
}

fn take_number(kind: u8, rest: &mut &[u8]) -> Option<Number> {
    if kind == INTS {
        return take_varint(rest).map(|value| Number::Int(unzigzag(value)));
    }
    let (raw, tail) = rest.split_first_chunk::<8>()?;
    *rest = tail;
    Some(Number::Float(f64::from_le_bytes(*raw)))
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let (value, used) = read_varint(rest)?;
    *rest = rest.get(used..)?;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(floats: bool) -> BoxedStrategy<Number> {
        match floats {
            true => any::<u64>().prop_map(|bits| Number::Float(f64::from_bits(bits))).boxed(),
            false => any::<i64>().prop_map(Number::Int).boxed(),
        }
    }

    fn entries() -> impl Strategy<Value = Vec<(Vec<u8>, Number)>> {
        any::<bool>().prop_flat_map(|floats| {
            prop::collection::vec((prop::collection::vec(any::<u8>(), 0..300), numbers(floats)), 0..20)
        })
    }

    fn borrowed(entries: &[(Vec<u8>, Number)]) -> Vec<(&[u8], Number)> {
        entries.iter().map(|(entity, value)| (&entity[..], *value)).collect()
    }

    fn bits(entries: &[(&[u8], Number)]) -> Vec<(Vec<u8>, u64)> {
        let bits = |value: &Number| match value {
            Number::Int(value) => *value as u64,
            Number::Float(value) => value.to_bits(),
        };
        entries.iter().map(|(entity, value)| (entity.to_vec(), bits(value))).collect()
    }

    proptest! {
        #[test]
        fn a_ranking_reads_back_bit_for_bit_and_no_cut_of_it_does(entries in entries()) {
            let bytes = encode(&borrowed(&entries), usize::MAX);
            let read = decode(&bytes).unwrap();
            prop_assert_eq!(bits(&read), bits(&borrowed(&entries)));
            for cut in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..cut]), None);
            }
        }

        #[test]
        fn damaged_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), head in any::<bool>()) {
            let mut bytes = bytes;
            if head {
                bytes.splice(0..0, [FORMAT, INTS]);
            }
            decode(&bytes);
        }
    }

    #[test]
    fn a_ranking_keeps_the_best_that_its_bytes_hold() {
        let entries: Vec<(&[u8], Number)> = (0..10).map(|i| (&b"entity"[..], Number::Int(9 - i))).collect();
        let bytes = encode(&entries, 3 * 8 + 1);
        assert_eq!(decode(&bytes).unwrap(), entries[..3]);
        assert_eq!(decode(&encode(&[], 0)).unwrap(), []);
    }

    #[test]
    fn a_count_beyond_the_bytes_is_refused_before_memory_is_taken() {
        let mut bytes = vec![FORMAT, INTS];
        write_varint(u64::MAX / 2, &mut bytes);
        bytes.extend_from_slice(&[0, 0]);
        assert_eq!(decode(&bytes), None);
    }
}
