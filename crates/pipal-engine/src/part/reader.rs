//! An open part.

use super::file::PartFile;
use super::footer::{Contents, Extent, FOOTER_BYTES, Footer, HEADER_BYTES, Section};
use super::identity::{PartIdentity, PartSummary, decode_statistics};
use super::index::PartIndex;
use super::primary::{GroupEntry, PrimaryBlock, RowGroup};
use super::regions::Region;
use crate::cache::{BlockCache, BlockKey, CacheValue};
use crate::fs::FileSystem;
use pipal_model::{Error, Result};
use std::path::Path;
use std::sync::Arc;

/// Opening reads this much of the end of the file; contents and statistics of all but huge parts are inside.
const TAIL_READ_BYTES: u64 = 16 << 10;

/// A complete part file, open for reading. Shared as `Arc<Part>`; the last owner closes the file.
pub struct Part {
    pub(super) file: PartFile,
    pub(super) contents: Contents,
    cache: Arc<BlockCache>,
    owner: u64,
    number: u64,
    identity: PartIdentity,
    summary: PartSummary,
}

/// A section of a part file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionDescription {
    /// Name in the table of contents.
    pub name: &'static str,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// CRC-32C of the bytes.
    pub crc: u32,
}

/// What `pipal inspect` prints of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartDescription {
    /// Number in its table.
    pub number: u64,
    /// Identity.
    pub identity: PartIdentity,
    /// Totals.
    pub summary: PartSummary,
    /// Sections in the order of the file.
    pub sections: Vec<SectionDescription>,
    /// Byte totals per founding region.
    pub regions: Vec<Region>,
}

impl Part {
    /// Opens the part with this number in its table. One read of the end of the file is enough unless the part
    /// has very many column families or parents. A file that is not a complete part is `Corrupt`.
    pub fn open(fs: &Arc<dyn FileSystem>, path: &Path, number: u64, cache: Arc<BlockCache>) -> Result<Part> {
        let file = PartFile { file: fs.open(path)?, path: path.to_path_buf() };
        let size = file.file.size()?;
        if size < (HEADER_BYTES + FOOTER_BYTES) as u64 {
            return Err(file.corrupt(0, "too short for a part"));
        }
        let tail_offset = size - size.min(TAIL_READ_BYTES);
        let mut tail = vec![0; (size - tail_offset) as usize];
        file.file.read_exact_at(&mut tail, tail_offset)?;
        let tail = Tail { file: &file, offset: tail_offset, bytes: tail };

        let footer_offset = size - FOOTER_BYTES as u64;
        let footer_bytes = &tail.bytes[tail.bytes.len() - FOOTER_BYTES..];
        let footer = file.located(footer_offset, Footer::decode(footer_bytes))?;
        if footer.file_length != size || footer.contents.end() != footer_offset {
            return Err(file.corrupt(footer_offset, "a file of another length than its footer says"));
        }
        let contents_at = footer.contents;
        let contents = file.located(contents_at.offset, Contents::decode(&tail.load(contents_at)?))?;
        if contents.end() != contents_at.offset {
            return Err(file.corrupt(contents_at.offset, "sections that do not reach the table of contents"));
        }
        let statistics_at = contents.section(Section::Statistics);
        let statistics = decode_statistics(&tail.load(statistics_at)?, size);
        let (identity, summary) = file.located(statistics_at.offset, statistics)?;
        if identity.id != footer.id {
            return Err(file.corrupt(footer_offset, "two different ids"));
        }
        let owner = cache.new_owner();
        Ok(Part { file, contents, cache, owner, number, identity, summary })
    }

    /// Number in its table.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Path of the file as it was opened.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// The open file, which outlives its name.
    pub(crate) fn open_file(&self) -> &dyn crate::fs::ReadableFile {
        &*self.file.file
    }

    /// Who the part is.
    pub fn identity(&self) -> &PartIdentity {
        &self.identity
    }

    /// Totals.
    pub fn summary(&self) -> &PartSummary {
        &self.summary
    }

    /// Length of the file.
    pub fn file_bytes(&self) -> u64 {
        self.summary.file_bytes
    }

    /// Memory held by the open part itself; what it reads is charged to the cache.
    pub fn heap_bytes(&self) -> usize {
        let regions = self.contents.regions.iter().map(|region| size_of::<Region>() + region.name.len());
        size_of::<Part>()
            + regions.sum::<usize>()
            + self.identity.parents.capacity() * 16
            + self.file.path.as_os_str().len()
    }

    /// Sections, regions, identity and totals.
    pub fn describe(&self) -> PartDescription {
        let section = |section: Section| {
            let Extent { offset, length, crc } = self.contents.section(section);
            SectionDescription { name: section.name(), offset, length, crc }
        };
        PartDescription {
            number: self.number,
            identity: self.identity.clone(),
            summary: self.summary.clone(),
            sections: Section::ALL.map(section).to_vec(),
            regions: self.contents.regions.clone(),
        }
    }

    /// The cached value at `offset`, and true if it was there; otherwise `load` makes it.
    pub(super) fn cached<T: CacheValue>(
        &self,
        offset: u64,
        load: impl FnOnce() -> Result<T>,
    ) -> Result<(Arc<T>, bool)> {
        self.cache.get_or_load(BlockKey { owner: self.owner, offset }, load)
    }

    /// The decoded `meta` section.
    pub(super) fn index(&self) -> Result<Arc<PartIndex>> {
        let at = self.contents.section(Section::Meta);
        let decode = || self.file.load_as(at, |bytes| PartIndex::decode(&bytes, &self.contents));
        Ok(self.cached(at.offset, decode)?.0)
    }

    pub(super) fn primary_block(&self, index: &PartIndex, number: usize) -> Result<Arc<PrimaryBlock>> {
        let place = self.file.located(self.contents.end(), index.primary.get(number))?;
        let decode = |bytes: Vec<u8>| PrimaryBlock::decode(&bytes, place.first, place.second);
        Ok(self.cached(place.extent.offset, || self.file.load_as(place.extent, decode))?.0)
    }

    /// A row group, and true if it was in the cache.
    pub(super) fn row_group(&self, entry: &GroupEntry) -> Result<(Arc<RowGroup>, bool)> {
        let extent = Extent { offset: entry.offset, length: entry.length, crc: entry.crc };
        self.cached(entry.offset, || self.file.load_as(extent, |bytes| RowGroup::decode(bytes, entry.rows)))
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "part {}", self.number)
    }
}

/// The end of the file, read at once.
struct Tail<'a> {
    file: &'a PartFile,
    offset: u64,
    bytes: Vec<u8>,
}

impl Tail<'_> {
    /// Verified bytes, from memory where they were read already.
    fn load(&self, extent: Extent) -> Result<Vec<u8>> {
        let Some(start) = extent.offset.checked_sub(self.offset) else { return self.file.load(extent) };
        let range = start as usize..start.saturating_add(extent.length) as usize;
        let bytes = self
            .bytes
            .get(range)
            .ok_or_else(|| self.file.corrupt(extent.offset, "an extent behind the end"))?;
        if crc32c::crc32c(bytes) != extent.crc {
            return Err(self.file.corrupt(extent.offset, "the checksum does not match"));
        }
        Ok(bytes.to_vec())
    }
}

/// A caller's defect.
pub(super) fn inconsistent(detail: &'static str) -> Error {
    Error::internal("read part", detail)
}
