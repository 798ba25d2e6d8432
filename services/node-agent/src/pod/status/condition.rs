//! The pod's conditions.

use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition};

use super::{Sources, initialized, time_ms};
use crate::placement::is_sidecar;

struct Judged {
    kind: &'static str,
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Judged {
    fn holds(kind: &'static str) -> Self {
        Self { kind, holds: true, reason: None, message: None }
    }

    fn fails(kind: &'static str, reason: &'static str, message: String) -> Self {
        Self { kind, holds: false, reason: Some(reason), message: Some(message).filter(|m| !m.is_empty()) }
    }
}

/// All conditions; those that did not change keep their time.
pub(super) fn conditions(
    sources: &Sources<'_>,
    phase: &str,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
) -> Vec<PodCondition> {
    let sandbox = sources.view.ready_sandbox().is_some_and(|s| !s.ip.is_empty());
    let network = if sandbox {
        Judged::holds("PodReadyToStartContainers")
    } else {
        Judged { kind: "PodReadyToStartContainers", holds: false, reason: None, message: None }
    };
    let containers = containers_ready(sources, phase, init, main);
    let ready = ready(sources, phase, &containers);
    let all = [network, is_initialized(sources, phase, init), ready, containers, Judged::holds("PodScheduled")];
    all.into_iter().map(|judged| timed(sources, judged)).collect()
}

fn is_initialized(sources: &Sources<'_>, phase: &str, init: &[ContainerStatus]) -> Judged {
    if phase == "Succeeded" {
        return Judged { reason: Some("PodCompleted"), ..Judged::holds("Initialized") };
    }
    if initialized(sources) {
        return Judged::holds("Initialized");
    }
    let waiting: Vec<&str> = init.iter().filter(|c| !c.ready).map(|c| c.name.as_str()).collect();
    let message = format!("containers with incomplete status: [{}]", waiting.join(" "));
    Judged::fails("Initialized", "ContainersNotInitialized", message)
}

fn containers_ready(sources: &Sources<'_>, phase: &str, init: &[ContainerStatus], main: &[ContainerStatus]) -> Judged {
    const KIND: &str = "ContainersReady";
    match phase {
        "Succeeded" => return Judged::fails(KIND, "PodCompleted", String::new()),
        "Failed" => return Judged::fails(KIND, "PodFailed", String::new()),
        _ => {}
    }
    let spec = sources.desired.spec();
    let sidecar =
        |s: &&ContainerStatus| spec.init_containers.iter().flatten().any(|c| c.name == s.name && is_sidecar(c));
    let waiting: Vec<&str> =
        init.iter().filter(sidecar).chain(main).filter(|c| !c.ready).map(|c| c.name.as_str()).collect();
    if waiting.is_empty() {
        return Judged::holds(KIND);
    }
    Judged::fails(KIND, "ContainersNotReady", format!("containers with unready status: [{}]", waiting.join(" ")))
}

fn ready(sources: &Sources<'_>, phase: &str, containers: &Judged) -> Judged {
    const KIND: &str = "Ready";
    if !containers.holds {
        return Judged { kind: KIND, holds: false, reason: containers.reason, message: containers.message.clone() };
    }
    let given = sources.desired.pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    let mut closed = Vec::new();
    for gate in sources.desired.spec().readiness_gates.iter().flatten() {
        let kind = &gate.condition_type;
        match given.into_iter().flatten().find(|c| &c.type_ == kind) {
            Some(condition) if condition.status == "True" => {}
            Some(condition) => {
                closed.push(format!(
                    "the status of pod readiness gate {kind:?} is not \"True\", but {}",
                    condition.status
                ));
            }
            None => closed.push(format!("corresponding condition of pod readiness gate {kind:?} does not exist.")),
        }
    }
    if closed.is_empty() || phase != "Running" {
        return Judged::holds(KIND);
    }
    Judged::fails(KIND, "ReadinessGatesNotReady", closed.join(", "))
}

fn timed(sources: &Sources<'_>, judged: Judged) -> PodCondition {
    let status = if judged.holds { "True" } else { "False" };
    let before = sources.previous.conditions.iter().flatten().find(|c| c.type_ == judged.kind);
    let kept = before.filter(|b| b.status == status).and_then(|b| b.last_transition_time.clone());
    PodCondition {
        last_probe_time: None,
        last_transition_time: kept.or_else(|| Some(time_ms(sources.now_ms))),
        message: judged.message,
        observed_generation: None,
        reason: judged.reason.map(str::to_owned),
        status: status.to_owned(),
        type_: judged.kind.to_owned(),
    }
}
