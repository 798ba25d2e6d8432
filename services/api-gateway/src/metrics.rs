//! What the gateway counts. Nothing by cluster or tenant: those have no bound.

use crate::refusal::Refusal;
use http::{Method, StatusCode};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use runtime::metrics::{SecondsBy, seconds_by};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    api: &'static str,
    method: &'static str,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Api {
    api: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: String,
}

/// The gateway's metrics.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    requests: Family<Labels, Counter>,
    seconds: SecondsBy<Api>,
    refusals: Family<Reason, Counter>,
}

impl Metrics {
    /// Metrics that are in the process's registry.
    pub(crate) fn registered() -> Self {
        let metrics = Self { requests: Family::default(), seconds: seconds_by(), refusals: Family::default() };
        let mut registry = runtime::metrics::registry().lock();
        let help = "Requests answered";
        registry.register("gateway_requests", help, metrics.requests.clone());
        let help = "Seconds until an answer began";
        registry.register("gateway_answer_seconds", help, metrics.seconds.clone());
        let help = "Requests that did not get through, by why";
        registry.register("gateway_refusals", help, metrics.refusals.clone());
        metrics
    }

    /// Counts one request that did not get through.
    pub(crate) fn refused(&self, refusal: Refusal) {
        self.refusals.get_or_create(&Reason { reason: refusal.to_string() }).inc();
    }

    /// Counts one answered request.
    pub(crate) fn answered(&self, api: &'static str, method: &Method, status: StatusCode, took: Duration) {
        let method = match *method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            _ => "other",
        };
        self.requests.get_or_create(&Labels { api, method, code: status.as_u16() }).inc();
        self.seconds.get_or_create(&Api { api }).observe(took.as_secs_f64());
    }
}
