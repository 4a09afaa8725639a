//! Length-limited canonical Huffman codes for small alphabets.

/// Longest code. Rarer symbols share this length, which costs next to nothing.
pub(super) const MAX_CODE_BITS: u32 = 11;

/// Code lengths for symbols that occur this often; 0 for symbols that do not.
pub(super) fn code_lengths(frequencies: &[u32]) -> Vec<u8> {
    let mut weights: Vec<u64> = frequencies.iter().map(|n| u64::from(*n)).collect();
    loop {
        let lengths = unlimited_lengths(&weights);
        if lengths.iter().all(|l| u32::from(*l) <= MAX_CODE_BITS) {
            return lengths;
        }
        // Flatter weights give shorter longest codes; equal weights of 65 symbols need 7 bits.
        weights.iter_mut().filter(|w| **w > 0).for_each(|w| *w = *w / 2 + 1);
    }
}

/// Huffman's algorithm by repeated merging of the two lightest groups; alphabets are small.
fn unlimited_lengths(weights: &[u64]) -> Vec<u8> {
    let mut lengths = vec![0u8; weights.len()];
    let used = weights.iter().enumerate().filter(|(_, w)| **w > 0);
    let mut groups: Vec<(u64, Vec<usize>)> = used.map(|(symbol, w)| (*w, vec![symbol])).collect();
    if let [(_, only)] = groups.as_slice() {
        only.iter().filter_map(|s| lengths.get_mut(*s).map(|l| *l = 1)).count();
        return lengths;
    }
    while groups.len() > 1 {
        groups.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        let (Some(a), Some(mut b)) = (groups.pop(), groups.pop()) else { break };
        b.1.extend(a.1);
        b.1.iter().filter_map(|s| lengths.get_mut(*s).map(|l| *l = l.saturating_add(1))).count();
        groups.push((a.0 + b.0, b.1));
    }
    lengths
}

/// Code (first bit lowest) and length per symbol.
pub(super) fn codes(lengths: &[u8]) -> Vec<(u16, u32)> {
    let mut codes = vec![(0, 0); lengths.len()];
    let mut next = 0u32;
    for length in 1..=MAX_CODE_BITS {
        next <<= 1;
        for (slot, _) in codes.iter_mut().zip(lengths).filter(|(_, l)| u32::from(**l) == length) {
            *slot = ((next.reverse_bits() >> (32 - length)) as u16, length);
            next += 1;
        }
    }
    codes
}

/// Finds symbols by the next bits of a stream.
pub(super) struct DecodeTable {
    /// Symbol and code length; length 0 where no code starts with these bits.
    entries: Vec<(u8, u8)>,
    mask: u64,
}

impl DecodeTable {
    /// None when the lengths are no prefix code.
    pub(super) fn new(lengths: &[u8]) -> Option<Self> {
        let longest = lengths.iter().copied().max().map_or(0, u32::from);
        if longest == 0 || longest > MAX_CODE_BITS {
            return None;
        }
        let used = || lengths.iter().filter(|l| **l > 0);
        let space: u32 = used().map(|l| 1 << (longest - u32::from(*l))).sum();
        if space > 1 << longest {
            return None;
        }
        let mut entries = vec![(0, 0); 1 << longest];
        for (symbol, (code, length)) in codes(lengths).into_iter().enumerate().filter(|(_, (_, l))| *l > 0) {
            let entry = (symbol as u8, length as u8);
            entries.iter_mut().skip(usize::from(code)).step_by(1 << length).for_each(|slot| *slot = entry);
        }
        Some(DecodeTable { entries, mask: (1 << longest) - 1 })
    }

    /// Symbol and code length at the lowest bits of `window`.
    pub(super) fn look_up(&self, window: u64) -> Option<(u8, u8)> {
        self.entries.get((window & self.mask) as usize).copied().filter(|(_, length)| *length > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn codes_are_complete_prefix_codes_within_the_limit(frequencies in prop::collection::vec(prop_oneof![Just(0u32), 1u32..9, any::<u32>()], 0..65)) {
            let lengths = code_lengths(&frequencies);
            for (n, l) in frequencies.iter().zip(&lengths) {
                prop_assert_eq!(*n > 0, *l > 0);
                prop_assert!(u32::from(*l) <= MAX_CODE_BITS);
            }
            let used = lengths.iter().filter(|l| **l > 0).count();
            let space: u32 = lengths.iter().filter(|l| **l > 0).map(|l| 1 << (MAX_CODE_BITS - u32::from(*l))).sum();
            prop_assert!(used < 2 || space == 1 << MAX_CODE_BITS);
            if let Some(table) = DecodeTable::new(&lengths) {
                for (symbol, (code, length)) in codes(&lengths).into_iter().enumerate().filter(|(_, (_, l))| *l > 0) {
                    for noise in [0u64, u64::MAX << length] {
                        prop_assert_eq!(table.look_up(u64::from(code) | noise), Some((symbol as u8, length as u8)));
                    }
                }
            }
        }

        #[test]
        fn any_lengths_are_a_table_or_refused(lengths in prop::collection::vec(0u8..16, 0..65), window in any::<u64>()) {
            if let Some(table) = DecodeTable::new(&lengths) {
                table.look_up(window);
            }
        }
    }
}
