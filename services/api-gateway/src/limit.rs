//! How often one user may call: a token bucket each.

use dashmap::DashMap;
use domain::UserId;
use std::time::Instant;

/// Buckets kept before full ones are forgotten.
const SWEEP: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// Token buckets by user.
#[derive(Debug)]
pub(crate) struct Limiter {
    rate: f64,
    burst: f64,
    buckets: DashMap<UserId, Bucket>,
}

impl Limiter {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Self { rate: f64::from(per_second), burst: f64::from(burst.max(1)), buckets: DashMap::new() }
    }

    /// Takes one request of `user` at `now`; false if there are too many.
    pub(crate) fn take(&self, user: &UserId, now: Instant) -> bool {
        if self.buckets.len() > SWEEP {
            self.buckets.retain(|_, bucket| self.filled(*bucket, now) < self.burst);
        }
        let full = Bucket { tokens: self.burst, filled: now };
        let mut bucket = self.buckets.entry(user.clone()).or_insert(full);
        let tokens = self.filled(*bucket, now);
        let allowed = tokens >= 1.0;
        *bucket = Bucket { tokens: if allowed { tokens - 1.0 } else { tokens }, filled: now };
        allowed
    }

    fn filled(&self, bucket: Bucket, now: Instant) -> f64 {
        let gained = now.saturating_duration_since(bucket.filled).as_secs_f64() * self.rate;
        (bucket.tokens + gained).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_is_allowed_then_the_rate() {
        let limiter = Limiter::new(2, 3);
        let (user, other, start) = (UserId::generate(), UserId::generate(), Instant::now());
        let taken = (0..5).filter(|_| limiter.take(&user, start)).count();
        assert_eq!(taken, 3);
        assert!(limiter.take(&other, start), "users do not limit each other");
        let later = start + Duration::from_secs(1);
        assert_eq!((0..5).filter(|_| limiter.take(&user, later)).count(), 2);
    }
}
