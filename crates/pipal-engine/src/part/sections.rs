//! Writes what follows the rows: series lists, dictionary, directory, indexes, identity.

use super::dictionary::{DictionaryBuilder, separator};
use super::filters::BoundsDraft;
use super::footer::{Contents, Section};
use super::identity::encode_statistics;
use super::index::{BlockDraft, BlockList};
use super::primary::{GROUPS_PER_BLOCK, encode_primary_block};
use super::resources::{
    DIRECTORY_BLOCK_BYTES, DIRECTORY_ENTRY_BYTES, ResourceEntry, encode_directory_block, key_bytes,
};
use super::series::{SERIES_BLOCK_MAX, SeriesPageBuilder};
use super::terms::TermBlocks;
use super::writer::{Draft, end_section, pieces};
use pipal_model::Result;
use xxhash_rust::xxh3::xxh3_128;

/// Writes all sections behind the rows and completes the summary but for the length of the file.
pub(super) fn write(draft: &mut Draft) -> Result<Contents> {
    let mut contents = Contents::default();
    end_section(draft, &mut contents, Section::Rows);
    let order = draft.entities.sorted();
    let series = write_series(draft, &order)?;
    end_section(draft, &mut contents, Section::Series);
    let entities = write_entities(draft, &order)?;
    end_section(draft, &mut contents, Section::Entities);
    let terms = write_terms(draft)?;
    end_section(draft, &mut contents, Section::Terms);
    let (filter_blocks, bounds) = draft.filters.finish();
    let bounds = write_bounds(draft, &bounds)?;
    end_section(draft, &mut contents, Section::Bounds);
    let filters = write_filters(draft, &filter_blocks)?;
    end_section(draft, &mut contents, Section::Filters);
    let companions = draft.companions.directory();
    draft.out.put(&[&companions])?;
    end_section(draft, &mut contents, Section::Companions);
    let resources = write_resources(draft)?;
    end_section(draft, &mut contents, Section::Resources);
    let primary = write_primary(draft)?;
    end_section(draft, &mut contents, Section::Primary);

    let mut meta = Vec::new();
    draft.schemas.encode(&mut meta);
    draft.summary.schema_fingerprint = xxh3_128(&meta);
    for list in [entities, terms, bounds, filters, resources, series, primary] {
        BlockList::encode(&list, draft.effort, &mut meta);
    }
    draft.out.put(&[&meta])?;
    end_section(draft, &mut contents, Section::Meta);

    draft.summary.resources = draft.resources.len() as u64;
    draft.summary.entities = draft.entities.len() as u64;
    draft.summary.uncompressed_bytes = draft.regions.uncompressed_bytes();
    draft.out.put(&[&encode_statistics(&draft.identity, &draft.summary)])?;
    end_section(draft, &mut contents, Section::Statistics);
    Ok(contents)
}

/// Writes a block and describes it.
fn put_block(draft: &mut Draft, bytes: &[u8], key: Vec<u8>, first: u64, second: u64) -> Result<BlockDraft> {
    let extent = draft.out.put(&[bytes])?;
    Ok(BlockDraft { length: extent.length, crc: extent.crc, key, first, second })
}

/// Writes the series lists and tells the resources where theirs begin.
fn write_series(draft: &mut Draft, order: &[u32]) -> Result<Vec<BlockDraft>> {
    let mut ids = vec![0u64; order.len()];
    for (id, &number) in order.iter().enumerate() {
        ids[number as usize] = id as u64;
    }
    let mut list = Vec::new();
    let mut page = SeriesPageBuilder::default();
    let (mut page_row, mut row, mut start) = (0, 0, 0);
    for resource in 0..draft.resources.len() {
        let end = start + draft.resources[resource].series as usize;
        for (i, range) in pieces(start..end, SERIES_BLOCK_MAX).enumerate() {
            if i == 0 {
                let entry = &mut draft.resources[resource];
                (entry.page, entry.block) = (list.len() as u32, page.len());
            }
            let block = &draft.series[range];
            let block_ids: Vec<u64> = block.iter().map(|series| ids[series.entity as usize]).collect();
            let block_rows: Vec<u32> = block.iter().map(|series| series.rows).collect();
            row += page.push(&block_ids, &block_rows, draft.effort);
            if page.is_full() {
                let (bytes, first_id) = page.finish();
                list.push(put_block(draft, &bytes, Vec::new(), page_row, first_id)?);
                page_row = row;
            }
        }
        start = end;
    }
    if page.len() > 0 {
        let (bytes, first_id) = page.finish();
        list.push(put_block(draft, &bytes, Vec::new(), page_row, first_id)?);
    }
    Ok(list)
}

