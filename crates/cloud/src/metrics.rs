//! What the cloud API counts. Nothing by cluster or tenant: those have no bound.

use crate::worker::Key;
use http::{Method, StatusCode};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};
use reconcile::{Observer, Outcome};
use runtime::metrics::{SecondsBy, seconds_by};
use std::{sync::OnceLock, time::Duration};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

/// The cloud API's metrics.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    seconds: SecondsBy<RouteLabels>,
    runs: Family<RunLabels, Counter>,
    waited: SecondsBy<KindLabels>,
    took: SecondsBy<KindLabels>,
    /// Clusters and pools that must still leave their state by our work, as of the last look at all of them.
    unsettled: Gauge,
}

impl Metrics {
    /// The process's metrics, registered once.
    pub(crate) fn registered() -> &'static Self {
        static METRICS: OnceLock<Metrics> = OnceLock::new();
        METRICS.get_or_init(|| {
            let metrics = Self {
                requests: Family::default(),
                seconds: seconds_by(),
                runs: Family::default(),
                waited: seconds_by(),
                took: seconds_by(),
                unsettled: Gauge::default(),
            };
            let mut registry = runtime::metrics::registry().lock();
            registry.register("cloud_api_requests", "Requests to the cloud API", metrics.requests.clone());
            registry.register("cloud_api_request_seconds", "Time until an answer", metrics.seconds.clone());
            registry.register("cloud_reconcile_runs", "Reconciliations that ended", metrics.runs.clone());
            registry.register("cloud_reconcile_wait_seconds", "Time from ready to running", metrics.waited.clone());
            registry.register("cloud_reconcile_run_seconds", "Time of one reconciliation", metrics.took.clone());
            let help = "Clusters and pools that are being made, changed or deleted";
            registry.register("cloud_unsettled", help, metrics.unsettled.clone());
            metrics
        })
    }

    /// Counts one answered request; `route` is its template, never its path.
    pub(crate) fn answered(&self, route: String, method: &Method, status: StatusCode, took: Duration) {
        let method = match *method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::DELETE => "DELETE",
            _ => "other",
        };
        self.seconds.get_or_create(&RouteLabels { route: route.clone() }).observe(took.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { route, method, code: status.as_u16() }).inc();
    }

    /// Notes how much is unsettled.
    pub(crate) fn unsettled(&self, count: usize) {
        self.unsettled.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// Measures the reconcilers' runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Runs;

impl Observer<Key> for Runs {
    fn ran(&self, key: &Key, waited: Duration, took: Duration, outcome: Outcome) {
        let kind = match key {
            Key::Cluster(_) => "cluster",
            Key::Pool(..) => "virtual_node_pool",
            Key::Instance(_) => "container_instance",
        };
        let outcome = match outcome {
            Outcome::Done => "done",
            Outcome::Failed => "failed",
            Outcome::Panicked => "panicked",
            Outcome::TimedOut => "timed_out",
        };
        let metrics = Metrics::registered();
        metrics.runs.get_or_create(&RunLabels { kind, outcome }).inc();
        metrics.waited.get_or_create(&KindLabels { kind }).observe(waited.as_secs_f64());
        metrics.took.get_or_create(&KindLabels { kind }).observe(took.as_secs_f64());
    }
}
