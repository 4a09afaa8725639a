//! The bytes of file headers and record headers; the layout is drawn in the documentation of [`super`].

use crc32c::{crc32c, crc32c_append};
use pipal_model::{Error, ErrorKind, Result};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of both copies of a file header; the first record starts here.
pub(super) const HEADER_BYTES: u64 = 2 * HEADER_COPY_BYTES as u64;
pub(super) const HEADER_COPY_BYTES: usize = 512;
/// Bytes of a record header.
pub(super) const RECORD_HEADER_BYTES: usize = 56;
pub(super) const RECORD_MAGIC: [u8; 4] = *b"PLr1";
/// No payload of this format is longer; a header that says otherwise is not believed.
pub(super) const PAYLOAD_BYTES_LIMIT: usize = 1 << 30;
/// Bytes of the fingerprint at the start of a definition's payload.
pub(super) const FINGERPRINT_BYTES: usize = 16;

const FILE_MAGIC: [u8; 8] = *b"PIPALLOG";
const FORMAT_VERSION: u16 = 1;
const NO_FILE: u64 = u64::MAX;
const FILE_CRC_AT: usize = HEADER_COPY_BYTES - 4;
const RECORD_CRC_AT: usize = RECORD_HEADER_BYTES - 4;

/// Where a preceding file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileEnd {
    pub first_seq: u64,
    pub end: u64,
}

/// What a file says about itself and about the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub file_id: u64,
    pub first_seq: u64,
    pub previous: Option<FileEnd>,
}

/// The id of a file: unlike that of any other file, whichever log wrote it.
pub(super) fn file_id(salt: u64, first_seq: u64) -> u64 {
    xxh3_64_with_seed(&first_seq.to_le_bytes(), salt)
}

/// The name of the file whose first sequence number this is.
pub(super) fn file_name(first_seq: u64) -> String {
    format!("{first_seq:016x}.log")
}

/// The inverse of [`file_name`] and nothing wider (SE-012).
pub(super) fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let first_seq = u64::from_str_radix(digits, 16).ok()?;
    (file_name(first_seq) == name).then_some(first_seq)
}

impl FileHeader {
    /// Both copies.
    pub(super) fn encode(&self) -> Vec<u8> {
        let previous = self.previous.unwrap_or(FileEnd { first_seq: NO_FILE, end: 0 });
        let mut copy = Vec::with_capacity(HEADER_BYTES as usize);
        copy.extend_from_slice(&FILE_MAGIC);
        copy.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        copy.extend_from_slice(&[0; 6]);
        for field in [self.file_id, self.first_seq, previous.first_seq, previous.end] {
            copy.extend_from_slice(&field.to_le_bytes());
        }
        copy.resize(FILE_CRC_AT, 0);
        copy.extend_from_slice(&crc32c(&copy).to_le_bytes());
        copy.extend_from_within(..);
        copy
    }

    /// Reads one copy; nothing when its checksum is wrong. A valid header of a later format is an error, for taking
    /// its file for garbage would lose it.
    pub(super) fn decode(copy: &[u8]) -> Result<Option<Self>> {
        let Some((body, crc)) = copy.split_at_checked(FILE_CRC_AT) else { return Ok(None) };
        if crc != crc32c(body).to_le_bytes() || !body.starts_with(&FILE_MAGIC) {
            return Ok(None);
        }
        let version = u64::from(u16::from_le_bytes([body[8], body[9]]));
        if version != u64::from(FORMAT_VERSION) {
            let detail = format!("format version {version} is not known, only {FORMAT_VERSION} is");
            return Err(Error::new(ErrorKind::Unsupported, "read log file header", detail));
        }
        let previous = FileEnd { first_seq: u64_at(body, 32), end: u64_at(body, 40) };
        Ok(Some(FileHeader {
            file_id: u64_at(body, 16),
            first_seq: u64_at(body, 24),
            previous: (previous.first_seq != NO_FILE).then_some(previous),
        }))
    }
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordKind {
    Definition = 1,
    Entry = 2,
    Mark = 3,
}

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub kind: RecordKind,
    pub compressed: bool,
    pub stored_length: u32,
    pub raw_length: u32,
    pub group: u64,
    pub index: u32,
    pub seq: u64,
    pub durable_end: u64,
    pub payload_crc: u32,
}

