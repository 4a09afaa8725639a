//! Header, table of contents and footer: the frame of a part file.

use super::wire::{Decoded, Malformed, Reader, put_bytes, put_varint};
use super::{FORMAT_VERSION, Region};

/// First bytes of a part file.
const MAGIC: [u8; 8] = *b"PipalPrt";
/// Last bytes of a complete part file.
const END_MAGIC: [u8; 8] = *b"PrtPipal";

/// Length of the header.
pub(super) const HEADER_BYTES: usize = 16;
/// Length of the footer.
pub(super) const FOOTER_BYTES: usize = 56;
/// Most bytes of a table of contents that a reader accepts.
pub(super) const CONTENTS_BYTES_MAX: u32 = 64 << 20;

/// Bytes of a file with their checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) crc: u32,
}

impl Extent {
    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// The header: magic, format version, checksum of both.
pub(super) fn encode_header() -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// The footer, found at a fixed distance from the end of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) contents: Extent,
    pub(super) file_length: u64,
    pub(super) id: u128,
}

impl Footer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        out.extend_from_slice(&self.contents.offset.to_le_bytes());
        out.extend_from_slice(&(self.contents.length as u32).to_le_bytes());
        out.extend_from_slice(&self.contents.crc.to_le_bytes());
        out.extend_from_slice(&self.file_length.to_le_bytes());
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&END_MAGIC);
        debug_assert_eq!(out.len(), FOOTER_BYTES);
        out
    }

    /// Reads the last [`FOOTER_BYTES`] of a file.
    pub(super) fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let offset = reader.u64()?;
        let length = reader.u32()?;
        let crc = reader.u32()?;
        let file_length = reader.u64()?;
        let id = reader.u128()?;
        let version = reader.u32()?;
        let footer_crc = reader.u32()?;
        if reader.take(END_MAGIC.len())? != END_MAGIC {
            return Err(Malformed("the magic bytes at the end of a complete part"));
        }
        reader.end()?;
        if crc32c::crc32c(&bytes[..FOOTER_BYTES - END_MAGIC.len() - 4]) != footer_crc {
            return Err(Malformed("the footer's checksum"));
        }
        if version != FORMAT_VERSION {
            return Err(Malformed("a format version that this build reads"));
        }
        if length > CONTENTS_BYTES_MAX {
            return Err(Malformed("a table of contents within its limit"));
        }
        Ok(Footer { contents: Extent { offset, length: u64::from(length), crc }, file_length, id })
    }
}

/// Sections in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Rows,
    Series,
    Entities,
    Terms,
    Bounds,
    Filters,
    Companions,
    Resources,
    Primary,
    Meta,
    Statistics,
}

impl Section {
    pub(super) const ALL: [Section; 11] = [
        Section::Rows,
        Section::Series,
        Section::Entities,
        Section::Terms,
        Section::Bounds,
        Section::Filters,
        Section::Companions,
        Section::Resources,
        Section::Primary,
        Section::Meta,
        Section::Statistics,
    ];

    /// The name in the table of contents.
    pub(super) fn name(self) -> &'static str {
        match self {
            Section::Rows => "rows",
            Section::Series => "series",
            Section::Entities => "entities",
            Section::Terms => "terms",
            Section::Bounds => "bounds",
            Section::Filters => "filters",
            Section::Companions => "companions",
            Section::Resources => "resources",
            Section::Primary => "primary",
            Section::Meta => "meta",
            Section::Statistics => "statistics",
        }
    }
}

/// The table of contents: where the sections lie, and how many bytes of the rows belong to which region.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Contents {
    sections: [Extent; Section::ALL.len()],
    pub(super) regions: Vec<Region>,
}

impl Contents {
    pub(super) fn section(&self, section: Section) -> Extent {
        self.sections[section as usize]
    }

    pub(super) fn set(&mut self, section: Section, extent: Extent) {
        self.sections[section as usize] = extent;
    }

    /// End of the last section.
    pub(super) fn end(&self) -> u64 {
        self.sections[Section::Statistics as usize].end()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for section in Section::ALL {
            let extent = self.section(section);
            put_bytes(section.name().as_bytes(), &mut out);
            put_varint(extent.offset, &mut out);
            put_varint(extent.length, &mut out);
            out.extend_from_slice(&extent.crc.to_le_bytes());
        }
        put_varint(self.regions.len() as u64, &mut out);
        for region in &self.regions {
            put_bytes(region.name.as_bytes(), &mut out);
            put_varint(region.bytes, &mut out);
            put_varint(region.uncompressed_bytes, &mut out);
        }
        out
    }

    /// Reads a table of contents; its sections follow the header and each other without a gap.
    pub(super) fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let mut contents = Contents::default();
        let mut end = HEADER_BYTES as u64;
        for section in Section::ALL {
            if reader.text()? != section.name() {
                return Err(Malformed("the sections in their order"));
            }
            let extent = Extent { offset: reader.varint()?, length: reader.varint()?, crc: reader.u32()? };
            if extent.offset != end {
                return Err(Malformed("sections without gaps"));
            }
            end = extent.end();
            contents.set(section, extent);
        }
        let regions = reader.count(3)?;
        for _ in 0..regions {
            contents.regions.push(Region {
                name: reader.text()?.into(),
                bytes: reader.varint()?,
                uncompressed_bytes: reader.varint()?,
            });
        }
        reader.end()?;
        Ok(contents)
    }
}
