//! The slices: endpoints stay in the slice they are in, new ones fill the room that is left.

use super::address::{Address, Groups, Port, family};
use super::{MANAGED_BY, MANAGER, SERVICE_LABEL, SLICES, delete, labels, service_name};
use crate::action::{Action, Plan, Target, controller_of, merge_diff};
use crate::view;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Most endpoints of one slice. Source: `--max-endpoints-per-slice` of kube-controller-manager.
const ROOM: usize = 100;

pub(super) fn diff(service: &Service, slices: &[EndpointSlice], groups: &Groups, plan: &mut Plan) {
    let mut existing: Vec<&EndpointSlice> = slices.iter().filter(|s| s.address_type == family(service)).collect();
    existing.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let mut kept: Vec<(&EndpointSlice, Vec<EndpointPort>, Vec<Endpoint>)> = Vec::new();
    let mut fresh: Vec<(Vec<EndpointPort>, Vec<Endpoint>)> = Vec::new();
    for (ports, addresses) in groups {
        let ports = slice_ports(ports);
        let same = |slice: &&&EndpointSlice| slice.ports.clone().unwrap_or_default() == ports;
        let mut wanted: BTreeMap<&str, Endpoint> = addresses
            .iter()
            .map(|address| (address.pod.uid.as_deref().unwrap_or_default(), endpoint(address)))
            .collect();
        let mut here = Vec::new();
        for slice in existing.iter().filter(same) {
            let stays = |old: &Endpoint| wanted.remove(old.target_ref.as_ref()?.uid.as_deref()?);
            let endpoints: Vec<Endpoint> = slice.endpoints.iter().flatten().filter_map(stays).collect();
            here.push((*slice, ports.clone(), endpoints));
        }
        let mut rest = wanted.into_values();
        for (_, _, endpoints) in &mut here {
            let room = ROOM.saturating_sub(endpoints.len());
            endpoints.extend(rest.by_ref().take(room));
        }
        kept.extend(here.into_iter().filter(|(_, _, endpoints)| !endpoints.is_empty()));
        let rest: Vec<Endpoint> = rest.collect();
        fresh.extend(rest.chunks(ROOM).map(|chunk| (ports.clone(), chunk.to_vec())));
    }
    if kept.is_empty() && fresh.is_empty() {
        // A Service without endpoints has one empty slice, so that watchers see the difference to "not yet known".
        match existing.first() {
            Some(slice) => kept.push((slice, Vec::new(), Vec::new())),
            None => fresh.push((Vec::new(), Vec::new())),
        }
    } else {
        // Slices of other ports that ran empty are taken over rather than deleted.
        for (ports, endpoints) in std::mem::take(&mut fresh) {
            let spare = existing
                .iter()
                .find(|slice| !kept.iter().any(|(taken, ..)| taken.metadata.name == slice.metadata.name));
            match spare {
                Some(slice) => kept.push((slice, ports, endpoints)),
                None => fresh.push((ports, endpoints)),
            }
        }
    }
    emit(service, slices, kept, fresh, plan);
}

fn emit(
    service: &Service,
    slices: &[EndpointSlice],
    kept: Vec<(&EndpointSlice, Vec<EndpointPort>, Vec<Endpoint>)>,
    fresh: Vec<(Vec<EndpointPort>, Vec<Endpoint>)>,
    plan: &mut Plan,
) {
    for slice in slices {
        if !kept.iter().any(|(other, ..)| other.metadata.name == slice.metadata.name) {
            plan.actions.push(delete(Target::of(SLICES, &slice.metadata)));
        }
    }
    let labels = labels(service, &[(SERVICE_LABEL, service_name(service)), (MANAGED_BY, MANAGER)]);
    let body = |ports: &[EndpointPort], endpoints: &[Endpoint]| {
        let ports = if ports.is_empty() { Value::Null } else { json!(ports) };
        json!({ "metadata": { "labels": labels }, "ports": ports, "endpoints": endpoints })
    };
    for (slice, ports, endpoints) in kept {
        let old = json!({
            "metadata": { "labels": slice.metadata.labels },
            "ports": slice.ports.clone().filter(|ports| !ports.is_empty()),
            "endpoints": slice.endpoints.clone().unwrap_or_default(),
        });
        plan.patch(&Target::of(SLICES, &slice.metadata), merge_diff(&old, &body(&ports, &endpoints)));
    }
    for (ports, endpoints) in fresh {
        let mut object = body(&ports, &endpoints);
        object["apiVersion"] = json!("discovery.k8s.io/v1");
        object["kind"] = json!("EndpointSlice");
        object["addressType"] = json!(family(service));
        object["metadata"]["generateName"] = json!(format!("{}-", service_name(service)));
        object["metadata"]["namespace"] = json!(view::namespace(&service.metadata));
        object["metadata"]["ownerReferences"] = json!([controller_of("v1", "Service", &service.metadata)]);
        plan.actions.push(Action::Create {
            resource: SLICES,
            namespace: view::namespace(&service.metadata).to_owned(),
            object,
            success: None,
            failure: None,
        });
    }
}

fn slice_ports(ports: &[Port]) -> Vec<EndpointPort> {
    let port = |port: &Port| EndpointPort {
        name: Some(port.name.clone()),
        port: Some(port.port),
        protocol: Some(port.protocol.clone()),
        app_protocol: port.app_protocol.clone(),
    };
    ports.iter().map(port).collect()
}

fn endpoint(address: &Address) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions {
            ready: Some(address.ready),
            serving: Some(address.serving),
            terminating: Some(address.terminating),
        }),
        hostname: address.hostname.clone(),
        node_name: address.node.clone(),
        target_ref: Some(address.pod.clone()),
        zone: address.zone.clone(),
        ..Endpoint::default()
    }
}
