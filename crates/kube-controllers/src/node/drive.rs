//! What the node lifecycle reads, and what wakes it.

use super::{LEASE_NAMESPACE, LEASES, Observed, RESOURCE, Seen, diff, is_trusted, moves_pods};
use crate::act::{Fault, act};
use crate::key::{Key, Keys};
use crate::view;
use crate::world::{Memory, World, nodes, parse};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube_store::{Cluster, Event, Object};
use reconcile::Next;
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

pub(crate) fn keys(cluster: &Cluster, memory: &Memory, event: &Event, now: Timestamp, out: &mut Keys<'_>) {
    let object = &event.object;
    match &*object.key.resource {
        LEASES => {
            if &*object.key.namespace == LEASE_NAMESPACE && !event.is_deletion() {
                hear(memory, &object.key.name, now);
                // Else the wakes suffice: an ordinary heartbeat costs nothing more.
                if memory.nodes_in_doubt.load(Ordering::Relaxed) {
                    out.whole();
                }
            }
        }
        RESOURCE => {
            if event.is_deletion() {
                memory.heard.lock().remove(&*object.key.name);
            } else if event.previous.as_ref().is_none_or(|old| heartbeat(old) != heartbeat(object)) {
                hear(memory, &object.key.name, now);
            }
            out.whole();
        }
        _ => {
            let Some(pod) = memory.pods.pod(object).filter(|_| !event.is_deletion()) else { return };
            let Some(node) = view::node_name(&pod.pod) else { return };
            let node = cluster.get(&kube_store::Key::new(RESOURCE, "", node));
            if node.and_then(|node| memory.nodes.get(&node)).is_some_and(|node| moves_pods(&node)) {
                out.whole();
            }
        }
    }
}

fn hear(memory: &Memory, node: &str, now: Timestamp) {
    memory.heard.lock().insert(node.to_owned(), now);
}

/// What a kubelet changes with each report of its status. Ours are not among it.
fn heartbeat(node: &Object) -> Option<Timestamp> {
    let node: Node = parse(node)?;
    let conditions = node.status?.conditions?;
    conditions.into_iter().find(|condition| condition.type_ == "Ready")?.last_heartbeat_time.map(|time| time.0)
}

pub(crate) async fn reconcile(world: &World, key: &Key) -> Result<Next, Fault> {
    let Some((cluster, memory)) = world.cluster(&key.cluster) else { return Ok(Next::Settled) };
    let now = world.now();
    let nodes = nodes(&cluster, &memory);
    if nodes.is_empty() {
        return Ok(Next::Settled);
    }
    let patience = world.config.patience;
    let heard = |node: &Node| *memory.heard.lock().entry(view::name(&node.metadata).to_owned()).or_insert(now);
    let mut seen: Vec<Seen> =
        nodes.iter().map(|node| Seen { heard: heard(node), node: (**node).clone(), pods: Vec::new() }).collect();
    let in_doubt = seen.iter().any(|seen| !is_trusted(seen, &patience, now));
    memory.nodes_in_doubt.store(in_doubt, Ordering::Relaxed);
    if in_doubt || nodes.iter().any(|node| moves_pods(node)) {
        let mut pods = pods_by_node(&cluster, &memory);
        for seen in &mut seen {
            seen.pods = pods.remove(view::name(&seen.node.metadata)).unwrap_or_default();
        }
    }
    let plan = diff(&Observed { nodes: seen, patience }, now);
    let wake = plan.wake;
    act(world, &cluster, plan).await?;
    Ok(Next::from(wake))
}

fn pods_by_node(cluster: &Cluster, memory: &Memory) -> HashMap<String, Vec<Arc<Pod>>> {
    let mut by_node: HashMap<String, Vec<Arc<Pod>>> = HashMap::new();
    for pod in cluster.list("pods", None).1.iter().filter_map(|object| memory.pods.pod(object)) {
        if let Some(node) = view::node_name(&pod.pod) {
            by_node.entry(node.to_owned()).or_default().push(Arc::clone(&pod.pod));
        }
    }
    by_node
}
