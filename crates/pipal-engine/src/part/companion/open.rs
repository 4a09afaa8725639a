//! Opening the companion of a resource.

use super::super::index::PartIndex;
use super::super::reader::Part;
use super::super::resources::ResourceEntry;
use super::super::schema::ColumnList;
use super::head::BlockPlace;
use super::{BLOCK_ENTRIES, Directory, EntryBlock, PieceHead, PiecePlace};
use crate::part::footer::Section;
use crate::rows::ResourceKey;
use pipal_model::{ErrorKind, OrderKey, Result};
use std::sync::Arc;

/// The rows of a resource of one part in the order of one key, and a way to read single ones of them.
pub struct Companion<'a> {
    pub(super) part: &'a Part,
    pub(super) index: Arc<PartIndex>,
    pub(super) resource: ResourceEntry,
    pub(super) list: ColumnList,
    /// Place of the key among those of the resource.
    pub(super) key: usize,
    pieces: Vec<PiecePlace>,
}

impl Companion<'_> {
    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.resource.rows
    }

    /// The least and the greatest key.
    pub fn bounds(&self) -> (i64, i64) {
        let bounds = (0..self.pieces.len()).filter_map(|piece| self.bounds_of(piece));
        let both = |a: (i64, i64), b: (i64, i64)| (a.0.min(b.0), a.1.max(b.1));
        bounds.reduce(both).unwrap_or((i64::MAX, i64::MIN))
    }

    pub(super) fn pieces(&self) -> &[PiecePlace] {
        &self.pieces
    }

    pub(super) fn bounds_of(&self, piece: usize) -> Option<(i64, i64)> {
        self.pieces.get(piece)?.bounds.get(self.key).copied()
    }
}

impl Part {
    /// See [`crate::rows::RowSource::companion`]. Damage of what leads to it is logged.
    pub(in super::super) fn open_companion(
        &self,
        key: &ResourceKey,
        by: &OrderKey,
    ) -> Result<Option<Companion<'_>>> {
        self.find_companion(key, by).or_else(|error| {
            if error.kind() != ErrorKind::Corrupt {
                return Err(error);
            }
            tracing::error!(%error, "a companion cannot be read; all rows are looked at");
            Ok(None)
        })
    }

    fn find_companion(&self, key: &ResourceKey, by: &OrderKey) -> Result<Option<Companion<'_>>> {
        let index = self.index()?;
        let Some(resource) = self.find_resource(&index, key)? else { return Ok(None) };
        let list = self.misled(index.schemas.get(resource.schema))?.clone();
        let Some(place) = list.orders.position(by) else { return Ok(None) };
        let directory = self.companion_directory()?;
        let pieces = self.pieces_of(&directory, &resource, &list)?.to_vec();
        if pieces.is_empty() {
            return Ok(None);
        }
        Ok(Some(Companion { part: self, index, resource, list, key: place, pieces }))
    }

    pub(in super::super) fn companion_directory(&self) -> Result<Arc<Directory>> {
        let at = self.contents.section(Section::Companions);
        Ok(self.cached(at.offset, || self.file.load_as(at, |bytes| Directory::decode(&bytes)))?.0)
    }

    /// The pieces of a resource: none, or pieces that cover all of its rows.
    pub(super) fn pieces_of<'a>(
        &self,
        directory: &'a Directory,
        resource: &ResourceEntry,
        list: &ColumnList,
    ) -> Result<&'a [PiecePlace]> {
        let pieces = directory.within(&(resource.first_row..resource.end_row()));
        let mut row = resource.first_row;
        for piece in pieces {
            if piece.first_row != row || piece.bounds.len() != list.orders.keys().len() {
                return Err(self.wrong("pieces of a companion that do not follow each other"));
            }
            row = piece.end_row();
        }
        if pieces.is_empty() || row == resource.end_row() {
            return Ok(pieces);
        }
        Err(self.wrong("a companion that lacks rows"))
    }

    pub(super) fn piece_head(&self, place: &PiecePlace, list: &ColumnList) -> Result<Arc<PieceHead>> {
        let leading = list.orders.leading();
        let decode = || self.file.load_as(place.head, |bytes| PieceHead::decode(&bytes, place, leading));
        Ok(self.cached(place.head.offset, decode)?.0)
    }

    pub(super) fn entry_block(&self, place: &BlockPlace, with_tuples: bool) -> Result<Arc<EntryBlock>> {
        debug_assert!(place.entries <= BLOCK_ENTRIES);
        let decode =
            || self.file.load_as(place.extent, |bytes| EntryBlock::decode(bytes, place.entries, with_tuples));
        Ok(self.cached(place.extent.offset, decode)?.0)
    }
}
