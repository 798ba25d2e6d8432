//! Why a node cannot take a pod.

use super::affinity::Terms;
use super::snapshot::{NodeInfo, PodInfo};
use crate::{selector, view};
use domain::Shape;
use k8s_openapi::api::core::v1::{PodSpec, Taint};
use std::fmt;

/// One reason against a node, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reason {
    Unschedulable,
    Taint,
    NodeAffinity,
    HostPorts,
    TooManyPods,
    /// Not enough of a resource; `ever` if even the empty node has not.
    Insufficient {
        resource: String,
        ever: bool,
    },
    /// The pod is larger than the shape of the virtual node's pods allows.
    Shape(&'static Shape),
    PodAffinity,
    PodAntiAffinity,
    ExistingAntiAffinity,
    Spread,
    SpreadLabel,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unschedulable => f.write_str("node(s) were unschedulable"),
            // Keys and values are the operator's affair. Source: kubernetes/kubernetes#134740.
            Self::Taint => f.write_str("node(s) had untolerated taint(s)"),
            Self::NodeAffinity => f.write_str("node(s) didn't match Pod's node affinity/selector"),
            Self::HostPorts => f.write_str("node(s) didn't have free ports for the requested pod ports"),
            Self::TooManyPods => f.write_str("Too many pods"),
            Self::Insufficient { resource, .. } => write!(f, "Insufficient {resource}"),
            Self::Shape(shape) => write!(
                f,
                "node(s) of shape {}, of which a pod may have {} OCPU and {} GB",
                shape.pod_name, shape.max_ocpus, shape.max_memory_gb
            ),
            Self::PodAffinity => f.write_str("node(s) didn't match pod affinity rules"),
            Self::PodAntiAffinity => f.write_str("node(s) didn't match pod anti-affinity rules"),
            Self::ExistingAntiAffinity => f.write_str("node(s) didn't satisfy existing pods anti-affinity rules"),
            Self::Spread => f.write_str("node(s) didn't match pod topology spread constraints"),
            Self::SpreadLabel => {
                f.write_str("node(s) didn't match pod topology spread constraints (missing required label)")
            }
        }
    }
}

impl Reason {
    /// Whether the node would refuse the pod even without any other pod on it: upstream's "unresolvable".
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Unschedulable
            | Self::Taint
            | Self::NodeAffinity
            | Self::Shape(_)
            | Self::PodAffinity
            | Self::SpreadLabel => true,
            Self::Insufficient { ever, .. } => *ever,
            Self::HostPorts | Self::TooManyPods | Self::PodAntiAffinity | Self::ExistingAntiAffinity | Self::Spread => {
                false
            }
        }
    }
}

/// The reasons of the first filter that refuses; empty if the node fits. Only room can fail for several at once.
pub(super) fn reasons(pod: &PodInfo, node: &NodeInfo, terms: &Terms) -> Vec<Reason> {
    let empty = PodSpec::default();
    let spec = pod.pod.spec.as_ref().unwrap_or(&empty);
    if node.unschedulable && !tolerates(spec, &unschedulable()) {
        return vec![Reason::Unschedulable];
    }
    if node.taints.iter().any(|taint| keeps_away(taint) && !tolerates(spec, taint)) {
        return vec![Reason::Taint];
    }
    if !node_fits(spec, node) {
        return vec![Reason::NodeAffinity];
    }
    if pod.host_ports.iter().any(|port| conflicts(port, node)) {
        return vec![Reason::HostPorts];
    }
    if let Some(shape) = node.shape.filter(|shape| shape.refusal(pod.size_on(shape)).is_some()) {
        return vec![Reason::Shape(shape)];
    }
    let room = without_room(pod, node);
    if !room.is_empty() {
        return room;
    }
    terms.refuses(node).into_iter().collect()
}

fn unschedulable() -> Taint {
    let (key, effect) = ("node.kubernetes.io/unschedulable".to_owned(), "NoSchedule".to_owned());
    Taint { key, effect, ..Taint::default() }
}

fn keeps_away(taint: &Taint) -> bool {
    taint.effect == "NoSchedule" || taint.effect == "NoExecute"
}

/// Whether some toleration of the pod accepts the taint.
pub(super) fn tolerates(spec: &PodSpec, taint: &Taint) -> bool {
    spec.tolerations.iter().flatten().any(|toleration| view::tolerates(toleration, taint))
}

/// Whether the node fits `nodeName`, `nodeSelector` and the required node affinity.
pub(super) fn node_fits(spec: &PodSpec, node: &NodeInfo) -> bool {
    let selected = spec.node_selector.as_ref().is_none_or(|wanted| selector::has_all(wanted, &node.labels));
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    let fits = |term| selector::node_fits(term, &node.name, &node.labels);
    selected && required.is_none_or(|required| required.node_selector_terms.iter().any(fits))
}

fn conflicts(port: &(String, String, i32), node: &NodeInfo) -> bool {
    const ANY: &str = "0.0.0.0";
    let same = |(protocol, address, number): &(String, String, i32)| {
        *protocol == port.0 && *number == port.2 && (*address == port.1 || address == ANY || port.1 == ANY)
    };
    node.host_ports.iter().any(same)
}

fn without_room(pod: &PodInfo, node: &NodeInfo) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if node.pods.len() as u64 + 1 > node.allocatable.get("pods") {
        reasons.push(Reason::TooManyPods);
    }
    for (name, amount) in pod.requests.0.iter().filter(|(_, amount)| **amount > 0) {
        let all = node.allocatable.get(name);
        if node.used.get(name).saturating_add(*amount) > all {
            reasons.push(Reason::Insufficient { resource: name.clone(), ever: *amount > all });
        }
    }
    reasons
}
