use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::placement::Removal;
use crate::pod::backoff::{Backoff, Failure};
use crate::pod::fixture::desired;
use crate::pod::memory::Health;

/// A container as (name, state letter, exit code): R running, E exited, C created; `x` is one of an old sandbox.
fn view(sandbox: bool, containers: &[(&str, char, i32)]) -> PodView {
    let mut view = PodView::default();
    if sandbox {
        view.sandboxes.push(SandboxView { id: "s".into(), ready: true, ip: "10.244.0.9".into(), ..Default::default() });
    }
    for (name, state, exit_code) in containers {
        let state = match state {
            'R' => State::Running,
            'C' => State::Created,
            _ => State::Exited,
        };
        let container = ContainerView {
            id: format!("id-{name}"),
            sandbox_id: if sandbox { "s".into() } else { "old".into() },
            state,
            exit_code: *exit_code,
            finished_at: 1_000_000_000,
            ..Default::default()
        };
        view.containers.entry((*name).to_owned()).or_default().push(container);
    }
    view
}

fn memory() -> Memory {
    let mut memory = Memory { volumes: Volumes::Ready(1), ..Default::default() };
    for name in ["a", "b", "i", "side"] {
        memory.health.insert(format!("id-{name}"), Health { started: true, ready: true, ..Health::default() });
    }
    memory
}

fn words(plan: &Plan) -> String {
    let word = |action: &Action| match action {
        Action::PrepareVolumes => "volumes".to_owned(),
        Action::CreateSandbox { attempt } => format!("sandbox{attempt}"),
        Action::StopSandbox { .. } => "stop-sandbox".to_owned(),
        Action::Start { container, attempt } => format!("start {container}{attempt}"),
        Action::Stop { container, grace_seconds, .. } => format!("stop {container}/{grace_seconds}"),
        Action::Remove { container, .. } => format!("remove {container}"),
        Action::RemoveVolumes => "remove-volumes".to_owned(),
        Action::Clean => "clean".to_owned(),
    };
    plan.actions.iter().map(word).collect::<Vec<_>>().join(", ")
}

#[track_caller]
fn check(spec: Value, view: &PodView, memory: &Memory, expected: &str) {
    assert_eq!(words(&diff(&desired(spec), view, memory, 5_000)), expected);
}

fn two(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [{"name": "a"}, {"name": "b"}]})
}

#[test]
fn a_new_pod_gets_volumes_then_a_sandbox_then_containers() {
    check(two("Always"), &view(false, &[]), &Memory::default(), "volumes");
    check(two("Always"), &view(false, &[]), &memory(), "sandbox0");
    check(two("Always"), &view(true, &[]), &memory(), "start a0, start b0");
    check(two("Always"), &view(true, &[("a", 'R', 0), ("b", 'R', 0)]), &memory(), "");
}

#[test]
fn restart_policies_decide_what_starts_again() {
    let seen = view(true, &[("a", 'E', 0), ("b", 'E', 1)]);
    check(two("Always"), &seen, &memory(), "start a1, start b1");
    check(two("OnFailure"), &seen, &memory(), "start b1");
    check(two("Never"), &seen, &memory(), "");
}

#[test]
fn back_offs_hold_starts_and_say_until_when() {
    let mut waiting = memory();
    waiting.backoff.insert("a".into(), Backoff { delay_ms: 10_000, since_ms: 0 });
    waiting.failures.insert("b".into(), Failure::new("ErrImagePull", "no".into(), None, 4_000));
    let plan = diff(&desired(two("Always")), &view(true, &[("a", 'E', 1)]), &waiting, 5_000);
    assert_eq!((words(&plan), plan.wake_ms), (String::new(), Some(7_000)));
}

#[test]
fn init_containers_come_one_by_one() {
    let spec = json!({"initContainers": [{"name": "i"}, {"name": "side", "restartPolicy": "Always"}], "containers": [{"name": "a"}]});
    check(spec.clone(), &view(true, &[]), &memory(), "start i0");
    check(spec.clone(), &view(true, &[("i", 'R', 0)]), &memory(), "");
    check(spec.clone(), &view(true, &[("i", 'E', 0)]), &memory(), "start side0");
    check(spec.clone(), &view(true, &[("i", 'E', 0), ("side", 'R', 0)]), &memory(), "start a0");
    check(spec.clone(), &view(true, &[("i", 'E', 0), ("side", 'E', 0), ("a", 'R', 0)]), &memory(), "start side1");
    check(spec, &view(true, &[("i", 'E', 1)]), &memory(), "start i1");
}

