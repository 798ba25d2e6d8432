//! Pods and the templates of pods.

use serde_json::{Value, json};

use crate::json::{Object, child, child_or_new, each, fill, put, unset};

/// Lists of containers in a pod's spec.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// A pod: its spec, then what only pods (not templates) get. Service account, priority and default tolerations are
/// for admission, which sees other objects.
pub(super) fn pod(pod: &mut Object) {
    let spec = child_or_new(pod, "spec");
    self::spec(spec);
    put(spec, "enableServiceLinks", true);
    for list in ["initContainers", "containers"] {
        each(spec, list).for_each(requests_from_limits);
    }
}

/// The pod template at `template` of a workload's spec.
pub(super) fn template(owner: &mut Object) {
    if let Some(spec) = child(owner, "template").and_then(|template| child(template, "spec")) {
        self::spec(spec);
    }
}

fn spec(spec: &mut Object) {
    fill(spec, "dnsPolicy", "ClusterFirst");
    fill(spec, "restartPolicy", "Always");
    fill(spec, "schedulerName", "default-scheduler");
    put(spec, "terminationGracePeriodSeconds", 30);
    put(spec, "securityContext", json!({}));
    // The two names of the service account are one field.
    if let Some(account) = spec.get("serviceAccountName").or_else(|| spec.get("serviceAccount")).cloned() {
        spec.insert("serviceAccountName".to_owned(), account.clone());
        spec.insert("serviceAccount".to_owned(), account);
    }
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in CONTAINERS {
        each(spec, list).for_each(|container| self::container(container, host_network));
    }
    each(spec, "volumes").for_each(volume);
}

fn container(container: &mut Object, host_network: bool) {
    if unset(container.get("imagePullPolicy")) {
        let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
        let policy = if is_latest(image) { "Always" } else { "IfNotPresent" };
        container.insert("imagePullPolicy".to_owned(), json!(policy));
    }
    fill(container, "terminationMessagePath", "/dev/termination-log");
    fill(container, "terminationMessagePolicy", "File");
    put(container, "resources", json!({}));
    for port in each(container, "ports") {
        fill(port, "protocol", "TCP");
        if host_network && let Some(number) = port.get("containerPort").cloned() {
            fill(port, "hostPort", number);
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        child(container, probe).into_iter().for_each(self::probe);
    }
    for hook in ["postStart", "preStop"] {
        let get = child(container, "lifecycle").and_then(|l| child(l, hook)).and_then(|h| child(h, "httpGet"));
        get.into_iter().for_each(http_get);
    }
    for env in each(container, "env") {
        let field = child(env, "valueFrom").and_then(|from| child(from, "fieldRef"));
        field.into_iter().for_each(|field| fill(field, "apiVersion", "v1"));
    }
}

/// Whether an image's tag is `latest`, written or implied; a digest alone is no tag.
fn is_latest(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => digest.is_none(),
    }
}

fn probe(probe: &mut Object) {
    fill(probe, "timeoutSeconds", 1);
    fill(probe, "periodSeconds", 10);
    fill(probe, "successThreshold", 1);
    fill(probe, "failureThreshold", 3);
    child(probe, "httpGet").into_iter().for_each(http_get);
    child(probe, "grpc").into_iter().for_each(|grpc| put(grpc, "service", ""));
}

fn http_get(get: &mut Object) {
    fill(get, "path", "/");
    fill(get, "scheme", "HTTP");
}

fn volume(volume: &mut Object) {
    if volume.len() == 1 && volume.contains_key("name") {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        child(volume, source).into_iter().for_each(|source| put(source, "defaultMode", 420));
    }
    child(volume, "downwardAPI").into_iter().for_each(field_references);
    for source in child(volume, "projected").into_iter().flat_map(|projected| each(projected, "sources")) {
        child(source, "downwardAPI").into_iter().for_each(field_references);
        child(source, "serviceAccountToken").into_iter().for_each(|token| put(token, "expirationSeconds", 3600));
    }
    child(volume, "hostPath").into_iter().for_each(|path| put(path, "type", ""));
    child(volume, "iscsi").into_iter().for_each(|iscsi| fill(iscsi, "iscsiInterface", "default"));
    let claim = child(volume, "ephemeral").and_then(|e| child(e, "volumeClaimTemplate")).and_then(|c| child(c, "spec"));
    claim.into_iter().for_each(|spec| put(spec, "volumeMode", "Filesystem"));
}

fn field_references(downward: &mut Object) {
    for item in each(downward, "items") {
        child(item, "fieldRef").into_iter().for_each(|field| fill(field, "apiVersion", "v1"));
    }
}

fn requests_from_limits(container: &mut Object) {
    let Some(resources) = child(container, "resources") else { return };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let requests = child_or_new(resources, "requests");
    for (name, limit) in limits {
        put(requests, &name, limit);
    }
}
