//! Namespaces: what each one has from the start, and how one ends.
//! Source of the rules: kubernetes/pkg/controller/namespace, serviceaccount, certificates/rootcacertpublisher.

pub(crate) mod drive;
#[cfg(test)]
mod tests;

use crate::action::{Action, Plan, Propagation, Target, merge_diff};
use crate::view;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Resource name.
pub const RESOURCE: &str = "namespaces";
/// Resource name of service accounts.
pub const SERVICE_ACCOUNTS: &str = "serviceaccounts";
/// Resource name of ConfigMaps.
pub const CONFIG_MAPS: &str = "configmaps";
/// The service account of pods that name none.
pub const DEFAULT_ACCOUNT: &str = "default";
/// The ConfigMap from which pods learn whom to trust.
pub const ROOT_CA: &str = "kube-root-ca.crt";
/// The entry of `spec.finalizers` that stands for this controller.
const FINALIZER: &str = "kubernetes";
const ROOT_CA_NOTICE: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
     endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
     distributions of Kubernetes clusters.";

/// One object in a namespace that ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The object.
    pub target: Target,
    /// Its deletion has begun.
    pub deleting: bool,
    /// Whom its deletion waits for.
    pub finalizers: Vec<String>,
}

/// Everything that a namespace's step depends on.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The namespace.
    pub namespace: Namespace,
    /// Whether the service account `default` exists.
    pub has_account: bool,
    /// Data and owner of `kube-root-ca.crt`, if it exists.
    pub root_ca: Option<(Target, Value)>,
    /// PEM of the CA that pods trust.
    pub ca_pem: String,
    /// Everything in it; only looked at when it ends.
    pub contents: Vec<Content>,
}

/// What to add to a living namespace; what to delete in an ending one, and its own end once it is empty.
/// Invariant: no I/O and no clock; the contents may come in any order; a settled namespace yields nothing.
#[must_use]
pub fn diff(observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if observed.namespace.metadata.deletion_timestamp.is_none() {
        furnish(observed, &mut plan);
        return plan;
    }
    let target = Target::of(RESOURCE, &observed.namespace.metadata);
    let status = ending_status(observed, now);
    let mut patch = merge_diff(&json!({ "status": observed.namespace.status }), &json!({ "status": status }));
    if observed.contents.is_empty() {
        let finalizers = observed.namespace.spec.as_ref().and_then(|spec| spec.finalizers.clone()).unwrap_or_default();
        let left: Vec<&String> = finalizers.iter().filter(|finalizer| *finalizer != FINALIZER).collect();
        if left.len() < finalizers.len() {
            // The object itself goes with its last finalizer; those of others are theirs to remove.
            let left = if left.is_empty() { Value::Null } else { json!(left) };
            patch.get_or_insert_with(|| json!({}))["spec"] = json!({ "finalizers": left });
        } else if left.is_empty() && observed.namespace.metadata.finalizers.as_ref().is_none_or(Vec::is_empty) {
            plan.actions.push(delete(target));
            return plan;
        }
        plan.patch(&target, patch);
        return plan;
    }
    plan.patch(&target, patch);
    let mut doomed: Vec<&Content> = observed.contents.iter().filter(|content| !content.deleting).collect();
    doomed.sort_by(|a, b| (&a.target.resource, &a.target.name).cmp(&(&b.target.resource, &b.target.name)));
    plan.actions.extend(doomed.into_iter().map(|content| delete(content.target.clone().at_any_revision())));
    plan
}

fn delete(target: Target) -> Action {
    Action::Delete { target, grace: None, propagation: Propagation::Background, success: None }
}

fn furnish(observed: &Observed, plan: &mut Plan) {
    let namespace = view::name(&observed.namespace.metadata);
    let create = |resource, object| Action::Create {
        resource,
        namespace: namespace.to_owned(),
        object,
        success: None,
        failure: None,
    };
    if !observed.has_account {
        let metadata = json!({ "name": DEFAULT_ACCOUNT, "namespace": namespace });
        let object = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata });
        plan.actions.push(create(SERVICE_ACCOUNTS, object));
    }
    let data = json!({ "ca.crt": observed.ca_pem });
    match &observed.root_ca {
        None => {
            let notice = json!({ "kubernetes.io/description": ROOT_CA_NOTICE });
            let metadata = json!({ "name": ROOT_CA, "namespace": namespace, "annotations": notice });
            let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data });
            plan.actions.push(create(CONFIG_MAPS, object));
        }
        Some((target, old)) => plan.patch(target, merge_diff(&json!({ "data": old }), &json!({ "data": data }))),
    }
}

/// The conditions that tell the user what the end waits for.
fn ending_status(observed: &Observed, now: Timestamp) -> k8s_openapi::api::core::v1::NamespaceStatus {
    let mut status = observed.namespace.status.clone().unwrap_or_default();
    status.phase = Some("Terminating".into());
    let mut by_resource: BTreeMap<&str, usize> = BTreeMap::new();
    let mut by_finalizer: BTreeMap<&str, usize> = BTreeMap::new();
    for content in &observed.contents {
        *by_resource.entry(&content.target.resource).or_default() += 1;
        for finalizer in &content.finalizers {
            *by_finalizer.entry(finalizer).or_default() += 1;
        }
    }
    let list = |of: &BTreeMap<&str, usize>, word: &str| {
        of.iter()
            .map(|(name, count)| format!("{name} {word} {count} resource instances"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let resources: BTreeMap<String, usize> = by_resource
        .iter()
        .map(|(name, count)| (if name.contains('.') { (*name).to_owned() } else { format!("{name}.") }, *count))
        .collect();
    let resources = resources.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    let remaining = if observed.contents.is_empty() {
        ("False", "ContentRemoved", "All content successfully removed".to_owned())
    } else {
        ("True", "SomeResourcesRemain", format!("Some resources are remaining: {}", list(&resources, "has")))
    };
    let finalizers = if by_finalizer.is_empty() {
        ("False", "ContentHasNoFinalizers", "All content-preserving finalizers finished".to_owned())
    } else {
        let text = list(&by_finalizer, "in");
        ("True", "SomeFinalizersRemain", format!("Some content in the namespace has finalizers remaining: {text}"))
    };
    let conditions = [
        (
            "NamespaceDeletionDiscoveryFailure",
            "False",
            "ResourcesDiscovered",
            "All resources successfully discovered".to_owned(),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed".to_owned(),
        ),
        (
            "NamespaceDeletionContentFailure",
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization".to_owned(),
        ),
        ("NamespaceContentRemaining", remaining.0, remaining.1, remaining.2),
        ("NamespaceFinalizersRemaining", finalizers.0, finalizers.1, finalizers.2),
    ];
    for (kind, value, reason, message) in conditions {
        set(&mut status.conditions, kind, value, reason, message, now);
    }
    status
}

fn set(
    all: &mut Option<Vec<NamespaceCondition>>,
    kind: &str,
    value: &str,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    let all = all.get_or_insert_default();
    let new = NamespaceCondition {
        type_: kind.into(),
        status: value.into(),
        reason: Some(reason.into()),
        message: Some(message),
        last_transition_time: Some(view::time(now)),
    };
    match all.iter_mut().find(|condition| condition.type_ == kind) {
        Some(old) if old.status == new.status => (old.reason, old.message) = (new.reason, new.message),
        Some(old) => *old = new,
        None => all.push(new),
    }
}
