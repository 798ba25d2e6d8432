use serde_json::{Value, json};

use super::*;
use kube_schema::by_resource;

#[track_caller]
fn defaulted(resource: &str, mut object: Value) -> Value {
    let kind = by_resource(resource).unwrap();
    set_defaults(kind, &mut object);
    let once = object.clone();
    set_defaults(kind, &mut object);
    assert_eq!(object, once, "defaulting twice");
    kube_schema::check_types(kind, &object).unwrap();
    assert_eq!(kube_schema::validate_fields(kind, &object), []);
    object
}

#[test]
fn a_minimal_pod_becomes_complete() {
    let pod = defaulted(
        "pods",
        json!({"spec": {"containers": [{"name": "c", "image": "i:1", "ports": [{"containerPort": 80}],
        "resources": {"limits": {"cpu": "1"}}, "livenessProbe": {"httpGet": {"port": 80}, "timeoutSeconds": 0}}],
        "volumes": [{"name": "v"}, {"name": "s", "secret": {"secretName": "x"}}]}}),
    );
    assert_eq!(
        pod["spec"],
        json!({
            "containers": [{"name": "c", "image": "i:1", "imagePullPolicy": "IfNotPresent",
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
                "livenessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1,
                    "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "x", "defaultMode": 420}}],
            "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
            "terminationGracePeriodSeconds": 30, "securityContext": {}, "enableServiceLinks": true,
        })
    );
}

#[test]
fn pull_policy_follows_the_tag() {
    for (image, policy) in [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("a:1", "IfNotPresent"),
        ("r:5000/a", "Always"),
        ("r:5000/a:2", "IfNotPresent"),
        ("a@sha256:00", "IfNotPresent"),
        ("a:latest@sha256:00", "Always"),
    ] {
        let pod = defaulted("pods", json!({"spec": {"containers": [{"name": "c", "image": image}]}}));
        assert_eq!(pod["spec"]["containers"][0]["imagePullPolicy"], policy, "{image}");
    }
}

#[test]
fn a_deployment_rolls_by_quarters() {
    let object = defaulted(
        "deployments.apps",
        json!({"spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "c"}]}}}}),
    );
    let spec = &object["spec"];
    assert_eq!(spec["replicas"], 1);
    assert_eq!(
        spec["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}})
    );
    assert_eq!(spec["template"]["spec"]["restartPolicy"], "Always");
    assert!(
        spec["template"]["spec"].get("enableServiceLinks").is_none()
            && spec["template"]["spec"].get("tolerations").is_none()
    );
    let recreate = defaulted("deployments.apps", json!({"spec": {"replicas": 0, "strategy": {"type": "Recreate"}}}));
    assert_eq!(
        (&recreate["spec"]["replicas"], &recreate["spec"]["strategy"]),
        (&json!(0), &json!({"type": "Recreate"}))
    );
}

#[test]
fn services_get_their_policies() {
    let object = defaulted("services", json!({"spec": {"ports": [{"port": 80}], "clusterIP": "10.0.0.1"}}));
    assert_eq!(
        object["spec"],
        json!({"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
        "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}], "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"})
    );
    let external = defaulted("services", json!({"spec": {"type": "ExternalName", "externalName": "x"}}));
    assert_eq!(external["spec"], json!({"type": "ExternalName", "externalName": "x", "sessionAffinity": "None"}));
}

#[test]
fn other_kinds_get_theirs() {
    let secret = defaulted("secrets", json!({"stringData": {"a": "hello"}, "data": {"b": "eA=="}}));
    assert_eq!(secret, json!({"type": "Opaque", "data": {"a": "aGVsbG8=", "b": "eA=="}}));
    let job = defaulted(
        "jobs.batch",
        json!({"metadata": {"name": "j"}, "spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}),
    );
    assert_eq!((&job["spec"]["completions"], &job["spec"]["backoffLimit"]), (&json!(1), &json!(6)));
    assert_eq!(job["metadata"]["labels"], json!({"a": "b"}));
    let policy = defaulted("networkpolicies.networking.k8s.io", json!({"spec": {"egress": [{}]}}));
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    let namespace = defaulted("namespaces", json!({"metadata": {"name": "n"}}));
    assert_eq!(namespace["metadata"]["labels"]["kubernetes.io/metadata.name"], "n");
    let limits = defaulted(
        "limitranges",
        json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}, "min": {"memory": "1Gi"}}]}}),
    );
    assert_eq!(limits["spec"]["limits"][0]["default"], json!({"cpu": "1"}));
    assert_eq!(limits["spec"]["limits"][0]["defaultRequest"], json!({"cpu": "1", "memory": "1Gi"}));
}
