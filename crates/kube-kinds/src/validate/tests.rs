use kube_schema::by_resource;
use serde_json::{Value, json};

use super::*;
use crate::set_defaults;

fn texts(causes: &[Cause]) -> Vec<String> {
    causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
}

fn complete(resource: &str, name: &str, mut object: Value) -> Value {
    let kind = by_resource(resource).unwrap();
    object["apiVersion"] = json!(kind.api_version());
    object["kind"] = json!(kind.kind);
    object["metadata"]["name"] = json!(name);
    if kind.namespaced {
        object["metadata"]["namespace"] = json!("default");
    }
    set_defaults(kind, &mut object);
    object
}

#[track_caller]
fn check(resource: &str, object: Value, expect: &[&str]) {
    let kind = by_resource(resource).unwrap();
    let object = complete(resource, "a", object);
    assert_eq!(texts(&validate_create(kind, &object)), expect);
}

/// Checks that each message begins as expected.
#[track_caller]
fn check_starts(found: &[Cause], expect: &[&str]) {
    let found = texts(found);
    assert!(found.len() == expect.len() && found.iter().zip(expect).all(|(f, e)| f.starts_with(e)), "{found:#?}");
}

fn pod_spec() -> Value {
    json!({"containers": [{"name": "c", "image": "i"}]})
}

fn deployment() -> Value {
    json!({"spec": {"selector": {"matchLabels": {"app": "w"}}, "template": {"metadata": {"labels": {"app": "w"}}, "spec": pod_spec()}}})
}

