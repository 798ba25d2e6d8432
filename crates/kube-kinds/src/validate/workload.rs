//! Controllers of pods.

use serde_json::{Value, json};

use super::{Causes, meta, pod::validate_template, storage};
use crate::json::{list, number, text};

/// Selector and template of a controller called `word`; its pods always restart.
fn pods(object: &Value, word: &str, causes: &mut Causes) {
    let selector = &object["spec"]["selector"];
    let template = &object["spec"]["template"];
    let empty = |key: &str| {
        selector.get(key).is_none_or(|v| v.as_object().is_none_or(|m| m.is_empty()) && list(v, "").is_empty())
    };
    if selector.is_null() {
        causes.required("spec.selector", "");
    } else {
        if empty("matchLabels") && empty("matchExpressions") {
            causes.invalid("spec.selector", &json!({}), &format!("empty selector is invalid for {word}"));
        }
        meta::selector(selector, "spec.selector", causes);
        let labels = &template["metadata"]["labels"];
        if !meta::selector_matches(selector, labels) {
            let words = "`selector` does not match template `labels`";
            causes.invalid("spec.template.metadata.labels", labels, words);
        }
    }
    restarting_template(template, causes);
}

fn restarting_template(template: &Value, causes: &mut Causes) {
    validate_template(template, "spec.template", causes);
    let policy = &template["spec"]["restartPolicy"];
    if policy.is_string() {
        causes.supported("spec.template.spec.restartPolicy", policy, &["Always"]);
    }
    if template["spec"].get("activeDeadlineSeconds").is_some() {
        let words = "activeDeadlineSeconds in ReplicaSet is not Supported";
        causes.forbidden("spec.template.spec.activeDeadlineSeconds", words);
    }
}

fn counts(object: &Value, keys: &[&str], causes: &mut Causes) {
    for key in keys {
        causes.not_negative(object, &format!("/spec/{key}"), &format!("spec.{key}"));
    }
}

/// A Deployment.
pub(super) fn deployment(object: &Value, causes: &mut Causes) {
    counts(object, &["replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"], causes);
    pods(object, "deployment", causes);
    let strategy = &object["spec"]["strategy"];
    causes.supported("spec.strategy.type", &strategy["type"], &["Recreate", "RollingUpdate"]);
    match text(strategy, "/type") {
        "Recreate" if strategy.get("rollingUpdate").is_some() => {
            let words = "may not be specified when strategy `type` is 'Recreate'";
            causes.forbidden("spec.strategy.rollingUpdate", words);
        }
        "RollingUpdate" => rolling(&strategy["rollingUpdate"], "spec.strategy.rollingUpdate", causes),
        _ => {}
    }
    let spec = &object["spec"];
    if spec.get("progressDeadlineSeconds").is_some()
        && number(spec, "/progressDeadlineSeconds") <= number(spec, "/minReadySeconds")
    {
        causes.invalid(
            "spec.progressDeadlineSeconds",
            &spec["progressDeadlineSeconds"],
            "must be greater than minReadySeconds",
        );
    }
}

fn rolling(rolling: &Value, field: &str, causes: &mut Causes) {
    let mut zero = true;
    for key in ["maxUnavailable", "maxSurge"] {
        let value = &rolling[key];
        zero &= matches!(value.as_i64(), Some(0)) || value.as_str() == Some("0%");
        amount(value, &format!("{field}.{key}"), causes);
    }
    if zero {
        causes.invalid(
            format!("{field}.maxUnavailable"),
            &rolling["maxUnavailable"],
            "may not be 0 when `maxSurge` is 0",
        );
    }
}

/// A number or percentage that is not negative.
pub(super) fn amount(value: &Value, field: &str, causes: &mut Causes) {
    match value {
        Value::Number(number) if number.as_i64().is_some_and(|n| n < 0) => {
            causes.invalid(field, value, "must be greater than or equal to 0");
        }
        Value::String(text) if text.strip_suffix('%').is_none_or(|n| n.parse::<u32>().is_err()) => {
            let words = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
            causes.invalid(field, value, words);
        }
        _ => {}
    }
}

/// A ReplicaSet.
pub(super) fn replica_set(object: &Value, causes: &mut Causes) {
    counts(object, &["replicas", "minReadySeconds"], causes);
    pods(object, "deployment", causes);
}

