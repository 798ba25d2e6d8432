//! What the gateway counts. No label names a tenant, user or cluster: their number has no bound.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
};

/// One kind of request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Labels {
    pub(crate) route: &'static str,
    pub(crate) method: &'static str,
    pub(crate) code: u16,
}

/// Counters of requests.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) requests: Family<Labels, Counter>,
    pub(crate) seconds: Histogram,
}

/// Upper bounds in seconds: from a read in memory to a slow list.
const BOUNDS: [f64; 12] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 60.0];

impl Metrics {
    pub(crate) fn register() -> Self {
        let metrics = Self { requests: Family::default(), seconds: Histogram::new(BOUNDS) };
        let mut registry = runtime::metrics::registry().lock();
        registry.register("hako_gateway_requests", "Requests answered", metrics.requests.clone());
        let help = "Seconds until the head of the answer";
        registry.register("hako_gateway_request_duration_seconds", help, metrics.seconds.clone());
        metrics
    }
}

/// A method from the fixed set; anything else is `OTHER`.
pub(crate) fn method(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}
