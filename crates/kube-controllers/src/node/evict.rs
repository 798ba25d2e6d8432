//! Which pods leave a tainted node, and when.

use super::{Patience, SOURCE, taint::is_loss};
use crate::action::{Action, Note, Plan, Propagation, Target, reference};
use crate::{pod_gc, view};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, Taint, Toleration};
use serde_json::{Value, json};

/// Decides on one pod; `conditions` are those to write anyway.
pub(super) fn look_at(
    pod: &Pod,
    conditions: Option<Vec<Value>>,
    taints: &[Taint],
    patience: &Patience,
    now: Timestamp,
    plan: &mut Plan,
) {
    if view::is_terminal(pod) || pod.metadata.deletion_timestamp.is_some() {
        return;
    }
    let due = taints
        .iter()
        .filter(|taint| taint.effect == "NoExecute")
        .filter_map(|taint| leaves_at(pod, taint, patience))
        .min();
    let target = Target::of("pods", &pod.metadata);
    let leaves = due.is_some_and(|due| due <= now);
    if let Some(due) = due.filter(|_| !leaves) {
        plan.wake_in(view::until(due, now));
    }
    let conditions = if leaves {
        let message = "Taint manager: deleting due to NoExecute taint";
        Some(pod_gc::with_disruption(pod, "DeletionByTaintManager", message, now))
    } else {
        conditions
    };
    plan.patch(&target, conditions.map(|conditions| json!({ "status": { "conditions": conditions } })));
    if leaves {
        let name = format!("{}/{}", view::namespace(&pod.metadata), view::name(&pod.metadata));
        plan.actions.push(Action::Delete {
            target: target.at_any_revision(),
            grace: None,
            propagation: Propagation::Background,
            success: Some(Note {
                about: reference("v1", "Pod", &pod.metadata),
                kind: "Normal",
                reason: "TaintManagerEviction",
                message: format!("Marking for deletion Pod {name}"),
                source: SOURCE,
            }),
        });
    }
}

/// When the pod leaves because of this taint; `None` for never.
fn leaves_at(pod: &Pod, taint: &Taint, patience: &Patience) -> Option<Timestamp> {
    let tolerations = pod.spec.iter().flat_map(|spec| spec.tolerations.iter().flatten());
    let matching: Vec<&Toleration> = tolerations.filter(|toleration| view::tolerates(toleration, taint)).collect();
    let stays = if matching.is_empty() {
        if is_loss(taint) { SignedDuration::try_from(patience.toleration).ok()? } else { SignedDuration::ZERO }
    } else {
        let seconds = matching.iter().filter_map(|toleration| toleration.toleration_seconds).min()?;
        SignedDuration::from_secs(seconds.max(0))
    };
    taint.time_added.as_ref()?.0.checked_add(stays).ok()
}
