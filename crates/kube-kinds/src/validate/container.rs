//! Containers of pods.

use std::collections::HashSet;

use domain::Quantity;
use serde_json::{Value, json};

use super::{
    Causes,
    name::{dns_label, env_name, port_name},
};
use crate::json::{list, number, text};

const PORT_RANGE: &str = "must be between 1 and 65535, inclusive";

/// Rules for one list of containers; `names` are those taken by other lists.
pub(super) fn validate_list(spec: &Value, key: &str, field: &str, names: &mut HashSet<String>, causes: &mut Causes) {
    let volumes: HashSet<&str> = list(spec, "/volumes").iter().map(|volume| text(volume, "/name")).collect();
    for (index, container) in list(spec, &format!("/{key}")).iter().enumerate() {
        let at = format!("{field}.{key}[{index}]");
        let name = text(container, "/name");
        if name.is_empty() {
            causes.required(format!("{at}.name"), "");
        } else {
            causes.all(&format!("{at}.name"), &json!(name), &dns_label(name));
            if !names.insert(name.to_owned()) {
                causes.duplicate(format!("{at}.name"), &json!(name));
            }
        }
        validate(container, &at, &volumes, causes);
        if key != "containers" && key != "initContainers" {
            continue;
        }
        let sidecar = text(container, "/restartPolicy") == "Always";
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
            if let Some(value) = container.get(probe) {
                if key == "initContainers" && !sidecar {
                    let words = "may not be set for init containers without restartPolicy=Always";
                    causes.forbidden(format!("{at}.{probe}"), words);
                }
                self::probe(value, &format!("{at}.{probe}"), probe != "readinessProbe", causes);
            }
        }
    }
}

fn validate(container: &Value, at: &str, volumes: &HashSet<&str>, causes: &mut Causes) {
    let image = text(container, "/image");
    if image.is_empty() {
        causes.required(format!("{at}.image"), "");
    } else if image.trim() != image {
        causes.invalid(format!("{at}.image"), &json!(image), "must not have leading or trailing whitespace");
    }
    causes.supported(
        format!("{at}.imagePullPolicy"),
        &container["imagePullPolicy"],
        &["Always", "IfNotPresent", "Never"],
    );
    let policies = ["File", "FallbackToLogsOnError"];
    causes.supported(format!("{at}.terminationMessagePolicy"), &container["terminationMessagePolicy"], &policies);
    ports(container, at, causes);
    env(container, at, causes);
    mounts(container, at, volumes, causes);
    resources(&container["resources"], &format!("{at}.resources"), causes);
}

fn ports(container: &Value, at: &str, causes: &mut Causes) {
    let mut names = HashSet::new();
    for (index, port) in list(container, "/ports").iter().enumerate() {
        let at = format!("{at}.ports[{index}]");
        let name = text(port, "/name");
        if !name.is_empty() {
            causes.all(&format!("{at}.name"), &json!(name), &port_name(name));
            if !names.insert(name) {
                causes.duplicate(format!("{at}.name"), &json!(name));
            }
        }
        match number(port, "/containerPort") {
            0 => causes.required(format!("{at}.containerPort"), ""),
            1..=65535 => {}
            other => causes.invalid(format!("{at}.containerPort"), &json!(other), PORT_RANGE),
        }
        if !(0..=65535).contains(&number(port, "/hostPort")) {
            causes.invalid(format!("{at}.hostPort"), &port["hostPort"], PORT_RANGE);
        }
        causes.supported(format!("{at}.protocol"), &port["protocol"], &["SCTP", "TCP", "UDP"]);
    }
}

fn env(container: &Value, at: &str, causes: &mut Causes) {
    for (index, env) in list(container, "/env").iter().enumerate() {
        let at = format!("{at}.env[{index}]");
        match text(env, "/name") {
            "" => causes.required(format!("{at}.name"), ""),
            name => causes.all(&format!("{at}.name"), &json!(name), &env_name(name)),
        }
        let Some(from) = env.get("valueFrom").and_then(Value::as_object) else { continue };
        let at = format!("{at}.valueFrom");
        if !text(env, "/value").is_empty() {
            causes.invalid(&at, &json!(""), "may not be specified when `value` is not empty");
        }
        match from.len() {
            0 => {
                let words = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
                causes.invalid(&at, &json!(""), words);
            }
            1 => {}
            _ => causes.invalid(&at, &json!(""), "may not have more than one field specified at a time"),
        }
        for reference in ["configMapKeyRef", "secretKeyRef"] {
            if let Some(value) = from.get(reference) {
                causes.present(value, "/name", &format!("{at}.{reference}.name"));
                causes.present(value, "/key", &format!("{at}.{reference}.key"));
            }
        }
    }
    for (index, from) in list(container, "/envFrom").iter().enumerate() {
        let at = format!("{at}.envFrom[{index}]");
        match (from.get("configMapRef"), from.get("secretRef")) {
            (None, None) => causes.invalid(at, &json!(""), "must specify one of: `configMapRef` or `secretRef`"),
            (Some(_), Some(_)) => {
                causes.invalid(at, &json!(""), "may not have more than one field specified at a time")
            }
            (Some(one), None) => causes.present(one, "/name", &format!("{at}.configMapRef.name")),
            (None, Some(one)) => causes.present(one, "/name", &format!("{at}.secretRef.name")),
        }
    }
}

