//! Deployments: one ReplicaSet per revision of the template, and the steps from the old ones to the new one.
//! Source of the rules: kubernetes/pkg/controller/deployment.

pub(crate) mod drive;
mod model;
mod rollout;
mod status;
mod template;
#[cfg(test)]
mod tests;

pub use model::Observed;

use crate::action::{Action, Note, Plan, merge_diff, reference};
use crate::selector;
use jiff::Timestamp;
use model::Model;
use serde_json::json;

/// Resource name.
pub const RESOURCE: &str = "deployments.apps";
/// Resource name of what a Deployment owns.
pub const REPLICA_SETS: &str = "replicasets.apps";
/// The component in Events.
pub const SOURCE: &str = "deployment-controller";
/// Label that tells one template's pods from another's.
pub const HASH_LABEL: &str = "pod-template-hash";
/// Annotation with the number of the revision.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// One step of a Deployment: which ReplicaSets to create, scale and delete now, and the status that follows.
/// Invariant: no I/O and no clock; the sets may come in any order; a settled Deployment yields nothing.
#[must_use]
pub fn diff(observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if selector::is_empty(&observed.deployment.spec.as_ref().map(|s| s.selector.clone()).unwrap_or_default()) {
        return plan;
    }
    let mut model = Model::new(observed, &mut plan, now);
    if !plan.actions.is_empty() {
        // What was adopted or released is looked at after its commit, which wakes this Deployment again.
        return plan;
    }
    if !model.deleting {
        status::check_paused(&mut model);
        rollout::step(&mut model);
    } else {
        model.find_new_set();
        model.status = status::calculate(&model);
    }
    emit(model, &mut plan);
    plan
}

/// Turns what the model changed into actions.
fn emit(model: Model, plan: &mut Plan) {
    for set in &model.sets {
        if let Some(object) = &set.create {
            let mut object = object.clone();
            object["spec"]["replicas"] = json!(set.replicas);
            object["metadata"]["annotations"] = json!(set.annotations);
            plan.actions.push(Action::Create {
                resource: REPLICA_SETS,
                namespace: model.namespace.clone(),
                object,
                success: None,
                failure: Some(Note {
                    about: reference("apps/v1", "Deployment", model.meta),
                    kind: "Warning",
                    reason: "ReplicaSetCreateError",
                    message: format!("Failed to create new replica set {:?}", set.name),
                    source: SOURCE,
                }),
            });
        } else if set.delete {
            plan.actions.push(Action::Delete {
                target: set.target.clone(),
                grace: None,
                propagation: crate::action::Propagation::Background,
                success: None,
            });
        } else {
            plan.patch(&set.target, set.patch());
        }
    }
    for message in &model.scaled {
        plan.actions.push(Action::Record(Note {
            about: reference("apps/v1", "Deployment", model.meta),
            kind: "Normal",
            reason: "ScalingReplicaSet",
            message: message.clone(),
            source: SOURCE,
        }));
    }
    let mut patch = json!({});
    if let Some(revision) = &model.revision {
        patch["metadata"] = json!({ "annotations": { REVISION: revision } });
    }
    if let Some(status) = merge_diff(&json!(model.old_status), &json!(model.status)) {
        patch["status"] = status;
    }
    plan.patch(&model.target, patch.as_object().is_some_and(|fields| !fields.is_empty()).then_some(patch));
    if let Some(wake) = model.wake {
        plan.wake_in(wake);
    }
}
