//! A table's share of a snapshot: links to its parts, one more part with the rows in memory, and a manifest that
//! lists exactly these. The table itself does not change.

use super::live_part::LivePart;
use super::manifest::{Manifest, ManifestPart};
use super::names::manifest_name;
use super::persist::copy_rows;
use super::{Table, TableState};
use crate::backup::copy_open_file;
use crate::part::{Part, PartWriter, part_file_name, temporary_part_path};
use crate::rows::RowSource;
use crate::scan::{CancelToken, TableSnapshot};
use pipal_codec::Effort;
use pipal_model::{ErrorKind, Reservation, Result};
use std::path::Path;
use std::sync::Arc;

/// A file that was put into a snapshot.
pub(crate) struct BackedUp {
    pub name: String,
    pub bytes: u64,
}

impl Table {
    /// Writes `state`, which is or was a state of this table, durably into the directory `dir`, which is there.
    pub fn back_up(&self, state: &TableState, dir: &Path) -> Result<Vec<BackedUp>> {
        let mut files = Vec::new();
        let mut parts = Vec::new();
        for part in state.parts.iter() {
            let name = part_file_name(part.number());
            self.link_part(part, &dir.join(&name))?;
            files.push(BackedUp { name, bytes: part.part().file_bytes() });
            parts.push(ManifestPart { number: part.number(), id: part.part().identity().id });
        }
        let covered_seq = state.last_seq();
        if let Some(part) = self.back_up_memory(state, covered_seq, dir)? {
            files.push(BackedUp { name: part_file_name(part.number()), bytes: part.file_bytes() });
            parts.push(ManifestPart { number: part.number(), id: part.identity().id });
        }
        let manifest = Manifest { epoch: self.next_epoch(), table: self.key, covered_seq, parts };
        // This syncs the directory, and with it the names of the parts.
        manifest.write(&self.context.fs, dir)?;
        let bytes = manifest.encode().len() as u64;
        files.push(BackedUp { name: manifest_name(manifest.epoch), bytes });
        Ok(files)
    }

    /// A link needs the part's name, and the name may be gone: its segment has expired or its group was deleted after
    /// the cut. The open file outlives its name; it is copied then, as between two file systems.
    fn link_part(&self, part: &LivePart, to: &Path) -> Result<()> {
        let fs = &self.context.fs;
        if let Err(error) = fs.link(part.path(), to) {
            if error.kind() == ErrorKind::DiskFull {
                return Err(error);
            }
            tracing::debug!(%error, "a part is copied instead of linked");
            return copy_open_file(fs, part.part().open_file(), to);
        }
        let linked = Part::open(fs, to, part.number(), self.context.cache.clone())?;
        if linked.identity().id == part.part().identity().id {
            return Ok(());
        }
        // A segment that expired and came back under a longer retention numbers its parts from 1 again.
        copy_open_file(fs, part.part().open_file(), to)
    }

    fn back_up_memory(&self, state: &TableState, last_seq: u64, dir: &Path) -> Result<Option<Part>> {
        let sources: Vec<_> = state.runs().map(|r| r.clone() as Arc<dyn RowSource>).collect();
        if sources.is_empty() {
            return Ok(None);
        }
        let context = &self.context;
        let number = self.next_epoch();
        let log_range = (state.covered_seq + 1, last_seq);
        let identity = self.part_identity(number, log_range, Vec::new());
        let path = dir.join(part_file_name(number));
        let mut writer = PartWriter::create(&context.fs, &path, identity, Effort::Fast)?;
        let mut memory = Reservation::new(&context.memory.part_writers, usize::MAX);
        let table = TableSnapshot::new(self.key.shard, 0, sources);
        if copy_rows(&table, &mut writer, &mut memory, &CancelToken::default())? == 0 {
            return Ok(None);
        }
        writer.finish()?;
        context.fs.rename(&temporary_part_path(&path), &path)?;
        Part::open(&context.fs, &path, number, context.cache.clone()).map(Some)
    }
}
