//! Percentiles.

use std::time::Duration;

/// Measured times.
#[derive(Debug, Default, Clone)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    /// Adds one.
    pub(crate) fn add(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// Adds all of another set.
    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The time that `percent` of the samples do not exceed (nearest rank), in milliseconds; 0 without samples.
    pub(crate) fn percentile_ms(&self, percent: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).map_or(0.0, |sample| sample.as_secs_f64() * 1000.0)
    }

    /// p50, p99 and maximum, for people.
    pub(crate) fn summary(&self) -> String {
        let at = |percent| self.percentile_ms(percent);
        format!("p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms of {}", at(50.0), at(99.0), at(100.0), self.len())
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<I: IntoIterator<Item = Duration>>(samples: I) -> Self {
        Self(samples.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let samples: Samples = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!([50.0, 99.0, 100.0].map(|p| samples.percentile_ms(p)), [50.0, 99.0, 100.0]);
        let one: Samples = [Duration::from_millis(7)].into_iter().collect();
        assert_eq!((one.percentile_ms(50.0), one.percentile_ms(99.0)), (7.0, 7.0));
        assert_eq!(Samples::default().percentile_ms(50.0), 0.0);
    }
}