#[test]
fn half_made_containers_are_made_anew() {
    check(two("Always"), &view(true, &[("a", 'C', 0), ("b", 'R', 0)]), &memory(), "remove a");
}

#[test]
fn a_lost_sandbox_takes_its_containers_along() {
    check(two("Always"), &view(false, &[("a", 'R', 0)]), &memory(), "stop a/2");
    check(two("Always"), &view(false, &[("a", 'E', 255)]), &memory(), "sandbox0");
}

#[test]
fn volumes_that_cannot_be_refreshed_do_not_stop_the_care_for_a_pod() {
    let spec = two("Always");
    let seen = view(true, &[("a", 'E', 1), ("b", 'R', 0)]);
    let mut stale = memory();
    stale.volumes = stale.volumes.failed("key k2 is gone".into(), true, 4_900);
    check(spec.clone(), &seen, &stale, "start a1");
    let failure = |v: &Volumes| match v {
        Volumes::Stale(failure) => failure.retry_ms(),
        other => panic!("{other:?}"),
    };
    let plan = diff(&desired(spec.clone()), &seen, &stale, failure(&stale.volumes));
    assert_eq!(words(&plan), "volumes, start a1", "and they are tried again");
    // Never made: nothing starts.
    let never = Memory { volumes: Volumes::Unknown.failed("no".into(), false, 4_900), ..memory() };
    check(spec, &view(true, &[]), &never, "");
}

#[test]
fn unhealthy_containers_are_stopped() {
    let mut sick = memory();
    sick.health.insert("id-a".into(), Health { unhealthy: Some(("why".into(), Some(1))), ..Default::default() });
    check(two("Always"), &view(true, &[("a", 'R', 0), ("b", 'R', 0)]), &sick, "stop a/1");
}

#[test]
fn removal_stops_containers_before_sidecars_and_then_cleans() {
    let spec = json!({"initContainers": [{"name": "side", "restartPolicy": "Always"}], "containers": [{"name": "a"}]});
    let mut pod = desired(spec);
    pod.removal = Some(Removal { grace_seconds: 10, moved: false, since_ms: 2_000 });
    let plan = |seen: &PodView, pod: &Desired| words(&diff(pod, seen, &memory(), 5_000));
    assert_eq!(plan(&view(true, &[("side", 'R', 0), ("a", 'R', 0)]), &pod), "stop a/7");
    assert_eq!(plan(&view(true, &[("side", 'R', 0), ("a", 'E', 0)]), &pod), "stop side/7");
    assert_eq!(plan(&view(true, &[("side", 'E', 0), ("a", 'E', 0)]), &pod), "clean");
    pod.removal = Some(Removal { grace_seconds: 10, moved: true, since_ms: 2_000 });
    assert_eq!(plan(&view(true, &[("side", 'R', 0), ("a", 'R', 0)]), &pod), "stop side/0, stop a/0");
}

#[test]
fn nothing_is_done_to_what_is_being_worked_on() {
    let mut busy = memory();
    busy.busy.insert(Target::Container("a".into()));
    check(two("Always"), &view(true, &[]), &busy, "start b0");
    let mut pod = desired(two("Always"));
    pod.removal = Some(Removal { grace_seconds: 0, moved: false, since_ms: 0 });
    assert_eq!(words(&diff(&pod, &view(true, &[]), &busy, 5_000)), "");
}

#[test]
fn pods_end_by_their_policy() {
    let end = |policy: &str, containers: &[(&str, char, i32)]| {
        ended(&desired(two(policy)), &view(true, containers), None, 5_000).map(|e| e.phase)
    };
    assert_eq!(end("Never", &[("a", 'E', 0), ("b", 'E', 0)]).as_deref(), Some("Succeeded"));
    assert_eq!(end("Never", &[("a", 'E', 0), ("b", 'E', 2)]).as_deref(), Some("Failed"));
    assert_eq!(end("OnFailure", &[("a", 'E', 0), ("b", 'E', 2)]), None);
    assert_eq!(end("Always", &[("a", 'E', 0), ("b", 'E', 0)]), None);
    assert_eq!(end("Never", &[("a", 'E', 0)]), None);
    let late = desired(json!({"activeDeadlineSeconds": 3, "containers": [{"name": "a"}]}));
    assert_eq!(ended(&late, &PodView::default(), None, 4_000).map(|e| e.reason).as_deref(), Some("DeadlineExceeded"));
}

