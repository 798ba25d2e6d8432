//! The runtime of every reconciler: a keyed queue, one pool of workers, back-off, wakes and a period.
//! It knows nothing of Kubernetes: a key names one thing to bring into its desired state, and its lane whose thing
//! it is. Lanes take turns, so that one tenant's thousand keys never delay another tenant's single one.
//!
//! Invariant: a key is reconciled by at most one worker at a time; an `add` during a run causes exactly one more run.

mod backoff;
mod pool;
mod queue;

pub use backoff::Backoff;
pub use pool::{Config, Observer, Outcome, Quiet, Reconcile, run};
pub use queue::{Job, Queue};

use std::{fmt::Debug, hash::Hash, time::Duration};

/// Names one thing to reconcile.
pub trait Key: Clone + Eq + Hash + Debug + Send + Sync + 'static {
    /// Whose thing it is: lanes take turns.
    type Lane: Clone + Eq + Hash + Send + 'static;

    /// The lane of this key; always the same for equal keys.
    fn lane(&self) -> Self::Lane;
}

impl Key for String {
    type Lane = ();
    fn lane(&self) {}
}

/// When a reconciled key wants to be looked at again, apart from when it is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Only when something happens.
    Settled,
    /// At the latest after this time. Replaces any earlier wish of the same key.
    After(Duration),
}

impl Next {
    /// The earlier of two wishes.
    #[must_use]
    pub fn or_sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::After(a), Self::After(b)) => Self::After(a.min(b)),
            (Self::After(a), Self::Settled) | (Self::Settled, Self::After(a)) => Self::After(a),
            (Self::Settled, Self::Settled) => Self::Settled,
        }
    }
}

impl From<Option<Duration>> for Next {
    fn from(after: Option<Duration>) -> Self {
        after.map_or(Self::Settled, Self::After)
    }
}