fn write_entities(draft: &mut Draft, order: &[u32]) -> Result<Vec<BlockDraft>> {
    let mut list = Vec::new();
    let mut builder = DictionaryBuilder::new(draft.effort);
    let mut bytes = Vec::new();
    let mut first_id = 0;
    let mut last_of_block: Option<u32> = None;
    for (i, &number) in order.iter().enumerate() {
        builder.push(draft.entities.get(number));
        if !builder.is_full() && i + 1 < order.len() {
            continue;
        }
        bytes.clear();
        let (first, count) = builder.finish(&mut bytes);
        let key = match last_of_block {
            Some(last) => separator(draft.entities.get(last), &first).to_vec(),
            None => Vec::new(),
        };
        list.push(put_block(draft, &bytes, key, first_id, 0)?);
        first_id += count;
        last_of_block = Some(number);
    }
    debug_assert!(builder.is_empty());
    Ok(list)
}

fn write_terms(draft: &mut Draft) -> Result<Vec<BlockDraft>> {
    let blocks = draft.terms.finish();
    let mut list = Vec::new();
    for (key, bytes, hashes) in blocks.iter() {
        list.push(put_block(draft, bytes, key.to_vec(), draft.summary.terms, 0)?);
        draft.summary.terms += hashes;
    }
    Ok(list)
}

fn write_bounds(draft: &mut Draft, spans: &[BoundsDraft]) -> Result<Vec<BlockDraft>> {
    spans.iter().map(|span| put_block(draft, &span.bytes, Vec::new(), span.first_row, span.rows)).collect()
}

fn write_filters(draft: &mut Draft, blocks: &TermBlocks) -> Result<Vec<BlockDraft>> {
    let mut list = Vec::new();
    for (key, bytes, hashes) in blocks.iter() {
        list.push(put_block(draft, bytes, key.to_vec(), draft.summary.filter_hashes, 0)?);
        draft.summary.filter_hashes += hashes;
    }
    Ok(list)
}

fn write_resources(draft: &mut Draft) -> Result<Vec<BlockDraft>> {
    let resources = std::mem::take(&mut draft.resources);
    let mut list = Vec::new();
    let mut bytes = Vec::new();
    let mut start = 0;
    while start < resources.len() {
        let mut estimate = 0;
        let count = resources[start..].iter().take_while(|entry: &&ResourceEntry| {
            let fits = estimate < DIRECTORY_BLOCK_BYTES;
            estimate += DIRECTORY_ENTRY_BYTES + entry.key.name.len();
            fits
        });
        let block = &resources[start..start + count.count()];
        bytes.clear();
        encode_directory_block(block, &mut bytes);
        list.push(put_block(draft, &bytes, key_bytes(&block[0].key), block[0].first_row, 0)?);
        start += block.len();
    }
    draft.resources = resources;
    Ok(list)
}

fn write_primary(draft: &mut Draft) -> Result<Vec<BlockDraft>> {
    let groups = std::mem::take(&mut draft.groups);
    let mut list = Vec::new();
    let mut bytes = Vec::new();
    // Pieces of companions lie between row groups; a block of the index has none of them inside.
    let runs = groups.chunk_by(|group, next| group.offset + group.length == next.offset);
    for block in runs.flat_map(|run| run.chunks(GROUPS_PER_BLOCK)) {
        bytes.clear();
        encode_primary_block(block, draft.effort, &mut bytes);
        list.push(put_block(draft, &bytes, Vec::new(), block[0].first_row, block[0].offset)?);
    }
    Ok(list)
}
