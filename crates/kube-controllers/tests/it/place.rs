//! Where pods go, and what becomes of those whose node is lost.

use crate::world::World;
use kube_controllers::{Config, node::Patience};
use kube_store::Key;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn pod(name: &str, extra: Value) -> Value {
    let mut pod = json!({"metadata": {"name": name, "labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    for (key, value) in extra.as_object().into_iter().flatten() {
        pod["spec"][key] = value.clone();
    }
    pod
}

fn node_of(world: &World, name: &str) -> Option<String> {
    world.value("pods", "default", name)?["spec"]["nodeName"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_waits_with_a_reason_until_a_node_fits() {
    let world = World::new("pending").await;
    world.create("pods", "default", pod("p", json!({"nodeSelector": {"disk": "ssd"}}))).await;
    let why = |world: &World| {
        let pod = world.value("pods", "default", "p").unwrap_or_default();
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.into_iter().find(|c| c["type"] == "PodScheduled" && c["reason"] == "Unschedulable");
        found.map(|condition| condition["message"].as_str().unwrap().to_owned()).unwrap_or_default()
    };
    world.until("no node", |world| why(world) == "no nodes available to schedule pods").await;
    world.node("a").await;
    world
        .until("no fitting node", |world| {
            why(world).starts_with("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.")
        })
        .await;
    world.until("it is told", |world| world.reasons("default").contains(&"FailedScheduling".into())).await;
    world.patch("nodes", "", "a", json!({"metadata": {"labels": {"disk": "ssd"}}})).await;
    world.until("it is placed", |world| node_of(world, "p").as_deref() == Some("a")).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pod_is_billed_as_is_on_it_in_the_moment_it_is_bound() {
    let world = World::new("billed").await;
    world.node("a").await;
    let labels = json!({"node.kubernetes.io/instance-type": "Pod.Standard.E4.Flex"});
    world.patch("nodes", "", "a", json!({"metadata": {"labels": labels}})).await;
    let limits = json!({"limits": {"cpu": "500m", "memory": "1Gi"}});
    let containers = json!([
        {"name": "c", "image": "i:1", "resources": limits}, {"name": "d", "image": "i:1", "resources": limits},
    ]);
    world.create("pods", "default", pod("p", json!({"containers": containers}))).await;
    world.until("it is placed", |world| node_of(world, "p").is_some()).await;
    let annotations = world.value("pods", "default", "p").unwrap()["metadata"]["annotations"].clone();
    let expect = json!({
        "hako.dev/billed-size": "1 OCPU, 3 GB (Pod.Standard.E4.Flex)", "hako.dev/billed-ocpus": "1",
        "hako.dev/billed-memory-gb": "3", "hako.dev/exact-size": "0.5 OCPU, 2.25 GB",
    });
    assert_eq!(annotations, expect);
    world.until("it is told", |world| world.reasons("default").contains(&"BilledSize".into())).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_waits_for_company_sees_it_come() {
    let world = World::new("company").await;
    world.node("a").await;
    world.create("pods", "default", pod("db", json!({}))).await;
    world.until("the other is placed", |world| node_of(world, "db").is_some()).await;
    let near = json!([{"labelSelector": {"matchLabels": {"role": "db"}}, "topologyKey": "kubernetes.io/hostname"}]);
    let affinity = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": near}});
    world.create("pods", "default", pod("friend", json!({"affinity": affinity}))).await;
    let waits = |world: &World| {
        let pod = world.value("pods", "default", "friend").unwrap_or_default();
        pod["status"]["conditions"].to_string().contains("didn't match pod affinity rules")
    };
    world.until("it waits", waits).await;
    world.patch("pods", "default", "db", json!({"metadata": {"labels": {"role": "db"}}})).await;
    world.until("it is placed", |world| node_of(world, "friend").as_deref() == Some("a")).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binding_is_quick() {
    let world = World::new("quick").await;
    for name in ["a", "b", "c"] {
        world.node(name).await;
    }
    let mut times = Vec::new();
    for n in 0..50 {
        let name = format!("p{n}");
        let begun = Instant::now();
        world.create("pods", "default", pod(&name, json!({}))).await;
        world.until("it is bound", |world| node_of(world, &name).is_some()).await;
        times.push(begun.elapsed());
    }
    times.sort();
    eprintln!("create → bound: p50 {:?}, p95 {:?}", times[25], times[47]);
    let begun = Instant::now();
    let many = (0..300).map(|n| {
        let world = &world;
        async move { world.create("pods", "default", pod(&format!("m{n}"), json!({}))).await }
    });
    futures::future::join_all(many).await;
    world
        .until("all are bound", |world| {
            world.all("pods", "default").iter().all(|pod| pod["spec"]["nodeName"].is_string())
        })
        .await;
    eprintln!("300 pods created and bound in {:?}", begun.elapsed());
    // Ten times what an idle machine takes: this guards against waiting for timers, not against a busy machine.
    assert!(times[25] < Duration::from_millis(100), "{:?}", times[25]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_leave_a_lost_node_and_a_deleted_one() {
    let patience = Patience { grace: Duration::from_secs(3), toleration: Duration::from_secs(1) };
    let config = Config { patience, node_gone: Duration::from_millis(100), ..Config::default() };
    let world = World::with("lost", config).await;
    world.node("a").await;
    world.node("b").await;
    world.deployment("default", "web", 4).await;
    world.complete("default", "web", 4).await;
    // From here on only b gives signs of life.
    let beat = async {
        loop {
            world.heartbeat("b").await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let all_on = |world: &World, node: &str| {
        let pods = world.all("pods", "default");
        pods.len() == 4 && pods.iter().all(|pod| pod["spec"]["nodeName"] == node)
    };
    let moved = async {
        // Admission gives pods 300 s; the Deployment's users may say less.
        let tolerations = json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}]);
        world
            .patch(
                "deployments.apps",
                "default",
                "web",
                json!({"spec": {"template": {"spec": {"tolerations": tolerations}}}}),
            )
            .await;
        world
            .until("a is unreachable", |world| {
                let node = world.value("nodes", "", "a").unwrap_or_default();
                node["spec"]["taints"]
                    .as_array()
                    .is_some_and(|taints| taints.iter().any(|t| t["key"] == "node.kubernetes.io/unreachable"))
            })
            .await;
        world.until("all pods are on b", |world| all_on(world, "b")).await;
        world.complete("default", "web", 4).await;
    };
    tokio::select! {
        () = beat => {}
        () = moved => {}
    }
    let world = world;
    let second = async {
        loop {
            world.heartbeat("c").await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    let replaced = async {
        world.node("c").await;
        world.delete("nodes", "", "b", None).await;
        world.until("all pods are on c", |world| all_on(world, "c")).await;
        assert!(world.cluster.get(&Key::new("nodes", "", "b")).is_none());
    };
    tokio::select! {
        () = second => {}
        () = replaced => {}
    }
    world.stop().await;
}
