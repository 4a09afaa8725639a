//! The list of a table's live parts: a numbered file that is created once and never changed.
//!
//! Bytes: magic `PIPALSNP`, format (u32), epoch (u64), group (u64), segment start and end (i64 each), shard
//! (u32), covered log position (u64), number of parts (u32), per part its number (u64) and id (u128), and the
//! CRC-32C of everything before (u32). All little-endian.
//!
//! A manifest is written under a temporary name, synced, linked to its name and the directory is synced. Older
//! ones are removed only after that, so at every instant the newest valid manifest describes a complete state.

use super::names::{manifest_name, temporary_name};
use crate::fs::FileSystem;
use crate::table_key::{SegmentBounds, TableKey};
use crc32c::crc32c;
use pipal_model::{Error, ErrorKind, Result};
use std::path::Path;
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"PIPALSNP";
const FORMAT: u32 = 1;
const HEAD: usize = 8 + 4 + 8 + 8 + 8 + 8 + 4 + 8 + 4;
const ENTRY: usize = 24;

/// A part as a manifest names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ManifestPart {
    pub number: u64,
    pub id: u128,
}

/// A table's durable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub epoch: u64,
    pub table: TableKey,
    /// All rows of the table up to this log position are in the parts.
    pub covered_seq: u64,
    /// In the order of the log.
    pub parts: Vec<ManifestPart>,
}

