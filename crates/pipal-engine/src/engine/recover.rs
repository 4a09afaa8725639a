//! Opening a data directory: lock, files, log.

use super::Inner;
use super::threads::{Bell, Threads};
use crate::backup::{Shelf, check_restored};
use crate::batch::{TableRows, join_tables};
use crate::cache::BlockCache;
use crate::clock::Clock;
use crate::commit::{Applier, Committer, PublishGate, Queue};
use crate::counters::Counters;
use crate::entry::{Definitions, Entry, decode, dropped_group};
use crate::fs::FileSystem;
use crate::groups::Groups;
use crate::log::{Log, LogOptions, LogReport, ReplayItem, replay};
use crate::options::EngineOptions;
use crate::reaper::{Quarantine, Reaper};
use crate::scan::CancelToken;
use crate::store::{
    DataDir, Group, GroupEntry, GroupOptions, Segment, SegmentFile, is_dropped, parse_group_entry,
    parse_shard_dir_name,
};
use crate::table::{Table, TableContext, TableMemory};
use crate::table_key::{GroupId, SYSTEM_GROUP, SegmentBounds, TableKey};
use hashbrown::HashSet;
use parking_lot::Mutex;
use pipal_model::{ErrorKind, Layout, Result, Share};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};

/// What opening a data directory found.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// Damaged or missing files, each with what is wrong and where.
    pub damages: Vec<String>,
    /// Tails of the log that were never synced and have been cut.
    pub cut_tails: Vec<String>,
    /// Things moved into quarantine.
    pub quarantined: u64,
    /// Redundant files that will be removed.
    pub redundant: u64,
    /// Tables opened.
    pub tables: u64,
    /// Log entries whose rows were not in parts yet.
    pub replayed_entries: u64,
}

pub(super) fn open(
    fs: Arc<dyn FileSystem>,
    clock: Arc<dyn Clock>,
    root: &Path,
    options: EngineOptions,
) -> Result<(Inner, RecoveryReport)> {
    let dir = DataDir::new(root);
    fs.create_dir_all(root)?;
    let lock = fs.lock(&dir.lock_file())?;
    let context = make_context(&fs, &clock, &dir, &options);
    check_restored(&fs, &dir, &context.reaper)?;
    fs.create_dir_all(&dir.groups())?;
    let shelf = Shelf::new(fs.clone(), context.reaper.clone(), dir.snapshots());
    if let Err(error) = shelf.sweep() {
        // Rows do not depend on it.
        tracing::error!(%error, "leftovers of snapshots stay");
    }
    let groups = Arc::new(Groups::new(dir.clone(), context.clone()));

    let log_options =
        LogOptions { file_bytes_max: options.log_file_bytes_max, ..LogOptions::new(dir.quarantine()) };
    let mut dropped: HashSet<GroupId> = HashSet::new();
    let first_look = replay(&*fs, &dir.log(), &mut |item| {
        if let ReplayItem::Entry { payload, .. } = item {
            dropped.extend(dropped_group(payload));
        }
        Ok(())
    })?;
    let mut recovery =
        Recovery { fs, dir, context, groups, dropped, report: RecoveryReport::default(), log_is_whole: true };
    recovery.note_log(&first_look);
    recovery.open_groups()?;
    let system = GroupOptions { segment_interval: None, ttl: None, shard_num: 1 };
    recovery.groups.put(SYSTEM_GROUP, system);
    let (log, applier, gate) = recovery.replay_log(log_options)?;
    let Recovery { context, groups, report, .. } = recovery;
    let committer = Committer::new(log, options.ack, context.counters.clone());
    let inner = Inner {
        context,
        groups,
        gate,
        queue: Queue::new(&options.memory.share(Share::Queue, options.queue_bytes_max)),
        committer,
        applier,
        inline: Mutex::new(()),
        is_closed: AtomicBool::new(false),
        shelf: Mutex::new(shelf),
        is_disk_full: AtomicBool::new(false),
        stop_merges: CancelToken::default(),
        merge_put_offs: AtomicU32::new(0),
        maintenance: Bell::default(),
        merges: Bell::default(),
        threads: Threads::default(),
        _lock: lock,
    };
    Ok((inner, report))
}

fn make_context(
    fs: &Arc<dyn FileSystem>,
    clock: &Arc<dyn Clock>,
    dir: &DataDir,
    options: &EngineOptions,
) -> Arc<TableContext> {
    Arc::new(TableContext {
        fs: fs.clone(),
        clock: clock.clone(),
        cache: Arc::new(BlockCache::charged(options.memory.share(Share::Cache, options.cache_bytes_max))),
        reaper: Arc::new(Reaper::new(fs.clone())),
        quarantine: Arc::new(Quarantine::new(fs.clone(), dir.quarantine())),
        counters: Arc::new(Counters::default()),
        options: options.clone(),
        memory: TableMemory {
            rows: options.memory.share(Share::Rows, options.memory_bytes_max),
            part_writers: options.memory.share(Share::PartWriters, options.part_writers_bytes_max),
        },
    })
}

