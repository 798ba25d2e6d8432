//! Where the time comes from, so that rules can be tested without waiting.

use jiff::Timestamp;

/// A source of the present.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Milliseconds since 1970-01-01 UTC, by the wall clock.
#[must_use]
pub fn unix_ms() -> i64 {
    Timestamp::now().as_millisecond()
}
