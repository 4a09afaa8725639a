//! Opening a table's directory: the manifest and the files are compared both ways, and nothing is deleted that is
//! not provably redundant.
//!
//! The parts of a table cover consecutive ranges of the log without gaps: a flush begins behind the covered
//! position, a merge unites neighbours. So a complete part that no valid manifest lists is either an input or an
//! output of a merge whose other side is live (its range lies inside what the live parts cover), or a flush whose
//! rows the log still has (its range lies above). Both are redundant. Only where a listed part is missing or
//! damaged can an unlisted one be needed; then parts that cover exactly its range take its place.

use super::live_part::LivePart;
use super::manifest::{Manifest, ManifestPart};
use super::names::{TableFile, recognise};
use super::{Table, TableContext, TableState};
use crate::part::{Part, part_file_name};
use crate::table_key::TableKey;
use pipal_model::{ErrorKind, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What opening a table found that is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableReport {
    /// Damaged or missing files, each with what is wrong.
    pub damages: Vec<String>,
    /// Files moved into quarantine.
    pub quarantined: u64,
    /// Redundant files that will be removed.
    pub redundant: u64,
}

/// A complete part found in the directory.
struct Found {
    number: u64,
    part: Part,
}

impl Found {
    fn range(&self) -> (u64, u64) {
        (self.part.identity().log_first, self.part.identity().log_last)
    }
}

impl Table {
    /// Opens the table in `dir`. `log_is_whole` says that the log's replay met no damage, so that rows above the
    /// covered position are provably in it.
    pub fn open(
        key: TableKey,
        dir: PathBuf,
        context: Arc<TableContext>,
        log_is_whole: bool,
    ) -> Result<(Self, TableReport)> {
        let mut opening = Opening { key, dir: &dir, context: &context, report: TableReport::default() };
        let files = opening.list()?;
        let mut found = opening.open_parts(&files.parts)?;
        let manifest = opening.newest_manifest(&files.manifests)?;
        let newest_is_valid =
            manifest.as_ref().is_some_and(|m| Some(&m.epoch) == files.manifests.iter().max());
        let live = match &manifest {
            Some(manifest) if newest_is_valid => opening.select_listed(manifest, &mut found),
            // A damaged newer manifest may have let go of the log, so an older one proves nothing about parts.
            _ => opening.select_without_manifest(&mut found),
        };
        let parts_covered = live.iter().map(|f| f.range().1).max().unwrap_or(0);
        let covered_seq = manifest.as_ref().map_or(0, |m| m.covered_seq).max(parts_covered);
        opening.dispose(found, covered_seq, log_is_whole)?;
        let report = opening.report;

        let highest = files.parts.iter().chain(&files.manifests).copied().max().unwrap_or(0);
        let epoch = highest.max(manifest.as_ref().map_or(0, |m| m.epoch));
        let listed: Vec<ManifestPart> =
            live.iter().map(|f| ManifestPart { number: f.number, id: f.part.identity().id }).collect();
        let parts = live.into_iter().map(|f| {
            let path = dir.join(part_file_name(f.number));
            Arc::new(LivePart::new(f.part, f.number, path, context.reaper.clone()))
        });
        let state = TableState::new(epoch, covered_seq, parts.collect());
        let as_listed = manifest.as_ref().is_some_and(|m| m.parts == listed);
        let table = Table::with_state(key, dir, context, state);
        {
            let mut manifests = table.manifests.lock();
            manifests.dir_exists = true;
            files.manifests.iter().for_each(|epoch| manifests.collector.add(*epoch));
        }
        table.newest_part_at.store(i64::MAX, Ordering::SeqCst);
        table.settle_manifest(as_listed && newest_is_valid, listed.is_empty(), manifest.map(|m| m.epoch))?;
        Ok((table, report))
    }

    /// After opening: writes a manifest when none describes the live parts, else removes older ones (SE-114).
    fn settle_manifest(&self, is_described: bool, is_empty: bool, valid: Option<u64>) -> Result<()> {
        if is_described {
            let mut manifests = self.manifests.lock();
            manifests.collector.collect(&self.context.fs, &self.dir);
            return Ok(());
        }
        if is_empty && valid.is_none() {
            return Ok(());
        }
        self.commit(None, &[], None, 0)
    }
}

/// Numbers found in the directory.
struct Files {
    parts: Vec<u64>,
    manifests: Vec<u64>,
}

struct Opening<'a> {
    key: TableKey,
    dir: &'a Path,
    context: &'a Arc<TableContext>,
    report: TableReport,
}

