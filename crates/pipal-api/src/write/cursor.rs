//! Reading the protobuf wire format from a slice (protobuf encoding guide, "Message Structure").

/// What the fast reader leaves to the general decoder: malformed input, but also rare well-formed input, such as a
/// message field that occurs twice and has to be merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unusual;

/// The result of every step of the fast reader.
pub type Step<T> = Result<T, Unusual>;

/// Bytes of the longest varint.
const VARINT_BYTES_MAX: usize = 10;

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const DELIMITED: u32 = 2;
const FIXED32: u32 = 5;

/// The key of a varint field.
pub const fn varint(tag: u32) -> u32 {
    tag << 3 | VARINT
}

/// The key of a field of eight bytes.
pub const fn fixed64(tag: u32) -> u32 {
    tag << 3 | FIXED64
}

/// The key of a field with a length: text, bytes, a message or packed numbers.
pub const fn delimited(tag: u32) -> u32 {
    tag << 3 | DELIMITED
}

/// The fields of one message that are still to be read.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Cursor { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The key of the next field: its tag and wire type. `None` at the end of the message.
    pub fn next_key(&mut self) -> Step<Option<u32>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        u32::try_from(self.varint()?).map(Some).map_err(|_| Unusual)
    }

    pub fn varint(&mut self) -> Step<u64> {
        if let [byte @ ..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        let mut value = 0;
        for (index, byte) in self.rest.iter().take(VARINT_BYTES_MAX).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                // The tenth byte has room for the topmost bit only.
                let overflows = index + 1 == VARINT_BYTES_MAX && *byte > 1;
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return if overflows { Err(Unusual) } else { Ok(value) };
            }
        }
        Err(Unusual)
    }

    /// A signed integer: the 64 bits of a varint in two's complement.
    pub fn int64(&mut self) -> Step<i64> {
        self.varint().map(u64::cast_signed)
    }

    /// A 32-bit integer or enum: the lower half of a varint; protobuf drops the rest.
    pub fn int32(&mut self) -> Step<i32> {
        self.varint().map(|value| value as u32).map(u32::cast_signed)
    }

    pub fn double(&mut self) -> Step<f64> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Unusual)?;
        self.rest = rest;
        Ok(f64::from_le_bytes(*bytes))
    }

    pub fn bytes(&mut self) -> Step<&'a [u8]> {
        let length = usize::try_from(self.varint()?).map_err(|_| Unusual)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Unusual)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub fn text(&mut self) -> Step<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Unusual)
    }

    /// Passes over the field of `key` if its tag is above `last_tag`, the highest one of the message. A known tag
    /// with a foreign wire type is an error, and groups are too rare to deserve code here.
    pub fn skip(&mut self, key: u32, last_tag: u32) -> Step<()> {
        if key >> 3 <= last_tag {
            return Err(Unusual);
        }
        match key & 7 {
            VARINT => self.varint().map(|_| ()),
            FIXED64 => self.double().map(|_| ()),
            DELIMITED => self.bytes().map(|_| ()),
            FIXED32 => {
                self.rest = self.rest.get(4..).ok_or(Unusual)?;
                Ok(())
            }
            _ => Err(Unusual),
        }
    }
}
