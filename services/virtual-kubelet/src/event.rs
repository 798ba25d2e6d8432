//! Events of pods: what their agents tell, written into the clusters; the same thing again only counts up.

use crate::{
    control::{ApiError, Control},
    mirror::Mirror,
};
use domain::unix_ms;
use proto::fleet::PodEvent;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::mpsc;

/// Events that may wait to be written; past it the newest are dropped: they are hints, not records.
const QUEUE: usize = 4096;

#[derive(Debug)]
struct Told {
    uid: String,
    event: PodEvent,
}

/// Takes events; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Recorder(mpsc::Sender<Told>);

impl Recorder {
    /// A recorder, and the work that writes what it takes.
    pub(crate) fn new(control: Control, mirror: Arc<Mirror>) -> (Self, impl Future<Output = ()>) {
        let (to, from) = mpsc::channel(QUEUE);
        (Self(to), write_all(control, mirror, from))
    }

    /// Takes an event that an agent told.
    pub(crate) fn pass_on(&self, uid: &str, event: PodEvent) {
        if self.0.try_send(Told { uid: uid.to_owned(), event }).is_err() {
            tracing::debug!(pod.uid = uid, "dropped an event: too many wait to be written");
        }
    }

    /// Takes an event of our own.
    pub(crate) fn record(&self, uid: &str, kind: &str, reason: &str, message: &str) {
        let event = PodEvent {
            r#type: kind.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            at_ms: unix_ms(),
            field_path: String::new(),
        };
        self.pass_on(uid, event);
    }
}

/// What one more event costs: one each five minutes comes for nothing. Source: client-go's `defaultSpamQPS`.
const EVENT_MS: i64 = 300_000;
/// What a pod has at the start, and at most. Source: client-go's `defaultSpamBurst`.
const BURST_MS: i64 = 25 * EVENT_MS;
/// Pods remembered before those that have been quiet are forgotten.
const REMEMBERED: usize = 10_000;

/// Keeps a pod that fails again and again from filling its cluster with events.
/// Source: `EventSourceObjectSpamFilter` in client-go's `tools/record/events_cache.go`.
#[derive(Debug, Default)]
struct SpamFilter(HashMap<String, Budget>);

#[derive(Debug, Clone, Copy)]
struct Budget {
    left_ms: i64,
    at_ms: i64,
}

impl Budget {
    fn refilled(self, now_ms: i64) -> Self {
        Self { left_ms: (self.left_ms + (now_ms - self.at_ms).max(0)).min(BURST_MS), at_ms: now_ms }
    }
}

impl SpamFilter {
    fn passes(&mut self, uid: &str, now_ms: i64) -> bool {
        if self.0.len() >= REMEMBERED {
            self.0.retain(|_, budget| budget.refilled(now_ms).left_ms < BURST_MS);
        }
        let full = Budget { left_ms: BURST_MS, at_ms: now_ms };
        let budget = self.0.entry(uid.to_owned()).or_insert(full);
        *budget = budget.refilled(now_ms);
        let passes = budget.left_ms >= EVENT_MS;
        if passes {
            budget.left_ms -= EVENT_MS;
        }
        passes
    }
}

async fn write_all(control: Control, mirror: Arc<Mirror>, mut from: mpsc::Receiver<Told>) {
    let mut filter = SpamFilter::default();
    while let Some(told) = from.recv().await {
        let (Some(pod), _) = mirror.both(&told.uid) else { continue };
        if !filter.passes(&told.uid, unix_ms()) {
            continue;
        }
        let object = object(&pod.value, &pod.node, &told);
        if let Err(error) = write(&control, &pod.cluster, &pod.namespace, object).await {
            tracing::debug!(pod.uid = told.uid, %error, "could not write an event");
        }
    }
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Where in the pod it happened: agents name a container, whose list only the pod tells.
fn field_path(pod: &Value, told: &str) -> String {
    let name = told.strip_prefix("spec.containers{").and_then(|rest| rest.strip_suffix('}'));
    let mut init = pod["spec"]["initContainers"].as_array().into_iter().flatten();
    match name {
        Some(name) if init.any(|c| c["name"] == name) => format!("spec.initContainers{{{name}}}"),
        _ => told.to_owned(),
    }
}

/// The Event object; its name is the same for the same thing said again.
fn object(pod: &Value, node: &str, told: &Told) -> Value {
    let event = &told.event;
    let what = format!("{}/{}/{}/{}", told.uid, event.reason, event.message, event.field_path);
    let hash: String = Sha256::digest(what).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let namespace = &pod["metadata"]["namespace"];
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": format!("{name}.{hash}"), "namespace": namespace},
        "involvedObject": {
            "kind": "Pod", "apiVersion": "v1", "namespace": namespace, "name": name, "uid": told.uid,
            "fieldPath": field_path(pod, &event.field_path),
        },
        "type": event.r#type,
        "reason": event.reason,
        "message": event.message,
        "count": 1,
        "firstTimestamp": time(event.at_ms),
        "lastTimestamp": time(event.at_ms),
        "source": {"component": "virtual-kubelet", "host": node},
        "reportingComponent": "virtual-kubelet",
        "reportingInstance": node,
    })
}

async fn write(control: &Control, cluster: &str, namespace: &str, object: Value) -> Result<(), ApiError> {
    let path = format!("/api/v1/namespaces/{namespace}/events");
    match control.create(cluster, &path, &object).await {
        Err(error) if error.is_conflict() => {}
        other => return other.map(|_| ()),
    }
    let path = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap_or_default());
    let current = control.get(cluster, &path).await?;
    let count = current["count"].as_u64().unwrap_or(1) + 1;
    let patch = json!({"count": count, "lastTimestamp": object["lastTimestamp"]});
    control.merge(cluster, &path, &patch).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_fails_for_ever_does_not_fill_its_cluster() {
        let mut filter = SpamFilter::default();
        let passed = |filter: &mut SpamFilter, uid: &str, from: i64| {
            (0..1000).filter(|second| filter.passes(uid, from + second * 1000)).count()
        };
        assert_eq!(passed(&mut filter, "noisy", 0), 25 + 3);
        assert_eq!(passed(&mut filter, "other", 0), 25 + 3, "each has its own budget");
        assert!(filter.passes("noisy", 1_000_000 + 2 * EVENT_MS));
    }

    #[test]
    fn events_of_init_containers_point_at_them() {
        let pod = json!({"spec": {"initContainers": [{"name": "i"}], "containers": [{"name": "c"}]}});
        assert_eq!(field_path(&pod, "spec.containers{i}"), "spec.initContainers{i}");
        assert_eq!(field_path(&pod, "spec.containers{c}"), "spec.containers{c}");
        assert_eq!(field_path(&pod, ""), "");
    }
}
