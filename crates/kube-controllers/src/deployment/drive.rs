//! What a Deployment's step reads, and what wakes it.

use super::{Observed, REPLICA_SETS, RESOURCE, diff};
use crate::act::{Fault, act};
use crate::key::{Key, Keys};
use crate::view;
use crate::world::{World, parse};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube_store::{Cluster, Event, Object};
use reconcile::Next;
use serde_json::Value;

pub(crate) fn keys(cluster: &Cluster, event: &Event, out: &mut Keys<'_>) {
    let object = &event.object;
    match &*object.key.resource {
        RESOURCE => out.object(object),
        REPLICA_SETS => {
            let owners = [Some(object), event.previous.as_ref()].into_iter().flatten();
            owners.for_each(|object| push_owner(object, out));
            if object.meta.controller().is_none() {
                // Somebody may want to adopt it.
                let all = cluster.list(RESOURCE, Some(&object.key.namespace)).1;
                all.iter().for_each(|deployment| out.object(deployment));
            }
        }
        // Strategy `Recreate` waits for the last old pod to be gone.
        _ if event.is_deletion() => {
            let set = object.meta.controller().and_then(|owner| cluster.by_uid(&owner.uid));
            if let Some(set) = set.filter(|set| &*set.key.resource == REPLICA_SETS) {
                push_owner(&set, out);
            }
        }
        _ => {}
    }
}

fn push_owner(object: &Object, out: &mut Keys<'_>) {
    if let Some(owner) = object.meta.controller().filter(|owner| owner.kind == "Deployment") {
        out.named(RESOURCE, &object.key.namespace, &owner.name);
    }
}

pub(crate) async fn reconcile(world: &World, key: &Key) -> Result<Next, Fault> {
    let Some((cluster, memory)) = world.cluster(&key.cluster) else { return Ok(Next::Settled) };
    let Some(object) = cluster.get(&key.object) else { return Ok(Next::Settled) };
    let Some(deployment) = parse::<Deployment>(&object) else { return Ok(Next::Settled) };
    let own = |set: &&std::sync::Arc<Object>| set.meta.controller().is_none_or(|owner| owner.uid == object.meta.uid);
    let all = cluster.list(REPLICA_SETS, Some(&key.object.namespace)).1;
    let sets: Vec<ReplicaSet> = all.iter().filter(own).filter_map(|set| parse(set)).collect();
    let recreates =
        deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref()?.type_.as_deref()) == Some("Recreate");
    let owned = |uid: &str| cluster.owned_by(uid).into_iter().filter(|pod| &*pod.key.resource == "pods");
    let pods = if recreates {
        let owners = sets.iter().map(|set| view::uid(&set.metadata));
        owners.flat_map(owned).filter_map(|pod| Some(memory.pods.pod(&pod)?.pod.clone())).collect()
    } else {
        Vec::new()
    };
    let observed = Observed {
        template: object.value().pointer("/spec/template").cloned().unwrap_or(Value::Null),
        taken: all.iter().map(|set| set.key.name.to_string()).collect(),
        deployment,
        sets,
        pods,
    };
    let plan = diff(&observed, world.now());
    let wake = plan.wake;
    match act(world, &cluster, plan).await?.refused {
        Some(refused) => Err(Fault::Refused(refused)),
        None => Ok(Next::from(wake)),
    }
}
