//! The status of a Deployment and its two conditions.

use super::model::Model;
use crate::view;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentStatus};

const PROGRESSING: &str = "Progressing";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";

fn condition(now: Timestamp, kind: &str, status: &str, reason: &str, message: String) -> DeploymentCondition {
    DeploymentCondition {
        type_: kind.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message),
        last_update_time: Some(view::time(now)),
        last_transition_time: Some(view::time(now)),
    }
}

fn find<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

fn has_reason(condition: Option<&DeploymentCondition>, reason: &str) -> bool {
    condition.is_some_and(|condition| condition.reason.as_deref() == Some(reason))
}

fn remove(status: &mut DeploymentStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != kind);
    }
}

/// Sets a condition, unless one of the same status and reason is there; keeps the time of the last transition.
fn set(status: &mut DeploymentStatus, mut new: DeploymentCondition) {
    if let Some(old) = find(status, &new.type_) {
        if old.status == new.status && old.reason == new.reason {
            return;
        }
        if old.status == new.status {
            new.last_transition_time.clone_from(&old.last_transition_time);
        }
    }
    remove(status, &new.type_);
    status.conditions.get_or_insert_default().push(new);
}

/// Seconds within which progress must be seen; `None` for no limit.
fn deadline(model: &Model) -> Option<i64> {
    match model.spec.progress_deadline_seconds {
        Some(i32::MAX) => None,
        Some(seconds) => Some(i64::from(seconds)),
        None => Some(600),
    }
}

/// Stops the clock of the progress deadline while the Deployment is paused.
pub(super) fn check_paused(model: &mut Model) {
    if deadline(model).is_none() {
        return;
    }
    let current = find(&model.status, PROGRESSING);
    let marked = has_reason(current, "DeploymentPaused");
    let paused = model.spec.paused == Some(true);
    if has_reason(current, TIMED_OUT) || marked == paused {
        return;
    }
    let (reason, text) = if paused { ("DeploymentPaused", "paused") } else { ("DeploymentResumed", "resumed") };
    let new = condition(model.now, PROGRESSING, "Unknown", reason, format!("Deployment is {text}"));
    set(&mut model.status, new);
}

/// Notes that the set of the current template exists, or is being created.
pub(super) fn found_new_set(model: &mut Model) {
    let Some(set_found) = model.new_set() else { return };
    if deadline(model).is_none() {
        return;
    }
    let new = if set_found.create.is_some() {
        let message = format!("Created new replica set {:?}", set_found.name);
        condition(model.now, PROGRESSING, "True", "NewReplicaSetCreated", message)
    } else if find(&model.status, PROGRESSING).is_none() {
        let message = format!("Found new replica set {:?}", set_found.name);
        condition(model.now, PROGRESSING, "True", "FoundNewReplicaSet", message)
    } else {
        return;
    };
    set(&mut model.status, new);
}

/// Counts and the condition `Available`, from the sets as they are.
pub(super) fn calculate(model: &Model) -> DeploymentStatus {
    let sum = |count: fn(&super::model::Set) -> i32| model.sets.iter().map(count).sum::<i32>();
    let some = |number: i32| (number != 0).then_some(number);
    let available = model.total_available();
    let mut status = DeploymentStatus {
        observed_generation: model.meta.generation,
        replicas: some(sum(|set| set.status_replicas)),
        updated_replicas: some(model.new_set().map_or(0, |set| set.status_replicas)),
        ready_replicas: some(sum(|set| set.ready)),
        available_replicas: some(available),
        unavailable_replicas: some((model.total() - available).max(0)),
        ..model.status.clone()
    };
    let new = if available >= model.replicas - model.max_unavailable() {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    set(&mut status, condition(model.now, "Available", new.0, new.1, new.2.into()));
    status
}

/// Whether nothing but current, available pods are left.
pub(super) fn is_complete(model: &Model, status: &DeploymentStatus) -> bool {
    [status.updated_replicas, status.replicas, status.available_replicas]
        .iter()
        .all(|count| count.unwrap_or(0) == model.replicas)
        && status.observed_generation >= model.meta.generation
}

/// Whether the counts came closer to what is wanted than they were.
fn is_progress(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let count = |number: Option<i32>| number.unwrap_or(0);
    let outdated = |status: &DeploymentStatus| count(status.replicas) - count(status.updated_replicas);
    count(new.updated_replicas) > count(old.updated_replicas)
        || outdated(new) < outdated(old)
        || count(new.ready_replicas) > count(old.ready_replicas)
        || count(new.available_replicas) > count(old.available_replicas)
}

/// When the deadline for progress passes; `None` if it does not run.
fn due(model: &Model) -> Option<Timestamp> {
    let current = find(&model.status, PROGRESSING)?;
    if has_reason(Some(current), NEW_SET_AVAILABLE) || has_reason(Some(current), TIMED_OUT) {
        return None;
    }
    let from = current.last_update_time.as_ref()?.0;
    from.checked_add(SignedDuration::from_secs(deadline(model)?)).ok()
}

/// The status after a rollout's step, with the condition `Progressing`, and the wake for its deadline.
pub(super) fn after_rollout(model: &mut Model) {
    let mut status = calculate(model);
    let subject = match model.new_set() {
        Some(set) => format!("ReplicaSet {:?}", set.name),
        None => format!("Deployment {:?}", view::name(model.meta)),
    };
    if deadline(model).is_none() {
        remove(&mut status, PROGRESSING);
    } else {
        let settled = status.replicas == status.updated_replicas
            && has_reason(find(&model.status, PROGRESSING), NEW_SET_AVAILABLE);
        if !settled {
            judge_progress(model, &mut status, &subject);
        }
    }
    let failure = model.new_set().and_then(|set| set.failure.clone());
    let failure = failure.or_else(|| model.sets.iter().find_map(|set| set.failure.clone()));
    match failure {
        Some(failure) => {
            let (reason, message) = (failure.reason.unwrap_or_default(), failure.message.unwrap_or_default());
            set(&mut status, condition(model.now, "ReplicaFailure", "True", &reason, message));
        }
        None => remove(&mut status, "ReplicaFailure"),
    }
    model.status = status;
    if let Some(due) = due(model).filter(|_| !is_complete(model, &model.status)) {
        // A second more, so that the deadline has passed for sure when we look.
        model.wake = Some(view::until(due, model.now) + std::time::Duration::from_secs(1));
    }
}

fn judge_progress(model: &Model, status: &mut DeploymentStatus, subject: &str) {
    let now = model.now;
    if is_complete(model, status) {
        let message = format!("{subject} has successfully progressed.");
        set(status, condition(now, PROGRESSING, "True", NEW_SET_AVAILABLE, message));
    } else if is_progress(&model.old_status, status) {
        let mut new = condition(now, PROGRESSING, "True", "ReplicaSetUpdated", format!("{subject} is progressing."));
        if let Some(current) = find(status, PROGRESSING).filter(|current| current.status == "True") {
            new.last_transition_time.clone_from(&current.last_transition_time);
        }
        // Removed first: each bit of progress winds the deadline up again.
        remove(status, PROGRESSING);
        set(status, new);
    } else if due(model).is_some_and(|due| due < now) {
        let message = format!("{subject} has timed out progressing.");
        set(status, condition(now, PROGRESSING, "False", TIMED_OUT, message));
    }
}
