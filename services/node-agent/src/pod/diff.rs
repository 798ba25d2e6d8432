//! What must be done next for one pod: desired against observed. Pure; time is an argument, Unix milliseconds.

use k8s_openapi::api::core::v1::Container;

use crate::cri::view::{ContainerView, PodView, SandboxView, State};
use crate::placement::{Desired, is_sidecar};
use crate::pod::memory::{Ended, Memory, Target, Volumes};
use crate::pod::storage::EVICTED;

/// One thing to do; each is safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the volumes, or bring them up to date.
    PrepareVolumes,
    /// Make the sandbox.
    CreateSandbox {
        /// Counts the pod's sandboxes from 0.
        attempt: u32,
    },
    /// Give the sandbox's network back; the pod has ended.
    StopSandbox {
        /// CRI id.
        id: String,
    },
    /// Pull, create and start a container.
    Start {
        /// Its name.
        container: String,
        /// Counts its starts from 0.
        attempt: u32,
    },
    /// Stop a container.
    Stop {
        /// Its name.
        container: String,
        /// CRI id.
        id: String,
        /// Seconds between SIGTERM and SIGKILL.
        grace_seconds: u32,
        /// The event's reason.
        reason: &'static str,
        /// The event's message.
        message: String,
    },
    /// Forget a dead container.
    Remove {
        /// Its name.
        container: String,
        /// CRI id.
        id: String,
    },
    /// Take the volumes away; the pod has ended.
    RemoveVolumes,
    /// Leave nothing of the pod.
    Clean,
}

impl Action {
    /// What the action works on.
    pub fn target(&self) -> Target {
        match self {
            Self::PrepareVolumes | Self::RemoveVolumes => Target::Volumes,
            Self::CreateSandbox { .. } | Self::StopSandbox { .. } | Self::Clean => Target::Pod,
            Self::Start { container, .. } | Self::Stop { container, .. } | Self::Remove { container, .. } => {
                Target::Container(container.clone())
            }
        }
    }
}

/// What to do now, and when to look again even if nothing happens.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In order; independent of each other.
    pub actions: Vec<Action>,
    /// Unix milliseconds.
    pub wake_ms: Option<i64>,
}

impl Plan {
    fn wake(&mut self, at_ms: i64) {
        self.wake_ms = Some(self.wake_ms.map_or(at_ms, |w| w.min(at_ms)));
    }
}

/// Grace of a pod that must go for the sake of others. Source: the kubelet's `immediateEvictionGracePeriodSeconds`.
const EVICTION_GRACE: u32 = 1;

/// Restart policy of the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Whatever it exits with.
    Always,
    /// Unless it exits with 0.
    OnFailure,
    /// Not at all.
    Never,
}

/// The pod's restart policy.
pub fn policy(desired: &Desired) -> Policy {
    match desired.spec().restart_policy.as_deref() {
        Some("Never") => Policy::Never,
        Some("OnFailure") => Policy::OnFailure,
        _ => Policy::Always,
    }
}

/// Lists what turns `view` into `desired`. A settled pod yields nothing.
pub fn diff(desired: &Desired, view: &PodView, memory: &Memory, now_ms: i64) -> Plan {
    let mut plan = Plan::default();
    if desired.removal.is_some() || memory.ended.is_some() {
        stop_all(desired, view, memory, now_ms, &mut plan);
        if plan.actions.is_empty() {
            end(desired, view, memory, &mut plan);
        }
    } else {
        keep_running(desired, view, memory, now_ms, &mut plan);
    }
    plan.actions.retain(|action| !memory.busy.contains(&action.target()));
    for until in memory.held.values().filter(|until| now_ms < **until) {
        plan.wake(*until);
    }
    plan.actions.retain(|action| memory.held.get(&action.target()).is_none_or(|until| now_ms >= *until));
    // The whole pod is only touched when nobody works on a part of it.
    if !memory.busy.is_empty() {
        let whole = |a: &Action| matches!(a, Action::Clean | Action::StopSandbox { .. } | Action::RemoveVolumes);
        plan.actions.retain(|action| !whole(action));
    }
    plan
}

