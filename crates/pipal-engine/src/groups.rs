//! All groups of an engine.

use crate::counters::Counters;
use crate::scan::{SegmentSnapshot, Snapshot};
use crate::store::{DataDir, Group, GroupOptions, Segment};
use crate::table::{Table, TableContext};
use crate::table_key::{GroupId, TableKey};
use arc_swap::ArcSwap;
use hashbrown::HashMap;
use parking_lot::Mutex;
use pipal_model::{Error, ErrorKind, Result, TimeRange};
use std::path::Path;
use std::sync::Arc;

/// Groups by incarnation; read without a lock.
pub(crate) struct Groups {
    data_dir: DataDir,
    context: Arc<TableContext>,
    groups: ArcSwap<HashMap<GroupId, Arc<Group>>>,
    change: Mutex<()>,
}

impl Groups {
    pub fn new(data_dir: DataDir, context: Arc<TableContext>) -> Self {
        Groups { data_dir, context, groups: ArcSwap::default(), change: Mutex::new(()) }
    }

    pub fn counters(&self) -> &Counters {
        &self.context.counters
    }

    /// The data directory.
    pub fn root(&self) -> &Path {
        self.data_dir.root()
    }

    pub fn context(&self) -> &Arc<TableContext> {
        &self.context
    }

    pub fn all(&self) -> Vec<Arc<Group>> {
        self.groups.load().values().cloned().collect()
    }

    /// A group, or an error that says that it is not open.
    pub fn get(&self, id: GroupId) -> Result<Arc<Group>> {
        self.groups.load().get(&id).cloned().ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "find group", "no such group is open")
                .about(format!("group {id:016x}"))
        })
    }

    /// Gets or makes a group.
    pub fn get_or_make(&self, id: GroupId) -> Arc<Group> {
        if let Some(group) = self.groups.load().get(&id) {
            return group.clone();
        }
        let _change = self.change.lock();
        let mut groups = HashMap::clone(&self.groups.load());
        let make = || Arc::new(Group::new(id, self.data_dir.group(id), self.context.clone()));
        let group = groups.entry(id).or_insert_with(make).clone();
        self.groups.store(Arc::new(groups));
        group
    }

    pub fn put(&self, id: GroupId, options: GroupOptions) {
        self.get_or_make(id).set_options(options);
    }

    /// The table that a logged row belongs to; none when its group is gone.
    pub fn table(&self, key: &TableKey) -> Option<Arc<Table>> {
        let group = self.groups.load().get(&key.group).cloned()?;
        Some(group.segment(key.segment).table(key.shard))
    }

    /// All tables with their segments.
    pub fn tables(&self) -> Vec<(Arc<Segment>, Arc<Table>)> {
        let mut tables = Vec::new();
        for group in self.groups.load().values() {
            for segment in group.segments().iter() {
                tables.extend(segment.tables().values().map(|t| (segment.clone(), t.clone())));
            }
        }
        tables
    }

    /// Forgets a group and renames its directory to one that proves that it may go. May be called again.
    pub fn drop_group(&self, id: GroupId) -> Result<()> {
        let removed = {
            let _change = self.change.lock();
            let mut groups = HashMap::clone(&self.groups.load());
            let removed = groups.remove(&id);
            self.groups.store(Arc::new(groups));
            removed
        };
        if let Some(group) = removed {
            group.close_gate();
            for segment in group.segments().iter() {
                segment.tables().values().for_each(|table| table.abandon());
            }
        }
        let fs = &self.context.fs;
        let (from, to) = (self.data_dir.group(id), self.data_dir.dropped_group(id));
        match fs.rename(&from, &to) {
            Ok(()) => fs.sync_dir(&self.data_dir.groups())?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.context.reaper.add_tree(to);
        Ok(())
    }

    /// Removes the segments that have expired; returns their number.
    pub fn expire(&self) -> Result<u64> {
        let mut count = 0;
        for group in self.groups.load().values() {
            for segment in group.take_expired() {
                tracing::info!(group = group.id, start = segment.bounds().start, "a segment has expired");
                segment.tables().values().for_each(|table| table.abandon());
                self.context.counters.segments_expired.add(1);
                count += 1;
                segment.remove_files()?;
            }
        }
        Ok(count)
    }

    /// What a query sees of a group; to be called inside the publish gate.
    pub fn snapshot(&self, id: GroupId, range: TimeRange) -> Result<Snapshot> {
        let group = self.get(id)?;
        let mut segments = Vec::new();
        for segment in group.live_segments() {
            if !segment.bounds().overlaps(&range) {
                continue;
            }
            let tables = segment.tables();
            let snapshots = tables.values().map(|t| t.snapshot()).filter(|t| t.source_count() > 0);
            let tables: Vec<_> = snapshots.collect();
            if !tables.is_empty() {
                segments.push(SegmentSnapshot { bounds: segment.bounds(), tables });
            }
        }
        Ok(Snapshot { segments })
    }
}
