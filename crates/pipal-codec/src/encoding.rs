//! The numbers of the encodings and the header byte in front of every column and integer stream.
//!
//! Header byte: `encoding << 2 | validity mode`. An integer stream outside of a column has mode 0.

use crate::error::DecodeError;
use crate::reader::Reader;

/// How hard an encoder looks for the smallest form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// For flushes: decides from cheap statistics and samples, quick compression.
    Fast,
    /// For merges: tries everything that may pay, slower compression.
    Thorough,
}

/// How the values of a column or an integer stream are stored. The numbers are part of the format on disk;
/// each encoding describes its bytes in the module that implements it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// No values at all.
    Empty = 0,
    /// One value for all.
    Constant = 1,
    /// Integers in arithmetic progression.
    Ramp = 2,
    /// Integers relative to a base, divided by their common divisor, bit-packed in frames with patches.
    Packed = 3,
    /// As `Packed`, of the differences between neighbours.
    Delta = 4,
    /// Integers of 8 bytes each.
    Raw = 5,
    /// Distinct values in ascending order, and per value its index there.
    Dictionary = 6,
    /// Values of runs and the ends of the runs.
    Runs = 7,
    /// The first period of integers that repeat.
    Periodic = 8,
    /// Independent pages of integers, for long lists.
    Paged = 9,
    /// Integers relative to a base per key, where the reader knows the key of each.
    Keyed = 10,
    /// Integers as an entropy-coded bit width and the bits below the leading one.
    Classes = 11,
    /// Integers as distances from the product of two other columns.
    Product = 12,
    /// Floats that are decimal numbers, as integers with one decimal exponent.
    Decimal = 16,
    /// Floats cut into their predictable upper bits and their noisy lower bits.
    Split = 17,
    /// Byte strings: lengths, then contents in compressible frames.
    Slices = 24,
    // 25 is kept for FSST.
}

impl Encoding {
    fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Encoding::Empty,
            1 => Encoding::Constant,
            2 => Encoding::Ramp,
            3 => Encoding::Packed,
            4 => Encoding::Delta,
            5 => Encoding::Raw,
            6 => Encoding::Dictionary,
            7 => Encoding::Runs,
            8 => Encoding::Periodic,
            9 => Encoding::Paged,
            10 => Encoding::Keyed,
            11 => Encoding::Classes,
            12 => Encoding::Product,
            16 => Encoding::Decimal,
            17 => Encoding::Split,
            24 => Encoding::Slices,
            _ => return None,
        })
    }
}

/// The header byte.
pub(crate) fn header_byte(encoding: Encoding, mode: u8) -> u8 {
    (encoding as u8) << 2 | mode
}

/// Reads a header byte: the encoding and the validity mode (0 to 3).
pub(crate) fn read_header(reader: &mut Reader<'_>) -> Result<(Encoding, u8), DecodeError> {
    let start = *reader;
    let byte = reader.byte()?;
    let encoding = Encoding::from_code(byte >> 2).ok_or_else(|| start.error("unknown encoding"))?;
    Ok((encoding, byte & 3))
}
