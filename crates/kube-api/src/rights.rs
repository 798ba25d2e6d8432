//! What the cloud's policies give in a cluster until RBAC rules are kept there: upstream's roles `edit` and `view`, in
//! all namespaces. See docs/kubernetes-access.md.
//! Source: `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/testdata/cluster-roles.yaml` of Kubernetes 1.36.

use crate::actor::Attempt;
use serde_json::{Value, json};

/// What somebody may do in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rights {
    /// Read what is no secret: policy verb `read` on clusters.
    View,
    /// Change what runs: policy verb `use` on clusters.
    Edit,
    /// Everything: policy verb `manage` on clusters.
    Admin,
}

/// Resources of one group, with the verbs allowed on them.
struct Rule {
    group: &'static str,
    verbs: &'static [&'static str],
    resources: &'static [&'static str],
}

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const CREATE: &[&str] = &["create"];

const fn rule(group: &'static str, verbs: &'static [&'static str], resources: &'static [&'static str]) -> Rule {
    Rule { group, verbs, resources }
}

/// What all who are authenticated may do. Source: `system:basic-user`.
const OWN: &[Rule] = &[
    rule("authorization.k8s.io", CREATE, &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
    rule("authentication.k8s.io", CREATE, &["selfsubjectreviews"]),
];

#[rustfmt::skip]
const VIEW: &[Rule] = &[
    rule("", READ, &[
        "bindings", "configmaps", "endpoints", "events", "limitranges", "namespaces", "namespaces/status",
        "persistentvolumeclaims", "persistentvolumeclaims/status", "pods", "pods/log", "pods/status",
        "replicationcontrollers", "replicationcontrollers/scale", "replicationcontrollers/status", "resourcequotas",
        "resourcequotas/status", "serviceaccounts", "services", "services/status",
    ]),
    rule("apps", READ, &[
        "controllerrevisions", "daemonsets", "daemonsets/status", "deployments", "deployments/scale",
        "deployments/status", "replicasets", "replicasets/scale", "replicasets/status", "statefulsets",
        "statefulsets/scale", "statefulsets/status",
    ]),
    rule("autoscaling", READ, &["horizontalpodautoscalers", "horizontalpodautoscalers/status"]),
    rule("batch", READ, &["cronjobs", "cronjobs/status", "jobs", "jobs/status"]),
    rule("discovery.k8s.io", READ, &["endpointslices"]),
    rule("networking.k8s.io", READ, &["ingresses", "ingresses/status", "networkpolicies"]),
    rule("policy", READ, &["poddisruptionbudgets", "poddisruptionbudgets/status"]),
    rule("resource.k8s.io", READ, &["resourceclaims", "resourceclaims/status", "resourceclaimtemplates"]),
];

#[rustfmt::skip]
const EDIT: &[Rule] = &[
    rule("", READ, &["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"]),
    rule("", &["impersonate"], &["serviceaccounts"]),
    rule("", WRITE, &["pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"]),
    rule("", CREATE, &["pods/eviction", "serviceaccounts/token"]),
    rule("", WRITE, &[
        "configmaps", "events", "persistentvolumeclaims", "replicationcontrollers", "replicationcontrollers/scale",
        "secrets", "serviceaccounts", "services", "services/proxy",
    ]),
    rule("apps", WRITE, &[
        "daemonsets", "deployments", "deployments/rollback", "deployments/scale", "replicasets", "replicasets/scale",
        "statefulsets", "statefulsets/scale",
    ]),
    rule("autoscaling", WRITE, &["horizontalpodautoscalers"]),
    rule("batch", WRITE, &["cronjobs", "jobs"]),
    rule("coordination.k8s.io", READ, &["leases"]),
    rule("coordination.k8s.io", WRITE, &["leases"]),
    rule("networking.k8s.io", WRITE, &["ingresses", "networkpolicies"]),
    rule("policy", WRITE, &["poddisruptionbudgets"]),
    rule("resource.k8s.io", WRITE, &["resourceclaims", "resourceclaimtemplates"]),
];

/// Paths that are no resources, which all who are authenticated may read. Source: `system:discovery`.
const PATHS: [&str; 9] =
    ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi/*", "/readyz", "/version"];

/// Those who have no rights have [`OWN`] alone.
fn rules(rights: Option<Rights>) -> impl Iterator<Item = &'static Rule> {
    let parts: &[&'static [Rule]] = match rights {
        None => &[OWN],
        Some(Rights::View) => &[OWN, VIEW],
        Some(Rights::Edit | Rights::Admin) => &[OWN, VIEW, EDIT],
    };
    parts.iter().flat_map(|part| part.iter())
}

/// Whether rights allow an attempt.
pub(crate) fn allow(rights: Option<Rights>, attempt: &Attempt<'_>) -> bool {
    if rights == Some(Rights::Admin) {
        return true;
    }
    let fits = |resource: &str| match attempt.subresource {
        "" => resource == attempt.resource,
        part => resource.split_once('/') == Some((attempt.resource, part)),
    };
    rules(rights).any(|rule| {
        rule.group == attempt.group
            && rule.verbs.contains(&attempt.verb)
            && rule.resources.iter().any(|resource| fits(resource))
    })
}

/// The status of a `SelfSubjectRulesReview`.
pub(crate) fn review(rights: Option<Rights>) -> Value {
    let (resources, paths) = if rights == Some(Rights::Admin) {
        (
            json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]),
            json!([{"verbs": ["*"], "nonResourceURLs": ["*"]}]),
        )
    } else {
        let rule = |r: &Rule| json!({"verbs": r.verbs, "apiGroups": [r.group], "resources": r.resources});
        (rules(rights).map(rule).collect(), json!([{"verbs": ["get"], "nonResourceURLs": PATHS}]))
    };
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words: verb, resource with group and subresource as `deployments.apps/scale`.
    fn may(rights: Option<Rights>, verb: &str, resource: &str) -> bool {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
        allow(rights, &Attempt { verb, group, resource, subresource, namespace: "a", name: "" })
    }

    #[test]
    fn rights_grow_from_view_over_edit_to_admin() {
        // For each: nobody, view, edit, admin.
        for (verb, resource, expect) in [
            ("create", "selfsubjectreviews.authentication.k8s.io", [true, true, true, true]),
            ("list", "pods", [false, true, true, true]),
            ("get", "pods/log", [false, true, true, true]),
            ("get", "secrets", [false, false, true, true]),
            ("create", "pods/exec", [false, false, true, true]),
            ("get", "pods/exec", [false, false, true, true]),
            ("patch", "deployments.apps/scale", [false, false, true, true]),
            ("create", "deployments.apps", [false, false, true, true]),
            ("create", "deployments", [false, false, false, true]),
            ("update", "pods/status", [false, false, false, true]),
            ("create", "pods/binding", [false, false, false, true]),
            ("list", "nodes", [false, false, false, true]),
            ("create", "namespaces", [false, false, false, true]),
            ("create", "clusterrolebindings.rbac.authorization.k8s.io", [false, false, false, true]),
            ("impersonate", "users", [false, false, false, true]),
            ("*", "*", [false, false, false, true]),
        ] {
            let all = [None, Some(Rights::View), Some(Rights::Edit), Some(Rights::Admin)];
            assert_eq!(all.map(|rights| may(rights, verb, resource)), expect, "{verb} {resource}");
        }
    }

    #[test]
    fn the_table_names_kinds_that_are_served() {
        for rule in rules(Some(Rights::Edit)) {
            for resource in rule.resources {
                let plural = resource.split('/').next().unwrap();
                let known = kube_schema::kinds().iter().any(|kind| kind.group == rule.group && kind.plural == plural);
                assert!(known, "{} {resource}", rule.group);
            }
        }
    }
}
