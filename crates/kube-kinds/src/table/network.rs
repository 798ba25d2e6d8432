//! Services and what stands behind and around them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    AGE, Column, NAME, Table, name, string,
    text::{NONE, UNSET, age, first_three, joined, labels, or, selector},
    wide,
};
use crate::json::{list, number, text};

/// Tables of network kinds.
pub(super) fn table(resource: &str) -> Option<Table> {
    let (columns, row): (&'static [Column], super::Row) = match resource {
        "services" => (SERVICE, service),
        "endpoints" => (ENDPOINTS, endpoints),
        "endpointslices.discovery.k8s.io" => (ENDPOINT_SLICE, endpoint_slice),
        "ingresses.networking.k8s.io" => (INGRESS, ingress),
        "ingressclasses.networking.k8s.io" => (INGRESS_CLASS, ingress_class),
        "networkpolicies.networking.k8s.io" => {
            (const { &[NAME, string("Pod-Selector", "Pods it applies to."), AGE] }, |object, now| {
                vec![name(object), json!(selector(object.pointer("/spec/podSelector"))), age(object, now)]
            })
        }
        "servicecidrs.networking.k8s.io" => {
            (const { &[NAME, string("CIDRs", "Ranges of service addresses."), AGE] }, |object, now| {
                let ranges: Vec<&str> = list(object, "/spec/cidrs").iter().filter_map(Value::as_str).collect();
                vec![name(object), json!(ranges.join(",")), age(object, now)]
            })
        }
        "ipaddresses.networking.k8s.io" => {
            (const { &[NAME, string("ParentRef", "Who has the address."), AGE] }, ip_address)
        }
        _ => return None,
    };
    Some(Table { columns, row })
}

const SERVICE: &[Column] = &[
    NAME,
    string("Type", "How it is reached."),
    string("Cluster-IP", "Address inside the cluster."),
    string("External-IP", "Addresses outside the cluster."),
    string("Port(s)", "Ports, node ports and protocols."),
    AGE,
    wide("Selector", "Labels of the pods behind it."),
];

fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = list(object, "/spec/ports")
        .iter()
        .map(|port| match (number(port, "/port"), number(port, "/nodePort"), text(port, "/protocol")) {
            (port, 0, protocol) => format!("{port}/{protocol}"),
            (port, node, protocol) => format!("{port}:{node}/{protocol}"),
        })
        .collect();
    vec![
        name(object),
        json!(text(object, "/spec/type")),
        json!(or(object, "/spec/clusterIPs/0", or(object, "/spec/clusterIP", NONE))),
        json!(external(object)),
        json!(joined(&ports, ",")),
        age(object, now),
        json!(labels(object.pointer("/spec/selector"))),
    ]
}

fn external(object: &Value) -> String {
    let mut addresses = balancer(object);
    let fixed = list(object, "/spec/externalIPs").iter().filter_map(Value::as_str).map(str::to_owned);
    match text(object, "/spec/type") {
        "ExternalName" => text(object, "/spec/externalName").to_owned(),
        "LoadBalancer" => {
            addresses.extend(fixed);
            if addresses.is_empty() { "<pending>".to_owned() } else { addresses.join(",") }
        }
        _ => joined(&fixed.collect::<Vec<_>>(), ","),
    }
}

/// Addresses and names in a load balancer's status.
fn balancer(object: &Value) -> Vec<String> {
    let entries = list(object, "/status/loadBalancer/ingress").iter();
    let mut texts: Vec<String> =
        entries.map(|entry| or(entry, "/ip", text(entry, "/hostname")).to_owned()).filter(|t| !t.is_empty()).collect();
    texts.sort();
    texts.dedup();
    texts
}

const ENDPOINTS: &[Column] = &[NAME, string("Endpoints", "Addresses and ports."), AGE];

fn endpoints(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in list(object, "/subsets") {
        let ports = list(subset, "/ports");
        let addresses = list(subset, "/addresses").iter().map(|address| text(address, "/ip"));
        if ports.is_empty() {
            all.extend(addresses.map(str::to_owned));
            continue;
        }
        for port in ports {
            let number = number(port, "/port");
            all.extend(list(subset, "/addresses").iter().map(|address| host_port(text(address, "/ip"), number)));
        }
    }
    vec![name(object), json!(first_three(&all, NONE)), age(object, now)]
}

fn host_port(ip: &str, port: i64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

const ENDPOINT_SLICE: &[Column] = &[
    NAME,
    string("AddressType", "IPv4, IPv6 or FQDN."),
    string("Ports", "Ports of all its endpoints."),
    string("Endpoints", "Addresses."),
    AGE,
];

fn endpoint_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = list(object, "/ports")
        .iter()
        .map(|port| match (text(port, "/name"), port.get("port").and_then(Value::as_i64)) {
            (_, Some(number)) => number.to_string(),
            ("", None) => "*".to_owned(),
            (name, None) => name.to_owned(),
        })
        .collect();
    let addresses: Vec<String> = list(object, "/endpoints")
        .iter()
        .flat_map(|endpoint| list(endpoint, "/addresses"))
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect();
    vec![
        name(object),
        json!(text(object, "/addressType")),
        json!(first_three(&ports, UNSET)),
        json!(first_three(&addresses, UNSET)),
        age(object, now),
    ]
}

const INGRESS: &[Column] = &[
    NAME,
    string("Class", "Ingress class."),
    string("Hosts", "Host names it answers for."),
    string("Address", "Where it is reached."),
    string("Ports", "80, and 443 with TLS."),
    AGE,
];

fn ingress(object: &Value, now: Timestamp) -> Vec<Value> {
    let hosts: Vec<String> = list(object, "/spec/rules")
        .iter()
        .map(|rule| text(rule, "/host").to_owned())
        .filter(|host| !host.is_empty())
        .collect();
    let hosts = first_three(&hosts, "*");
    let ports = if list(object, "/spec/tls").is_empty() { "80" } else { "80, 443" };
    vec![
        name(object),
        json!(or(object, "/spec/ingressClassName", NONE)),
        json!(hosts),
        json!(balancer(object).join(",")),
        json!(ports),
        age(object, now),
    ]
}

const INGRESS_CLASS: &[Column] =
    &[NAME, string("Controller", "Who serves it."), string("Parameters", "Where its settings are."), AGE];

fn ingress_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let parameters = object.pointer("/spec/parameters").map_or_else(
        || NONE.to_owned(),
        |reference| {
            let group = text(reference, "/apiGroup");
            let group = if group.is_empty() { String::new() } else { format!(".{group}") };
            format!("{}{group}/{}", text(reference, "/kind"), text(reference, "/name"))
        },
    );
    vec![name(object), json!(text(object, "/spec/controller")), json!(parameters), age(object, now)]
}

fn ip_address(object: &Value, now: Timestamp) -> Vec<Value> {
    let part = |key: &str| text(object, &format!("/spec/parentRef/{key}"));
    let parts: Vec<&str> =
        [part("resource"), part("namespace"), part("name")].into_iter().filter(|part| !part.is_empty()).collect();
    vec![name(object), json!(parts.join("/")), age(object, now)]
}
