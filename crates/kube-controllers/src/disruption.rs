//! Disruption budgets: how many of the selected pods may be evicted now. The eviction subresource spends what this
//! allows; without it every eviction under a budget, and so every `kubectl drain`, would wait for ever.
//! Source of the rules: kubernetes/pkg/controller/disruption.

pub(crate) mod drive;
#[cfg(test)]
mod tests;

use crate::action::{Plan, Target, merge_diff};
use crate::{selector, view};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

/// Resource name.
pub const RESOURCE: &str = "poddisruptionbudgets.policy";
/// How long an evicted pod counts as gone before its deletion is seen. Source: upstream's `DeletionTimeout`, 2 min.
const DELETION_TIMEOUT: SignedDuration = SignedDuration::from_secs(120);

/// How many pods the controller of a pod wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scale {
    /// The pod has no controller: it counts for nothing.
    Unmanaged,
    /// UID of the topmost controller with a size, and that size.
    Known(String, i32),
    /// The controller is of a kind whose size nobody knows, or is gone.
    Unknown(String),
}

/// One pod that the budget selects.
#[derive(Debug, Clone)]
pub struct Member {
    /// The pod.
    pub pod: Arc<Pod>,
    /// The size of what it is a replica of.
    pub scale: Scale,
}

/// Everything that a budget's status depends on.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The budget.
    pub budget: PodDisruptionBudget,
    /// The pods of its namespace that it selects.
    pub members: Vec<Member>,
}

/// The status that follows from the pods as they are.
/// Invariant: no I/O and no clock; the pods may come in any order; a settled budget yields nothing.
#[must_use]
pub fn diff(observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let budget = &observed.budget;
    if budget.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let old = budget.status.clone().unwrap_or_default();
    let disrupted = still_disrupted(observed, &old, now, &mut plan);
    let mut new = PodDisruptionBudgetStatus {
        observed_generation: budget.metadata.generation,
        disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
        conditions: old.conditions.clone(),
        ..PodDisruptionBudgetStatus::default()
    };
    match expected(observed) {
        Ok((expected, desired)) => {
            let healthy = healthy(observed, new.disrupted_pods.as_ref());
            let allowed = if expected > 0 { (healthy - desired).max(0) } else { 0 };
            new.expected_pods = Some(expected);
            new.desired_healthy = Some(desired);
            new.current_healthy = Some(healthy);
            new.disruptions_allowed = Some(allowed);
            let (status, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
            set_condition(&mut new, status, reason, String::new(), now);
        }
        // What cannot be counted is not spent.
        Err(why) => {
            new.expected_pods = old.expected_pods.or(Some(0));
            new.desired_healthy = old.desired_healthy.or(Some(0));
            new.current_healthy = old.current_healthy.or(Some(0));
            new.disruptions_allowed = Some(0);
            set_condition(&mut new, "False", "SyncFailed", why, now);
        }
    }
    if let Some(status) = merge_diff(&json!(old), &json!(new)) {
        plan.patch(&Target::of(RESOURCE, &budget.metadata), Some(json!({ "status": status })));
    }
    plan
}

/// Pods that an eviction has taken and whose deletion is not seen yet; after the timeout they count again.
fn still_disrupted(
    observed: &Observed,
    old: &PodDisruptionBudgetStatus,
    now: Timestamp,
    plan: &mut Plan,
) -> BTreeMap<String, Time> {
    let mut kept = BTreeMap::new();
    for (name, since) in old.disrupted_pods.iter().flatten() {
        let alive = |member: &&Member| {
            view::name(&member.pod.metadata) == name && member.pod.metadata.deletion_timestamp.is_none()
        };
        let due = since.0.saturating_add(DELETION_TIMEOUT).unwrap_or(Timestamp::MAX);
        if due > now && observed.members.iter().any(|member| alive(&member)) {
            plan.wake_in(view::until(due, now));
            kept.insert(name.clone(), since.clone());
        }
    }
    kept
}

/// How many pods there should be, and how many of them must stay healthy.
fn expected(observed: &Observed) -> Result<(i32, i32), String> {
    let count = i32::try_from(observed.members.len()).unwrap_or(i32::MAX);
    let Some(spec) = &observed.budget.spec else { return Ok((count, count)) };
    if let Some(most) = &spec.max_unavailable {
        let wanted = wanted(observed)?;
        return Ok((wanted, (wanted - view::share(most, wanted, true)).max(0)));
    }
    match &spec.min_available {
        Some(IntOrString::Int(number)) => Ok((count, *number)),
        Some(share) => {
            let wanted = wanted(observed)?;
            Ok((wanted, view::share(share, wanted, true)))
        }
        None => Ok((count, count)),
    }
}

/// The sizes of all controllers of the pods together.
fn wanted(observed: &Observed) -> Result<i32, String> {
    let mut sizes: BTreeMap<&str, i32> = BTreeMap::new();
    for member in &observed.members {
        match &member.scale {
            Scale::Unmanaged => {}
            Scale::Known(uid, size) => {
                sizes.insert(uid, *size);
            }
            Scale::Unknown(owner) => {
                let pod = view::name(&member.pod.metadata);
                return Err(format!("found no scale of {owner}, the controller of pod {pod:?}"));
            }
        }
    }
    Ok(sizes.values().fold(0, |sum, size| sum.saturating_add(*size)))
}

fn healthy(observed: &Observed, disrupted: Option<&BTreeMap<String, Time>>) -> i32 {
    let counts = |member: &&Member| {
        let meta = &member.pod.metadata;
        let leaving = disrupted.is_some_and(|pods| pods.contains_key(view::name(meta)));
        meta.deletion_timestamp.is_none() && !leaving && view::is_ready(&member.pod)
    };
    i32::try_from(observed.members.iter().filter(counts).count()).unwrap_or(i32::MAX)
}

fn set_condition(status: &mut PodDisruptionBudgetStatus, value: &str, reason: &str, message: String, now: Timestamp) {
    const TYPE: &str = "DisruptionAllowed";
    let conditions = status.conditions.get_or_insert_default();
    let same = conditions.iter().find(|c| c.type_ == TYPE && c.status == value);
    let since = same.map_or_else(|| view::time(now), |same| same.last_transition_time.clone());
    let new = Condition {
        type_: TYPE.into(),
        status: value.into(),
        reason: reason.into(),
        message,
        last_transition_time: since,
        observed_generation: status.observed_generation,
    };
    conditions.retain(|condition| condition.type_ != TYPE);
    conditions.push(new);
}

/// Whether the budget selects a pod with these labels; one without a selector selects nothing.
#[must_use]
pub fn selects(budget: &PodDisruptionBudget, labels: &selector::Labels) -> bool {
    let wanted = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    wanted.is_some_and(|wanted| selector::fits(wanted, labels))
}
