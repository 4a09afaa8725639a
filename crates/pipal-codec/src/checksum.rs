//! CRC-32C, the checksum of everything on disk.

use crate::error::DecodeError;

/// Bytes that [`seal`] appends.
pub const CHECKSUM_BYTES: usize = 4;

/// CRC-32C (Castagnoli) of `bytes`; of none it is 0.
pub fn crc32c(bytes: &[u8]) -> u32 {
    ::crc32c::crc32c(bytes)
}

/// CRC-32C of what `crc` was computed of, followed by `bytes`.
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    ::crc32c::crc32c_append(crc, bytes)
}

/// Appends the checksum of `out[start..]`, 4 bytes little-endian.
pub fn seal(out: &mut Vec<u8>, start: usize) {
    let crc = crc32c(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
}

/// The bytes that [`seal`] covered.
///
/// # Errors
/// Fewer than 4 bytes, or a checksum that does not match.
pub fn open(sealed: &[u8]) -> Result<&[u8], DecodeError> {
    let (bytes, stored) =
        sealed.split_last_chunk::<CHECKSUM_BYTES>().ok_or(DecodeError::new("no room for a checksum", 0))?;
    if crc32c(bytes) != u32::from_le_bytes(*stored) {
        return Err(DecodeError::new("checksum mismatch", bytes.len()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn meets_the_check_value_of_the_castagnoli_polynomial() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c_append(crc32c(b"1234"), b"56789"), 0xe306_9283);
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_noticed(bytes in prop::collection::vec(any::<u8>(), 0..200), prefix in 0usize..9, bit in any::<prop::sample::Index>()) {
            let mut sealed = vec![0xaa; prefix];
            sealed.extend_from_slice(&bytes);
            seal(&mut sealed, prefix);
            let mut sealed = sealed.split_off(prefix);
            prop_assert_eq!(open(&sealed), Ok(bytes.as_slice()));
            let bit = bit.index(sealed.len() * 8);
            sealed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(open(&sealed).is_err());
        }
    }
}
