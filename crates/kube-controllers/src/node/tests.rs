use super::*;
use crate::action::merge;
use proptest::prelude::*;

const START: i64 = 1_700_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).unwrap()
}

/// Nodes with the second they were last heard from, and their pods.
#[derive(Clone)]
struct World {
    nodes: Vec<(Value, i64, Vec<Value>)>,
    said: Vec<String>,
}

fn node(name: &str) -> Value {
    json!({"metadata": {"name": name, "uid": name, "resourceVersion": "1"}, "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
}

fn pod(name: &str, tolerations: Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": "1"},
        "spec": {"containers": [], "tolerations": tolerations},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
}

impl World {
    fn new(nodes: &[(&str, i64)]) -> Self {
        Self { nodes: nodes.iter().map(|(name, heard)| (node(name), *heard, Vec::new())).collect(), said: Vec::new() }
    }

    fn plan(&self, second: i64) -> Plan {
        let seen = |(node, heard, pods): &(Value, i64, Vec<Value>)| Seen {
            node: serde_json::from_value(node.clone()).unwrap(),
            heard: at(*heard),
            pods: pods.iter().map(|pod| Arc::new(serde_json::from_value(pod.clone()).unwrap())).collect(),
        };
        diff(&Observed { nodes: self.nodes.iter().map(seen).collect(), patience: Patience::default() }, at(second))
    }

    fn act(&mut self, second: i64) {
        for action in self.plan(second).actions {
            match action {
                Action::Patch { target, patch } if target.resource == RESOURCE => {
                    merge(
                        &mut self
                            .nodes
                            .iter_mut()
                            .find(|(node, ..)| node["metadata"]["name"] == target.name)
                            .unwrap()
                            .0,
                        &patch,
                    );
                }
                Action::Patch { target, patch } => {
                    let mut pods = self.nodes.iter_mut().flat_map(|(_, _, pods)| pods);
                    merge(pods.find(|pod| pod["metadata"]["name"] == target.name).unwrap(), &patch);
                }
                Action::Delete { target, .. } => {
                    self.said.push(format!("{second}: {}", target.name));
                    for (_, _, pods) in &mut self.nodes {
                        pods.retain(|pod| pod["metadata"]["name"] != target.name);
                    }
                }
                Action::Record(note) => self.said.push(format!("{second}: {}", note.message)),
                Action::Create { .. } => unreachable!(),
            }
        }
    }

    fn taints(&self, index: usize) -> Vec<String> {
        let taints = self.nodes[index].0["spec"]["taints"].as_array().cloned().unwrap_or_default();
        let word = |taint: &Value| {
            let key = taint["key"].as_str().unwrap().trim_start_matches("node.kubernetes.io/").to_owned();
            format!("{key}:{}", taint["effect"].as_str().unwrap())
        };
        taints.iter().map(word).collect()
    }
}

#[test]
fn a_silent_node_is_unreachable_and_comes_back_clean() {
    let mut world = World::new(&[("a", 0), ("b", 39)]);
    world.nodes[0].2.push(pod("p", json!([])));
    assert_eq!(world.plan(1).wake, Some(Duration::from_secs(19)));
    world.act(39);
    assert_eq!((world.taints(0).len(), world.said.len()), (0, 0));
    world.act(40);
    assert_eq!(world.taints(0), ["unreachable:NoSchedule", "unreachable:NoExecute"]);
    let conditions = &world.nodes[0].0["status"]["conditions"];
    assert_eq!((&conditions[0]["status"], &conditions[0]["reason"]), (&json!("Unknown"), &json!("NodeStatusUnknown")));
    assert_eq!(conditions.as_array().unwrap().len(), 4);
    assert_eq!(world.nodes[0].2[0]["status"]["conditions"][0]["status"], "False");
    assert_eq!(world.said, ["40: Node a status is now: NodeNotReady"]);
    assert_eq!(world.plan(40).actions, Vec::new());
    world.nodes[0].0["status"]["conditions"][0]["status"] = json!("True");
    world.nodes[0].1 = 45;
    world.act(45);
    assert_eq!(world.taints(0), Vec::<String>::new());
}

#[test]
fn pods_leave_a_lost_node_when_their_patience_ends() {
    let mut world = World::new(&[("a", 0), ("b", 1000)]);
    let seconds = |n: i64| json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": n}]);
    world.nodes[0].2 =
        vec![pod("plain", json!([])), pod("hasty", seconds(10)), pod("firm", json!([{"operator": "Exists"}]))];
    for second in [40, 49, 50, 339, 340, 900] {
        world.act(second);
    }
    let left: Vec<_> = world.said.iter().filter(|text| !text.contains("Node")).collect();
    assert_eq!(left, ["50: hasty", "340: plain"]);
    assert_eq!(world.nodes[0].2.len(), 1);
}

#[test]
fn when_every_node_is_silent_no_pod_is_moved() {
    // Heartbeats are ten seconds apart: the first expires while the others seem alive.
    let mut world = World::new(&[("a", 0), ("b", 5), ("c", 9)]);
    for (_, _, pods) in &mut world.nodes {
        pods.push(pod("p", json!([])));
    }
    for second in [40, 45, 49, 60, 1000] {
        world.act(second);
        for index in 0..3 {
            assert!(world.taints(index).iter().all(|taint| taint.ends_with("NoSchedule")), "{second}");
        }
    }
    assert!(world.nodes.iter().all(|(_, _, pods)| pods[0]["status"]["conditions"][0]["status"] == "True"));
}

#[test]
fn cordoned_and_pressed_nodes_take_no_new_pods_and_users_taints_stay() {
    let mut world = World::new(&[("a", 0)]);
    world.nodes[0].0["spec"] = json!({"unschedulable": true, "taints": [{"key": "mine", "effect": "NoSchedule"}]});
    world.nodes[0].0["status"]["conditions"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "DiskPressure", "status": "True"}));
    world.act(1);
    assert_eq!(world.taints(0), ["mine:NoSchedule", "disk-pressure:NoSchedule", "unschedulable:NoSchedule"]);
    world.nodes[0].0["spec"]["unschedulable"] = Value::Null;
    world.act(2);
    assert_eq!(world.taints(0), ["mine:NoSchedule", "disk-pressure:NoSchedule"]);
}

#[test]
fn a_users_taint_moves_pods_at_once() {
    let mut world = World::new(&[("a", 0)]);
    world.nodes[0].0["spec"] = json!({"taints": [{"key": "mine", "effect": "NoExecute"}]});
    world.nodes[0].2 = vec![pod("p", json!([])), pod("q", json!([{"key": "mine", "operator": "Exists"}]))];
    world.act(1);
    world.act(2);
    assert_eq!(world.said, ["1: p"]);
}

proptest! {
    #[test]
    fn acting_then_diffing_yields_nothing(heard in prop::collection::vec((0..100i64, any::<bool>(), any::<bool>()), 1..5)) {
        let mut world = World::new(&[]);
        for (n, (heard, ready, cordoned)) in heard.into_iter().enumerate() {
            let mut node = node(&format!("n{n}"));
            node["status"]["conditions"][0]["status"] = json!(if ready { "True" } else { "False" });
            node["spec"]["unschedulable"] = json!(cordoned);
            world.nodes.push((node, heard, vec![pod(&format!("p{n}"), json!([]))]));
        }
        let mut other = world.clone();
        other.nodes.reverse();
        prop_assert_eq!(world.plan(100), other.plan(100));
        world.act(100);
        prop_assert_eq!(world.plan(100).actions, Vec::new());
    }
}
