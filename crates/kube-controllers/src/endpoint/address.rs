//! From pods to addresses, grouped by the ports that they really serve.

use crate::view;
use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::{collections::BTreeMap, sync::Arc};

/// A port as it is on the pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) protocol: String,
    pub(super) port: i32,
    pub(super) app_protocol: Option<String>,
}

/// One pod behind the Service.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) ip: String,
    pub(super) ready: bool,
    pub(super) serving: bool,
    pub(super) terminating: bool,
    /// Whether the old Endpoints kind shows it: that one leaves out pods that are ending.
    pub(super) legacy: bool,
    pub(super) node: Option<String>,
    pub(super) zone: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) pod: ObjectReference,
}

/// The addresses by the ports that they serve; two pods can give one name to different numbers.
pub(super) type Groups = BTreeMap<Vec<Port>, Vec<Address>>;

pub(super) fn groups(service: &Service, pods: &[&Arc<Pod>], zones: &BTreeMap<String, String>) -> Groups {
    let mut groups = Groups::new();
    for pod in pods {
        let Some(address) = address(service, pod, zones) else { continue };
        groups.entry(ports(service, pod)).or_default().push(address);
    }
    groups
}

/// `IPv4` or `IPv6`, whichever the Service has first.
pub(super) fn family(service: &Service) -> &str {
    let families = service.spec.as_ref().and_then(|spec| spec.ip_families.as_ref());
    families.and_then(|families| families.first()).map_or("IPv4", String::as_str)
}

fn address(service: &Service, pod: &Pod, zones: &BTreeMap<String, String>) -> Option<Address> {
    if view::is_terminal(pod) {
        return None;
    }
    let status = pod.status.as_ref()?;
    let ips = status.pod_ips.iter().flatten().map(|ip| &ip.ip).chain(&status.pod_ip);
    let ip = ips.filter(|ip| !ip.is_empty()).find(|ip| ip.contains(':') == (family(service) == "IPv6"))?;
    let spec = pod.spec.as_ref()?;
    let always = service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses) == Some(true);
    let serving = view::is_ready(pod);
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let named = spec.subdomain.as_deref() == Some(super::service_name(service));
    Some(Address {
        ip: ip.clone(),
        ready: always || (serving && !terminating),
        serving,
        terminating,
        legacy: always || !terminating,
        node: view::node_name(pod).map(str::to_owned),
        zone: view::node_name(pod).and_then(|node| zones.get(node)).cloned(),
        hostname: spec.hostname.clone().filter(|_| named),
        pod: ObjectReference {
            kind: Some("Pod".into()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        },
    })
}

fn ports(service: &Service, pod: &Pod) -> Vec<Port> {
    let wanted = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let mut ports: Vec<Port> = wanted
        .filter_map(|wanted| {
            let protocol = wanted.protocol.clone().unwrap_or_else(|| "TCP".into());
            Some(Port {
                name: wanted.name.clone().unwrap_or_default(),
                port: number(wanted, &protocol, pod)?,
                protocol,
                app_protocol: wanted.app_protocol.clone(),
            })
        })
        .collect();
    ports.sort();
    ports.dedup();
    ports
}

/// The number of a port on this pod; `None` if the pod has no port of that name.
fn number(wanted: &ServicePort, protocol: &str, pod: &Pod) -> Option<i32> {
    let name = match &wanted.target_port {
        None | Some(IntOrString::Int(0)) => return Some(wanted.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten().filter(|container| view::is_sidecar(container));
    let mut ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    ports
        .find(|port| port.name.as_ref() == Some(name) && port.protocol.as_deref().unwrap_or("TCP") == protocol)
        .map(|port| port.container_port)
}
