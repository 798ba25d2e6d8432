//! Roles, budgets, quotas, autoscalers, classes, definitions.

use domain::Quantity;
use serde_json::{Value, json};

use super::{Causes, meta, workload::amount};
use crate::json::{flag, list, number, text};

/// A HorizontalPodAutoscaler (v2).
pub(super) fn autoscaler(object: &Value, causes: &mut Causes) {
    let spec = &object["spec"];
    causes.present(spec, "/scaleTargetRef/kind", "spec.scaleTargetRef.kind");
    causes.present(spec, "/scaleTargetRef/name", "spec.scaleTargetRef.name");
    let (least, most) = (number(spec, "/minReplicas"), number(spec, "/maxReplicas"));
    if spec.get("minReplicas").is_some() && least < 1 {
        causes.invalid("spec.minReplicas", &json!(least), "must be greater than or equal to 1");
    }
    if most < 1 {
        causes.invalid("spec.maxReplicas", &json!(most), "must be greater than 0");
    } else if most < least {
        causes.invalid("spec.maxReplicas", &json!(most), "must be greater than or equal to `minReplicas`");
    }
}

/// A PodDisruptionBudget.
pub(super) fn budget(object: &Value, causes: &mut Causes) {
    let spec = &object["spec"];
    if spec.get("minAvailable").is_some() && spec.get("maxUnavailable").is_some() {
        causes.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set");
    }
    amount(&spec["minAvailable"], "spec.minAvailable", causes);
    amount(&spec["maxUnavailable"], "spec.maxUnavailable", causes);
    meta::selector(&spec["selector"], "spec.selector", causes);
}

/// A Role or ClusterRole.
pub(super) fn role(object: &Value, causes: &mut Causes) {
    let namespaced = text(object, "/kind") == "Role";
    for (index, rule) in list(object, "/rules").iter().enumerate() {
        let at = format!("rules[{index}]");
        if list(rule, "/verbs").is_empty() {
            causes.required(format!("{at}.verbs"), "verbs must contain at least one value");
        }
        if !list(rule, "/nonResourceURLs").is_empty() {
            if namespaced {
                let urls = &rule["nonResourceURLs"];
                causes.invalid(
                    format!("{at}.nonResourceURLs"),
                    urls,
                    "namespaced rules cannot apply to non-resource URLs",
                );
            }
            continue;
        }
        if list(rule, "/apiGroups").is_empty() {
            causes.required(format!("{at}.apiGroups"), "resource rules must supply at least one api group");
        }
        if list(rule, "/resources").is_empty() {
            causes.required(format!("{at}.resources"), "resource rules must supply at least one resource");
        }
    }
}

/// A RoleBinding or ClusterRoleBinding.
pub(super) fn binding(object: &Value, causes: &mut Causes) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let role = &object["roleRef"];
    causes.supported("roleRef.apiGroup", &role["apiGroup"], &[GROUP]);
    let kinds: &[&str] =
        if text(object, "/kind") == "ClusterRoleBinding" { &["ClusterRole"] } else { &["ClusterRole", "Role"] };
    causes.supported("roleRef.kind", &role["kind"], kinds);
    causes.present(role, "/name", "roleRef.name");
    for (index, subject) in list(object, "/subjects").iter().enumerate() {
        let at = format!("subjects[{index}]");
        causes.present(subject, "/name", &format!("{at}.name"));
        match text(subject, "/kind") {
            "ServiceAccount" => causes.present(subject, "/namespace", &format!("{at}.namespace")),
            "User" | "Group" => causes.supported(format!("{at}.apiGroup"), &subject["apiGroup"], &[GROUP]),
            _ => causes.supported(format!("{at}.kind"), &subject["kind"], &["Group", "ServiceAccount", "User"]),
        }
    }
}

/// A PriorityClass.
pub(super) fn priority_class(object: &Value, causes: &mut Causes) {
    let (name, value) = (text(object, "/metadata/name"), number(object, "/value"));
    if name.starts_with("system-") && !matches!(name, "system-node-critical" | "system-cluster-critical") {
        let words =
            "priority class names with 'system-' prefix are reserved for system use only. error: is not allowed";
        causes.forbidden("metadata.name", words);
    } else if value > 1_000_000_000 && !name.starts_with("system-") {
        let words = "maximum allowed value of a user defined priority is 1000000000";
        causes.forbidden("value", words);
    }
    if flag(object, "/globalDefault") && name.starts_with("system-") {
        causes.forbidden("globalDefault", "system priority classes cannot be the default");
    }
    let policies = ["Never", "PreemptLowerPriority"];
    causes.supported("preemptionPolicy", &object["preemptionPolicy"], &policies);
}

/// A ResourceQuota.
pub(super) fn quota(object: &Value, causes: &mut Causes) {
    for (name, value) in object.pointer("/spec/hard").and_then(Value::as_object).into_iter().flatten() {
        if value.as_str().and_then(|text| Quantity::parse(text).ok()).is_some_and(Quantity::is_negative) {
            causes.invalid(format!("spec.hard[{name}]"), value, "must be greater than or equal to 0");
        }
    }
}

/// A CustomResourceDefinition.
pub(super) fn custom_resource_definition(object: &Value, causes: &mut Causes) {
    let spec = &object["spec"];
    for (pointer, field) in
        [("/group", "spec.group"), ("/names/plural", "spec.names.plural"), ("/names/kind", "spec.names.kind")]
    {
        causes.present(spec, pointer, field);
    }
    causes.supported("spec.scope", &spec["scope"], &["Cluster", "Namespaced"]);
    let wanted = format!("{}.{}", text(spec, "/names/plural"), text(spec, "/group"));
    if text(object, "/metadata/name") != wanted {
        let words = "must be spec.names.plural+\".\"+spec.group";
        causes.invalid("metadata.name", &object["metadata"]["name"], words);
    }
    let versions = list(spec, "/versions");
    if versions.iter().filter(|version| flag(version, "/storage")).count() != 1 {
        let words = "must have exactly one version marked as storage version";
        causes.invalid("spec.versions", &Value::Array(versions.to_vec()), words);
    }
    for (index, version) in versions.iter().enumerate() {
        if version.pointer("/schema/openAPIV3Schema").is_none() {
            causes.required(format!("spec.versions[{index}].schema.openAPIV3Schema"), "schemas are required");
        }
    }
}
