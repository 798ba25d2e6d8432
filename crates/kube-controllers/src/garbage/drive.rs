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
        None if !is_resolvable(object, owner) => OwnerState::Solid,
        None => OwnerState::Missing,
        Some(found) if found.meta.deletion.is_some() && has(&found, FOREGROUND) => OwnerState::Waiting,
        Some(_) => OwnerState::Solid,
    }
}

/// Whether one can say of an owner that it does not exist. Not of a kind that this cluster does not serve, nor of a
/// namespaced kind if the object itself is in no namespace: such an object is kept, as upstream does, not deleted.
fn is_resolvable(object: &Object, owner: &kube_store::Owner) -> bool {
    let (group, version) = owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
    kube_schema::by_kind(group, version, &owner.kind)
        .is_some_and(|kind| !kind.namespaced || !object.key.namespace.is_empty())
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

#[cfg(test)]
mod tests {
    use super::*;
    use kube_store::Meta;
    use serde_json::json;

    #[track_caller]
    fn check(namespace: &str, api_version: &str, kind: &str, expect: bool) {
        let owner = json!({"apiVersion": api_version, "kind": kind, "name": "o", "uid": "u"});
        let owners = vec![serde_json::from_value(owner).unwrap()];
        let meta = Meta { owners, ..Meta::default() };
        let key = kube_store::Key::new("configmaps", namespace, "x");
        let object = Object { key, revision: 1, bytes: "{}".into(), meta };
        assert_eq!(is_resolvable(&object, &object.meta.owners[0]), expect, "{kind}");
    }

    #[test]
    fn only_owners_that_could_be_found_can_be_missing() {
        check("ns", "apps/v1", "Deployment", true);
        check("ns", "v1", "Node", true);
        check("", "v1", "Node", true);
        check("", "apps/v1", "Deployment", false);
        check("ns", "example.com/v1", "Widget", false);
    }
}
