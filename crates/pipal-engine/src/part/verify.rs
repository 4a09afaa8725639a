//! Checks every byte of a part: checksums first, then that everything decodes and adds up.

use super::chunk::{ChunkView, StoredColumn};
use super::dictionary::DictionaryBlock;
use super::filters::FilterCheck;
use super::footer::{Extent, HEADER_BYTES, Section, encode_header};
use super::index::PartIndex;
use super::primary::{GroupEntry, PrimaryBlock, RowGroup};
use super::reader::Part;
use super::resources::{DirectoryBlock, ResourceEntry};
use super::schema::ColumnList;
use super::series::SeriesPage;
use pipal_codec::{Column, decode_column};
use pipal_model::{Error, Result, TimeRange};
use std::ops::Range;

/// Bytes of a section that are read at once.
const PIECE_BYTES: u64 = 256 << 10;

impl Part {
    /// Reads the whole file past the cache and checks it: header, the checksum of every section and block, every
    /// string, list and column, and that rows, series and entities add up. The footer, the table of contents and
    /// the statistics were checked when the part was opened.
    pub fn verify(&self) -> Result<()> {
        self.verify_header()?;
        for section in Section::ALL {
            self.verify_section(self.contents.section(section))?;
        }
        let at = self.contents.section(Section::Meta);
        let index = self.file.load_as(at, |bytes| PartIndex::decode(&bytes, &self.contents))?;
        self.verify_entities(&index)?;
        let resources = self.verify_resources(&index)?;
        self.verify_terms(&index, &resources)?;
        self.verify_series(&index, &resources)?;
        let pieces = self.verify_companions(&index, &resources)?;
        self.verify_rows(&index, &resources, &pieces)
    }

    pub(super) fn wrong(&self, what: &str) -> Error {
        self.file.corrupt(self.contents.end(), what)
    }

    fn verify_header(&self) -> Result<()> {
        let mut header = [0; HEADER_BYTES];
        self.file.file.read_exact_at(&mut header, 0)?;
        if header[..] != encode_header() {
            return Err(self.file.corrupt(0, "not the header of a part"));
        }
        Ok(())
    }

    fn verify_section(&self, section: Extent) -> Result<()> {
        let mut buffer = vec![0; section.length.min(PIECE_BYTES) as usize];
        let (mut offset, mut crc) = (section.offset, 0);
        while offset < section.end() {
            let length = (section.end() - offset).min(PIECE_BYTES);
            let piece = &mut buffer[..length as usize];
            self.file.file.read_exact_at(piece, offset)?;
            crc = crc32c::crc32c_append(crc, piece);
            offset += length;
        }
        if crc != section.crc {
            return Err(self.file.corrupt(section.offset, "the checksum of a section does not match"));
        }
        Ok(())
    }

    fn verify_entities(&self, index: &PartIndex) -> Result<()> {
        let mut count = 0;
        let (mut last, mut next) = (Vec::new(), Vec::new());
        for (number, place) in index.entities.iter().enumerate() {
            let block = self.file.load_as(place.extent, |bytes| DictionaryBlock::decode(&bytes))?;
            if place.first != count || block.len() == 0 {
                return Err(self.wrong("entity ids that do not add up"));
            }
            self.misled(block.get(0, &mut next))?;
            if number > 0 && (last >= next || index.entities.find_key(&next) != Some(number)) {
                return Err(self.wrong("dictionary blocks out of order"));
            }
            self.misled(block.get(block.len() - 1, &mut last))?;
            if index.entities.find_key(&last) != Some(number) {
                return Err(self.wrong("dictionary blocks out of order"));
            }
            count += block.len() as u64;
        }
        if count != self.summary().entities { Err(self.wrong("entities that do not add up")) } else { Ok(()) }
    }

