//! What operators see: health, metrics, request ids through the services, and no noise from a cloud at rest.

use e2e::{World, get};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

#[test]
fn services_tell_how_they_are_and_rest_when_there_is_nothing_to_do() {
    let world = World::up("telemetry");
    world.cluster("demo", 2);
    world.ok("kubectl create deployment web --image=$HAKO_REGISTRY/demo/web:1 --replicas=2");
    world.ok("kubectl rollout status deployment/web --timeout=60s");
    let ask = |service: &str, path: &str| -> String {
        let address: SocketAddr = world.cloud.ops_address(service).unwrap();
        if service.starts_with("node-agent") {
            let namespace = world.cloud.host_namespace(if service.ends_with('1') { 1 } else { 2 });
            return world.ok(&format!("nsenter --net=/run/netns/{namespace} busybox wget -qO- http://{address}{path}"));
        }
        get(address, path).unwrap()
    };
    for service in ["control", "billing", "api-gateway", "virtual-kubelet", "node-agent-1", "node-agent-2", "s3"] {
        assert_eq!(ask(service, "/livez"), "ok", "{service}");
        assert_eq!(ask(service, "/readyz"), "ok", "{service}");
        let metrics = ask(service, "/metrics");
        assert!(metrics.contains("process_resident_memory_bytes"), "{service}: {metrics}");
        assert!(!metrics.contains("ocid1.cluster"), "{service} labels nothing by cluster");
    }
    assert!(ask("control", "/metrics").contains("kube_api_requests_total"));
    assert!(ask("api-gateway", "/metrics").contains("gateway_requests_total"));
    requests(&world);
    at_rest(&world);
    // Without its database control is alive, but not ready.
    world.cloud.kill9("postgres").unwrap();
    e2e::eventually(30, "control says that it is not ready", || (ask("control", "/readyz") != "ok").then_some(()));
    assert_eq!(ask("control", "/livez"), "ok");
    world.cloud.start("postgres").unwrap();
    e2e::eventually(30, "control is ready again", || (ask("control", "/readyz") == "ok").then_some(()));
}

/// The id of a request is in its answer, and in the logs of the services that it went through, down to the pod's host.
fn requests(world: &World) {
    let id = "e2e0123456789abcdef0123456789abc";
    let cluster = world.json("hako cluster get demo --output json");
    let api = e2e::Api::cluster(world, cluster["id"].as_str().unwrap()).with_request_id(id);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let object = serde_json::json!({"metadata": {"name": "traced"}});
    let answer = runtime.block_on(api.post("/api/v1/namespaces/default/configmaps", &object)).unwrap();
    assert_eq!((answer.status, answer.request_id.as_deref()), (201, Some(id)));
    let pod = world.ok("kubectl get pods -l app=web -o jsonpath='{.items[0].metadata.name}'");
    let answer = runtime.block_on(api.get(&format!("/api/v1/namespaces/default/pods/{pod}/log"))).unwrap();
    assert_eq!((answer.status, answer.request_id.as_deref()), (200, Some(id)));
    let found = world.ok(&format!("grep -l {id} $HOME/logs/*.log | xargs -n1 basename"));
    for service in ["api-gateway", "virtual-kubelet", "node-agent-"] {
        assert!(found.contains(service), "{service} is not among {found}");
    }
}

/// A settled cluster is written to by its nodes' leases and nothing else.
fn at_rest(world: &World) {
    let versions = || -> Vec<Value> {
        let list = world.json("kubectl get nodes,pods,deployments,replicasets,endpointslices,services -A -o json");
        list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["resourceVersion"].clone()).collect()
    };
    let before = e2e::eventually(60, "the cluster settles", || {
        let first = versions();
        std::thread::sleep(Duration::from_secs(3));
        (versions() == first).then_some(first)
    });
    std::thread::sleep(Duration::from_secs(15));
    assert_eq!(versions(), before);
}
