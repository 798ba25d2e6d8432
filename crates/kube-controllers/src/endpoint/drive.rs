//! What a Service's endpoints depend on, and what wakes them.

use super::{ENDPOINTS, MANAGED_BY, MANAGER, Observed, SERVICE_LABEL, SERVICES, SLICES, diff};
use crate::act::{Fault, act};
use crate::key::{Key, Keys};
use crate::world::{Memory, World, nodes, parse, pods_in};
use crate::{node, selector};
use kube_store::{Cluster, Event};
use reconcile::Next;
use std::collections::BTreeMap;

pub(crate) fn keys(cluster: &Cluster, memory: &Memory, event: &Event, out: &mut Keys<'_>) {
    let object = &event.object;
    match &*object.key.resource {
        SERVICES => out.object(object),
        ENDPOINTS => out.named(SERVICES, &object.key.namespace, &object.key.name),
        SLICES => {
            if let Some(service) = object.meta.labels.get(SERVICE_LABEL) {
                out.named(SERVICES, &object.key.namespace, service);
            }
        }
        _ => {
            for service in cluster.list(SERVICES, Some(&object.key.namespace)).1 {
                let Some(parsed) = memory.services.get(&service) else { continue };
                let Some(wanted) = parsed.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else { continue };
                let states = [Some(object), event.previous.as_ref()];
                if states.into_iter().flatten().any(|state| selector::has_all(wanted, &state.meta.labels)) {
                    out.object(&service);
                }
            }
        }
    }
}

pub(crate) async fn reconcile(world: &World, key: &Key) -> Result<Next, Fault> {
    let Some((cluster, memory)) = world.cluster(&key.cluster) else { return Ok(Next::Settled) };
    let namespace = &key.object.namespace;
    let service = cluster.get(&key.object).and_then(|object| memory.services.get(&object));
    let selector = service.as_ref().and_then(|service| service.spec.as_ref()?.selector.clone()).unwrap_or_default();
    let mut pods = if selector.is_empty() { Vec::new() } else { pods_in(&cluster, &memory, namespace) };
    pods.retain(|pod| selector::has_all(&selector, pod.pod.metadata.labels.as_ref().unwrap_or(&BTreeMap::new())));
    let slices = cluster.list(SLICES, Some(namespace)).1.into_iter().filter(|slice| {
        let label = |key: &str| slice.meta.labels.get(key).map(String::as_str);
        label(SERVICE_LABEL) == Some(&key.object.name) && label(MANAGED_BY) == Some(MANAGER)
    });
    let legacy = kube_store::Key::new(ENDPOINTS, namespace.clone(), key.object.name.clone());
    let observed = Observed {
        service: service.map(|service| (*service).clone()),
        pods: pods.into_iter().map(|pod| pod.pod.clone()).collect(),
        slices: slices.filter_map(|slice| parse(&slice)).collect(),
        endpoints: cluster.get(&legacy).and_then(|object| parse(&object)),
        zones: node::zones(&nodes(&cluster, &memory)),
    };
    match act(world, &cluster, diff(&observed)).await?.refused {
        Some(refused) => Err(Fault::Refused(refused)),
        None => Ok(Next::Settled),
    }
}