fn mounts(container: &Value, at: &str, volumes: &HashSet<&str>, causes: &mut Causes) {
    let mut paths = HashSet::new();
    for (index, mount) in list(container, "/volumeMounts").iter().enumerate() {
        let at = format!("{at}.volumeMounts[{index}]");
        match text(mount, "/name") {
            "" => causes.required(format!("{at}.name"), ""),
            name if !volumes.contains(name) => {
                causes.0.push(problem::kube::Cause::not_found(format!("{at}.name"), &json!(name)));
            }
            _ => {}
        }
        match text(mount, "/mountPath") {
            "" => causes.required(format!("{at}.mountPath"), ""),
            path if !paths.insert(path) => causes.invalid(format!("{at}.mountPath"), &json!(path), "must be unique"),
            _ => {}
        }
        let below = text(mount, "/subPath");
        if below.starts_with('/') {
            causes.invalid(format!("{at}.subPath"), &json!(below), "must be a relative path");
        } else if below.split('/').any(|part| part == "..") {
            causes.invalid(format!("{at}.subPath"), &json!(below), "must not contain '..'");
        }
    }
}

/// Requests and limits of a container or pod.
pub(super) fn resources(resources: &Value, field: &str, causes: &mut Causes) {
    let amount = |value: &Value| value.as_str().and_then(|text| Quantity::parse(text).ok());
    for list in ["limits", "requests"] {
        for (name, value) in resources.get(list).and_then(Value::as_object).into_iter().flatten() {
            let at = format!("{field}.{list}[{name}]");
            if amount(value).is_some_and(Quantity::is_negative) {
                causes.invalid(&at, value, "must be greater than or equal to 0");
            }
            let known = ["cpu", "memory", "ephemeral-storage"].contains(&name.as_str())
                || name.starts_with("hugepages-")
                || name.contains('/');
            if !known {
                causes.invalid(&at, &json!(name), "must be a standard resource for containers");
            }
        }
    }
    for (name, request) in resources.get("requests").and_then(Value::as_object).into_iter().flatten() {
        // What a node counts in pieces, as GPUs, can't be promised twice.
        let counted = name.contains('/') || name.starts_with("hugepages-");
        let Some(limit) = resources.get("limits").and_then(|limits| limits.get(name)) else {
            if counted {
                causes.required(format!("{field}.limits"), "Limit must be set for non overcommitable resources");
            }
            continue;
        };
        if counted && amount(request) != amount(limit) {
            let words = format!("must be equal to {name} limit of {}", limit.as_str().unwrap_or_default());
            causes.invalid(format!("{field}.requests"), request, &words);
            continue;
        }
        if amount(request) > amount(limit) {
            let words = format!("must be less than or equal to {name} limit of {}", limit.as_str().unwrap_or_default());
            causes.invalid(format!("{field}.requests"), request, &words);
        }
    }
}

fn probe(probe: &Value, at: &str, once: bool, causes: &mut Causes) {
    let handlers = ["exec", "httpGet", "tcpSocket", "grpc"];
    match handlers.iter().filter(|handler| probe.get(**handler).is_some()).count() {
        0 => causes.required(at, "must specify a handler type"),
        1 => {}
        _ => causes.forbidden(at, "may not specify more than 1 handler type"),
    }
    for key in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        causes.not_negative(probe, &format!("/{key}"), &format!("{at}.{key}"));
    }
    if once && number(probe, "/successThreshold") > 1 {
        causes.invalid(format!("{at}.successThreshold"), &probe["successThreshold"], "must be 1");
    }
    if let Some(exec) = probe.get("exec")
        && list(exec, "/command").is_empty()
    {
        causes.required(format!("{at}.exec.command"), "");
    }
    for handler in ["httpGet", "tcpSocket"] {
        let Some(port) = probe.get(handler).map(|h| &h["port"]) else { continue };
        let at = format!("{at}.{handler}.port");
        match port {
            Value::String(name) => causes.all(&at, port, &port_name(name)),
            Value::Number(number) if number.as_i64().is_some_and(|n| (1..=65535).contains(&n)) => {}
            _ => causes.invalid(at, port, PORT_RANGE),
        }
    }
}
