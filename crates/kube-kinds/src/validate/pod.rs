//! Pods and templates of pods.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{
    Causes, container, meta,
    name::{dns_label, dns_subdomain, qualified_name},
};
use crate::json::{flag, list, number, text};

/// A pod's spec at `field`.
pub(super) fn validate(spec: &Value, field: &str, causes: &mut Causes) {
    let at = |key: &str| format!("{field}.{key}");
    volumes(spec, field, causes);
    if list(spec, "/containers").is_empty() {
        causes.required(at("containers"), "");
    }
    let mut names = HashSet::new();
    for key in ["containers", "initContainers", "ephemeralContainers"] {
        container::validate_list(spec, key, field, &mut names, causes);
    }
    causes.supported(at("restartPolicy"), &spec["restartPolicy"], &["Always", "OnFailure", "Never"]);
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    causes.supported(at("dnsPolicy"), &spec["dnsPolicy"], &policies);
    if text(spec, "/dnsPolicy") == "None" && list(spec, "/dnsConfig/nameservers").is_empty() {
        let words = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        causes.required(at("dnsConfig.nameservers"), words);
    }
    causes.not_negative(spec, "/terminationGracePeriodSeconds", &at("terminationGracePeriodSeconds"));
    if spec.get("activeDeadlineSeconds").is_some()
        && !(1..=i64::from(i32::MAX)).contains(&number(spec, "/activeDeadlineSeconds"))
    {
        causes.invalid(
            at("activeDeadlineSeconds"),
            &spec["activeDeadlineSeconds"],
            "must be between 1 and 2147483647, inclusive",
        );
    }
    meta::labels(&spec["nodeSelector"], &at("nodeSelector"), causes);
    for (key, check) in [
        ("serviceAccountName", dns_subdomain as fn(&str) -> Vec<String>),
        ("nodeName", dns_subdomain),
        ("hostname", dns_label),
        ("subdomain", dns_label),
        ("priorityClassName", dns_subdomain),
        ("runtimeClassName", dns_subdomain),
    ] {
        let value = text(spec, &format!("/{key}"));
        if !value.is_empty() {
            causes.all(&at(key), &json!(value), &check(value));
        }
    }
    tolerations(spec, field, causes);
    affinity(spec, field, causes);
    for (index, constraint) in list(spec, "/topologySpreadConstraints").iter().enumerate() {
        let at = format!("{field}.topologySpreadConstraints[{index}]");
        if number(constraint, "/maxSkew") <= 0 {
            causes.invalid(format!("{at}.maxSkew"), &constraint["maxSkew"], "must be greater than zero");
        }
        causes.present(constraint, "/topologyKey", &format!("{at}.topologyKey"));
        let actions = ["DoNotSchedule", "ScheduleAnyway"];
        causes.supported(format!("{at}.whenUnsatisfiable"), &constraint["whenUnsatisfiable"], &actions);
    }
    if flag(spec, "/hostNetwork") {
        host_ports(spec, field, causes);
    }
}

/// A template of a workload at `field`, with its labels.
pub(super) fn validate_template(template: &Value, field: &str, causes: &mut Causes) {
    meta::labels(&template["metadata"]["labels"], &format!("{field}.labels"), causes);
    validate(template.get("spec").unwrap_or(&json!({})), &format!("{field}.spec"), causes);
}

fn host_ports(spec: &Value, field: &str, causes: &mut Causes) {
    for (c, container) in list(spec, "/containers").iter().enumerate() {
        for (p, port) in list(container, "/ports").iter().enumerate() {
            if number(port, "/hostPort") != number(port, "/containerPort") {
                let at = format!("{field}.containers[{c}].ports[{p}].hostPort");
                causes.invalid(at, &port["hostPort"], "must match `containerPort` when `hostNetwork` is true");
            }
        }
    }
}

fn volumes(spec: &Value, field: &str, causes: &mut Causes) {
    let mut names = HashSet::new();
    for (index, volume) in list(spec, "/volumes").iter().enumerate() {
        let at = format!("{field}.volumes[{index}]");
        match text(volume, "/name") {
            "" => causes.required(format!("{at}.name"), ""),
            name => {
                causes.all(&format!("{at}.name"), &json!(name), &dns_label(name));
                if !names.insert(name) {
                    causes.duplicate(format!("{at}.name"), &json!(name));
                }
            }
        }
        let sources: Vec<&String> =
            volume.as_object().into_iter().flatten().map(|(key, _)| key).filter(|key| *key != "name").collect();
        match sources[..] {
            [] => causes.required(&at, "must specify a volume type"),
            [source] => volume_source(&volume[source], source, &format!("{at}.{source}"), causes),
            [_, second, ..] => causes.forbidden(format!("{at}.{second}"), "may not specify more than 1 volume type"),
        }
    }
}

