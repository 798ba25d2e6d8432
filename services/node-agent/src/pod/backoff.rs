//! How long to wait before trying the same thing again. Pure; times are Unix milliseconds.

/// Source: the kubelet's `backOffPeriod` and `MaxContainerBackOff`.
const FIRST_MS: i64 = 10_000;
const MAX_MS: i64 = 300_000;
/// Twice the longest delay without another try, and the delay starts over: the kubelet's rule.
const RESET_MS: i64 = 2 * MAX_MS;

/// The delay of one thing: 10 s, doubling to 5 min, forgotten after 10 min of peace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The delay in force.
    pub delay_ms: i64,
    /// When it was last lengthened.
    pub since_ms: i64,
}

impl Backoff {
    /// The delay after the `n`th failure (from 1), as if the earlier ones came without peace between.
    pub fn after(n: u32, now_ms: i64) -> Self {
        let delay = FIRST_MS.checked_shl(n.saturating_sub(1).min(10)).unwrap_or(MAX_MS);
        Self { delay_ms: delay.min(MAX_MS), since_ms: now_ms }
    }

    /// The next delay, given the one before.
    pub fn next(before: Option<Self>, now_ms: i64) -> Self {
        match before {
            Some(b) if now_ms - b.since_ms <= RESET_MS => {
                Self { delay_ms: (b.delay_ms * 2).min(MAX_MS), since_ms: now_ms }
            }
            _ => Self { delay_ms: FIRST_MS, since_ms: now_ms },
        }
    }

    /// Until when a thing that failed at `failed_ms` must wait; `None` if it may go on now.
    pub fn wait_until(self, failed_ms: i64, now_ms: i64) -> Option<i64> {
        let until = failed_ms + self.delay_ms;
        (now_ms < until && now_ms - self.since_ms <= RESET_MS).then_some(until)
    }
}

/// Something that failed and is tried again later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Kubernetes' word: `ErrImagePull`, `CreateContainerConfigError` ...
    pub reason: String,
    /// For the pod's owner.
    pub message: String,
    /// When it failed.
    pub at_ms: i64,
    /// How long to wait.
    pub backoff: Backoff,
}

impl Failure {
    /// A failure at `at_ms`, after the one `before` if it is the same.
    pub fn new(reason: &str, message: String, before: Option<&Self>, at_ms: i64) -> Self {
        let before = before.filter(|b| b.reason == reason).map(|b| b.backoff);
        let backoff = match reason {
            "ErrImagePull" => Backoff::next(before, at_ms),
            // Cheap to try, and what is missing may come at any moment.
            _ => {
                let delay = before.map_or(1_000, |b| (b.delay_ms * 2).min(10_000));
                Backoff { delay_ms: delay, since_ms: at_ms }
            }
        };
        Self { reason: reason.to_owned(), message, at_ms, backoff }
    }

    /// When it may be tried again.
    pub fn retry_ms(&self) -> i64 {
        self.at_ms + self.backoff.delay_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_five_minutes_and_start_over_after_ten() {
        let mut backoff = None;
        let mut now = 0;
        let mut delays = Vec::new();
        for _ in 0..7 {
            let next = Backoff::next(backoff, now);
            delays.push(next.delay_ms / 1000);
            now += next.delay_ms;
            backoff = Some(next);
        }
        assert_eq!(delays, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(Backoff::next(backoff, now + RESET_MS + 1).delay_ms, FIRST_MS);
    }

    #[test]
    fn a_failed_start_waits_from_its_end() {
        let backoff = Backoff { delay_ms: 10_000, since_ms: 0 };
        assert_eq!(backoff.wait_until(1_000, 5_000), Some(11_000));
        assert_eq!(backoff.wait_until(1_000, 11_000), None);
    }
}
