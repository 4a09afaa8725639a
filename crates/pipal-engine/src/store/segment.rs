//! A segment: a span of time with one table per shard.

use super::layout::{dropped_dir, segment_dir_name, shard_dir_name};
use crate::fs::FileSystem;
use crate::table::{Table, TableContext};
use crate::table_key::{GroupId, SegmentBounds, TableKey};
use arc_swap::ArcSwap;
use crc32c::crc32c;
use parking_lot::Mutex;
use pipal_model::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const MAGIC: &[u8; 8] = b"PIPALSEG";
const FORMAT: u32 = 1;

/// What the file of a segment says. Bounds are never computed again from settings or neighbours (L-07, D-34).
///
/// Bytes: magic `PIPALSEG`, format (u32), group (u64), start and end (i64 each), CRC-32C of all that (u32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentFile {
    pub group: GroupId,
    pub bounds: SegmentBounds,
}

impl SegmentFile {
    /// Name of the file in a segment's directory.
    pub const NAME: &str = "segment";

    fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&self.group.to_le_bytes());
        out.extend_from_slice(&self.bounds.start.to_le_bytes());
        out.extend_from_slice(&self.bounds.end.to_le_bytes());
        let crc = crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, crc) = bytes.split_last_chunk::<4>()?;
        let head = content.strip_prefix(MAGIC)?.strip_prefix(&FORMAT.to_le_bytes())?;
        if crc32c(content) != u32::from_le_bytes(*crc) || head.len() != 24 {
            return None;
        }
        let number = |at: usize| -> Option<[u8; 8]> { head.get(at..at + 8)?.try_into().ok() };
        let bounds =
            SegmentBounds { start: i64::from_le_bytes(number(8)?), end: i64::from_le_bytes(number(16)?) };
        Some(SegmentFile { group: u64::from_le_bytes(number(0)?), bounds })
    }

    /// Reads the file in a segment's directory.
    pub fn read(fs: &Arc<dyn FileSystem>, dir: &Path) -> Result<Self> {
        let path = dir.join(Self::NAME);
        let bytes = fs.read(&path)?;
        SegmentFile::decode(&bytes)
            .ok_or_else(|| Error::corrupt("read segment", path.display(), "it is not the file of a segment"))
    }

    /// Writes the file durably into a directory, which is made; gives its length.
    pub fn write(&self, fs: &Arc<dyn FileSystem>, dir: &Path) -> Result<u64> {
        fs.create_dir_all(dir)?;
        let temporary = dir.join("segment.tmp");
        let mut file = fs.create(&temporary)?;
        let bytes = self.encode();
        file.append(&bytes)?;
        file.sync()?;
        drop(file);
        fs.rename(&temporary, &dir.join(Self::NAME))?;
        fs.sync_dir(dir)?;
        Ok(bytes.len() as u64)
    }
}

/// See the module.
pub(crate) struct Segment {
    group: GroupId,
    bounds: SegmentBounds,
    dir: PathBuf,
    context: Arc<TableContext>,
    tables: ArcSwap<BTreeMap<u32, Arc<Table>>>,
    change: Mutex<()>,
    is_persisted: AtomicBool,
}

impl Segment {
    /// A segment without rows. Its directory is made by the first flush of one of its tables.
    pub fn new(group: GroupId, bounds: SegmentBounds, group_dir: &Path, context: Arc<TableContext>) -> Self {
        let dir = group_dir.join(segment_dir_name(bounds));
        Segment::at(group, bounds, dir, context, false)
    }

    /// A segment whose directory and file are there.
    pub fn at(
        group: GroupId,
        bounds: SegmentBounds,
        dir: PathBuf,
        context: Arc<TableContext>,
        is_persisted: bool,
    ) -> Self {
        Segment {
            group,
            bounds,
            dir,
            context,
            tables: ArcSwap::default(),
            change: Mutex::new(()),
            is_persisted: AtomicBool::new(is_persisted),
        }
    }

    pub fn bounds(&self) -> SegmentBounds {
        self.bounds
    }

    /// Tables by shard.
    pub fn tables(&self) -> Arc<BTreeMap<u32, Arc<Table>>> {
        self.tables.load_full()
    }

    /// Adds a table that was opened from disk.
    pub fn add_table(&self, table: Table) {
        let _change = self.change.lock();
        let mut tables = BTreeMap::clone(&self.tables.load());
        tables.insert(table.key.shard, Arc::new(table));
        self.tables.store(Arc::new(tables));
    }

    /// Gets or makes the table of a shard (L-34: one operation under one lock).
    pub fn table(&self, shard: u32) -> Arc<Table> {
        if let Some(table) = self.tables.load().get(&shard) {
            return table.clone();
        }
        let _change = self.change.lock();
        let mut tables = BTreeMap::clone(&self.tables.load());
        let table = tables.entry(shard).or_insert_with(|| {
            let key = TableKey { group: self.group, segment: self.bounds, shard };
            Arc::new(Table::new(key, self.dir.join(shard_dir_name(shard)), self.context.clone()))
        });
        let table = table.clone();
        self.tables.store(Arc::new(tables));
        table
    }

    /// Condemns the directory. It is renamed first, so that a half removed one is not taken for a damaged one.
    pub fn remove_files(&self) -> Result<()> {
        let dropped = dropped_dir(&self.dir);
        let fs = &self.context.fs;
        match fs.rename(&self.dir, &dropped) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            renamed => renamed?,
        }
        if let Some(parent) = self.dir.parent() {
            fs.sync_dir(parent)?;
        }
        self.context.reaper.add_tree(dropped);
        Ok(())
    }

    /// Flushes one of the segment's tables; the segment's own file comes first.
    pub fn flush_table(&self, table: &Table) -> Result<bool> {
        if !self.is_persisted.load(Ordering::SeqCst) {
            let _change = self.change.lock();
            if !self.is_persisted.load(Ordering::SeqCst) {
                SegmentFile { group: self.group, bounds: self.bounds }.write(&self.context.fs, &self.dir)?;
                self.is_persisted.store(true, Ordering::SeqCst);
            }
        }
        table.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_segment_reads_back_and_any_flipped_bit_is_noticed() {
        let file = SegmentFile { group: 7, bounds: SegmentBounds { start: -5, end: 90 } };
        let bytes = file.encode();
        assert_eq!(SegmentFile::decode(&bytes), Some(file));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentFile::decode(&flipped), None, "bit {bit}");
        }
    }
}
