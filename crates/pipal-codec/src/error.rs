//! The error of every decoder: what was malformed and where.

use std::fmt;

use pipal_model::Error;

/// Bytes that are not an encoding of what the caller said they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What was wrong, for people.
    pub what: &'static str,
    /// Where, in bytes from the start of the slice given to the decoder.
    pub offset: usize,
}

impl DecodeError {
    /// An error at `offset`.
    pub fn new(what: &'static str, offset: usize) -> Self {
        DecodeError { what, offset }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for DecodeError {}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Error::corrupt("decode", format_args!("byte {}", error.offset), error.what)
    }
}
