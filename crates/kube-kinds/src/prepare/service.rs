//! What the API gave a Service stays where a client's update does not mention it.

use serde_json::{Value, json};

use crate::json::{Object, child_or_new, each, put, text, unset};

/// Keeps addresses and node ports of the old service if the new one has the same need for them.
pub(super) fn keep_allocated(new: &mut Object, old: &Value) {
    let spec = child_or_new(new, "spec");
    let old_kind = text(old, "/spec/type");
    let kind = spec.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let addressed = |kind: &str| kind != "ExternalName";
    if !addressed(&kind) {
        for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            spec.remove(key);
        }
    } else if addressed(old_kind)
        && unset(spec.get("clusterIP"))
        && let Some(ip) = old.pointer("/spec/clusterIP")
    {
        spec.insert("clusterIP".to_owned(), ip.clone());
        spec.insert("clusterIPs".to_owned(), old.pointer("/spec/clusterIPs").cloned().unwrap_or_else(|| json!([ip])));
    }
    let ported = |kind: &str| kind == "NodePort" || kind == "LoadBalancer";
    if ported(&kind) && ported(old_kind) {
        keep_node_ports(spec, old);
        if let Some(port) = old.pointer("/spec/healthCheckNodePort") {
            put(spec, "healthCheckNodePort", port.clone());
        }
    } else if !ported(&kind) && ported(old_kind) {
        // Ports that were given for the old type go back with it; those a client names are for validation to refuse.
        release_node_ports(spec, old);
        spec.remove("externalTrafficPolicy");
        spec.remove("healthCheckNodePort");
        spec.remove("allocateLoadBalancerNodePorts");
    }
}

fn same_port<'a>(port: &Object, old: &'a Value) -> Option<&'a Value> {
    let key = |key: &str| port.get(key).cloned().unwrap_or_default();
    crate::json::list(old, "/spec/ports").iter().find(|p| p["port"] == key("port") && p["protocol"] == key("protocol"))
}

fn keep_node_ports(spec: &mut Object, old: &Value) {
    let mut taken: Vec<Value> = Vec::new();
    for port in each(spec, "ports") {
        if unset(port.get("nodePort"))
            && let Some(number) = same_port(port, old).and_then(|p| p.get("nodePort")).cloned()
            && !taken.contains(&number)
        {
            port.insert("nodePort".to_owned(), number.clone());
        }
        taken.extend(port.get("nodePort").cloned());
    }
}

fn release_node_ports(spec: &mut Object, old: &Value) {
    for port in each(spec, "ports") {
        let given = same_port(port, old).and_then(|p| p.get("nodePort")).cloned();
        if given.is_some() && port.get("nodePort") == given.as_ref() {
            port.remove("nodePort");
        }
    }
}
