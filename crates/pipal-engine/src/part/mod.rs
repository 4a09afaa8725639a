//! A part: one self-contained, immutable file of sorted rows.
//!
//! ```text
//! header       magic, format version, checksum
//! rows         row groups: what reads, checksums and the cache work in; between them, pieces of companions
//! series       per resource the ids of its entities and the rows of each
//! entities     all distinct entities of the part, sorted; an id is a rank
//! terms        which series have which values of indexed columns
//! bounds       which chunks have which numbers
//! filters      which chunks have which terms
//! companions   directory of the pieces, which list rows in the order of other keys
//! resources    directory of the resources
//! primary      where the row groups lie, with their rows and times
//! meta         schema table, and where the blocks of the sections above lie
//! statistics   identity, counts, times
//! contents     table of contents: sections and byte totals per founding region
//! footer       56 bytes: where the contents are, length of the file, id, checksum, magic
//! ```
//!
//! Rows are sorted by (kind, resource name, entity, time) and numbered in that order. A look-up goes from the
//! entity to its id (`entities`), from the resource to its series list (`resources`), from both to row numbers
//! (`series`), from there to a row group (`primary`), and decodes only the wanted rows of the wanted columns.
//! Everything but the totals is loaded on demand, through the cache, after its checksum matched.
//!
//! Bytes are described in the modules that write them and, together, in `docs/format/part.md`. The shape follows
//! the lessons of the founding format: one file (storage lessons 18.2), no user-controlled file names (D-18),
//! checksums everywhere (D-23), explicit validity (D-20), names that own their bytes (D-15), indexes of any
//! length (D-16).

mod chunk;
mod companion;
mod dictionary;
mod entities;
mod estimate;
mod file;
mod filters;
mod footer;
mod identity;
mod index;
mod lookup;
mod order;
mod output;
mod primary;
mod read;
mod reader;
mod regions;
mod resources;
mod schema;
mod sections;
mod series;
mod terms;
mod verify;
mod wire;
mod writer;

#[cfg(test)]
mod tests;

pub use companion::{Companion, LeadingFilter, OrderedRow, Step, Verdict, Walk, WalkRequest};
pub use dictionary::ENTITY_BYTES_MAX;
pub(crate) use estimate::merge_bytes;
pub use identity::{PartIdentity, PartSummary, parse_part_file_name, part_file_name, temporary_part_path};
pub use reader::{Part, PartDescription, SectionDescription};
pub use regions::Region;
pub use writer::{PartWriter, ROW_BYTES_MAX};

/// Version of the format that this build writes and the only one that it reads.
pub const FORMAT_VERSION: u32 = 1;
/// Most parents of a part.
pub const PARENTS_MAX: usize = 1024;

/// A chunk is closed before the values of its text columns would exceed this.
const CHUNK_BYTES_MAX: usize = 512 << 10;
/// A row group is closed when its chunks reach this.
const GROUP_BYTES_TARGET: usize = 64 << 10;
