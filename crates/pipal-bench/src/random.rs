//! Randomness that is the same on every machine: everything a load contains follows from its seed, so that a run
//! can be repeated and a reader can compute what a writer must have sent.

/// Golden-ratio increment of SplitMix64.
const SPLITMIX_INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stateless hash of two words (finalizer of SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", 2014). Values of a load are such hashes of their coordinates.
pub fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.rotate_left(25).wrapping_mul(SPLITMIX_INCREMENT) ^ b.wrapping_add(SPLITMIX_INCREMENT);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A seeded sequence of random words (xoshiro256++: Blackman and Vigna, "Scrambled linear pseudorandom number
/// generators", 2021).
#[derive(Debug, Clone)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The sequence of `seed`; equal seeds give equal sequences.
    pub fn new(seed: u64) -> Self {
        Random { state: [mix(seed, 1), mix(seed, 2), mix(seed, 3), mix(seed, 4)] }
    }

    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        let [s0, s1, s2, s3] = self.state;
        let result = s0.wrapping_add(s3).rotate_left(23).wrapping_add(s0);
        let (n2, n3) = (s2 ^ s0, s3 ^ s1);
        self.state = [s0 ^ n3, s1 ^ n2, n2 ^ (s1 << 17), n3.rotate_left(45)];
        result
    }

    /// A uniform number in `0..limit`; 0 when `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(limit)) >> 64) as u64
    }

    /// A uniform number in `[0, 1)` with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_sequences_and_others_do_not() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..100).map(|_| random.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut random = Random::new(1);
        let mut hits = [0u32; 10];
        for _ in 0..10_000 {
            hits[random.below(10) as usize] += 1;
        }
        assert!(hits.iter().all(|&count| (800..1200).contains(&count)), "{hits:?}");
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn mix_spreads_neighbouring_inputs() {
        let mut seen: Vec<u64> = (0..1000).flat_map(|a| (0..10).map(move |b| mix(a, b))).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 10_000);
        let ones: u32 = (0..1000).map(|a| mix(a, 0).count_ones()).sum();
        assert!((31_000..33_000).contains(&ones), "{ones} of 64,000 bits set");
    }
}
