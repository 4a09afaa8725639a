//! Files behind a trait: the operating system's, and a simulated disk that knows what was synced.
//!
//! Operations and errors follow the seed's file-system abstraction (SE-160 to SE-183).

#[cfg(test)]
mod contract;
mod os;
mod simulated;

pub use os::OsFileSystem;
#[cfg(test)]
pub(crate) use simulated::Random;
pub use simulated::{Counters, CrashPolicy, Fault, SECTOR_BYTES, SimulatedFileSystem};

use pipal_model::{Error, Result};
use std::path::Path;
use std::sync::Arc;

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// Name inside the directory.
    pub name: String,
    /// True for directories.
    pub is_dir: bool,
}

/// A file system. Every error names the operation and the path and keeps the cause (SE-181).
pub trait FileSystem: Send + Sync {
    /// Creates a directory with its parents if it is absent, mode 0700, and syncs the parents that changed.
    fn create_dir_all(&self, path: &Path) -> Result<()>;
    /// Entries of a directory, sorted by name.
    fn list(&self, path: &Path) -> Result<Vec<DirEntry>>;
    /// Creates or truncates a file for writing and reading, mode 0600.
    fn create(&self, path: &Path) -> Result<Box<dyn WritableFile>>;
    /// Opens an existing file for appending and cutting.
    fn open_writable(&self, path: &Path) -> Result<Box<dyn WritableFile>>;
    /// Opens a file for reading.
    fn open(&self, path: &Path) -> Result<Arc<dyn ReadableFile>>;
    /// Makes `to` another name of the file `from`; fails with `AlreadyExists` when `to` is there.
    fn link(&self, from: &Path, to: &Path) -> Result<()>;
    /// Renames a file or a directory; an existing file `to` is replaced.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Removes one file.
    fn remove_file(&self, path: &Path) -> Result<()>;
    /// Removes a directory with everything in it; absence is no error.
    fn remove_dir_all(&self, path: &Path) -> Result<()>;
    /// Makes the entries of a directory durable.
    fn sync_dir(&self, path: &Path) -> Result<()>;
    /// Takes the lock file of a directory without waiting; it is held until the guard is dropped. The file is
    /// opened without truncating it (D-24). A held lock is `FailedPrecondition`.
    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>>;
    /// Free and total bytes of the volume that holds `path`.
    fn space(&self, path: &Path) -> Result<DiskSpace>;

    /// Reads a whole file.
    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let file = self.open(path)?;
        let size = usize::try_from(file.size()?).map_err(|_| {
            Error::invalid("read file", "the file does not fit into memory").about(path.display())
        })?;
        let mut bytes = vec![0; size];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

/// Bytes of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes that can still be written.
    pub free: u64,
    /// Size of the volume.
    pub total: u64,
}

/// A file that is being written. Dropping it closes it without a sync.
pub trait WritableFile: Send + Sync {
    /// Appends all bytes at the end of the file. After an error the length of the file is unknown until
    /// `truncate` succeeded.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;
    /// Writes bytes at an offset inside the file; its length stays. Writing again what is there already makes the
    /// next `sync` cover it, also where an earlier failed sync has made the kernel forget it.
    fn rewrite(&mut self, bytes: &[u8], offset: u64) -> Result<()>;
    /// Cuts or extends the file to a length; later appends go there.
    fn truncate(&mut self, length: u64) -> Result<()>;
    /// Makes data and length durable. After an error nothing is known about what reached the disk.
    fn sync(&mut self) -> Result<()>;
    /// Present length.
    fn len(&self) -> u64;
    /// True when nothing was written.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A file that is read at positions.
pub trait ReadableFile: Send + Sync {
    /// Fills the buffer from `offset`; a file that ends earlier is an error.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()>;
    /// Length of the file.
    fn size(&self) -> Result<u64>;
}