impl Opening<'_> {
    fn label(&self) -> String {
        format!("{:016x}-{}-{}", self.key.group, self.key.segment.start, self.key.shard)
    }

    fn quarantine(&mut self, path: &Path, reason: &str) -> Result<()> {
        self.context.quarantine.take(path, &self.label(), reason)?;
        self.report.quarantined += 1;
        Ok(())
    }

    fn damage(&mut self, what: String) {
        tracing::error!(table = %self.key, damage = %what, "a table is damaged");
        self.context.counters.damages.add(1);
        self.report.damages.push(what);
    }

    fn list(&mut self) -> Result<Files> {
        let mut files = Files { parts: Vec::new(), manifests: Vec::new() };
        for entry in self.context.fs.list(self.dir)? {
            let path = self.dir.join(&entry.name);
            match recognise(&entry.name) {
                TableFile::Part(number) if !entry.is_dir => files.parts.push(number),
                TableFile::Manifest(epoch) if !entry.is_dir => files.manifests.push(epoch),
                // A temporary name is ours and never the only name of anything valid (L-02).
                TableFile::Temporary if !entry.is_dir => {
                    self.report.redundant += 1;
                    self.context.reaper.add_file(path);
                }
                _ => tracing::warn!(path = %path.display(), "a foreign file is left alone"),
            }
        }
        Ok(files)
    }

    fn open_parts(&mut self, numbers: &[u64]) -> Result<BTreeMap<u64, Found>> {
        let mut found = BTreeMap::new();
        for number in numbers {
            let path = self.dir.join(part_file_name(*number));
            match Part::open(&self.context.fs, &path, *number, self.context.cache.clone()) {
                Ok(part) if self.is_of_this_table(&part) => {
                    found.insert(*number, Found { number: *number, part });
                }
                Ok(_) => {
                    self.damage(format!("{}: the part belongs to another table", path.display()));
                    self.quarantine(&path, "the part belongs to another table")?;
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    self.damage(error.to_string());
                    self.quarantine(&path, &error.to_string())?;
                }
                // The disk may recover; what cannot be read now must not be judged now.
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn is_of_this_table(&self, part: &Part) -> bool {
        let identity = part.identity();
        identity.group == self.key.group
            && identity.segment_start == self.key.segment.start
            && identity.segment_end == self.key.segment.end
            && identity.shard == self.key.shard
    }

    fn newest_manifest(&mut self, epochs: &[u64]) -> Result<Option<Manifest>> {
        let mut descending = epochs.to_vec();
        descending.sort_unstable_by(|a, b| b.cmp(a));
        for epoch in descending {
            match Manifest::read(&self.context.fs, self.dir, epoch) {
                Ok(manifest) if manifest.table == self.key => return Ok(Some(manifest)),
                Ok(_) => self.damage(format!("manifest {epoch:016x} belongs to another table")),
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    self.damage(error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Takes the listed parts out of `found`, in the order of the manifest.
    fn select_listed(&mut self, manifest: &Manifest, found: &mut BTreeMap<u64, Found>) -> Vec<Found> {
        let mut live: Vec<Found> = Vec::new();
        let mut missing = Vec::new();
        for listed in &manifest.parts {
            match found.remove(&listed.number) {
                Some(part) if part.part.identity().id == listed.id => live.push(part),
                Some(part) => {
                    missing.push(listed.number);
                    found.insert(listed.number, part);
                }
                None => missing.push(listed.number),
            }
        }
        if missing.is_empty() {
            return live;
        }
        self.adopt_into_gaps(manifest.covered_seq, &mut live, found);
        for number in missing {
            self.damage(format!("{}: the part is listed but cannot be served", part_file_name(number)));
        }
        live
    }

    /// Fills the ranges that the live parts leave uncovered with unlisted parts that lie inside them.
    fn adopt_into_gaps(&mut self, covered_seq: u64, live: &mut Vec<Found>, found: &mut BTreeMap<u64, Found>) {
        for number in widest_first(found) {
            let Some(candidate) = found.get(&number) else { continue };
            let (first, last) = candidate.range();
            let is_free = live.iter().all(|l| l.range().1 < first || last < l.range().0);
            if is_free && last <= covered_seq {
                tracing::warn!(table = %self.key, number, "a part takes the place of a damaged one");
                live.extend(found.remove(&number));
            }
        }
        live.sort_by_key(Found::range);
    }

    /// Without a valid manifest the live parts are those that no other part contains, as far as they follow each
    /// other without a gap from the first log position; the log gives what lies behind.
    fn select_without_manifest(&mut self, found: &mut BTreeMap<u64, Found>) -> Vec<Found> {
        let mut live: Vec<Found> = Vec::new();
        let mut covered = 0;
        loop {
            let next = found.values().filter(|f| f.range().0 == covered + 1).max_by_key(|f| f.range().1);
            let Some(number) = next.map(|f| f.number) else { return live };
            if let Some(part) = found.remove(&number) {
                covered = part.range().1;
                live.push(part);
            }
        }
    }

    /// Decides about the complete parts that are not live. Where anything is damaged nothing is provable: without
    /// the newest manifest or a live part, `covered_seq` may be lower than what the log has already let go of.
    fn dispose(&mut self, found: BTreeMap<u64, Found>, covered_seq: u64, log_is_whole: bool) -> Result<()> {
        let is_damaged = !self.report.damages.is_empty();
        for part in found.into_values() {
            let path = self.dir.join(part_file_name(part.number));
            let (first, last) = part.range();
            let in_live_parts = last <= covered_seq && !is_damaged;
            let in_log = first > covered_seq && log_is_whole && !is_damaged;
            if in_live_parts || in_log {
                let because = if in_log { "the log" } else { "the live parts" };
                tracing::info!(path = %path.display(), because, "a redundant part will be removed");
                self.report.redundant += 1;
                self.context.reaper.add_file(path);
            } else {
                drop(part);
                self.quarantine(
                    &path,
                    "no manifest lists the part, and nothing proves that its rows are elsewhere",
                )?;
            }
        }
        Ok(())
    }
}

fn widest_first(found: &BTreeMap<u64, Found>) -> Vec<u64> {
    let mut numbers: Vec<(u64, u64)> =
        found.values().map(|f| (f.range().1.saturating_sub(f.range().0), f.number)).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    numbers.into_iter().map(|(_, number)| number).collect()
}
