//! Which parts to merge: a pure function of their sizes, in the order of the log.
//!
//! Only neighbours are merged, so the parts of a table always cover consecutive ranges of the log, and of two
//! rows with equal versions the later part's is the later one. While a table is written, neighbours of similar
//! size are merged once enough of them have come together; a cooled table converges to few parts.

use std::ops::Range;

/// Limits of one choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MergeLimits {
    pub inputs_min: usize,
    pub inputs_max: usize,
    pub output_bytes_max: u64,
    /// The table got no part for a while.
    pub cooled: bool,
}

/// A part as the choice sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub bytes: u64,
    /// False for parts that made merges fail.
    pub mergeable: bool,
}

/// An older neighbour joins a merge while it is at most this many times as large as all newer inputs together.
const SIZE_RATIO: u64 = 2;

/// The neighbours to merge next, or none.
pub(crate) fn choose(parts: &[Candidate], limits: MergeLimits) -> Option<Range<usize>> {
    let inputs_min = if limits.cooled { 2 } else { limits.inputs_min.max(2) };
    let mut best: Option<(Range<usize>, u64)> = None;
    for end in (1..=parts.len()).rev() {
        let Some((range, bytes)) = widest_before(parts, end, limits) else { continue };
        if range.len() >= inputs_min && best.as_ref().is_none_or(|(_, least)| bytes < *least) {
            best = Some((range, bytes));
        }
    }
    best.map(|(range, _)| range)
}

/// The widest run of similar parts that ends before `end`.
fn widest_before(parts: &[Candidate], end: usize, limits: MergeLimits) -> Option<(Range<usize>, u64)> {
    let last = parts.get(end - 1).filter(|p| p.mergeable)?;
    let (mut start, mut bytes) = (end - 1, last.bytes);
    while start > 0 && end - start < limits.inputs_max {
        let next = &parts[start - 1];
        let similar = limits.cooled || next.bytes <= bytes.saturating_mul(SIZE_RATIO);
        if !next.mergeable || !similar || bytes + next.bytes > limits.output_bytes_max {
            break;
        }
        start -= 1;
        bytes += next.bytes;
    }
    Some((start..end, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(sizes: &[u64]) -> Vec<Candidate> {
        sizes.iter().map(|bytes| Candidate { bytes: *bytes, mergeable: true }).collect()
    }

    const LIMITS: MergeLimits =
        MergeLimits { inputs_min: 4, inputs_max: 8, output_bytes_max: 1 << 30, cooled: false };

    #[test]
    fn similar_neighbours_merge_once_there_are_enough() {
        assert_eq!(choose(&parts(&[10, 10, 10]), LIMITS), None);
        assert_eq!(choose(&parts(&[10, 10, 10, 10]), LIMITS), Some(0..4));
        assert_eq!(choose(&parts(&[1000, 10, 10, 10, 10]), LIMITS), Some(1..5));
    }

    #[test]
    fn a_cooled_table_ends_with_one_part_unless_that_is_too_large() {
        let cooled = MergeLimits { cooled: true, ..LIMITS };
        assert_eq!(choose(&parts(&[1000, 10]), cooled), Some(0..2));
        assert_eq!(choose(&parts(&[1000]), cooled), None);
        assert_eq!(choose(&parts(&[1000, 10]), MergeLimits { output_bytes_max: 1000, ..cooled }), None);
    }

    #[test]
    fn a_part_that_fails_merges_splits_its_neighbours() {
        let mut all = parts(&[10; 9]);
        all[4].mergeable = false;
        assert_eq!(choose(&all, LIMITS), Some(5..9));
        all[6].mergeable = false;
        assert_eq!(choose(&all, LIMITS), Some(0..4));
    }

    #[test]
    fn the_number_of_parts_stays_small_however_many_are_added() {
        let mut sizes: Vec<u64> = Vec::new();
        for _ in 0..2000 {
            sizes.push(100);
            while let Some(range) = choose(&parts(&sizes), LIMITS) {
                let merged = sizes[range.clone()].iter().sum();
                sizes.splice(range, [merged]);
            }
            assert!(sizes.len() <= 30, "{sizes:?}");
        }
    }
}
