use crate::world::{Tenant, World};
use domain::ClusterId;
use kube_api::{
    Actor,
    ops::{self, Patch},
};
use kube_store::Cluster;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// What a virtual-kubelet of a version reports of its node, if that is ready.
pub async fn report(cluster: &Cluster, node: &str, version: &str) {
    report_as(cluster, node, "True", version).await;
}

async fn report_as(cluster: &Cluster, node: &str, status: &str, version: &str) {
    let patch = json!({"status": {
        "nodeInfo": {"kubeletVersion": version},
        "conditions": [{"type": "Ready", "status": status, "reason": "Test", "message": "m"}],
        "addresses": [{"type": "InternalIP", "address": "10.0.0.9"}],
    }});
    let nodes = kube_schema::by_plural("", "v1", "nodes").unwrap();
    let actor = Actor::system("system:virtual-kubelet");
    ops::patch_status(cluster, nodes, "", node, Patch::Merge(patch), &actor).await.unwrap();
}

/// Names of the nodes, once there are so many.
pub async fn nodes(cluster: &Cluster, count: usize) -> Vec<String> {
    for _ in 0..400 {
        let found: Vec<String> = cluster.list("nodes", None).1.iter().map(|node| node.key.name.to_string()).collect();
        if found.len() == count {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("there are not {count} nodes");
}

/// Makes a pool; gives its id and its work request.
pub async fn make(tenant: &Tenant<'_>, cluster: &str, more: Value) -> (String, String) {
    let mut body = json!({"compartmentId": tenant.id, "clusterId": cluster, "displayName": "pool", "size": 2});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = tenant.post("/virtualNodePools", &body).await;
    assert_eq!(made.status, 202, "{}", made.text);
    let work = made.header("opc-work-request-id");
    let request = tenant.get(&format!("/workRequests/{work}")).await.body;
    (request["resources"][0]["identifier"].as_str().unwrap().to_owned(), work)
}

/// The objects of a cluster.
pub async fn store(world: &World, id: &str) -> Arc<Cluster> {
    world.stores.cluster(&id.parse::<ClusterId>().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_is_active_when_its_nodes_are_ready_and_shrinks_and_goes() {
    let world = World::start("pools").await;
    let tenant = world.tenant("acme").await;
    let id = tenant.cluster("demo", "ENHANCED_CLUSTER").await;
    let cluster = store(&world, &id).await;
    let (pool, work) = make(&tenant, &id, json!({"initialVirtualNodeLabels": [{"key": "team", "value": "a"}]})).await;
    let names = nodes(&cluster, 2).await;
    let path = format!("/virtualNodePools/{pool}");
    assert_eq!(tenant.get(&path).await.body["lifecycleState"], "CREATING");
    for name in &names {
        report(&cluster, name, "v1.36.0").await;
    }
    assert_eq!(tenant.ended(&work).await["status"], "SUCCEEDED");
    let got = tenant.get(&path).await;
    assert_eq!((&got.body["lifecycleState"], &got.body["size"]), (&json!("ACTIVE"), &json!(2)));
    let listed = tenant.get(&format!("{path}/virtualNodes?sortBy=NAME")).await.body;
    assert_eq!(listed[0]["lifecycleState"], "ACTIVE", "{listed}");
    assert_eq!(listed[0]["privateIp"], "10.0.0.9");
    let one = tenant.get(&format!("{path}/virtualNodes/{}", listed[0]["id"].as_str().unwrap())).await;
    assert_eq!(one.body["displayName"], listed[0]["displayName"]);
    let node = cluster.list("nodes", None).1[0].value();
    assert_eq!(node["metadata"]["labels"]["team"], "a");
    assert!(node["spec"]["providerID"].as_str().unwrap().starts_with("hako://ocid1.virtualnode."));

    let change = json!({"size": 1, "initialVirtualNodeLabels": [], "taints": [{"key": "t", "effect": "NoSchedule"}]});
    let stale = tenant.call("PUT", &path, &[("if-match", "x")], &change.to_string()).await;
    assert_eq!(stale.code(), "412 NoEtagMatch");
    let updated = tenant.call("PUT", &path, &[], &change.to_string()).await;
    assert_eq!(updated.status, 202, "{}", updated.text);
    assert_eq!(tenant.ended(&updated.header("opc-work-request-id")).await["status"], "SUCCEEDED");
    nodes(&cluster, 1).await;
    let node = cluster.list("nodes", None).1[0].value();
    assert_eq!((&node["metadata"]["labels"]["team"], &node["spec"]["taints"][0]["key"]), (&Value::Null, &json!("t")));

    let deleted = tenant.call("DELETE", &path, &[], "").await;
    assert_eq!(tenant.ended(&deleted.header("opc-work-request-id")).await["status"], "SUCCEEDED");
    nodes(&cluster, 0).await;
    assert_eq!(tenant.get(&path).await.body["lifecycleState"], "DELETED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_node_comes_back_and_an_unready_one_needs_attention() {
    let world = World::start("attention").await;
    let tenant = world.tenant("acme").await;
    let id = tenant.cluster("demo", "ENHANCED_CLUSTER").await;
    let cluster = store(&world, &id).await;
    let (pool, work) = make(&tenant, &id, json!({"size": 1})).await;
    let name = nodes(&cluster, 1).await.remove(0);
    report(&cluster, &name, "v1.36.0").await;
    tenant.ended(&work).await;
    report_as(&cluster, &name, "False", "v1.36.0").await;
    let path = format!("/virtualNodePools/{pool}");
    let mut got = Value::Null;
    for _ in 0..200 {
        got = tenant.get(&path).await.body;
        if got["lifecycleState"] == "NEEDS_ATTENTION" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert!(got["lifecycleDetails"].as_str().unwrap().contains("not ready"), "{got}");
    let kind = kube_schema::by_plural("", "v1", "nodes").unwrap();
    let actor = Actor::system("kubectl");
    ops::delete(&cluster, kind, "", &name, &ops::DeleteOptions::now(), &actor).await.unwrap();
    assert_eq!(nodes(&cluster, 1).await, [name]);
}

#[tokio::test(flavor = "multi_thread")]
async fn virtual_nodes_need_an_enhanced_cluster_and_end_with_it() {
    let world = World::start("enhanced").await;
    let tenant = world.tenant("acme").await;
    let basic = tenant.cluster("basic", "BASIC_CLUSTER").await;
    let body = json!({"compartmentId": tenant.id, "clusterId": basic, "displayName": "pool", "size": 1});
    let refused = tenant.post("/virtualNodePools", &body).await;
    assert_eq!(refused.code(), "400 InvalidParameter");
    assert!(refused.text.contains("ENHANCED_CLUSTER"), "{}", refused.text);

    let id = tenant.cluster("big", "ENHANCED_CLUSTER").await;
    let (pool, work) = make(&tenant, &id, json!({})).await;
    let cluster = store(&world, &id).await;
    nodes(&cluster, 2).await;
    drop(cluster);
    let deleted = tenant.call("DELETE", &format!("/clusters/{id}"), &[], "").await;
    assert_eq!(tenant.ended(&deleted.header("opc-work-request-id")).await["status"], "SUCCEEDED");
    assert_eq!(tenant.get(&format!("/virtualNodePools/{pool}")).await.body["lifecycleState"], "DELETED");
    assert_eq!(tenant.ended(&work).await["status"], "CANCELED");
    let small = tenant.cluster("small", "ENHANCED_CLUSTER").await;
    make(&tenant, &small, json!({"size": 1})).await;
    let body = json!({"compartmentId": tenant.id, "clusterId": small, "displayName": "pool", "size": 2000});
    assert_eq!(tenant.post("/virtualNodePools", &body).await.code(), "400 LimitExceeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_nodes_are_made_together_and_logged_together() {
    let world = World::start("many").await;
    let tenant = world.tenant("acme").await;
    let id = tenant.cluster("demo", "ENHANCED_CLUSTER").await;
    let cluster = store(&world, &id).await;
    let (_, work) = make(&tenant, &id, json!({"size": 450})).await;
    nodes(&cluster, 450).await;
    let logs = tenant.get(&format!("/workRequests/{work}/logs")).await.body;
    assert!(logs.as_array().unwrap().len() <= 4, "{logs}");
    let faults: std::collections::BTreeMap<String, usize> =
        cluster.list("nodes", None).1.iter().fold(Default::default(), |mut faults, node| {
            let value = node.value();
            *faults.entry(value["metadata"]["labels"]["hako.dev/fault-domain"].to_string()).or_default() += 1;
            faults
        });
    assert_eq!(faults.values().copied().collect::<Vec<_>>(), [150, 150, 150]);
}

async fn state(tenant: &Tenant<'_>, path: &str, wanted: &str) -> Value {
    let mut got = Value::Null;
    for _ in 0..800 {
        got = tenant.get(path).await.body;
        if got["lifecycleState"] == wanted {
            return got;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{path} does not become {wanted}: {got}");
}

/// A pod bound to a node that runs until it is evicted, and a budget that allows no eviction.
async fn held_pod(cluster: &Cluster, node: &str) {
    let create = async |group: &str, plural: &str, object: Value| {
        let kind = kube_schema::by_plural(group, "v1", plural).unwrap();
        ops::create(cluster, kind, "default", object, &Actor::system("kubectl")).await.unwrap();
    };
    let spec = json!({"nodeName": node, "containers": [{"name": "c", "image": "i:1"}]});
    let pod = json!({"metadata": {"name": "p", "namespace": "default", "labels": {"app": "web"}}, "spec": spec});
    create("", "pods", pod).await;
    let spec = json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}});
    create("policy", "poddisruptionbudgets", json!({"metadata": {"name": "b", "namespace": "default"}, "spec": spec}))
        .await;
    let pods = kube_schema::by_plural("", "v1", "pods").unwrap();
    let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    let kubelet = Actor::system("system:virtual-kubelet");
    ops::patch_status(cluster, pods, "default", "p", Patch::Merge(ready), &kubelet).await.unwrap();
}

async fn ready_pool(world: &World, tenant: &Tenant<'_>, more: Value) -> (Arc<Cluster>, String, Vec<String>) {
    let id = tenant.cluster("demo", "ENHANCED_CLUSTER").await;
    let cluster = store(world, &id).await;
    let size = more["size"].as_u64().unwrap_or(2) as usize;
    let (pool, work) = make(tenant, &id, more).await;
    let names = nodes(&cluster, size).await;
    for name in &names {
        report(&cluster, name, "v1.36.0").await;
    }
    assert_eq!(tenant.ended(&work).await["status"], "SUCCEEDED");
    (cluster, format!("/virtualNodePools/{pool}"), names)
}

async fn node_called(tenant: &Tenant<'_>, path: &str, name: &str) -> Value {
    tenant.get(&format!("{path}/virtualNodes?name={name}")).await.body[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_is_deleted_and_replaced_or_makes_the_pool_smaller() {
    let world = World::start("one_node").await;
    let tenant = world.tenant("acme").await;
    let (cluster, path, names) = ready_pool(&world, &tenant, json!({})).await;
    let delete = async |name: &str, query: &str| {
        let id = node_called(&tenant, &path, name).await["id"].as_str().unwrap().to_owned();
        tenant.call("DELETE", &format!("{path}/virtualNodes/{id}{query}"), &[], "").await
    };
    assert_eq!(delete(&names[0], "?overrideEvictionGraceDuration=PT2H").await.code(), "400 InvalidParameter");
    let missing =
        tenant.call("DELETE", &format!("{path}/virtualNodes/ocid1.virtualnode.hako.local-1.x"), &[], "").await;
    assert_eq!(missing.code(), "404 NotAuthorizedOrNotFound");

    let first = delete(&names[0], "").await;
    assert_eq!(first.status, 202, "{}", first.text);
    let work = first.header("opc-work-request-id");
    let ended = tenant.ended(&work).await;
    assert_eq!((&ended["status"], &ended["operationType"]), (&json!("SUCCEEDED"), &json!("VIRTUALNODE_DELETE")));
    assert_eq!(ended["resources"][0]["entityType"], "virtualnode");
    let logs = tenant.get(&format!("/workRequests/{work}/logs")).await.text;
    assert!(logs.contains("draining virtual node") && logs.contains("removed virtual node"), "{logs}");
    let now = nodes(&cluster, 2).await;
    assert!(!now.contains(&names[0]) && now.contains(&names[1]), "{now:?}");
    for name in &now {
        report(&cluster, name, "v1.36.0").await;
    }
    assert_eq!(state(&tenant, &path, "ACTIVE").await["size"], 2);

    let second = delete(&names[1], "?isDecrementSize=true").await;
    assert_eq!(tenant.ended(&second.header("opc-work-request-id")).await["status"], "SUCCEEDED");
    assert!(!nodes(&cluster, 1).await.contains(&names[1]));
    assert_eq!(state(&tenant, &path, "ACTIVE").await["size"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_holds_a_node_until_its_grace_ends() {
    let world = World::start("budget").await;
    let tenant = world.tenant("acme").await;
    let (cluster, path, names) = ready_pool(&world, &tenant, json!({})).await;
    held_pod(&cluster, &names[0]).await;
    let id = node_called(&tenant, &path, &names[0]).await["id"].as_str().unwrap().to_owned();
    let node = format!("{path}/virtualNodes/{id}");
    let delete = async |query: &str| {
        let deleted = tenant.call("DELETE", &format!("{node}{query}"), &[], "").await;
        assert_eq!(deleted.status, 202, "{}", deleted.text);
        deleted.header("opc-work-request-id")
    };
    // It stays, the work says why, and the pool has its size again.
    let work = delete("?isDecrementSize=true&overrideEvictionGraceDuration=PT2S").await;
    let mut held = Value::Null;
    for _ in 0..200 {
        held = tenant.get(&node).await.body;
        if held["lifecycleDetails"].as_str().is_some_and(|text| text.contains("held by disruption budgets")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(held["lifecycleDetails"], "draining: 1 pod is left, 1 of them held by disruption budgets");
    assert_eq!(tenant.ended(&work).await["status"], "FAILED");
    let errors = tenant.get(&format!("/workRequests/{work}/errors")).await.text;
    assert!(errors.contains("1 pod did not leave it in time"), "{errors}");
    assert_eq!(state(&tenant, &path, "ACTIVE").await["size"], 2);
    let kept = cluster.get(&kube_store::Key::new("nodes", "", &*names[0])).unwrap().value();
    assert_eq!(kept["spec"]["unschedulable"], Value::Null, "{kept}");
    // With force it goes, with its pod.
    let work = delete("?isForceDeletionAfterOverrideGraceDuration=true&overrideEvictionGraceDuration=PT1S").await;
    assert_eq!(tenant.ended(&work).await["status"], "SUCCEEDED");
    let logs = tenant.get(&format!("/workRequests/{work}/logs")).await.text;
    assert!(logs.contains("with 1 pod that had not left in time"), "{logs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cycling_replaces_all_nodes_and_says_so() {
    let world = World::start("cycling").await;
    let tenant = world.tenant("acme").await;
    let (cluster, path, names) = ready_pool(&world, &tenant, json!({})).await;
    let cycling = json!({"isVirtualNodeCyclingEnabled": true, "maximumSurge": "50%", "maximumUnavailable": "0"});
    let change = json!({
        "podConfiguration": {"shape": "Pod.Standard3.Flex"}, "virtualNodePoolCyclingDetails": cycling,
        "taints": [{"key": "t", "effect": "NoSchedule"}],
    });
    let nonsense = json!({"virtualNodePoolCyclingDetails": {"maximumSurge": "3"}});
    assert_eq!(tenant.call("PUT", &path, &[], &nonsense.to_string()).await.code(), "400 InvalidParameter");
    let updated = tenant.call("PUT", &path, &[], &change.to_string()).await;
    let work = updated.header("opc-work-request-id");
    let shapes = |cluster: &Cluster| {
        let all = cluster.list("nodes", None).1;
        all.iter().map(|node| node.meta.labels["node.kubernetes.io/instance-type"].clone()).collect::<Vec<_>>()
    };
    let (mut most, mut done) = (0, false);
    for _ in 0..800 {
        let all = cluster.list("nodes", None).1;
        most = most.max(all.len());
        for node in &all {
            if node.value().pointer("/status/conditions").is_none() {
                report(&cluster, &node.key.name, "v1.36.0").await;
            }
        }
        done = tenant.get(&path).await.body["lifecycleState"] == "ACTIVE";
        if done {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(done && most == 3, "at most {most} nodes, ended: {done}");
    assert_eq!(shapes(&cluster), ["Pod.Standard3.Flex", "Pod.Standard3.Flex"]);
    assert!(nodes(&cluster, 2).await.iter().all(|name| !names.contains(name)));
    let ended = tenant.ended(&work).await;
    assert_eq!((&ended["status"], &ended["operationType"]), (&json!("SUCCEEDED"), &json!("VIRTUALNODEPOOL_CYCLING")));
    assert_eq!(tenant.get(&path).await.body["virtualNodePoolCyclingDetails"], cycling);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_for_which_hosts_are_short_needs_attention_until_they_are_not() {
    let world = World::start("short").await;
    let tenant = world.tenant("acme").await;
    let (_, path, names) = ready_pool(&world, &tenant, json!({"size": 1})).await;
    let cluster = tenant.get(&path).await.body["clusterId"].as_str().unwrap().to_owned();
    let waiting = (3, "no capacity in FAULT-DOMAIN-1: waiting for room".to_owned());
    world.supply.lock().unwrap().waiting.insert((cluster, names[0].clone()), waiting);
    let details = state(&tenant, &path, "NEEDS_ATTENTION").await["lifecycleDetails"].clone();
    let expect =
        "hosts are short: 3 pods wait for room on 1 virtual node (no capacity in FAULT-DOMAIN-1: waiting for room)";
    assert_eq!(details, expect);
    world.supply.lock().unwrap().waiting.clear();
    state(&tenant, &path, "ACTIVE").await;
    let all = std::mem::take(&mut world.supply.lock().unwrap().shapes);
    let details = state(&tenant, &path, "NEEDS_ATTENTION").await["lifecycleDetails"].clone();
    assert_eq!(details, "hosts are short: no host offers Pod.Standard.E4.Flex");
    let shapes = tenant.get(&format!("/podShapes?compartmentId={}", tenant.id)).await.body;
    assert_eq!((shapes.as_array().unwrap().len(), &shapes[0]["isOffered"]), (4, &json!(false)), "{shapes}");
    world.supply.lock().unwrap().shapes = all;
    state(&tenant, &path, "ACTIVE").await;
}
