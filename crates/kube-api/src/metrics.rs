//! Counters of requests. No label names a cluster: there may be thousands.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};
use runtime::metrics::{SecondsBy, seconds_by};
use std::{sync::OnceLock, time::Duration};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    verb: &'static str,
    resource: &'static str,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerbLabels {
    verb: &'static str,
}

/// The API server's metrics.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    requests: Family<Labels, Counter>,
    seconds: SecondsBy<VerbLabels>,
    /// Open watches.
    pub(crate) watches: Gauge,
}

impl Metrics {
    /// The process's metrics, registered once.
    pub(crate) fn registered() -> Self {
        static METRICS: OnceLock<Metrics> = OnceLock::new();
        METRICS
            .get_or_init(|| {
                let metrics = Self { requests: Family::default(), seconds: seconds_by(), watches: Gauge::default() };
                let mut registry = runtime::metrics::registry().lock();
                registry.register("kube_api_requests", "Requests to the Kubernetes API", metrics.requests.clone());
                registry.register(
                    "kube_api_request_seconds",
                    "Time until the answer's head, but for watches",
                    metrics.seconds.clone(),
                );
                registry.register("kube_api_watches", "Open watches", metrics.watches.clone());
                metrics
            })
            .clone()
    }

    /// Counts one answered request.
    pub(crate) fn answered(&self, verb: &'static str, resource: &'static str, code: u16, took: Duration) {
        self.requests.get_or_create(&Labels { verb, resource, code }).inc();
        if verb != "watch" && verb != "connect" {
            self.seconds.get_or_create(&VerbLabels { verb }).observe(took.as_secs_f64());
        }
    }
}
