//! What clients other than kubectl rely on, and slips of theirs that must not cost anything.

use crate::world::{World, answer};
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(spec: Value) -> Value {
    let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "i"}]}});
    json_patch::merge(&mut pod, &json!({"spec": spec}));
    pod
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_may_leave_their_type_out() {
    // The Python client sends neither `kind` nor `apiVersion`.
    let world = World::new("typeless").await;
    let (code, made) = world.post(MAPS, &json!({"metadata": {"name": "a"}, "data": {"x": "y"}})).await;
    assert_eq!((code, &made["kind"], &made["apiVersion"]), (201, &json!("ConfigMap"), &json!("v1")));
    let (code, _) = world.put(&format!("{MAPS}/a"), &json!({"metadata": {"name": "a"}, "data": {"x": "z"}})).await;
    assert_eq!(code, 200);
    let hpa = json!({"metadata": {"name": "h"}, "spec": {"maxReplicas": 2,
        "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}}});
    let (code, made) = world.post("/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers", &hpa).await;
    assert_eq!((code, &made["apiVersion"]), (201, &json!("autoscaling/v1")));
    let (code, refused) = world.post(MAPS, &json!({"kind": "Secret", "metadata": {"name": "b"}})).await;
    assert_eq!((code, refused["reason"].as_str()), (400, Some("BadRequest")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_namespace_does_not_delete_everywhere() {
    let world = World::new("everywhere").await;
    let before = world.get("/api/v1/configmaps").await.1["items"].as_array().unwrap().len();
    for path in ["/api/v1/configmaps", "/api/v1/configmaps?labelSelector=a", "/apis/apps/v1/deployments"] {
        let (code, refused) = world.delete(path).await;
        assert_eq!((code, refused["reason"].as_str()), (405, Some("MethodNotAllowed")), "{path}");
    }
    assert_eq!(world.get("/api/v1/configmaps").await.1["items"].as_array().unwrap().len(), before);
    assert_eq!(world.delete("/api/v1/nodes").await.0, 200, "kinds without namespaces have no other route");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn impersonation_is_honoured_or_refused_but_never_ignored() {
    let world = World::new("impersonation").await;
    let request = |path: &str, user: &str| reqwest::Client::new().get(world.url(path)).header("Impersonate-User", user);
    let as_user = |path: &str, user: &str| answer(request(path, user));
    assert_eq!(as_user(PODS, "bob").await.0, 403);
    let master = request(PODS, "bob").header("Impersonate-Group", "system:masters");
    assert_eq!(answer(master).await.0, 200);
    let (code, refused) = as_user(PODS, "system:serviceaccount:default:default").await;
    assert_eq!(code, 403);
    assert!(refused["message"].as_str().unwrap().contains("system:serviceaccount:default:default"), "{refused}");
    assert_eq!(as_user(PODS, "system:anonymous").await.0, 403);
    for version in ["1.33", "1.37"] {
        let line = "auth can-i get pods --as=system:serviceaccount:default:default";
        assert_eq!(world.try_kubectl(version, line, "").await.1, "no\n");
        assert!(
            world
                .kubectl(version, "auth whoami --as=bob --as-group=dev", "")
                .await
                .contains("[dev system:authenticated]")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_say_what_they_dropped() {
    let world = World::new("dropped").await;
    world.post(MAPS, &json!({"metadata": {"name": "a"}, "data": {"x": "y"}})).await;
    let patch = async |validation: &str, body: &'static str| {
        let url = world.url(&format!("{MAPS}/a?fieldValidation={validation}"));
        let request = reqwest::Client::new().patch(url).header("content-type", "application/merge-patch+json");
        let response = request.body(body).send().await.unwrap();
        let warnings = response.headers().get_all("warning").iter().map(|w| w.to_str().unwrap().to_owned());
        (response.status().as_u16(), warnings.collect::<Vec<_>>().join("; "))
    };
    let (unknown, twice) = (r#"{"foo":1}"#, r#"{"data":{"z":"1"},"data":{"z":"2"}}"#);
    assert_eq!(patch("Warn", unknown).await, (200, r#"299 - "unknown field \"foo\"""#.into()));
    assert_eq!(patch("Warn", twice).await, (200, r#"299 - "duplicate field \"data\"""#.into()));
    assert_eq!(patch("Ignore", unknown).await, (200, String::new()));
    assert_eq!(patch("Strict", unknown).await.0, 400);
    assert_eq!(patch("Strict", twice).await.0, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subresources_of_pods_change_only_what_is_theirs() {
    let world = World::new("parts").await;
    world.post(PODS, &pod(json!({"schedulingGates": [{"name": "a.b/c"}]}))).await;
    let (_, gated) = world.get(&format!("{PODS}/p")).await;
    assert_eq!(gated["status"]["conditions"][0]["reason"], "SchedulingGated");
    let strategic = "application/strategic-merge-patch+json";
    let debugger = json!({"spec": {"ephemeralContainers": [{"name": "d", "image": "i"}], "hostNetwork": true}});
    let (code, changed) = world.patch(&format!("{PODS}/p/ephemeralcontainers"), strategic, &debugger).await;
    assert_eq!((code, &changed["spec"]["ephemeralContainers"][0]["name"]), (200, &json!("d")), "{changed}");
    assert!(changed["spec"].get("hostNetwork").is_none());
    let removal = json!({"spec": {"ephemeralContainers": null}});
    let merge = "application/merge-patch+json";
    assert_eq!(world.patch(&format!("{PODS}/p/ephemeralcontainers"), merge, &removal).await.0, 422);
    let resized =
        json!({"spec": {"containers": [{"name": "a", "image": "other", "resources": {"requests": {"cpu": "1"}}}]}});
    let (code, refused) = world.patch(&format!("{PODS}/p/resize"), strategic, &resized).await;
    assert_eq!(code, 422, "{refused}");
    let more_gates = json!({"spec": {"schedulingGates": [{"name": "a.b/c"}, {"name": "d.e/f"}]}});
    assert_eq!(world.patch(&format!("{PODS}/p"), merge, &more_gates).await.0, 422);
    let none = json!({"spec": {"schedulingGates": []}});
    assert_eq!(world.patch(&format!("{PODS}/p"), merge, &none).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scale_has_its_own_table() {
    let world = World::new("scale").await;
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let set = json!({"metadata": {"name": "r"}, "spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b"}},
        "template": template}});
    world.post("/apis/apps/v1/namespaces/default/replicasets", &set).await;
    let table = world.kubectl("1.37", "get rs r --subresource=scale", "").await;
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "DESIRED", "AVAILABLE", "AGE"]);
    assert_eq!(lines[1][..3], ["r", "3", "0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_list_options_are_read_as_upstream_reads_them() {
    let world = World::new("odd").await;
    assert_eq!(world.get(&format!("{MAPS}?limit=-1")).await.0, 200);
    assert_eq!(world.get(&format!("{MAPS}?limit=x")).await.0, 400);
    let (code, refused) = world.get(&format!("{MAPS}?sendInitialEvents=true&resourceVersionMatch=NotOlderThan")).await;
    assert_eq!((code, refused["reason"].as_str()), (422, Some("Invalid")));
}