#[test]
fn an_ended_pod_gives_network_and_volumes_back() {
    let mut over = memory();
    over.ended = Some(Ended { phase: "Failed".into(), reason: "Evicted".into(), message: "full".into() });
    let mut seen = view(true, &[("a", 'R', 0), ("b", 'E', 0)]);
    check(two("Always"), &seen, &over, "stop a/1");
    seen.containers.get_mut("a").unwrap()[0].state = State::Exited;
    check(two("Always"), &seen, &over, "stop-sandbox");
    seen.sandboxes[0].ready = false;
    check(two("Always"), &seen, &over, "remove-volumes");
    over.volumes = Volumes::Gone;
    check(two("Always"), &seen, &over, "");
}

/// What a perfect containerd would show after the actions.
fn apply(plan: &Plan, seen: &mut PodView, memory: &mut Memory) {
    for action in &plan.actions {
        match action {
            Action::PrepareVolumes => memory.volumes = Volumes::Ready(1),
            Action::CreateSandbox { attempt } => {
                let sandbox = SandboxView {
                    id: format!("s{attempt}"),
                    attempt: *attempt,
                    ready: true,
                    ip: "1".into(),
                    ..Default::default()
                };
                seen.sandboxes.insert(0, sandbox);
            }
            Action::StopSandbox { .. } => seen.sandboxes[0].ready = false,
            Action::Start { container, attempt } => {
                let id = format!("new-{container}-{attempt}");
                memory.health.insert(id.clone(), Health { started: true, ready: true, ..Health::default() });
                let sandbox_id = seen.sandboxes[0].id.clone();
                // Init containers are done at once; the others go on.
                let state = if container == "i" { State::Exited } else { State::Running };
                let made = ContainerView { id, sandbox_id, attempt: *attempt, state, ..Default::default() };
                seen.containers.entry(container.clone()).or_default().insert(0, made);
            }
            Action::Stop { id, .. } => {
                let all = seen.containers.values_mut().flatten();
                all.filter(|c| &c.id == id).for_each(|c| c.state = State::Exited);
            }
            Action::Remove { id, .. } => seen.containers.values_mut().for_each(|all| all.retain(|c| &c.id != id)),
            Action::RemoveVolumes => memory.volumes = Volumes::Gone,
            Action::Clean => *seen = PodView::default(),
        }
    }
}

proptest! {
    #[test]
    fn acting_then_diffing_gives_nothing(
        sandbox: bool, removed: bool, policy in prop::sample::select(vec!["Always", "OnFailure", "Never"]),
        states in prop::collection::vec((prop::sample::select(vec!["a", "b", "i", "side"]), prop::sample::select(vec!['R', 'E', 'C']), 0..2i32), 0..4),
    ) {
        let mut pod = desired(json!({"restartPolicy": policy, "containers": [{"name": "a"}, {"name": "b"}],
            "initContainers": [{"name": "i"}, {"name": "side", "restartPolicy": "Always"}]}));
        pod.removal = removed.then_some(Removal { grace_seconds: 5, moved: false, since_ms: 0 });
        let mut names = std::collections::HashSet::new();
        let unique: Vec<_> = states.into_iter().filter(|(name, _, _)| names.insert(*name)).collect();
        let (mut seen, mut memory) = (view(sandbox, &unique), memory());
        for _ in 0..20 {
            if memory.ended.is_none() && !removed {
                memory.ended = ended(&pod, &seen, None, 5_000);
            }
            let plan = diff(&pod, &seen, &memory, 5_000);
            if plan.actions.is_empty() || plan.actions == [Action::Clean] {
                return Ok(());
            }
            apply(&plan, &mut seen, &mut memory);
        }
        prop_assert!(false, "never settles: {:?}", diff(&pod, &seen, &memory, 5_000));
    }
}
