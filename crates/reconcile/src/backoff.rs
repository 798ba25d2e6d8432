//! How long a failing key waits: exponential with jitter.

use rand::Rng;
use std::time::Duration;

/// Waiting times after errors: `base`, doubled with each further error up to `limit`, then spread by ±`jitter`.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// Wait after the first error.
    pub base: Duration,
    /// Longest wait.
    pub limit: Duration,
    /// Part of the wait that is random, 0 to 1, so that what failed together does not come back together.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(5), limit: Duration::from_secs(60), jitter: 0.2 }
    }
}

impl Backoff {
    /// The wait after the `failures`-th error in a row (from 1).
    #[must_use]
    pub fn delay(&self, failures: u32) -> Duration {
        let doubled =
            self.base.saturating_mul(1u32.checked_shl(failures.saturating_sub(1).min(31)).unwrap_or(u32::MAX));
        let spread = 1.0 + self.jitter.clamp(0.0, 1.0) * rand::rng().random_range(-1.0..=1.0);
        doubled.min(self.limit).mul_f64(spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit() {
        let backoff = Backoff { base: Duration::from_millis(5), limit: Duration::from_secs(1), jitter: 0.0 };
        let delays: Vec<_> = [1, 2, 3, 9, 40, u32::MAX].map(|n| backoff.delay(n).as_millis()).into();
        assert_eq!(delays, [5, 10, 20, 1000, 1000, 1000]);
    }

    #[test]
    fn jitter_stays_in_its_band() {
        let backoff = Backoff { base: Duration::from_millis(100), limit: Duration::from_secs(1), jitter: 0.5 };
        for _ in 0..1000 {
            let delay = backoff.delay(1).as_millis();
            assert!((50..=150).contains(&delay), "{delay}");
        }
    }
}
