//! How rows reach parts, and how parts become the table's durable state: one commit for flushes and merges.

use super::live_part::LivePart;
use super::manifest::{Manifest, ManifestPart};
use super::{Table, TableState};
use crate::part::{Part, PartIdentity, PartWriter, part_file_name, temporary_part_path};
use crate::rows::{EntitySelector, RowSource};
use crate::scan::{CancelToken, ScanBatch, ScanRequest, TableSnapshot};
use pipal_codec::Effort;
use pipal_model::{Error, ErrorKind, Reservation, Result, TimeRange};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use xxhash_rust::xxh3::xxh3_128;

/// What a part is written from.
pub(super) struct Inputs {
    pub sources: Vec<Arc<dyn RowSource>>,
    pub log_range: (u64, u64),
    /// Ids of the parts among the sources.
    pub parents: Vec<u128>,
}

/// A part that is complete on disk, but not yet part of the table.
pub(super) struct NewPart {
    pub live: Arc<LivePart>,
    pub rows: u64,
    pub bytes: u64,
}

impl Table {
    /// Writes everything that is in memory now into a part. False when there was nothing.
    pub fn flush(&self) -> Result<bool> {
        let _one_at_a_time = self.flushing.lock();
        if self.is_abandoned() {
            return Ok(false);
        }
        self.freeze_active();
        let state = self.state.load_full();
        let Some(last) = state.frozen.last() else { return Ok(false) };
        let started = std::time::Instant::now();
        let last_seq = last.last_seq;
        let runs = state.frozen.iter().flat_map(|f| f.runs.iter()).map(|r| r.clone() as Arc<dyn RowSource>);
        let sources: Vec<_> = runs.collect();
        let range = (state.covered_seq + 1, last_seq);
        // A flush is what frees memory, so there is always some for it.
        let memory = Reservation::new(&self.context.memory.part_writers, usize::MAX);
        let inputs = Inputs { sources, log_range: range, parents: Vec::new() };
        let new = self.write_part(inputs, Effort::Fast, memory, &CancelToken::default())?;
        let (rows, bytes) = new.as_ref().map_or((0, 0), |n| (n.rows, n.bytes));
        let flushed = state.frozen.len();
        let committed = self.commit(new, &[], Some(last_seq), flushed);
        self.clean_up_if_abandoned();
        committed?;
        let counters = &self.context.counters;
        counters.flushes.add(1);
        counters.flush_rows.add(rows);
        counters.flush_bytes.add(bytes);
        counters.flush_micros.add(started.elapsed().as_micros() as u64);
        Ok(true)
    }

    /// A table that was abandoned while it wrote may have made its directory again.
    pub(super) fn clean_up_if_abandoned(&self) {
        if self.is_abandoned() {
            self.context.reaper.add_tree(self.dir.clone());
        }
    }

    /// Merges sources into one part file under its final name. None when they hold no rows. What the writing holds is
    /// charged to `memory`, also beyond what it has.
    pub(super) fn write_part(
        &self,
        inputs: Inputs,
        effort: Effort,
        mut memory: Reservation,
        cancel: &CancelToken,
    ) -> Result<Option<NewPart>> {
        let context = &self.context;
        let Inputs { sources, log_range, parents } = inputs;
        self.make_dir()?;
        let number = self.next_epoch();
        let path = self.dir.join(part_file_name(number));
        let identity = self.part_identity(number, log_range, parents);
        let mut writer = PartWriter::create(&context.fs, &path, identity, effort)?;
        let table = TableSnapshot::new(self.key.shard, 0, sources);
        let rows = copy_rows(&table, &mut writer, &mut memory, cancel)?;
        if rows == 0 {
            return Ok(None);
        }
        writer.finish()?;
        let part = self.put_in_place(&path, number)?;
        let bytes = part.file_bytes();
        let live = Arc::new(LivePart::new(part, number, path, context.reaper.clone()));
        Ok(Some(NewPart { live, rows, bytes }))
    }

    /// Gives a complete part its final name. If that fails half-way, the file is removed after the next commit.
    fn put_in_place(&self, path: &Path, number: u64) -> Result<Part> {
        let context = &self.context;
        let temporary = temporary_part_path(path);
        let place = || {
            context.fs.rename(&temporary, path)?;
            context.fs.sync_dir(&self.dir)?;
            Part::open(&context.fs, path, number, context.cache.clone())
        };
        place().inspect_err(|_| {
            let mut manifests = self.manifests.lock();
            manifests.orphans.extend([temporary.clone(), path.to_path_buf()]);
        })
    }

    pub(super) fn part_identity(
        &self,
        number: u64,
        log_range: (u64, u64),
        parents: Vec<u128>,
    ) -> PartIdentity {
        PartIdentity {
            id: self.part_id(number, log_range),
            group: self.key.group,
            segment_start: self.key.segment.start,
            segment_end: self.key.segment.end,
            shard: self.key.shard,
            log_first: log_range.0,
            log_last: log_range.1,
            parents,
        }
    }

    fn part_id(&self, number: u64, log_range: (u64, u64)) -> u128 {
        let mut seed = Vec::with_capacity(64);
        let numbers = [self.key.group, self.key.segment.start as u64, u64::from(self.key.shard), number];
        let more = [log_range.0, log_range.1, self.context.clock.now() as u64];
        numbers.iter().chain(&more).for_each(|n| seed.extend_from_slice(&n.to_le_bytes()));
        xxh3_128(&seed)
    }

