//! Series keys, series ids and shards: functions of the bytes that clients send, fixed by the protocol.
//!
//! A key is the escaped resource name, `|`, and per entity tag a type byte, the escaped payload and `|`
//! (measure specification, 1.3). The part behind the first `|` is called the *entity*; the engine stores it
//! apart from the resource, so that resources share one dictionary of entities.

use crate::value::{ValueRef, unzigzag, zigzag};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use xxhash_rust::xxh64::Xxh64;

const END: u8 = b'|';
const ESCAPE: u8 = b'\\';

/// Appends `value` to entity bytes as one entity tag. Arrays and doubles cannot be keys and give false.
pub fn push_entity_value(value: ValueRef<'_>, out: &mut Vec<u8>) -> bool {
    match value {
        ValueRef::Absent | ValueRef::Null => out.push(0),
        ValueRef::Str(bytes) => push_escaped(1, bytes, out),
        ValueRef::Int(v) => push_escaped(2, &zigzag(v).to_be_bytes(), out),
        ValueRef::Binary(bytes) => push_escaped(4, bytes, out),
        ValueRef::Timestamp(v) => push_escaped(7, &zigzag(v).to_be_bytes(), out),
        ValueRef::Float(_) | ValueRef::StrArray(_) | ValueRef::IntArray(_) => return false,
    }
    out.push(END);
    true
}

fn push_escaped(type_byte: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(type_byte);
    escape_into(payload, out);
}

fn escape_into(payload: &[u8], out: &mut Vec<u8>) {
    for &byte in payload {
        if byte == END || byte == ESCAPE {
            out.push(ESCAPE);
        }
        out.push(byte);
    }
}

/// One entity tag read back from entity bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum EntityValue {
    /// Written as null.
    Null,
    /// Text.
    Str(Vec<u8>),
    /// Integer.
    Int(i64),
    /// Bytes.
    Binary(Vec<u8>),
    /// Nanoseconds since the epoch.
    Timestamp(i64),
}

/// Reads entity bytes back, one value per entity tag, in entity order. None when they are malformed.
pub fn decode_entity(entity: &[u8]) -> Option<Vec<EntityValue>> {
    let mut values = Vec::new();
    let mut rest = entity;
    while let Some((&type_byte, tail)) = rest.split_first() {
        let (payload, after) = unescape(tail)?;
        rest = after;
        values.push(match type_byte {
            0 if payload.is_empty() => EntityValue::Null,
            1 => EntityValue::Str(payload),
            2 => EntityValue::Int(read_int(&payload)?),
            4 => EntityValue::Binary(payload),
            7 => EntityValue::Timestamp(read_int(&payload)?),
            _ => return None,
        });
    }
    Some(values)
}

fn unescape(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut payload = Vec::new();
    let mut i = 0;
    loop {
        match *bytes.get(i)? {
            END => return Some((payload, &bytes[i + 1..])),
            ESCAPE => {
                payload.push(*bytes.get(i + 1)?);
                i += 2;
            }
            byte => {
                payload.push(byte);
                i += 1;
            }
        }
    }
}

fn read_int(payload: &[u8]) -> Option<i64> {
    Some(unzigzag(u64::from_be_bytes(payload.try_into().ok()?)))
}

/// Hashes series keys of one resource without building them.
#[derive(Clone)]
pub struct SeriesHasher(Xxh64);

impl SeriesHasher {
    /// A hasher that has taken the escaped resource name and its `|`.
    pub fn new(resource: &str) -> Self {
        let mut prefix = Vec::with_capacity(resource.len() + 1);
        escape_into(resource.as_bytes(), &mut prefix);
        prefix.push(END);
        let mut state = Xxh64::new(0);
        state.update(&prefix);
        SeriesHasher(state)
    }

    /// The series id of the entity in this resource.
    pub fn sid(&self, entity: &[u8]) -> u64 {
        let mut state = self.0.clone();
        state.update(entity);
        state.digest()
    }
}

/// The 64-bit series id: xxhash64 with seed 0 over the whole key. For output and ties only, never identity.
pub fn sid(resource: &str, entity: &[u8]) -> u64 {
    SeriesHasher::new(resource).sid(entity)
}

/// The stored id of an element: xxhash64 with seed 0 over group, stream and the id that its writer gave, joined by `|`
/// (stream specification 2.5).
pub fn element_id(group: &str, stream: &str, id: &str) -> u64 {
    let mut state = Xxh64::new(0);
    for part in [group, "|", stream, "|", id] {
        state.update(part.as_bytes());
    }
    state.digest()
}

