//! Deployments, namespaces, garbage and endpoints, from beginning to end.

use crate::world::World;
use kube_api::ops::Propagation;
use serde_json::{Value, json};
use std::time::Instant;

const DEPLOYMENTS: &str = "deployments.apps";
const SETS: &str = "replicasets.apps";

fn image(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image,
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]}]}}}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_starts_rolls_returns_scales_and_heals() {
    let world = World::new("deployment").await;
    world.node("a").await;
    world.node("b").await;
    let begun = Instant::now();
    world.deployment("default", "web", 3).await;
    world.complete("default", "web", 3).await;
    eprintln!("3 replicas after {:?}", begun.elapsed());
    let nodes: std::collections::BTreeSet<_> =
        world.all("pods", "default").iter().map(|pod| pod["spec"]["nodeName"].to_string()).collect();
    assert_eq!(nodes.len(), 2, "spread over both nodes");
    let revision = |world: &World| {
        world.value(DEPLOYMENTS, "default", "web").unwrap()["metadata"]["annotations"]["deployment.kubernetes.io/revision"].clone()
    };
    assert_eq!(revision(&world), "1");

    world.patch(DEPLOYMENTS, "default", "web", image("demo/web:2")).await;
    world.complete("default", "web", 3).await;
    assert!(world.all("pods", "default").iter().all(|pod| pod["spec"]["containers"][0]["image"] == "demo/web:2"));
    assert_eq!((revision(&world), world.all(SETS, "default").len()), (json!("2"), 2));

    // `kubectl rollout undo` writes the old template back.
    world.patch(DEPLOYMENTS, "default", "web", image("demo/web:1")).await;
    world.complete("default", "web", 3).await;
    assert_eq!((revision(&world), world.all(SETS, "default").len()), (json!("3"), 2));

    world.patch(DEPLOYMENTS, "default", "web", json!({"spec": {"replicas": 10}})).await;
    world.complete("default", "web", 10).await;
    world.patch(DEPLOYMENTS, "default", "web", json!({"spec": {"replicas": 2}})).await;
    world.complete("default", "web", 2).await;

    let lost = world.all("pods", "default")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    world.delete("pods", "default", &lost, None).await;
    world.until("the lost pod is gone", |world| world.value("pods", "default", &lost).is_none()).await;
    world.complete("default", "web", 2).await;

    let wanted = ["ScalingReplicaSet", "Scheduled", "SuccessfulCreate", "SuccessfulDelete"];
    world
        .until("events are written", |world| wanted.iter().all(|r| world.reasons("default").contains(&(*r).to_owned())))
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recreate_and_pause_do_as_they_say() {
    let world = World::new("recreate").await;
    world.node("a").await;
    world.deployment("default", "web", 2).await;
    world.complete("default", "web", 2).await;
    let strategy = json!({"spec": {"paused": true, "strategy": {"type": "Recreate", "rollingUpdate": null}}});
    world.patch(DEPLOYMENTS, "default", "web", strategy).await;
    world.patch(DEPLOYMENTS, "default", "web", image("demo/web:2")).await;
    world
        .until("the pause is seen", |world| {
            let status = world.value(DEPLOYMENTS, "default", "web").unwrap()["status"].clone();
            status["conditions"].as_array().unwrap().iter().any(|c| c["reason"] == "DeploymentPaused")
                && status["observedGeneration"] == 3
        })
        .await;
    assert_eq!(world.all(SETS, "default").len(), 1);
    world.patch(DEPLOYMENTS, "default", "web", json!({"spec": {"paused": null}})).await;
    world.complete("default", "web", 2).await;
    assert!(world.all("pods", "default").iter().all(|pod| pod["spec"]["containers"][0]["image"] == "demo/web:2"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_is_furnished_and_emptied() {
    let world = World::new("namespace").await;
    world.node("a").await;
    world.create("namespaces", "", json!({"metadata": {"name": "team"}})).await;
    world
        .until("it is furnished", |world| {
            world.value("serviceaccounts", "team", "default").is_some()
                && world
                    .value("configmaps", "team", "kube-root-ca.crt")
                    .is_some_and(|map| map["data"]["ca.crt"] == "PEM")
        })
        .await;
    world.delete("serviceaccounts", "team", "default", None).await;
    world.until("the account is back", |world| world.value("serviceaccounts", "team", "default").is_some()).await;
    world.deployment("team", "web", 3).await;
    world.create("secrets", "team", json!({"metadata": {"name": "s"}})).await;
    world.complete("team", "web", 3).await;
    world.delete("namespaces", "", "team", None).await;
    world.until("the namespace is gone", |world| world.value("namespaces", "", "team").is_none()).await;
    let left: Vec<_> = world.cluster.resources().iter().flat_map(|r| world.cluster.list(r, Some("team")).1).collect();
    assert!(left.is_empty(), "{left:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dependents_go_as_asked() {
    let world = World::new("garbage").await;
    world.node("a").await;
    let cases = [
        ("back", Some(Propagation::Background)),
        ("fore", Some(Propagation::Foreground)),
        ("kept", Some(Propagation::Orphan)),
    ];
    for (name, propagation) in cases {
        world.deployment("default", name, 2).await;
        world.complete("default", name, 2).await;
        world.delete(DEPLOYMENTS, "default", name, propagation).await;
        world.until("it is gone", |world| world.value(DEPLOYMENTS, "default", name).is_none()).await;
        let own = |world: &World, resource: &str| {
            world
                .all(resource, "default")
                .into_iter()
                .filter(|object| object["metadata"]["labels"]["app"] == name)
                .collect::<Vec<_>>()
        };
        if name == "kept" {
            let sets = own(&world, SETS);
            assert_eq!((sets.len(), own(&world, "pods").len()), (1, 2));
            assert!(sets[0]["metadata"]["ownerReferences"].as_array().is_none_or(Vec::is_empty));
            // A Deployment of the same selector and template takes them over.
            world.deployment("default", name, 2).await;
            world.complete("default", name, 2).await;
            assert_eq!((own(&world, SETS).len(), own(&world, "pods").len()), (1, 2));
        } else {
            world
                .until("dependents are gone", |world| own(world, SETS).is_empty() && own(world, "pods").is_empty())
                .await;
        }
    }
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "ghost", "uid": "no-such-uid"}]);
    world.create("configmaps", "default", json!({"metadata": {"name": "x", "ownerReferences": owner}})).await;
    world.until("what nobody owns is gone", |world| world.value("configmaps", "default", "x").is_none()).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_follow_the_pods() {
    let world = World::new("endpoints").await;
    world.node("a").await;
    let ports = json!([{"name": "http", "port": 80, "targetPort": "http"}]);
    world
        .create(
            "services",
            "default",
            json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": ports}}),
        )
        .await;
    world.deployment("default", "web", 3).await;
    let slices = |world: &World| {
        let all = world.all("endpointslices.discovery.k8s.io", "default").into_iter();
        all.filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == "web").collect::<Vec<_>>()
    };
    let ready = move |world: &World| {
        let endpoints =
            slices(world).into_iter().flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default());
        endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true).count()
    };
    world.until("three are ready", |world| ready(world) == 3).await;
    let addresses = |world: &World| {
        let endpoints = world.value("endpoints", "default", "web").unwrap_or_default();
        endpoints.pointer("/subsets/0/addresses").and_then(Value::as_array).map_or(0, Vec::len)
    };
    world.until("three addresses", |world| addresses(world) == 3).await;
    assert_eq!(slices(&world)[0]["ports"][0]["port"], 8080);
    world.patch(DEPLOYMENTS, "default", "web", json!({"spec": {"replicas": 0}})).await;
    world.until("none is left", |world| ready(world) == 0 && addresses(world) == 0).await;
    assert_eq!(slices(&world).len(), 1);
    world.delete("services", "default", "web", None).await;
    world
        .until("they go with the Service", |world| {
            slices(world).is_empty() && world.value("endpoints", "default", "web").is_none()
        })
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_lets_pods_go_one_after_the_other() {
    const BUDGETS: &str = "poddisruptionbudgets.policy";
    let world = World::new("budget").await;
    world.node("a").await;
    world.deployment("default", "web", 3).await;
    world.complete("default", "web", 3).await;
    let budget = json!({"metadata": {"name": "b"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
    world.create(BUDGETS, "default", budget).await;
    let allowed = |world: &World| world.number(BUDGETS, "default", "b", "/status/disruptionsAllowed");
    world.until("one may go", |world| allowed(world) == 1).await;
    assert_eq!(world.number(BUDGETS, "default", "b", "/status/expectedPods"), 3);
    let names: Vec<String> =
        world.all("pods", "default").iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect();
    let options = kube_api::ops::DeleteOptions::default();
    let evict = async |name: &str| {
        kube_api::ops::evict(&world.cluster, "default", name, &options, &crate::world::actor()).await
    };
    let at_once = tokio::join!(evict(&names[0]), evict(&names[1]));
    let codes = [at_once.0, at_once.1].map(|done| done.err().map_or(201, |status| status.code()));
    assert!(codes == [201, 429] || codes == [429, 201], "{codes:?}");
    world.complete("default", "web", 3).await;
    world.until("one may go again", |world| allowed(world) == 1).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_whose_owner_cannot_be_looked_up_stay() {
    let world = World::new("unresolvable").await;
    let owned = |name: &str, version: &str, kind: &str| {
        json!({"metadata": {"name": name, "ownerReferences": [
            {"apiVersion": version, "kind": kind, "name": "o", "uid": format!("gone-{name}")}]}})
    };
    let role = |name: &str, version: &str, kind: &str| {
        let mut role = owned(name, version, kind);
        role["rules"] = json!([]);
        role
    };
    world.create("clusterroles.rbac.authorization.k8s.io", "", role("kept", "apps/v1", "Deployment")).await;
    world.create("configmaps", "default", owned("kept", "example.com/v1", "Widget")).await;
    world.create("clusterroles.rbac.authorization.k8s.io", "", role("lost", "v1", "Node")).await;
    world.create("configmaps", "default", owned("lost", "apps/v1", "Deployment")).await;
    let has = |world: &World, name: &str| {
        usize::from(world.value("clusterroles.rbac.authorization.k8s.io", "", name).is_some())
            + usize::from(world.value("configmaps", "default", name).is_some())
    };
    world.until("those of missing owners are gone", |world| has(world, "lost") == 0).await;
    assert_eq!(has(&world, "kept"), 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_told_once_and_counted() {
    let world = World::new("refusal").await;
    let template = json!({"metadata": {"labels": {"a": "b"}},
        "spec": {"serviceAccountName": "nope", "containers": [{"name": "c", "image": "i"}]}});
    let set = json!({"metadata": {"name": "rs"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": template}});
    world.create(SETS, "default", set).await;
    let failures = |world: &World| {
        let events = world.all("events", "default").into_iter();
        events.filter(|event| event["reason"] == "FailedCreate").collect::<Vec<Value>>()
    };
    world.until("it was tried again", |world| failures(world).iter().any(|event| event["count"] != 1)).await;
    let told = failures(&world);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0]["message"].as_str().unwrap().starts_with("Error creating: pods \"rs-\" is forbidden"), "{told:?}");
    world.stop().await;
}
