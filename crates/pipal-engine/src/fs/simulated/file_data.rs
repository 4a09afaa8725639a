//! Data and length of files on the simulated disk: how they change, become durable or are forgotten.

use super::SECTOR_BYTES;
use super::disk::{Change, Disk, FileNode, Id, Node};
use pipal_model::Result;
use std::collections::BTreeSet;

fn sectors(offset: usize, length: usize) -> std::ops::Range<usize> {
    offset / SECTOR_BYTES..(offset + length).div_ceil(SECTOR_BYTES)
}

impl Disk {
    fn file_mut(&mut self, id: Id) -> Option<&mut FileNode> {
        match self.nodes.get_mut(&id) {
            Some(Node::File(file)) => Some(file),
            _ => None,
        }
    }

    pub(super) fn content(&self, id: Id) -> &[u8] {
        match self.nodes.get(&id) {
            Some(Node::File(file)) => &file.content,
            _ => &[],
        }
    }

    pub(super) fn opened(&mut self, id: Id) {
        if let Some(file) = self.file_mut(id) {
            file.open += 1;
        }
    }

    pub(super) fn closed(&mut self, id: Id) {
        if let Some(file) = self.file_mut(id) {
            file.open = file.open.saturating_sub(1);
        }
    }

    pub(super) fn append(&mut self, id: Id, bytes: &[u8]) {
        let offset = self.content(id).len();
        if bytes.is_empty() {
            return;
        }
        self.set_length(id, offset + bytes.len());
        self.counters.bytes_written += bytes.len() as u64;
        self.rewrite(id, bytes, offset);
    }

    /// Writes inside the file; false when the bytes do not lie there.
    pub(super) fn rewrite(&mut self, id: Id, bytes: &[u8], offset: usize) -> bool {
        let place = self.file_mut(id).and_then(|file| file.content.get_mut(offset..)?.get_mut(..bytes.len()));
        let Some(place) = place else { return false };
        place.copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.pending.push(Change::Write { file: id, offset, bytes: bytes.to_vec(), forgotten: false });
        }
        true
    }

    pub(super) fn set_length(&mut self, id: Id, length: usize) {
        let Some(file) = self.file_mut(id) else { return };
        let before = file.content.len();
        if before == length {
            return;
        }
        file.content.resize(length, 0);
        if file.links > 0 {
            self.used_bytes = self.used_bytes + length as u64 - before as u64;
        }
        self.pending.push(Change::Length { file: id, length, forgotten: false });
    }

    /// Makes data and length of a file durable, except what an earlier failed sync has made the kernel forget.
    pub(super) fn sync_file(&mut self, id: Id) {
        let mut dirty: BTreeSet<usize> = BTreeSet::new();
        let Some(Node::File(file)) = self.nodes.get_mut(&id) else { return };
        let end = file.content.len().max(file.durable.len());
        for change in &self.pending {
            match change {
                Change::Write { file, offset, bytes, forgotten: false } if *file == id => {
                    dirty.extend(sectors(*offset, bytes.len()));
                }
                Change::Length { file, length, forgotten: false } if *file == id && *length < end => {
                    dirty.extend(sectors(*length, end - length));
                }
                _ => {}
            }
        }
        file.durable.resize(file.content.len(), 0);
        for sector in &dirty {
            let start = (sector * SECTOR_BYTES).min(file.content.len());
            let end = (start + SECTOR_BYTES).min(file.content.len());
            file.durable[start..end].copy_from_slice(&file.content[start..end]);
        }
        self.pending.retain(|change| match change {
            Change::Write { file, offset, bytes, forgotten } if *file == id => {
                *forgotten && sectors(*offset, bytes.len()).all(|sector| !dirty.contains(&sector))
            }
            Change::Length { file, .. } => *file != id,
            _ => true,
        });
    }

    /// What a failed sync does: the pending changes of the file may be on disk, and no later sync covers them.
    pub(super) fn forget_pending(&mut self, id: Id) {
        let mut rewritten = Vec::with_capacity(self.pending.len());
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Write { file, offset, bytes, .. } if file == id => {
                    rewritten.extend(by_sector(file, offset, &bytes));
                }
                Change::Length { file, length, .. } if file == id => {
                    rewritten.push(Change::Length { file, length, forgotten: true });
                }
                other => rewritten.push(other),
            }
        }
        self.pending = rewritten;
    }

    /// Changes the bytes of a file behind its back.
    pub(super) fn damage(&mut self, id: Id, mut change: impl FnMut(&mut Vec<u8>)) -> Result<()> {
        let Some(file) = self.file_mut(id) else { return Ok(()) };
        change(&mut file.content);
        change(&mut file.durable);
        let open: Vec<(Id, usize)> = self.open_files();
        self.recount_links();
        open.into_iter().for_each(|(id, count)| self.file_mut(id).into_iter().for_each(|f| f.open = count));
        Ok(())
    }

    fn open_files(&self) -> Vec<(Id, usize)> {
        let open = self.nodes.iter().filter_map(|(&id, node)| match node {
            Node::File(file) if file.open > 0 => Some((id, file.open)),
            _ => None,
        });
        open.collect()
    }
}

/// A forgotten write, cut at the sectors, as each sector has its own fate.
fn by_sector(file: Id, offset: usize, bytes: &[u8]) -> impl Iterator<Item = Change> {
    sectors(offset, bytes.len()).map(move |sector| {
        let start = (sector * SECTOR_BYTES).max(offset);
        let end = ((sector + 1) * SECTOR_BYTES).min(offset + bytes.len());
        let bytes = bytes[start - offset..end - offset].to_vec();
        Change::Write { file, offset: start, bytes, forgotten: true }
    })
}
