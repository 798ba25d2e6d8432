use kube_schema::by_resource;
use serde_json::json;

use super::*;

#[track_caller]
fn created(resource: &str, mut object: Value) -> Value {
    prepare_create(by_resource(resource).unwrap(), &mut object);
    object
}

#[track_caller]
fn generation(resource: &str, old: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut new = old.clone();
    change(&mut new);
    prepare_update(by_resource(resource).unwrap(), &mut new, old);
    new["metadata"]["generation"].clone()
}

#[test]
fn a_new_object_has_no_status_of_its_own() {
    let pod = created(
        "pods",
        json!({"metadata": {"name": "p", "generation": 9}, "spec": {}, "status": {"phase": "Running"}}),
    );
    assert_eq!(pod["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
    assert_eq!(pod["metadata"]["generation"], 1);
    let node = created("nodes", json!({"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "1"}}}));
    assert_eq!(node["status"], json!({"capacity": {"cpu": "1"}}));
    assert!(created("configmaps", json!({"metadata": {"generation": 3}}))["metadata"].get("generation").is_none());
    assert_eq!(created("namespaces", json!({"metadata": {}}))["spec"]["finalizers"], json!(["kubernetes"]));
}

#[test]
fn a_gated_pod_says_why_it_waits() {
    let pod = created("pods", json!({"metadata": {}, "spec": {"schedulingGates": [{"name": "a"}]}}));
    let condition = &pod["status"]["conditions"][0];
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("SchedulingGated")));
}

#[test]
fn generation_counts_changes_of_the_spec() {
    let old = json!({"metadata": {"name": "a", "generation": 4}, "spec": {"replicas": 1}, "status": {"replicas": 1}});
    assert_eq!(generation("deployments.apps", &old, |new| new["spec"]["replicas"] = json!(2)), 5);
    assert_eq!(generation("deployments.apps", &old, |new| new["status"]["replicas"] = json!(2)), 4);
    assert_eq!(generation("deployments.apps", &old, |new| new["metadata"]["labels"] = json!({"a": "b"})), 4);
    assert_eq!(generation("deployments.apps", &old, |new| new["metadata"]["annotations"] = json!({"a": "b"})), 5);
    assert_eq!(generation("replicasets.apps", &old, |new| new["metadata"]["annotations"] = json!({"a": "b"})), 4);
    assert_eq!(generation("replicasets.apps", &old, |new| new["metadata"]["generation"] = json!(77)), 4);
}

#[test]
fn an_update_keeps_the_status_and_a_status_update_the_spec() {
    let kind = by_resource("deployments.apps").unwrap();
    let old = json!({"metadata": {"name": "a", "generation": 1, "resourceVersion": "5", "labels": {"x": "y"}},
        "spec": {"replicas": 1}, "status": {"replicas": 1}});
    let sent = json!({"metadata": {"name": "a", "resourceVersion": "6", "annotations": {"n": "1"}},
        "spec": {"replicas": 2}, "status": {"replicas": 2}});
    let mut new = sent.clone();
    prepare_update(kind, &mut new, &old);
    assert_eq!((&new["spec"]["replicas"], &new["status"]["replicas"]), (&json!(2), &json!(1)));
    let mut new = sent;
    prepare_status(kind, &mut new, &old);
    assert_eq!(
        new,
        json!({"metadata": {"name": "a", "generation": 1, "resourceVersion": "6", "labels": {"x": "y"},
        "annotations": {"n": "1"}}, "spec": {"replicas": 1}, "status": {"replicas": 2}})
    );
}

#[test]
fn a_service_keeps_what_it_was_given() {
    let kind = by_resource("services").unwrap();
    let old = json!({"metadata": {}, "spec": {"type": "NodePort", "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"],
        "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30001}]}});
    let mut new = json!({"metadata": {}, "spec": {"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "TCP"}]}});
    prepare_update(kind, &mut new, &old);
    assert_eq!(new["spec"]["clusterIP"], "10.0.0.9");
    assert_eq!(
        new["spec"]["ports"],
        json!([{"port": 80, "protocol": "TCP", "nodePort": 30001}, {"port": 81, "protocol": "TCP"}])
    );
    let mut new = json!({"metadata": {}, "spec": {"type": "ClusterIP", "externalTrafficPolicy": "Cluster",
        "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30001}]}});
    prepare_update(kind, &mut new, &old);
    assert_eq!(new["spec"]["ports"], json!([{"port": 80, "protocol": "TCP"}]));
}

#[test]
fn a_job_selects_its_pods_by_its_uid() {
    let job = created("jobs.batch", json!({"metadata": {"name": "j", "uid": "u-1"}, "spec": {"template": {}}}));
    assert_eq!(job["spec"]["selector"]["matchLabels"], json!({"batch.kubernetes.io/controller-uid": "u-1"}));
    assert_eq!(job["spec"]["template"]["metadata"]["labels"]["job-name"], "j");
}

#[test]
fn other_subresources_change_only_their_part() {
    let old = json!({"metadata": {"name": "n"}, "spec": {"finalizers": ["kubernetes", "x"]}, "status": {"phase": "Terminating"}});
    let mut new = json!({"metadata": {"name": "n", "labels": {"a": "b"}}, "spec": {"finalizers": ["x"]}});
    prepare_subresource(by_resource("namespaces").unwrap(), "finalize", &mut new, &old);
    assert_eq!(
        new,
        json!({"metadata": {"name": "n"}, "spec": {"finalizers": ["x"]}, "status": {"phase": "Terminating"}})
    );
    let old =
        json!({"metadata": {"generation": 1}, "spec": {"containers": [{"name": "a", "image": "i", "resources": {}}]}});
    let mut new = json!({"metadata": {}, "spec": {"containers": [{"name": "a", "image": "j", "resources": {"limits": {"cpu": "1"}}}]}});
    prepare_subresource(by_resource("pods").unwrap(), "resize", &mut new, &old);
    assert_eq!(
        new,
        json!({"metadata": {"generation": 2}, "spec": {"containers": [
        {"name": "a", "image": "i", "resources": {"limits": {"cpu": "1"}}}]}})
    );
}
