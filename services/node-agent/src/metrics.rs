//! What an agent counts. No label names a pod or a tenant.

use std::sync::{Arc, OnceLock};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::agent::Agent;
use crate::context::Shared;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    reason: String,
}

#[derive(Debug, Clone)]
struct Metrics {
    events: Family<EventLabels, Counter>,
    streams: Gauge,
}

fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| {
        let metrics = Metrics { events: Family::default(), streams: Gauge::default() };
        let mut registry = runtime::metrics::registry().lock();
        registry.register("agent_pod_events", "Events of pods, by reason", metrics.events.clone());
        registry.register("agent_streams", "Open streams into pods", metrics.streams.clone());
        metrics
    })
}

/// Something happened to a pod; reasons are words of this program, so there are few.
pub(crate) fn happened(reason: &str) {
    metrics().events.get_or_create(&EventLabels { reason: reason.to_owned() }).inc();
}

/// Counts a stream as open until it is dropped.
pub(crate) struct OpenStream(());

impl OpenStream {
    /// One more.
    pub(crate) fn new() -> Self {
        metrics().streams.inc();
        Self(())
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        metrics().streams.dec();
    }
}

/// Adds gauges of what runs and what waits.
pub(crate) fn register_gauges(context: &Shared, agent: &Arc<Agent>) {
    let registry = runtime::metrics::registry();
    let pods = Arc::downgrade(agent);
    registry.gauge("agent_pods", "Pods that are kept as they should be", move || Some(pods.upgrade()?.count() as f64));
    let read = |value: fn(&Shared) -> usize| {
        let context = Arc::downgrade(context);
        move || context.upgrade().map(|context| value(&context) as f64)
    };
    let help = "Usage intervals that billing has not acknowledged";
    registry.gauge("agent_usage_backlog", help, read(|context| context.journal.waiting()));
    let help = "Pods whose time is billed";
    registry.gauge("agent_billed_pods", help, read(|context| context.journal.running().len()));
    let help = "Images that are being pulled";
    registry.gauge("agent_pulls", help, read(|context| context.pulls.running()));
}
