//! Controllers of pods.

use serde_json::{Value, json};

use super::pod::template;
use crate::json::{Object, child, child_or_new, each, fill, put, unset};

/// A Deployment.
pub(super) fn deployment(object: &mut Object) {
    let spec = child_or_new(object, "spec");
    put(spec, "replicas", 1);
    put(spec, "revisionHistoryLimit", 10);
    put(spec, "progressDeadlineSeconds", 600);
    let strategy = child_or_new(spec, "strategy");
    fill(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = child_or_new(strategy, "rollingUpdate");
        put(rolling, "maxUnavailable", "25%");
        put(rolling, "maxSurge", "25%");
    }
    template(spec);
}

/// A ReplicaSet.
pub(super) fn replica_set(object: &mut Object) {
    let spec = child_or_new(object, "spec");
    put(spec, "replicas", 1);
    template(spec);
}

/// A ReplicationController: selector and labels come from the template.
pub(super) fn replication_controller(object: &mut Object) {
    let spec = child_or_new(object, "spec");
    put(spec, "replicas", 1);
    template(spec);
    let labels = spec.get("template").and_then(|t| t.pointer("/metadata/labels")).cloned();
    if let Some(labels) = labels {
        put(spec, "selector", labels.clone());
        put(child_or_new(object, "metadata"), "labels", labels);
    }
}

/// A StatefulSet.
pub(super) fn stateful_set(object: &mut Object) {
    let spec = child_or_new(object, "spec");
    put(spec, "replicas", 1);
    put(spec, "revisionHistoryLimit", 10);
    fill(spec, "podManagementPolicy", "OrderedReady");
    let retention = child_or_new(spec, "persistentVolumeClaimRetentionPolicy");
    fill(retention, "whenDeleted", "Retain");
    fill(retention, "whenScaled", "Retain");
    let strategy = child_or_new(spec, "updateStrategy");
    fill(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        put(child_or_new(strategy, "rollingUpdate"), "partition", 0);
    }
    for claim in each(spec, "volumeClaimTemplates") {
        fill(claim, "apiVersion", "v1");
        fill(claim, "kind", "PersistentVolumeClaim");
        put(child_or_new(claim, "spec"), "volumeMode", "Filesystem");
        put(claim, "status", json!({"phase": "Pending"}));
    }
    template(spec);
}

/// A DaemonSet.
pub(super) fn daemon_set(object: &mut Object) {
    let spec = child_or_new(object, "spec");
    put(spec, "revisionHistoryLimit", 10);
    let strategy = child_or_new(spec, "updateStrategy");
    fill(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = child_or_new(strategy, "rollingUpdate");
        put(rolling, "maxUnavailable", 1);
        put(rolling, "maxSurge", 0);
    }
    template(spec);
}

/// A Job.
pub(super) fn job(object: &mut Object) {
    let spec = child_or_new(object, "spec");
    if spec.get("parallelism").is_none_or(Value::is_null) {
        put(spec, "completions", 1);
    }
    put(spec, "parallelism", 1);
    let per_index = spec.contains_key("backoffLimitPerIndex");
    put(spec, "backoffLimit", if per_index { i64::from(i32::MAX) } else { 6 });
    put(spec, "completionMode", "NonIndexed");
    put(spec, "suspend", false);
    put(spec, "manualSelector", false);
    let replacement = if spec.contains_key("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    put(spec, "podReplacementPolicy", replacement);
    if let Some(policy) = child(spec, "podFailurePolicy") {
        for rule in each(policy, "rules") {
            each(rule, "onPodConditions").for_each(|condition| fill(condition, "status", "True"));
        }
    }
    template(spec);
    let labels = spec.get("template").and_then(|t| t.pointer("/metadata/labels")).cloned();
    let metadata = child_or_new(object, "metadata");
    if let Some(labels) = labels.filter(|_| unset(metadata.get("labels"))) {
        metadata.insert("labels".to_owned(), labels);
    }
}

/// A CronJob.
pub(super) fn cron_job(object: &mut Object) {
    let spec = child_or_new(object, "spec");
    fill(spec, "concurrencyPolicy", "Allow");
    put(spec, "suspend", false);
    put(spec, "successfulJobsHistoryLimit", 3);
    put(spec, "failedJobsHistoryLimit", 1);
    child(spec, "jobTemplate").and_then(|job| child(job, "spec")).into_iter().for_each(template);
}
