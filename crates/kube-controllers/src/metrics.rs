//! Measurements of the controllers. No label names a cluster: there may be thousands.

use crate::Key;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
};
use reconcile::{Observer, Outcome};
use std::{sync::OnceLock, time::Duration};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    controller: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    controller: &'static str,
}

type Seconds = Family<Labels, Histogram, fn() -> Histogram>;

/// Runs by controller: how many, how long they waited, how long they took.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    runs: Family<RunLabels, Counter>,
    waited: Seconds,
    took: Seconds,
}

impl Metrics {
    /// The process's metrics, registered once.
    pub(crate) fn registered() -> Self {
        static METRICS: OnceLock<Metrics> = OnceLock::new();
        METRICS
            .get_or_init(|| {
                let buckets = || Histogram::new([0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0]);
                let metrics = Self {
                    runs: Family::default(),
                    waited: Family::new_with_constructor(buckets),
                    took: Family::new_with_constructor(buckets),
                };
                let mut registry = runtime::metrics::registry().lock();
                registry.register("reconcile_runs", "Reconciliations that ended", metrics.runs.clone());
                registry.register("reconcile_wait_seconds", "Time from ready to running", metrics.waited.clone());
                registry.register("reconcile_run_seconds", "Time of one reconciliation", metrics.took.clone());
                metrics
            })
            .clone()
    }
}

impl Observer<Key> for Metrics {
    fn ran(&self, key: &Key, waited: Duration, took: Duration, outcome: Outcome) {
        let controller = key.controller_name();
        let outcome = match outcome {
            Outcome::Done => "done",
            Outcome::Failed => "failed",
            Outcome::Panicked => "panicked",
            Outcome::TimedOut => "timed_out",
        };
        self.runs.get_or_create(&RunLabels { controller, outcome }).inc();
        self.waited.get_or_create(&Labels { controller }).observe(waited.as_secs_f64());
        self.took.get_or_create(&Labels { controller }).observe(took.as_secs_f64());
    }
}
