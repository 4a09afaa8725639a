//! Checks the term index: order, counts, and that every list is of an indexed column and leads to series.

use super::super::index::PartIndex;
use super::super::reader::Part;
use super::super::resources::ResourceEntry;
use super::super::wire::Decoded;
use super::{PieceHead, TermBlock, TermRows};
use pipal_model::Result;

impl Part {
    /// Decodes all lists.
    pub(in super::super) fn verify_terms(
        &self,
        index: &PartIndex,
        resources: &[ResourceEntry],
    ) -> Result<()> {
        let series = self.summary().series;
        let mut count = 0;
        let mut last = None;
        for (number, place) in index.terms.iter().enumerate() {
            let block = self.file.load_as(place.extent, |bytes| TermBlock::decode(bytes, series))?;
            if place.first != count {
                return Err(self.wrong("terms that do not add up"));
            }
            for (i, head) in block.pieces().iter().enumerate() {
                let leads_here = index.terms.find_key(&head.key()) == Some(number);
                let begins_block = i > 0 || number == 0 || last < Some(head.key());
                if !leads_here || !begins_block {
                    return Err(self.wrong("blocks of terms out of order"));
                }
                let rows = self.file.located(place.extent.offset, all_rows(&block, head))?;
                let resource = self.resource_of_list(index, resources, head)?;
                self.entities_at(index, resource, &rows)?;
                last = Some(head.key());
                count += head.hashes as u64;
            }
        }
        if count != self.summary().terms { Err(self.wrong("terms that do not add up")) } else { Ok(()) }
    }

    fn resource_of_list<'a>(
        &self,
        index: &PartIndex,
        resources: &'a [ResourceEntry],
        head: &PieceHead,
    ) -> Result<&'a ResourceEntry> {
        let unindexed = || self.wrong("terms of no indexed column");
        let at = resources.binary_search_by_key(&head.first_row, |resource| resource.first_row);
        let resource = at.ok().and_then(|at| resources.get(at)).ok_or_else(unindexed)?;
        let list = self.misled(index.schemas.get(resource.schema))?;
        if list.has_terms(head.place as usize) { Ok(resource) } else { Err(unindexed()) }
    }
}

/// All rows that a piece leads to, ascending.
fn all_rows(block: &TermBlock, head: &PieceHead) -> Decoded<Vec<u64>> {
    let piece = block.piece(head)?;
    let mut rows = Vec::new();
    for rank in 0..head.hashes {
        if let TermRows::These(more) = piece.rows(rank)? {
            rows.extend(more);
        }
    }
    rows.sort_unstable();
    rows.dedup();
    Ok(rows)
}
