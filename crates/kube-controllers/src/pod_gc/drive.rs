//! What the pod collector reads, and what wakes it.

use super::{Observed, diff};
use crate::act::{Fault, act};
use crate::key::{Key, Keys};
use crate::view;
use crate::world::{Memory, World};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube_store::Event;
use reconcile::Next;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub(crate) fn keys(memory: &Memory, event: &Event, out: &mut Keys<'_>) {
    if &*event.object.key.resource == "nodes" {
        // A node that appears may have been waited for, one that goes may leave pods behind.
        if event.is_deletion() || event.previous.is_none() {
            out.whole();
        }
    } else if !event.is_deletion()
        && let Some(pod) = memory.pods.pod(&event.object)
    {
        let unbound = event.object.meta.deletion.is_some() && view::node_name(&pod.pod).is_none();
        let bound = event.previous.is_none() && view::node_name(&pod.pod).is_some();
        if unbound || bound || view::is_terminal(&pod.pod) {
            out.whole();
        }
    }
}

pub(crate) async fn reconcile(world: &World, key: &Key) -> Result<Next, Fault> {
    let Some((cluster, memory)) = world.cluster(&key.cluster) else { return Ok(Next::Settled) };
    let nodes: BTreeSet<String> = cluster.list("nodes", None).1.iter().map(|node| node.key.name.to_string()).collect();
    let all = cluster.list("pods", None).1;
    let mut pods: Vec<_> = all.iter().filter_map(|pod| Some(memory.pods.pod(pod)?.pod.clone())).collect();
    pods.retain(|pod| match view::node_name(pod) {
        Some(node) => !nodes.contains(node) || view::is_terminal(pod),
        None => pod.metadata.deletion_timestamp.is_some() || view::is_terminal(pod),
    });
    let observed = Observed {
        missing: missing(world.now(), &memory, &pods, &nodes),
        pods,
        nodes,
        grace: world.config.node_gone,
        ended_limit: world.config.ended_pods,
    };
    let plan = diff(&observed, world.now());
    let wake = plan.wake;
    act(world, &cluster, plan).await?;
    Ok(Next::from(wake))
}

/// Since when each missing node is missed, as far as this process knows.
fn missing(
    now: Timestamp,
    memory: &Memory,
    pods: &[Arc<Pod>],
    nodes: &BTreeSet<String>,
) -> BTreeMap<String, Timestamp> {
    let mut missing = memory.missing.lock();
    let named: BTreeSet<&str> =
        pods.iter().filter_map(|pod| view::node_name(pod)).filter(|n| !nodes.contains(*n)).collect();
    missing.retain(|node, _| named.contains(node.as_str()));
    for node in named {
        missing.entry(node.to_owned()).or_insert(now);
    }
    missing.clone()
}
