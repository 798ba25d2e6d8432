//! The PodStatus a kubelet would write. Pure; time is an argument.

mod condition;
mod container;

use domain::Quantity;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, HostIP, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::cri::view::{PodView, State};
use crate::placement::{Desired, all_containers, is_sidecar};
use crate::pod::memory::Memory;

/// How long a failed pull is shown as `ErrImagePull` before it becomes `ImagePullBackOff`.
pub const SHOW_ERROR_MS: i64 = 3_000;

/// Everything a status is made of.
pub struct Sources<'a> {
    /// What was asked.
    pub desired: &'a Desired,
    /// What containerd has.
    pub view: &'a PodView,
    /// What the worker knows besides.
    pub memory: &'a Memory,
    /// The status before this one: it holds the times of transitions.
    pub previous: &'a PodStatus,
    /// Unix milliseconds.
    pub now_ms: i64,
}

/// Works out the pod's status.
pub fn pod_status(sources: &Sources<'_>) -> PodStatus {
    let Sources { desired, view, previous, .. } = *sources;
    let spec = desired.spec();
    let init: Vec<_> = spec.init_containers.iter().flatten().map(|c| container::status(sources, c, true)).collect();
    let main: Vec<_> = spec.containers.iter().map(|c| container::status(sources, c, false)).collect();
    let (phase, reason, message) = phase(sources);
    // As of a pod that a kubelet does not admit: nothing waits in it, and clients show the reason.
    let refused = reason.as_deref() == Some(super::diff::UNSUPPORTED);
    let over = phase == "Failed" || phase == "Succeeded";
    let ip = view.ready_sandbox().map(|s| s.ip.clone()).filter(|ip| !ip.is_empty());
    let ip = ip.or_else(|| previous.pod_ip.clone().filter(|_| over || desired.removal.is_some()));
    let host = Some(desired.placement.node_address.clone()).filter(|h| !h.is_empty());
    let mut conditions = condition::conditions(sources, &phase, &init, &main);
    conditions.extend(super::check::conditions(sources));
    PodStatus {
        observed_generation: desired.pod.metadata.generation,
        conditions: Some(conditions),
        container_statuses: Some(main).filter(|_| !refused),
        host_ips: host.clone().map(|ip| vec![HostIP { ip }]),
        host_ip: host,
        init_container_statuses: Some(init).filter(|i| !i.is_empty() && !refused),
        message,
        phase: Some(phase),
        pod_ips: ip.clone().map(|ip| vec![PodIP { ip }]),
        pod_ip: ip,
        qos_class: Some(qos_class(desired).to_owned()),
        reason,
        start_time: Some(time_ms(desired.accepted_ms)),
        ..PodStatus::default()
    }
}

/// Phase, reason and message.
fn phase(sources: &Sources<'_>) -> (String, Option<String>, Option<String>) {
    let Sources { desired, view, memory, .. } = *sources;
    let running = view.running().next().is_some();
    let plain = |phase: &str| (phase.to_owned(), None, None);
    if let Some(ended) = memory.ended.as_ref().filter(|_| !running) {
        let some = |text: &String| Some(text.clone()).filter(|t| !t.is_empty());
        return (ended.phase.clone(), some(&ended.reason), some(&ended.message));
    }
    if desired.removal.is_some() && !running {
        let all_zero =
            desired.spec().containers.iter().all(|c| view.current(&c.name).is_some_and(|c| c.exit_code == 0));
        return plain(if all_zero { "Succeeded" } else { "Failed" });
    }
    let lived = |c: &Container| {
        let lived = view.containers.get(&c.name).into_iter().flatten().filter(|c| c.state != State::Created);
        lived.count() > usize::from(memory.starting.contains(&c.name))
    };
    if initialized(sources) && desired.spec().containers.iter().all(lived) {
        return plain("Running");
    }
    plain("Pending")
}

/// Whether all init containers are done, and sidecars started.
fn initialized(sources: &Sources<'_>) -> bool {
    let Sources { desired, view, memory, .. } = *sources;
    let spec = desired.spec();
    if spec.containers.iter().any(|c| view.current(&c.name).is_some_and(|c| c.state != State::Created)) {
        return true;
    }
    spec.init_containers.iter().flatten().all(|c| {
        let current = view.current(&c.name);
        if is_sidecar(c) {
            let started = |id: &str| memory.health.get(id).is_some_and(|h| h.started);
            current.is_some_and(|c| c.state == State::Running && started(&c.id))
        } else {
            current.is_some_and(|c| c.state == State::Exited && c.exit_code == 0)
        }
    })
}

/// The class by which the kernel and evictions treat the pod; only cpu and memory count.
pub fn qos_class(desired: &Desired) -> &'static str {
    let (mut any, mut guaranteed) = (false, true);
    for container in all_containers(desired.spec()) {
        let resources = container.resources.as_ref();
        for name in ["cpu", "memory"] {
            let amount = |list: Option<&std::collections::BTreeMap<String, _>>| {
                let quantity: Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity> = list?.get(name);
                Quantity::parse(&quantity?.0).ok().filter(|q| q.milli() > 0)
            };
            let limit = amount(resources.and_then(|r| r.limits.as_ref()));
            let request = amount(resources.and_then(|r| r.requests.as_ref())).or(limit);
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && request == limit;
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

pub(super) fn time_ms(ms: i64) -> Time {
    // Whole seconds, as the API has them: a status must not change by being written and read.
    Time(Timestamp::from_second(ms.div_euclid(1000)).unwrap_or(Timestamp::UNIX_EPOCH))
}

fn time_ns(ns: i64) -> Time {
    time_ms(ns / 1_000_000)
}

#[cfg(test)]
mod tests;
