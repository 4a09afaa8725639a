//! The disks that may be found after a power cut.

use super::SECTOR_BYTES;
use super::disk::{Change, DirNode, Disk, Id, Node, ROOT, apply_edit};
use super::random::Random;
use std::collections::{BTreeMap, BTreeSet};

/// Which of the pending changes reached the disk before the power went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPolicy {
    /// None: only what was synced.
    Nothing,
    /// All of them: the process died, the machine did not.
    Everything,
    /// The first so many, in the order in which they were made.
    Prefix(usize),
    /// A subset that the seed decides: entries one by one, lengths and data of files independently, data by sector.
    Random(u64),
}

pub(super) fn image(disk: &Disk, policy: CrashPolicy) -> Disk {
    let mut nodes: BTreeMap<Id, Node> = BTreeMap::new();
    for (&id, node) in &disk.nodes {
        let durable = match node {
            Node::File(file) => {
                Node::File(super::disk::FileNode { content: file.durable.clone(), ..Default::default() })
            }
            Node::Dir(dir) => Node::Dir(DirNode { entries: dir.durable.clone(), ..Default::default() }),
        };
        nodes.insert(id, durable);
    }
    match policy {
        CrashPolicy::Nothing => {}
        CrashPolicy::Everything => disk.pending.iter().for_each(|change| apply(&mut nodes, change)),
        CrashPolicy::Prefix(count) => disk.pending.iter().take(count).for_each(|c| apply(&mut nodes, c)),
        CrashPolicy::Random(seed) => scatter(disk, &mut nodes, &mut Random::new(seed)),
    }
    Disk::with_nodes(settle(nodes), disk.capacity_bytes)
}

/// Applies one whole change.
fn apply(nodes: &mut BTreeMap<Id, Node>, change: &Change) {
    match change {
        Change::Entries(edits) => {
            for edit in edits {
                if let Some(Node::Dir(dir)) = nodes.get_mut(&edit.dir) {
                    apply_edit(&mut dir.entries, edit);
                }
            }
        }
        Change::Length { file, length, .. } => {
            if let Some(Node::File(file)) = nodes.get_mut(file) {
                file.content.resize(*length, 0);
            }
        }
        Change::Write { file, offset, bytes, .. } => {
            if let Some(Node::File(file)) = nodes.get_mut(file) {
                overlay(&mut file.content, *offset, bytes);
            }
        }
    }
}

/// Copies bytes to an offset as far as the content reaches.
fn overlay(content: &mut [u8], offset: usize, bytes: &[u8]) {
    let end = (offset + bytes.len()).min(content.len());
    if offset < end {
        content[offset..end].copy_from_slice(&bytes[..end - offset]);
    }
}

/// Applies a random subset of what is pending.
fn scatter(disk: &Disk, nodes: &mut BTreeMap<Id, Node>, random: &mut Random) {
    let kept_percent = [10, 50, 90, 100][random.below(4)];
    for change in &disk.pending {
        if matches!(change, Change::Entries(_)) && random.chance(kept_percent) {
            apply(nodes, change);
        }
    }
    let touched: BTreeSet<Id> = disk.pending.iter().filter_map(Change::file).collect();
    for id in touched {
        let stale = stale_bytes(disk, id, random);
        if let Some(Node::File(file)) = nodes.get_mut(&id) {
            let changes: Vec<&Change> = disk.pending.iter().filter(|c| c.file() == Some(id)).collect();
            file.content = tear(&file.content, &changes, stale, random);
        }
    }
}

/// Now and then the content of another file, which then shows where a length arrived without its data.
fn stale_bytes<'a>(disk: &'a Disk, id: Id, random: &mut Random) -> &'a [u8] {
    let others: Vec<&[u8]> =
        disk.nodes.iter().filter(|(other, _)| **other != id).filter_map(content).collect();
    if others.is_empty() || !random.chance(25) {
        return &[];
    }
    others[random.below(others.len())]
}

fn content<'a>((_, node): (&Id, &'a Node)) -> Option<&'a [u8]> {
    match node {
        Node::File(file) if !file.content.is_empty() => Some(&file.content),
        _ => None,
    }
}

/// One file after the cut: its length is that after some change, and each sector is as it was after some change.
fn tear(durable: &[u8], changes: &[&Change], stale: &[u8], random: &mut Random) -> Vec<u8> {
    let kept_percent = [0, 30, 80, 97][random.below(4)];
    let mut version =
        || if random.chance(kept_percent) { changes.len() } else { random.below(changes.len() + 1) };
    let mut lengths = changes[..version()].iter().filter_map(|c| match c {
        Change::Length { length, .. } => Some(*length),
        _ => None,
    });
    let length = lengths.next_back().unwrap_or(durable.len());

    let mut image = Vec::with_capacity(length);
    while image.len() < length {
        let start = image.len();
        let version = version();
        let mut sector = sector_of(durable, start);
        let mut written = start < durable.len();
        for change in &changes[..version] {
            match change {
                Change::Write { offset, bytes, .. } => {
                    written |= overlay_sector(&mut sector, start, *offset, bytes);
                }
                Change::Length { length, .. } => {
                    sector[length.saturating_sub(start).min(SECTOR_BYTES)..].fill(0)
                }
                Change::Entries(_) => {}
            }
        }
        if !written && stale.len() > start {
            sector = sector_of(stale, start);
        }
        image.extend_from_slice(&sector[..SECTOR_BYTES.min(length - start)]);
    }
    image
}

fn sector_of(bytes: &[u8], start: usize) -> [u8; SECTOR_BYTES] {
    let mut sector = [0; SECTOR_BYTES];
    let found = bytes.get(start..).unwrap_or(&[]);
    let count = found.len().min(SECTOR_BYTES);
    sector[..count].copy_from_slice(&found[..count]);
    sector
}

/// Copies the part of a write that falls into the sector at `start`; false when there is none.
fn overlay_sector(sector: &mut [u8; SECTOR_BYTES], start: usize, offset: usize, bytes: &[u8]) -> bool {
    let from = offset.max(start);
    let to = (offset + bytes.len()).min(start + SECTOR_BYTES);
    if from >= to {
        return false;
    }
    sector[from - start..to - start].copy_from_slice(&bytes[from - offset..to - offset]);
    true
}

/// Keeps what a name leads to and declares it durable.
fn settle(mut nodes: BTreeMap<Id, Node>) -> BTreeMap<Id, Node> {
    let mut reached: BTreeSet<Id> = BTreeSet::new();
    let mut next = vec![ROOT];
    while let Some(id) = next.pop() {
        if reached.insert(id)
            && let Some(Node::Dir(dir)) = nodes.get(&id)
        {
            next.extend(dir.entries.values());
        }
    }
    nodes.retain(|id, _| reached.contains(id));
    for node in nodes.values_mut() {
        match node {
            Node::File(file) => file.durable = file.content.clone(),
            Node::Dir(dir) => dir.durable = dir.entries.clone(),
        }
    }
    nodes
}
