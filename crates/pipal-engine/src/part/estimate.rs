//! What writing a merged part will hold in memory, estimated from the parts that go into it.
//!
//! Entities that several parts have are counted for each of them, so the estimate is too high rather than too low; it
//! decides when a merge begins, not whether. What the merge really holds is charged while it writes.

use super::companion::WRITER_BYTES_MAX;
use super::filters::{FILTERS_HEAP_BYTES_MAX, SPAN_HEAP_BYTES_MAX};
use super::footer::Section;
use super::primary::GroupEntry;
use super::reader::Part;
use super::resources::ResourceEntry;
use super::terms::TERMS_HEAP_BYTES_MAX;
use super::writer::{ENTITY_OVERHEAD_BYTES, SeriesDraft};

/// Dictionaries of entities are this much larger in memory: on disk neighbours share their beginnings and the rest is
/// compressed. Entities of the busiest known client take 6.6 bytes of a row on disk, and 65 each in memory.
const ENTITIES_EXPANSION: u64 = 6;
/// A vector that grew may be half empty.
const SLACK: u64 = 2;
/// A posting takes eight bytes in memory, twice that in a vector that grew, and at least one in a filter.
const POSTINGS_EXPANSION: u64 = 16;
/// The directory of companions of a part without any.
const NO_COMPANIONS_BYTES: u64 = 1;
/// A row of the piece that is built: its tuple, a few keys, and what sorting takes.
const COMPANION_ROW_BYTES: u64 = 64;
/// The name of a resource.
const NAME_BYTES: u64 = 64;

/// Bytes that writing these parts as one will hold, beside batches of rows.
pub(crate) fn merge_bytes<'a>(parts: impl IntoIterator<Item = &'a Part>) -> usize {
    let (mut lists, mut terms, mut filters, mut companions) = (0u64, 0u64, 0u64, 0u64);
    for part in parts {
        let summary = part.summary();
        let section = |section| part.contents.section(section).length;
        let entities =
            section(Section::Entities) * ENTITIES_EXPANSION + summary.entities * ENTITY_OVERHEAD_BYTES as u64;
        let series = summary.series * size_of::<SeriesDraft>() as u64;
        let resources = summary.resources * (size_of::<ResourceEntry>() as u64 + NAME_BYTES);
        let groups = summary.row_groups * size_of::<GroupEntry>() as u64;
        lists += entities + series + resources + groups;
        terms += section(Section::Terms);
        filters += section(Section::Bounds) + section(Section::Filters);
        if section(Section::Companions) > NO_COMPANIONS_BYTES {
            companions += summary.total_rows() * COMPANION_ROW_BYTES;
        }
    }
    let companions = companions.min(WRITER_BYTES_MAX as u64);
    let terms = (terms * SLACK).min(TERMS_HEAP_BYTES_MAX as u64);
    // Filters as they are written, and the postings of a span, which take several times the bytes of their filter.
    let postings = (filters * POSTINGS_EXPANSION).min(SPAN_HEAP_BYTES_MAX as u64);
    let filters = (filters * SLACK).min(FILTERS_HEAP_BYTES_MAX as u64) + postings;
    usize::try_from(lists * SLACK + terms + filters + companions).unwrap_or(usize::MAX)
}
