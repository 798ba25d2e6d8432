//! Services and what stands behind and around them.

use serde_json::{Value, json};

use crate::json::{Object, child, child_or_new, each, fill, put, unset};

/// A Service, with the IP family of a single-stack cluster. Addresses and node ports are the API's to give.
pub(super) fn service(object: &mut Object) {
    let spec = child_or_new(object, "spec");
    fill(spec, "type", "ClusterIP");
    fill(spec, "sessionAffinity", "None");
    if spec["sessionAffinity"] == "None" {
        spec.remove("sessionAffinityConfig");
    } else {
        put(child_or_new(child_or_new(spec, "sessionAffinityConfig"), "clientIP"), "timeoutSeconds", 10800);
    }
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    if kind == "NodePort" || kind == "LoadBalancer" {
        fill(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        put(spec, "allocateLoadBalancerNodePorts", true);
    }
    for port in each(spec, "ports") {
        fill(port, "protocol", "TCP");
        let number = port.get("port").cloned().unwrap_or_default();
        fill(port, "targetPort", number);
    }
    if kind == "ExternalName" {
        return;
    }
    put(spec, "internalTrafficPolicy", "Cluster");
    put(spec, "ipFamilyPolicy", "SingleStack");
    put(spec, "ipFamilies", json!(["IPv4"]));
    // The first of the list and the single field are one value.
    let first = spec.get("clusterIPs").and_then(|ips| ips.get(0)).cloned();
    if let Some(ip) = first.filter(|_| unset(spec.get("clusterIP"))) {
        spec.insert("clusterIP".to_owned(), ip);
    }
    if let Some(ip) = spec.get("clusterIP").filter(|ip| !unset(Some(ip))).cloned() {
        put(spec, "clusterIPs", json!([ip]));
    }
}

/// Endpoints.
pub(super) fn endpoints(object: &mut Object) {
    for subset in each(object, "subsets") {
        each(subset, "ports").for_each(|port| fill(port, "protocol", "TCP"));
    }
}

/// An EndpointSlice.
pub(super) fn endpoint_slice(object: &mut Object) {
    put(object, "endpoints", json!([]));
    for port in each(object, "ports") {
        put(port, "name", "");
        put(port, "protocol", "TCP");
    }
}

/// A NetworkPolicy.
pub(super) fn network_policy(object: &mut Object) {
    let spec = child_or_new(object, "spec");
    if spec.get("policyTypes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let egress = spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
        let types = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
        spec.insert("policyTypes".to_owned(), types);
    }
    put(spec, "podSelector", json!({}));
    for direction in ["ingress", "egress"] {
        for rule in each(spec, direction) {
            each(rule, "ports").for_each(|port| put(port, "protocol", "TCP"));
        }
    }
}

/// An IngressClass.
pub(super) fn ingress_class(object: &mut Object) {
    let parameters = child(object, "spec").and_then(|spec| child(spec, "parameters"));
    parameters.into_iter().for_each(|parameters| put(parameters, "scope", "Cluster"));
}
