//! Bytes that passed their checksum and are malformed all the same: decoders say so and never panic, and what
//! they do accept can be walked safely.

use super::filters::random_resource;
use super::world::{Random, Sizes, part_of, random_world};
use crate::part::chunk::ChunkView;
use crate::part::companion::{Directory, EntryBlock, PieceHead, PiecePlace};
use crate::part::dictionary::DictionaryBlock;
use crate::part::filters::SpanBlock;
use crate::part::footer::{Contents, Footer, Section};
use crate::part::identity::{decode_statistics, encode_statistics};
use crate::part::index::PartIndex;
use crate::part::primary::{PrimaryBlock, RowGroup};
use crate::part::resources::DirectoryBlock;
use crate::part::series::SeriesPage;
use crate::part::terms::TermBlock;
use crate::rows::{EntitySelector, RowSource};
use pipal_codec::Effort;
use pipal_model::ColumnKey;

/// Changes a few bytes, cuts, or doubles a stretch.
fn damage(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    for _ in 0..1 + random.below(4) {
        if damaged.is_empty() {
            break;
        }
        let at = random.below(damaged.len());
        match random.below(4) {
            0 => damaged.truncate(at),
            1 => damaged.insert(at, random.next() as u8),
            2 => damaged[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            _ => damaged[at] ^= 1 << random.below(8),
        }
    }
    damaged
}

fn try_all(bytes: &[u8], contents: &Contents, pieces: &[(PiecePlace, Vec<ColumnKey>)]) {
    try_companions(bytes, pieces);
    let _ = Footer::decode(bytes);
    let _ = Contents::decode(bytes);
    let _ = decode_statistics(bytes, 1 << 20);
    let _ = PartIndex::decode(bytes, contents);
    let _ = PrimaryBlock::decode(bytes, 0, 16).map(|block| block.find(3));
    let _ = DirectoryBlock::decode(bytes, 0);
    if let Ok(block) = DictionaryBlock::decode(bytes) {
        let mut buffer = Vec::new();
        for rank in 0..block.len() {
            block.get(rank, &mut buffer).unwrap();
            assert_eq!(block.search(&buffer.clone(), &mut buffer).unwrap(), (rank, true));
        }
    }
    if let Ok(block) = TermBlock::decode(bytes.to_vec(), 100) {
        for head in block.pieces() {
            let _ = block.piece(head).map(|piece| (0..=head.hashes).for_each(|rank| _ = piece.rows(rank)));
        }
    }
    for rows in [1, 130, 1000] {
        let _ = SpanBlock::decode(bytes, 0, rows);
    }
    if let Ok(page) = SeriesPage::decode(bytes.to_vec(), 0) {
        for entry in page.blocks() {
            let _ = page.block(entry);
        }
    }
    for rows in [1, 7, 50] {
        let _ = ChunkView::parse(bytes, rows, 5).map(|view| walk(&view));
        if let Ok(group) = RowGroup::decode(bytes.to_vec(), rows as u64) {
            let _ = group.find(0);
            for chunk in group.chunks() {
                let view = group.bytes_of(*chunk).and_then(|bytes| ChunkView::parse(bytes, rows, 5));
                let _ = view.map(|view| walk(&view));
            }
        }
    }
}

fn try_companions(bytes: &[u8], pieces: &[(PiecePlace, Vec<ColumnKey>)]) {
    let _ = Directory::decode(bytes);
    for (place, leading) in pieces {
        let _ = PieceHead::decode(bytes, place, leading);
    }
    for (entries, with_tuples) in [(1, true), (3, false), (50, true)] {
        if let Ok(block) = EntryBlock::decode(bytes.to_vec(), entries, with_tuples) {
            let (_, _, _) = (block.keys(0..entries), block.rows(0..entries), block.tuples(0..entries));
        }
    }
}

fn walk(view: &ChunkView<'_>) {
    let (mut times, mut versions) = (Vec::new(), Vec::new());
    let _ = view.decode_times(0..view.rows(), &mut times);
    let _ = view.decode_versions(0..times.len(), &times, &mut versions);
    (0..view.rows()).for_each(|row| _ = view.is_deleted(row));
    (0..6).for_each(|column| _ = view.column(column));
}

#[test]
fn no_decoder_panics_on_damaged_bytes() {
    let mut random = Random(99);
    let sizes = Sizes { resources: 8, entities: 12, rows_per_series: 5, batch_rows: 10 };
    let part = part_of(&random_world(&mut random, sizes), 10, Effort::Fast);
    let index = part.index().unwrap();
    let mut samples = vec![part.contents.encode(), encode_statistics(part.identity(), part.summary())];
    for place in [&index.entities, &index.terms, &index.resources, &index.series, &index.primary]
        .into_iter()
        .flat_map(|l| l.iter())
    {
        samples.push(part.file.load(place.extent).unwrap());
    }
    let filtered = part_of(&[random_resource(&mut random, 150, 2)], 100, Effort::Fast);
    let index = filtered.index().unwrap();
    for place in index.bounds.iter().chain(index.filters.iter()) {
        samples.push(filtered.file.load(place.extent).unwrap());
    }
    let mut pieces = Vec::new();
    for place in &part.companion_directory().unwrap().0 {
        let resources = part.resources().unwrap();
        let mut end = 0;
        let resource = resources.iter().find(|head| {
            let list = part.series(&head.key, &EntitySelector::All).unwrap();
            end += (0..list.len()).map(|i| u64::from(list.rows(i).1)).sum::<u64>();
            place.first_row < end
        });
        let leading = resource.unwrap().orders.leading().to_vec();
        let head = PieceHead::decode(&part.file.load(place.head).unwrap(), place, &leading).unwrap();
        samples.push(part.file.load(place.head).unwrap());
        samples.extend(head.keys.iter().flatten().map(|block| part.file.load(block.extent).unwrap()));
        pieces.push((place.clone(), leading));
    }
    assert!(!pieces.is_empty());
    for section in [Section::Meta, Section::Companions, Section::Rows] {
        samples.push(part.file.load(part.contents.section(section)).unwrap());
    }
    for _ in 0..300 {
        for sample in &samples {
            try_all(&damage(&mut random, sample), &part.contents, &pieces);
        }
    }
}