fn volume_source(source: &Value, kind: &str, at: &str, causes: &mut Causes) {
    match kind {
        "secret" => causes.present(source, "/secretName", &format!("{at}.secretName")),
        "configMap" => causes.present(source, "/name", &format!("{at}.name")),
        "persistentVolumeClaim" => causes.present(source, "/claimName", &format!("{at}.claimName")),
        "hostPath" => causes.present(source, "/path", &format!("{at}.path")),
        _ => {}
    }
    for (index, item) in list(source, "/items").iter().enumerate() {
        let path = text(item, "/path");
        let at = format!("{at}.items[{index}].path");
        if path.is_empty() {
            causes.required(at, "");
        } else if path.starts_with('/') {
            causes.invalid(at, &json!(path), "must be a relative path");
        } else if path.split('/').any(|part| part == "..") {
            causes.invalid(at, &json!(path), "must not contain '..'");
        }
    }
    if let Some(mode) =
        source.get("defaultMode").filter(|mode| mode.as_i64().is_some_and(|m| !(0..=0o777).contains(&m)))
    {
        let words = "must be a number between 0 and 0777 (octal), both inclusive";
        causes.invalid(format!("{at}.defaultMode"), mode, words);
    }
}

fn tolerations(spec: &Value, field: &str, causes: &mut Causes) {
    for (index, toleration) in list(spec, "/tolerations").iter().enumerate() {
        let at = format!("{field}.tolerations[{index}]");
        let (key, operator) = (text(toleration, "/key"), text(toleration, "/operator"));
        if !key.is_empty() {
            causes.all(&format!("{at}.key"), &json!(key), &qualified_name(key));
        } else if operator != "Exists" {
            let words = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            causes.invalid(format!("{at}.operator"), &json!(operator), words);
        }
        match operator {
            "" | "Equal" | "Lt" | "Gt" => {}
            "Exists" if text(toleration, "/value").is_empty() => {}
            "Exists" => {
                let words = "value must be empty when `operator` is 'Exists'";
                causes.invalid(format!("{at}.operator"), toleration, words);
            }
            _ => causes.supported(format!("{at}.operator"), &json!(operator), &["Equal", "Exists"]),
        }
        let effect = text(toleration, "/effect");
        if !effect.is_empty() {
            let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            causes.supported(format!("{at}.effect"), &json!(effect), &effects);
        }
        if toleration.get("tolerationSeconds").is_some() && effect != "NoExecute" {
            let words = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            causes.invalid(format!("{at}.effect"), &json!(effect), words);
        }
    }
}

fn affinity(spec: &Value, field: &str, causes: &mut Causes) {
    let at = format!("{field}.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
    let pointer = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    let Some(required) = spec.pointer(pointer) else { return };
    let terms = list(required, "/nodeSelectorTerms");
    if terms.is_empty() {
        causes.required(&at, "must have at least one node selector term");
    }
    for (t, term) in terms.iter().enumerate() {
        for (e, expression) in list(term, "/matchExpressions").iter().enumerate() {
            let at = format!("{at}[{t}].matchExpressions[{e}]");
            let values = list(expression, "/values").len();
            match text(expression, "/operator") {
                "In" | "NotIn" if values == 0 => {
                    causes.required(format!("{at}.values"), "must be specified when `operator` is 'In' or 'NotIn'");
                }
                "Exists" | "DoesNotExist" if values > 0 => {
                    let words = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                    causes.forbidden(format!("{at}.values"), words);
                }
                "Gt" | "Lt" if values != 1 => {
                    causes.required(
                        format!("{at}.values"),
                        "must be specified single value when `operator` is 'Lt' or 'Gt'",
                    );
                }
                "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
                other => causes.invalid(format!("{at}.operator"), &json!(other), "not a valid selector operator"),
            }
            causes.all(&format!("{at}.key"), &expression["key"], &qualified_name(text(expression, "/key")));
        }
    }
}
