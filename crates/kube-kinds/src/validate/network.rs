//! Services and what stands behind and around them.

use std::{collections::HashSet, net::IpAddr};

use serde_json::{Value, json};

use super::{
    Causes, meta,
    name::{dns_label, dns_subdomain, port_name},
};
use crate::json::{list, number, text};

const PORT_RANGE: &str = "must be between 1 and 65535, inclusive";
const IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/// A Service.
pub(super) fn service(object: &Value, causes: &mut Causes) {
    let spec = &object["spec"];
    let kind = text(spec, "/type");
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    causes.supported("spec.type", &spec["type"], &kinds);
    causes.supported("spec.sessionAffinity", &spec["sessionAffinity"], &["ClientIP", "None"]);
    let ip = text(spec, "/clusterIP");
    if list(spec, "/ports").is_empty() && ip != "None" && kind != "ExternalName" {
        causes.required("spec.ports", "");
    }
    service_ports(spec, kind, causes);
    meta::labels(&spec["selector"], "spec.selector", causes);
    if !ip.is_empty() && ip != "None" && ip.parse::<IpAddr>().is_err() {
        causes.invalid("spec.clusterIPs[0]", &json!(ip), IP);
    }
    match kind {
        "ExternalName" => {
            if !ip.is_empty() {
                causes.forbidden("spec.clusterIP", "may not be set when `type` is 'ExternalName'");
            }
            match text(spec, "/externalName").trim_end_matches('.') {
                "" => causes.required("spec.externalName", ""),
                name => causes.all("spec.externalName", &json!(name), &dns_subdomain(name)),
            }
        }
        "NodePort" | "LoadBalancer" if ip == "None" => {
            let words = format!("may not be set to 'None' for {kind} services");
            causes.invalid("spec.clusterIPs[0]", &json!("None"), &words);
        }
        _ => {}
    }
    for (index, address) in list(spec, "/externalIPs").iter().enumerate() {
        if address.as_str().is_none_or(|ip| ip.parse::<IpAddr>().is_err()) {
            causes.invalid(format!("spec.externalIPs[{index}]"), address, IP);
        }
    }
}

fn service_ports(spec: &Value, kind: &str, causes: &mut Causes) {
    let ports = list(spec, "/ports");
    let (mut names, mut pairs) = (HashSet::new(), HashSet::new());
    for (index, port) in ports.iter().enumerate() {
        let at = format!("spec.ports[{index}]");
        match text(port, "/name") {
            "" if ports.len() > 1 => causes.required(format!("{at}.name"), ""),
            "" => {}
            name => {
                causes.all(&format!("{at}.name"), &json!(name), &dns_label(name));
                if !names.insert(name) {
                    causes.duplicate(format!("{at}.name"), &json!(name));
                }
            }
        }
        if !(1..=65535).contains(&number(port, "/port")) {
            causes.invalid(format!("{at}.port"), &json!(number(port, "/port")), PORT_RANGE);
        }
        causes.supported(format!("{at}.protocol"), &port["protocol"], &["SCTP", "TCP", "UDP"]);
        match &port["targetPort"] {
            Value::String(name) => causes.all(&format!("{at}.targetPort"), &json!(name), &port_name(name)),
            Value::Number(n) if !n.as_i64().is_some_and(|n| (1..=65535).contains(&n)) => {
                causes.invalid(format!("{at}.targetPort"), &port["targetPort"], PORT_RANGE);
            }
            _ => {}
        }
        if number(port, "/nodePort") != 0 && !matches!(kind, "NodePort" | "LoadBalancer") {
            let words = format!("may not be used when `type` is '{kind}'");
            causes.forbidden(format!("{at}.nodePort"), &words);
        }
        let pair = (text(port, "/protocol"), number(port, "/port"));
        if !pairs.insert(pair) {
            causes.duplicate(at, &json!({"protocol": pair.0, "port": pair.1}));
        }
    }
}

/// Endpoints.
pub(super) fn endpoints(object: &Value, causes: &mut Causes) {
    for (s, subset) in list(object, "/subsets").iter().enumerate() {
        let ready = list(subset, "/addresses").iter().map(|a| ("addresses", a));
        let others = list(subset, "/notReadyAddresses").iter().map(|a| ("notReadyAddresses", a));
        let mut any = false;
        for (key, address) in ready.chain(others) {
            any = true;
            let ip = text(address, "/ip");
            if ip.parse::<IpAddr>().is_err() {
                causes.invalid(format!("subsets[{s}].{key}.ip"), &json!(ip), IP);
            }
        }
        if !any {
            causes.required(format!("subsets[{s}]"), "must specify `addresses` or `notReadyAddresses`");
        }
        for (p, port) in list(subset, "/ports").iter().enumerate() {
            if !(1..=65535).contains(&number(port, "/port")) {
                causes.invalid(format!("subsets[{s}].ports[{p}].port"), &json!(number(port, "/port")), PORT_RANGE);
            }
        }
    }
}

