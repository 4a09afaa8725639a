//! Locks that put changes of one document into an order, and those of a whole name against them.
//!
//! A change is a look-up, a merge and a write. The change of a document holds the lock of its name for reading and
//! that of the document; deleting all documents of a name holds the name's for writing. Names come before
//! documents, so nothing waits in a circle. Keys share a fixed number of locks: two keys on one lock only wait for
//! each other.

use pipal_engine::GroupId;
use std::hash::{BuildHasher, RandomState};
use tokio::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Locks of names.
const NAMES: usize = 256;
/// Locks of documents. A change holds its lock while the log is synced, so there are many.
const DOCUMENTS: usize = 4_096;

/// The locks of all documents.
pub struct DocumentLocks {
    hasher: RandomState,
    names: Vec<RwLock<()>>,
    documents: Vec<Mutex<()>>,
}

/// Held by the change of one document.
pub struct DocumentGuard<'a> {
    _name: RwLockReadGuard<'a, ()>,
    _document: MutexGuard<'a, ()>,
}

impl Default for DocumentLocks {
    fn default() -> Self {
        DocumentLocks {
            hasher: RandomState::new(),
            names: (0..NAMES).map(|_| RwLock::new(())).collect(),
            documents: (0..DOCUMENTS).map(|_| Mutex::new(())).collect(),
        }
    }
}

impl DocumentLocks {
    /// Waits until no other change of the document is on its way.
    pub async fn document(&self, group: GroupId, name: &str, id: &str) -> DocumentGuard<'_> {
        let of_name = self.names[self.stripe((group, name), NAMES)].read().await;
        let of_document = self.documents[self.stripe((group, name, id), DOCUMENTS)].lock().await;
        DocumentGuard { _name: of_name, _document: of_document }
    }

    /// Waits until no change of any document of the name is on its way.
    pub async fn name(&self, group: GroupId, name: &str) -> RwLockWriteGuard<'_, ()> {
        self.names[self.stripe((group, name), NAMES)].write().await
    }

    fn stripe(&self, key: impl std::hash::Hash, count: usize) -> usize {
        // The remainder is below the number of locks.
        (self.hasher.hash_one(key) % count as u64) as usize
    }
}
