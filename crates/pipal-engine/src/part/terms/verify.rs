//! Checks the term index: order, counts, and that every entry is of an indexed column and leads to entities.

use super::super::index::PartIndex;
use super::super::reader::Part;
use super::super::resources::ResourceEntry;
use super::{TermBlock, parse_key};
use pipal_model::Result;

impl Part {
    /// Decodes all entries.
    pub(in super::super) fn verify_terms(&self, index: &PartIndex, resources: &[ResourceEntry]) -> Result<()> {
        let entities = self.summary().entities;
        let mut count = 0;
        let (mut last, mut key) = (Vec::new(), Vec::new());
        for (number, place) in index.terms.iter().enumerate() {
            let block = self.file.load_as(place.extent, |bytes| TermBlock::decode(&bytes, entities))?;
            if place.first != count || block.len() == 0 {
                return Err(self.wrong("terms that do not add up"));
            }
            for rank in 0..block.len() {
                self.misled(block.key(rank, &mut key))?;
                let ascends = rank > 0 || number == 0 || last < key;
                if !ascends || index.terms.find_key(&key) != Some(number) {
                    return Err(self.wrong("blocks of terms out of order"));
                }
                self.verify_term(index, resources, &key)?;
                self.file.located(place.extent.offset, block.ids(rank, entities))?;
                std::mem::swap(&mut last, &mut key);
            }
            count += block.len() as u64;
        }
        if count != self.summary().terms { Err(self.wrong("terms that do not add up")) } else { Ok(()) }
    }

    fn verify_term(&self, index: &PartIndex, resources: &[ResourceEntry], key: &[u8]) -> Result<()> {
        let unindexed = || self.wrong("a term of no indexed column");
        let (first_row, place) = parse_key(key).ok_or_else(unindexed)?;
        let at = resources.binary_search_by_key(&first_row, |resource| resource.first_row);
        let resource = at.ok().and_then(|at| resources.get(at)).ok_or_else(unindexed)?;
        let list = self.misled(index.schemas.get(resource.schema))?;
        if list.is_indexed(place as usize) { Ok(()) } else { Err(unindexed()) }
    }
}