struct Recovery {
    fs: Arc<dyn FileSystem>,
    dir: DataDir,
    context: Arc<TableContext>,
    groups: Arc<Groups>,
    /// Groups whose deletion is in the log.
    dropped: HashSet<GroupId>,
    report: RecoveryReport,
    log_is_whole: bool,
}

impl Recovery {
    fn note_log(&mut self, report: &LogReport) {
        self.log_is_whole = report.damages.is_empty();
        self.context.counters.damages.add(report.damages.len() as u64);
        self.report.damages.extend(report.damages.iter().map(ToString::to_string));
        self.report.cut_tails.extend(report.cut_tails.iter().map(ToString::to_string));
    }

    fn open_groups(&mut self) -> Result<()> {
        for entry in self.fs.list(&self.dir.groups())? {
            match parse_group_entry(&entry.name) {
                GroupEntry::Live(id) if self.dropped.contains(&id) => self.groups.drop_group(id)?,
                GroupEntry::Live(id) => self.open_group(id)?,
                GroupEntry::Dropped => self.context.reaper.add_tree(self.dir.groups().join(&entry.name)),
                GroupEntry::Foreign => tracing::warn!(name = entry.name, "a foreign file is left alone"),
            }
        }
        Ok(())
    }

    fn open_group(&mut self, id: GroupId) -> Result<()> {
        let group = self.groups.get_or_make(id);
        let dir = self.dir.group(id);
        for entry in self.fs.list(&dir)? {
            let path = dir.join(&entry.name);
            if is_dropped(&entry.name) {
                self.context.reaper.add_tree(path);
            } else if entry.is_dir && entry.name.starts_with("seg-") {
                self.open_segment(&group, &path)?;
            } else {
                tracing::warn!(path = %path.display(), "a foreign file is left alone");
            }
        }
        Ok(())
    }

    fn open_segment(&mut self, group: &Arc<Group>, dir: &Path) -> Result<()> {
        let file = match SegmentFile::read(&self.fs, dir) {
            Ok(file) => Some(file),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
                if error.kind() == ErrorKind::Corrupt {
                    self.damage(error.to_string());
                }
                self.bounds_from_parts(group.id, dir)?
            }
            Err(error) => return Err(error),
        };
        let shards = self.shards(dir)?;
        let Some(file) = file.filter(|f| f.group == group.id) else {
            if shards.is_empty() {
                // Made by the first flush, which had not come to its first file yet: nothing is lost with it.
                self.context.reaper.add_tree(dir.to_path_buf());
                return Ok(());
            }
            return self.quarantine(dir, "neither its file nor its parts tell the bounds of the segment");
        };
        let segment = Segment::at(group.id, file.bounds, dir.to_path_buf(), self.context.clone(), false);
        let segment = group.add_segment(segment);
        for (shard, path) in shards {
            let key = TableKey { group: group.id, segment: file.bounds, shard };
            let (table, found) = Table::open(key, path, self.context.clone(), self.log_is_whole)?;
            self.report.damages.extend(found.damages);
            self.report.quarantined += found.quarantined;
            self.report.redundant += found.redundant;
            self.report.tables += 1;
            segment.add_table(table);
        }
        Ok(())
    }

    fn shards(&self, dir: &Path) -> Result<Vec<(u32, std::path::PathBuf)>> {
        let entries = self.fs.list(dir)?;
        let shard = |e: &crate::fs::DirEntry| Some((parse_shard_dir_name(&e.name)?, dir.join(&e.name)));
        Ok(entries.iter().filter(|e| e.is_dir).filter_map(shard).collect())
    }

    /// Parts know where they belong, so a segment without a valid file is not lost.
    fn bounds_from_parts(&self, group: GroupId, dir: &Path) -> Result<Option<SegmentFile>> {
        for (_, shard) in self.shards(dir)? {
            for entry in self.fs.list(&shard)? {
                let Some(number) = crate::part::parse_part_file_name(&entry.name) else { continue };
                let path = shard.join(&entry.name);
                let Ok(part) = crate::part::Part::open(&self.fs, &path, number, self.context.cache.clone())
                else {
                    continue;
                };
                let identity = part.identity();
                let bounds = SegmentBounds { start: identity.segment_start, end: identity.segment_end };
                if identity.group == group {
                    return Ok(Some(SegmentFile { group, bounds }));
                }
            }
        }
        Ok(None)
    }

    fn damage(&mut self, what: String) {
        tracing::error!(damage = %what, "the data directory is damaged");
        self.context.counters.damages.add(1);
        self.report.damages.push(what);
    }

    fn quarantine(&mut self, path: &Path, reason: &str) -> Result<()> {
        self.context.quarantine.take(path, "segment", reason)?;
        self.report.quarantined += 1;
        Ok(())
    }

    /// The highest log position that parts and manifests speak of.
    fn highest_seq(&self) -> u64 {
        let tables = self.groups.tables();
        let of_table = |table: &Arc<Table>| {
            let state = table.state();
            let parts = state.parts.iter().map(|p| p.part().identity().log_last);
            parts.chain([state.covered_seq]).max().unwrap_or(0)
        };
        tables.iter().map(|(_, table)| of_table(table)).max().unwrap_or(0)
    }

    fn replay_log(&mut self, mut options: LogOptions) -> Result<(Log, Applier, Arc<PublishGate>)> {
        let highest = self.highest_seq();
        options.next_seq_min = highest + 1;
        let gate = Arc::new(PublishGate::default());
        let applier = Applier::new(self.groups.clone(), gate.clone(), highest);
        let mut replayer = Replayer {
            recovery_groups: &self.groups,
            dropped: &self.dropped,
            applier: &applier,
            definitions: Definitions::new(),
            pending: Vec::new(),
            first_seq: 0,
            entries: 0,
            damages: Vec::new(),
        };
        let report = replay(&*self.fs, &self.dir.log(), &mut |item| replayer.take(item))?;
        let log = Log::open_after(self.fs.clone(), &self.dir.log(), options, &report)?;
        self.report.replayed_entries = replayer.entries;
        self.context.counters.damages.add(replayer.damages.len() as u64);
        self.report.damages.append(&mut replayer.damages);
        let next = log.next_seq();
        let applier = Applier::new(self.groups.clone(), gate.clone(), next.saturating_sub(1));
        Ok((log, applier, gate))
    }
}

