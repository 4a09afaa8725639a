//! The series of several sources as one sorted list.

use crate::rows::SeriesList;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Series of one resource over all sources of a table, sorted by entity bytes.
#[derive(Clone, Debug, Default)]
pub struct MergedSeries {
    lists: Vec<SeriesList>,
    /// Where a series is found: source and index in its list, oldest source first.
    hits: Vec<(u32, u32)>,
    /// First hit of each series, and one more entry at the end.
    starts: Vec<u32>,
}

impl MergedSeries {
    /// Merges one list per source, oldest source first.
    pub fn merge(lists: Vec<SeriesList>) -> Self {
        let mut hits = Vec::with_capacity(lists.iter().map(SeriesList::len).sum());
        let mut starts = Vec::new();
        let mut non_empty = lists.iter().enumerate().filter(|(_, list)| !list.is_empty());
        if let (Some((source, list)), None) = (non_empty.next(), non_empty.next()) {
            hits.extend((0..list.len()).map(|i| (source as u32, i as u32)));
            starts.extend(0..list.len() as u32);
        } else {
            merge_by_heap(&lists, &mut hits, &mut starts);
        }
        starts.push(hits.len() as u32);
        MergedSeries { lists, hits, starts }
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// True without series.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entity bytes of a series.
    pub fn entity(&self, series: usize) -> &[u8] {
        let (source, index) = self.hits[self.starts[series] as usize];
        self.lists[source as usize].entity(index as usize)
    }

    /// Rows stored for a series before identity rules and time ranges: an upper bound.
    pub fn stored_rows(&self, series: usize) -> u64 {
        self.hits(series).iter().map(|(s, i)| u64::from(self.lists[*s as usize].rows(*i as usize).1)).sum()
    }

    /// Sources that have the series, and its index in their lists, oldest first.
    pub(super) fn hits(&self, series: usize) -> &[(u32, u32)] {
        &self.hits[self.starts[series] as usize..self.starts[series + 1] as usize]
    }

    /// The list of a source.
    pub(super) fn list(&self, source: usize) -> &SeriesList {
        &self.lists[source]
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.lists.iter().map(SeriesList::heap_bytes).sum::<usize>()
            + self.hits.capacity() * 8
            + self.starts.capacity() * 4
    }
}

fn merge_by_heap(lists: &[SeriesList], hits: &mut Vec<(u32, u32)>, starts: &mut Vec<u32>) {
    let mut heap = BinaryHeap::new();
    for (source, list) in lists.iter().enumerate() {
        if !list.is_empty() {
            heap.push(Reverse((list.entity(0), source as u32, 0u32)));
        }
    }
    let mut last: Option<&[u8]> = None;
    while let Some(mut top) = heap.peek_mut() {
        let Reverse((entity, source, index)) = *top;
        if last != Some(entity) {
            starts.push(hits.len() as u32);
            last = Some(entity);
        }
        hits.push((source, index));
        let list = &lists[source as usize];
        if (index as usize) + 1 < list.len() {
            *top = Reverse((list.entity(index as usize + 1), source, index + 1));
        } else {
            std::collections::binary_heap::PeekMut::pop(top);
        }
    }
}