    fn make_dir(&self) -> Result<()> {
        let mut manifests = self.manifests.lock();
        if !manifests.dir_exists {
            self.context.fs.create_dir_all(&self.dir)?;
            manifests.dir_exists = true;
        }
        Ok(())
    }

    /// Makes a change of the parts durable and then visible: `new` takes the place of the parts with the ids
    /// `replaced`, which are neighbours, or comes last; `flushed` frozen memory tables are then in parts.
    pub(super) fn commit(
        &self,
        new: Option<NewPart>,
        replaced: &[u128],
        covered_seq: Option<u64>,
        flushed: usize,
    ) -> Result<()> {
        let mut manifests = self.manifests.lock();
        let before = self.state.load_full();
        let Some(parts) = replace_parts(&before, new.as_ref().map(|n| &n.live), replaced) else {
            if let Some(new) = new {
                new.live.mark_replaced();
            }
            return Err(Error::new(
                ErrorKind::FailedPrecondition,
                "commit part",
                "an input is not live any more",
            ));
        };
        let epoch = self.next_epoch();
        let covered_seq = covered_seq.unwrap_or(before.covered_seq);
        let listed = parts.iter().map(|p| ManifestPart { number: p.number(), id: p.part().identity().id });
        let manifest = Manifest { epoch, table: self.key, covered_seq, parts: listed.collect() };
        // From here on the manifest may reach the disk even if writing it fails. The new part's file therefore
        // stays until a newer manifest is durable, whichever way this one went.
        manifests.collector.add(epoch);
        if let Err(error) = manifest.write(&self.context.fs, &self.dir) {
            manifests.orphans.extend(new.map(|n| n.live.path().to_path_buf()));
            return Err(error);
        }
        self.swap_parts(parts, covered_seq, flushed);
        for part in before.parts.iter().filter(|p| replaced.contains(&p.part().identity().id)) {
            part.mark_replaced();
        }
        let orphans = std::mem::take(&mut manifests.orphans);
        orphans.into_iter().for_each(|path| self.context.reaper.add_file(path));
        manifests.collector.collect(&self.context.fs, &self.dir);
        Ok(())
    }

    fn swap_parts(&self, parts: Vec<Arc<LivePart>>, covered_seq: u64, flushed: usize) {
        let _change = self.change.lock();
        let old = self.state.load();
        let frozen: Arc<[_]> = old.frozen.iter().skip(flushed).cloned().collect();
        let state = TableState {
            epoch: self.next_epoch(),
            covered_seq,
            parts: parts.into(),
            frozen,
            active: old.active.clone(),
        };
        self.charge_rows(state.memory_bytes());
        let now = self.context.clock.now();
        if state.runs().next().is_none() {
            self.oldest_memory_at.store(i64::MAX, Ordering::SeqCst);
        } else if flushed > 0 {
            self.oldest_memory_at.store(now, Ordering::SeqCst);
        }
        if flushed > 0 {
            self.newest_part_at.store(now, Ordering::SeqCst);
        }
        self.state.store(Arc::new(state));
    }
}

/// The parts after a change; none when an input has been replaced meanwhile (L-10).
fn replace_parts(
    state: &TableState,
    new: Option<&Arc<LivePart>>,
    replaced: &[u128],
) -> Option<Vec<Arc<LivePart>>> {
    let mut parts = state.parts.to_vec();
    let at = match replaced.first() {
        None => parts.len(),
        Some(first) => {
            let at = parts.iter().position(|p| p.part().identity().id == *first)?;
            let live = parts.get(at..at + replaced.len())?;
            if !live.iter().zip(replaced).all(|(part, id)| part.part().identity().id == *id) {
                return None;
            }
            at
        }
    };
    parts.splice(at..at + replaced.len(), new.cloned());
    Some(parts)
}

/// Copies all rows of a table's sources in the order of parts, identity rules applied. Returns their number.
pub(super) fn copy_rows(
    table: &TableSnapshot,
    writer: &mut PartWriter,
    memory: &mut Reservation,
    cancel: &CancelToken,
) -> Result<u64> {
    let mut rows = 0;
    for head in table.heads()? {
        let series = table.series(&head.key, &EntitySelector::All)?;
        let chosen: Vec<u32> = (0..series.len() as u32).collect();
        let request =
            ScanRequest { key: &head.key, time: TimeRange::ALL, columns: &head.columns, collapse: true };
        let mut scan = table.scan(request, &series, &chosen, cancel)?;
        let mut batch = ScanBatch::new(&head.columns);
        while scan.next_batch(&mut batch)? {
            let runs = batch.series.chunk_by(|a, b| a == b);
            let pieces: Vec<(&[u8], u32)> = runs
                .filter_map(|run| Some((series.entity(*run.first()? as usize), run.len() as u32)))
                .collect();
            writer.append(&head, &pieces, &batch.rows)?;
            rows += batch.rows.len() as u64;
            let read = series.heap_bytes() + scan.heap_bytes() + batch.rows.heap_bytes();
            memory.charge(writer.heap_bytes() + read);
        }
    }
    Ok(rows)
}
