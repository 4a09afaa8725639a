//! The text of a ranking group (measure specification 4.2, step 4).

use pipal_model::ValueRef;
use pipal_model::value::{decode_int_array, decode_str_array};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends one group tag: `|` behind the tag before it, then text as it is, integers and times in decimal, bytes in
/// base64, elements of arrays joined by a comma; null is empty.
pub fn push_group_value(is_first: bool, value: ValueRef<'_>, out: &mut Vec<u8>) {
    if !is_first {
        out.push(b'|');
    }
    match value {
        ValueRef::Absent | ValueRef::Null => {}
        ValueRef::Str(text) => out.extend_from_slice(text),
        ValueRef::Int(number) | ValueRef::Timestamp(number) => push_number(number, out),
        ValueRef::Float(number) => out.extend_from_slice(number.to_string().as_bytes()),
        ValueRef::Binary(bytes) => push_base64(bytes, out),
        ValueRef::StrArray(array) => {
            push_joined(decode_str_array(array), out, |text, out| out.extend_from_slice(text));
        }
        ValueRef::IntArray(array) => push_joined(decode_int_array(array), out, push_number),
    }
}

fn push_number(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(number.to_string().as_bytes());
}

fn push_joined<T>(items: impl Iterator<Item = T>, out: &mut Vec<u8>, push: impl Fn(T, &mut Vec<u8>)) {
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push(item, out);
    }
}

/// The standard alphabet with padding (RFC 4648, 4).
fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let sextet = (bits >> (18 - 6 * digit)) as usize & 63;
            out.push(if digit <= chunk.len() { BASE64[sextet] } else { b'=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipal_model::value::{encode_int_array, encode_str_array};

    #[test]
    fn values_are_joined_as_text() {
        let (mut texts, mut numbers) = (Vec::new(), Vec::new());
        encode_str_array([&b"a"[..], b"b"], &mut texts);
        encode_int_array([1, -2], &mut numbers);
        let values = [
            ValueRef::Str(b"x"),
            ValueRef::Null,
            ValueRef::Int(-7),
            ValueRef::StrArray(&texts),
            ValueRef::IntArray(&numbers),
        ];
        let mut out = Vec::new();
        for (i, value) in values.into_iter().enumerate() {
            push_group_value(i == 0, value, &mut out);
        }
        assert_eq!(out, b"x||-7|a,b|1,-2");
    }

    #[test]
    fn bytes_are_base64_of_the_examples_of_its_standard() {
        for (bytes, want) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ] {
            let mut out = Vec::new();
            push_group_value(true, ValueRef::Binary(bytes.as_bytes()), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }
}
