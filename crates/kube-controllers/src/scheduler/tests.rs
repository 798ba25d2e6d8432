use super::*;
use k8s_openapi::api::core::v1::{Node, Pod};
use proptest::prelude::*;
use serde_json::{Value, json};

fn node(name: &str, extra: Value) -> Value {
    let mut node = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "zone": &name[..1]}},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}},
    });
    crate::action::merge(&mut node, &extra);
    node
}

fn pod(name: &str, extra: Value) -> Value {
    let mut pod = json!({"metadata": {"name": name, "namespace": "ns", "uid": name, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c"}]}});
    crate::action::merge(&mut pod, &extra);
    pod
}

fn bound(name: &str, node: &str, extra: Value) -> Value {
    let mut pod = pod(name, extra);
    pod["spec"]["nodeName"] = json!(node);
    pod
}

fn snapshot(nodes: &[Value], pods: &[Value]) -> Snapshot {
    let nodes: Vec<Arc<Node>> = nodes.iter().map(|n| Arc::new(serde_json::from_value(n.clone()).unwrap())).collect();
    let pods = pods.iter().map(|p| Arc::new(PodInfo::new(Arc::new(serde_json::from_value::<Pod>(p.clone()).unwrap()))));
    let (bound, pending) = pods.partition(|pod| view::node_name(&pod.pod).is_some());
    Snapshot::new(&nodes, bound, pending, BTreeMap::new())
}

/// `pod→node` or the reason, for each pending pod.
fn decide_all(nodes: &[Value], pods: &[Value]) -> Vec<String> {
    let word = |decision: Decision| match decision.node {
        Ok(node) => format!("{}→{node}", decision.pod.name),
        Err(why) => why.split(" preemption").next().unwrap().to_owned(),
    };
    schedule(snapshot(nodes, pods)).into_iter().map(word).collect()
}

#[track_caller]
fn check(nodes: &[Value], pods: &[Value], expect: &[&str]) {
    assert_eq!(decide_all(nodes, pods), expect);
}

#[test]
fn replicas_spread_over_the_nodes() {
    let owner = json!({"metadata": {"ownerReferences": [{"apiVersion": "a", "kind": "b", "name": "c", "uid": "o", "controller": true}]}});
    let nodes = ["a", "b", "c"].map(|name| node(name, json!({})));
    let pods: Vec<_> = (0..6).map(|n| pod(&format!("p{n}"), owner.clone())).collect();
    check(&nodes, &pods, &["p0→a", "p1→b", "p2→c", "p3→a", "p4→b", "p5→c"]);
}

#[test]
fn nothing_fits_is_explained_as_upstream_does() {
    check(&[], &[pod("p", json!({}))], &["no nodes available to schedule pods"]);
    let tainted = |name| node(name, json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}}));
    let nodes = [tainted("a"), tainted("b"), node("c", json!({"spec": {"unschedulable": true}})), node("d", json!({}))];
    let large = pod(
        "p",
        json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "5", "memory": "9Gi"}}}]}}),
    );
    check(
        &nodes,
        &[large],
        &["0/4 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, \
        1 node(s) were unschedulable, 2 node(s) had untolerated taint(s)."],
    );
}

#[test]
fn a_pod_larger_than_the_shape_goes_to_a_larger_one() {
    let virtual_node = |name: &str, shape: &str| {
        let status = json!({"allocatable": {"cpu": "64k", "memory": "512Ti", "pods": "500"}});
        node(name, json!({"metadata": {"labels": {"node.kubernetes.io/instance-type": shape}}, "status": status}))
    };
    let asking = |name: &str, cpu: &str| {
        pod(name, json!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": cpu}}}]}}))
    };
    let (intel, amd) = (virtual_node("a", "Pod.Standard3.Flex"), virtual_node("b", "Pod.Standard.E4.Flex"));
    check(&[intel.clone(), amd.clone()], &[asking("p", "128")], &["p→b"]);
    let arm = virtual_node("c", "Pod.Standard.A1.Flex");
    check(&[intel, amd, arm], &[asking("p", "76")], &["p→b"]);
    check(
        &[virtual_node("a", "Pod.Standard3.Flex"), virtual_node("b", "Pod.Standard.E4.Flex")],
        &[asking("p", "129")],
        &[
            "0/2 nodes are available: 1 node(s) of shape Pod.Standard.E4.Flex, of which a pod may have 64 OCPU and 1024 GB, \
        1 node(s) of shape Pod.Standard3.Flex, of which a pod may have 32 OCPU and 512 GB.",
        ],
    );
}

#[test]
fn the_hint_tells_whether_other_pods_are_in_the_way() {
    let asking = |name: &str, cpu: &str| {
        pod(name, json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}}))
    };
    let hint = |nodes: &[Value], pods: &[Value]| {
        let decided = schedule(snapshot(nodes, pods)).pop().unwrap();
        decided.node.unwrap_err().split_once("preemption: ").unwrap().1.to_owned()
    };
    let mut full = asking("full", "3");
    full["spec"]["nodeName"] = json!("a");
    let tainted = node("b", json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}));
    assert_eq!(
        hint(&[node("a", json!({})), tainted], &[full.clone(), asking("p", "2")]),
        "0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for \
         scheduling."
    );
    assert_eq!(
        hint(&[node("a", json!({}))], &[full, asking("p", "5")]),
        "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    );
}

