//! A disk in memory that knows what was synced.
//!
//! What a process sees and what would survive a power cut are kept apart. Every change (a write, a length, a
//! directory entry) stays *pending* until the file or the directory it belongs to is synced. Operations that
//! change something are numbered from 1, so that a test can make exactly one of them fail ([`Fault`]) or stop the
//! world after it ([`SimulatedFileSystem::power_cut_after`]), and then look at the disks that may be found
//! afterwards ([`SimulatedFileSystem::crash_image`]).
//!
//! Assumptions about the disk, on which the storage formats rely and which this model keeps:
//!
//! - A sector of 512 bytes is written entirely or not at all; anything larger may be torn.
//! - What a successful sync covered survives. After a *failed* sync the pending bytes are forgotten by the kernel:
//!   they stay readable, may or may not be on disk, and later syncs do not write them.
//! - Data, length and directory entries of a file reach the disk independently and in any order. Where a length
//!   arrived without its data, the bytes are zeros or stale bytes of another file.
//! - A rename or a link is atomic.
//!
//! The same calls and seeds give the same disk, always.

mod crash;
mod disk;
mod file_data;
mod random;
#[cfg(test)]
mod tests;

pub use crash::CrashPolicy;
#[cfg(test)]
pub(crate) use random::Random;

use super::{DirEntry, DiskSpace, FileSystem, ReadableFile, WritableFile};
use disk::{Disk, Id};
use parking_lot::Mutex;
use pipal_model::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes that reach the disk together or not at all.
pub const SECTOR_BYTES: usize = 512;

/// How one operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The device reports an error and nothing changes. A failed sync of a file forgets its pending bytes.
    Eio,
    /// The volume is full; of an append the first half is written.
    Enospc,
    /// An append writes only its first part and reports an error; other operations fail as with `Eio`.
    ShortWrite,
}

/// What was done to a disk since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Numbered operations: everything that changes or syncs something.
    pub operations: u64,
    /// Opened files, listed directories and positioned reads, numbered on their own.
    pub reads: u64,
    /// Syncs of files.
    pub file_syncs: u64,
    /// Syncs of directories.
    pub dir_syncs: u64,
    /// Bytes appended.
    pub bytes_written: u64,
    /// Bytes read.
    pub bytes_read: u64,
}

/// The simulated disk. A clone is another handle of the same disk; see [`SimulatedFileSystem::fork`] for a copy.
#[derive(Clone)]
pub struct SimulatedFileSystem {
    disk: Arc<Mutex<Disk>>,
}

impl Default for SimulatedFileSystem {
    fn default() -> Self {
        SimulatedFileSystem::new()
    }
}

impl SimulatedFileSystem {
    /// An empty disk of 1 TiB.
    pub fn new() -> Self {
        SimulatedFileSystem::of(Disk::new())
    }

    fn of(disk: Disk) -> Self {
        SimulatedFileSystem { disk: Arc::new(Mutex::new(disk)) }
    }

    /// A copy of the whole disk with everything pending, faults and counters, but without locks.
    pub fn fork(&self) -> Self {
        let mut copy = self.disk.lock().clone();
        copy.close_all();
        SimulatedFileSystem::of(copy)
    }

    /// Makes the operation with this number fail once.
    pub fn fail_at(&self, operation_number: u64, fault: Fault) {
        self.disk.lock().faults.insert(operation_number, fault);
    }

    /// Makes the read with this number fail once.
    pub fn fail_read_at(&self, read_number: u64) {
        self.disk.lock().read_faults.insert(read_number);
    }

    /// Lets operations up to this number happen; each later one, and then every read, fails.
    pub fn power_cut_after(&self, operation_number: u64) {
        self.disk.lock().power_cut_after = Some(operation_number);
    }

    /// Bounds the bytes in files; appends beyond it write what fits and fail with `DiskFull`.
    pub fn set_capacity_bytes(&self, capacity_bytes: u64) {
        self.disk.lock().capacity_bytes = capacity_bytes;
    }

    /// What was done so far. The next operation has the number `operations + 1`.
    pub fn counters(&self) -> Counters {
        self.disk.lock().counters
    }

    /// Changes that no sync has covered.
    pub fn pending_changes(&self) -> usize {
        self.disk.lock().pending.len()
    }

    /// The disk that is found after a power cut now. Everything on it is durable, and nothing is open.
    pub fn crash_image(&self, policy: CrashPolicy) -> Self {
        SimulatedFileSystem::of(crash::image(&self.disk.lock(), policy))
    }

    /// A representative set of crash images: nothing, everything, `prefixes` evenly spread prefixes and one random
    /// image for each of the `seeds`.
    pub fn crash_images(&self, prefixes: usize, seeds: std::ops::Range<u64>) -> Vec<(CrashPolicy, Self)> {
        let pending = self.pending_changes();
        let mut policies = vec![CrashPolicy::Nothing, CrashPolicy::Everything];
        policies.extend((1..=prefixes).map(|i| CrashPolicy::Prefix(i * pending / (prefixes + 1))));
        policies.extend(seeds.map(CrashPolicy::Random));
        policies.into_iter().map(|policy| (policy, self.crash_image(policy))).collect()
    }

    /// All files, each with its length, sorted by path.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        self.disk.lock().files()
    }

    /// Flips one bit of a file, as it is seen and as it is on the disk.
    pub fn flip_bit(&self, path: &Path, bit: u64) -> Result<()> {
        let mut disk = self.disk.lock();
        let id = disk.file_at(path, "flip bit")?;
        disk.damage(id, |bytes| {
            if let Some(byte) = bytes.get_mut((bit / 8) as usize) {
                *byte ^= 1 << (bit % 8);
            }
        })
    }

    /// Replaces the content of a file by durable bytes, creating the file when its directory is there.
    pub fn overwrite(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let mut disk = self.disk.lock();
        let id = disk.create(path, "overwrite")?;
        disk.sync_file(id);
        disk.make_path_durable(path)?;
        disk.damage(id, |content| *content = bytes.to_vec())
    }
}

