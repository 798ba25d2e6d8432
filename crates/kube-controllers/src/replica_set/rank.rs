//! Which pods go first when there are too many.
//! Source: `ActivePodsWithRanks` in kubernetes/pkg/controller/controller_utils.go.

use crate::view;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use std::{cmp::Reverse, collections::HashMap, sync::Arc};

/// Annotation by which a user says how dear a pod is; cheap ones go first.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The `count` pods that are missed least.
pub(super) fn first_to_go<'a>(
    mut pods: Vec<&'a Arc<Pod>>,
    sibling_nodes: &[String],
    count: usize,
    now: Timestamp,
) -> Vec<&'a Arc<Pod>> {
    let mut crowd: HashMap<&str, usize> = HashMap::new();
    for node in pods.iter().filter_map(|pod| view::node_name(pod)).chain(sibling_nodes.iter().map(String::as_str)) {
        *crowd.entry(node).or_default() += 1;
    }
    pods.sort_by_cached_key(|pod| order(pod, &crowd, now));
    pods.truncate(count);
    pods
}

/// Smaller goes first. The name at the end makes the choice independent of the order of the input.
fn order(pod: &Pod, crowd: &HashMap<&str, usize>, now: Timestamp) -> impl Ord + use<> {
    let node = view::node_name(pod);
    let phase = match view::phase(pod) {
        "Pending" => 0,
        "Running" => 2,
        _ => 1,
    };
    let ready = view::is_ready(pod);
    let cost: i32 = view::annotation(&pod.metadata, DELETION_COST).and_then(|text| text.parse().ok()).unwrap_or(0);
    let neighbours = node.and_then(|node| crowd.get(node)).copied().unwrap_or(0);
    // By orders of magnitude: pods of about the same age are told apart by chance, not by the second.
    let age = |since: Timestamp| (now.duration_since(since).as_secs().max(1)).ilog2();
    let ready_for = view::ready_since(pod).map_or(0, age);
    let alive_for = age(view::created(&pod.metadata));
    let name = pod.metadata.name.clone();
    (node.is_some(), phase, ready, cost, Reverse(neighbours), ready_for, Reverse(view::restarts(pod)), alive_for, name)
}
