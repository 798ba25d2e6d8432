//! What the store counts. Nothing by cluster: there may be thousands.

use prometheus_client::{
    metrics::{counter::Counter, histogram::Histogram},
    registry::Registry,
};
use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use crate::Stores;

/// The store's metrics in this process.
#[derive(Debug)]
pub(crate) struct Metrics {
    writes: Counter,
    commit_seconds: Histogram,
    commit_writes: Histogram,
    failures: Counter,
    loads: Counter,
    evictions: Counter,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
    writes: Counter::default(),
    commit_seconds: Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0]),
    commit_writes: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]),
    failures: Counter::default(),
    loads: Counter::default(),
    evictions: Counter::default(),
});

/// The metrics that the store's parts add to.
pub(crate) fn metrics() -> &'static Metrics {
    &METRICS
}

impl Metrics {
    /// A group of `writes` was committed in one transaction.
    pub(crate) fn committed(&self, writes: usize, took: Duration) {
        self.writes.inc_by(writes as u64);
        self.commit_writes.observe(writes as f64);
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// A commit failed; its cluster was given up.
    pub(crate) fn failed(&self) {
        self.failures.inc();
    }

    /// A cluster was read from the database.
    pub(crate) fn loaded(&self) {
        self.loads.inc();
    }

    /// An idle cluster left memory.
    pub(crate) fn evicted(&self) {
        self.evictions.inc();
    }
}

/// Adds the store's metrics to the process's registry; once per process.
pub fn register(registry: &mut Registry) {
    let metrics = metrics();
    registry.register("kube_store_writes", "Changed objects that were committed", metrics.writes.clone());
    registry.register("kube_store_commit_seconds", "Time of one commit", metrics.commit_seconds.clone());
    registry.register("kube_store_commit_writes", "Changed objects of one commit", metrics.commit_writes.clone());
    registry.register("kube_store_commit_failures", "Commits that failed", metrics.failures.clone());
    registry.register("kube_store_loads", "Clusters read into memory", metrics.loads.clone());
    registry.register("kube_store_evictions", "Idle clusters that left memory", metrics.evictions.clone());
}

/// How much is in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Clusters.
    pub clusters: usize,
    /// Their objects.
    pub objects: usize,
    /// Bytes of those objects.
    pub bytes: usize,
    /// Writes that wait for their cluster's writer.
    pub waiting: usize,
}

impl Stores {
    /// How much is in memory now. Looks at each cluster: for scrapes, not for requests.
    #[must_use]
    pub fn load_of_memory(self: &Arc<Self>) -> Load {
        self.loaded().into_iter().fold(Load::default(), |load, cluster| {
            let (objects, bytes) = cluster.size();
            Load {
                clusters: load.clusters + 1,
                objects: load.objects + objects,
                bytes: load.bytes + bytes,
                waiting: load.waiting + cluster.waiting(),
            }
        })
    }
}
