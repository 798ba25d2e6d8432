//! One entry of `containerStatuses`.

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
};

use super::{SHOW_ERROR_MS, Sources, initialized, time_ns};
use crate::cri::view::{ContainerView, State};
use crate::placement::is_sidecar;
use crate::pod::backoff::Failure;

/// The status of one container or init container.
pub(super) fn status(sources: &Sources<'_>, container: &Container, is_init: bool) -> ContainerStatus {
    let Sources { view, memory, .. } = *sources;
    let all: &[ContainerView] = view.containers.get(&container.name).map_or(&[], Vec::as_slice);
    let current = all.first();
    let (state, last) = states(sources, container, is_init, all);
    let health = current.and_then(|c| memory.health.get(&c.id));
    let running = state.running.is_some();
    let started = running && health.is_some_and(|h| h.started);
    let done = is_init && !is_sidecar(container) && state.terminated.as_ref().is_some_and(|t| t.exit_code == 0);
    ContainerStatus {
        container_id: current.map(|c| format!("containerd://{}", c.id)),
        image: current.map_or_else(|| container.image.clone().unwrap_or_default(), |c| c.image.clone()),
        image_id: current.map(|c| c.image_ref.clone()).unwrap_or_default(),
        last_state: last.map(|c| ContainerState { terminated: Some(terminated(sources, c)), ..Default::default() }),
        name: container.name.clone(),
        ready: done || (started && health.is_some_and(|h| h.ready)),
        restart_count: current.map_or(0, |c| i32::try_from(c.attempt).unwrap_or(i32::MAX)),
        started: Some(started),
        state: Some(state),
        ..ContainerStatus::default()
    }
}

/// The state, and the container whose end is the last state.
fn states<'a>(
    sources: &Sources<'_>,
    container: &Container,
    is_init: bool,
    all: &'a [ContainerView],
) -> (ContainerState, Option<&'a ContainerView>) {
    let ended = |c: &&ContainerView| c.state == State::Exited;
    let Some(current) = all.first() else { return (missing(sources, container, is_init), None) };
    let previous = all.get(1).filter(ended);
    match current.state {
        // Source: "Container Lifecycle Hooks": it is not RUNNING until its postStart handler has completed.
        State::Running if sources.memory.starting.contains(&container.name) => {
            (missing(sources, container, is_init), previous)
        }
        State::Running => {
            let running = ContainerStateRunning { started_at: Some(time_ns(current.started_at)) };
            (ContainerState { running: Some(running), ..Default::default() }, previous)
        }
        State::Created | State::Unknown => (missing(sources, container, is_init), previous),
        State::Exited => match waiting_again(sources, container, current) {
            Some(waiting) => (ContainerState { waiting: Some(waiting), ..Default::default() }, Some(current)),
            None => {
                let ended = terminated(sources, current);
                (ContainerState { terminated: Some(ended), ..Default::default() }, previous)
            }
        },
    }
}

fn missing(sources: &Sources<'_>, container: &Container, is_init: bool) -> ContainerState {
    let failure = sources.memory.failures.get(&container.name);
    let waiting = failure.map(|f| failed(f, container, sources.now_ms)).unwrap_or_else(|| {
        let has_init = sources.desired.spec().init_containers.as_ref().is_some_and(|i| !i.is_empty());
        let initializing = has_init && (is_init || !initialized(sources));
        let reason = if initializing { "PodInitializing" } else { "ContainerCreating" };
        ContainerStateWaiting { reason: Some(reason.into()), message: None }
    });
    ContainerState { waiting: Some(waiting), ..Default::default() }
}

/// Whether an ended container waits to be started again, and for what.
fn waiting_again(
    sources: &Sources<'_>,
    container: &Container,
    current: &ContainerView,
) -> Option<ContainerStateWaiting> {
    let Sources { desired, memory, now_ms, .. } = *sources;
    if memory.ended.is_some() || desired.removal.is_some() {
        return None;
    }
    if let Some(failure) = memory.failures.get(&container.name) {
        return Some(failed(failure, container, now_ms));
    }
    if !super::super::diff::will_restart(desired, container, current) {
        return None;
    }
    let backoff = *memory.backoff.get(&container.name)?;
    backoff.wait_until(current.finished_at / 1_000_000, now_ms)?;
    let (delay, placement) = (delay_text(backoff.delay_ms), &desired.placement);
    let message = format!(
        "back-off {delay} restarting failed container={} pod={}_{}({})",
        container.name, placement.name, placement.namespace, placement.uid
    );
    Some(ContainerStateWaiting { reason: Some("CrashLoopBackOff".into()), message: Some(message) })
}

/// As Go prints a duration: "10s", "1m20s".
pub(super) fn delay_text(ms: i64) -> String {
    let seconds = ms / 1000;
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

fn failed(failure: &Failure, container: &Container, now_ms: i64) -> ContainerStateWaiting {
    let (mut reason, mut message) = (failure.reason.clone(), failure.message.clone());
    if reason == "ErrImagePull" && now_ms >= failure.at_ms + SHOW_ERROR_MS {
        let image = container.image.as_deref().unwrap_or_default();
        message = format!("Back-off pulling image {image:?}: ErrImagePull: {message}");
        reason = "ImagePullBackOff".to_owned();
    }
    ContainerStateWaiting { reason: Some(reason), message: Some(message) }
}

fn terminated(sources: &Sources<'_>, container: &ContainerView) -> ContainerStateTerminated {
    let reason = match (container.reason.as_str(), container.exit_code) {
        ("", 0) => "Completed",
        ("", _) => "Error",
        (reason, _) => reason,
    };
    let words = sources.memory.last_words.get(&container.id).cloned();
    let message = words.or_else(|| Some(container.message.clone())).filter(|m| !m.is_empty());
    ContainerStateTerminated {
        container_id: Some(format!("containerd://{}", container.id)),
        exit_code: container.exit_code,
        finished_at: Some(time_ns(container.finished_at)),
        message,
        reason: Some(reason.to_owned()),
        signal: None,
        started_at: Some(time_ns(container.started_at)),
    }
}