/// An EndpointSlice.
pub(super) fn endpoint_slice(object: &Value, causes: &mut Causes) {
    let kind = text(object, "/addressType");
    if kind.is_empty() {
        causes.required("addressType", "");
    } else {
        causes.supported("addressType", &object["addressType"], &["FQDN", "IPv4", "IPv6"]);
    }
    for (index, endpoint) in list(object, "/endpoints").iter().enumerate() {
        let addresses = list(endpoint, "/addresses");
        if addresses.is_empty() {
            causes.required(format!("endpoints[{index}].addresses"), "must contain at least 1 address");
        }
        for (a, address) in addresses.iter().enumerate() {
            let text = address.as_str().unwrap_or_default();
            let good = match kind {
                "IPv4" => text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()),
                "IPv6" => text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()),
                _ => true,
            };
            if !good {
                causes.invalid(
                    format!("endpoints[{index}].addresses[{a}]"),
                    address,
                    &format!("must be an {kind} address"),
                );
            }
        }
    }
}

/// An Ingress.
pub(super) fn ingress(object: &Value, causes: &mut Causes) {
    let spec = &object["spec"];
    if list(spec, "/rules").is_empty() && spec.get("defaultBackend").is_none() {
        causes.invalid("spec", &json!([]), "either `defaultBackend` or `rules` must be specified");
    }
    for (r, rule) in list(spec, "/rules").iter().enumerate() {
        let host = text(rule, "/host");
        let plain = host.strip_prefix("*.").unwrap_or(host);
        if host.parse::<IpAddr>().is_ok() {
            causes.invalid(format!("spec.rules[{r}].host"), &json!(host), "must be a DNS name, not an IP address");
        } else if !plain.is_empty() {
            causes.all(&format!("spec.rules[{r}].host"), &json!(host), &dns_subdomain(plain));
        }
        for (p, path) in list(rule, "/http/paths").iter().enumerate() {
            let at = format!("spec.rules[{r}].http.paths[{p}]");
            match text(path, "/pathType") {
                "" => causes.required(format!("{at}.pathType"), "pathType must be specified"),
                _ => {
                    let kinds = ["Exact", "ImplementationSpecific", "Prefix"];
                    causes.supported(format!("{at}.pathType"), &path["pathType"], &kinds);
                }
            }
            let value = text(path, "/path");
            if !value.starts_with('/') && (text(path, "/pathType") != "ImplementationSpecific" || !value.is_empty()) {
                causes.invalid(format!("{at}.path"), &json!(value), "must be an absolute path");
            }
            if let Some(service) = path.pointer("/backend/service") {
                causes.present(service, "/name", &format!("{at}.backend.service.name"));
            }
        }
    }
}

/// A NetworkPolicy.
pub(super) fn network_policy(object: &Value, causes: &mut Causes) {
    let spec = &object["spec"];
    meta::selector(&spec["podSelector"], "spec.podSelector", causes);
    for (index, kind) in list(spec, "/policyTypes").iter().enumerate() {
        causes.supported(format!("spec.policyTypes[{index}]"), kind, &["Egress", "Ingress"]);
    }
    for (direction, side) in [("ingress", "from"), ("egress", "to")] {
        for (r, rule) in list(spec, &format!("/{direction}")).iter().enumerate() {
            for (p, peer) in list(rule, &format!("/{side}")).iter().enumerate() {
                let at = format!("spec.{direction}[{r}].{side}[{p}]");
                let block = peer.get("ipBlock");
                if peer.as_object().is_none_or(|map| map.is_empty()) {
                    causes.required(&at, "must specify a peer");
                } else if block.is_some() && peer.as_object().is_some_and(|map| map.len() > 1) {
                    causes.forbidden(&at, "may not specify both ipBlock and another peer");
                }
                if let Some(block) = block {
                    cidr(text(block, "/cidr"), &format!("{at}.ipBlock.cidr"), causes);
                }
            }
            for (p, port) in list(rule, "/ports").iter().enumerate() {
                let at = format!("spec.{direction}[{r}].ports[{p}].protocol");
                causes.supported(at, &port["protocol"], &["SCTP", "TCP", "UDP"]);
            }
        }
    }
}

fn cidr(text: &str, field: &str, causes: &mut Causes) {
    let parsed =
        text.split_once('/').and_then(|(ip, bits)| Some((ip.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?)));
    if parsed.is_none_or(|(ip, bits)| bits > if ip.is_ipv4() { 32 } else { 128 }) {
        causes.invalid(field, &json!(text), "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    }
}
