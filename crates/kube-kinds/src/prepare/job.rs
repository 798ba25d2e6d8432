//! A Job's selector, made from its uid.

use serde_json::{Value, json};

use crate::json::{Object, child_or_new, put, unset};

/// Labels the template with the job's uid and name and selects by the uid, unless the client selects by hand.
pub(super) fn generate_selector(job: &mut Object) {
    let metadata = child_or_new(job, "metadata");
    let (uid, name) = (metadata.get("uid").cloned(), metadata.get("name").cloned());
    let (Some(uid), Some(name)) = (uid.filter(|uid| !unset(Some(uid))), name) else { return };
    let spec = child_or_new(job, "spec");
    if spec.get("manualSelector") == Some(&Value::Bool(true)) {
        return;
    }
    let template = child_or_new(child_or_new(spec, "template"), "metadata");
    let labels = child_or_new(template, "labels");
    for (key, value) in [
        ("controller-uid", &uid),
        ("batch.kubernetes.io/controller-uid", &uid),
        ("job-name", &name),
        ("batch.kubernetes.io/job-name", &name),
    ] {
        labels.insert(key.to_owned(), value.clone());
    }
    let selector = child_or_new(spec, "selector");
    put(child_or_new(selector, "matchLabels"), "batch.kubernetes.io/controller-uid", json!(uid));
}