/// Why a pod ends that asks for what a virtual node refuses; the virtual-kubelet uses the same word.
pub const UNSUPPORTED: &str = "UnsupportedPodSpec";

/// Why the pod has ended, if it has: deadline, refused features, or its containers are done.
pub fn ended(desired: &Desired, view: &PodView, refused: Option<&str>, now_ms: i64) -> Option<Ended> {
    let failed = |reason: &str, message: &str| {
        Some(Ended { phase: "Failed".into(), reason: reason.into(), message: message.into() })
    };
    if let Some(message) = refused {
        return failed(UNSUPPORTED, message);
    }
    if let Some(all_zero) = finished(desired, view) {
        let phase = if all_zero { "Succeeded" } else { "Failed" };
        return Some(Ended { phase: phase.into(), reason: String::new(), message: String::new() });
    }
    if deadline_ms(desired).is_some_and(|deadline| now_ms >= deadline) {
        return failed("DeadlineExceeded", "Pod was active on the node longer than the specified deadline");
    }
    None
}

fn deadline_ms(desired: &Desired) -> Option<i64> {
    desired.spec().active_deadline_seconds.map(|s| desired.accepted_ms + s.saturating_mul(1000))
}

/// `Some(all exited with 0)` if no container will run again by itself.
fn finished(desired: &Desired, view: &PodView) -> Option<bool> {
    let policy = policy(desired);
    let spec = desired.spec();
    let over = |c: &ContainerView| c.state == State::Exited && !restarts(policy, c);
    let init = spec.init_containers.iter().flatten().filter(|c| !is_sidecar(c));
    let init_failed = init.filter_map(|c| view.current(&c.name)).any(|c| over(c) && c.exit_code != 0);
    if init_failed {
        return Some(false);
    }
    if spec.containers.is_empty() {
        return None;
    }
    let mut zero = true;
    for container in &spec.containers {
        let current = view.current(&container.name).filter(|c| over(c))?;
        zero &= current.exit_code == 0;
    }
    Some(zero)
}

fn restarts(policy: Policy, container: &ContainerView) -> bool {
    match policy {
        Policy::Always => true,
        Policy::OnFailure => container.exit_code != 0,
        Policy::Never => false,
    }
}

/// Stops containers first, sidecars after them, in reverse order.
fn stop_all(desired: &Desired, view: &PodView, memory: &Memory, now_ms: i64, plan: &mut Plan) {
    let grace_seconds = match desired.removal {
        Some(removal) if removal.moved => 0,
        Some(removal) => {
            let spent = u32::try_from((now_ms - removal.since_ms).max(0) / 1000).unwrap_or(u32::MAX);
            removal.grace_seconds.saturating_sub(spent)
        }
        None if memory.ended.as_ref().is_some_and(|e| e.reason == EVICTED) => {
            EVICTION_GRACE.min(desired.grace_seconds())
        }
        None => desired.grace_seconds(),
    };
    let stop = |name: &str, c: &ContainerView| Action::Stop {
        container: name.to_owned(),
        id: c.id.clone(),
        grace_seconds,
        reason: "Killing",
        message: format!("Stopping container {name}"),
    };
    let sidecar = |name: &str| desired.container(name).is_some_and(is_sidecar);
    let mut running: Vec<_> = view.running().collect();
    running.sort_by_key(|(name, _)| *name);
    let (sidecars, others): (Vec<_>, Vec<_>) = running.into_iter().partition(|(name, _)| sidecar(name));
    if others.is_empty() || grace_seconds == 0 {
        let order = |name: &str| desired.spec().init_containers.iter().flatten().position(|c| c.name == name);
        let mut sidecars = sidecars;
        sidecars.sort_by_key(|(name, _)| std::cmp::Reverse(order(name)));
        let at_once = if grace_seconds == 0 { sidecars.len() } else { 1 };
        plan.actions.extend(sidecars.iter().take(at_once).map(|(name, c)| stop(name, c)));
    }
    plan.actions.extend(others.iter().map(|(name, c)| stop(name, c)));
}

