//! The open file of a part: reads verified extents.

use super::footer::Extent;
use super::wire::{Decoded, Malformed};
use crate::fs::ReadableFile;
use pipal_model::{Error, Result};
use std::path::PathBuf;
use std::sync::Arc;

/// Most bytes of one block, row group or small section.
const EXTENT_BYTES_MAX: u64 = u32::MAX as u64;

pub(super) struct PartFile {
    pub(super) file: Arc<dyn ReadableFile>,
    pub(super) path: PathBuf,
}

impl PartFile {
    /// Reads bytes and checks them against their checksum.
    pub(super) fn load(&self, extent: Extent) -> Result<Vec<u8>> {
        if extent.length > EXTENT_BYTES_MAX {
            return Err(self.corrupt(extent.offset, "a length above its limit"));
        }
        let mut bytes = vec![0; extent.length as usize];
        self.file.read_exact_at(&mut bytes, extent.offset)?;
        if crc32c::crc32c(&bytes) != extent.crc {
            return Err(self.corrupt(extent.offset, "the checksum does not match"));
        }
        Ok(bytes)
    }

    /// Reads, checks and decodes.
    pub(super) fn load_as<T>(&self, extent: Extent, decode: impl FnOnce(Vec<u8>) -> Decoded<T>) -> Result<T> {
        let bytes = self.load(extent)?;
        self.located(extent.offset, decode(bytes))
    }

    /// Says where malformed bytes lie.
    pub(super) fn located<T>(&self, offset: u64, decoded: Decoded<T>) -> Result<T> {
        decoded.map_err(|Malformed(what)| self.corrupt(offset, what))
    }

    pub(super) fn corrupt(&self, offset: u64, detail: &str) -> Error {
        Error::corrupt("read part", self.path.display(), format!("at offset {offset}: {detail}"))
    }
}
