//! The file that a part is written to: buffered, counted, checksummed, and removed unless it is completed.

use super::footer::Extent;
use super::temporary_part_path;
use crate::fs::{FileSystem, WritableFile};
use pipal_model::Result;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes are handed to the file system in pieces of at least this size (L-14).
const WRITE_BUFFER_BYTES: usize = 256 << 10;

pub(super) struct Output {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    /// None once the file is complete.
    file: Option<Box<dyn WritableFile>>,
    buffer: Vec<u8>,
    position: u64,
    section: Extent,
}

impl Output {
    /// Creates the temporary file of the part `path`.
    pub(super) fn create(fs: &Arc<dyn FileSystem>, path: &Path) -> Result<Self> {
        let path = temporary_part_path(path);
        let file = fs.create(&path)?;
        Ok(Output {
            fs: Arc::clone(fs),
            path,
            file: Some(file),
            buffer: Vec::with_capacity(WRITE_BUFFER_BYTES + (64 << 10)),
            position: 0,
            section: Extent::default(),
        })
    }

    /// Bytes put so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes held.
    pub(super) fn heap_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Appends pieces as one extent with one checksum.
    pub(super) fn put(&mut self, pieces: &[&[u8]]) -> Result<Extent> {
        let mut extent = Extent { offset: self.position, length: 0, crc: 0 };
        for piece in pieces {
            self.buffer.extend_from_slice(piece);
            extent.crc = crc32c::crc32c_append(extent.crc, piece);
            self.section.crc = crc32c::crc32c_append(self.section.crc, piece);
            extent.length += piece.len() as u64;
        }
        self.position += extent.length;
        if self.buffer.len() >= WRITE_BUFFER_BYTES {
            self.flush()?;
        }
        Ok(extent)
    }

    /// Ends the section that began where the last one ended, and gives its extent.
    pub(super) fn end_section(&mut self) -> Extent {
        let ended = Extent { length: self.position - self.section.offset, ..self.section };
        self.section = Extent { offset: self.position, length: 0, crc: 0 };
        ended
    }

    fn flush(&mut self) -> Result<()> {
        if let Some(file) = &mut self.file {
            file.append(&self.buffer)?;
        }
        self.buffer.clear();
        Ok(())
    }

    /// Writes what is buffered and makes the file durable; it stays under its temporary name.
    pub(super) fn complete(mut self) -> Result<()> {
        self.flush()?;
        if let Some(file) = &mut self.file {
            file.sync()?;
        }
        self.file = None;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        drop(file);
        if let Err(error) = self.fs.remove_file(&self.path) {
            // The next start finds the temporary name and removes it (L-02).
            tracing::warn!(%error, path = %self.path.display(), "an incomplete part was left behind");
        }
    }
}