    fn verify_resources(&self, index: &PartIndex) -> Result<Vec<ResourceEntry>> {
        let mut resources: Vec<ResourceEntry> = Vec::new();
        for (number, place) in index.resources.iter().enumerate() {
            let block =
                self.file.load_as(place.extent, |bytes| DirectoryBlock::decode(&bytes, place.first))?;
            for entry in block.0 {
                let end = resources.last().map_or(0, ResourceEntry::end_row);
                let ascends = resources.last().is_none_or(|last| last.key < entry.key);
                if entry.first_row != end || !ascends || index.directory_block(&entry.key) != Some(number) {
                    return Err(self.wrong("resources out of order"));
                }
                self.misled(index.schemas.get(entry.schema))?;
                resources.push(entry);
            }
        }
        let mut rows = [0u64; 2];
        resources.iter().for_each(|entry| rows[entry.key.kind as usize] += entry.rows);
        if rows != self.summary().rows || resources.len() as u64 != self.summary().resources {
            return Err(self.wrong("resources whose rows do not add up"));
        }
        Ok(resources)
    }

    fn verify_series(&self, index: &PartIndex, resources: &[ResourceEntry]) -> Result<()> {
        let mut walk =
            SeriesWalk { rows: RowWalk { row: 0, resources }, last_id: None, of_resource: 0, total: 0 };
        for (number, place) in index.series.iter().enumerate() {
            let page = self.file.load_as(place.extent, |bytes| SeriesPage::decode(bytes, place.first))?;
            let begins = page.blocks().first().map(|entry| (entry.first_row, entry.first_id));
            if begins != Some((walk.rows.row, place.second)) {
                return Err(self.wrong("pages of series that do not follow each other"));
            }
            for (block_number, entry) in page.blocks().iter().enumerate() {
                let block = self.file.located(place.extent.offset, page.block(entry))?;
                if !walk.accept((number, block_number), &block.ids, entry.rows, self.summary().entities) {
                    return Err(self.wrong("series out of order or not adding up"));
                }
            }
        }
        if walk.rows.row != self.summary().total_rows() || walk.total != self.summary().series {
            return Err(self.wrong("series that do not add up"));
        }
        Ok(())
    }

    /// `pieces` of companions are the only bytes between row groups.
    fn verify_rows(
        &self,
        index: &PartIndex,
        resources: &[ResourceEntry],
        pieces: &[Range<u64>],
    ) -> Result<()> {
        let section = self.contents.section(Section::Rows);
        let mut walk = RowWalk { row: 0, resources };
        let (mut offset, mut groups) = (section.offset, 0);
        let mut filters = FilterCheck::new(self, index);
        let mut pieces = pieces.iter().peekable();
        let mut skip_pieces = |offset: &mut u64| {
            while let Some(piece) = pieces.next_if(|piece| piece.start == *offset) {
                *offset = piece.end;
            }
            pieces.peek().is_none()
        };
        for place in index.primary.iter() {
            skip_pieces(&mut offset);
            if (place.first, place.second) != (walk.row, offset) {
                return Err(self.wrong("row groups that do not follow each other"));
            }
            let decode = |bytes: Vec<u8>| PrimaryBlock::decode(&bytes, place.first, place.second);
            for entry in self.file.load_as(place.extent, decode)?.0 {
                self.verify_group(index, &entry, &mut walk, &mut filters)?;
                offset = entry.offset + entry.length;
                groups += 1;
            }
        }
        let all_pieces = skip_pieces(&mut offset);
        let ended = walk.row == self.summary().total_rows() && offset == section.end();
        if !all_pieces || !ended || groups != self.summary().row_groups {
            return Err(self.wrong("row groups that do not add up"));
        }
        filters.finish()
    }

