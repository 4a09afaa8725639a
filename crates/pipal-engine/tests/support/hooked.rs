//! A simulated disk that does something else right before a link is made.

use parking_lot::Mutex;
use pipal_engine::fs::{DirEntry, DiskSpace, FileSystem, ReadableFile, SimulatedFileSystem, WritableFile};
use pipal_model::Result;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Hook = (PathBuf, Box<dyn FnOnce() + Send>);

#[derive(Default)]
pub struct HookedFileSystem {
    inner: SimulatedFileSystem,
    hook: Mutex<Option<Hook>>,
}

impl HookedFileSystem {
    /// Runs `hook` once, before the first link below `dir`.
    pub fn before_link_below(&self, dir: &str, hook: impl FnOnce() + Send + 'static) {
        *self.hook.lock() = Some((dir.into(), Box::new(hook)));
    }
}

impl FileSystem for HookedFileSystem {
    fn create_dir_all(&self, path: &Path) -> Result<()> {
        self.inner.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> Result<Vec<DirEntry>> {
        self.inner.list(path)
    }
    fn create(&self, path: &Path) -> Result<Box<dyn WritableFile>> {
        self.inner.create(path)
    }
    fn open_writable(&self, path: &Path) -> Result<Box<dyn WritableFile>> {
        self.inner.open_writable(path)
    }
    fn open(&self, path: &Path) -> Result<Arc<dyn ReadableFile>> {
        self.inner.open(path)
    }
    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        let hook = self.hook.lock().take_if(|(dir, _)| to.starts_with(dir));
        if let Some((_, hook)) = hook {
            hook();
        }
        self.inner.link(from, to)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.inner.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> Result<()> {
        self.inner.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> Result<()> {
        self.inner.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.inner.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>> {
        self.inner.lock(path)
    }
    fn space(&self, path: &Path) -> Result<DiskSpace> {
        self.inner.space(path)
    }
}
