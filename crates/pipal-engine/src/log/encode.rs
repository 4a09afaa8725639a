//! Turning the entries of one append into the bytes of one write.

use super::format::{RECORD_HEADER_BYTES, RecordHeader, RecordKind};
use super::{Compression, Definition, LogEntry};
use crc32c::crc32c;
use hashbrown::HashSet;

/// A buffer larger than this is given back after its write.
const BUFFER_KEPT_BYTES: usize = 16 << 20;

/// Where a group goes and what its records have in common.
#[derive(Clone, Copy)]
pub(super) struct GroupPlace {
    pub file_id: u64,
    pub offset: u64,
    pub durable_end: u64,
    pub group: u64,
    pub first_seq: u64,
}

/// Collects the records of one group.
#[derive(Default)]
pub(super) struct GroupEncoder {
    bytes: Vec<u8>,
    records: u32,
    new_definitions: Vec<u128>,
}

impl GroupEncoder {
    /// Encodes entries, each after those of its definitions that the file does not have yet.
    pub(super) fn encode(
        &mut self,
        place: GroupPlace,
        entries: &[LogEntry<'_>],
        written: &HashSet<u128>,
        compression: Compression,
    ) {
        self.clear();
        for (seq, entry) in (place.first_seq..).zip(entries) {
            for definition in entry.definitions {
                if !written.contains(&definition.fingerprint)
                    && !self.new_definitions.contains(&definition.fingerprint)
                {
                    self.push_definition(place, seq, definition, compression);
                }
            }
            self.push(place, RecordKind::Entry, seq, entry.payload, compression);
        }
    }

    /// Encodes a mark, which only says how far the file was synced.
    pub(super) fn encode_mark(&mut self, place: GroupPlace) {
        self.clear();
        self.push(place, RecordKind::Mark, place.first_seq, &[], Compression::None);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(BUFFER_KEPT_BYTES);
        self.records = 0;
        self.new_definitions.clear();
    }

    fn push_definition(
        &mut self,
        place: GroupPlace,
        seq: u64,
        definition: &Definition,
        compression: Compression,
    ) {
        self.new_definitions.push(definition.fingerprint);
        let mut payload = definition.fingerprint.to_le_bytes().to_vec();
        payload.extend_from_slice(&definition.bytes);
        self.push(place, RecordKind::Definition, seq, &payload, compression);
    }

    fn push(
        &mut self,
        place: GroupPlace,
        kind: RecordKind,
        seq: u64,
        payload: &[u8],
        compression: Compression,
    ) {
        let start = self.bytes.len();
        let payload_start = start + RECORD_HEADER_BYTES;
        self.bytes.resize(payload_start, 0);
        let compressed = compression == Compression::Lz4 && compress(payload, &mut self.bytes);
        if !compressed {
            self.bytes.extend_from_slice(payload);
        }
        let stored = &self.bytes[payload_start..];
        let header = RecordHeader {
            kind,
            compressed,
            // Both fit, as the writer has checked the payload against the limit of the format.
            stored_length: stored.len() as u32,
            raw_length: payload.len() as u32,
            group: place.group,
            index: self.records,
            seq,
            durable_end: place.durable_end,
            payload_crc: crc32c(stored),
        };
        let header = header.encode(place.file_id, place.offset + start as u64);
        self.bytes[start..payload_start].copy_from_slice(&header);
        self.records += 1;
    }

    /// The bytes to write.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The definitions that the file has once the bytes are written.
    pub(super) fn new_definitions(&self) -> &[u128] {
        &self.new_definitions
    }
}

/// Appends the compressed payload when that is worth its decompression; otherwise nothing.
fn compress(payload: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.resize(start + lz4_flex::block::get_maximum_output_size(payload.len()), 0);
    let count = lz4_flex::block::compress_into(payload, &mut out[start..]);
    match count {
        Ok(count) if count < payload.len() - payload.len() / 16 => {
            out.truncate(start + count);
            true
        }
        _ => {
            out.truncate(start);
            false
        }
    }
}