    fn verify_group(
        &self,
        index: &PartIndex,
        entry: &GroupEntry,
        walk: &mut RowWalk<'_>,
        filters: &mut FilterCheck<'_>,
    ) -> Result<()> {
        let extent = Extent { offset: entry.offset, length: entry.length, crc: entry.crc };
        let group = self.file.load_as(extent, |bytes| RowGroup::decode(bytes, entry.rows))?;
        let mut time = TimeRange { begin: i64::MAX, end: i64::MIN };
        for chunk in group.chunks() {
            let Some(resource) = walk.resource() else { return Err(self.wrong("rows of no resource")) };
            let list = self.misled(index.schemas.get(resource.schema))?;
            let parse = |bytes| ChunkView::parse(bytes, chunk.rows as usize, list.columns.len());
            let view = self.file.located(entry.offset, group.bytes_of(*chunk).and_then(parse))?;
            filters.begin_chunk(list, walk.row, chunk.rows)?;
            let times = self.verify_chunk(&view, list, entry.offset, filters)?;
            time = TimeRange { begin: time.begin.min(times.begin), end: time.end.max(times.end) };
            walk.row += u64::from(chunk.rows);
            let inside = resource.time.begin <= times.begin && times.end <= resource.time.end;
            if walk.row > resource.end_row() || !inside {
                return Err(self.wrong("a chunk that leaves its resource"));
            }
        }
        if time != entry.time {
            return Err(self.wrong("a row group with other times than its index says"));
        }
        Ok(())
    }

    /// Decodes a chunk completely and gives its times.
    fn verify_chunk(
        &self,
        view: &ChunkView<'_>,
        list: &ColumnList,
        offset: u64,
        filters: &FilterCheck<'_>,
    ) -> Result<TimeRange> {
        let rows = view.rows();
        let (mut times, mut versions) = (Vec::new(), Vec::new());
        self.file.located(offset, view.decode_times(0..rows, &mut times))?;
        self.file.located(offset, view.decode_versions(0..rows, &times, &mut versions))?;
        for (number, key) in list.columns.iter().enumerate() {
            let mut column = Column::new(key.ty);
            match self.file.located(offset, view.column(number))? {
                StoredColumn::Missing(presence) => column.push_missing(presence, rows),
                StoredColumn::Encoded(bytes) => {
                    let decoded = decode_column(key.ty, bytes, rows, 0..rows, &mut column);
                    self.file.located(offset, decoded.map_err(Into::into))?;
                }
            }
            if column.len() != rows {
                return Err(self.file.corrupt(offset, "a column of another length than its chunk"));
            }
            filters.column(list, number, &column)?;
        }
        let begin = times.iter().copied().min().unwrap_or(i64::MAX);
        Ok(TimeRange { begin, end: times.iter().copied().max().unwrap_or(i64::MIN) })
    }
}

/// The next row to check and the resources that have not ended before it.
struct RowWalk<'a> {
    row: u64,
    resources: &'a [ResourceEntry],
}

impl<'a> RowWalk<'a> {
    /// The resource that the next row belongs to.
    fn resource(&mut self) -> Option<&'a ResourceEntry> {
        while let Some((first, rest)) = self.resources.split_first() {
            if self.row < first.end_row() {
                return Some(first);
            }
            self.resources = rest;
        }
        None
    }
}

/// The series that were checked so far.
struct SeriesWalk<'a> {
    rows: RowWalk<'a>,
    /// Last entity id of the present resource; none before its first block.
    last_id: Option<u64>,
    of_resource: u64,
    total: u64,
}

impl SeriesWalk<'_> {
    /// Takes the next block; false if it cannot be where it is.
    fn accept(&mut self, address: (usize, usize), ids: &[u64], rows: u64, entities: u64) -> bool {
        let Some(resource) = self.rows.resource() else { return false };
        if self.rows.row == resource.first_row {
            (self.last_id, self.of_resource) = (None, 0);
        }
        let begins = self.last_id.is_some() || address == (resource.page as usize, resource.block as usize);
        let ascends = self.last_id < ids.first().copied();
        self.last_id = ids.last().copied();
        self.of_resource += ids.len() as u64;
        self.total += ids.len() as u64;
        self.rows.row += rows;
        let row = self.rows.row;
        let complete =
            row < resource.end_row() || row == resource.end_row() && self.of_resource == resource.series;
        begins && ascends && complete && self.last_id.is_some_and(|id| id < entities)
    }
}
