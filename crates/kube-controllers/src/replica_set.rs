//! ReplicaSets: as many live pods of a template as wanted.
//! Source of the rules: kubernetes/pkg/controller/replicaset.
//!
//! Upstream's "expectations" (do not act again before the cache has seen what was created) are not needed: controllers
//! read the committed state of the process that commits, so a run sees every write of the run before it.

pub(crate) mod drive;
mod rank;
#[cfg(test)]
mod tests;

use crate::action::{Action, Note, Plan, Propagation, Target, controller_of, merge_diff, reference};
use crate::{selector, view};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// Resource name.
pub const RESOURCE: &str = "replicasets.apps";
/// Resource name of what a ReplicaSet owns.
pub const PODS: &str = "pods";
/// The component in Events.
pub const SOURCE: &str = "replicaset-controller";
/// Most pods created or deleted in one step. Source: `BurstReplicas` in kubernetes/pkg/controller/replicaset.
const BURST: usize = 500;

/// Everything a ReplicaSet's step depends on.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The ReplicaSet.
    pub set: ReplicaSet,
    /// Its `spec.template` as stored, so that copying it loses nothing.
    pub template: Value,
    /// Pods of its namespace that it owns, or that fit its selector and have no controller.
    pub pods: Vec<Arc<Pod>>,
    /// Names of nodes with a pod of a sibling (a set of the same Deployment), once for each such pod: pods on crowded
    /// nodes go first.
    pub sibling_nodes: Vec<String>,
}

/// Which pods to adopt, release, create and delete now.
/// Invariant: no I/O and no clock; the pods may come in any order; a settled set yields nothing.
#[must_use]
pub fn diff(observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let spec = observed.set.spec.clone().unwrap_or_default();
    if selector::is_empty(&spec.selector) {
        return plan;
    }
    let claim = claim(&observed.set, &spec, &observed.pods);
    for (pod, owners) in claim.changes {
        let patch = json!({ "metadata": { "ownerReferences": owners } });
        plan.actions.push(Action::Patch { target: Target::of(PODS, &pod.metadata), patch });
    }
    let deleting = observed.set.metadata.deletion_timestamp.is_some();
    if !plan.actions.is_empty() || deleting {
        // What was adopted or released is counted after its commit, which wakes this set again.
        return plan;
    }
    let active: Vec<&Arc<Pod>> = claim.owned.into_iter().filter(|pod| view::is_active(pod)).collect();
    let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
    if active.len() < wanted {
        let missing = (wanted - active.len()).min(BURST);
        plan.actions.extend(std::iter::repeat_with(|| create(observed)).take(missing));
    } else if active.len() > wanted {
        let excess = (active.len() - wanted).min(BURST);
        let doomed = rank::first_to_go(active, &observed.sibling_nodes, excess, now);
        plan.actions.extend(doomed.into_iter().map(|pod| delete(&observed.set, pod)));
    }
    plan
}

struct Claim<'a> {
    owned: Vec<&'a Arc<Pod>>,
    changes: Vec<(&'a Pod, Vec<OwnerReference>)>,
}

/// Which pods belong to the set, and which owner lists must change for that.
fn claim<'a>(set: &ReplicaSet, spec: &ReplicaSetSpec, pods: &'a [Arc<Pod>]) -> Claim<'a> {
    let uid = view::uid(&set.metadata);
    let deleting = set.metadata.deletion_timestamp.is_some();
    let mut claim = Claim { owned: Vec::new(), changes: Vec::new() };
    let none = BTreeMap::new();
    for pod in pods {
        let fits = selector::fits(&spec.selector, pod.metadata.labels.as_ref().unwrap_or(&none));
        let mut owners = pod.metadata.owner_references.clone().unwrap_or_default();
        match view::controller_uid(&pod.metadata) {
            Some(owner) if owner == uid && fits => claim.owned.push(pod),
            Some(owner) if owner == uid && !deleting => {
                owners.retain(|owner| owner.uid != uid);
                claim.changes.push((pod, owners));
            }
            None if fits && !deleting && view::is_active(pod) => {
                owners.push(controller_of("apps/v1", "ReplicaSet", &set.metadata));
                claim.changes.push((pod, owners));
            }
            _ => {}
        }
    }
    claim
}

