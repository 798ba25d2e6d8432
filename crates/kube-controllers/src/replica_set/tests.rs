use super::*;
use proptest::prelude::*;

const NOW: i64 = 1_700_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn set(replicas: i32) -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "set", "resourceVersion": "1", "generation": 3},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c"}]}},
        },
    })
}

/// A pod by a few words: `own`/`orphan`/`other`, `pending`/`running`/`ready`/`failed`/`deleting`, and a node.
fn pod(name: &str, owner: &str, state: &str, node: &str) -> Value {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": "2", "labels": {"app": "web"},
            "creationTimestamp": Timestamp::from_second(NOW - 1000).unwrap().to_string()},
        "spec": {"containers": [{"name": "c"}], "nodeName": node},
        "status": {"phase": "Running"},
    });
    if owner != "orphan" {
        let uid = if owner == "own" { "set" } else { owner };
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": uid, "controller": true}]);
    }
    match state {
        "pending" => pod["status"]["phase"] = json!("Pending"),
        "failed" => pod["status"]["phase"] = json!("Failed"),
        "deleting" => pod["metadata"]["deletionTimestamp"] = json!("2023-11-14T22:13:20Z"),
        "ready" => {
            let since = Timestamp::from_second(NOW - 100).unwrap().to_string();
            pod["status"]["conditions"] = json!([{"type": "Ready", "status": "True", "lastTransitionTime": since}]);
        }
        _ => {}
    }
    pod
}

fn observed(set: Value, pods: Vec<Value>) -> Observed {
    Observed {
        template: set["spec"]["template"].clone(),
        set: serde_json::from_value(set).unwrap(),
        pods: pods.into_iter().map(|pod| Arc::new(serde_json::from_value(pod).unwrap())).collect(),
        sibling_nodes: Vec::new(),
    }
}

fn say(plan: &Plan) -> Vec<String> {
    let word = |action: &Action| match action {
        Action::Create { .. } => "create".to_owned(),
        Action::Delete { target, .. } => format!("delete {}", target.name),
        Action::Patch { target, patch } if patch["metadata"]["ownerReferences"].as_array().unwrap().is_empty() => {
            format!("release {}", target.name)
        }
        Action::Patch { target, .. } => format!("adopt {}", target.name),
        Action::Record(note) => note.reason.to_owned(),
    };
    plan.actions.iter().map(word).collect()
}

#[track_caller]
fn check(replicas: i32, pods: &[(&str, &str, &str, &str)], expect: &[&str]) {
    let pods = pods.iter().map(|(name, owner, state, node)| pod(name, owner, state, node)).collect();
    assert_eq!(say(&diff(&observed(set(replicas), pods), now())), expect);
}

#[test]
fn missing_pods_are_created() {
    check(2, &[], &["create", "create"]);
    check(2, &[("a", "own", "pending", "")], &["create"]);
    check(2, &[("a", "own", "ready", "n"), ("b", "own", "running", "n")], &[]);
}

#[test]
fn pods_that_ended_or_are_being_deleted_do_not_count() {
    check(1, &[("a", "own", "failed", "n")], &["create"]);
    check(1, &[("a", "own", "deleting", "n")], &["create"]);
    check(0, &[("a", "own", "deleting", "n"), ("b", "own", "failed", "n")], &[]);
}

#[test]
fn pods_without_a_controller_are_adopted_before_anything_is_created() {
    check(2, &[("a", "orphan", "ready", "n")], &["adopt a"]);
    check(2, &[("a", "other-uid", "ready", "n")], &["create", "create"]);
}

#[test]
fn pods_that_no_longer_fit_are_released() {
    let mut stranger = pod("a", "own", "ready", "n");
    stranger["metadata"]["labels"] = json!({"app": "debug"});
    assert_eq!(say(&diff(&observed(set(1), vec![stranger]), now())), ["release a"]);
}

#[test]
fn the_least_missed_pods_go_first() {
    let all = [
        ("a", "own", "ready", "n"),
        ("b", "own", "running", "n"),
        ("c", "own", "pending", "n"),
        ("d", "own", "pending", ""),
    ];
    check(3, &all, &["delete d"]);
    check(2, &all, &["delete d", "delete c"]);
    check(1, &all, &["delete d", "delete c", "delete b"]);
    check(0, &all, &["delete d", "delete c", "delete b", "delete a"]);
}

