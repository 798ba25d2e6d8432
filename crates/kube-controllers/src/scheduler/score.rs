//! Which of the fitting nodes is best.

use super::affinity::Terms;
use super::filter::tolerates;
use super::snapshot::{NodeInfo, PodInfo, Snapshot};
use crate::selector;
use k8s_openapi::api::core::v1::PodSpec;

/// Weights as upstream gives them to its plugins: TaintToleration 3, NodeAffinity 2, PodTopologySpread 2,
/// InterPodAffinity 2, NodeResourcesFit 1.
const TAINTS: i64 = 3;
const NODE_AFFINITY: i64 = 2;
const SPREAD: i64 = 2;
const COMPANY: i64 = 2;
const ROOM: i64 = 1;

/// The best of the `fitting` nodes; among equals the emptiest, then the first by name.
pub(super) fn best(snapshot: &Snapshot, pod: &PodInfo, fitting: &[usize], terms: &Terms) -> Option<usize> {
    if let [] | [_] = fitting {
        return fitting.first().copied();
    }
    let empty = PodSpec::default();
    let spec = pod.pod.spec.as_ref().unwrap_or(&empty);
    let node = |index: &usize| &snapshot.nodes[*index];
    let mut totals = vec![0; fitting.len()];
    let mut rate = |weight: i64, higher_is_better: bool, value: &dyn Fn(&NodeInfo) -> i64| {
        let values: Vec<i64> = fitting.iter().map(|index| value(node(index))).collect();
        for (total, score) in totals.iter_mut().zip(normalised(&values, higher_is_better)) {
            *total += weight * score;
        }
    };
    rate(TAINTS, false, &|node| untolerated(spec, node));
    rate(NODE_AFFINITY, true, &|node| preference(spec, node));
    rate(SPREAD, false, &|node| siblings(pod, node));
    rate(SPREAD, false, &|node| terms.crowding(node));
    rate(COMPANY, true, &|node| terms.liking(node));
    rate(ROOM, false, &|node| fullness(pod, node));
    let order = |position: usize| {
        let pods = i64::try_from(node(&fitting[position]).pods.len()).unwrap_or(i64::MAX);
        (totals[position], -pods, std::cmp::Reverse(fitting[position]))
    };
    (0..fitting.len()).max_by_key(|position| order(*position)).map(|position| fitting[position])
}

/// Values as scores from 0 to 100; all 0 if there is no difference.
fn normalised(values: &[i64], higher_is_better: bool) -> Vec<i64> {
    let (least, most) = (values.iter().min().copied().unwrap_or(0), values.iter().max().copied().unwrap_or(0));
    let span = most - least;
    if span == 0 {
        return vec![0; values.len()];
    }
    values.iter().map(|v| if higher_is_better { (v - least) * 100 / span } else { (most - v) * 100 / span }).collect()
}

fn untolerated(spec: &PodSpec, node: &NodeInfo) -> i64 {
    let soft = node.taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
    i64::try_from(soft.filter(|taint| !tolerates(spec, taint)).count()).unwrap_or(0)
}

fn preference(spec: &PodSpec, node: &NodeInfo) -> i64 {
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let wishes = affinity.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_deref());
    let fits = |wish: &&k8s_openapi::api::core::v1::PreferredSchedulingTerm| {
        selector::node_fits(&wish.preference, &node.name, &node.labels)
    };
    wishes.unwrap_or_default().iter().filter(fits).map(|wish| i64::from(wish.weight)).sum()
}

fn siblings(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let count = pod.owner().and_then(|owner| node.owners.get(owner)).copied().unwrap_or(0);
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// How full the node would be with the pod, in thousandths of its scarcest of cpu, memory and pods.
fn fullness(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let part = |used: u64, all: u64| i64::try_from(used.saturating_mul(1000) / all.max(1)).unwrap_or(i64::MAX);
    let asked = |name: &str| part(node.used.get(name) + pod.requests.get(name), node.allocatable.get(name));
    let pods = part(node.pods.len() as u64 + 1, node.allocatable.get("pods"));
    asked("cpu").max(asked("memory")).max(pods)
}
