//! Where schema documents live: a trait, so that the registry is tested without an engine.

use super::kind::Kind;
use parking_lot::Mutex;
use pipal_model::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a document is about. Groups and deletion tasks have an empty `group` and an empty `name` respectively.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentKey {
    /// Kind of the object.
    pub kind: Kind,
    /// Group of the object.
    pub group: Box<str>,
    /// Name of the object.
    pub name: Box<str>,
}

/// One schema object as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What it is about; at most one live document has this key.
    pub key: DocumentKey,
    /// Version of the document in nanoseconds; a greater one replaces a smaller one.
    pub revision: i64,
    /// Groups: incarnation of the group's rows. Deletion tasks: the incarnation that goes. Else 0.
    pub incarnation: u64,
    /// The protobuf message, verbatim; none once the object is deleted.
    pub body: Option<Vec<u8>>,
}

/// Called once, from any thread, when documents are durable or have failed to become so.
pub type Completion = Box<dyn FnOnce(Result<()>) + Send>;

/// Keeps the newest revision of every document.
pub trait SchemaStore: Send + Sync {
    /// Every document, deleted ones included, in any order.
    fn load(&self) -> Result<Vec<Document>>;

    /// Stores documents durably, all of them or none, and then calls `done`. Callers that arrive together may
    /// share one sync.
    fn put(&self, documents: Vec<Document>, done: Completion);
}

/// A put that waits for [`MemoryStore::release`].
type HeldPut = (Vec<Document>, Completion);

/// A store without a disk, for tests: keeps documents over "restarts" of a registry, fails or waits on demand.
#[derive(Default)]
pub struct MemoryStore {
    documents: Mutex<HashMap<DocumentKey, Document>>,
    failing: AtomicBool,
    held: Mutex<Option<Vec<HeldPut>>>,
}

impl MemoryStore {
    /// Makes every later put fail, or work again.
    pub fn fail(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }

    /// Makes every later put wait for [`MemoryStore::release`].
    pub fn hold(&self) {
        *self.held.lock() = Some(Vec::new());
    }

    /// How many puts wait.
    pub fn held(&self) -> usize {
        self.held.lock().as_ref().map_or(0, Vec::len)
    }

    /// Does the puts that wait, and makes later ones wait no more.
    pub fn release(&self) {
        let held = self.held.lock().take();
        for (documents, done) in held.into_iter().flatten() {
            self.store(documents);
            done(Ok(()));
        }
    }

    fn store(&self, documents: Vec<Document>) {
        let mut stored = self.documents.lock();
        for document in documents {
            let newer = stored.get(&document.key).is_none_or(|old| old.revision <= document.revision);
            if newer {
                stored.insert(document.key.clone(), document);
            }
        }
    }
}

impl SchemaStore for MemoryStore {
    fn load(&self) -> Result<Vec<Document>> {
        Ok(self.documents.lock().values().cloned().collect())
    }

    fn put(&self, documents: Vec<Document>, done: Completion) {
        if self.failing.load(Ordering::SeqCst) {
            return done(Err(Error::new(ErrorKind::ReadOnly, "put", "asked to fail")));
        }
        if let Some(held) = self.held.lock().as_mut() {
            return held.push((documents, done));
        }
        self.store(documents);
        done(Ok(()));
    }
}
