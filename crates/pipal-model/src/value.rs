//! Typed values: owned, borrowed, and the types that columns have.

/// The type of a stored column. The numbers are part of the format on disk (SE-030 extended).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ColumnType {
    /// UTF-8 text.
    Str = 1,
    /// Signed 64-bit integer.
    Int = 2,
    /// IEEE 754 double, kept bit for bit.
    Float = 3,
    /// Bytes.
    Binary = 4,
    /// List of texts, see [`encode_str_array`].
    StrArray = 5,
    /// List of integers, see [`encode_int_array`].
    IntArray = 6,
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    Timestamp = 7,
}

impl ColumnType {
    /// The type with this number on disk.
    pub fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => ColumnType::Str,
            2 => ColumnType::Int,
            3 => ColumnType::Float,
            4 => ColumnType::Binary,
            5 => ColumnType::StrArray,
            6 => ColumnType::IntArray,
            7 => ColumnType::Timestamp,
            _ => return None,
        })
    }

    /// The number of the type on disk.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// A value that borrows from a request or from a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'a> {
    /// The column was not part of the row when it was written.
    Absent,
    /// Written as null.
    Null,
    /// Text; the bytes are UTF-8 when they came through the API.
    Str(&'a [u8]),
    /// Integer.
    Int(i64),
    /// Double; compare bits, not values, for identity.
    Float(f64),
    /// Bytes.
    Binary(&'a [u8]),
    /// Elements in the form of [`encode_str_array`].
    StrArray(&'a [u8]),
    /// Elements in the form of [`encode_int_array`].
    IntArray(&'a [u8]),
    /// Nanoseconds since the epoch.
    Timestamp(i64),
}

impl<'a> ValueRef<'a> {
    /// The type of the value; none for null and absent.
    pub fn column_type(&self) -> Option<ColumnType> {
        Some(match self {
            ValueRef::Absent | ValueRef::Null => return None,
            ValueRef::Str(_) => ColumnType::Str,
            ValueRef::Int(_) => ColumnType::Int,
            ValueRef::Float(_) => ColumnType::Float,
            ValueRef::Binary(_) => ColumnType::Binary,
            ValueRef::StrArray(_) => ColumnType::StrArray,
            ValueRef::IntArray(_) => ColumnType::IntArray,
            ValueRef::Timestamp(_) => ColumnType::Timestamp,
        })
    }

    /// True for null and absent.
    pub fn is_missing(&self) -> bool {
        matches!(self, ValueRef::Absent | ValueRef::Null)
    }

    /// The owned form.
    pub fn to_value(&self) -> Value {
        match self {
            ValueRef::Absent => Value::Absent,
            ValueRef::Null => Value::Null,
            ValueRef::Str(b) => Value::Str(b.to_vec()),
            ValueRef::Int(v) => Value::Int(*v),
            ValueRef::Float(v) => Value::Float(*v),
            ValueRef::Binary(b) => Value::Binary(b.to_vec()),
            ValueRef::StrArray(b) => Value::StrArray(b.to_vec()),
            ValueRef::IntArray(b) => Value::IntArray(b.to_vec()),
            ValueRef::Timestamp(v) => Value::Timestamp(*v),
        }
    }
}

/// A value that owns its bytes; see [`ValueRef`] for the meaning of each variant.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    Absent,
    Null,
    Str(Vec<u8>),
    Int(i64),
    Float(f64),
    Binary(Vec<u8>),
    StrArray(Vec<u8>),
    IntArray(Vec<u8>),
    Timestamp(i64),
}

impl Value {
    /// The borrowed form.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Absent => ValueRef::Absent,
            Value::Null => ValueRef::Null,
            Value::Str(b) => ValueRef::Str(b),
            Value::Int(v) => ValueRef::Int(*v),
            Value::Float(v) => ValueRef::Float(*v),
            Value::Binary(b) => ValueRef::Binary(b),
            Value::StrArray(b) => ValueRef::StrArray(b),
            Value::IntArray(b) => ValueRef::IntArray(b),
            Value::Timestamp(v) => ValueRef::Timestamp(*v),
        }
    }
}

/// Appends the stored form of a list of texts: per element its length as LEB128 and its bytes.
pub fn encode_str_array<'a>(elements: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    for element in elements {
        write_varint(element.len() as u64, out);
        out.extend_from_slice(element);
    }
}

/// Reads back what [`encode_str_array`] wrote; stops at the first malformed element.
pub fn decode_str_array(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, used) = read_varint(bytes)?;
        let end = used.checked_add(usize::try_from(length).ok()?)?;
        let element = bytes.get(used..end)?;
        bytes = &bytes[end..];
        Some(element)
    })
}

/// Appends the stored form of a list of integers: 8 bytes little-endian each.
pub fn encode_int_array(elements: impl IntoIterator<Item = i64>, out: &mut Vec<u8>) {
    for element in elements {
        out.extend_from_slice(&element.to_le_bytes());
    }
}

/// Reads back what [`encode_int_array`] wrote.
pub fn decode_int_array(bytes: &[u8]) -> impl Iterator<Item = i64> + '_ {
    bytes.chunks_exact(8).map(|chunk| {
        let mut raw = [0; 8];
        raw.copy_from_slice(chunk);
        i64::from_le_bytes(raw)
    })
}

/// Appends `value` as LEB128.
pub fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads a LEB128 number: its value and the number of bytes used. None when it is cut off or too long.
pub fn read_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().take(10).enumerate() {
        let part = u64::from(byte & 0x7f);
        if i == 9 && byte > 1 {
            return None;
        }
        value |= part << (7 * i);
        if byte < 0x80 {
            return Some((value, i + 1));
        }
    }
    None
}

/// Maps a signed to an unsigned number so that small magnitudes stay small.
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}
/// The order-preserving form of an integer or time, by which it is indexed and compared.
pub fn int_term(value: i64) -> [u8; 8] {
    (value as u64 ^ (1 << 63)).to_be_bytes()
}

/// The integer or time with this term, if there is one.
pub fn int_of_term(term: &[u8]) -> Option<i64> {
    Some((u64::from_be_bytes(term.try_into().ok()?) ^ (1 << 63)) as i64)
}
