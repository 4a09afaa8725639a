//! The distributions of the workload model: log-normal metric values and Zipf choices of entities.

use crate::random::Random;

/// Entries of a quantile table: 64 KiB, and 0.006 % of the tail is cut off.
const QUANTILES: usize = 16_384;

/// The standard normal distribution's inverse (Acklam's rational approximation, relative error below 1.2e-9).
fn inverse_normal(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.38357751867269e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const B: [f64; 5] = [
        -5.447609879822406e1,
        1.615858368580409e2,
        -1.556989798598866e2,
        6.680131188771972e1,
        -1.328068155288572e1,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 4] = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416];
    const LOW: f64 = 0.02425;
    let horner = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    if p < LOW {
        let q = (-2.0 * p.ln()).sqrt();
        return horner(&C, q) / (horner(&D, q) * q + 1.0);
    }
    if p > 1.0 - LOW {
        return -inverse_normal(1.0 - p);
    }
    let q = p - 0.5;
    let r = q * q;
    horner(&A, r) * q / (horner(&B, r) * r + 1.0)
}

/// A log-normal distribution of whole numbers, tabulated: a draw is one look-up by hash, so that a generator that
/// shares the machine with the server stays cheap.
#[derive(Debug)]
pub struct LogNormal {
    quantiles: Vec<u32>,
}

impl LogNormal {
    /// Values `median * e^(sigma * z)`, rounded, at least 1 and at most `cap`.
    pub fn new(median: f64, sigma: f64, cap: u32) -> Self {
        let quantile = |i: usize| {
            let z = inverse_normal((i as f64 + 0.5) / QUANTILES as f64);
            (median * (sigma * z).exp()).round().clamp(1.0, f64::from(cap)) as u32
        };
        LogNormal { quantiles: (0..QUANTILES).map(quantile).collect() }
    }

    /// The value that belongs to a uniform hash (its low 14 bits are used).
    pub fn of_hash(&self, hash: u64) -> u32 {
        self.quantiles.get(hash as usize % QUANTILES).copied().unwrap_or(1)
    }
}

/// Choices `0..n` where choice `k` has weight `1 / (k + 1)^s`.
#[derive(Debug)]
pub struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    /// `n` choices with exponent `s`.
    pub fn new(n: usize, s: f64) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=n).map(|k| {
            sum += (k as f64).powf(-s);
            sum
        });
        Zipf { cumulative: cumulative.collect() }
    }

    /// A choice; 0 when there is none.
    pub fn draw(&self, random: &mut Random) -> usize {
        let Some(total) = self.cumulative.last() else { return 0 };
        let wanted = random.unit() * total;
        self.cumulative.partition_point(|&sum| sum <= wanted).min(self.cumulative.len() - 1)
    }

    /// How many of `total` items each choice owns: every choice at least one, the rest by weight.
    pub fn shares(&self, total: usize) -> Vec<usize> {
        let n = self.cumulative.len();
        let sum = self.cumulative.last().copied().unwrap_or(1.0);
        let spare = total.saturating_sub(n) as f64;
        let upto = |k: usize| match k {
            0 => 0,
            k => (self.cumulative.get(k - 1).copied().unwrap_or(sum) / sum * spare).round() as usize,
        };
        (0..n).map(|k| 1 + upto(k + 1) - upto(k)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_normal_meets_known_quantiles() {
        for (p, z) in [(0.5, 0.0), (0.841_344_746, 1.0), (0.001_349_898, -3.0), (0.999_968_328_758, 4.0)] {
            assert!((inverse_normal(p) - z).abs() < 1e-6, "{p}: {}", inverse_normal(p));
        }
    }

    #[test]
    fn log_normal_has_its_median_spread_and_cap() {
        let latency = LogNormal::new(60.0, 1.0, 60_000);
        let mut random = Random::new(3);
        let mut draws: Vec<u32> = (0..100_000).map(|_| latency.of_hash(random.next_u64())).collect();
        draws.sort_unstable();
        let at = |p: f64| f64::from(draws[(p * 100_000.0) as usize]);
        assert!((59.0..=61.0).contains(&at(0.5)), "median {}", at(0.5));
        // One sigma above the median is a factor of e.
        assert!((158.0..=168.0).contains(&at(0.841_345)), "p84 {}", at(0.841_345));
        let capped = LogNormal::new(60.0, 1.0, 100);
        assert!((0..1000u64).all(|i| (1..=100).contains(&capped.of_hash(i * 17))));
    }

    #[test]
    fn zipf_prefers_small_choices_by_its_exponent() {
        let zipf = Zipf::new(100, 1.0);
        let mut random = Random::new(5);
        let mut hits = vec![0f64; 100];
        for _ in 0..200_000 {
            hits[zipf.draw(&mut random)] += 1.0;
        }
        assert!((1.8..2.2).contains(&(hits[0] / hits[1])), "{} / {}", hits[0], hits[1]);
        assert!((8.0..12.5).contains(&(hits[0] / hits[9])), "{} / {}", hits[0], hits[9]);
        assert!(hits.iter().all(|&count| count > 0.0));
    }

    #[test]
    fn shares_give_everyone_something_and_add_up() {
        for (n, total) in [(10, 40), (426, 2_820), (7, 7), (3, 1_000)] {
            let shares = Zipf::new(n, 1.0).shares(total);
            assert_eq!(shares.iter().sum::<usize>(), total);
            assert!(shares.iter().all(|&share| share >= 1));
            assert!(shares[0] >= shares[n - 1]);
        }
    }
}
