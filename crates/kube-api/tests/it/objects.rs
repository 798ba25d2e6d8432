//! Writing: create, update, patch, delete, subresources.

use crate::world::World;
use serde_json::{Value, json};

const CM: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}})
}

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "x"}},
        "spec": {"containers": [{"name": "a", "image": "busybox"}]}})
}

fn deployment(name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": 2, "selector": {"matchLabels": {"app": "x"}},
        "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}},
    }})
}

fn message(answer: &Value) -> &str {
    answer["message"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_lives_through_all_verbs() {
    let world = World::new("verbs").await;
    let (code, made) = world.post(CM, &config_map("a")).await;
    assert_eq!(code, 201, "{made}");
    assert!(made["metadata"]["uid"].is_string() && made["metadata"]["creationTimestamp"].is_string());
    assert_eq!(world.post(CM, &config_map("a")).await.0, 409);
    let (code, read) = world.get(&format!("{CM}/a")).await;
    assert_eq!((code, &read), (200, &made));
    let mut new = made.clone();
    new["data"]["a"] = json!("c");
    let (code, updated) = world.put(&format!("{CM}/a"), &new).await;
    assert_eq!(code, 200);
    assert_ne!(updated["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    let (code, stale) = world.put(&format!("{CM}/a"), &new).await;
    assert_eq!(code, 409);
    assert!(message(&stale).contains("the object has been modified"), "{stale}");
    new["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    assert_eq!(world.put(&format!("{CM}/a"), &new).await.0, 200, "without a version an update is unconditional");
    let (code, patched) = world.patch(&format!("{CM}/a"), MERGE, &json!({"data": {"a": null, "x": "y"}})).await;
    assert_eq!((code, &patched["data"]), (200, &json!({"x": "y"})));
    let operations =
        json!([{"op": "test", "path": "/data/x", "value": "y"}, {"op": "add", "path": "/data/z", "value": "1"}]);
    let (code, patched) = world.patch(&format!("{CM}/a"), JSON_PATCH, &operations).await;
    assert_eq!((code, &patched["data"]["z"]), (200, &json!("1")));
    let (code, status) = world.delete(&format!("{CM}/a")).await;
    assert_eq!((code, &status["status"]), (200, &json!("Success")));
    assert_eq!(status["details"]["kind"], "configmaps");
    let (code, gone) = world.get(&format!("{CM}/a")).await;
    assert_eq!((code, message(&gone)), (404, "configmaps \"a\" not found"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dry_runs_leave_nothing() {
    let world = World::new("dry").await;
    let before = world.cluster.revision();
    let (code, shown) = world.post(&format!("{CM}?dryRun=All"), &config_map("a")).await;
    assert_eq!(code, 201);
    assert!(shown["metadata"]["uid"].is_string() && shown["metadata"].get("resourceVersion").is_none());
    assert_eq!(world.delete("/api/v1/namespaces/default/configmaps/kube-root-ca.crt?dryRun=All").await.0, 200);
    assert_eq!(world.post(&format!("{CM}?dryRun=Some"), &config_map("a")).await.0, 422);
    assert_eq!(world.cluster.revision(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_refused_without_effect() {
    let world = World::new("bad").await;
    let before = world.cluster.revision();
    let client = reqwest::Client::new();
    let raw = |media: &'static str, body: &'static str| {
        crate::world::answer(client.post(world.url(CM)).header("content-type", media).body(body))
    };
    assert_eq!(raw("application/json", "{").await.0, 400);
    assert_eq!(raw("application/yaml", "a: [").await.0, 400);
    assert_eq!(raw("text/csv", "a,b").await.0, 415);
    assert_eq!(raw("application/vnd.kubernetes.protobuf", "k8s\0nonsense").await.0, 400);
    let (code, wrong) = world.post(CM, &pod("x")).await;
    assert_eq!(code, 400, "{wrong}");
    let (code, unknown) = world
        .post(
            &format!("{CM}?fieldValidation=Strict"),
            &json!({"apiVersion": "v1",
        "kind": "ConfigMap", "metadata": {"name": "x"}, "spec": {}}),
        )
        .await;
    assert_eq!(code, 400);
    assert!(message(&unknown).contains("strict decoding error: unknown field \"spec\""), "{unknown}");
    let mut large = config_map("large");
    large["data"]["a"] = json!("x".repeat(1600 * 1024));
    let (code, refused) = world.post(CM, &large).await;
    assert_eq!((code, refused["reason"].as_str()), (413, Some("RequestEntityTooLarge")));
    assert_eq!(world.post(CM, &config_map("Bad_Name")).await.0, 422);
    assert_eq!(world.post(CM, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}})).await.0, 422);
    let (code, missing) = world.post("/api/v1/namespaces/nope/configmaps", &config_map("a")).await;
    assert_eq!((code, message(&missing)), (404, "namespaces \"nope\" not found"));
    assert_eq!(world.post("/api/v1/namespaces/default/nopes", &config_map("a")).await.0, 404);
    assert_eq!(world.post("/api/v1/configmaps", &config_map("a")).await.0, 405);
    let mut elsewhere = config_map("a");
    elsewhere["metadata"]["namespace"] = json!("kube-system");
    assert_eq!(world.post(CM, &elsewhere).await.0, 400);
    let (code, apply) = world.patch(&format!("{CM}/a"), "application/apply-patch+yaml", &json!({})).await;
    assert_eq!(code, 415);
    assert!(message(&apply).contains("server-side apply"));
    assert_eq!(world.patch(&format!("{CM}/kube-root-ca.crt"), "text/plain", &json!({})).await.0, 415);
    assert_eq!(world.cluster.revision(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_fields_are_dropped_with_a_warning() {
    let world = World::new("warn").await;
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "foo": 1}).to_string();
    let response = reqwest::Client::new().post(world.url(CM)).header("content-type", "application/json").body(body);
    let response = response.send().await.unwrap();
    assert_eq!(response.headers()["warning"], "299 - \"unknown field \\\"foo\\\"\"");
    let made: Value = response.json().await.unwrap();
    assert!(made.get("foo").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_generated() {
    let world = World::new("generate").await;
    let wanted = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "a-"}});
    let mut names = std::collections::HashSet::new();
    for _ in 0..20 {
        let (code, made) = world.post(CM, &wanted).await;
        assert_eq!(code, 201);
        assert!(names.insert(made["metadata"]["name"].as_str().unwrap().to_owned()));
    }
    assert!(names.iter().all(|name| name.starts_with("a-") && name.len() == 7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_and_spec_are_apart() {
    let world = World::new("status").await;
    const PATH: &str = "/apis/apps/v1/namespaces/default/deployments";
    let (_, made) = world.post(PATH, &deployment("d")).await;
    assert_eq!(made["metadata"]["generation"], 1);
    let (code, after) = world
        .patch(&format!("{PATH}/d/status"), MERGE, &json!({"spec": {"replicas": 9}, "status": {"replicas": 3}}))
        .await;
    assert_eq!(
        (code, &after["status"]["replicas"], &after["spec"]["replicas"]),
        (200, &json!(3), &json!(2)),
        "{after}"
    );
    assert_eq!(after["metadata"]["generation"], 1);
    let patch = json!({"spec": {"replicas": 4}, "status": {"replicas": 9}});
    let (_, after) = world.patch(&format!("{PATH}/d"), STRATEGIC, &patch).await;
    assert_eq!((&after["status"]["replicas"], &after["metadata"]["generation"]), (&json!(3), &json!(2)));
    let (code, scale) = world.get(&format!("{PATH}/d/scale")).await;
    assert_eq!((code, &scale["spec"]["replicas"], &scale["status"]["selector"]), (200, &json!(4), &json!("app=x")));
    let (code, scale) = world.patch(&format!("{PATH}/d/scale"), MERGE, &json!({"spec": {"replicas": 7}})).await;
    assert_eq!((code, &scale["spec"]["replicas"]), (200, &json!(7)));
    assert_eq!(world.patch(&format!("{PATH}/d/scale"), MERGE, &json!({"spec": {"replicas": -1}})).await.0, 422);
    let old = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d", "resourceVersion": "1"},
        "spec": {"replicas": 1}});
    assert_eq!(world.put(&format!("{PATH}/d/scale"), &old).await.0, 409);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finalizers_hold_an_object() {
    let world = World::new("finalizers").await;
    let mut held = config_map("held");
    held["metadata"]["finalizers"] = json!(["example.com/a"]);
    world.post(CM, &held).await;
    let (code, pending) = world.delete(&format!("{CM}/held")).await;
    assert_eq!(code, 200);
    assert!(pending["metadata"]["deletionTimestamp"].is_string());
    let more = json!({"metadata": {"finalizers": ["example.com/a", "example.com/b"]}});
    assert_eq!(world.patch(&format!("{CM}/held"), MERGE, &more).await.0, 422);
    let none = json!({"metadata": {"finalizers": null}});
    assert_eq!(world.patch(&format!("{CM}/held"), MERGE, &none).await.0, 200);
    assert_eq!(world.get(&format!("{CM}/held")).await.0, 404);
    world.post(CM, &config_map("owner")).await;
    let (_, pending) = world.delete(&format!("{CM}/owner?propagationPolicy=Foreground")).await;
    assert_eq!(pending["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    let (code, uid) = crate::world::answer(
        reqwest::Client::new().delete(world.url(&format!("{CM}/owner"))).json(&json!({"preconditions": {"uid": "no"}})),
    )
    .await;
    assert_eq!(code, 409);
    assert!(message(&uid).contains("Precondition failed: UID"), "{uid}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_are_admitted_bound_and_ended() {
    let world = World::new("pods").await;
    let (code, made) = world.post(PODS, &pod("p")).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["spec"]["serviceAccountName"], "default");
    let mount = &made["spec"]["containers"][0]["volumeMounts"][0];
    assert_eq!(mount["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");
    assert_eq!(made["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3607);
    let mut ghost = pod("ghost");
    ghost["spec"]["serviceAccountName"] = json!("ghost");
    let (code, refused) = world.post(PODS, &ghost).await;
    assert_eq!(code, 403);
    assert_eq!(
        message(&refused),
        "pods \"ghost\" is forbidden: error looking up service account default/ghost: serviceaccount \"ghost\" not found"
    );
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    assert_eq!(world.post(&format!("{PODS}/p/binding"), &binding).await.0, 201);
    let (code, again) = world.post(&format!("{PODS}/p/binding"), &binding).await;
    assert_eq!(code, 409);
    assert!(message(&again).contains("pod p is already assigned to node \"n1\""), "{again}");
    let (_, bound) = world.get(&format!("{PODS}/p")).await;
    assert_eq!(bound["spec"]["nodeName"], "n1");
    let (_, ending) = world.delete(&format!("{PODS}/p")).await;
    assert_eq!(ending["metadata"]["deletionGracePeriodSeconds"], 30);
    let (_, sooner) = world.delete(&format!("{PODS}/p?gracePeriodSeconds=5")).await;
    assert_eq!(sooner["metadata"]["deletionGracePeriodSeconds"], 5);
    let (_, later) = world.delete(&format!("{PODS}/p?gracePeriodSeconds=60")).await;
    assert_eq!(later["metadata"]["deletionGracePeriodSeconds"], 5, "a longer grace changes nothing");
    assert_eq!(world.delete(&format!("{PODS}/p?gracePeriodSeconds=0")).await.0, 200);
    assert_eq!(world.get(&format!("{PODS}/p")).await.0, 404);
    world.post(PODS, &pod("unbound")).await;
    world.delete(&format!("{PODS}/unbound")).await;
    assert_eq!(world.get(&format!("{PODS}/unbound")).await.0, 404, "what no node runs ends at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evictions_respect_budgets() {
    let world = World::new("evict").await;
    let mut running = pod("p");
    running["spec"]["nodeName"] = json!("n");
    world.post(PODS, &running).await;
    let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    world.patch(&format!("{PODS}/p/status"), MERGE, &ready).await;
    const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}});
    assert_eq!(world.post(BUDGETS, &budget).await.0, 201);
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let (code, refused) = world.post(&format!("{PODS}/p/eviction"), &eviction).await;
    assert_eq!((code, message(&refused)), (429, "Cannot evict pod as it would violate the pod's disruption budget."));
    assert_eq!(refused["details"]["causes"][0]["reason"], "DisruptionBudget");
    let allowed =
        json!({"status": {"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1}});
    world.patch(&format!("{BUDGETS}/b/status"), MERGE, &allowed).await;
    assert_eq!(world.post(&format!("{PODS}/p/eviction"), &eviction).await.0, 201);
    let (_, spent) = world.get(&format!("{BUDGETS}/b")).await;
    assert_eq!(spent["status"]["disruptionsAllowed"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_end_in_two_steps() {
    let world = World::new("namespaces").await;
    let (code, refused) = world.delete("/api/v1/namespaces/default").await;
    assert_eq!(
        (code, message(&refused)),
        (403, "namespaces \"default\" is forbidden: this namespace may not be deleted")
    );
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    let (_, made) = world.post("/api/v1/namespaces", &namespace).await;
    assert_eq!((&made["spec"]["finalizers"], &made["status"]["phase"]), (&json!(["kubernetes"]), &json!("Active")));
    assert_eq!(made["metadata"]["labels"]["kubernetes.io/metadata.name"], "n");
    let (_, ending) = world.delete("/api/v1/namespaces/n").await;
    assert_eq!(ending["status"]["phase"], "Terminating");
    let (code, refused) = world.post("/api/v1/namespaces/n/configmaps", &config_map("a")).await;
    assert_eq!(code, 403);
    assert!(message(&refused).contains("because it is being terminated"), "{refused}");
    assert_eq!(refused["details"]["causes"][0]["reason"], "NamespaceTerminating");
    let mut finalized = ending.clone();
    finalized["spec"]["finalizers"] = json!([]);
    assert_eq!(world.put("/api/v1/namespaces/n/finalize", &finalized).await.0, 200);
    assert_eq!(world.get("/api/v1/namespaces/n").await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_get_unique_addresses() {
    let world = World::new("services").await;
    const PATH: &str = "/api/v1/namespaces/default/services";
    let service = |name: &str, spec: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec});
    let mut seen = std::collections::HashSet::new();
    for n in 0..10 {
        let wanted = service(&format!("s{n}"), json!({"type": "NodePort", "ports": [{"port": 80}]}));
        let (code, made) = world.post(PATH, &wanted).await;
        assert_eq!(code, 201, "{made}");
        assert!(seen.insert(made["spec"]["clusterIP"].as_str().unwrap().to_owned()));
        let port = made["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
        assert!((30000..=32767).contains(&port));
    }
    let taken = seen.iter().next().unwrap();
    let (code, refused) = world.post(PATH, &service("t", json!({"clusterIP": taken, "ports": [{"port": 80}]}))).await;
    assert_eq!(code, 422);
    assert!(message(&refused).contains("provided IP is already allocated"), "{refused}");
    let (code, refused) =
        world.post(PATH, &service("t", json!({"clusterIP": "1.2.3.4", "ports": [{"port": 80}]}))).await;
    assert_eq!(code, 422);
    assert!(message(&refused).contains("is not in the valid range"), "{refused}");
    let (_, headless) = world.post(PATH, &service("h", json!({"clusterIP": "None", "ports": [{"port": 80}]}))).await;
    assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
    let (_, kubernetes) = world.get(&format!("{PATH}/kubernetes")).await;
    assert_eq!(kubernetes["spec"]["clusterIP"], "10.96.0.1");
    let (code, kept) = world.patch(&format!("{PATH}/s1"), MERGE, &json!({"spec": {"selector": {"a": "b"}}})).await;
    assert_eq!(code, 200);
    assert!(seen.contains(kept["spec"]["clusterIP"].as_str().unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collections_are_deleted_by_selector() {
    let world = World::new("collection").await;
    for n in 0..6 {
        let mut object = config_map(&format!("c{n}"));
        object["metadata"]["labels"] = json!({"odd": (n % 2 == 1).to_string()});
        world.post(CM, &object).await;
    }
    assert_eq!(world.delete(&format!("{CM}?labelSelector=odd%3Dtrue")).await.0, 200);
    let (_, left) = world.get(&format!("{CM}?labelSelector=odd")).await;
    assert_eq!(left["items"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_of_a_kind_share_their_objects() {
    let world = World::new("versions").await;
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "Why", "message": "text",
        "type": "Normal", "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "source": {"component": "me"}});
    let (code, made) = world.post("/api/v1/namespaces/default/events", &event).await;
    assert_eq!(code, 201, "{made}");
    let (code, other) = world.get("/apis/events.k8s.io/v1/namespaces/default/events/e").await;
    assert_eq!((code, &other["apiVersion"], &other["note"]), (200, &json!("events.k8s.io/v1"), &json!("text")));
    assert_eq!(other["regarding"]["name"], "p");
    let (_, list) = world.get("/apis/events.k8s.io/v1/events?fieldSelector=regarding.name%3Dp").await;
    assert_eq!(list["items"][0]["apiVersion"], "events.k8s.io/v1");
}
