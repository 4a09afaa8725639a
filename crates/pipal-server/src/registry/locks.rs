//! Locks that put changes of one object, and changes of a group against those of its objects, into an order.
//!
//! A change holds the lock of its group for reading and that of its object; a change of the group itself holds
//! the group's for writing. Groups come before objects, so nothing waits in a circle. Names share a fixed
//! number of locks: two names on one lock only wait for each other.

use super::kind::Kind;
use std::hash::{BuildHasher, RandomState};
use tokio::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Locks of each sort.
const STRIPES: usize = 256;

/// The locks of a registry. Readers of the schema take none of them.
pub struct Locks {
    hasher: RandomState,
    groups: Vec<RwLock<()>>,
    objects: Vec<Mutex<()>>,
}

/// What a change of an object holds until it is published.
pub enum GroupGuard<'a> {
    /// Other objects of the group may change meanwhile.
    Shared { _guard: RwLockReadGuard<'a, ()> },
    /// Nothing else of the group changes meanwhile.
    Exclusive { _guard: RwLockWriteGuard<'a, ()> },
}

impl Default for Locks {
    fn default() -> Self {
        Locks {
            hasher: RandomState::new(),
            groups: (0..STRIPES).map(|_| RwLock::new(())).collect(),
            objects: (0..STRIPES).map(|_| Mutex::new(())).collect(),
        }
    }
}

impl Locks {
    /// Waits until the group may be used, alone or beside other objects of it.
    pub async fn group(&self, group: &str, exclusive: bool) -> GroupGuard<'_> {
        let lock = &self.groups[self.stripe(group)];
        match exclusive {
            true => GroupGuard::Exclusive { _guard: lock.write().await },
            false => GroupGuard::Shared { _guard: lock.read().await },
        }
    }

    /// Waits until no other change of the object is on its way.
    pub async fn object(&self, kind: Kind, group: &str, name: &str) -> MutexGuard<'_, ()> {
        self.objects[self.stripe((kind, group, name))].lock().await
    }

    fn stripe(&self, key: impl std::hash::Hash) -> usize {
        // The remainder is below the number of locks.
        (self.hasher.hash_one(key) % STRIPES as u64) as usize
    }
}
