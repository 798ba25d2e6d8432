//! What the fleet counts. No label names a host, a cluster or a tenant.

use crate::core::{Core, Effects, Link, Phase};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};
use runtime::metrics::seconds;
use std::{sync::OnceLock, time::Duration};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

/// The fleet's metrics.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    hosts: Family<StateLabels, Gauge>,
    placements: Family<StateLabels, Gauge>,
    networks: Gauge,
    waiting: Gauge,
    stored: Counter,
    store_seconds: Histogram,
    failures: Counter,
    closures: Counter,
}

impl Metrics {
    /// The process's metrics, registered once.
    pub(crate) fn registered() -> &'static Self {
        static METRICS: OnceLock<Metrics> = OnceLock::new();
        METRICS.get_or_init(|| {
            let metrics = Self {
                hosts: Family::default(),
                placements: Family::default(),
                networks: Gauge::default(),
                waiting: Gauge::default(),
                stored: Counter::default(),
                store_seconds: seconds(),
                failures: Counter::default(),
                closures: Counter::default(),
            };
            let mut registry = runtime::metrics::registry().lock();
            registry.register("fleet_hosts", "Hosts by how they are doing", metrics.hosts.clone());
            registry.register("fleet_placements", "Placements by where they stand", metrics.placements.clone());
            registry.register("fleet_networks", "Tenant networks", metrics.networks.clone());
            registry.register("fleet_moves_waiting", "Moves that wait to be made", metrics.waiting.clone());
            registry.register("fleet_placements_stored", "Changed placements that were stored", metrics.stored.clone());
            registry.register("fleet_store_seconds", "Time to store a batch of moves", metrics.store_seconds.clone());
            registry.register("fleet_store_failures", "Batches that could not be stored", metrics.failures.clone());
            registry.register("fleet_closures", "Ends of billing that the fleet decided", metrics.closures.clone());
            metrics
        })
    }

    /// A batch was stored.
    pub(crate) fn stored(&self, effects: &Effects, took: Duration) {
        self.stored.inc_by(effects.dirty.len() as u64);
        self.closures.inc_by(effects.closures.len() as u64);
        if !effects.dirty.is_empty() || !effects.hosts_dirty.is_empty() || !effects.closures.is_empty() {
            self.store_seconds.observe(took.as_secs_f64());
        }
    }

    /// A batch could not be stored.
    pub(crate) fn failed(&self) {
        self.failures.inc();
    }

    /// Counts what there is. A pass over all placements: now and then, not with each batch.
    pub(crate) fn look_at(&self, core: &Core, waiting: usize) {
        for link in ["ready", "away", "silent", "lost"] {
            let count = core.hosts.values().filter(|host| word(host.link) == link).count();
            self.hosts.get_or_create(&StateLabels { state: link }).set(gauge(count));
        }
        for phase in [Phase::Waiting, Phase::Placed, Phase::Removing, Phase::Lost, Phase::Fenced] {
            let count = core.rows.values().filter(|row| row.phase == phase).count();
            self.placements.get_or_create(&StateLabels { state: phase.word() }).set(gauge(count));
        }
        self.networks.set(gauge(core.nets.len()));
        self.waiting.set(gauge(waiting));
    }
}

fn word(link: Link) -> &'static str {
    match link {
        Link::Ready(_) => "ready",
        Link::Away => "away",
        Link::Silent => "silent",
        Link::Lost => "lost",
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
