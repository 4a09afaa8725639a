//! Exact percentiles of measured times.

use std::time::Duration;

/// Samples that are kept; later ones are counted and named in the report, so that an endless run cannot fill memory.
pub const LATENCY_SAMPLES_MAX: usize = 16 << 20;

/// Times of one kind of call.
#[derive(Debug, Default, Clone)]
pub struct Latencies {
    micros: Vec<u32>,
    dropped: u64,
}

/// Milliseconds at the percentiles that every report prints.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatencySummary {
    pub count: usize,
    pub dropped: u64,
    pub min: f64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p98: f64,
    pub p99: f64,
    pub max: f64,
}

impl Latencies {
    /// Adds one time; beyond 71 minutes it counts as 71 minutes.
    pub fn record(&mut self, elapsed: Duration) {
        if self.micros.len() >= LATENCY_SAMPLES_MAX {
            self.dropped += 1;
            return;
        }
        self.micros.push(u32::try_from(elapsed.as_micros()).unwrap_or(u32::MAX));
    }

    /// Takes over the samples of another collector.
    pub fn absorb(&mut self, other: Latencies) {
        let room = LATENCY_SAMPLES_MAX - self.micros.len();
        let taken = other.micros.len().min(room);
        self.dropped += other.dropped + (other.micros.len() - taken) as u64;
        self.micros.extend(other.micros.into_iter().take(taken));
    }

    /// Percentiles by nearest rank; `None` without samples.
    pub fn summary(&self) -> Option<LatencySummary> {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let ms = |micros: u32| f64::from(micros) / 1000.0;
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied().map_or(0.0, ms)
        };
        let sum: u64 = sorted.iter().map(|&micros| u64::from(micros)).sum();
        Some(LatencySummary {
            count: sorted.len(),
            dropped: self.dropped,
            min: ms(min),
            mean: sum as f64 / sorted.len() as f64 / 1000.0,
            p50: at(50),
            p90: at(90),
            p95: at(95),
            p98: at(98),
            p99: at(99),
            max: ms(max),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nearest_rank_on_one_to_hundred() {
        let mut latencies = Latencies::default();
        for ms in (1..=100).rev() {
            latencies.record(Duration::from_millis(ms));
        }
        let summary = latencies.summary().unwrap();
        assert_eq!((summary.p50, summary.p90, summary.p99), (50.0, 90.0, 99.0));
        assert_eq!((summary.min, summary.max, summary.mean), (1.0, 100.0, 50.5));
    }

    #[test]
    fn few_samples_and_none() {
        assert_eq!(Latencies::default().summary(), None);
        let mut one = Latencies::default();
        one.record(Duration::from_micros(1500));
        let summary = one.summary().unwrap();
        assert_eq!((summary.p50, summary.p99, summary.max), (1.5, 1.5, 1.5));
    }

    proptest! {
        #[test]
        fn percentiles_bound_their_share(micros in prop::collection::vec(0u32..1_000_000, 1..300)) {
            let mut latencies = Latencies::default();
            for &value in &micros {
                latencies.record(Duration::from_micros(u64::from(value)));
            }
            let summary = latencies.summary().unwrap();
            for (percent, value) in [(50, summary.p50), (90, summary.p90), (99, summary.p99)] {
                let at_most = micros.iter().filter(|&&m| f64::from(m) / 1000.0 <= value).count();
                let below = micros.iter().filter(|&&m| f64::from(m) / 1000.0 < value).count();
                prop_assert!(at_most * 100 >= percent * micros.len());
                prop_assert!(below * 100 < percent * micros.len());
            }
        }
    }
}
