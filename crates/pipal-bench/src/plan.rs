//! Which points are written in which order.

use std::ops::Range;

use crate::random::mix;

/// One stream's worth of points: a part of one bucket, written for the `pass`-th time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WorkItem {
    pub bucket: u32,
    pub chunk: u32,
    pub pass: u32,
}

/// How a bucket's points are cut into streams.
#[derive(Debug, Clone, Copy)]
pub struct Chunking {
    pub points_per_bucket: u64,
    pub points_per_stream: u64,
}

impl Chunking {
    /// Streams that one pass over a bucket takes.
    pub fn chunks(&self) -> u32 {
        self.points_per_bucket.div_ceil(self.points_per_stream.max(1)) as u32
    }

    /// The bucket's points that belong to a chunk.
    pub fn points(&self, chunk: u32) -> Range<u64> {
        let first = (u64::from(chunk) * self.points_per_stream).min(self.points_per_bucket);
        first..(first + self.points_per_stream).min(self.points_per_bucket)
    }

    /// The chunk of a bucket's point.
    pub fn chunk_of(&self, point: u64) -> u32 {
        (point / self.points_per_stream.max(1)) as u32
    }
}

/// Bucket after bucket, each written `passes` times before the next: the rhythm of a client that rewrites the open
/// minute.
pub fn bucket_by_bucket(
    chunking: Chunking,
    buckets: Range<u32>,
    passes: u32,
) -> impl Iterator<Item = WorkItem> + Send {
    buckets.flat_map(move |bucket| {
        (0..passes)
            .flat_map(move |pass| (0..chunking.chunks()).map(move |chunk| WorkItem { bucket, chunk, pass }))
    })
}

/// An endless plan for crash tests: three of four streams append, the fourth rewrites a part of an earlier bucket, so
/// that old parts, fresh parts and the log all hold versions of the same series. The pass is the number of the item:
/// every write of a run has values of its own.
pub fn append_and_rewrite(
    chunking: Chunking,
    seed: u64,
    first_item: u32,
) -> impl Iterator<Item = WorkItem> + Send {
    let chunks = chunking.chunks().max(1);
    (first_item..=u32::MAX).map(move |item| {
        let appended = item - item / 4;
        let (position, pass) = match item % 4 {
            3 => ((mix(seed, u64::from(item)) % u64::from(appended)) as u32, item),
            _ => (appended, item),
        };
        WorkItem { bucket: position / chunks, chunk: position % chunks, pass }
    })
}

/// An endless plan for rows: every stream is a bucket of its own, and nothing is written twice.
pub fn append(first_item: u32) -> impl Iterator<Item = WorkItem> + Send {
    (first_item..=u32::MAX).map(|item| WorkItem { bucket: item, chunk: 0, pass: item })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const CHUNKING: Chunking = Chunking { points_per_bucket: 1_050, points_per_stream: 100 };

    #[test]
    fn chunks_cover_a_bucket_exactly_once() {
        let mut covered: Vec<u64> = (0..CHUNKING.chunks()).flat_map(|chunk| CHUNKING.points(chunk)).collect();
        assert!(covered.iter().all(|&point| CHUNKING.points(CHUNKING.chunk_of(point)).contains(&point)));
        covered.dedup();
        assert_eq!(covered, (0..1_050).collect::<Vec<_>>());
        assert!(CHUNKING.points(CHUNKING.chunks()).is_empty());
    }

    #[test]
    fn a_bucket_is_written_completely_before_it_is_rewritten() {
        let items: Vec<WorkItem> = bucket_by_bucket(CHUNKING, 3..5, 2).collect();
        assert_eq!(items.len(), 2 * 2 * 11);
        assert!(items[..11].iter().all(|item| (item.bucket, item.pass) == (3, 0)));
        assert!(items[11..22].iter().all(|item| (item.bucket, item.pass) == (3, 1)));
        assert_eq!(items[22], WorkItem { bucket: 4, chunk: 0, pass: 0 });
    }

    #[test]
    fn appends_leave_no_gap_and_rewrites_only_touch_what_is_there() {
        let mut seen = HashSet::new();
        for (number, item) in append_and_rewrite(CHUNKING, 9, 0).take(4_000).enumerate() {
            let position = item.bucket * CHUNKING.chunks() + item.chunk;
            assert_eq!(number % 4 == 3, seen.contains(&position), "item {number}");
            assert_eq!(item.pass as usize, number);
            seen.insert(position);
        }
        assert_eq!(seen.len() as u32, seen.iter().max().unwrap() + 1);
    }

    #[test]
    fn a_later_round_continues_where_the_former_ended() {
        let whole: Vec<_> = append_and_rewrite(CHUNKING, 9, 0).skip(500).take(50).collect();
        let continued: Vec<_> = append_and_rewrite(CHUNKING, 9, 500).take(50).collect();
        assert_eq!(whole, continued);
    }
}