fn note(set: &ReplicaSet, kind: &'static str, reason: &'static str, message: String) -> Note {
    Note { about: reference("apps/v1", "ReplicaSet", &set.metadata), kind, reason, message, source: SOURCE }
}

fn create(observed: &Observed) -> Action {
    let set = &observed.set;
    let from = &observed.template["metadata"];
    let mut metadata = json!({
        "generateName": format!("{}-", view::name(&set.metadata)),
        "namespace": view::namespace(&set.metadata),
        "ownerReferences": [controller_of("apps/v1", "ReplicaSet", &set.metadata)],
    });
    for inherited in ["labels", "annotations", "finalizers"] {
        if let Some(value) = from.get(inherited).filter(|value| !value.is_null()) {
            metadata[inherited] = value.clone();
        }
    }
    let object = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": observed.template["spec"] });
    Action::Create {
        resource: PODS,
        namespace: view::namespace(&set.metadata).to_owned(),
        object,
        success: Some(note(set, "Normal", "SuccessfulCreate", "Created pod: {name}".into())),
        failure: Some(note(set, "Warning", "FailedCreate", "Error creating".into())),
    }
}

fn delete(set: &ReplicaSet, pod: &Pod) -> Action {
    let message = format!("Deleted pod: {}", view::name(&pod.metadata));
    Action::Delete {
        target: Target::of(PODS, &pod.metadata).at_any_revision(),
        grace: None,
        propagation: Propagation::Background,
        success: Some(note(set, "Normal", "SuccessfulDelete", message)),
    }
}

/// The status that follows from the pods as they are; `error` is why the last creation was refused.
#[must_use]
pub fn status(observed: &Observed, error: Option<&str>, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let set = &observed.set;
    let spec = set.spec.clone().unwrap_or_default();
    let old = set.status.clone().unwrap_or_default();
    let none = BTreeMap::new();
    let template_labels = spec.template.as_ref().and_then(|t| t.metadata.as_ref()?.labels.clone()).unwrap_or_default();
    let mut new = ReplicaSetStatus {
        observed_generation: set.metadata.generation,
        conditions: old.conditions.clone(),
        ..ReplicaSetStatus::default()
    };
    let (mut labeled, mut ready, mut available) = (0, 0, 0);
    let owned = claim(set, &spec, &observed.pods).owned;
    for pod in owned.into_iter().filter(|pod| view::is_active(pod)) {
        new.replicas += 1;
        labeled += i32::from(selector::has_all(&template_labels, pod.metadata.labels.as_ref().unwrap_or(&none)));
        ready += i32::from(view::is_ready(pod));
        match view::available(pod, spec.min_ready_seconds.unwrap_or(0), now) {
            Ok(()) => available += 1,
            Err(Some(soon)) => plan.wake_in(soon),
            Err(None) => {}
        }
    }
    let some = |number: i32| (number != 0).then_some(number);
    (new.fully_labeled_replicas, new.ready_replicas, new.available_replicas) =
        (some(labeled), some(ready), some(available));
    set_failure(&mut new, error, now);
    if let Some(status) = merge_diff(&json!(old), &json!(new)) {
        plan.patch(&Target::of(RESOURCE, &set.metadata), Some(json!({ "status": status })));
    }
    plan
}

/// Sets or removes the condition `ReplicaFailure`. While one stands, its first reason does.
fn set_failure(status: &mut ReplicaSetStatus, error: Option<&str>, now: Timestamp) {
    let conditions = status.conditions.get_or_insert_default();
    match error {
        None => conditions.retain(|condition| condition.type_ != "ReplicaFailure"),
        Some(_) if conditions.iter().any(|condition| condition.type_ == "ReplicaFailure") => {}
        Some(error) => conditions.push(ReplicaSetCondition {
            type_: "ReplicaFailure".into(),
            status: "True".into(),
            reason: Some("FailedCreate".into()),
            message: Some(error.to_owned()),
            last_transition_time: Some(view::time(now)),
        }),
    }
    if conditions.is_empty() {
        status.conditions = None;
    }
}
