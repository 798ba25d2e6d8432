//! What billing counts. No label names a tenant, a cluster or a host.

use std::sync::OnceLock;
use std::time::Duration;

use postgres::PgPool;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use runtime::metrics::{SecondsBy, seconds_by};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    call: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// Billing's metrics.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    calls: Family<CallLabels, Counter>,
    seconds: SecondsBy<Call>,
    intervals: Family<Kind, Counter>,
    newest: Gauge,
}

impl Metrics {
    /// The process's metrics, registered once.
    pub(crate) fn registered() -> &'static Self {
        static METRICS: OnceLock<Metrics> = OnceLock::new();
        METRICS.get_or_init(|| {
            let metrics = Self {
                calls: Family::default(),
                seconds: seconds_by(),
                intervals: Family::default(),
                newest: Gauge::default(),
            };
            let mut registry = runtime::metrics::registry().lock();
            registry.register("billing_calls", "Calls by what came of them", metrics.calls.clone());
            registry.register("billing_call_seconds", "Time until an answer", metrics.seconds.clone());
            let help = "Intervals that hosts sent: new ones, ones that were there, ones with other times than recorded";
            registry.register("billing_intervals", help, metrics.intervals.clone());
            let help = "Unix time at which the newest interval that was recorded ends";
            registry.register("billing_newest_interval_seconds", help, metrics.newest.clone());
            metrics
        })
    }

    /// One call ended.
    pub(crate) fn called(&self, call: &'static str, outcome: &'static str, took: Duration) {
        self.calls.get_or_create(&CallLabels { call, outcome }).inc();
        self.seconds.get_or_create(&Call { call }).observe(took.as_secs_f64());
    }

    /// Of the `sent` intervals `new` were not there before; the last one ends at `newest_ms`.
    pub(crate) fn recorded(&self, sent: u64, new: u64, newest_ms: i64) {
        self.intervals.get_or_create(&Kind { kind: "new" }).inc_by(new);
        self.intervals.get_or_create(&Kind { kind: "repeated" }).inc_by(sent.saturating_sub(new));
        self.newest.set(self.newest.get().max(newest_ms / 1000));
    }

    /// Intervals came again with other times or sizes than are recorded.
    pub(crate) fn conflicted(&self, count: u64) {
        self.intervals.get_or_create(&Kind { kind: "conflicting" }).inc_by(count);
    }
}

/// Adds gauges of the database's connections.
pub(crate) fn watch_pool(pool: &PgPool) {
    let registry = runtime::metrics::registry();
    let open = pool.clone();
    registry.gauge("database_connections", "Open database connections", move || Some(f64::from(open.size())));
    let pool = pool.clone();
    let idle = move || Some(pool.num_idle() as f64);
    registry.gauge("database_connections_idle", "Database connections that nobody uses", idle);
}