/// Takes the entries of the log, in order.
struct Replayer<'a> {
    recovery_groups: &'a Arc<Groups>,
    dropped: &'a HashSet<GroupId>,
    applier: &'a Applier,
    definitions: Definitions,
    /// Rows of a request whose last entry has not come yet. If it never comes, nobody was told that the request
    /// succeeded.
    pending: Vec<TableRows>,
    first_seq: u64,
    entries: u64,
    damages: Vec<String>,
}

impl Replayer<'_> {
    fn take(&mut self, item: ReplayItem<'_>) -> Result<()> {
        match item {
            ReplayItem::Definition { fingerprint, bytes } => {
                if let Some(layout) = Layout::decode(bytes) {
                    self.definitions.insert(fingerprint, Arc::new(layout));
                }
                Ok(())
            }
            ReplayItem::Entry { seq, payload } => match decode(payload, &self.definitions) {
                Ok(Entry::DropGroup) => Ok(()),
                Ok(Entry::Rows { tables, first, last }) => {
                    if first {
                        // What came before belongs to a request that was never completed.
                        self.pending.clear();
                    }
                    self.rows(tables, last, seq)
                }
                Err(error) => {
                    tracing::error!(%error, seq, "an entry of the log cannot be read");
                    self.damages.push(format!("log entry {seq}: {error}"));
                    Ok(())
                }
            },
        }
    }

    fn rows(&mut self, tables: Vec<TableRows>, last: bool, seq: u64) -> Result<()> {
        if self.pending.is_empty() {
            self.first_seq = seq;
        }
        self.pending.extend(tables);
        if !last {
            return Ok(());
        }
        let mut rows = std::mem::take(&mut self.pending);
        rows.retain(|table| {
            if self.dropped.contains(&table.key.group) {
                return false;
            }
            let group = self.recovery_groups.get_or_make(table.key.group);
            group.segment(table.key.segment).table(table.key.shard).covered_seq() < seq
        });
        if rows.is_empty() {
            return Ok(());
        }
        self.entries += 1;
        self.applier.apply_rows(join_tables(rows)?, (self.first_seq, seq))?;
        self.flush_if_full()
    }

    /// Replay stays inside the memory budget like everything else.
    fn flush_if_full(&self) -> Result<()> {
        let context = self.recovery_groups.context();
        while context.memory.rows.used() >= context.memory.rows.limit() {
            let tables = self.recovery_groups.tables();
            let Some((segment, table)) = tables.iter().max_by_key(|(_, t)| t.state().memory_bytes()) else {
                break;
            };
            if !segment.flush_table(table)? {
                break;
            }
        }
        Ok(())
    }
}
