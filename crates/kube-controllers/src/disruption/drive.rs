//! What a budget's status reads, and what wakes it.

use super::{Member, Observed, RESOURCE, Scale, diff, selects};
use crate::act::{Fault, act};
use crate::key::{Key, Keys};
use crate::selector::Labels;
use crate::world::{World, parse, pods_in};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube_store::{Cluster, Event, Object};
use reconcile::Next;
use std::sync::Arc;

/// Kinds whose `spec.replicas` says how many pods there should be.
pub(crate) const SIZED: [&str; 4] =
    ["deployments.apps", "replicasets.apps", "statefulsets.apps", "replicationcontrollers"];

pub(crate) fn keys(cluster: &Cluster, event: &Event, out: &mut Keys<'_>) {
    let object = &event.object;
    if &*object.key.resource == RESOURCE {
        return out.object(object);
    }
    let budgets = cluster.list(RESOURCE, Some(&object.key.namespace)).1;
    let of_pod = &*object.key.resource == "pods";
    for stored in budgets {
        let states = [Some(object), event.previous.as_ref()];
        let concerned = !of_pod
            || parse::<PodDisruptionBudget>(&stored)
                .is_some_and(|budget| states.into_iter().flatten().any(|pod| selects(&budget, &pod.meta.labels)));
        if concerned {
            out.object(&stored);
        }
    }
}

pub(crate) async fn reconcile(world: &World, key: &Key) -> Result<Next, Fault> {
    let Some((cluster, memory)) = world.cluster(&key.cluster) else { return Ok(Next::Settled) };
    let Some(budget) = cluster.get(&key.object).and_then(|object| parse::<PodDisruptionBudget>(&object)) else {
        return Ok(Next::Settled);
    };
    let mut members = Vec::new();
    for info in pods_in(&cluster, &memory, &key.object.namespace) {
        if selects(&budget, info.pod.metadata.labels.as_ref().unwrap_or(&Labels::new())) {
            let stored =
                kube_store::Key::new("pods", Arc::clone(&key.object.namespace), super::view::name(&info.pod.metadata));
            let scale = cluster.get(&stored).map_or(Scale::Unmanaged, |pod| scale(&cluster, &pod));
            members.push(Member { pod: Arc::clone(&info.pod), scale });
        }
    }
    let plan = diff(&Observed { budget, members }, world.now());
    let wake = plan.wake;
    act(world, &cluster, plan).await?;
    Ok(Next::from(wake))
}

/// The size of the pod's topmost controller: of its Deployment rather than of one of that one's ReplicaSets.
fn scale(cluster: &Cluster, pod: &Object) -> Scale {
    let Some(owner) = pod.meta.controller() else { return Scale::Unmanaged };
    let mut top = None;
    let mut next = Some(owner);
    let mut found;
    while let Some(owner) = next {
        found = cluster.by_uid(&owner.uid).filter(|found| SIZED.contains(&&*found.key.resource));
        let Some(object) = &found else { break };
        let replicas = object.value()["spec"]["replicas"].as_i64().unwrap_or(1);
        top = Some((object.meta.uid.to_string(), i32::try_from(replicas).unwrap_or(i32::MAX)));
        // A chain of controllers has two links; anything longer is not ours to follow.
        next = if &*object.key.resource == "replicasets.apps" { object.meta.controller() } else { None };
    }
    match top {
        Some((uid, size)) => Scale::Known(uid, size),
        None => Scale::Unknown(format!("{} {:?}", owner.kind, owner.name)),
    }
}
