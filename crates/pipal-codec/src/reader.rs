//! A cursor over untrusted bytes that knows its offset for error messages.

use pipal_model::value::{read_varint, unzigzag};

use crate::error::DecodeError;

/// Reads forward; every read beyond the end is an error.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    /// Offset of `bytes` in the slice that the caller gave us.
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, offset: 0 }
    }

    /// An error about what comes next.
    pub(crate) fn error(&self, what: &'static str) -> DecodeError {
        DecodeError::new(what, self.offset)
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&first, rest) = self.bytes.split_first().ok_or_else(|| self.error("cut off"))?;
        self.bytes = rest;
        self.offset += 1;
        Ok(first)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let (value, used) = read_varint(self.bytes).ok_or_else(|| self.error("malformed varint"))?;
        self.bytes = self.bytes.get(used..).unwrap_or_default();
        self.offset += used;
        Ok(value)
    }

    pub(crate) fn signed(&mut self) -> Result<i64, DecodeError> {
        self.varint().map(unzigzag)
    }

    /// A varint that must not exceed `limit`; `what` names it.
    pub(crate) fn count(&mut self, limit: usize, what: &'static str) -> Result<usize, DecodeError> {
        let before = *self;
        let value = self.varint()?;
        usize::try_from(value).ok().filter(|&v| v <= limit).ok_or_else(|| before.error(what))
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.bytes.split_at_checked(length).ok_or_else(|| self.error("cut off"))?;
        self.bytes = rest;
        self.offset += length;
        Ok(head)
    }

    /// A reader of the next `length` bytes, which this one skips.
    pub(crate) fn section(&mut self, length: usize) -> Result<Reader<'a>, DecodeError> {
        let offset = self.offset;
        Ok(Reader { bytes: self.take(length)?, offset })
    }

    /// A section whose length precedes it as a varint.
    pub(crate) fn sized_section(&mut self) -> Result<Reader<'a>, DecodeError> {
        let length = self.count(self.bytes.len(), "section longer than its container")?;
        self.section(length)
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.bytes
    }
}

/// Appends what `body` writes, preceded by its length as a varint.
pub(crate) fn write_sized(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let mut section = Vec::new();
    body(&mut section);
    pipal_model::value::write_varint(section.len() as u64, out);
    out.extend_from_slice(&section);
}
