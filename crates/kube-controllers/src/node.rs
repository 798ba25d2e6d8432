//! Node lifecycle: nodes that fell silent, their taints, and the pods that leave them.
//! Source of the rules: kubernetes/pkg/controller/{nodelifecycle,tainteviction}.

pub(crate) mod drive;
mod evict;
mod taint;
#[cfg(test)]
mod tests;

use crate::action::{Action, Note, Plan, Target, merge_diff, reference};
use crate::view;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Resource name.
pub const RESOURCE: &str = "nodes";
/// Resource name of leases.
pub const LEASES: &str = "leases.coordination.k8s.io";
/// Namespace of the nodes' leases.
pub const LEASE_NAMESPACE: &str = "kube-node-lease";
/// The component in Events.
pub const SOURCE: &str = "node-controller";
const REPORTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// How patient the node lifecycle is.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Silence after which a node counts as lost. Source: `--node-monitor-grace-period`, 40 s.
    pub grace: Duration,
    /// How long a pod that says nothing stays on a lost node. Source: admission plugin DefaultTolerationSeconds, 300 s.
    pub toleration: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { grace: Duration::from_secs(40), toleration: Duration::from_secs(300) }
    }
}

/// One node, and when it last gave a sign of life.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The node.
    pub node: Node,
    /// When its lease or its status last changed, by our clock.
    pub heard: Timestamp,
    /// Its pods; only looked at while it has taints that move pods away, or when it is lost.
    pub pods: Vec<Arc<Pod>>,
}

/// Everything that the lifecycle of a cluster's nodes depends on.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// All nodes.
    pub nodes: Vec<Seen>,
    /// How patient to be.
    pub patience: Patience,
}

/// Conditions and taints of the nodes, and the pods to move.
/// Invariant: no I/O and no clock; the nodes may come in any order; a settled cluster yields nothing.
///
/// If no node is left that can be trusted, it is probably we who are cut off: then no pod is moved.
#[must_use]
pub fn diff(observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let all_lost = observed.nodes.iter().all(|seen| !is_trusted(seen, &observed.patience, now));
    let mut nodes: Vec<&Seen> = observed.nodes.iter().collect();
    nodes.sort_by(|a, b| a.node.metadata.name.cmp(&b.node.metadata.name));
    for seen in nodes {
        look_at(seen, &observed.patience, all_lost, now, &mut plan);
    }
    plan
}

/// Ready, and heard from within half the grace: nodes that all fall silent at once do so within one heartbeat.
fn is_trusted(seen: &Seen, patience: &Patience, now: Timestamp) -> bool {
    ready_status(&seen.node) == "True" && due(seen, patience.grace / 2) > now
}

fn due(seen: &Seen, after: Duration) -> Timestamp {
    seen.heard.saturating_add(SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
}

/// `True`, `False` or `Unknown`; `Unknown` if it was never reported.
#[must_use]
pub fn ready_status(node: &Node) -> &str {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .clone()
        .find(|condition| condition.type_ == "Ready")
        .map_or("Unknown", |condition| condition.status.as_str())
}

fn look_at(seen: &Seen, patience: &Patience, all_lost: bool, now: Timestamp, plan: &mut Plan) {
    let node = &seen.node;
    let target = Target::of(RESOURCE, &node.metadata);
    let mut conditions = node.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let lost = due(seen, patience.grace) <= now;
    let was_ready = ready_status(node) == "True";
    if lost {
        forget(node, &mut conditions, now);
    } else {
        // Half the grace matters too: it decides whether the others are trusted.
        for moment in [due(seen, patience.grace / 2), due(seen, patience.grace)] {
            if moment > now {
                plan.wake_in(view::until(moment, now));
            }
        }
    }
    let ready = conditions.iter().find(|c| c.type_ == "Ready").map_or("Unknown", |c| c.status.as_str()).to_owned();
    let taints = taint::wanted(node, &conditions, &ready, all_lost, now);
    let body = |conditions: &[NodeCondition], taints: &[Taint]| {
        let taints = if taints.is_empty() { Value::Null } else { json!(taints) };
        json!({ "spec": { "taints": taints }, "status": { "conditions": conditions } })
    };
    let old_conditions = node.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let old_taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    plan.patch(&target, merge_diff(&body(&old_conditions, &old_taints), &body(&conditions, &taints)));
    if was_ready && lost {
        plan.actions.push(Action::Record(Note {
            about: reference("v1", "Node", &node.metadata),
            kind: "Normal",
            reason: "NodeNotReady",
            message: format!("Node {} status is now: NodeNotReady", view::name(&node.metadata)),
            source: SOURCE,
        }));
    }
    for pod in &seen.pods {
        // Its kubelet will say better when it is back; until then nothing is sent to it.
        let unready = if was_ready && lost && !all_lost { unready(pod, now) } else { None };
        evict::look_at(pod, unready, &taints, patience, now, plan);
    }
}

/// What a silent node said of itself no longer counts.
fn forget(node: &Node, conditions: &mut Vec<NodeCondition>, now: Timestamp) {
    for kind in REPORTED {
        let created = node.metadata.creation_timestamp.clone();
        match conditions.iter_mut().find(|condition| condition.type_ == kind) {
            Some(condition) if condition.status == "Unknown" => {}
            Some(condition) => {
                condition.status = "Unknown".into();
                condition.reason = Some("NodeStatusUnknown".into());
                condition.message = Some("Kubelet stopped posting node status.".into());
                condition.last_transition_time = Some(view::time(now));
            }
            None => conditions.push(NodeCondition {
                type_: kind.into(),
                status: "Unknown".into(),
                reason: Some("NodeStatusNeverUpdated".into()),
                message: Some("Kubelet never posted node status.".into()),
                last_heartbeat_time: created,
                last_transition_time: Some(view::time(now)),
            }),
        }
    }
}

/// The pod's conditions with `Ready` false; `None` if it is not ready anyway.
fn unready(pod: &Pod, now: Timestamp) -> Option<Vec<Value>> {
    if !view::is_ready(pod) {
        return None;
    }
    let all = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let changed = all.map(|condition| {
        let mut condition = condition.clone();
        if condition.type_ == "Ready" {
            condition.status = "False".into();
            condition.last_transition_time = Some(view::time(now));
        }
        json!(condition)
    });
    Some(changed.collect())
}

/// Whether any taint moves pods away.
#[must_use]
pub fn moves_pods(node: &Node) -> bool {
    node.spec.iter().flat_map(|spec| spec.taints.iter().flatten()).any(|taint| taint.effect == "NoExecute")
}

/// The zone of each node that has one.
#[must_use]
pub fn zones(nodes: &[Arc<Node>]) -> BTreeMap<String, String> {
    let zone = |node: &Arc<Node>| {
        let labels = node.metadata.labels.as_ref()?;
        Some((view::name(&node.metadata).to_owned(), labels.get("topology.kubernetes.io/zone")?.clone()))
    };
    nodes.iter().filter_map(zone).collect()
}