#[test]
fn selectors_affinities_and_tolerations_choose_nodes() {
    let nodes = [
        node(
            "a",
            json!({"metadata": {"labels": {"disk": "ssd"}}, "spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}),
        ),
        node("b", json!({"metadata": {"labels": {"disk": "ssd"}}})),
        node("c", json!({})),
    ];
    let affinity = |term: Value| json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}}});
    check(&nodes, &[pod("p", json!({"spec": {"nodeSelector": {"disk": "ssd"}}}))], &["p→b"]);
    check(
        &nodes,
        &[pod("p", affinity(json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["c"]}]})))],
        &["p→c"],
    );
    let tolerant =
        json!({"spec": {"nodeSelector": {"kubernetes.io/hostname": "a"}, "tolerations": [{"operator": "Exists"}]}});
    check(&nodes, &[pod("p", tolerant)], &["p→a"]);
    check(
        &nodes,
        &[pod("p", json!({"spec": {"nodeSelector": {"disk": "tape"}}}))],
        &[
            "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 node(s) didn't match Pod's node affinity/selector.",
        ],
    );
    let wish = json!({"spec": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 50, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["c"]}]}}]}}}});
    check(&nodes, &[pod("p", wish)], &["p→c"]);
}

#[test]
fn room_is_counted_pod_by_pod() {
    let request = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1500m"}}}]}});
    let pods: Vec<_> = (0..3).map(|n| pod(&format!("p{n}"), request.clone())).collect();
    check(&[node("a", json!({}))], &pods, &["p0→a", "p1→a", "0/1 nodes are available: 1 Insufficient cpu."]);
    let full = node("a", json!({"status": {"allocatable": {"pods": "1"}}}));
    check(&[full], &[bound("x", "a", json!({})), pod("p", json!({}))], &["0/1 nodes are available: 1 Too many pods."]);
}

#[test]
fn anti_affinity_holds_both_ways() {
    let apart = json!({"spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}]}}}});
    let nodes = ["a", "b"].map(|name| node(name, json!({})));
    let pods: Vec<_> = (0..3).map(|n| pod(&format!("p{n}"), apart.clone())).collect();
    check(&nodes, &pods, &["p0→a", "p1→b", "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules."]);
    check(
        &nodes,
        &[bound("x", "a", apart.clone()), bound("y", "b", apart.clone()), pod("plain", json!({}))],
        &["0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules."],
    );
    check(&nodes, &[bound("x", "a", apart), pod("plain", json!({}))], &["plain→b"]);
}

#[test]
fn affinity_follows_company_and_the_first_may_start_anywhere() {
    let near = json!({"spec": {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "zone"}]}}}});
    let nodes = ["a1", "a2", "b1"].map(|name| node(name, json!({})));
    check(&nodes, &[bound("x", "b1", json!({})), pod("p", near.clone())], &["p→b1"]);
    let two = [pod("p", near.clone()), pod("q", near)];
    check(&nodes, &two, &["p→a1", "q→a2"]);
}

#[test]
fn hard_spread_keeps_the_skew() {
    let spread = json!({"spec": {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}}]}});
    let small = node("b1", json!({"status": {"allocatable": {"pods": "1"}}}));
    let pods: Vec<_> = (0..4).map(|n| pod(&format!("p{n}"), spread.clone())).collect();
    let why = "0/2 nodes are available: 1 Too many pods, 1 node(s) didn't match pod topology spread constraints.";
    check(&[node("a1", json!({})), small], &pods, &["p0→a1", "p1→b1", "p2→a1", why]);
}

#[test]
fn important_pods_come_first() {
    let full = node("a", json!({"status": {"allocatable": {"pods": "1"}}}));
    let decided = decide_all(&[full], &[pod("a", json!({})), pod("b", json!({"spec": {"priority": 10}}))]);
    assert_eq!(decided[0], "b→a");
}

proptest! {
    #[test]
    fn no_node_is_overfilled_and_order_does_not_matter(
        nodes in prop::collection::vec((1..6u32, 1..8u32), 1..5),
        pods in prop::collection::vec(0..3000u64, 0..20),
    ) {
        let nodes: Vec<_> = nodes.iter().enumerate().map(|(n, (cpu, count))| {
            node(&format!("n{n}"), json!({"status": {"allocatable": {"cpu": cpu.to_string(), "pods": count.to_string()}}}))
        }).collect();
        let pods: Vec<_> = pods.iter().enumerate().map(|(n, cpu)| {
            pod(&format!("p{n}"), json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": format!("{cpu}m")}}}]}}))
        }).collect();
        let decisions = schedule(snapshot(&nodes, &pods));
        let (reversed_nodes, reversed_pods): (Vec<_>, Vec<_>) = (nodes.iter().rev().cloned().collect(), pods.iter().rev().cloned().collect());
        prop_assert_eq!(&decisions, &schedule(snapshot(&reversed_nodes, &reversed_pods)));
        let placed: Vec<Value> = pods.iter().map(|pod| {
            let mut pod = pod.clone();
            let decision = decisions.iter().find(|d| d.pod.name == pod["metadata"]["name"]).unwrap();
            if let Ok(node) = &decision.node {
                pod["spec"]["nodeName"] = json!(node);
            }
            pod
        }).collect();
        let after = snapshot(&nodes, &placed);
        for node in &after.nodes {
            prop_assert!(node.used.get("cpu") <= node.allocatable.get("cpu"));
            prop_assert!(node.pods.len() as u64 <= node.allocatable.get("pods"));
        }
        // Acting then deciding again places nothing more.
        prop_assert!(schedule(after).iter().all(|decision| decision.node.is_err()));
    }
}
