//! Snapshots of everything at one position of the log.

use super::Engine;
use crate::backup::{ListedFile, Listing, TakenSnapshot, require_empty};
use crate::commit::{Request, closed};
use crate::store::{DataDir, Segment, SegmentFile, segment_dir_name, shard_dir_name};
use crate::table::{Table, TableState};
use crate::table_key::GroupId;
use pipal_model::{Reservation, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;

/// The states of all tables between two requests.
struct Cut {
    time_ns: i64,
    log_seq: u64,
    tables: Vec<CutTable>,
    /// For the rows that are in memory; a flush may take them out of the tables while they are still written here.
    _memory: Reservation,
}

/// A table at the cut. The state owns its parts, so that their files stay while it lives.
struct CutTable {
    group: GroupId,
    segment: Arc<Segment>,
    table: Arc<Table>,
    state: Arc<TableState>,
}

impl Engine {
    /// Writes a snapshot of everything into the directory `dir`, which must be absent or empty: the rows of all groups
    /// and all schemas as of one position in the log. After an error nothing of it is left.
    ///
    /// Writers go on. What is in memory is flushed first; then one pass over the tables, in the thread that makes
    /// requests visible and between two of them, copies one pointer per table: this is all that a writer may wait for.
    /// Rows that came between flush and cut are written into parts of the snapshot only.
    pub fn snapshot_to(&self, dir: &Path) -> Result<Listing> {
        require_empty(&self.0.context.fs, dir)?;
        let written = self.write_snapshot(dir);
        if written.is_err()
            && let Err(error) = self.0.context.fs.remove_dir_all(dir)
        {
            tracing::warn!(%error, "an incomplete snapshot stays");
        }
        written
    }

    /// [`Engine::snapshot_to`] a new directory below `snapshots/` of the data directory. The oldest snapshots go when
    /// there are more than [`crate::backup::SNAPSHOTS_KEPT`].
    pub fn take_snapshot(&self) -> Result<TakenSnapshot> {
        let started = Instant::now();
        let counters = &self.0.context.counters;
        let taken = self.take_snapshot_on_shelf();
        let took = started.elapsed();
        counters.snapshot_micros.add(took.as_micros() as u64);
        match &taken {
            Ok(snapshot) => {
                counters.snapshots.add(1);
                let (files, bytes) = (snapshot.listing.files.len(), snapshot.listing.bytes());
                let took_ms = took.as_secs_f64() * 1_000.0;
                tracing::info!(name = snapshot.name, files, bytes, took_ms, "a snapshot was taken");
            }
            Err(error) => {
                counters.snapshot_errors.add(1);
                tracing::error!(%error, "a snapshot could not be taken");
            }
        }
        taken
    }

    fn take_snapshot_on_shelf(&self) -> Result<TakenSnapshot> {
        let mut shelf = self.0.shelf.lock();
        let now = self.0.context.clock.now();
        shelf.prune(now)?;
        let name = shelf.next_name(now)?;
        let made = self.write_snapshot(&shelf.temporary(&name));
        match made.and_then(|listing| shelf.publish(&name).map(|()| listing)) {
            Ok(listing) => Ok(TakenSnapshot { path: shelf.path(&name), name, listing }),
            Err(error) => {
                shelf.abandon(&name);
                Err(error)
            }
        }
    }

    fn write_snapshot(&self, dir: &Path) -> Result<Listing> {
        self.flush()?;
        let cut = self.cut()?;
        let fs = &self.0.context.fs;
        fs.create_dir_all(&DataDir::new(dir).groups())?;
        let mut writing = Writing {
            root: DataDir::new(dir),
            engine: self,
            segments: BTreeSet::new(),
            listing: Listing { time_ns: cut.time_ns, log_seq: cut.log_seq, files: Vec::new() },
        };
        // One after the other, so that rows and parts of those that are done can go.
        for table in cut.tables {
            writing.table(&table)?;
        }
        writing.listing.seal(fs, dir)
    }

    /// Takes the states of all tables in the thread that applies requests, so between two of them.
    fn cut(&self) -> Result<Cut> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let engine = self.clone();
        self.submit(Request::barrier(Box::new(move |result| {
            // The receiver waits below; if its thread died nobody wants the cut.
            let _ = sender.send(result.map(|()| engine.capture()));
        })));
        receiver.recv().unwrap_or_else(|_| Err(closed()))
    }

    fn capture(&self) -> Cut {
        let mut tables = Vec::new();
        for group in self.0.groups.all() {
            for segment in group.live_segments() {
                let states = segment.tables();
                let states = states.values().map(|table| (table.clone(), table.state()));
                tables.extend(states.filter(|(_, state)| state.has_rows()).map(|(table, state)| CutTable {
                    group: group.id,
                    segment: segment.clone(),
                    table,
                    state,
                }));
            }
        }
        // Rows in memory first, so that they are held for a short time.
        tables.sort_by_key(|t| (std::cmp::Reverse(t.state.memory_bytes()), t.table.key));
        let context = &self.0.context;
        let mut memory = Reservation::new(&context.memory.rows, usize::MAX);
        memory.charge(tables.iter().map(|t| t.state.memory_bytes()).sum());
        Cut { time_ns: context.clock.now(), log_seq: self.0.applier.applied_seq(), tables, _memory: memory }
    }
}

/// A snapshot that is being written.
struct Writing<'a> {
    root: DataDir,
    engine: &'a Engine,
    /// Segments whose file is there.
    segments: BTreeSet<PathBuf>,
    listing: Listing,
}

impl Writing<'_> {
    fn table(&mut self, cut: &CutTable) -> Result<()> {
        let fs = &self.engine.0.context.fs;
        let segment_dir = self.root.group(cut.group).join(segment_dir_name(cut.segment.bounds()));
        if self.segments.insert(segment_dir.clone()) {
            let file = SegmentFile { group: cut.group, bounds: cut.segment.bounds() };
            let bytes = file.write(fs, &segment_dir)?;
            self.list(&segment_dir, SegmentFile::NAME, bytes);
        }
        let dir = segment_dir.join(shard_dir_name(cut.table.key.shard));
        fs.create_dir_all(&dir)?;
        for file in cut.table.back_up(&cut.state, &dir)? {
            self.list(&dir, &file.name, file.bytes);
        }
        Ok(())
    }

    fn list(&mut self, dir: &Path, name: &str, bytes: u64) {
        let dir = dir.strip_prefix(self.root.root()).unwrap_or(dir);
        let path = dir.join(name).to_string_lossy().into_owned();
        self.listing.files.push(ListedFile { path, bytes });
    }
}
