use k8s_openapi::api::core::v1::PodStatus;
use serde_json::{Value, json};

use super::*;
use crate::cri::view::{ContainerView, SandboxView};
use crate::pod::backoff::{Backoff, Failure};
use crate::pod::fixture::desired;
use crate::pod::memory::{Ended, Health};

fn view(containers: &[(&str, State, i32)]) -> PodView {
    let sandbox = SandboxView { id: "s".into(), ready: true, ip: "10.244.0.9".into(), ..Default::default() };
    let mut view = PodView { sandboxes: vec![sandbox], ..Default::default() };
    for (name, state, exit_code) in containers {
        let container = ContainerView {
            id: format!("id-{name}"),
            sandbox_id: "s".into(),
            state: *state,
            exit_code: *exit_code,
            started_at: 2_000_000_000,
            finished_at: 3_000_000_000,
            ..Default::default()
        };
        view.containers.entry((*name).to_owned()).or_default().push(container);
    }
    view
}

fn memory() -> Memory {
    let mut memory = Memory::default();
    for name in ["a", "b"] {
        let health = Health { started: true, ready: true, ..Health::default() };
        memory.health.insert(format!("id-{name}"), health);
    }
    memory
}

fn compute(spec: Value, view: &PodView, memory: &Memory) -> Value {
    let desired = desired(spec);
    let previous = PodStatus::default();
    let sources = Sources { desired: &desired, view, memory, previous: &previous, now_ms: 5_000 };
    serde_json::to_value(pod_status(&sources)).unwrap()
}

/// Phase, the Ready condition, and the words for each container.
#[track_caller]
fn check(spec: Value, view: &PodView, memory: &Memory, expected: &str) {
    let status = compute(spec, view, memory);
    let ready = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap();
    let word = |c: &Value| {
        let state = &c["state"];
        let waiting = state["waiting"]["reason"].as_str().or(state["terminated"]["reason"].as_str());
        format!("{}:{}", c["name"].as_str().unwrap(), waiting.unwrap_or("Running"))
    };
    let all = status["containerStatuses"].as_array().unwrap().iter().map(word).collect::<Vec<_>>().join(" ");
    let got = format!("{} {} {all}", status["phase"].as_str().unwrap(), ready["status"].as_str().unwrap());
    assert_eq!(got, expected, "{status:#}");
}

fn two() -> Value {
    json!({"containers": [{"name": "a"}, {"name": "b"}]})
}

#[test]
fn phases_follow_containers() {
    check(two(), &PodView::default(), &memory(), "Pending False a:ContainerCreating b:ContainerCreating");
    check(two(), &view(&[("a", State::Running, 0)]), &memory(), "Pending False a:Running b:ContainerCreating");
    check(
        two(),
        &view(&[("a", State::Running, 0), ("b", State::Running, 0)]),
        &memory(),
        "Running True a:Running b:Running",
    );
    check(
        two(),
        &view(&[("a", State::Running, 0), ("b", State::Exited, 1)]),
        &memory(),
        "Running False a:Running b:Error",
    );
}

#[test]
fn init_containers_keep_a_pod_pending() {
    let spec = json!({"initContainers": [{"name": "i"}], "containers": [{"name": "a"}]});
    check(spec.clone(), &view(&[("i", State::Running, 0)]), &memory(), "Pending False a:PodInitializing");
    check(spec, &view(&[("i", State::Exited, 0), ("a", State::Running, 0)]), &memory(), "Running True a:Running");
}

#[test]
fn unready_probes_make_an_unready_pod() {
    let mut unready = memory();
    unready.health.insert("id-b".into(), Health { started: true, ready: false, ..Health::default() });
    check(
        two(),
        &view(&[("a", State::Running, 0), ("b", State::Running, 0)]),
        &unready,
        "Running False a:Running b:Running",
    );
}

#[test]
fn waiting_reasons_are_upstreams() {
    let mut crashed = memory();
    crashed.backoff.insert("b".into(), Backoff { delay_ms: 10_000, since_ms: 3_000 });
    let seen = view(&[("a", State::Running, 0), ("b", State::Exited, 1)]);
    check(two(), &seen, &crashed, "Running False a:Running b:CrashLoopBackOff");
    let status = compute(two(), &seen, &crashed);
    assert_eq!(
        status["containerStatuses"][1]["state"]["waiting"]["message"],
        "back-off 10s restarting failed container=b pod=web-1_default(u-1)"
    );
    assert_eq!(status["containerStatuses"][1]["lastState"]["terminated"]["exitCode"], 1);
    let mut pulling = memory();
    pulling.failures.insert("a".into(), Failure::new("ErrImagePull", "no".into(), None, 4_000));
    check(json!({"containers": [{"name": "a"}]}), &view(&[]), &pulling, "Pending False a:ErrImagePull");
    pulling.failures.insert("a".into(), Failure::new("ErrImagePull", "no".into(), None, 1_000));
    check(json!({"containers": [{"name": "a"}]}), &view(&[]), &pulling, "Pending False a:ImagePullBackOff");
}

#[test]
fn an_ended_pod_stays_ended() {
    let mut over = memory();
    over.ended = Some(Ended { phase: "Failed".into(), reason: "DeadlineExceeded".into(), message: "m".into() });
    let spec = json!({"restartPolicy": "Never", "containers": [{"name": "a"}]});
    check(spec.clone(), &view(&[("a", State::Running, 0)]), &over, "Running True a:Running");
    check(spec.clone(), &view(&[("a", State::Exited, 0)]), &over, "Failed False a:Completed");
    assert_eq!(compute(spec, &view(&[("a", State::Exited, 0)]), &over)["reason"], "DeadlineExceeded");
}

#[test]
fn transitions_keep_their_time() {
    let desired = desired(two());
    let (view, memory) = (view(&[("a", State::Running, 0), ("b", State::Running, 0)]), memory());
    let at = |previous: &PodStatus, now_ms| {
        pod_status(&Sources { desired: &desired, view: &view, memory: &memory, previous, now_ms })
    };
    let first = at(&PodStatus::default(), 5_000);
    assert_eq!(at(&first, 99_000), first);
}

#[test]
fn classes_of_service_are_upstreams() {
    let class = |resources: Value| qos_class(&desired(json!({"containers": [{"name": "a", "resources": resources}]})));
    assert_eq!(class(json!({})), "BestEffort");
    assert_eq!(class(json!({"requests": {"cpu": "1"}})), "Burstable");
    assert_eq!(class(json!({"limits": {"cpu": "1", "memory": "1Gi"}})), "Guaranteed");
    assert_eq!(class(json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}})), "Burstable");
}

#[test]
fn a_refused_pod_has_no_containers_that_wait() {
    let mut refused = memory();
    refused.ended = crate::pod::diff::ended(&desired(two()), &PodView::default(), Some("no"), 0);
    let status = compute(two(), &PodView::default(), &refused);
    assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("UnsupportedPodSpec")));
    assert!(status["containerStatuses"].is_null());
}

#[test]
fn a_container_counts_as_running_once_its_post_start_hook_is_over() {
    let seen = view(&[("a", State::Running, 0), ("b", State::Running, 0)]);
    let mut hooked = memory();
    hooked.starting.insert("b".into());
    check(two(), &seen, &hooked, "Pending False a:Running b:ContainerCreating");
    check(two(), &seen, &memory(), "Running True a:Running b:Running");
}
