use serde_json::{Value, json};

use super::*;
use crate::by_kind;

fn apply(kind: &str, original: &Value, patch: &Value) -> Result<Value, PatchError> {
    let group = if kind == "Deployment" { "apps" } else { "" };
    strategic_merge(by_kind(group, "v1", kind).unwrap(), original, patch)
}

#[track_caller]
fn check(original: Value, patch: Value, expect: Value) {
    let wrap = |spec: Value| json!({ "spec": spec });
    assert_eq!(apply("Pod", &wrap(original), &wrap(patch)), Ok(wrap(expect)));
}

#[test]
fn objects_merge_and_null_removes() {
    check(
        json!({"nodeName": "a", "hostname": "h"}),
        json!({"nodeName": "b"}),
        json!({"nodeName": "b", "hostname": "h"}),
    );
    check(json!({"nodeName": "a", "hostname": "h"}), json!({"hostname": null}), json!({"nodeName": "a"}));
    check(
        json!({}),
        json!({"securityContext": {"runAsUser": 1, "fsGroup": null}}),
        json!({"securityContext": {"runAsUser": 1}}),
    );
    check(
        json!({"nodeSelector": {"a": "1", "b": "2"}}),
        json!({"nodeSelector": {"a": null, "c": "3"}}),
        json!({"nodeSelector": {"b": "2", "c": "3"}}),
    );
}

#[test]
fn list_elements_merge_by_key() {
    check(
        json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}),
        json!({"containers": [{"name": "b", "image": "2"}, {"name": "c", "image": "3"}]}),
        json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c", "image": "3"}]}),
    );
    check(
        json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "name": "x"}]}]}),
        json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 81}]}]}),
        json!({"containers": [{"name": "a", "ports": [
            {"containerPort": 80, "name": "x", "protocol": "TCP"}, {"containerPort": 81}]}]}),
    );
}

#[test]
fn elements_are_deleted_by_key() {
    check(
        json!({"containers": [{"name": "a"}, {"name": "b"}]}),
        json!({"containers": [{"name": "a", "$patch": "delete"}, {"name": "zz", "$patch": "delete"}]}),
        json!({"containers": [{"name": "b"}]}),
    );
}

#[test]
fn replace_takes_the_patch_alone() {
    check(
        json!({"containers": [{"name": "a"}, {"name": "b"}]}),
        json!({"containers": [{"name": "c"}, {"$patch": "replace"}]}),
        json!({"containers": [{"name": "c"}]}),
    );
    check(
        json!({"securityContext": {"runAsUser": 1, "fsGroup": 2}}),
        json!({"securityContext": {"$patch": "replace", "fsGroup": 3}}),
        json!({"securityContext": {"fsGroup": 3}}),
    );
    check(
        json!({"securityContext": {"fsGroup": 2}}),
        json!({"securityContext": {"$patch": "delete"}}),
        json!({"securityContext": {}}),
    );
}

#[test]
fn atomic_lists_are_replaced() {
    check(
        json!({"tolerations": [{"key": "a"}, {"key": "b"}]}),
        json!({"tolerations": [{"key": "c"}]}),
        json!({"tolerations": [{"key": "c"}]}),
    );
    check(
        json!({"containers": [{"name": "a", "args": ["1", "2"]}]}),
        json!({"containers": [{"name": "a", "args": ["3"]}]}),
        json!({"containers": [{"name": "a", "args": ["3"]}]}),
    );
}

#[test]
fn lists_of_texts_merge_as_sets() {
    let original = json!({"metadata": {"finalizers": ["a", "b"]}});
    let cases = [
        (json!({"finalizers": ["c", "a"]}), json!(["a", "b", "c"])),
        (json!({"$deleteFromPrimitiveList/finalizers": ["a"]}), json!(["b"])),
        (json!({"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["d"]}), json!(["b", "d"])),
        (json!({"$setElementOrder/finalizers": ["c", "b", "a"], "finalizers": ["c"]}), json!(["c", "b", "a"])),
        (
            json!({"$deleteFromPrimitiveList/finalizers": ["a"], "$setElementOrder/finalizers": ["z", "b"], "finalizers": ["z"]}),
            json!(["z", "b"]),
        ),
    ];
    for (patch, expect) in cases {
        let result = apply("Pod", &original, &json!({"metadata": patch.clone()})).unwrap();
        assert_eq!(result["metadata"], json!({"finalizers": expect}), "{patch}");
    }
}

#[test]
fn element_order_is_the_clients_and_strangers_keep_their_place() {
    check(
        json!({"containers": [{"name": "a"}, {"name": "sidecar"}, {"name": "b"}]}),
        json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}, {"name": "c"}],
               "containers": [{"name": "a", "image": "2"}, {"name": "c"}]}),
        json!({"containers": [{"name": "sidecar"}, {"name": "b"}, {"name": "a", "image": "2"}, {"name": "c"}]}),
    );
    check(
        json!({"containers": [{"name": "a"}, {"name": "b"}]}),
        json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
        json!({"containers": [{"name": "b"}, {"name": "a"}]}),
    );
    check(
        json!({"containers": [{"name": "a"}, {"name": "b"}]}),
        json!({"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a", "$patch": "delete"}]}),
        json!({"containers": [{"name": "b"}]}),
    );
}

#[test]
fn retained_keys_end_the_other_members_of_a_union() {
    check(
        json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
        json!({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}),
        json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}),
    );
    let original = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    assert_eq!(apply("Deployment", &original, &patch), Ok(json!({"spec": {"strategy": {"type": "Recreate"}}})));
}

#[test]
fn services_merge_ports_by_number() {
    let original = json!({"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 443, "name": "b"}]}});
    let patch = json!({"spec": {"ports": [{"port": 443, "targetPort": 8443}]}});
    let expect =
        json!({"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 443, "name": "b", "targetPort": 8443}]}});
    assert_eq!(apply("Service", &original, &patch), Ok(expect));
}

#[test]
fn malformed_patches_are_refused() {
    let original = json!({"spec": {"containers": [{"name": "a"}], "volumes": [{"name": "v", "emptyDir": {}}]}});
    for patch in [
        json!([]),
        json!({"spec": {"$patch": "explode"}}),
        json!({"spec": {"containers": [{"image": "x"}]}}),
        json!({"spec": {"containers": [{"$patch": "delete"}]}}),
        json!({"spec": {"containers": [{"name": "a", "$patch": "explode"}]}}),
        json!({"spec": {"containers": ["a"]}}),
        json!({"spec": {"$setElementOrder/containers": "a"}}),
        json!({"spec": {"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a"}]}}),
        json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name"], "hostPath": {}}]}}),
    ] {
        assert!(apply("Pod", &original, &patch).is_err(), "{patch}");
    }
}
