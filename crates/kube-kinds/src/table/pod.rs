//! Pods: STATUS is the most telling reason among phase, containers and deletion.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    AGE, Column, NAME, Table, name, string,
    text::{NONE, age, condition, count, or, since, terminating},
    wide,
};
use crate::json::{flag, list, number, text};

const COLUMNS: &[Column] = &[
    NAME,
    string("Ready", "Containers that are ready, of all."),
    string("Status", "What the pod is doing, or why it is not."),
    string("Restarts", "How often containers were restarted, and when last."),
    AGE,
    wide("IP", "Address of the pod."),
    wide("Node", "Node on which the pod runs."),
    wide("Nominated Node", "Node on which room is being made for the pod."),
    wide("Readiness Gates", "Readiness gates that hold, of all."),
];

/// The table of pods.
pub(super) fn table(resource: &str) -> Option<Table> {
    (resource == "pods").then_some(Table { columns: COLUMNS, row })
}

fn row(pod: &Value, now: Timestamp) -> Vec<Value> {
    let state = State::of(pod);
    let restarts = match state.restarts {
        0 => "0".to_owned(),
        number if state.last_restart.is_empty() => number.to_string(),
        number => format!("{number} ({} ago)", since(state.last_restart, now)),
    };
    let gates = list(pod, "/spec/readinessGates");
    let open = gates.iter().filter(|gate| condition(pod, text(gate, "/conditionType"))).count();
    let gates = if gates.is_empty() { NONE.to_owned() } else { format!("{open}/{}", gates.len()) };
    let ip = or(pod, "/status/podIPs/0/ip", or(pod, "/status/podIP", NONE));
    vec![
        name(pod),
        json!(format!("{}/{}", state.ready, state.total)),
        json!(state.reason),
        json!(restarts),
        age(pod, now),
        json!(ip),
        json!(or(pod, "/spec/nodeName", NONE)),
        json!(or(pod, "/status/nominatedNodeName", NONE)),
        json!(gates),
    ]
}

#[derive(Default)]
struct State<'a> {
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: &'a str,
    reason: String,
}

impl<'a> State<'a> {
    fn of(pod: &'a Value) -> Self {
        let phase = text(pod, "/status/phase");
        let mut state = Self { reason: or(pod, "/status/reason", phase).to_owned(), ..Self::default() };
        let gated = |c: &&Value| text(c, "/type") == "PodScheduled" && text(c, "/reason") == "SchedulingGated";
        if list(pod, "/status/conditions").iter().find(gated).is_some() {
            "SchedulingGated".clone_into(&mut state.reason);
        }
        state.total = count(pod, "/spec/containers") + sidecars(pod).count();
        let sidecar_restarts = state.read_init(pod);
        if sidecar_restarts.initialized || condition(pod, "Initialized") {
            state.restarts = sidecar_restarts.restarts;
            state.last_restart = sidecar_restarts.last;
            state.read_containers(pod);
        }
        if terminating(pod) {
            if text(pod, "/status/reason") == "NodeLost" {
                "Unknown".clone_into(&mut state.reason);
            } else if !matches!(phase, "Succeeded" | "Failed") {
                "Terminating".clone_into(&mut state.reason);
            }
        }
        state
    }

    fn restarted(&mut self, container: &'a Value) {
        self.restarts += number(container, "/restartCount");
        self.last_restart = self.last_restart.max(text(container, "/lastState/terminated/finishedAt"));
    }

    /// Goes through init containers up to the first that is not done.
    fn read_init(&mut self, pod: &'a Value) -> Sidecars<'a> {
        let mut found = Sidecars { initialized: true, ..Sidecars::default() };
        for (index, container) in list(pod, "/status/initContainerStatuses").iter().enumerate() {
            self.restarted(container);
            let sidecar = sidecars(pod).any(|name| name == text(container, "/name"));
            if sidecar {
                found.restarts += number(container, "/restartCount");
                found.last = found.last.max(text(container, "/lastState/terminated/finishedAt"));
            }
            let terminated = container.pointer("/state/terminated");
            if terminated.is_some_and(|t| number(t, "/exitCode") == 0) {
                continue;
            }
            if sidecar && flag(container, "/started") {
                self.ready += usize::from(flag(container, "/ready"));
                continue;
            }
            let waiting = text(container, "/state/waiting/reason");
            self.reason = match terminated {
                Some(terminated) => format!("Init:{}", ended(terminated)),
                None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
                None => format!("Init:{index}/{}", count(pod, "/spec/initContainers")),
            };
            found.initialized = false;
            break;
        }
        found
    }

    fn read_containers(&mut self, pod: &'a Value) {
        let mut running = false;
        for container in list(pod, "/status/containerStatuses").iter().rev() {
            self.restarted(container);
            let waiting = text(container, "/state/waiting/reason");
            if !waiting.is_empty() {
                waiting.clone_into(&mut self.reason);
            } else if let Some(terminated) = container.pointer("/state/terminated") {
                self.reason = ended(terminated);
            } else if flag(container, "/ready") && container.pointer("/state/running").is_some() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && running {
            let reason = if condition(pod, "Ready") { "Running" } else { "NotReady" };
            reason.clone_into(&mut self.reason);
        }
    }
}

#[derive(Default)]
struct Sidecars<'a> {
    initialized: bool,
    restarts: i64,
    last: &'a str,
}

fn sidecars(pod: &Value) -> impl Iterator<Item = &str> {
    let restartable = |c: &&Value| text(c, "/restartPolicy") == "Always";
    list(pod, "/spec/initContainers").iter().filter(restartable).map(|c| text(c, "/name"))
}

fn ended(terminated: &Value) -> String {
    match (text(terminated, "/reason"), number(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", number(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}
