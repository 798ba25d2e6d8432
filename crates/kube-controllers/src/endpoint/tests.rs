use super::*;
use crate::action::merge;
use proptest::prelude::*;
use serde_json::{Value, json};

fn service(extra: Value) -> Value {
    let mut service = json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "s", "resourceVersion": "1", "labels": {"team": "a"}},
        "spec": {"selector": {"app": "web"}, "clusterIP": "10.0.0.1",
            "ports": [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}]},
    });
    merge(&mut service, &extra);
    service
}

fn pod(n: usize, state: &str, port: i32) -> Value {
    let mut pod = json!({
        "metadata": {"name": format!("p{n}"), "namespace": "ns", "uid": format!("u{n}"), "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": port}]}]},
        "status": {"phase": "Running", "podIP": format!("10.1.{}.{}", n / 250, n % 250)},
    });
    let ready = if state.contains("unready") { "False" } else { "True" };
    pod["status"]["conditions"] = json!([{"type": "Ready", "status": ready}]);
    match state {
        s if s.contains("ending") => pod["metadata"]["deletionTimestamp"] = json!("2023-11-14T22:13:20Z"),
        "failed" => pod["status"]["phase"] = json!("Failed"),
        "noip" => pod["status"]["podIP"] = Value::Null,
        _ => {}
    }
    pod
}

/// The objects, with the API played by `settle`.
struct World {
    service: Option<Value>,
    pods: Vec<Value>,
    slices: Vec<Value>,
    endpoints: Option<Value>,
}

impl World {
    fn new(extra: Value, pods: Vec<Value>) -> Self {
        Self { service: Some(service(extra)), pods, slices: Vec::new(), endpoints: None }
    }

    fn plan(&self) -> Plan {
        let read = |value: &Value| serde_json::from_value(value.clone()).unwrap();
        diff(&Observed {
            service: self.service.as_ref().map(|s| serde_json::from_value(s.clone()).unwrap()),
            pods: self.pods.iter().map(|pod| Arc::new(serde_json::from_value(pod.clone()).unwrap())).collect(),
            slices: self.slices.iter().map(read).collect(),
            endpoints: self.endpoints.as_ref().map(|e| serde_json::from_value(e.clone()).unwrap()),
            zones: [("n1".to_owned(), "z1".to_owned())].into(),
        })
    }

    /// Does one plan; returns how many actions it had.
    fn settle(&mut self) -> usize {
        let plan = self.plan();
        for action in &plan.actions {
            match action {
                Action::Create { resource, object, .. } if *resource == ENDPOINTS => {
                    self.endpoints = Some(object.clone())
                }
                Action::Create { object, .. } => {
                    let mut object = object.clone();
                    object["metadata"]["name"] = json!(format!("web-{}", self.slices.len() + 1000));
                    self.slices.push(object);
                }
                Action::Patch { target, patch } if target.resource == ENDPOINTS => {
                    merge(self.endpoints.as_mut().unwrap(), patch)
                }
                Action::Patch { target, patch } => {
                    merge(
                        self.slices.iter_mut().find(|slice| slice["metadata"]["name"] == target.name).unwrap(),
                        patch,
                    );
                }
                Action::Delete { target, .. } if target.resource == ENDPOINTS => self.endpoints = None,
                Action::Delete { target, .. } => self.slices.retain(|slice| slice["metadata"]["name"] != target.name),
                Action::Record(_) => {}
            }
        }
        plan.actions.len()
    }

    /// `ip:port` with r(eady), s(erving), t(erminating) of each endpoint.
    fn endpoints_said(&self) -> Vec<String> {
        let mut said = Vec::new();
        for slice in &self.slices {
            for endpoint in slice["endpoints"].as_array().unwrap() {
                let flags: String = [("ready", 'r'), ("serving", 's'), ("terminating", 't')]
                    .iter()
                    .filter(|(name, _)| endpoint["conditions"][*name] == true)
                    .map(|(_, letter)| letter)
                    .collect();
                said.push(format!(
                    "{}:{} {flags}",
                    endpoint["addresses"][0].as_str().unwrap(),
                    slice["ports"][0]["port"]
                ));
            }
        }
        said.sort();
        said
    }
}