impl FileSystem for SimulatedFileSystem {
    fn create_dir_all(&self, path: &Path) -> Result<()> {
        let mut ancestors: Vec<&Path> = path.ancestors().collect();
        ancestors.reverse();
        for pair in ancestors.windows(2) {
            let [parent, child] = pair else { continue };
            if self.disk.lock().make_dir(child)? {
                self.sync_dir(parent)?;
            }
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> Result<Vec<DirEntry>> {
        let mut disk = self.disk.lock();
        disk.begin_read("list directory", path)?;
        disk.list(path)
    }

    fn create(&self, path: &Path) -> Result<Box<dyn WritableFile>> {
        let mut disk = self.disk.lock();
        disk.begin("create file", path)?;
        let id = disk.create(path, "create file")?;
        Ok(Box::new(self.handle(&mut disk, id, path)))
    }

    fn open_writable(&self, path: &Path) -> Result<Box<dyn WritableFile>> {
        let mut disk = self.disk.lock();
        disk.begin_read("open file for writing", path)?;
        let id = disk.file_at(path, "open file for writing")?;
        Ok(Box::new(self.handle(&mut disk, id, path)))
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn ReadableFile>> {
        let mut disk = self.disk.lock();
        disk.begin_read("open file", path)?;
        let id = disk.file_at(path, "open file")?;
        Ok(Arc::new(self.handle(&mut disk, id, path)))
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.begin("link file", to)?;
        disk.link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.begin("rename", from)?;
        disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.begin("remove file", path)?;
        disk.file_at(path, "remove file")?;
        disk.remove_entry(path)
    }

    fn remove_dir_all(&self, path: &Path) -> Result<()> {
        // Entries go one by one, as the operating system does it, so that a power cut leaves a part of them.
        let entries = match self.disk.lock().list(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let child = path.join(&entry.name);
            if entry.is_dir { self.remove_dir_all(&child)? } else { self.remove_file(&child)? }
        }
        let mut disk = self.disk.lock();
        disk.begin("remove directory", path)?;
        disk.remove_entry(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.begin("sync directory", path)?;
        disk.counters.dir_syncs += 1;
        disk.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>> {
        let mut disk = self.disk.lock();
        let id = match disk.file_at(path, "lock") {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                disk.begin("lock", path)?;
                disk.create(path, "lock")?
            }
            found => found?,
        };
        if !disk.locked.insert(id) {
            let held = Error::new(ErrorKind::FailedPrecondition, "lock", "another process holds the lock");
            return Err(held.about(path.display()));
        }
        Ok(Box::new(LockGuard { disk: self.disk.clone(), id }))
    }

    fn space(&self, _path: &Path) -> Result<DiskSpace> {
        let disk = self.disk.lock();
        Ok(DiskSpace { free: disk.free_bytes(), total: disk.capacity_bytes })
    }
}

impl SimulatedFileSystem {
    fn handle(&self, disk: &mut Disk, id: Id, path: &Path) -> Handle {
        disk.opened(id);
        Handle { disk: self.disk.clone(), id, path: path.into() }
    }
}

struct LockGuard {
    disk: Arc<Mutex<Disk>>,
    id: Id,
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.disk.lock().locked.remove(&self.id);
    }
}

/// An open file; it stays usable when its name is removed.
struct Handle {
    disk: Arc<Mutex<Disk>>,
    id: Id,
    path: PathBuf,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.disk.lock().closed(self.id);
    }
}

impl WritableFile for Handle {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let mut disk = self.disk.lock();
        let fault = disk.begin_faulty("append to file", &self.path)?;
        let (written, failure) = match fault {
            None => (bytes.len().min(usize::try_from(disk.free_bytes()).unwrap_or(usize::MAX)), None),
            Some(Fault::Eio) => (0, Some(Fault::Eio)),
            Some(fault) => (bytes.len() / 2, Some(fault)),
        };
        disk.append(self.id, &bytes[..written]);
        match failure {
            None if written == bytes.len() => Ok(()),
            None => Err(disk::fault_error(Fault::Enospc, "append to file", &self.path)),
            Some(fault) => Err(disk::fault_error(fault, "append to file", &self.path)),
        }
    }

    fn rewrite(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.begin("rewrite file", &self.path)?;
        if disk.rewrite(self.id, bytes, offset as usize) {
            return Ok(());
        }
        let outside = std::io::Error::from(std::io::ErrorKind::InvalidInput);
        Err(Error::io("rewrite file", self.path.display(), outside))
    }

    fn truncate(&mut self, length: u64) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.begin("truncate file", &self.path)?;
        disk.set_length(self.id, length as usize);
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.counters.file_syncs += 1;
        if let Some(fault) = disk.begin_faulty("sync file", &self.path)? {
            disk.forget_pending(self.id);
            return Err(disk::fault_error(fault, "sync file", &self.path));
        }
        disk.sync_file(self.id);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.disk.lock().content(self.id).len() as u64
    }
}

impl ReadableFile for Handle {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.begin_read("read file", &self.path)?;
        disk.counters.bytes_read += buffer.len() as u64;
        let content = disk.content(self.id);
        let found = usize::try_from(offset).ok().and_then(|at| content.get(at..)?.get(..buffer.len()));
        let Some(found) = found else {
            let end = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
            return Err(Error::io("read file", self.path.display(), end));
        };
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        Ok(self.disk.lock().content(self.id).len() as u64)
    }
}
