//! The state of the simulated disk: what is seen, what is durable, and what is pending between the two.

use super::super::DirEntry;
use super::{Counters, Fault};
use pipal_model::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};

/// Identity of a file or directory, whatever its names are.
pub(super) type Id = u64;
pub(super) const ROOT: Id = 0;

const CAPACITY_BYTES_DEFAULT: u64 = 1 << 40;

/// A file: what processes see, and what the disk holds for certain.
#[derive(Clone, Default)]
pub(super) struct FileNode {
    pub content: Vec<u8>,
    pub durable: Vec<u8>,
    pub links: usize,
    pub open: usize,
}

/// A directory, seen and durable.
#[derive(Clone, Default)]
pub(super) struct DirNode {
    pub entries: BTreeMap<String, Id>,
    pub durable: BTreeMap<String, Id>,
}

#[derive(Clone)]
pub(super) enum Node {
    File(FileNode),
    Dir(DirNode),
}

/// One change of one directory entry: the name then leads to `after`, or, without it, no longer to `before`.
#[derive(Clone)]
pub(super) struct EntryEdit {
    pub dir: Id,
    pub name: String,
    pub before: Option<Id>,
    pub after: Option<Id>,
}

/// A change that no sync has covered. A forgotten one was part of a failed sync: later syncs pass it over.
#[derive(Clone)]
pub(super) enum Change {
    Write { file: Id, offset: usize, bytes: Vec<u8>, forgotten: bool },
    Length { file: Id, length: usize, forgotten: bool },
    Entries(Vec<EntryEdit>),
}

impl Change {
    /// The file whose data or length this changes.
    pub(super) fn file(&self) -> Option<Id> {
        match self {
            Change::Write { file, .. } | Change::Length { file, .. } => Some(*file),
            Change::Entries(_) => None,
        }
    }
}

#[derive(Clone)]
pub(super) struct Disk {
    pub nodes: BTreeMap<Id, Node>,
    next_id: Id,
    pub pending: Vec<Change>,
    pub faults: BTreeMap<u64, Fault>,
    pub read_faults: BTreeSet<u64>,
    pub power_cut_after: Option<u64>,
    power_is_off: bool,
    pub capacity_bytes: u64,
    pub used_bytes: u64,
    pub counters: Counters,
    pub locked: BTreeSet<Id>,
    nodes_after_sweep: usize,
}

/// Applies an edit to the entries of its directory.
pub(super) fn apply_edit(entries: &mut BTreeMap<String, Id>, edit: &EntryEdit) {
    match edit.after {
        Some(id) => {
            entries.insert(edit.name.clone(), id);
        }
        None if entries.get(&edit.name).copied() == edit.before => {
            entries.remove(&edit.name);
        }
        None => {}
    }
}

/// The error of an injected fault.
pub(super) fn fault_error(fault: Fault, operation: &'static str, path: &Path) -> Error {
    let cause = match fault {
        Fault::Eio => io::Error::other("the device reported an error"),
        Fault::Enospc => io::Error::from(io::ErrorKind::StorageFull),
        Fault::ShortWrite => io::Error::from(io::ErrorKind::WriteZero),
    };
    Error::io(operation, path.display(), cause)
}

fn failure(kind: io::ErrorKind, operation: &'static str, path: &Path) -> Error {
    Error::io(operation, path.display(), io::Error::from(kind))
}

impl Disk {
    pub(super) fn new() -> Self {
        Disk::with_nodes(BTreeMap::from([(ROOT, Node::Dir(DirNode::default()))]), CAPACITY_BYTES_DEFAULT)
    }

    /// A disk on which everything is durable and nothing is open.
    pub(super) fn with_nodes(nodes: BTreeMap<Id, Node>, capacity_bytes: u64) -> Self {
        let mut disk = Disk {
            next_id: nodes.keys().last().map_or(1, |id| id + 1),
            nodes,
            pending: Vec::new(),
            faults: BTreeMap::new(),
            read_faults: BTreeSet::new(),
            power_cut_after: None,
            power_is_off: false,
            capacity_bytes,
            used_bytes: 0,
            counters: Counters::default(),
            locked: BTreeSet::new(),
            nodes_after_sweep: 0,
        };
        disk.recount_links();
        disk
    }

    pub(super) fn recount_links(&mut self) {
        let mut links: BTreeMap<Id, usize> = BTreeMap::new();
        for node in self.nodes.values() {
            if let Node::Dir(dir) = node {
                dir.entries.values().for_each(|&id| *links.entry(id).or_default() += 1);
            }
        }
        self.used_bytes = 0;
        for (id, node) in &mut self.nodes {
            if let Node::File(file) = node {
                file.links = links.get(id).copied().unwrap_or(0);
                file.open = 0;
                self.used_bytes += if file.links > 0 { file.content.len() as u64 } else { 0 };
            }
        }
    }

    /// Forgets open files and locks, as when every process has died.
    pub(super) fn close_all(&mut self) {
        self.locked.clear();
        self.recount_links();
    }

    pub(super) fn free_bytes(&self) -> u64 {
        self.capacity_bytes.saturating_sub(self.used_bytes)
    }

