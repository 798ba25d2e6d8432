//! The taints that say in what state a node is.

use crate::view;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Conditions that keep new pods away while they are true.
const BY_CONDITION: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];

/// All taints of the node: the user's own ones as they are, ours as its state asks for.
pub(super) fn wanted(
    node: &Node,
    conditions: &[NodeCondition],
    ready: &str,
    all_lost: bool,
    now: Timestamp,
) -> Vec<Taint> {
    let old = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let mut ours: Vec<(&str, &str)> = Vec::new();
    let state = match ready {
        "True" => None,
        "False" => Some(NOT_READY),
        _ => Some(UNREACHABLE),
    };
    if let Some(key) = state {
        ours.push((key, "NoSchedule"));
        if !all_lost {
            ours.push((key, "NoExecute"));
        }
    }
    let truth = |kind: &str| conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True");
    ours.extend(BY_CONDITION.iter().filter(|(kind, _)| truth(kind)).map(|(_, key)| (*key, "NoSchedule")));
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        ours.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let is_ours = |taint: &Taint| {
        [NOT_READY, UNREACHABLE, UNSCHEDULABLE].contains(&taint.key.as_str())
            || BY_CONDITION.iter().any(|(_, key)| *key == taint.key)
    };
    let mut taints: Vec<Taint> = old
        .into_iter()
        .filter(|taint| !is_ours(taint) || ours.contains(&(taint.key.as_str(), taint.effect.as_str())))
        .map(|taint| stamped(taint, now))
        .collect();
    for (key, effect) in ours {
        if !taints.iter().any(|taint| taint.key == key && taint.effect == effect) {
            let taint = Taint { key: key.into(), effect: effect.into(), ..Taint::default() };
            taints.push(Taint { time_added: Some(view::time(now)), ..taint });
        }
    }
    taints
}

/// Taints that move pods need to say since when: from then on the pods' patience counts.
fn stamped(mut taint: Taint, now: Timestamp) -> Taint {
    if taint.effect == "NoExecute" {
        taint.time_added.get_or_insert_with(|| view::time(now));
    }
    taint
}

/// Whether a taint stands for a lost node.
pub(super) fn is_loss(taint: &Taint) -> bool {
    taint.key == NOT_READY || taint.key == UNREACHABLE
}
