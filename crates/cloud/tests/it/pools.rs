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
