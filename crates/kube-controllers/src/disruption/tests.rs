use super::*;
use serde_json::Value;

const NOW: &str = "2026-01-01T00:10:00Z";

/// Pods as `+` (ready), `-` (not ready), `x` (being deleted), `?` (of an unknown controller), `o` (of none).
fn observed(spec: Value, status: Value, pods: &str) -> Observed {
    let budget = json!({"metadata": {"name": "b", "namespace": "n", "uid": "u", "generation": 2,
        "resourceVersion": "5"}, "spec": spec, "status": status});
    let size = i32::try_from(pods.len()).unwrap();
    let member = |(index, sort): (usize, char)| {
        let ready = if sort == '-' { "False" } else { "True" };
        let mut pod = json!({"metadata": {"name": format!("p{index}")}, "spec": {"containers": []},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}});
        if sort == 'x' {
            pod["metadata"]["deletionTimestamp"] = json!(NOW);
        }
        let scale = match sort {
            '?' => Scale::Unknown("Job \"j\"".into()),
            'o' => Scale::Unmanaged,
            _ => Scale::Known("d".into(), size),
        };
        Member { pod: Arc::new(serde_json::from_value(pod).unwrap()), scale }
    };
    Observed {
        budget: serde_json::from_value(budget).unwrap(),
        members: pods.chars().enumerate().map(member).collect(),
    }
}

fn settled(observed: &Observed) -> (Value, Plan) {
    let plan = diff(observed, NOW.parse().unwrap());
    let mut value = serde_json::to_value(&observed.budget).unwrap();
    for action in &plan.actions {
        let crate::action::Action::Patch { patch, .. } = action else { panic!("only the status changes") };
        crate::action::merge(&mut value, patch);
    }
    (value, plan)
}

/// Healthy of expected pods, how many must be, and how many may go.
#[track_caller]
fn check(spec: Value, pods: &str, expect: &str) {
    let first = observed(spec, json!({}), pods);
    let (value, _) = settled(&first);
    let status = &value["status"];
    let condition = status["conditions"][0]["reason"].as_str().unwrap();
    let found = format!(
        "{}/{} needs {} allows {} {condition}",
        status["currentHealthy"], status["expectedPods"], status["desiredHealthy"], status["disruptionsAllowed"]
    );
    assert_eq!((&*found, &status["observedGeneration"]), (expect, &json!(2)));
    let again = Observed { budget: serde_json::from_value(value).unwrap(), ..first };
    assert!(diff(&again, NOW.parse().unwrap()).actions.is_empty(), "a settled budget yields nothing");
}

#[test]
fn a_minimum_leaves_what_is_beyond_it() {
    check(json!({"minAvailable": 2}), "+++", "3/3 needs 2 allows 1 SufficientPods");
    check(json!({"minAvailable": 2}), "++-", "2/3 needs 2 allows 0 InsufficientPods");
    check(json!({"minAvailable": 2}), "++x", "2/3 needs 2 allows 0 InsufficientPods");
    check(json!({"minAvailable": "50%"}), "+++", "3/3 needs 2 allows 1 SufficientPods");
    check(json!({"minAvailable": 0}), "", "0/0 needs 0 allows 0 InsufficientPods");
}

#[test]
fn a_maximum_counts_from_the_wanted_size() {
    check(json!({"maxUnavailable": 1}), "+++", "3/3 needs 2 allows 1 SufficientPods");
    check(json!({"maxUnavailable": 1}), "++-", "2/3 needs 2 allows 0 InsufficientPods");
    check(json!({"maxUnavailable": "34%"}), "++++", "4/4 needs 2 allows 2 SufficientPods");
    check(json!({"maxUnavailable": 9}), "++", "2/2 needs 0 allows 2 SufficientPods");
    check(json!({"maxUnavailable": 1}), "oo", "2/0 needs 0 allows 0 InsufficientPods");
}

#[test]
fn what_cannot_be_counted_allows_nothing() {
    check(json!({"maxUnavailable": 1}), "++?", "0/0 needs 0 allows 0 SyncFailed");
    check(json!({"minAvailable": 1}), "++?", "3/3 needs 1 allows 2 SufficientPods");
}

#[test]
fn an_evicted_pod_counts_as_gone_until_the_timeout() {
    let spent = |at: &str| json!({"disruptedPods": {"p0": at, "p9": NOW}});
    let (fresh, plan) = settled(&observed(json!({"minAvailable": 1}), spent("2026-01-01T00:09:00Z"), "+++"));
    assert_eq!(fresh["status"]["currentHealthy"], 2);
    assert_eq!(fresh["status"]["disruptedPods"], json!({"p0": "2026-01-01T00:09:00Z"}));
    assert_eq!(plan.wake, Some(std::time::Duration::from_secs(60)));
    let (late, plan) = settled(&observed(json!({"minAvailable": 1}), spent("2026-01-01T00:08:00Z"), "+++"));
    assert_eq!((&late["status"]["currentHealthy"], plan.wake), (&json!(3), None));
    assert!(late["status"].get("disruptedPods").is_none());
}

#[test]
fn order_of_pods_does_not_matter() {
    let one = observed(json!({"maxUnavailable": 1}), json!({}), "+-x+");
    let mut other = one.clone();
    other.members.reverse();
    let now = NOW.parse().unwrap();
    assert_eq!(diff(&one, now), diff(&other, now));
}
