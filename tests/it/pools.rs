//! What a pool promises: pods say what they cost before they run, a smaller pool loses none of them, and hosts that are
//! short are told of.

use e2e::{World, eventually};
use serde_json::Value;

#[test]
fn pods_say_their_size_survive_a_shrink_and_short_hosts_are_told_of() {
    let world = World::up("pools");
    world.cluster("demo", 2);
    says_its_size_before_it_runs(&world);
    shrinks_without_losing_pods(&world);
    tells_that_no_host_offers_the_shape(&world);
}

fn apply(world: &World, yaml: &str) {
    let yaml = yaml.replace("$HAKO_REGISTRY", world.variable("HAKO_REGISTRY"));
    world.ok(&format!("kubectl apply -f - <<'END'\n{yaml}\nEND"));
}

const NEVER_RUNS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: sized}
spec:
  containers:
  - name: a
    image: $HAKO_REGISTRY/demo/none:1
    resources: {limits: {cpu: 500m, memory: 1Gi}}
  - name: b
    image: $HAKO_REGISTRY/demo/none:1
    resources: {limits: {cpu: 500m, memory: 1Gi}}
---
apiVersion: v1
kind: Pod
metadata: {name: huge}
spec:
  containers:
  - {name: a, image: $HAKO_REGISTRY/demo/web:1, resources: {limits: {cpu: "129"}}}
"#;

fn says_its_size_before_it_runs(world: &World) {
    apply(world, NEVER_RUNS);
    let pod = eventually(30, "the pod has a node", || {
        let pod = world.json("kubectl get pod sized -o json");
        pod["spec"]["nodeName"].is_string().then_some(pod)
    });
    assert_eq!(pod["status"]["phase"], "Pending", "{pod}");
    let annotations = &pod["metadata"]["annotations"];
    assert_eq!(annotations["hako.dev/billed-size"], "1 OCPU, 3 GB (Pod.Standard.E4.Flex)");
    assert_eq!(annotations["hako.dev/exact-size"], "0.5 OCPU, 2.25 GB");
    let events = |pod: &str, reason: &str| {
        let select = format!("--field-selector=reason={reason},involvedObject.name={pod}");
        eventually(30, &format!("an event {reason} of {pod}"), || {
            let events = world.ok(&format!("kubectl get events {select} -o jsonpath='{{.items[*].message}}'"));
            (!events.is_empty()).then_some(events)
        })
    };
    let told = events("sized", "BilledSize");
    assert!(told.starts_with("Billed as 1 OCPU, 3 GB of Pod.Standard.E4.Flex"), "{told}");
    let told = events("huge", "FailedScheduling");
    assert!(told.contains("of which a pod may have 64 OCPU and 1024 GB"), "{told}");
    world.ok("kubectl delete pod sized huge --now");
}

const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: $HAKO_REGISTRY/demo/web:1, readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {minAvailable: 3, selector: {matchLabels: {app: web}}}
"#;

fn shrinks_without_losing_pods(world: &World) {
    apply(world, WEB);
    world.ok("kubectl rollout status deployment/web --timeout=60s");
    let nodes = || {
        let pods = world.json("kubectl get pods -l app=web -o json");
        let pods = pods["items"].as_array().unwrap().iter();
        pods.map(|pod| pod["spec"]["nodeName"].to_string()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(nodes().len(), 2);
    world.ok("hako virtual-node-pool update pool --cluster demo --size 1");
    let pool = || world.json("hako virtual-node-pool get pool --cluster demo --output json");
    let least = std::cell::Cell::new(4);
    eventually(120, "the pool has one node", || {
        let web = world.json("kubectl get deployment web -o json");
        least.set(least.get().min(web["status"]["readyReplicas"].as_i64().unwrap_or(0)));
        let pool = pool();
        let settled = pool["lifecycleState"] == "ACTIVE" && pool["size"] == 1;
        settled.then_some(())
    });
    assert!(least.get() >= 3, "{} were ready, the budget says 3", least.get());
    world.ok("kubectl rollout status deployment/web --timeout=60s");
    assert_eq!(nodes().len(), 1);
    let left = world.json("kubectl get nodes -o json")["items"].as_array().map(Vec::len);
    assert_eq!(left, Some(1));
}

fn tells_that_no_host_offers_the_shape(world: &World) {
    if cfg!(target_arch = "aarch64") {
        return;
    }
    let create = "hako virtual-node-pool create --cluster demo --name arm --size 1 --pod-shape Pod.Standard.A1.Flex";
    world.ok(create);
    let pool = eventually(60, "the pool needs attention", || {
        let pool: Value = world.json("hako virtual-node-pool get arm --cluster demo --output json");
        (pool["lifecycleState"] == "NEEDS_ATTENTION").then_some(pool)
    });
    assert_eq!(pool["lifecycleDetails"], "hosts are short: no host offers Pod.Standard.A1.Flex");
    world.ok("hako virtual-node-pool delete arm --cluster demo --wait");
}
