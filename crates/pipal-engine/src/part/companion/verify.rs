//! Checks companions: every row of a resource is listed once per key, in the order of keys, with a tuple that has as
//! many rows as it says.

use super::super::index::PartIndex;
use super::super::reader::Part;
use super::super::resources::ResourceEntry;
use super::super::schema::ColumnList;
use super::super::wire::{Decoded, Malformed};
use super::head::BlockPlace;
use super::{Directory, EntryBlock, PieceHead, PiecePlace};
use crate::part::footer::Section;
use pipal_model::Result;
use std::ops::Range;

impl Part {
    /// Decodes all pieces and gives the bytes that they take of the section of rows, in order.
    pub(in super::super) fn verify_companions(
        &self,
        index: &PartIndex,
        resources: &[ResourceEntry],
    ) -> Result<Vec<Range<u64>>> {
        let at = self.contents.section(Section::Companions);
        let directory = self.file.load_as(at, |bytes| Directory::decode(&bytes))?;
        let mut extents = Vec::with_capacity(directory.0.len());
        for resource in resources {
            let list = self.misled(index.schemas.get(resource.schema))?;
            for piece in self.pieces_of(&directory, resource, list)? {
                extents.push(self.verify_piece(piece, list)?);
            }
        }
        if extents.len() != directory.0.len() {
            return Err(self.wrong("a companion of no ordered resource"));
        }
        Ok(extents)
    }

    fn verify_piece(&self, place: &PiecePlace, list: &ColumnList) -> Result<Range<u64>> {
        let leading = list.orders.leading();
        let head = self.file.load_as(place.head, |bytes| PieceHead::decode(&bytes, place, leading))?;
        let mut tuples: Vec<Option<u32>> = vec![None; place.rows as usize];
        for blocks in &head.keys {
            let mut check = KeyCheck { seen: vec![false; tuples.len()], tuples: &mut tuples, last: None };
            for block in blocks {
                let with_tuples = head.rows_of.len() > 1;
                let decode = |bytes| EntryBlock::decode(bytes, block.entries, with_tuples);
                let loaded = self.file.load_as(block.extent, decode)?;
                self.file.located(block.extent.offset, check.accept(&loaded, block))?;
            }
        }
        let mut rows_of = vec![0u64; head.rows_of.len()];
        for tuple in tuples.into_iter().flatten() {
            let Some(rows) = rows_of.get_mut(tuple as usize) else {
                return Err(self.file.corrupt(place.head.offset, "an unknown tuple"));
            };
            *rows += 1;
        }
        if rows_of != head.rows_of {
            return Err(self.file.corrupt(place.head.offset, "rows of tuples that do not add up"));
        }
        Ok(head.offset().unwrap_or(place.head.offset)..place.head.end())
    }
}

/// The entries of one key so far.
struct KeyCheck<'a> {
    seen: Vec<bool>,
    /// Per row its tuple, once a key told it.
    tuples: &'a mut [Option<u32>],
    last: Option<(i64, i64)>,
}

impl KeyCheck<'_> {
    fn accept(&mut self, block: &EntryBlock, place: &BlockPlace) -> Decoded<()> {
        let all = 0..place.entries;
        let (keys, rows, tuples) = (block.keys(all.clone())?, block.rows(all.clone())?, block.tuples(all)?);
        if (keys.first(), keys.last()) != (Some(&place.least), Some(&place.greatest)) {
            return Err(Malformed("a block of the keys that its head says"));
        }
        for ((key, row), tuple) in keys.into_iter().zip(rows).zip(tuples) {
            let at = usize::try_from(row).ok();
            let seen = at.and_then(|at| self.seen.get_mut(at)).ok_or(Malformed("a row of the piece"))?;
            let known = at.and_then(|at| self.tuples.get_mut(at)).ok_or(Malformed("a row of the piece"))?;
            let tuple = u32::try_from(tuple).map_err(|_| Malformed("the number of a tuple"))?;
            let is_new = !std::mem::replace(seen, true) && self.last < Some((key, row));
            if !is_new || *known.get_or_insert(tuple) != tuple {
                return Err(Malformed("each row once, in the order of keys"));
            }
            self.last = Some((key, row));
        }
        Ok(())
    }
}
