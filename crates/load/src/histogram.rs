//! A log-linear histogram: 64 steps an octave, so that a quantile is right within 1.6 % and memory stays fixed.

use serde::{Deserialize, Serialize};

const STEP_BITS: u32 = 6;
const STEPS: u64 = 1 << STEP_BITS;

/// Counts of values; the unit is the caller's.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
}

/// What a histogram says, in the unit of its values.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many values.
    pub count: u64,
    /// The least.
    pub min: u64,
    /// The arithmetic mean.
    pub mean: u64,
    /// Half of the values are not above this.
    pub p50: u64,
    /// 90 % are not above this.
    pub p90: u64,
    /// 99 % are not above this.
    pub p99: u64,
    /// The greatest.
    pub max: u64,
}

impl Histogram {
    /// Counts one value.
    pub fn record(&mut self, value: u64) {
        let bucket = bucket_of(value);
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// The smallest value that at least `share` (0 to 1) of the values do not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = ((self.count as f64) * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return top_of(bucket).clamp(self.min, self.max);
            }
        }
        self.max
    }

    /// The usual figures.
    #[must_use]
    pub fn quantiles(&self) -> Quantiles {
        Quantiles {
            count: self.count,
            min: self.min,
            mean: self.sum.checked_div(self.count).unwrap_or(0),
            p50: self.quantile(0.5),
            p90: self.quantile(0.9),
            p99: self.quantile(0.99),
            max: self.max,
        }
    }
}

fn bucket_of(value: u64) -> usize {
    let octave = (u64::BITS - value.leading_zeros()).saturating_sub(STEP_BITS + 1);
    let step = value >> octave;
    usize::try_from(u64::from(octave) * STEPS + step).unwrap_or(usize::MAX)
}

fn top_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let octave = (bucket / STEPS).saturating_sub(1);
    let step = bucket - octave * STEPS;
    ((step + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_two_percent() {
        let mut histogram = Histogram::default();
        for value in 1..=100_000 {
            histogram.record(value);
        }
        for share in [0.1, 0.5, 0.9, 0.99] {
            let exact = 100_000.0 * share;
            let got = histogram.quantile(share) as f64;
            assert!((got - exact).abs() / exact < 0.02, "{share}: {got}");
        }
        assert_eq!(histogram.quantiles().max, 100_000);
        assert_eq!(histogram.quantiles().mean, 50_000);
    }

    #[test]
    fn every_value_falls_into_a_bucket_that_covers_it() {
        for value in (0..20_000).chain([1 << 40, u64::MAX / 3]) {
            let bucket = bucket_of(value);
            assert!(top_of(bucket) >= value, "{value}");
            assert!(bucket == 0 || top_of(bucket - 1) < value, "{value}");
        }
    }
}
