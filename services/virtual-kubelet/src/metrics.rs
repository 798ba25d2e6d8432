//! What the virtual-kubelet counts. No label names a cluster, a node or a pod.

use crate::mirror::Mirror;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
};
use reconcile::{Observer, Outcome, Queue};
use runtime::metrics::seconds;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Debug, Clone)]
struct Metrics {
    runs: Family<OutcomeLabels, Counter>,
    waited: Histogram,
    took: Histogram,
    streams: Family<KindLabels, Counter>,
    breaks: Family<KindLabels, Counter>,
}

fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| {
        let metrics = Metrics {
            runs: Family::default(),
            waited: seconds(),
            took: seconds(),
            streams: Family::default(),
            breaks: Family::default(),
        };
        let mut registry = runtime::metrics::registry().lock();
        registry.register("kubelet_pod_syncs", "Looks at one pod that ended", metrics.runs.clone());
        registry.register("kubelet_pod_sync_wait_seconds", "Time from ready to running", metrics.waited.clone());
        registry.register("kubelet_pod_sync_seconds", "Time of one look at a pod", metrics.took.clone());
        registry.register("kubelet_streams", "Streams into pods that were opened", metrics.streams.clone());
        registry.register("kubelet_watch_breaks", "Watches that were cut off", metrics.breaks.clone());
        metrics
    })
}

/// A stream into a pod is being opened.
pub(crate) fn opened(kind: &'static str) {
    metrics().streams.get_or_create(&KindLabels { kind }).inc();
}

/// A watch was cut off.
pub(crate) fn broke(kind: &'static str) {
    metrics().breaks.get_or_create(&KindLabels { kind }).inc();
}

/// Adds gauges of what is known and what waits.
pub(crate) fn register_gauges(mirror: &Arc<Mirror>, queue: &Queue<String>) {
    let registry = runtime::metrics::registry();
    let read = |value: fn(&Mirror) -> usize| {
        let mirror = Arc::downgrade(mirror);
        move || mirror.upgrade().map(|mirror| value(&mirror) as f64)
    };
    registry.gauge("kubelet_pods", "Pods that are bound to virtual nodes", read(|mirror| mirror.counts().0));
    registry.gauge("kubelet_nodes", "Virtual nodes", read(|mirror| mirror.counts().1));
    registry.gauge("kubelet_placements", "Placements that the fleet has", read(|mirror| mirror.counts().2));
    let queue = queue.clone();
    registry.gauge("kubelet_queue_depth", "Pods that wait for a look", move || Some(queue.depth() as f64));
}

/// Measures looks at pods.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Runs;

impl Observer<String> for Runs {
    fn ran(&self, _: &String, waited: Duration, took: Duration, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Done => "done",
            Outcome::Failed => "failed",
            Outcome::Panicked => "panicked",
            Outcome::TimedOut => "timed_out",
        };
        let metrics = metrics();
        metrics.runs.get_or_create(&OutcomeLabels { outcome }).inc();
        metrics.waited.observe(waited.as_secs_f64());
        metrics.took.observe(took.as_secs_f64());
    }
}
