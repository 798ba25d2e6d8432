//! What a host says of an instance's pod, in the words of container instances. Pure.

use super::{Container, pod::container_name, words::*};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Reasons of waiting that are part of starting.
const STARTING: &[&str] = &["ContainerCreating", "PodInitializing", "ErrImagePull"];
/// Reason of waiting that is part of restarting.
const BACK_OFF: &str = "CrashLoopBackOff";
/// How the types of the conditions begin by which the agent tells of health checks.
const HEALTH: &str = "hako.dev/health/";

/// How a container is, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) state: InstanceState,
    pub(crate) details: Option<String>,
    /// Of its last end.
    pub(crate) exit_code: Option<i32>,
    pub(crate) terminated_ms: Option<i64>,
    pub(crate) restarts: i32,
    pub(crate) checks: Vec<CheckSeen>,
}

/// How a health check stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckSeen {
    pub(crate) status: HealthStatus,
    pub(crate) details: Option<String>,
}

/// How a pod is as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PodState {
    /// Not all containers have started; why that will not come by itself, if so.
    Starting { trouble: Option<String> },
    /// All have started.
    Running,
    /// All have ended and stay so; the host's reason, if it ended them.
    Ended { why: Option<String> },
}

impl Seen {
    /// A container that nobody has seen yet.
    pub(crate) fn new() -> Self {
        Self {
            state: InstanceState::Creating,
            details: None,
            exit_code: None,
            terminated_ms: None,
            restarts: 0,
            checks: Vec::new(),
        }
    }

    /// The same once nothing of it is on any host.
    pub(crate) fn at_rest(&self, state: InstanceState) -> Self {
        Self { state, details: None, checks: Vec::new(), ..self.clone() }
    }
}