    // Numbering and faults.

    /// Numbers an operation; gives the fault it has to fail with.
    pub(super) fn begin_faulty(&mut self, operation: &'static str, path: &Path) -> Result<Option<Fault>> {
        self.counters.operations += 1;
        let number = self.counters.operations;
        self.power_is_off |= self.power_cut_after.is_some_and(|last| number > last);
        self.check_power(operation, path)?;
        Ok(self.faults.remove(&number))
    }

    /// Numbers an operation that a fault makes fail without any effect.
    pub(super) fn begin(&mut self, operation: &'static str, path: &Path) -> Result<()> {
        match self.begin_faulty(operation, path)? {
            Some(fault) => Err(fault_error(fault, operation, path)),
            None => Ok(()),
        }
    }

    pub(super) fn begin_read(&mut self, operation: &'static str, path: &Path) -> Result<()> {
        self.counters.reads += 1;
        self.check_power(operation, path)?;
        if self.read_faults.remove(&self.counters.reads) {
            return Err(fault_error(Fault::Eio, operation, path));
        }
        Ok(())
    }

    fn check_power(&self, operation: &'static str, path: &Path) -> Result<()> {
        if self.power_is_off {
            return Err(Error::new(ErrorKind::Io, operation, "the power is off").about(path.display()));
        }
        Ok(())
    }

    // Names.

    fn dir(&self, id: Id) -> Option<&DirNode> {
        match self.nodes.get(&id) {
            Some(Node::Dir(dir)) => Some(dir),
            _ => None,
        }
    }

    fn find(&self, path: &Path, operation: &'static str) -> Result<Id> {
        let mut id = ROOT;
        for component in path.components() {
            match component {
                Component::RootDir | Component::CurDir => {}
                Component::Normal(name) => {
                    let name = name.to_string_lossy();
                    let dir =
                        self.dir(id).ok_or_else(|| failure(io::ErrorKind::NotADirectory, operation, path))?;
                    let child = dir.entries.get(&*name);
                    id = *child.ok_or_else(|| failure(io::ErrorKind::NotFound, operation, path))?;
                }
                _ => return Err(failure(io::ErrorKind::InvalidInput, operation, path)),
            }
        }
        Ok(id)
    }

    pub(super) fn file_at(&self, path: &Path, operation: &'static str) -> Result<Id> {
        let id = self.find(path, operation)?;
        match self.nodes.get(&id) {
            Some(Node::File(_)) => Ok(id),
            _ => Err(failure(io::ErrorKind::IsADirectory, operation, path)),
        }
    }

    fn dir_at(&self, path: &Path, operation: &'static str) -> Result<Id> {
        let id = self.find(path, operation)?;
        self.dir(id).map(|_| id).ok_or_else(|| failure(io::ErrorKind::NotADirectory, operation, path))
    }

    /// The directory and the name of a path whose directory exists.
    fn place(&self, path: &Path, operation: &'static str) -> Result<(Id, String)> {
        let name = path.file_name().ok_or_else(|| failure(io::ErrorKind::InvalidInput, operation, path))?;
        let parent = self.dir_at(path.parent().unwrap_or(Path::new("")), operation)?;
        Ok((parent, name.to_string_lossy().into_owned()))
    }

    pub(super) fn list(&self, path: &Path) -> Result<Vec<DirEntry>> {
        let id = self.dir_at(path, "list directory")?;
        let entries = self.dir(id).into_iter().flat_map(|dir| &dir.entries);
        Ok(entries
            .map(|(name, &id)| DirEntry { name: name.clone(), is_dir: self.dir(id).is_some() })
            .collect())
    }