#[test]
fn among_equals_the_crowded_node_gives_first_and_cost_comes_before() {
    check(2, &[("a", "own", "ready", "x"), ("b", "own", "ready", "y"), ("c", "own", "ready", "y")], &["delete b"]);
    let mut dear = pod("b", "own", "ready", "y");
    dear["metadata"]["annotations"] = json!({"controller.kubernetes.io/pod-deletion-cost": "10"});
    let pods = vec![pod("a", "own", "ready", "x"), dear, pod("c", "own", "ready", "y")];
    assert_eq!(say(&diff(&observed(set(1), pods), now())), ["delete c", "delete a"]);
}

#[test]
fn a_set_being_deleted_does_nothing_but_count() {
    let mut gone = set(3);
    gone["metadata"]["deletionTimestamp"] = json!("2023-11-14T22:13:20Z");
    let observed = observed(gone, vec![pod("a", "own", "ready", "n")]);
    assert_eq!(say(&diff(&observed, now())), Vec::<String>::new());
}

#[test]
fn the_status_counts_and_wakes_for_min_ready_seconds() {
    let mut patient = set(3);
    patient["spec"]["minReadySeconds"] = json!(130);
    let pods = vec![pod("a", "own", "ready", "n"), pod("b", "own", "running", "n"), pod("c", "own", "failed", "n")];
    let plan = status(&observed(patient, pods), None, now());
    let Action::Patch { patch, .. } = &plan.actions[0] else { panic!("{plan:?}") };
    assert_eq!(
        patch["status"],
        json!({"observedGeneration": 3, "replicas": 2, "fullyLabeledReplicas": 2, "readyReplicas": 1})
    );
    assert_eq!(plan.wake.unwrap().as_secs(), 30);
}

#[test]
fn a_refused_creation_shows_in_the_status_until_it_works() {
    let plan = status(&observed(set(1), vec![]), Some("no room"), now());
    let Action::Patch { patch, .. } = &plan.actions[0] else { panic!("{plan:?}") };
    assert_eq!(patch["status"]["conditions"][0]["message"], "no room");
    let mut failed = set(1);
    crate::action::merge(&mut failed, patch);
    let again = observed(failed, vec![]);
    assert!(status(&again, Some("no room at all"), now()).actions.is_empty());
    let Action::Patch { patch, .. } = &status(&again, None, now()).actions[0] else { panic!() };
    assert_eq!(patch["status"], json!({"conditions": null}));
}

fn pods() -> impl Strategy<Value = Vec<Value>> {
    let owner = prop::sample::select(vec!["own", "own", "own", "orphan", "other"]);
    let state = prop::sample::select(vec!["pending", "running", "ready", "failed", "deleting"]);
    let node = prop::sample::select(vec!["", "x", "y", "z"]);
    prop::collection::vec((owner, state, node), 0..12).prop_map(|all| {
        let named = all.into_iter().enumerate();
        named.map(|(n, (owner, state, node))| pod(&format!("p{n}"), owner, state, node)).collect()
    })
}

/// Does what the plan says to the pods, as the API would.
fn act(plan: &Plan, pods: &mut Vec<Value>) {
    for action in &plan.actions {
        match action {
            Action::Create { object, .. } => {
                let mut object = object.clone();
                let name = format!("new{}", pods.len());
                object["metadata"]["name"] = json!(name);
                object["metadata"]["uid"] = json!(name);
                pods.push(object);
            }
            Action::Delete { target, .. } => pods.retain(|pod| pod["metadata"]["name"] != target.name),
            Action::Patch { target, patch } => {
                let pod = pods.iter_mut().find(|pod| pod["metadata"]["name"] == target.name).unwrap();
                crate::action::merge(pod, patch);
            }
            Action::Record(_) => {}
        }
    }
}

proptest! {
    #[test]
    fn acting_then_diffing_yields_nothing(replicas in 0..8i32, mut pods in pods()) {
        // One step adopts, the next one counts.
        for _ in 0..2 {
            let plan = diff(&observed(set(replicas), pods.clone()), now());
            act(&plan, &mut pods);
        }
        prop_assert_eq!(say(&diff(&observed(set(replicas), pods), now())), Vec::<String>::new());
    }

    #[test]
    fn the_order_of_pods_does_not_matter(replicas in 0..8i32, pods in pods()) {
        let mut reversed = pods.clone();
        reversed.reverse();
        let sorted = |pods| {
            let mut words = say(&diff(&observed(set(replicas), pods), now()));
            words.sort();
            words
        };
        prop_assert_eq!(sorted(pods), sorted(reversed));
    }
}
