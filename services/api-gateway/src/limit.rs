//! Token buckets: how fast one caller, and one tenancy, may ask.

use crate::config::Limits;
use dashmap::DashMap;
use domain::{TenantId, UserId};
use parking_lot::Mutex;
use std::{hash::Hash, sync::Arc, time::Instant};

/// Longest wait that a caller is told, in seconds.
const MAX_WAIT: u32 = 60;

/// A bucket that fills at a rate up to a burst; each request takes one.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: f64,
    burst: f64,
    level: Mutex<(f64, Instant)>,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(per_second: impl Into<f64>, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst.max(1));
        Self { rate: per_second.into(), burst, level: Mutex::new((burst, now)) }
    }

    /// Takes one. If there is none: the whole seconds until there is.
    pub(crate) fn take(&self, now: Instant) -> Result<(), u32> {
        let mut level = self.level.lock();
        let refill = now.saturating_duration_since(level.1).as_secs_f64() * self.rate;
        let filled = (level.0 + refill).min(self.burst);
        let allowed = filled >= 1.0;
        *level = (if allowed { filled - 1.0 } else { filled }, now.max(level.1));
        if allowed { Ok(()) } else { Err(self.wait(filled)) }
    }

    fn wait(&self, filled: f64) -> u32 {
        let seconds = ((1.0 - filled) / self.rate).ceil().clamp(1.0, f64::from(MAX_WAIT));
        // In bounds by the line above; a rate of zero is the longest wait.
        if seconds.is_finite() { seconds as u32 } else { MAX_WAIT }
    }
}

/// The buckets of those who asked of late.
#[derive(Debug)]
pub(crate) struct Buckets {
    limits: Limits,
    users: DashMap<UserId, Arc<Bucket>>,
    tenants: DashMap<TenantId, Arc<Bucket>>,
}

impl Buckets {
    /// Knows nobody yet.
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, users: DashMap::new(), tenants: DashMap::new() }
    }

    /// The bucket of a user.
    pub(crate) fn user(&self, user: &UserId, now: Instant) -> Arc<Bucket> {
        bucket(&self.users, user, (self.limits.requests_per_second, self.limits.burst), now)
    }

    /// The bucket that all users of a tenancy share.
    pub(crate) fn tenant(&self, tenant: &TenantId, now: Instant) -> Arc<Bucket> {
        bucket(&self.tenants, tenant, (self.limits.tenant_requests_per_second, self.limits.tenant_burst), now)
    }
}

fn bucket<K: Hash + Eq + Clone>(
    all: &DashMap<K, Arc<Bucket>>,
    key: &K,
    (rate, burst): (u32, u32),
    now: Instant,
) -> Arc<Bucket> {
    if let Some(known) = all.get(key) {
        return Arc::clone(&known);
    }
    crate::memory::shrink(all, |bucket| Arc::strong_count(bucket) > 1);
    Arc::clone(&all.entry(key.clone()).or_insert_with(|| Arc::new(Bucket::new(rate, burst, now))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_then_the_rate() {
        let start = Instant::now();
        let bucket = Bucket::new(10, 3, start);
        let taken = (0..5).filter(|_| bucket.take(start).is_ok()).count();
        assert_eq!(taken, 3);
        assert_eq!(bucket.take(start + Duration::from_millis(50)), Err(1));
        assert_eq!(bucket.take(start + Duration::from_millis(110)), Ok(()));
        assert_eq!((0..50).filter(|_| bucket.take(start + Duration::from_secs(60)).is_ok()).count(), 3);
    }

    #[test]
    fn a_caller_is_told_how_long_to_wait() {
        let start = Instant::now();
        let wait = |rate: f64| {
            let bucket = Bucket::new(rate, 1, start);
            bucket.take(start).unwrap();
            bucket.take(start).unwrap_err()
        };
        assert_eq!((wait(1000.0), wait(1.0), wait(0.1), wait(0.0)), (1, 1, 10, MAX_WAIT));
    }

    #[test]
    fn users_have_buckets_of_their_own_and_share_the_tenancys() {
        let limits = Limits { burst: 1, tenant_burst: 2, ..Limits::default() };
        let (buckets, now) = (Buckets::new(limits), Instant::now());
        let (tenant, a, b) = (TenantId::generate(), UserId::generate(), UserId::generate());
        assert!(Arc::ptr_eq(&buckets.user(&a, now), &buckets.user(&a, now)));
        assert!(!Arc::ptr_eq(&buckets.user(&a, now), &buckets.user(&b, now)));
        assert!(Arc::ptr_eq(&buckets.tenant(&tenant, now), &buckets.tenant(&tenant, now)));
    }
}