    pub(super) fn files(&self) -> Vec<(PathBuf, u64)> {
        let mut found = Vec::new();
        let mut directories = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, id)) = directories.pop() {
            for (name, &child) in self.dir(id).into_iter().flat_map(|dir| &dir.entries) {
                match self.nodes.get(&child) {
                    Some(Node::File(file)) => found.push((path.join(name), file.content.len() as u64)),
                    Some(Node::Dir(_)) => directories.push((path.join(name), child)),
                    None => {}
                }
            }
        }
        found.sort_unstable();
        found
    }

    // Changes of directories.

    fn add_node(&mut self, node: Node) -> Id {
        let id = self.next_id;
        self.next_id += 1;
        self.nodes.insert(id, node);
        id
    }

    fn edit_entries(&mut self, edits: Vec<EntryEdit>) {
        for edit in &edits {
            if let Some(Node::Dir(dir)) = self.nodes.get_mut(&edit.dir) {
                let replaced = dir.entries.get(&edit.name).copied();
                apply_edit(&mut dir.entries, edit);
                self.change_links(replaced, false);
                self.change_links(edit.after, true);
            }
        }
        self.pending.push(Change::Entries(edits));
    }

    fn change_links(&mut self, id: Option<Id>, up: bool) {
        let Some(Node::File(file)) = id.and_then(|id| self.nodes.get_mut(&id)) else { return };
        let length = file.content.len() as u64;
        match (up, file.links) {
            (true, 0) => self.used_bytes += length,
            (false, 1) => self.used_bytes -= length,
            _ => {}
        }
        file.links = if up { file.links + 1 } else { file.links.saturating_sub(1) };
    }

    /// The file at the path, new or emptied.
    pub(super) fn create(&mut self, path: &Path, operation: &'static str) -> Result<Id> {
        match self.file_at(path, operation) {
            Ok(id) => {
                self.set_length(id, 0);
                return Ok(id);
            }
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            Err(_) => {}
        }
        let (dir, name) = self.place(path, operation)?;
        let id = self.add_node(Node::File(FileNode::default()));
        self.edit_entries(vec![EntryEdit { dir, name, before: None, after: Some(id) }]);
        Ok(id)
    }

    /// Makes one directory; false when it is there already.
    pub(super) fn make_dir(&mut self, path: &Path) -> Result<bool> {
        match self.dir_at(path, "create directory") {
            Ok(_) => return Ok(false),
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            Err(_) => {}
        }
        self.begin("create directory", path)?;
        let (dir, name) = self.place(path, "create directory")?;
        let id = self.add_node(Node::Dir(DirNode::default()));
        self.edit_entries(vec![EntryEdit { dir, name, before: None, after: Some(id) }]);
        Ok(true)
    }

    pub(super) fn link(&mut self, from: &Path, to: &Path) -> Result<()> {
        let id = self.file_at(from, "link file")?;
        let (dir, name) = self.place(to, "link file")?;
        if self.find(to, "link file").is_ok() {
            return Err(failure(io::ErrorKind::AlreadyExists, "link file", to));
        }
        self.edit_entries(vec![EntryEdit { dir, name, before: None, after: Some(id) }]);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<()> {
        let id = self.find(from, "rename")?;
        let (from_dir, from_name) = self.place(from, "rename")?;
        let (to_dir, to_name) = self.place(to, "rename")?;
        match self.find(to, "rename") {
            Ok(target) if target == id => return Ok(()),
            Ok(target) if self.dir(target).is_some() || self.dir(id).is_some() => {
                return Err(failure(io::ErrorKind::AlreadyExists, "rename", to));
            }
            _ => {}
        }
        self.edit_entries(vec![
            EntryEdit { dir: to_dir, name: to_name, before: None, after: Some(id) },
            EntryEdit { dir: from_dir, name: from_name, before: Some(id), after: None },
        ]);
        Ok(())
    }

    /// Removes the name of a file or of an empty directory.
    pub(super) fn remove_entry(&mut self, path: &Path) -> Result<()> {
        let id = self.find(path, "remove")?;
        let (dir, name) = self.place(path, "remove")?;
        self.edit_entries(vec![EntryEdit { dir, name, before: Some(id), after: None }]);
        Ok(())
    }

    /// Makes the entries of a directory durable, with what else they cannot be separated from: a rename between
    /// two directories is atomic, and changes of one name keep their order.
    pub(super) fn sync_dir(&mut self, path: &Path) -> Result<()> {
        let synced = self.dir_at(path, "sync directory")?;
        let mut drawn_in: BTreeSet<(Id, String)> = BTreeSet::new();
        let mut kept = Vec::new();
        let mut durable = Vec::new();
        for change in std::mem::take(&mut self.pending).into_iter().rev() {
            let Change::Entries(edits) = change else {
                kept.push(change);
                continue;
            };
            let belongs =
                edits.iter().any(|e| e.dir == synced || drawn_in.contains(&(e.dir, e.name.clone())));
            if belongs {
                drawn_in.extend(edits.iter().map(|e| (e.dir, e.name.clone())));
                durable.push(edits);
            } else {
                kept.push(Change::Entries(edits));
            }
        }
        kept.reverse();
        self.pending = kept;
        for edit in durable.iter().rev().flatten() {
            if let Some(Node::Dir(dir)) = self.nodes.get_mut(&edit.dir) {
                apply_edit(&mut dir.durable, edit);
            }
        }
        self.sweep();
        Ok(())
    }

    /// Makes the names that lead to a path durable.
    pub(super) fn make_path_durable(&mut self, path: &Path) -> Result<()> {
        path.ancestors().skip(1).try_for_each(|parent| self.sync_dir(parent))
    }

    /// Drops nodes that no name, no pending change and no handle leads to, now and then.
    fn sweep(&mut self) {
        if self.nodes.len() < 64 + 2 * self.nodes_after_sweep {
            return;
        }
        let mut used: BTreeSet<Id> = BTreeSet::from([ROOT]);
        for node in self.nodes.values() {
            if let Node::Dir(dir) = node {
                used.extend(dir.entries.values().chain(dir.durable.values()));
            }
        }
        for change in &self.pending {
            if let Change::Entries(edits) = change {
                used.extend(edits.iter().filter_map(|e| e.after));
            }
        }
        self.nodes.retain(|id, node| used.contains(id) || matches!(node, Node::File(f) if f.open > 0));
        self.pending.retain(|change| change.file().is_none_or(|file| self.nodes.contains_key(&file)));
        self.nodes_after_sweep = self.nodes.len();
    }
}