impl Manifest {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD + self.parts.len() * ENTRY + 4);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.table.group.to_le_bytes());
        out.extend_from_slice(&self.table.segment.start.to_le_bytes());
        out.extend_from_slice(&self.table.segment.end.to_le_bytes());
        out.extend_from_slice(&self.table.shard.to_le_bytes());
        out.extend_from_slice(&self.covered_seq.to_le_bytes());
        out.extend_from_slice(&(self.parts.len() as u32).to_le_bytes());
        for part in &self.parts {
            out.extend_from_slice(&part.number.to_le_bytes());
            out.extend_from_slice(&part.id.to_le_bytes());
        }
        let crc = crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a manifest; the text of the error says what is wrong.
    pub fn decode(bytes: &[u8]) -> std::result::Result<Self, &'static str> {
        let (content, crc) = bytes.split_last_chunk::<4>().ok_or("it is too short")?;
        if crc32c(content) != u32::from_le_bytes(*crc) {
            return Err("its checksum does not match");
        }
        let mut at = 0;
        let mut take = |length: usize| -> std::result::Result<&[u8], &'static str> {
            let taken = content.get(at..at + length).ok_or("it is cut off");
            at += length;
            taken
        };
        if take(8)? != MAGIC {
            return Err("it does not begin like a manifest");
        }
        if number(take(4)?) != u64::from(FORMAT) {
            return Err("its format is of another version");
        }
        let epoch = number(take(8)?);
        let group = number(take(8)?);
        let start = number(take(8)?) as i64;
        let end = number(take(8)?) as i64;
        let shard = number(take(4)?) as u32;
        let covered_seq = number(take(8)?);
        let count = number(take(4)?) as usize;
        if content.len() != HEAD + count * ENTRY {
            return Err("its length does not fit its number of parts");
        }
        let mut parts = Vec::with_capacity(count);
        for _ in 0..count {
            let part = number(take(8)?);
            let id = u128::from_le_bytes(take(16)?.try_into().map_err(|_| "it is cut off")?);
            parts.push(ManifestPart { number: part, id });
        }
        let table = TableKey { group, segment: SegmentBounds { start, end }, shard };
        Ok(Manifest { epoch, table, covered_seq, parts })
    }

    /// Writes the manifest durably under its name, which must not exist.
    pub fn write(&self, fs: &Arc<dyn FileSystem>, dir: &Path) -> Result<()> {
        let bytes = self.encode();
        debug_assert_eq!(Manifest::decode(&bytes).as_ref(), Ok(self), "what is written must read back");
        let name = manifest_name(self.epoch);
        let temporary = dir.join(temporary_name(&name));
        let mut file = fs.create(&temporary)?;
        file.append(&bytes)?;
        file.sync()?;
        drop(file);
        fs.link(&temporary, &dir.join(&name))?;
        fs.sync_dir(dir)?;
        // The name that stays is durable; a temporary name left behind is cleaned at the next start.
        if let Err(error) = fs.remove_file(&temporary) {
            tracing::warn!(%error, "a temporary name of a manifest stays");
        }
        Ok(())
    }

    /// Reads the manifest of an epoch.
    pub fn read(fs: &Arc<dyn FileSystem>, dir: &Path, epoch: u64) -> Result<Self> {
        let path = dir.join(manifest_name(epoch));
        let bytes = fs.read(&path)?;
        let corrupt = |detail: &str| Error::corrupt("read manifest", path.display(), detail);
        let manifest = Manifest::decode(&bytes).map_err(corrupt)?;
        if manifest.epoch != epoch {
            return Err(corrupt("it has the number of another manifest"));
        }
        Ok(manifest)
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Removes manifests that a newer durable one replaced (SE-120 to SE-127).
#[derive(Debug, Default)]
pub(crate) struct ManifestCollector {
    known: Vec<u64>,
}

impl ManifestCollector {
    /// Takes note of a durable manifest.
    pub fn add(&mut self, epoch: u64) {
        if !self.known.contains(&epoch) {
            self.known.push(epoch);
        }
    }

    /// Epochs that are known, ascending after a collection.
    #[cfg(test)]
    pub fn known(&self) -> &[u64] {
        &self.known
    }

    /// Removes all known manifests but the greatest. What cannot be removed stays known for the next round.
    pub fn collect(&mut self, fs: &Arc<dyn FileSystem>, dir: &Path) {
        self.known.sort_unstable();
        let Some(greatest) = self.known.pop() else { return };
        self.known.retain(|epoch| match fs.remove_file(&dir.join(manifest_name(*epoch))) {
            Ok(()) => false,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => {
                tracing::warn!(%error, epoch, "an old manifest could not be removed");
                true
            }
        });
        self.known.push(greatest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Fault, SimulatedFileSystem};

    /// A directory with an empty file per epoch, and a collector that knows some epochs.
    struct Case {
        disk: SimulatedFileSystem,
        fs: Arc<dyn FileSystem>,
        collector: ManifestCollector,
    }

    const DIR: &str = "/table";

    impl Case {
        fn new(on_disk: &[u64], known: &[u64]) -> Self {
            let disk = SimulatedFileSystem::new();
            let fs: Arc<dyn FileSystem> = Arc::new(disk.clone());
            fs.create_dir_all(Path::new(DIR)).unwrap();
            for epoch in on_disk {
                fs.create(&Path::new(DIR).join(manifest_name(*epoch))).unwrap();
            }
            let mut collector = ManifestCollector::default();
            known.iter().for_each(|epoch| collector.add(*epoch));
            Case { disk, fs, collector }
        }

        fn collect(&mut self) -> (Vec<u64>, Vec<u64>) {
            self.collector.collect(&self.fs, Path::new(DIR));
            let names = self.fs.list(Path::new(DIR)).unwrap();
            let epochs = names.iter().map(|e| super::super::names::parse_manifest_name(&e.name).unwrap());
            (epochs.collect(), self.collector.known().to_vec())
        }
    }

    #[test]
    fn gc_1_to_5_all_known_manifests_but_the_greatest_go() {
        assert_eq!(Case::new(&[], &[]).collect(), (vec![], vec![]), "GC-1");
        assert_eq!(Case::new(&[1, 2, 3], &[]).collect(), (vec![1, 2, 3], vec![]), "GC-2");
        assert_eq!(Case::new(&[], &[1, 2, 3]).collect(), (vec![], vec![3]), "GC-3");
        assert_eq!(Case::new(&[1, 2, 3, 4, 5], &[1, 3, 5]).collect(), (vec![2, 4, 5], vec![5]), "GC-4");
        assert_eq!(Case::new(&[1, 3, 2, 5, 4], &[5, 1, 3]).collect(), (vec![2, 4, 5], vec![5]), "GC-5");
    }

    #[test]
    fn gc_6_what_cannot_be_removed_is_tried_again() {
        let mut case = Case::new(&[1, 2, 3], &[1, 2, 3]);
        case.disk.fail_at(case.disk.counters().operations + 1, Fault::Eio);
        assert_eq!(case.collect(), (vec![1, 3], vec![1, 3]));
        assert_eq!(case.collect(), (vec![3], vec![3]));
    }

    #[test]
    fn gc_7_and_8_rounds_are_harmless_and_remember_nothing_needless() {
        let mut case = Case::new(&[1, 2, 3], &[1, 2, 3]);
        assert_eq!(case.collect(), (vec![3], vec![3]));
        assert_eq!(case.collect(), (vec![3], vec![3]));
        case.collector.add(3);
        assert_eq!(case.collect(), (vec![3], vec![3]));
    }

    #[test]
    fn manifests_read_back_and_every_flipped_bit_is_noticed() {
        let table = TableKey { group: 7, segment: SegmentBounds { start: -5, end: 90 }, shard: 2 };
        let parts = vec![ManifestPart { number: 1, id: 5 << 100 }, ManifestPart { number: 9, id: 3 }];
        let manifest = Manifest { epoch: 12, table, covered_seq: 44, parts };
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes), Ok(manifest));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&flipped).is_err(), "bit {bit}");
        }
        (0..bytes.len()).for_each(|end| assert!(Manifest::decode(&bytes[..end]).is_err(), "cut at {end}"));
    }
}
