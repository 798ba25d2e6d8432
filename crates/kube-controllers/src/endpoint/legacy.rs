//! The Endpoints object, which older clients read: the same addresses, ready and not ready ones apart.

use super::address::{Address, Groups, Port};
use super::{ENDPOINTS, LEGACY_MANAGED_BY, LEGACY_MANAGER, labels, service_name};
use crate::action::{Action, Plan, Target, merge_diff};
use crate::view;
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Service};
use serde_json::{Value, json};

/// Most addresses of one object. Source: `maxCapacity` in kubernetes/pkg/controller/endpoint.
const ROOM: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

pub(super) fn diff(service: &Service, existing: Option<&Endpoints>, groups: &Groups, plan: &mut Plan) {
    let mut room = ROOM;
    let all: usize = groups.values().flatten().filter(|address| address.legacy).count();
    let subsets: Vec<EndpointSubset> =
        groups.iter().filter_map(|(ports, group)| subset(ports, group, &mut room)).collect();
    let labels = labels(service, &[(LEGACY_MANAGED_BY, LEGACY_MANAGER)]);
    let over = if all > ROOM { json!("truncated") } else { Value::Null };
    let subsets = if subsets.is_empty() { Value::Null } else { json!(subsets) };
    let wanted = json!({ "metadata": { "labels": labels }, "subsets": subsets });
    match existing {
        Some(endpoints) => {
            let old = json!({
                "metadata": { "labels": endpoints.metadata.labels },
                "subsets": endpoints.subsets.clone().filter(|subsets| !subsets.is_empty()),
            });
            let mut patch = merge_diff(&old, &wanted);
            if json!(view::annotation(&endpoints.metadata, OVER_CAPACITY)) != over {
                let patch = patch.get_or_insert_with(|| json!({}));
                patch["metadata"]["annotations"] = json!({ OVER_CAPACITY: over });
            }
            plan.patch(&Target::of(ENDPOINTS, &endpoints.metadata), patch);
        }
        None => {
            let mut object = wanted;
            object["apiVersion"] = json!("v1");
            object["kind"] = json!("Endpoints");
            object["metadata"]["name"] = json!(service_name(service));
            object["metadata"]["namespace"] = json!(view::namespace(&service.metadata));
            if !over.is_null() {
                object["metadata"]["annotations"] = json!({ OVER_CAPACITY: over });
            }
            if object["subsets"].is_null()
                && let Some(fields) = object.as_object_mut()
            {
                fields.remove("subsets");
            }
            plan.actions.push(Action::Create {
                resource: ENDPOINTS,
                namespace: view::namespace(&service.metadata).to_owned(),
                object,
                success: None,
                failure: None,
            });
        }
    }
}

fn subset(ports: &[Port], group: &[Address], room: &mut usize) -> Option<EndpointSubset> {
    let shown: Vec<&Address> = group.iter().filter(|address| address.legacy).take(*room).collect();
    *room -= shown.len();
    if shown.is_empty() {
        return None;
    }
    let some = |addresses: Vec<EndpointAddress>| (!addresses.is_empty()).then_some(addresses);
    let address = |address: &&&Address| EndpointAddress {
        ip: address.ip.clone(),
        hostname: address.hostname.clone(),
        node_name: address.node.clone(),
        target_ref: Some(address.pod.clone()),
    };
    let port = |port: &Port| EndpointPort {
        name: Some(port.name.clone()).filter(|name| !name.is_empty()),
        port: port.port,
        protocol: Some(port.protocol.clone()),
        app_protocol: port.app_protocol.clone(),
    };
    Some(EndpointSubset {
        addresses: some(shown.iter().filter(|a| a.ready).map(|a| address(&a)).collect()),
        not_ready_addresses: some(shown.iter().filter(|a| !a.ready).map(|a| address(&a)).collect()),
        ports: Some(ports.iter().map(port).collect()),
    })
}
