//! Primitive values of the part format: little-endian numbers, LEB128, length-prefixed bytes and integer lists.

use pipal_codec::{DecodeError, Effort, decode_i64s, encode_i64s};
use pipal_model::value::{read_varint, write_varint};
use pipal_model::{ColumnKey, Orders};

/// Bytes that passed their checksum and still make no sense: what was expected, or what was found instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub &'static str);

impl From<DecodeError> for Malformed {
    fn from(error: DecodeError) -> Self {
        Malformed(error.what)
    }
}

/// Result of decoding.
pub(super) type Decoded<T> = Result<T, Malformed>;

/// Reads primitive values off the front of a slice.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    /// What was not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Fails when bytes are left over: the format has no padding.
    pub(super) fn end(self) -> Decoded<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("an end without surplus bytes")) }
    }

    pub(super) fn take(&mut self, count: usize) -> Decoded<&'a [u8]> {
        if count > self.0.len() {
            return Err(Malformed("more bytes"));
        }
        let (head, tail) = self.0.split_at(count);
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| Malformed("more bytes"))
    }

    pub(super) fn u8(&mut self) -> Decoded<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u32(&mut self) -> Decoded<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Decoded<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn i64(&mut self) -> Decoded<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub(super) fn u128(&mut self) -> Decoded<u128> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    pub(super) fn varint(&mut self) -> Decoded<u64> {
        let (value, used) = read_varint(self.0).ok_or(Malformed("a number"))?;
        self.0 = &self.0[used..];
        Ok(value)
    }

    pub(super) fn varint_u32(&mut self) -> Decoded<u32> {
        u32::try_from(self.varint()?).map_err(|_| Malformed("a number below 2^32"))
    }

    /// A number of things that take at least `bytes_each` (not 0) of the bytes that follow.
    pub(super) fn count(&mut self, bytes_each: usize) -> Decoded<usize> {
        match usize::try_from(self.varint()?) {
            Ok(count) if count <= self.0.len() / bytes_each => Ok(count),
            _ => Err(Malformed("a plausible count")),
        }
    }

    /// Bytes behind their length.
    pub(super) fn bytes(&mut self) -> Decoded<&'a [u8]> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed("a length"))?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Decoded<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("UTF-8"))
    }

    /// Orders whose columns are named by their places in `columns`.
    pub(super) fn orders(&mut self, columns: &[ColumnKey]) -> Decoded<Orders> {
        let column = |place: u64| columns.get(usize::try_from(place).ok()?).cloned();
        Orders::decode(&mut self.0, column).ok_or(Malformed("orders of known columns"))
    }

    /// An integer list written by [`put_i64s`]; the caller bounds `count`.
    pub(super) fn i64s(&mut self, count: usize) -> Decoded<Vec<i64>> {
        let mut values = Vec::with_capacity(count);
        decode_i64s(self.bytes()?, count, 0..count, &mut values)?;
        Ok(values)
    }

    /// A list as [`Reader::i64s`] of which no value is negative.
    pub(super) fn u64s(&mut self, count: usize) -> Decoded<Vec<u64>> {
        let values = self.i64s(count)?;
        let unsigned: Result<Vec<u64>, _> = values.into_iter().map(u64::try_from).collect();
        unsigned.map_err(|_| Malformed("numbers of at least 0"))
    }
}

pub(super) fn put_varint(value: u64, out: &mut Vec<u8>) {
    write_varint(value, out);
}

pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends an integer list behind its length in bytes; the number of values is the reader's knowledge.
pub(super) fn put_i64s(values: &[i64], effort: Effort, out: &mut Vec<u8>) {
    put_prefixed(out, |out| encode_i64s(values, effort, out));
}

/// Appends what `write` appends, behind its length. The usual length takes one byte, which is kept free.
pub(super) fn put_prefixed(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.push(0);
    write(out);
    let length = out.len() - start - 1;
    if length < 0x80 {
        out[start] = length as u8;
        return;
    }
    let mut prefix = Vec::with_capacity(10);
    write_varint(length as u64, &mut prefix);
    out.splice(start..start + 1, prefix);
}
