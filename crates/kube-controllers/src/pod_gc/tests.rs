use super::*;
use proptest::prelude::*;

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn pod(n: usize, node: &str, phase: &str, deleting: bool) -> Arc<Pod> {
    let deletion = deleting.then_some("2023-11-14T22:13:20Z");
    let pod = json!({
        "metadata": {"name": format!("p{n}"), "uid": format!("p{n}"), "deletionTimestamp": deletion,
            "creationTimestamp": Timestamp::from_second(1_600_000_000 + i64::try_from(n).unwrap()).unwrap().to_string()},
        "spec": {"nodeName": node, "containers": []}, "status": {"phase": phase},
    });
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn observed(pods: Vec<Arc<Pod>>) -> Observed {
    Observed {
        pods,
        nodes: ["here".to_owned()].into(),
        missing: [("gone".to_owned(), Timestamp::from_second(1_700_000_000 - 60).unwrap())].into(),
        grace: Duration::from_secs(5),
        ended_limit: 2,
    }
}

fn deleted(plan: &Plan) -> Vec<&str> {
    let name = |action: &'_ Action| match action {
        Action::Delete { .. } => true,
        _ => matches!(action, Action::Record(_)),
    };
    let all = plan.actions.iter().filter(|action| name(action));
    all.filter_map(|action| if let Action::Delete { target, .. } = action { Some(target.name.as_str()) } else { None })
        .collect()
}

#[test]
fn pods_of_a_node_that_is_gone_fail_and_go() {
    let plan = diff(&observed(vec![pod(1, "gone", "Running", false), pod(2, "here", "Running", true)]), now());
    let Action::Patch { patch, .. } = &plan.actions[0] else { panic!("{plan:?}") };
    assert_eq!(
        (&patch["status"]["phase"], &patch["status"]["conditions"][0]["reason"]),
        (&json!("Failed"), &json!("DeletionByPodGC"))
    );
    assert_eq!(deleted(&plan), ["p1"]);
}

#[test]
fn a_node_that_has_just_gone_may_come_back() {
    let plan = diff(&observed(vec![pod(1, "new-gone", "Running", false)]), now());
    assert_eq!((deleted(&plan).len(), plan.wake), (0, Some(Duration::from_secs(5))));
}

#[test]
fn deleted_pods_that_never_had_a_node_go() {
    assert_eq!(
        deleted(&diff(&observed(vec![pod(1, "", "Pending", true), pod(2, "", "Pending", false)]), now())),
        ["p1"]
    );
}

#[test]
fn the_oldest_ended_pods_go_when_there_are_too_many() {
    let pods = (0..5).rev().map(|n| pod(n, "here", if n % 2 == 0 { "Failed" } else { "Succeeded" }, false)).collect();
    assert_eq!(deleted(&diff(&observed(pods), now())), ["p0", "p1", "p2"]);
}

proptest! {
    #[test]
    fn acting_then_diffing_yields_nothing(pods in prop::collection::vec((0..3usize, 0..3usize, any::<bool>()), 0..12)) {
        let make = |(n, (node, phase, deleting)): (usize, (usize, usize, bool))| {
            pod(n, ["", "here", "gone"][node], ["Pending", "Running", "Failed"][phase], deleting)
        };
        let mut pods: Vec<_> = pods.into_iter().enumerate().map(make).collect();
        let plan = diff(&observed(pods.clone()), now());
        let gone: Vec<String> = deleted(&plan).into_iter().map(str::to_owned).collect();
        pods.retain(|pod| !gone.iter().any(|name| name == view::name(&pod.metadata)));
        pods.reverse();
        prop_assert_eq!(diff(&observed(pods), now()).actions, Vec::new());
    }
}
