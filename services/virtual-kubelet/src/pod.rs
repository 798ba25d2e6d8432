//! What is to be done about one pod: the pure rules. Observed are the pod as the cluster has it and its placement as the
//! fleet has it; either may be missing.

pub(crate) mod admit;
pub(crate) mod inputs;
pub(crate) mod status;
pub(crate) mod sync;

use proto::fleet::{PlacementState, placement_state::Phase};
use serde_json::Value;

/// One thing to do. Each is safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make or renew the placement.
    Put,
    /// Ask the fleet to stop the pod.
    Remove { grace_seconds: u32 },
    /// Nothing runs any more: take the object away.
    Delete,
    /// Write what the agent says into the pod's status.
    Report,
    /// Say why no host has room.
    Wait(String),
    /// The host is silent: nobody knows whether the pod is ready.
    MarkUnknown,
    /// The host is lost: the pod has failed, and its owner shall make another.
    Fail { reason: &'static str, message: String },
}

fn is_over(pod: &Value) -> bool {
    matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed"))
}

/// Lists what brings both sides together. `refused`: why this pod can't run here, if so.
pub(crate) fn diff(pod: Option<&Value>, placement: Option<&PlacementState>, refused: Option<&str>) -> Vec<Action> {
    let Some(pod) = pod else {
        let running = placement.is_some_and(|p| !matches!(p.phase(), Phase::Removing | Phase::Removed));
        return if running { vec![Action::Remove { grace_seconds: 0 }] } else { vec![] };
    };
    let phase = placement.map_or(Phase::Removed, PlacementState::phase);
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        return ending(pod, phase);
    }
    match phase {
        Phase::Lost if is_over(pod) => vec![Action::Delete, Action::Remove { grace_seconds: 0 }],
        Phase::Lost => vec![lost(placement), Action::Delete, Action::Remove { grace_seconds: 0 }],
        _ if is_over(pod) => match phase {
            // Kept, so that its logs can be read, until the pod is deleted.
            Phase::Placed => vec![Action::Report],
            _ => vec![],
        },
        Phase::Removed | Phase::Unspecified => match refused {
            Some(message) => vec![Action::Fail { reason: "UnsupportedPodSpec", message: message.to_owned() }],
            None => vec![Action::Put],
        },
        Phase::Waiting => {
            let reason = placement.map(|p| p.reason.clone()).unwrap_or_default();
            vec![Action::Put, Action::Wait(reason)]
        }
        Phase::Placed => vec![Action::Put, Action::Report],
        Phase::Unknown => vec![Action::MarkUnknown],
        Phase::Removing => vec![Action::Report],
    }
}

fn lost(placement: Option<&PlacementState>) -> Action {
    let why = placement.map(|p| p.reason.clone()).unwrap_or_default();
    Action::Fail { reason: "NodeLost", message: format!("the pod's host was lost: {why}") }
}

/// A pod that is being deleted.
fn ending(pod: &Value, phase: Phase) -> Vec<Action> {
    let seconds = pod.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_u64).unwrap_or(30);
    let grace_seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    match phase {
        Phase::Removed | Phase::Unspecified => vec![Action::Delete],
        Phase::Removing => vec![Action::Remove { grace_seconds }, Action::Report],
        Phase::Lost => vec![Action::Delete, Action::Remove { grace_seconds: 0 }],
        Phase::Waiting | Phase::Placed | Phase::Unknown => vec![Action::Remove { grace_seconds }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(phase: &str, deleting: bool) -> Value {
        let mut pod = json!({"metadata": {}, "status": {"phase": phase}});
        if deleting {
            pod["metadata"] = json!({"deletionTimestamp": "now", "deletionGracePeriodSeconds": 5});
        }
        pod
    }

    #[track_caller]
    fn check(pod: Option<Value>, phase: Phase, expect: &str) {
        let placement = PlacementState { phase: phase.into(), reason: "why".into(), ..PlacementState::default() };
        let placement = (phase != Phase::Unspecified).then_some(placement);
        let actions = diff(pod.as_ref(), placement.as_ref(), None);
        assert_eq!(format!("{actions:?}"), expect);
    }

    #[test]
    fn a_bound_pod_is_placed_and_reported() {
        check(Some(pod("Pending", false)), Phase::Unspecified, "[Put]");
        check(Some(pod("Pending", false)), Phase::Waiting, "[Put, Wait(\"why\")]");
        check(Some(pod("Running", false)), Phase::Placed, "[Put, Report]");
        check(Some(pod("Running", false)), Phase::Unknown, "[MarkUnknown]");
    }

    #[test]
    fn a_deleted_pod_is_stopped_first_and_then_forgotten() {
        check(Some(pod("Running", true)), Phase::Placed, "[Remove { grace_seconds: 5 }]");
        check(Some(pod("Running", true)), Phase::Removing, "[Remove { grace_seconds: 5 }, Report]");
        check(Some(pod("Running", true)), Phase::Unspecified, "[Delete]");
    }

    #[test]
    fn a_finished_pod_does_not_start_again() {
        check(Some(pod("Succeeded", false)), Phase::Unspecified, "[]");
        check(Some(pod("Failed", false)), Phase::Placed, "[Report]");
    }

    #[test]
    fn a_lost_pod_fails_and_makes_room_for_another() {
        check(
            Some(pod("Running", false)),
            Phase::Lost,
            "[Fail { reason: \"NodeLost\", message: \"the pod's host was lost: why\" }, Delete, Remove { grace_seconds: 0 }]",
        );
    }

    #[test]
    fn a_placement_without_a_pod_goes() {
        check(None, Phase::Placed, "[Remove { grace_seconds: 0 }]");
        check(None, Phase::Removing, "[]");
        check(None, Phase::Unspecified, "[]");
    }

    #[test]
    fn what_cannot_run_here_fails_and_says_why() {
        let actions = diff(Some(&pod("Pending", false)), None, Some("host network"));
        assert_eq!(actions, [Action::Fail { reason: "UnsupportedPodSpec", message: "host network".into() }]);
    }
}
