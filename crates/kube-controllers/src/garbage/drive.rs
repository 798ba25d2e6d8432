//! What the garbage collector reads, and what wakes it.

use super::{Dependent, FOREGROUND, ORPHAN, Observed, Owner, OwnerState, diff};
use crate::act::{Fault, act};
use crate::action::Target;
use crate::key::{Key, Keys};
use crate::world::World;
use kube_store::{Cluster, Event, Object};
use reconcile::Next;
use serde_json::Value;

pub(crate) fn keys(cluster: &Cluster, event: &Event, out: &mut Keys<'_>) {
    let object = &event.object;
    if event.is_deletion() {
        cluster.owned_by(&object.meta.uid).iter().for_each(|dependent| out.object(dependent));
    } else {
        look_at(cluster, object, out);
    }
    // An owner that waits may wait no longer.
    let owners = [Some(object), event.previous.as_ref()].into_iter().flatten().flat_map(|state| &state.meta.owners);
    let changed =
        event.is_deletion() || event.previous.as_ref().is_some_and(|old| old.meta.owners != object.meta.owners);
    for owner in owners.filter(|_| changed) {
        if let Some(owner) = cluster.by_uid(&owner.uid).filter(|owner| waits(owner)) {
            out.object(&owner);
        }
    }
}

/// The keys that an existing object's present state asks for.
pub(crate) fn look_at(cluster: &Cluster, object: &Object, out: &mut Keys<'_>) {
    let lost = object.meta.owners.iter().any(|owner| state(cluster, object, owner) != OwnerState::Solid);
    if waits(object) || lost {
        out.object(object);
    }
    if waits(object) {
        cluster.owned_by(&object.meta.uid).iter().for_each(|dependent| out.object(dependent));
    }
}

/// Whether its end waits for us.
fn waits(object: &Object) -> bool {
    object.meta.deletion.is_some() && object.meta.finalizers.iter().any(|f| f == FOREGROUND || f == ORPHAN)
}

/// An owner counts by UID, name and reach: objects own within their namespace, or from the cluster's scope.
fn state(cluster: &Cluster, object: &Object, owner: &kube_store::Owner) -> OwnerState {
    let in_reach = |found: &kube_store::Key| found.namespace.is_empty() || found.namespace == object.key.namespace;
    let found = cluster.by_uid(&owner.uid).filter(|found| in_reach(&found.key) && *found.key.name == *owner.name);
    match found {
        None => OwnerState::Missing,
        Some(found) if found.meta.deletion.is_some() && has(&found, FOREGROUND) => OwnerState::Waiting,
        Some(_) => OwnerState::Solid,
    }
}

fn has(object: &Object, finalizer: &str) -> bool {
    object.meta.finalizers.iter().any(|other| other == finalizer)
}

pub(crate) async fn reconcile(world: &World, key: &Key) -> Result<Next, Fault> {
    let Some((cluster, _)) = world.cluster(&key.cluster) else { return Ok(Next::Settled) };
    let Some(object) = cluster.get(&key.object) else { return Ok(Next::Settled) };
    let entries = owner_entries(&object);
    let owners = object.meta.owners.iter().zip(entries);
    let dependents = cluster.owned_by(&object.meta.uid);
    let observed = Observed {
        target: target(&object),
        deleting: object.meta.deletion.is_some(),
        finalizers: object.meta.finalizers.clone(),
        owners: owners.map(|(owner, entry)| Owner { entry, state: state(&cluster, &object, owner) }).collect(),
        dependents: dependents
            .iter()
            .map(|dependent| Dependent {
                target: target(dependent),
                owners: owner_entries(dependent),
                deleting: dependent.meta.deletion.is_some(),
                waiting: dependent.meta.deletion.is_some() && has(dependent, FOREGROUND),
            })
            .collect(),
    };
    act(world, &cluster, diff(&observed)).await?;
    Ok(Next::Settled)
}

fn owner_entries(object: &Object) -> Vec<Value> {
    if object.meta.owners.is_empty() {
        return Vec::new();
    }
    object.value().pointer("/metadata/ownerReferences").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn target(object: &Object) -> Target {
    Target {
        resource: object.key.resource.to_string(),
        namespace: object.key.namespace.to_string(),
        name: object.key.name.to_string(),
        uid: object.meta.uid.to_string(),
        revision: Some(object.revision),
    }
}
