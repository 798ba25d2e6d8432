//! Small readings of typed objects that several controllers need.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, PodCondition, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::time::Duration;

/// The condition of a pod of this type.
#[must_use]
pub fn pod_condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// `status.phase`; `Pending` if not set.
#[must_use]
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

/// Whether all containers of the pod have ended for good.
#[must_use]
pub fn is_terminal(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether the pod counts as a replica: it has not ended and nobody deleted it.
#[must_use]
pub fn is_active(pod: &Pod) -> bool {
    !is_terminal(pod) && pod.metadata.deletion_timestamp.is_none()
}

/// Whether the pod's `Ready` condition is true.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    pod_condition(pod, "Ready").is_some_and(|condition| condition.status == "True")
}

/// Since when the pod is ready; the far past if that is not known.
#[must_use]
pub fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let condition = pod_condition(pod, "Ready").filter(|condition| condition.status == "True")?;
    Some(condition.last_transition_time.as_ref().map_or(Timestamp::MIN, |time| time.0))
}

/// Whether the pod has been ready for `min_ready` seconds; if not yet, but ready, how long it still takes.
///
/// # Errors
/// The time that is missing; `None` if the pod is not ready.
pub fn available(pod: &Pod, min_ready: i32, now: Timestamp) -> Result<(), Option<Duration>> {
    let since = ready_since(pod).ok_or(None)?;
    if min_ready <= 0 || since == Timestamp::MIN {
        return Ok(());
    }
    let due = since.saturating_add(SignedDuration::from_secs(i64::from(min_ready))).unwrap_or(Timestamp::MAX);
    if due <= now { Ok(()) } else { Err(Some(until(due, now))) }
}

/// Time from `now` to `due`; zero if that is past.
#[must_use]
pub fn until(due: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO)
}

/// How often the most restarted container of the pod was restarted.
#[must_use]
pub fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    statuses.map(|status| status.restart_count).max().unwrap_or(0)
}

/// The node that the pod is bound to.
#[must_use]
pub fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}

/// Creation time; the far past if there is none.
#[must_use]
pub fn created(meta: &ObjectMeta) -> Timestamp {
    meta.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0)
}

/// Name, or nothing.
#[must_use]
pub fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

/// Namespace, or nothing.
#[must_use]
pub fn namespace(meta: &ObjectMeta) -> &str {
    meta.namespace.as_deref().unwrap_or_default()
}

/// UID, or nothing.
#[must_use]
pub fn uid(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_default()
}

/// Value of an annotation.
#[must_use]
pub fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

/// UID of the controller among the owners.
#[must_use]
pub fn controller_uid(meta: &ObjectMeta) -> Option<&str> {
    let mut owners = meta.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str())
}

/// A time as Kubernetes writes it: whole seconds.
#[must_use]
pub fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// Text of a time, in whole seconds.
#[must_use]
pub fn time_text(at: Timestamp) -> String {
    time(at).0.to_string()
}

/// A number or a share of `total`, rounded up or down; what is no number gives 0.
#[must_use]
pub fn share(value: &IntOrString, total: i32, round_up: bool) -> i32 {
    match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(text) => {
            let Some(percent) = text.strip_suffix('%').and_then(|digits| digits.parse::<i64>().ok()) else { return 0 };
            let hundredfold = percent * i64::from(total);
            let share = if round_up { (hundredfold + 99).div_euclid(100) } else { hundredfold.div_euclid(100) };
            i32::try_from(share).unwrap_or(i32::MAX)
        }
    }
}

/// Whether a toleration accepts a taint.
/// Source: `ToleratesTaint` in k8s.io/api/core/v1.
#[must_use]
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    if !(effect.is_empty() || effect == taint.effect) || !(key.is_empty() || key == taint.key) {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or_default() {
        "" | "Equal" => {
            !key.is_empty()
                && toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default()
        }
        "Exists" => true,
        _ => false,
    }
}

/// Init containers that run as long as the pod does.
#[must_use]
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_round_as_asked() {
        let percent = |text: &str| IntOrString::String(text.into());
        assert_eq!(share(&percent("25%"), 10, true), 3);
        assert_eq!(share(&percent("25%"), 10, false), 2);
        assert_eq!(share(&percent("0%"), 10, true), 0);
        assert_eq!(share(&percent("100%"), 7, false), 7);
        assert_eq!(share(&IntOrString::Int(4), 10, true), 4);
    }

    #[test]
    fn tolerations_match_by_key_value_and_effect() {
        let taint = Taint { key: "k".into(), value: Some("v".into()), effect: "NoSchedule".into(), time_added: None };
        let check = |key: &str, operator: &str, value: &str, effect: &str| {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let toleration = Toleration {
                key: some(key),
                operator: some(operator),
                value: some(value),
                effect: some(effect),
                toleration_seconds: None,
            };
            tolerates(&toleration, &taint)
        };
        assert!(check("k", "", "v", ""));
        assert!(check("k", "Exists", "", "NoSchedule"));
        assert!(check("", "Exists", "", ""));
        assert!(!check("k", "Equal", "w", ""));
        assert!(!check("k", "Exists", "", "NoExecute"));
        assert!(!check("", "", "", ""));
    }
}
