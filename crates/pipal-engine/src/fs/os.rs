//! The files of the operating system.
//!
//! Directories are created with mode 0700 and files with 0600 (SE-014, section 2 of the seed's requirements),
//! data is made durable with `fdatasync` (which covers the length), directory entries with `fsync`.

use super::{DirEntry, DiskSpace, FileSystem, ReadableFile, WritableFile};
use pipal_model::{Error, ErrorKind, Result};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The file system of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFileSystem;

impl FileSystem for OsFileSystem {
    fn create_dir_all(&self, path: &Path) -> Result<()> {
        let mut absent = Vec::new();
        let mut ancestor = path;
        while !ancestor.is_dir() {
            absent.push(ancestor);
            match ancestor.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => ancestor = parent,
                _ => break,
            }
        }
        for directory in absent.into_iter().rev() {
            create_one_dir(directory)?;
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> Result<Vec<DirEntry>> {
        let failed = |e| Error::io("list directory", path.display(), e);
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_dir = entry.file_type().map_err(failed)?.is_dir();
            // A name that is not UTF-8 is never one of ours; it only has to be shown.
            entries.push(DirEntry { name: entry.file_name().to_string_lossy().into_owned(), is_dir });
        }
        entries.sort_unstable();
        Ok(entries)
    }

    fn create(&self, path: &Path) -> Result<Box<dyn WritableFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(FILE_MODE);
        let file = options.open(path).map_err(|e| Error::io("create file", path.display(), e))?;
        Ok(Box::new(OsWritableFile { file, path: path.into(), length: 0 }))
    }

    fn open_writable(&self, path: &Path) -> Result<Box<dyn WritableFile>> {
        let failed = |e| Error::io("open file for writing", path.display(), e);
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        Ok(Box::new(OsWritableFile { file, path: path.into(), length }))
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn ReadableFile>> {
        let file = File::open(path).map_err(|e| Error::io("open file", path.display(), e))?;
        Ok(Arc::new(OsReadableFile { file, path: path.into() }))
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        fs::hard_link(from, to).map_err(|e| Error::io("link file", two_paths(from, to), e))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(|e| Error::io("rename", two_paths(from, to), e))
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        fs::remove_file(path).map_err(|e| Error::io("remove file", path.display(), e))
    }

    fn remove_dir_all(&self, path: &Path) -> Result<()> {
        match fs::remove_dir_all(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove directory", path.display(), e))
            }
            _ => Ok(()),
        }
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        let synced = File::open(path).and_then(|directory| directory.sync_all());
        synced.map_err(|e| Error::io("sync directory", path.display(), e))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let file = options.open(path).map_err(|e| Error::io("open lock file", path.display(), e))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => {
                Err(Error::new(ErrorKind::FailedPrecondition, "lock", "another process holds the lock")
                    .about(path.display()))
            }
            Err(TryLockError::Error(e)) => Err(Error::io("lock", path.display(), e)),
        }
    }

    fn space(&self, path: &Path) -> Result<DiskSpace> {
        let volume =
            rustix::fs::statvfs(path).map_err(|e| Error::io("read free space", path.display(), e.into()))?;
        Ok(DiskSpace {
            free: volume.f_bavail.saturating_mul(volume.f_frsize),
            total: volume.f_blocks.saturating_mul(volume.f_frsize),
        })
    }
}

/// Creates one directory whose parent exists and makes its name durable. That somebody else was faster is fine.
fn create_one_dir(path: &Path) -> Result<()> {
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists || !path.is_dir() => {
            return Err(Error::io("create directory", path.display(), e));
        }
        _ => {}
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => OsFileSystem.sync_dir(parent),
        _ => OsFileSystem.sync_dir(Path::new(".")),
    }
}

fn two_paths(from: &Path, to: &Path) -> String {
    format!("{} to {}", from.display(), to.display())
}

struct OsWritableFile {
    file: File,
    path: PathBuf,
    length: u64,
}

impl WritableFile for OsWritableFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        // A short write is followed by another one, whose error then names the reason, such as a full disk.
        self.file
            .write_all_at(bytes, self.length)
            .map_err(|e| Error::io("append to file", self.path.display(), e))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn rewrite(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let inside = offset.checked_add(bytes.len() as u64).is_some_and(|end| end <= self.length);
        let written = match inside {
            true => self.file.write_all_at(bytes, offset),
            false => Err(io::Error::from(io::ErrorKind::InvalidInput)),
        };
        written.map_err(|e| Error::io("rewrite file", self.path.display(), e))
    }

    fn truncate(&mut self, length: u64) -> Result<()> {
        self.file.set_len(length).map_err(|e| Error::io("truncate file", self.path.display(), e))?;
        self.length = length;
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::io("sync file", self.path.display(), e))
    }

    fn len(&self) -> u64 {
        self.length
    }
}

struct OsReadableFile {
    file: File,
    path: PathBuf,
}

impl ReadableFile for OsReadableFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(buffer, offset).map_err(|e| Error::io("read file", self.path.display(), e))
    }

    fn size(&self) -> Result<u64> {
        let metadata =
            self.file.metadata().map_err(|e| Error::io("read file size", self.path.display(), e))?;
        Ok(metadata.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keeps_the_contract_of_the_trait() {
        let root = tempfile::tempdir().unwrap();
        contract::check(&OsFileSystem, root.path());
    }

    #[test]
    fn modes_are_private() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("a/b");
        OsFileSystem.create_dir_all(&directory).unwrap();
        OsFileSystem.create(&directory.join("f")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&root.path().join("a")), 0o700);
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&directory.join("f")), 0o600);
    }

    #[test]
    fn a_lock_does_not_truncate() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("lock");
        fs::write(&path, b"who holds it").unwrap();
        let _guard = OsFileSystem.lock(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"who holds it");
    }
}
