//! What a namespace's step reads, and what wakes it.

use super::{CONFIG_MAPS, Content, DEFAULT_ACCOUNT, Observed, RESOURCE, ROOT_CA, SERVICE_ACCOUNTS, diff};
use crate::act::{Fault, act};
use crate::action::Target;
use crate::key::{Key, Keys};
use crate::world::{World, parse};
use k8s_openapi::api::core::v1::Namespace;
use kube_store::{Cluster, Event, Object};
use reconcile::Next;
use serde_json::Value;
use std::sync::Arc;

pub(crate) fn keys(cluster: &Cluster, event: &Event, out: &mut Keys<'_>) {
    let at = &event.object.key;
    if &*at.resource == RESOURCE {
        return out.object(&event.object);
    }
    let furniture = matches!((&*at.resource, &*at.name), (SERVICE_ACCOUNTS, DEFAULT_ACCOUNT) | (CONFIG_MAPS, ROOT_CA));
    let namespace = || cluster.get(&kube_store::Key::new(RESOURCE, "", Arc::clone(&at.namespace)));
    // In a namespace that ends every change is progress, or a finalizer that goes.
    if !at.namespace.is_empty() && (furniture || namespace().is_some_and(|object| object.meta.deletion.is_some())) {
        out.named(RESOURCE, &"".into(), &at.namespace);
    }
}

pub(crate) async fn reconcile(world: &World, key: &Key) -> Result<Next, Fault> {
    let Some((cluster, _)) = world.cluster(&key.cluster) else { return Ok(Next::Settled) };
    let Some(namespace) = cluster.get(&key.object).and_then(|object| parse::<Namespace>(&object)) else {
        return Ok(Next::Settled);
    };
    let inside =
        |resource: &str, name: &str| cluster.get(&kube_store::Key::new(resource, Arc::clone(&key.object.name), name));
    let ending = namespace.metadata.deletion_timestamp.is_some();
    let observed = Observed {
        has_account: inside(SERVICE_ACCOUNTS, DEFAULT_ACCOUNT).is_some(),
        root_ca: inside(CONFIG_MAPS, ROOT_CA)
            .map(|object| (target(&object), object.value().get("data").cloned().unwrap_or(Value::Null))),
        ca_pem: ca_pem(world, &cluster),
        contents: if ending { contents(&cluster, &key.object.name) } else { Vec::new() },
        namespace,
    };
    match act(world, &cluster, diff(&observed, world.now())).await?.refused {
        Some(refused) => Err(Fault::Refused(refused)),
        None => Ok(Next::Settled),
    }
}

/// The configured CA; without one, that which the cluster was made with.
fn ca_pem(world: &World, cluster: &Cluster) -> String {
    if !world.config.ca_pem.is_empty() {
        return world.config.ca_pem.clone();
    }
    let first = cluster.get(&kube_store::Key::new(CONFIG_MAPS, "kube-system", ROOT_CA));
    first.and_then(|object| object.value()["data"]["ca.crt"].as_str().map(str::to_owned)).unwrap_or_default()
}

fn contents(cluster: &Cluster, namespace: &str) -> Vec<Content> {
    let objects = cluster.resources().into_iter().flat_map(|resource| cluster.list(&resource, Some(namespace)).1);
    objects
        .map(|object| Content {
            target: target(&object),
            deleting: object.meta.deletion.is_some(),
            finalizers: object.meta.finalizers.clone(),
        })
        .collect()
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