/// Nothing runs any more: clean away, or give network and volumes back and keep what logs and statuses need.
fn end(desired: &Desired, view: &PodView, memory: &Memory, plan: &mut Plan) {
    if desired.removal.is_some() {
        plan.actions.push(Action::Clean);
    } else if let Some(sandbox) = view.ready_sandbox() {
        plan.actions.push(Action::StopSandbox { id: sandbox.id.clone() });
    } else if memory.volumes != Volumes::Gone {
        // An object that nobody deletes must not keep the disk.
        plan.actions.push(Action::RemoveVolumes);
    }
}

fn keep_running(desired: &Desired, view: &PodView, memory: &Memory, now_ms: i64, plan: &mut Plan) {
    if let Some(deadline) = deadline_ms(desired) {
        plan.wake(deadline);
    }
    let volumes = volumes(desired, memory, now_ms, plan);
    let Some(sandbox) = view.ready_sandbox() else {
        return without_sandbox(desired, view, memory, volumes, now_ms, plan);
    };
    collect_dead(view, plan);
    if !volumes {
        return;
    }
    let seen = Seen { desired, view, sandbox, memory, now_ms };
    if seen.init(plan) {
        for container in &desired.spec().containers {
            seen.container(container, policy(desired), plan);
        }
    }
}

/// Whether the volumes are there (maybe of an older generation, then they are refreshed beside).
fn volumes(desired: &Desired, memory: &Memory, now_ms: i64, plan: &mut Plan) -> bool {
    match &memory.volumes {
        Volumes::Ready(generation) if *generation == desired.placement.generation => true,
        Volumes::Failed(failure) | Volumes::Stale(failure) if now_ms < failure.retry_ms() => {
            plan.wake(failure.retry_ms());
            matches!(memory.volumes, Volumes::Stale(_))
        }
        state => {
            if desired.complete {
                plan.actions.push(Action::PrepareVolumes);
            }
            matches!(state, Volumes::Ready(_) | Volumes::Stale(_))
        }
    }
}

fn without_sandbox(desired: &Desired, view: &PodView, memory: &Memory, volumes: bool, now_ms: i64, plan: &mut Plan) {
    // What is left of an old sandbox must not write into the new one's volumes.
    for (name, container) in view.running() {
        plan.actions.push(Action::Stop {
            container: name.to_owned(),
            id: container.id.clone(),
            grace_seconds: 2,
            reason: "SandboxChanged",
            message: "Pod sandbox changed, it will be killed and re-created.".to_owned(),
        });
    }
    if view.running().next().is_some() || !volumes || !desired.complete {
        return;
    }
    if let Some(retry) = memory.sandbox.as_ref().map(|f| f.retry_ms()).filter(|r| now_ms < *r) {
        return plan.wake(retry);
    }
    let attempt = view.sandboxes.first().map_or(0, |s| s.attempt + 1);
    plan.actions.push(Action::CreateSandbox { attempt });
}

/// Keeps the newest two of each container: the current one and the one before, for `lastState` and `logs --previous`.
fn collect_dead(view: &PodView, plan: &mut Plan) {
    let mut names: Vec<_> = view.containers.iter().collect();
    names.sort_by_key(|(name, _)| *name);
    for (name, all) in names {
        let dead = all.iter().skip(2).filter(|c| c.state == State::Exited);
        let remove = |c: &ContainerView| Action::Remove { container: name.clone(), id: c.id.clone() };
        plan.actions.extend(dead.map(remove).take(1));
    }
}

struct Seen<'a> {
    desired: &'a Desired,
    view: &'a PodView,
    sandbox: &'a SandboxView,
    memory: &'a Memory,
    now_ms: i64,
}

