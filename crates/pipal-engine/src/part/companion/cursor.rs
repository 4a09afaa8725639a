//! A place in one piece of a companion.

use super::super::wire::{Decoded, Malformed};
use super::head::BlockPlace;
use super::open::Companion;
use super::walk::{LeadingFilter, OrderedRow, Verdict, WalkRequest};
use super::{BLOCK_ENTRIES, EntryBlock, PieceHead, PiecePlace};
use crate::scan::CancelToken;
use pipal_model::Result;
use std::ops::Range;
use std::sync::Arc;

/// So many entries are decoded together; blocks hold a whole number of slices.
const SLICE_ENTRIES: usize = 256;
const SLICES_PER_BLOCK: usize = BLOCK_ENTRIES / SLICE_ENTRIES;

/// What a cursor needs to go on.
pub(super) struct Course<'a> {
    pub(super) companion: &'a Companion<'a>,
    pub(super) request: WalkRequest,
    pub(super) filter: &'a dyn LeadingFilter,
    pub(super) cancel: &'a CancelToken,
}

/// Gives the rows of a piece that may pass.
#[derive(Default)]
pub(super) struct Cursor {
    opened: Option<Opened>,
    /// Rows of the present slice, the next one last.
    ready: Vec<OrderedRow>,
}

struct Opened {
    head: Arc<PieceHead>,
    /// One per tuple.
    verdicts: Vec<Verdict>,
    /// Slices that were not looked at yet.
    slices: Range<usize>,
    /// Rows among them that may pass.
    rows_left: u64,
}

impl Cursor {
    /// Takes the next row, if it is known.
    pub(super) fn take(&mut self) -> Option<OrderedRow> {
        self.ready.pop()
    }

    /// The key of the next row, if it is known.
    pub(super) fn next_key(&self) -> Option<i64> {
        self.ready.last().map(|row| row.key)
    }

    /// Bytes held.
    pub(super) fn heap_bytes(&self) -> usize {
        let verdicts = self.opened.as_ref().map_or(0, |opened| opened.verdicts.capacity());
        verdicts * size_of::<Verdict>() + self.ready.capacity() * size_of::<OrderedRow>()
    }

    /// Finds the next rows of piece number `piece`, unless there are none with a rank of `floor` or more.
    pub(super) fn refill(&mut self, course: &Course<'_>, piece: usize, floor: i64) -> Result<()> {
        let Some(place) = course.companion.pieces().get(piece) else { return Ok(()) };
        let mut opened = match self.opened.take() {
            Some(opened) => opened,
            None => Opened::new(course, place)?,
        };
        let part = course.companion.part;
        let head = Arc::clone(&opened.head);
        let blocks = head.keys.get(course.companion.key).map_or(&[][..], |blocks| blocks);
        while self.ready.is_empty() && opened.rows_left > 0 {
            let next =
                if course.request.descending { opened.slices.next_back() } else { opened.slices.next() };
            let Some((slice, block)) = next.and_then(|next| slice_of(blocks, next)) else { break };
            course.cancel.check()?;
            let request = &course.request;
            if request.rank(if request.descending { block.greatest } else { block.least }) < floor {
                opened.rows_left = 0;
                break;
            }
            if !request.overlaps(block.least, block.greatest) {
                continue;
            }
            let loaded = part.entry_block(block, head.rows_of.len() > 1)?;
            let read = opened.read_slice(&loaded, block, slice, course, place, &mut self.ready);
            part.file.located(block.extent.offset, read)?;
        }
        self.opened = Some(opened);
        Ok(())
    }
}

/// Entries and block of a slice.
fn slice_of(blocks: &[BlockPlace], slice: usize) -> Option<(Range<usize>, &BlockPlace)> {
    let block = blocks.get(slice / SLICES_PER_BLOCK)?;
    let start = slice % SLICES_PER_BLOCK * SLICE_ENTRIES;
    Some((start..(start + SLICE_ENTRIES).min(block.entries), block))
}

impl Opened {
    fn new(course: &Course<'_>, place: &PiecePlace) -> Result<Self> {
        let companion = course.companion;
        let head = companion.part.piece_head(place, &companion.list)?;
        let leading = companion.list.orders.leading();
        let columns = leading.get(..head.values.len()).unwrap_or_default();
        let mut verdicts = course.filter.verdicts(columns, &head.values, head.rows_of.len());
        verdicts.resize(head.rows_of.len(), Verdict::Open);
        let may_pass = verdicts.iter().zip(&head.rows_of).filter(|(verdict, _)| **verdict != Verdict::No);
        let rows_left = may_pass.map(|(_, rows)| rows).sum();
        let slices = 0..(place.rows as usize).div_ceil(SLICE_ENTRIES);
        Ok(Opened { head, verdicts, slices, rows_left })
    }

    /// Adds the rows of a slice that may pass.
    fn read_slice(
        &mut self,
        block: &EntryBlock,
        at: &BlockPlace,
        slice: Range<usize>,
        course: &Course<'_>,
        place: &PiecePlace,
        ready: &mut Vec<OrderedRow>,
    ) -> Decoded<()> {
        let tuples = block.tuples(slice.clone())?;
        let mut found: Vec<(usize, bool)> = Vec::new();
        for (i, tuple) in tuples.iter().enumerate() {
            let verdict = usize::try_from(*tuple).ok().and_then(|tuple| self.verdicts.get(tuple));
            match verdict.ok_or(Malformed("a known tuple"))? {
                Verdict::No => {}
                Verdict::Open => found.push((i, false)),
                Verdict::Yes => found.push((i, true)),
            }
        }
        self.rows_left = self.rows_left.saturating_sub(found.len() as u64);
        if found.is_empty() {
            return Ok(());
        }
        let (keys, rows) = (block.keys(slice.clone())?, block.rows(slice)?);
        for (i, passes) in found {
            let (Some(&key), Some(&row)) = (keys.get(i), rows.get(i)) else {
                return Err(Malformed("an entry of the slice"));
            };
            let row = u32::try_from(row).ok().filter(|row| *row < place.rows);
            let row = row.filter(|_| (at.least..=at.greatest).contains(&key));
            let row = u64::from(row.ok_or(Malformed("an entry within the bounds of its block"))?);
            if course.request.overlaps(key, key) {
                ready.push(OrderedRow { key, row: place.first_row + row, passes });
            }
        }
        if !course.request.descending {
            ready.reverse();
        }
        Ok(())
    }
}