#[test]
fn sound_objects_pass() {
    check("pods", json!({"spec": pod_spec()}), &[]);
    check("deployments.apps", deployment(), &[]);
    check("services", json!({"spec": {"ports": [{"port": 80}]}}), &[]);
    check("configmaps", json!({"data": {"a.b": "c"}}), &[]);
    check(
        "jobs.batch",
        json!({"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}),
        &[],
    );
    check(
        "cronjobs.batch",
        json!({"spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": {"spec":
        {"restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "i"}]}}}}}}),
        &[],
    );
    check(
        "statefulsets.apps",
        json!({"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "data", "mountPath": "/d"}]}]}},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]}}),
        &[],
    );
    check(
        "ingresses.networking.k8s.io",
        json!({"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}}),
        &[],
    );
}

#[test]
fn names_follow_their_kinds_rule() {
    for (resource, name, good) in [
        ("pods", "a.b", true),
        ("pods", "A", false),
        ("pods", "a_b", false),
        ("pods", "-a", false),
        ("services", "a.b", false),
        ("services", "1a", false),
        ("services", "a1", true),
        ("namespaces", "a.b", false),
        ("namespaces", "1a", true),
        ("clusterroles.rbac.authorization.k8s.io", "system:x", true),
        ("clusterroles.rbac.authorization.k8s.io", "a/b", false),
    ] {
        let found = validate_name(by_resource(resource).unwrap(), name, false);
        assert_eq!(found.is_empty(), good, "{resource} {name}: {found:?}");
    }
    assert!(validate_name(by_resource("pods").unwrap(), "web-", true).is_empty());
    assert_eq!(
        validate_name(by_resource("services").unwrap(), &"a".repeat(64), false),
        ["must be no more than 63 characters"]
    );
}

#[test]
fn metadata_is_checked_for_every_kind() {
    let kind = by_resource("configmaps").unwrap();
    let object = json!({"metadata": {"labels": {"a b": "x", "ok": "bad value"}, "annotations": {"/x": ""}, "finalizers": ["plain"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}});
    check_starts(
        &validate_create(kind, &object),
        &[
            "metadata.name: Required value: name or generateName is required",
            "metadata.namespace: Required value",
            "metadata.labels: Invalid value: \"a b\": name part must consist",
            "metadata.labels: Invalid value: \"bad value\": a valid label must be",
            "metadata.annotations: Invalid value: \"/x\": prefix part must be non-empty",
            "metadata.ownerReferences[0].uid: Invalid value: \"\": must not be empty",
            "metadata.finalizers[0]: Invalid value: \"plain\": name is neither a standard",
        ],
    );
}

#[test]
fn containers_are_checked() {
    check("pods", json!({"spec": {}}), &["spec.containers: Required value"]);
    let container = json!({"name": "c", "ports": [{"containerPort": 70000, "name": "UP"}], "env": [{"name": "a=b"}],
        "volumeMounts": [{"name": "v", "mountPath": "/x"}, {"name": "nope", "mountPath": "/x"}],
        "resources": {"limits": {"cpu": "1", "gpu": "1"}, "requests": {"cpu": "2"}}, "livenessProbe": {"successThreshold": 2}});
    let object = complete(
        "pods",
        "p",
        json!({"spec": {"containers": [container, {"name": "c", "image": "i"}],
        "volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}], "restartPolicy": "Sometimes"}}),
    );
    check_starts(
        &validate_create(by_resource("pods").unwrap(), &object),
        &[
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
            "spec.containers[0].image: Required value",
            "spec.containers[0].ports[0].name: Invalid value: \"UP\": must contain only",
            "spec.containers[0].ports[0].name: Invalid value: \"UP\": must contain at least one letter",
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            "spec.containers[0].env[0].name: Invalid value: \"a=b\": a valid environment variable name",
            "spec.containers[0].volumeMounts[1].name: Not found: \"nope\"",
            "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/x\": must be unique",
            "spec.containers[0].resources.limits[gpu]: Invalid value: \"gpu\": must be a standard resource for containers",
            "spec.containers[0].resources.requests[gpu]",
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
            "spec.containers[1].name: Duplicate value: \"c\"",
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"Never\", \"OnFailure\"",
        ],
    );
}

#[test]
fn selectors_must_match_their_template() {
    let mut object = deployment();
    object["spec"]["selector"]["matchLabels"]["app"] = json!("x");
    object["spec"]["replicas"] = json!(-1);
    check(
        "deployments.apps",
        object,
        &[
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            "spec.template.metadata.labels: Invalid value: {\"app\":\"w\"}: `selector` does not match template `labels`",
        ],
    );
    let mut object = deployment();
    object["spec"].as_object_mut().unwrap().remove("selector");
    object["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
    check(
        "deployments.apps",
        object,
        &[
            "spec.selector: Required value",
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
        ],
    );
    check(
        "jobs.batch",
        json!({"spec": {"template": {"spec": pod_spec()}}}),
        &[
            "spec.template.spec.restartPolicy: Unsupported value: \"Always\": supported values: \"Never\", \"OnFailure\"",
        ],
    );
}

#[test]
fn other_kinds_have_their_rules() {
    check("services", json!({"spec": {}}), &["spec.ports: Required value"]);
    check(
        "services",
        json!({"spec": {"ports": [{"port": 80}, {"port": 0}]}}),
        &[
            "spec.ports[0].name: Required value",
            "spec.ports[1].name: Required value",
            "spec.ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[1].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
        ],
    );
    check("secrets", json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}), &["data[tls.key]: Required value"]);
    check(
        "persistentvolumeclaims",
        json!({"spec": {}}),
        &[
            "spec.accessModes: Required value: at least 1 access mode is required",
            "spec.resources[storage]: Required value",
        ],
    );
    check(
        "cronjobs.batch",
        json!({"spec": {"schedule": "often", "jobTemplate": {"spec": {"template": {"spec":
        {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}}),
        &["spec.schedule: Invalid value: \"often\": expected exactly 5 fields, found 1: [often]"],
    );
    let kind = by_resource("configmaps").unwrap();
    let object = complete("configmaps", "a", json!({"data": {"a b": "x", "big": "x".repeat(1024 * 1024)}}));
    check_starts(
        &validate_create(kind, &object),
        &["data[a b]: Invalid value: \"a b\": a valid config key", "[]: Too long: may not be more than 1048576 bytes"],
    );
}

#[track_caller]
fn change(resource: &str, object: Value, edit: impl FnOnce(&mut Value), expect: &[&str]) {
    let old = complete(resource, "a", object);
    let mut new = old.clone();
    edit(&mut new);
    check_starts(&validate_update(by_resource(resource).unwrap(), &new, &old), expect);
}

#[test]
fn immutable_fields_stay() {
    change("pods", json!({"spec": pod_spec()}), |new| new["spec"]["containers"][0]["image"] = json!("j"), &[]);
    change(
        "pods",
        json!({"spec": pod_spec()}),
        |new| new["spec"]["hostname"] = json!("h"),
        &["spec: Forbidden: pod updates may not change fields"],
    );
    change(
        "pods",
        json!({"spec": {"tolerations": [{"operator": "Exists"}], "containers": pod_spec()["containers"]}}),
        |new| new["spec"]["tolerations"] = json!([]),
        &["spec.tolerations: Forbidden"],
    );
    change(
        "deployments.apps",
        deployment(),
        |new| {
            new["spec"]["selector"]["matchLabels"]["b"] = json!("c");
            new["spec"]["template"]["metadata"]["labels"]["b"] = json!("c");
        },
        &["spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"w\",\"b\":\"c\"}}: field is immutable"],
    );
    change(
        "configmaps",
        json!({"immutable": true, "data": {"a": "b"}}),
        |new| new["data"]["a"] = json!("c"),
        &["data: Forbidden: field is immutable when `immutable` is set"],
    );
    change("secrets", json!({}), |new| new["type"] = json!("x"), &["type: Invalid value: \"x\": field is immutable"]);
    change(
        "services",
        json!({"spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80}]}}),
        |new| new["spec"]["clusterIP"] = json!("10.0.0.2"),
        &["spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set"],
    );
    change(
        "configmaps",
        json!({"metadata": {"uid": "u"}}),
        |new| new["metadata"]["uid"] = json!("v"),
        &["metadata.uid: Invalid value: \"v\": field is immutable"],
    );
}

#[test]
fn what_is_counted_in_pieces_needs_equal_requests_and_limits() {
    let asking =
        |resources: Value| json!({"spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}});
    let (gpu, two) = (json!({"x.com/gpu": "1"}), json!({"x.com/gpu": "2"}));
    check("pods", asking(json!({"requests": gpu, "limits": gpu})), &[]);
    let words = "Required value: Limit must be set for non overcommitable resources";
    check("pods", asking(json!({"requests": gpu})), &[&format!("spec.containers[0].resources.limits: {words}")]);
    let words = "Invalid value: \"1\": must be equal to x.com/gpu limit of 2";
    check(
        "pods",
        asking(json!({"requests": gpu, "limits": two})),
        &[&format!("spec.containers[0].resources.requests: {words}")],
    );
}

#[test]
fn the_subresources_of_a_pod_have_rules_of_their_own() {
    let kind = by_resource("pods").unwrap();
    let old = complete(
        "pods",
        "a",
        json!({"spec": {"containers": [{"name": "c", "image": "i"}],
        "ephemeralContainers": [{"name": "d", "image": "i"}]}}),
    );
    let found = |subresource: &str, change: fn(&mut Value)| {
        let mut new = old.clone();
        change(&mut new);
        texts(&validate_subresource(kind, subresource, &new, &old))
    };
    assert!(found("ephemeralcontainers", |_| ()).is_empty());
    let changed = found("ephemeralcontainers", |pod| pod["spec"]["ephemeralContainers"][0]["image"] = json!("j"));
    assert!(changed[0].contains("may not be changed"), "{changed:?}");
    let removed = found("ephemeralcontainers", |pod| pod["spec"]["ephemeralContainers"] = json!([]));
    assert!(removed[0].contains("may not be removed"), "{removed:?}");
    let other = found("resize", |pod| pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1"}}));
    assert!(other[0].contains("QOS Class may not change"), "{other:?}");
}
