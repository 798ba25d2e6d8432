//! The pod's status: what the agent says, merged with what others say of the pod. Pure.

use serde_json::{Value, json};

/// The status to write, or `None` if the pod has it already. Conditions of types that the agent does not speak of stay.
pub(crate) fn merged(pod: &Value, agent: &Value) -> Option<Value> {
    let current = &pod["status"];
    let mut next = current.as_object().cloned().unwrap_or_default();
    for (key, value) in agent.as_object()? {
        next.insert(key.clone(), value.clone());
    }
    let spoken = agent["conditions"].as_array().cloned().unwrap_or_default();
    let others = current["conditions"].as_array().into_iter().flatten();
    let others = others.filter(|other| !spoken.iter().any(|condition| condition["type"] == other["type"])).cloned();
    let mut conditions: Vec<Value> = others.collect();
    conditions.extend(spoken);
    conditions.sort_by_key(|condition| condition["type"].to_string());
    let mut before = current["conditions"].as_array().cloned().unwrap_or_default();
    before.sort_by_key(|condition| condition["type"].to_string());
    let same = before == conditions;
    next.insert("conditions".into(), if same { current["conditions"].clone() } else { Value::Array(conditions) });
    let next = Value::Object(next);
    (next != *current).then_some(next)
}

/// The status of a pod of which nobody knows whether it is ready; `None` if it says so already.
pub(crate) fn unknown(pod: &Value, now: &str) -> Option<Value> {
    let mut status = pod["status"].clone();
    let mut changed = false;
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        let about_ready = matches!(condition["type"].as_str(), Some("Ready" | "ContainersReady"));
        if about_ready && condition["status"] == "True" {
            condition["status"] = json!("Unknown");
            condition["reason"] = json!("HostSilent");
            condition["message"] = json!("nothing is heard from the pod's host");
            condition["lastTransitionTime"] = json!(now);
            changed = true;
        }
    }
    changed.then_some(status)
}

/// The status of a pod that has failed for a reason outside of it.
pub(crate) fn failed(pod: &Value, reason: &str, message: &str, now: &str) -> Value {
    let mut status = unknown(pod, now).unwrap_or_else(|| pod["status"].clone());
    status["phase"] = json!("Failed");
    status["reason"] = json!(reason);
    status["message"] = json!(message);
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        if condition["status"] == "Unknown" {
            condition["status"] = json!("False");
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_conditions_stay_and_the_same_is_no_write() {
        let pod = json!({"status": {"phase": "Pending", "qosClass": "Burstable", "conditions": [
            {"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"},
        ]}});
        let agent = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        let next = merged(&pod, &agent).unwrap();
        assert_eq!(next["qosClass"], "Burstable");
        assert_eq!(next["conditions"].as_array().unwrap().len(), 2);
        assert_eq!(merged(&json!({"status": next}), &agent), None);
    }

    #[test]
    fn silence_makes_readiness_unknown_once() {
        let pod = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let next = unknown(&pod, "now").unwrap();
        assert_eq!(next["conditions"][0]["status"], "Unknown");
        assert_eq!(unknown(&json!({"status": next}), "later"), None);
        assert_eq!(failed(&pod, "NodeLost", "", "now")["conditions"][0]["status"], "False");
    }
}
