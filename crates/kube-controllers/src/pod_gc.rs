//! Pods that nobody will end: of nodes that are gone, never bound but deleted, or ended and too many.
//! Source of the rules: kubernetes/pkg/controller/podgc.

pub(crate) mod drive;
#[cfg(test)]
mod tests;

use crate::action::{Action, Plan, Propagation, Target};
use crate::view;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// Everything that the collection of a cluster's pods depends on.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// All pods that are bound to a missing node, being deleted while unbound, or ended.
    pub pods: Vec<Arc<Pod>>,
    /// Names of all nodes.
    pub nodes: BTreeSet<String>,
    /// Since when each missing node with pods is known to be missing.
    pub missing: BTreeMap<String, Timestamp>,
    /// How long a node must be missing. Upstream waits 40 s for its caches; ours cannot lag, a node may come back.
    pub grace: Duration,
    /// How many ended pods may stay.
    pub ended_limit: usize,
}

/// Which pods to remove for good now.
/// Invariant: no I/O and no clock; the pods may come in any order; a settled cluster yields nothing.
#[must_use]
pub fn diff(observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let mut ended = Vec::new();
    for pod in &observed.pods {
        let orphaned = view::node_name(pod).filter(|node| !observed.nodes.contains(*node));
        if let Some(node) = orphaned {
            let since = observed.missing.get(node).copied().unwrap_or(now);
            let due = since.saturating_add(SignedDuration::try_from(observed.grace).unwrap_or(SignedDuration::MAX));
            let due = due.unwrap_or(Timestamp::MAX);
            if due > now {
                plan.wake_in(view::until(due, now));
            } else {
                fail(pod, now, &mut plan);
                plan.actions.push(delete(pod));
            }
        } else if pod.metadata.deletion_timestamp.is_some() && view::node_name(pod).is_none() {
            plan.actions.push(delete(pod));
        } else if view::is_terminal(pod) && pod.metadata.deletion_timestamp.is_none() {
            ended.push(pod);
        }
    }
    ended.sort_by_key(|pod| (view::created(&pod.metadata), pod.metadata.name.clone()));
    let excess = ended.len().saturating_sub(observed.ended_limit);
    plan.actions.extend(ended.into_iter().take(excess).map(|pod| delete(pod)));
    plan
}

fn delete(pod: &Pod) -> Action {
    let target = Target::of("pods", &pod.metadata).at_any_revision();
    Action::Delete { target, grace: Some(0), propagation: Propagation::Background, success: None }
}

/// Says why, before the pod goes: its controller (a Job's) may count it.
fn fail(pod: &Pod, now: Timestamp, plan: &mut Plan) {
    if view::is_terminal(pod) {
        return;
    }
    let message = "PodGC: node no longer exists";
    let conditions = with_disruption(pod, "DeletionByPodGC", message, now);
    let patch = json!({ "status": { "phase": "Failed", "conditions": conditions } });
    plan.patch(&Target::of("pods", &pod.metadata), Some(patch));
}

/// The pod's conditions with `DisruptionTarget`, which tells its owner that it did not fail by itself.
#[must_use]
pub fn with_disruption(pod: &Pod, reason: &str, message: &str, now: Timestamp) -> Vec<Value> {
    let all = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut conditions: Vec<Value> = all.filter(|c| c.type_ != "DisruptionTarget").map(|c| json!(c)).collect();
    conditions.push(json!({
        "type": "DisruptionTarget", "status": "True", "reason": reason, "message": message,
        "lastTransitionTime": view::time(now),
    }));
    conditions
}