#[test]
fn conditions_say_ready_serving_and_terminating() {
    let states = ["ok", "unready", "ending", "unready ending", "failed", "noip"];
    let pods = |port| states.iter().enumerate().map(|(n, state)| pod(n, state, port)).collect::<Vec<_>>();
    let mut world = World::new(json!({}), pods(8080));
    world.settle();
    assert_eq!(world.endpoints_said(), ["10.1.0.0:8080 rs", "10.1.0.1:8080 ", "10.1.0.2:8080 st", "10.1.0.3:8080 t"]);
    let subset = &world.endpoints.as_ref().unwrap()["subsets"][0];
    assert_eq!(subset["addresses"][0]["ip"], "10.1.0.0");
    assert_eq!(subset["notReadyAddresses"][0]["ip"], "10.1.0.1");
    assert_eq!(subset["ports"], json!([{"name": "http", "port": 8080, "protocol": "TCP"}]));
    let mut world = World::new(json!({"spec": {"publishNotReadyAddresses": true}}), pods(8080));
    world.settle();
    assert_eq!(
        world.endpoints_said(),
        ["10.1.0.0:8080 rs", "10.1.0.1:8080 r", "10.1.0.2:8080 rst", "10.1.0.3:8080 rt"]
    );
}

#[test]
fn a_slice_says_whose_it_is_and_where_its_pods_are() {
    let mut world = World::new(json!({"spec": {"clusterIP": "None"}}), vec![pod(1, "ok", 80)]);
    world.settle();
    let slice = &world.slices[0];
    let labels = json!({"team": "a", SERVICE_LABEL: "web", MANAGED_BY: MANAGER, HEADLESS: ""});
    assert_eq!(slice["metadata"]["labels"], labels);
    assert_eq!(slice["metadata"]["ownerReferences"][0]["uid"], "s");
    let endpoint = &slice["endpoints"][0];
    assert_eq!((&endpoint["nodeName"], &endpoint["zone"]), (&json!("n1"), &json!("z1")));
    assert_eq!(endpoint["targetRef"]["name"], "p1");
}

#[test]
fn pods_that_name_other_numbers_go_into_other_slices() {
    let mut world = World::new(json!({}), vec![pod(1, "ok", 80), pod(2, "ok", 81)]);
    world.settle();
    assert_eq!(world.endpoints_said(), ["10.1.0.1:80 rs", "10.1.0.2:81 rs"]);
    assert_eq!((world.slices.len(), world.endpoints.unwrap()["subsets"].as_array().unwrap().len()), (2, 2));
}

#[test]
fn a_service_without_pods_has_one_empty_slice() {
    let mut world = World::new(json!({}), Vec::new());
    assert_eq!(world.settle(), 2);
    assert_eq!((world.slices.len(), world.settle()), (1, 0));
    world.pods.push(pod(1, "ok", 80));
    world.settle();
    assert_eq!(world.slices.len(), 1, "the empty slice is filled");
    world.pods.clear();
    world.settle();
    assert_eq!((world.slices.len(), world.endpoints_said().len(), world.settle()), (1, 0, 0));
}

#[test]
fn slices_hold_a_hundred_and_endpoints_do_not_wander() {
    let mut world = World::new(json!({}), (0..250).map(|n| pod(n, "ok", 80)).collect());
    world.settle();
    let sizes: Vec<_> = world.slices.iter().map(|slice| slice["endpoints"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [100, 100, 50]);
    world.pods.remove(3);
    world.pods.push(pod(999, "ok", 80));
    let changed = world.plan().actions.len();
    assert_eq!(changed, 2, "one slice and the Endpoints object");
}

#[test]
fn services_without_selector_or_with_a_foreign_name_are_left_alone() {
    assert_eq!(World::new(json!({"spec": {"selector": null}}), vec![pod(1, "ok", 80)]).settle(), 0);
    assert_eq!(World::new(json!({"spec": {"type": "ExternalName"}}), vec![pod(1, "ok", 80)]).settle(), 0);
}

#[test]
fn endpoints_go_with_their_service() {
    let mut world = World::new(json!({}), vec![pod(1, "ok", 80)]);
    world.settle();
    world.service = None;
    world.settle();
    assert!(world.endpoints.is_none() && world.slices.is_empty());
    world.endpoints = Some(json!({"metadata": {"name": "web", "namespace": "ns"}}));
    assert_eq!(world.settle(), 0, "made by hand");
}

proptest! {
    #[test]
    fn acting_then_diffing_yields_nothing(
        steps in prop::collection::vec(prop::collection::vec((0..300usize, 0..5usize, 80..82i32), 0..40), 1..4),
    ) {
        let states = ["ok", "unready", "ending", "failed", "noip"];
        let mut world = World::new(json!({}), Vec::new());
        for pods in steps {
            let mut unique: BTreeMap<usize, Value> = BTreeMap::new();
            for (n, state, port) in pods {
                unique.insert(n, pod(n, states[state], port));
            }
            world.pods = unique.into_values().collect();
            world.settle();
            prop_assert_eq!(world.plan().actions, Vec::new());
            world.pods.reverse();
            prop_assert_eq!(world.plan().actions, Vec::new());
        }
    }
}