/// A ReplicationController.
pub(super) fn replication_controller(object: &Value, causes: &mut Causes) {
    counts(object, &["replicas", "minReadySeconds"], causes);
    let (selector, template) = (&object["spec"]["selector"], &object["spec"]["template"]);
    if selector.as_object().is_none_or(|map| map.is_empty()) {
        causes.required("spec.selector", "");
    }
    if template.is_null() {
        causes.required("spec.template", "");
        return;
    }
    let labels = &template["metadata"]["labels"];
    if !meta::selector_matches(&json!({"matchLabels": selector}), labels) {
        causes.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`");
    }
    restarting_template(template, causes);
}

/// A StatefulSet.
pub(super) fn stateful_set(object: &Value, causes: &mut Causes) {
    counts(object, &["replicas", "minReadySeconds", "revisionHistoryLimit"], causes);
    let spec = &object["spec"];
    causes.supported("spec.podManagementPolicy", &spec["podManagementPolicy"], &["OrderedReady", "Parallel"]);
    causes.supported("spec.updateStrategy", &spec["updateStrategy"]["type"], &["RollingUpdate", "OnDelete"]);
    for (index, claim) in list(spec, "/volumeClaimTemplates").iter().enumerate() {
        storage::claim(&claim["spec"], &format!("spec.volumeClaimTemplates[{index}].spec"), causes);
    }
    // Volumes made from claim templates can be mounted though no volume is written in the template.
    let mut with_claims = object.clone();
    let claims = list(spec, "/volumeClaimTemplates").iter().map(|claim| {
        let name = text(claim, "/metadata/name");
        json!({"name": name, "persistentVolumeClaim": {"claimName": name}})
    });
    let claims: Vec<Value> = claims.collect();
    let volumes = with_claims.pointer_mut("/spec/template/spec").and_then(Value::as_object_mut);
    if let Some(template) = volumes.filter(|_| !claims.is_empty()) {
        let slot = template.entry("volumes").or_insert_with(|| json!([]));
        if let Value::Array(volumes) = slot {
            volumes.retain(|volume| !claims.iter().any(|claim| claim["name"] == volume["name"]));
            volumes.extend(claims);
        }
    }
    pods(&with_claims, "statefulset", causes);
}

/// A DaemonSet.
pub(super) fn daemon_set(object: &Value, causes: &mut Causes) {
    counts(object, &["minReadySeconds", "revisionHistoryLimit"], causes);
    pods(object, "daemonset", causes);
    let strategy = &object["spec"]["updateStrategy"];
    causes.supported("spec.updateStrategy.type", &strategy["type"], &["RollingUpdate", "OnDelete"]);
    if text(strategy, "/type") == "RollingUpdate" {
        rolling(&strategy["rollingUpdate"], "spec.updateStrategy.rollingUpdate", causes);
    }
}

/// A Job's spec at `field`; also of a CronJob's template.
pub(super) fn job(spec: &Value, field: &str, causes: &mut Causes) {
    for key in ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"] {
        causes.not_negative(spec, &format!("/{key}"), &format!("{field}.{key}"));
    }
    let template = &spec["template"];
    validate_template(template, &format!("{field}.template"), causes);
    let at = format!("{field}.template.spec.restartPolicy");
    match text(template, "/spec/restartPolicy") {
        "OnFailure" | "Never" => {}
        "" => causes.required(at, "valid values: \"OnFailure\", \"Never\""),
        other => causes.supported(at, &json!(other), &["OnFailure", "Never"]),
    }
    if let Some(mode) = spec.get("completionMode") {
        causes.supported(format!("{field}.completionMode"), mode, &["NonIndexed", "Indexed"]);
        if mode == "Indexed" && spec.get("completions").is_none() {
            causes.required(format!("{field}.completions"), "when completion mode is Indexed");
        }
    }
    if let (Some(selector), "spec") = (spec.get("selector"), field)
        && !meta::selector_matches(selector, &template["metadata"]["labels"])
    {
        let labels = &template["metadata"]["labels"];
        causes.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`");
    }
}

/// A CronJob.
pub(super) fn cron_job(object: &Value, causes: &mut Causes) {
    let spec = &object["spec"];
    let schedule = text(spec, "/schedule");
    let fields = schedule.split_whitespace().count();
    if schedule.is_empty() {
        causes.required("spec.schedule", "");
    } else if schedule.contains("TZ=") {
        causes.invalid(
            "spec.schedule",
            &json!(schedule),
            "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        );
    } else if !schedule.starts_with('@') && fields != 5 {
        let parts: Vec<&str> = schedule.split_whitespace().collect();
        let words = format!("expected exactly 5 fields, found {fields}: [{}]", parts.join(" "));
        causes.invalid("spec.schedule", &json!(schedule), &words);
    }
    causes.supported("spec.concurrencyPolicy", &spec["concurrencyPolicy"], &["Allow", "Forbid", "Replace"]);
    counts(object, &["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"], causes);
    job(&spec["jobTemplate"]["spec"], "spec.jobTemplate.spec", causes);
}
