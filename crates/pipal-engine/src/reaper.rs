//! Removes what is provably not needed any more, away from the threads that serve, and moves aside what nobody
//! can prove anything about.

use crate::fs::FileSystem;
use parking_lot::{Condvar, Mutex};
use pipal_model::{ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file or a directory that nothing refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condemned {
    File(PathBuf),
    Tree(PathBuf),
}

/// Queue of files to remove. Removal never happens in a thread that answers clients.
pub(crate) struct Reaper {
    fs: Arc<dyn FileSystem>,
    queue: Mutex<Vec<Condemned>>,
    wake: Condvar,
}

impl Reaper {
    pub fn new(fs: Arc<dyn FileSystem>) -> Self {
        Reaper { fs, queue: Mutex::new(Vec::new()), wake: Condvar::new() }
    }

    /// Condemns a file.
    pub fn add_file(&self, path: PathBuf) {
        self.add(Condemned::File(path));
    }

    /// Condemns a directory with everything in it.
    pub fn add_tree(&self, path: PathBuf) {
        self.add(Condemned::Tree(path));
    }

    fn add(&self, condemned: Condemned) {
        self.queue.lock().push(condemned);
        self.wake.notify_one();
    }

    /// Number of files and trees that wait.
    pub fn pending(&self) -> usize {
        self.queue.lock().len()
    }

    /// Removes everything that waits. What fails waits for the next round; the first error is returned.
    pub fn run(&self) -> Result<()> {
        let condemned = std::mem::take(&mut *self.queue.lock());
        let mut first_error = None;
        for item in condemned {
            let result = match &item {
                Condemned::File(path) => match self.fs.remove_file(path) {
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                    result => result,
                },
                Condemned::Tree(path) => self.fs.remove_dir_all(path),
            };
            if let Err(error) = result {
                tracing::warn!(%error, "a file that is not needed any more could not be removed");
                self.queue.lock().push(item);
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Waits until something is condemned or the time is over.
    pub fn wait(&self, timeout: std::time::Duration) {
        let mut queue = self.queue.lock();
        if queue.is_empty() {
            self.wake.wait_for(&mut queue, timeout);
        }
    }
}

/// The directory for files that cannot be served and must not be lost. Nothing in it is ever removed by us.
pub(crate) struct Quarantine {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    count: AtomicU64,
}

impl Quarantine {
    pub fn new(fs: Arc<dyn FileSystem>, dir: PathBuf) -> Self {
        Quarantine { fs, dir, count: AtomicU64::new(0) }
    }

    /// Moves a file or directory aside, with the reason beside it. `label` says where it was.
    pub fn take(&self, path: &Path, label: &str, reason: &str) -> Result<()> {
        self.fs.create_dir_all(&self.dir)?;
        let name = path.file_name().map_or_else(|| "unnamed".into(), |n| n.to_string_lossy().into_owned());
        let mut target = self.dir.join(format!("{label}-{name}"));
        for attempt in 1u32.. {
            let taken = self
                .fs
                .list(&self.dir)?
                .iter()
                .any(|e| Some(e.name.as_str()) == target.file_name().and_then(|n| n.to_str()));
            if !taken {
                break;
            }
            target = self.dir.join(format!("{label}-{name}.{attempt}"));
        }
        tracing::error!(from = %path.display(), to = %target.display(), reason, "moved into quarantine");
        self.fs.rename(path, &target)?;
        let mut note = self.fs.create(&target.with_extension("reason.txt"))?;
        note.append(format!("{}: {reason}\n", path.display()).as_bytes())?;
        note.sync()?;
        self.fs.sync_dir(&self.dir)?;
        if let Some(parent) = path.parent() {
            self.fs.sync_dir(parent)?;
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Number of things moved since the start.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}
