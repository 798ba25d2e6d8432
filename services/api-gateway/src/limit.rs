//! Token buckets: how fast one caller may ask.

use parking_lot::Mutex;
use std::time::Instant;

/// A bucket that fills at a rate up to a burst; each request takes one.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: f64,
    burst: f64,
    level: Mutex<(f64, Instant)>,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst.max(1));
        Self { rate: f64::from(per_second), burst, level: Mutex::new((burst, now)) }
    }

    /// Takes one; false if there is none.
    pub(crate) fn take(&self, now: Instant) -> bool {
        let mut level = self.level.lock();
        let refill = now.saturating_duration_since(level.1).as_secs_f64() * self.rate;
        let filled = (level.0 + refill).min(self.burst);
        let allowed = filled >= 1.0;
        *level = (if allowed { filled - 1.0 } else { filled }, now.max(level.1));
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_then_the_rate() {
        let start = Instant::now();
        let bucket = Bucket::new(10, 3, start);
        let taken = (0..5).filter(|_| bucket.take(start)).count();
        assert_eq!(taken, 3);
        assert!(!bucket.take(start + Duration::from_millis(50)));
        assert!(bucket.take(start + Duration::from_millis(110)));
        assert_eq!((0..50).filter(|_| bucket.take(start + Duration::from_secs(60))).count(), 3);
    }
}
