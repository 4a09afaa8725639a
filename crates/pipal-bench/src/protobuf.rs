//! Protobuf written by hand, for the one message that is sent a million times. Field numbers come from the wire
//! contract (`banyandb/measure/v1/write.proto`, `banyandb/model/v1/common.proto`).

/// Wire type of varints.
const VARINT: u32 = 0;
/// Wire type of length-delimited fields.
const DELIMITED: u32 = 2;
/// A varint of 64 bits takes at most ten bytes.
const VARINT_BYTES_MAX: usize = 10;

/// Bytes of `value` as a varint.
pub fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends a varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the key of a length-delimited field and its length.
pub fn put_header(out: &mut Vec<u8>, field: u32, length: usize) {
    put_varint(out, u64::from(field << 3 | DELIMITED));
    put_varint(out, length as u64);
}

/// Appends a varint field; zero is the default and left out, as proto3 writers do.
pub fn put_number(out: &mut Vec<u8>, field: u32, value: u64) {
    if value == 0 {
        return;
    }
    put_varint(out, u64::from(field << 3 | VARINT));
    put_varint(out, value);
}

/// Appends a length-delimited field.
pub fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_header(out, field, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends `FieldValue{int: Int{value}}` or `TagValue{int: ...}` as element of the repeated field `field`;
/// `int_field` is the number of `int` in that oneof.
pub fn put_int_value(out: &mut Vec<u8>, field: u32, int_field: u32, value: i64) {
    let payload = if value == 0 { 0 } else { 1 + varint_len(value as u64) };
    put_header(out, field, 2 + payload);
    put_header(out, int_field, payload);
    put_number(out, 1, value as u64);
}

/// Appends `FieldValue{str: Str{value}}` or `TagValue{str: ...}` as element of the repeated field `field`
/// (`str` is number 2 in both).
pub fn put_str_value(out: &mut Vec<u8>, field: u32, value: &str) {
    let payload = if value.is_empty() { 0 } else { 1 + varint_len(value.len() as u64) + value.len() };
    put_header(out, field, 1 + varint_len(payload as u64) + payload);
    put_header(out, 2, payload);
    if !value.is_empty() {
        put_bytes(out, 1, value.as_bytes());
    }
}

/// Appends an explicit null as element of the repeated field `field` (`null` is number 1 in tags and fields).
pub fn put_null_value(out: &mut Vec<u8>, field: u32) {
    put_header(out, field, 2);
    out.extend_from_slice(&[1 << 3, 0]);
}

/// Appends `FieldValue{binary_data}` or a tag's (numbers 4 and 6) as element of the repeated field `field`.
pub fn put_binary_value(out: &mut Vec<u8>, field: u32, binary_field: u32, value: &[u8]) {
    put_header(out, field, 1 + varint_len(value.len() as u64) + value.len());
    put_bytes(out, binary_field, value);
}

/// Appends `TagValue{str_array: StrArray{value}}` as element of the repeated field `field` (`str_array` is number 3).
pub fn put_texts_value(out: &mut Vec<u8>, field: u32, values: &[impl AsRef<str>]) {
    let text_len = |text: &str| 1 + varint_len(text.len() as u64) + text.len();
    let payload: usize = values.iter().map(|text| text_len(text.as_ref())).sum();
    put_header(out, field, 1 + varint_len(payload as u64) + payload);
    put_header(out, 3, payload);
    for text in values {
        put_bytes(out, 1, text.as_ref().as_bytes());
    }
}

/// Bytes of the body of a `google.protobuf.Timestamp`.
pub fn timestamp_len(time_ms: i64) -> usize {
    let number_len = |value: u64| if value == 0 { 0 } else { 1 + varint_len(value) };
    let (seconds, nanos) = seconds_and_nanos(time_ms);
    number_len(seconds) + number_len(nanos)
}

fn seconds_and_nanos(time_ms: i64) -> (u64, u64) {
    (time_ms.div_euclid(1000) as u64, time_ms.rem_euclid(1000) as u64 * 1_000_000)
}

/// Appends a `google.protobuf.Timestamp` as field `field`.
pub fn put_timestamp(out: &mut Vec<u8>, field: u32, time_ms: i64) {
    let (seconds, nanos) = seconds_and_nanos(time_ms);
    put_header(out, field, timestamp_len(time_ms));
    put_number(out, 1, seconds);
    put_number(out, 2, nanos);
}

/// Appends `TagValue{timestamp}` (number 7) as element of the repeated field `field`.
pub fn put_timestamp_value(out: &mut Vec<u8>, field: u32, time_ms: i64) {
    put_header(out, field, 2 + timestamp_len(time_ms));
    put_timestamp(out, 7, time_ms);
}

/// One field of a message, as far as the replies here need them.
#[derive(Debug, PartialEq)]
pub enum Field<'a> {
    Number(u32, u64),
    Bytes(u32, &'a [u8]),
}

/// Reads the fields of a message one by one; stops with an error text at the first malformed one.
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of `message`.
    pub fn new(message: &'a [u8]) -> Self {
        Fields { rest: message }
    }

    fn varint(&mut self) -> Result<u64, &'static str> {
        let mut value = 0u64;
        for (i, &byte) in self.rest.iter().take(VARINT_BYTES_MAX).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.rest = self.rest.get(i + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err("varint without end")
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], &'static str> {
        let length = usize::try_from(length).map_err(|_| "length out of range")?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or("field longer than its message")?;
        self.rest = rest;
        Ok(bytes)
    }

    fn read(&mut self) -> Result<Field<'a>, &'static str> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| "field number out of range")?;
        match key & 7 {
            0 => Ok(Field::Number(number, self.varint()?)),
            1 => Ok(Field::Bytes(number, self.take(8)?)),
            2 => {
                let length = self.varint()?;
                Ok(Field::Bytes(number, self.take(length)?))
            }
            5 => Ok(Field::Bytes(number, self.take(4)?)),
            _ => Err("unknown wire type"),
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// How often the length-delimited field `wanted` occurs on the top level: the rows of a query response, counted
/// without decoding them.
pub fn count_fields(message: &[u8], wanted: u32) -> Result<usize, &'static str> {
    let mut count = 0;
    for field in Fields::new(message) {
        count += usize::from(matches!(field?, Field::Bytes(number, _) if number == wanted));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_read_back(value: u64) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            prop_assert_eq!(bytes.len(), varint_len(value));
            bytes.insert(0, 3 << 3);
            let fields: Vec<_> = Fields::new(&bytes).collect();
            prop_assert_eq!(fields, vec![Ok(Field::Number(3, value))]);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let fields = Fields::new(&bytes).count();
            prop_assert!(fields <= bytes.len());
        }
    }

    #[test]
    fn counts_only_the_wanted_field_on_top_level() {
        let mut inner = Vec::new();
        put_bytes(&mut inner, 1, b"nested");
        let mut message = Vec::new();
        put_bytes(&mut message, 1, &inner);
        put_bytes(&mut message, 2, b"other");
        put_number(&mut message, 3, 9);
        put_bytes(&mut message, 1, b"");
        assert_eq!(count_fields(&message, 1), Ok(2));
        message.push(0xff);
        assert!(count_fields(&message, 1).is_err());
    }
}