/// The stored id of an element whose writer gave none: another one with every call.
pub fn new_element_id(group: &str, stream: &str) -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    element_id(group, stream, &format!("{now}|{call}"))
}

/// The shard of a row (measure specification, 1.4): xxhash64 over the resource name and the raw key values.
pub struct ShardHasher(Xxh64);

impl ShardHasher {
    /// A hasher that has taken the resource name.
    pub fn new(resource: &str) -> Self {
        let mut state = Xxh64::new(0);
        state.update(resource.as_bytes());
        ShardHasher(state)
    }

    /// Takes one sharding value.
    pub fn push(&mut self, value: ValueRef<'_>) {
        match value {
            ValueRef::Absent | ValueRef::Null => {}
            ValueRef::Str(bytes) | ValueRef::Binary(bytes) => self.0.update(bytes),
            ValueRef::Int(v) | ValueRef::Timestamp(v) => self.0.update(&ordered_int(v)),
            ValueRef::Float(v) => self.0.update(&v.to_bits().to_be_bytes()),
            ValueRef::StrArray(bytes) => {
                for (i, element) in crate::value::decode_str_array(bytes).enumerate() {
                    if i > 0 {
                        self.0.update(b"\n");
                    }
                    self.0.update(element);
                }
            }
            ValueRef::IntArray(bytes) => {
                crate::value::decode_int_array(bytes).for_each(|v| self.0.update(&ordered_int(v)));
            }
        }
    }

    /// The shard among `shard_num` (at least 1).
    pub fn shard(&self, shard_num: u32) -> u32 {
        (self.0.digest() % u64::from(shard_num.max(1))) as u32
    }
}

/// Big-endian bytes that sort like the integer.
pub fn ordered_int(value: i64) -> [u8; 8] {
    ((value as u64) ^ (1 << 63)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(values: &[ValueRef<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        for value in values {
            assert!(push_entity_value(*value, &mut out));
        }
        out
    }

    #[test]
    fn series_ids_are_those_of_the_protocol() {
        let cases: [(&[ValueRef<'_>], u64); 4] = [
            (&[ValueRef::Str(b"n1"), ValueRef::Int(3)], 16811051233934956735),
            (&[ValueRef::Null, ValueRef::Int(-3)], 104105101340140296),
            (&[ValueRef::Str(b""), ValueRef::Int(-3)], 13120610889467247704),
            (&[ValueRef::Str(b"a\\b|c"), ValueRef::Int(0)], 3841119140016549330),
        ];
        for (values, want) in cases {
            assert_eq!(sid("pod_cpu", &entity(values)), want, "{values:?}");
        }
        assert_eq!(sid("service_cpm_minute", &entity(&[ValueRef::Str(b"entity_1")])), 17296083384258897030);
        assert_eq!(sid("service_cpm_minute", &entity(&[ValueRef::Int(1)])), 335438207074479228);
        assert_eq!(sid("service_traffic", &entity(&[ValueRef::Str(b"1")])), 15142466043926325685);
    }

    #[test]
    fn element_ids_are_those_of_the_protocol() {
        assert_eq!(element_id("default", "sw", "0"), 0x0978_df79_cf4e_d409);
        assert_eq!(element_id("default", "sw", "1"), 0x4dd9_99e3_502d_728d);
        assert_ne!(new_element_id("default", "sw"), new_element_id("default", "sw"));
    }

    #[test]
    fn the_shard_is_that_of_the_protocol() {
        let mut hasher = ShardHasher::new("pod_cpu");
        hasher.push(ValueRef::Str(b"n1"));
        hasher.push(ValueRef::Int(3));
        assert_eq!(hasher.0.digest(), 3922074502317708924);
        assert_eq!(hasher.shard(2), 0);
    }

    #[test]
    fn entities_read_back_as_they_were_sent() {
        let bytes = entity(&[
            ValueRef::Null,
            ValueRef::Str(b""),
            ValueRef::Str(b"a|\\b"),
            ValueRef::Int(i64::MIN),
            ValueRef::Binary(&[0, 0x7c, 0xff]),
            ValueRef::Timestamp(1),
        ]);
        assert_eq!(
            decode_entity(&bytes),
            Some(vec![
                EntityValue::Null,
                EntityValue::Str(vec![]),
                EntityValue::Str(b"a|\\b".to_vec()),
                EntityValue::Int(i64::MIN),
                EntityValue::Binary(vec![0, 0x7c, 0xff]),
                EntityValue::Timestamp(1),
            ])
        );
        assert_eq!(decode_entity(&bytes[..bytes.len() - 1]), None);
        assert!(!push_entity_value(ValueRef::IntArray(&[]), &mut Vec::new()));
    }
}