fn status<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let all = pod["containerStatuses"].as_array().into_iter().flatten();
    all.into_iter().find(|status| status["name"] == name).unwrap_or(&Value::Null)
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// `reason: message` of a state, as far as there are any.
fn reason(value: &Value) -> Option<String> {
    match (text(&value["reason"]), text(&value["message"])) {
        (Some(reason), Some(message)) => Some(format!("{reason}: {message}")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}

/// How a container is by its pod's status; `before`: what was known of it, for what a status does not say.
pub(super) fn container(pod: &Value, container: &Container, checks: usize) -> Seen {
    let (name, before) = (container_name(container), &container.seen);
    let status = status(pod, name);
    let (state, last) = (&status["state"], &status["lastState"]["terminated"]);
    let (running, waiting, ended) = (&state["running"], &state["waiting"], &state["terminated"]);
    let end = if ended.is_object() { ended } else { last };
    let at = text(&end["finishedAt"]).and_then(|at| at.parse::<jiff::Timestamp>().ok());
    let exit_code = end["exitCode"].as_i64().and_then(|code| i32::try_from(code).ok());
    let (lifecycle, details) = if running.is_object() {
        (InstanceState::Active, None)
    } else if ended.is_object() {
        (InstanceState::Inactive, reason(ended).filter(|_| ended["exitCode"] != 0))
    } else if end.is_object() {
        (InstanceState::Inactive, reason(waiting))
    } else {
        (InstanceState::Creating, reason(waiting))
    };
    Seen {
        state: lifecycle,
        details,
        exit_code: exit_code.or(before.exit_code),
        terminated_ms: at.map(|at| at.as_millisecond()).or(before.terminated_ms),
        restarts: status["restartCount"].as_i64().and_then(|count| i32::try_from(count).ok()).unwrap_or(0),
        checks: (0..checks).map(|number| check(pod, name, number)).collect(),
    }
}

fn check(pod: &Value, name: &str, number: usize) -> CheckSeen {
    let kind = format!("{HEALTH}{name}/{number}");
    let conditions = pod["conditions"].as_array().into_iter().flatten();
    let found = conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null);
    let status = match found["status"].as_str() {
        Some("True") => HealthStatus::Healthy,
        Some("False") => HealthStatus::Unhealthy,
        _ => HealthStatus::Unknown,
    };
    CheckSeen { status, details: text(&found["message"]).map(str::to_owned) }
}

/// How the pod is.
pub(super) fn pod(pod: &Value, containers: &[Container]) -> PodState {
    match pod["phase"].as_str() {
        Some("Running") => PodState::Running,
        Some("Succeeded" | "Failed") => PodState::Ended { why: reason(pod) },
        _ => PodState::Starting { trouble: containers.iter().find_map(|container| trouble(pod, container)) },
    }
}

/// Why a container will not start without a change.
fn trouble(pod: &Value, container: &Container) -> Option<String> {
    let waiting = &status(pod, container_name(container))["state"]["waiting"];
    let word = text(&waiting["reason"]).filter(|word| !STARTING.contains(word) && *word != BACK_OFF)?;
    Some(format!("container {:?}: {}", container.display_name, reason(waiting).unwrap_or_else(|| word.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::super::tests::planned;
    use super::*;
    use serde_json::json;

    fn one() -> Container {
        planned(json!({})).unwrap().1.remove(0)
    }

    #[track_caller]
    fn check(state: Value, expect: (InstanceState, Option<i32>, Option<&str>)) {
        let one = one();
        let mut status = state;
        status["name"] = json!(container_name(&one));
        let seen = container(&json!({"containerStatuses": [status]}), &one, 0);
        assert_eq!((seen.state, seen.exit_code, seen.details.as_deref()), expect);
    }

    #[test]
    fn states_are_told_in_our_words() {
        let ended = json!({"exitCode": 3, "reason": "Error", "finishedAt": "2026-01-01T00:00:00Z"});
        check(json!({"state": {"running": {}}}), (InstanceState::Active, None, None));
        check(json!({"state": {"terminated": ended}}), (InstanceState::Inactive, Some(3), Some("Error")));
        check(
            json!({"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}),
            (InstanceState::Inactive, Some(0), None),
        );
        let waits = json!({"reason": "CrashLoopBackOff", "message": "10s"});
        check(
            json!({"state": {"waiting": waits}, "lastState": {"terminated": ended}}),
            (InstanceState::Inactive, Some(3), Some("CrashLoopBackOff: 10s")),
        );
        check(
            json!({"state": {"running": {}}, "lastState": {"terminated": ended}}),
            (InstanceState::Active, Some(3), None),
        );
        check(json!({}), (InstanceState::Creating, None, None));
    }

    #[test]
    fn health_checks_are_found_by_their_number() {
        let one = one();
        let kind = format!("hako.dev/health/{}/1", container_name(&one));
        let status = json!({"conditions": [{"type": kind, "status": "False", "message": "503"}]});
        let seen = container(&status, &one, 2);
        assert_eq!(seen.checks[0].status, HealthStatus::Unknown);
        assert_eq!(seen.checks[1], CheckSeen { status: HealthStatus::Unhealthy, details: Some("503".into()) });
    }

    #[test]
    fn an_image_that_does_not_come_is_trouble_and_one_that_is_pulled_is_not() {
        let one = one();
        let waits = |reason: &str| {
            let status =
                json!({"name": container_name(&one), "state": {"waiting": {"reason": reason, "message": "m"}}});
            pod(&json!({"phase": "Pending", "containerStatuses": [status]}), std::slice::from_ref(&one))
        };
        assert_eq!(waits("ContainerCreating"), PodState::Starting { trouble: None });
        let PodState::Starting { trouble: Some(why) } = waits("ImagePullBackOff") else { panic!("no trouble") };
        assert!(why.ends_with("ImagePullBackOff: m"), "{why}");
        let evicted = json!({"phase": "Failed", "reason": "Evicted", "message": "disk"});
        assert_eq!(pod(&evicted, &[]), PodState::Ended { why: Some("Evicted: disk".into()) });
    }
}