impl Seen<'_> {
    fn here(&self, name: &str) -> Option<&ContainerView> {
        self.view.current(name).filter(|c| c.sandbox_id == self.sandbox.id)
    }

    fn busy(&self, name: &str) -> bool {
        self.memory.busy.contains(&Target::Container(name.to_owned()))
    }

    /// Brings the init containers forward; true when containers may start.
    fn init(&self, plan: &mut Plan) -> bool {
        let spec = self.desired.spec();
        let begun = spec.containers.iter().any(|c| self.here(&c.name).is_some() || self.busy(&c.name));
        let restart = if policy(self.desired) == Policy::Never { Policy::Never } else { Policy::OnFailure };
        for container in spec.init_containers.iter().flatten() {
            if is_sidecar(container) {
                self.container(container, Policy::Always, plan);
                let running = self.here(&container.name).filter(|c| c.state == State::Running);
                let started = running.is_some_and(|c| self.memory.health.get(&c.id).is_some_and(|h| h.started));
                if !begun && (!started || self.busy(&container.name)) {
                    return false;
                }
            } else if !begun {
                let done = self.here(&container.name).is_some_and(|c| c.state == State::Exited && c.exit_code == 0);
                if !done {
                    // Init containers of a new sandbox run again whatever they did in the old one.
                    self.container(container, restart, plan);
                    return false;
                }
            }
        }
        true
    }

    /// Starts, restarts or stops one container.
    fn container(&self, container: &Container, policy: Policy, plan: &mut Plan) {
        let name = &container.name;
        if self.busy(name) {
            return;
        }
        let newest = self.view.current(name);
        let attempt = newest.map_or(0, |c| c.attempt + 1);
        let is_init = self.desired.spec().init_containers.iter().flatten().any(|c| &c.name == name);
        match newest {
            Some(c) if c.state == State::Running => self.running(container, c, plan),
            Some(c) if c.state != State::Exited => {
                plan.actions.push(Action::Remove { container: name.clone(), id: c.id.clone() });
            }
            Some(c) if c.sandbox_id == self.sandbox.id || !is_init => {
                if restarts(policy, c) {
                    let finished_ms = c.finished_at / 1_000_000;
                    let backoff = self.memory.backoff.get(name);
                    match backoff.and_then(|b| b.wait_until(finished_ms, self.now_ms)) {
                        Some(until) => plan.wake(until),
                        None => self.start(name, attempt, plan),
                    }
                }
            }
            _ => self.start(name, attempt, plan),
        }
    }

    fn start(&self, name: &str, attempt: u32, plan: &mut Plan) {
        let failure = self.memory.failures.get(name);
        if let Some(failure) = failure.filter(|f| self.now_ms < f.retry_ms()) {
            plan.wake(failure.retry_ms());
            if self.now_ms < failure.at_ms + super::status::SHOW_ERROR_MS {
                plan.wake(failure.at_ms + super::status::SHOW_ERROR_MS);
            }
        } else if self.desired.complete {
            plan.actions.push(Action::Start { container: name.to_owned(), attempt });
        }
    }

    fn running(&self, container: &Container, seen: &ContainerView, plan: &mut Plan) {
        let name = &container.name;
        let own_grace = self.desired.grace_seconds();
        let health = self.memory.health.get(&seen.id);
        let (grace_seconds, message) = if let Some((message, grace)) = health.and_then(|h| h.unhealthy.clone()) {
            (grace.unwrap_or(own_grace), message)
        } else if !seen.hash.is_empty() && seen.hash != definition_hash(container) {
            (own_grace, format!("Container {name} definition changed, will be restarted"))
        } else {
            return;
        };
        let (container, id) = (name.clone(), seen.id.clone());
        plan.actions.push(Action::Stop { container, id, grace_seconds, reason: "Killing", message });
    }
}

/// Changes when a running container must be replaced: its image (the only thing that may change in a pod).
pub fn definition_hash(container: &Container) -> String {
    container.image.clone().unwrap_or_default()
}

/// Whether an ended container is started again while its pod lives.
pub fn will_restart(desired: &Desired, container: &Container, ended: &ContainerView) -> bool {
    let is_init = desired.spec().init_containers.iter().flatten().any(|c| c.name == container.name);
    let policy = match policy(desired) {
        _ if is_sidecar(container) => Policy::Always,
        Policy::Always if is_init => Policy::OnFailure,
        policy => policy,
    };
    restarts(policy, ended)
}

#[cfg(test)]
mod tests;
