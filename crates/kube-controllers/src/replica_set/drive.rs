//! What a ReplicaSet's step reads, and what wakes it.

use super::{Observed, PODS, RESOURCE, diff, status};
use crate::act::{Fault, act};
use crate::key::{Key, Keys};
use crate::selector;
use crate::view;
use crate::world::{Memory, World, parse};
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube_store::{Cluster, Event, Object};
use reconcile::Next;
use serde_json::Value;
use std::sync::Arc;

pub(crate) fn keys(cluster: &Cluster, event: &Event, out: &mut Keys<'_>) {
    let object = &event.object;
    if &*object.key.resource == RESOURCE {
        return out.object(object);
    }
    let states = [Some(object), event.previous.as_ref()];
    let mut changed = event.previous.is_none() && !event.is_deletion();
    for state in states.into_iter().flatten() {
        if let Some(owner) = state.meta.controller().filter(|owner| owner.kind == "ReplicaSet") {
            out.named(RESOURCE, &state.key.namespace, &owner.name);
        }
        changed |= state.meta.labels != object.meta.labels || state.meta.owners != object.meta.owners;
    }
    if changed && object.meta.controller().is_none() {
        // Some set may want to adopt it.
        cluster.list(RESOURCE, Some(&object.key.namespace)).1.iter().for_each(|set| out.object(set));
    }
}

pub(crate) async fn reconcile(world: &World, key: &Key) -> Result<Next, Fault> {
    let Some((cluster, memory)) = world.cluster(&key.cluster) else { return Ok(Next::Settled) };
    let Some(observed) = observe(&cluster, &memory, key) else { return Ok(Next::Settled) };
    let done = act(world, &cluster, diff(&observed, world.now())).await?;
    // The status counts what is there after the step: it is committed by now.
    let observed = if done.any { observe(&cluster, &memory, key) } else { Some(observed) };
    let Some(observed) = observed else { return Ok(Next::Settled) };
    let plan = status(&observed, done.refused.as_deref(), world.now());
    let wake = plan.wake;
    act(world, &cluster, plan).await?;
    match done.refused {
        Some(refused) => Err(Fault::Refused(refused)),
        None => Ok(Next::from(wake)),
    }
}

fn observe(cluster: &Cluster, memory: &Memory, key: &Key) -> Option<Observed> {
    let object = cluster.get(&key.object)?;
    let set = parse::<ReplicaSet>(&object)?;
    let selector = set.spec.clone().unwrap_or_default().selector;
    let own = |pod: &Arc<Object>| match pod.meta.controller() {
        Some(owner) => owner.uid == object.meta.uid,
        None => selector::fits(&selector, &pod.meta.labels),
    };
    let in_namespace = cluster.list(PODS, Some(&key.object.namespace)).1;
    let pods: Vec<_> =
        in_namespace.iter().filter(|pod| own(pod)).filter_map(|pod| Some(memory.pods.pod(pod)?.pod.clone())).collect();
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    // Only a choice among too many pods looks at the siblings' nodes.
    let crowded = i32::try_from(pods.len()).unwrap_or(i32::MAX) > wanted;
    let sibling_nodes = if crowded { sibling_nodes(cluster, memory, &object) } else { Vec::new() };
    Some(Observed {
        template: object.value().pointer("/spec/template").cloned().unwrap_or(Value::Null),
        set,
        pods,
        sibling_nodes,
    })
}

/// Nodes of the active pods of the other sets of the same owner.
fn sibling_nodes(cluster: &Cluster, memory: &Memory, set: &Object) -> Vec<String> {
    let Some(owner) = set.meta.controller() else { return Vec::new() };
    let siblings = cluster.owned_by(&owner.uid).into_iter().filter(|other| other.meta.uid != set.meta.uid);
    let pods =
        siblings.flat_map(|sibling| cluster.owned_by(&sibling.meta.uid)).filter(|pod| &*pod.key.resource == PODS);
    let node = |pod: Arc<Object>| {
        let pod = memory.pods.pod(&pod)?;
        view::node_name(&pod.pod).filter(|_| view::is_active(&pod.pod)).map(str::to_owned)
    };
    pods.filter_map(node).collect()
}