impl RecordHeader {
    pub(super) fn encode(&self, file_id: u64, offset: u64) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[..4].copy_from_slice(&RECORD_MAGIC);
        bytes[4] = self.kind as u8;
        bytes[5] = u8::from(self.compressed);
        bytes[8..12].copy_from_slice(&self.stored_length.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.raw_length.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.group.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.index.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.seq.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.durable_end.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = record_crc(file_id, offset, &bytes[..RECORD_CRC_AT]);
        bytes[RECORD_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Nothing unless these bytes were written as a record header at this offset of this file.
    pub(super) fn decode(bytes: &[u8], file_id: u64, offset: u64) -> Option<Self> {
        let bytes: &[u8; RECORD_HEADER_BYTES] = bytes.try_into().ok()?;
        let crc = record_crc(file_id, offset, &bytes[..RECORD_CRC_AT]);
        if bytes[..4] != RECORD_MAGIC || bytes[RECORD_CRC_AT..] != crc.to_le_bytes() {
            return None;
        }
        let kind = match bytes[4] {
            1 => RecordKind::Definition,
            2 => RecordKind::Entry,
            3 => RecordKind::Mark,
            _ => return None,
        };
        let header = RecordHeader {
            kind,
            compressed: bytes[5] == 1,
            stored_length: u32_at(bytes, 8),
            raw_length: u32_at(bytes, 12),
            group: u64_at(bytes, 16),
            index: u32_at(bytes, 24),
            seq: u64_at(bytes, 32),
            durable_end: u64_at(bytes, 40),
            payload_crc: u32_at(bytes, 48),
        };
        header.is_plausible(offset).then_some(header)
    }

    /// The pair of the assertions in the writer: what it never writes is not believed.
    fn is_plausible(&self, offset: u64) -> bool {
        self.durable_end <= offset
            && self.raw_length as usize <= PAYLOAD_BYTES_LIMIT
            && (self.compressed || self.stored_length == self.raw_length)
            && (self.kind != RecordKind::Definition || self.raw_length as usize >= FINGERPRINT_BYTES)
    }

    /// Bytes of the whole record.
    pub(super) fn record_bytes(&self) -> u64 {
        RECORD_HEADER_BYTES as u64 + u64::from(self.stored_length)
    }
}

fn record_crc(file_id: u64, offset: u64, bytes: &[u8]) -> u32 {
    let place = crc32c_append(crc32c(&file_id.to_le_bytes()), &offset.to_le_bytes());
    crc32c_append(place, bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

/// Callers pass fixed offsets inside buffers whose length they have checked.
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_read_as_they_are_written_and_in_no_other_way() {
        for seq in [0, 1, 0xabc, u64::MAX] {
            assert_eq!(parse_file_name(&file_name(seq)), Some(seq));
        }
        for name in
            ["1.log", "000000000000000A.log", "+000000000000001.log", "0000000000000001.log~", ".log", ""]
        {
            assert_eq!(parse_file_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_header_of_a_later_format_is_refused_and_not_taken_for_garbage() {
        let mut copy = FileHeader { file_id: 1, first_seq: 2, previous: None }.encode();
        copy.truncate(HEADER_COPY_BYTES);
        copy[8] = 2;
        assert_eq!(FileHeader::decode(&copy).unwrap(), None, "without its checksum it is garbage");
        let crc = crc32c(&copy[..FILE_CRC_AT]).to_le_bytes();
        copy[FILE_CRC_AT..].copy_from_slice(&crc);
        assert_eq!(FileHeader::decode(&copy).unwrap_err().kind(), ErrorKind::Unsupported);
    }

    proptest! {
        #[test]
        fn headers_round_trip_and_every_flipped_bit_is_found(
            file_id: u64, first_seq: u64, end: u64, group: u64, seq: u64, index: u32, length in 16u32..1 << 30,
            offset in 1u64..u64::MAX / 2, bit in 0usize..8 * RECORD_HEADER_BYTES, file_bit in 0usize..8 * HEADER_COPY_BYTES,
        ) {
            let previous = (end % 2 == 0).then_some(FileEnd { first_seq: first_seq / 2, end });
            let file = FileHeader { file_id, first_seq, previous };
            let mut copies = file.encode();
            prop_assert_eq!(copies.len() as u64, HEADER_BYTES);
            let (first, second) = copies.split_at_mut(HEADER_COPY_BYTES);
            prop_assert_eq!(FileHeader::decode(first).unwrap(), Some(file));
            prop_assert_eq!(FileHeader::decode(second).unwrap(), Some(file));
            first[file_bit / 8] ^= 1 << (file_bit % 8);
            prop_assert_eq!(FileHeader::decode(first).unwrap(), None);

            let record = RecordHeader {
                kind: RecordKind::Definition, compressed: false, stored_length: length, raw_length: length,
                group, index, seq, durable_end: offset / 2, payload_crc: index ^ 7,
            };
            let mut bytes = record.encode(file_id, offset);
            prop_assert_eq!(RecordHeader::decode(&bytes, file_id, offset), Some(record));
            prop_assert_eq!(RecordHeader::decode(&bytes, file_id ^ 1, offset), None);
            prop_assert_eq!(RecordHeader::decode(&bytes, file_id, offset + 1), None);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(RecordHeader::decode(&bytes, file_id, offset), None);
        }
    }
}
