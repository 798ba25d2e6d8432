//! The worker's part about containers' health: probes, and what containers say at their end.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use domain::unix_ms;

use super::Worker;
use crate::context::Shared;
use crate::cri::view::{ContainerView, PodView};
use crate::logs;
use crate::paths::log_name;
use crate::placement::Desired;
use crate::pod::check::Check;
use crate::pod::memory::Health;
use crate::pod::probe::{self, Kind, Report, Subject};

/// Source: the kubelet's limits for termination messages, from a file and from logs.
const MAX_WORDS: u64 = 4096;
const MAX_LOG_BYTES: usize = 2048;
const MAX_LOG_LINES: usize = 80;

impl Worker {
    /// Starts probes of containers that run, ends those of containers that do not.
    pub(super) fn watch_health(&mut self, desired: &Desired, view: &PodView) {
        let alive: Vec<(&str, &ContainerView)> = view.running().collect();
        let is_alive = |id: &str| alive.iter().any(|(_, c)| c.id == id);
        self.probes.retain(|id, task| {
            let keep = is_alive(id);
            if !keep {
                task.abort();
            }
            keep
        });
        self.memory.health.retain(|id, _| is_alive(id));
        let stays: Vec<&str> = view.containers.values().flatten().map(|c| c.id.as_str()).collect();
        self.memory.last_words.retain(|id, _| stays.contains(&id.as_str()));
        for (name, seen) in alive {
            if !self.memory.health.contains_key(&seen.id) && !self.memory.starting.contains(name) {
                self.begin_health(desired, name, seen);
            }
        }
    }

    fn begin_health(&mut self, desired: &Desired, name: &str, seen: &ContainerView) {
        let Some(container) = desired.container(name) else { return };
        let needs_place = [&container.startup_probe, &container.liveness_probe, &container.readiness_probe];
        let checks: Vec<Check> = desired.checks.iter().filter(|check| check.container == name).cloned().collect();
        let probed = needs_place.iter().any(|p| p.is_some()) || !checks.is_empty();
        let Some((_, place)) =
            self.place.clone().filter(|_| probed).or_else(|| (!probed).then(|| (String::new(), probe_nowhere())))
        else {
            return;
        };
        // An agent that restarts does not take ready pods out of their Services.
        let known = self.status.init_container_statuses.iter().flatten();
        let known = known.chain(self.status.container_statuses.iter().flatten());
        let before =
            known.into_iter().find(|s| s.container_id.as_deref() == Some(&format!("containerd://{}", seen.id)));
        let started = container.startup_probe.is_none() || before.is_some_and(|s| s.started == Some(true));
        let ready = container.readiness_probe.is_none() || before.is_some_and(|s| s.ready);
        self.memory.health.insert(seen.id.clone(), Health { started, ready, ..Health::default() });
        if !probed {
            return;
        }
        let running_ms = (unix_ms() - seen.started_at / 1_000_000).max(0);
        let subject = Subject {
            cri: self.context.cri.clone(),
            id: seen.id.clone(),
            container: container.clone(),
            checks,
            place,
            running_for: Duration::from_millis(u64::try_from(running_ms).unwrap_or(0)),
            started,
        };
        let task = self.context.tasks.spawn(probe::run(subject, self.reports.0.clone()));
        self.probes.insert(seen.id.clone(), task.abort_handle());
    }

    /// Takes what a probe says.
    pub(super) fn take_report(&mut self, id: &str, report: Report) {
        let desired = self.desired.borrow().clone();
        let name = {
            let view = self.live.view.lock();
            view.running().find(|(_, c)| c.id == id).map(|(name, _)| name.to_owned())
        };
        let (Some(name), Some(health)) = (name, self.memory.health.get_mut(id)) else { return };
        match report {
            Report::Failed(kind, message) => {
                let message = format!("{} probe failed: {message}", kind.title());
                self.context.event(desired.uid(), "Warning", "Unhealthy", message, &name);
            }
            Report::Settled(Kind::Readiness, ready, _) => health.ready = ready,
            Report::Settled(Kind::Startup, true, _) => health.started = true,
            Report::Settled(Kind::Liveness, true, _) => {}
            Report::Settled(Kind::Check(number), healthy, message) => {
                let check = desired.checks.iter().find(|check| check.container == name && check.number == number);
                if !healthy && check.is_some_and(|check| check.kill) {
                    health.unhealthy = Some((format!("Container {name} failed its health check: {message}"), None));
                }
                health.checks.insert(number, (healthy, message));
            }
            Report::Settled(kind, false, _) => {
                let spec = desired.container(&name);
                let probe = spec.and_then(|c| match kind {
                    Kind::Startup => c.startup_probe.as_ref(),
                    _ => c.liveness_probe.as_ref(),
                });
                let grace = probe.and_then(|p| p.termination_grace_period_seconds);
                let grace = grace.and_then(|s| u32::try_from(s).ok());
                let kind = kind.title().to_lowercase();
                health.unhealthy = Some((format!("Container {name} failed {kind} probe, will be restarted"), grace));
            }
        }
    }
}

/// A container without probes is never dialled.
fn probe_nowhere() -> crate::pod::http::Place {
    crate::pod::http::Place { netns: Path::new("").to_owned(), ip: String::new() }
}

/// A container's termination message: its file, or the end of its log if it asked for that.
pub(super) fn last_words(context: &Shared, desired: &Desired, name: &str, seen: &ContainerView) -> String {
    let path = context.paths.termination_log(desired.uid(), name, seen.attempt);
    let mut words = Vec::new();
    if let Ok(file) = std::fs::File::open(&path) {
        let _ = file.take(MAX_WORDS).read_to_end(&mut words);
    }
    let wants_logs = desired.container(name).and_then(|c| c.termination_message_policy.as_deref());
    if words.is_empty() && seen.exit_code != 0 && wants_logs == Some("FallbackToLogsOnError") {
        let placement = &desired.placement;
        let logs = context.paths.logs(&placement.namespace, &placement.name, desired.uid());
        return log_end(&logs.join(log_name(name, seen.attempt)));
    }
    String::from_utf8_lossy(&words).into_owned()
}

fn log_end(path: &Path) -> String {
    let Ok(mut file) = std::fs::File::open(path) else { return String::new() };
    let length = file.metadata().map_or(0, |m| m.len());
    // Each line carries a time and a stream name; four times the wanted size is enough for all but tiny lines.
    let start = length.saturating_sub(MAX_LOG_BYTES as u64 * 4);
    let mut bytes = Vec::new();
    if file.seek(SeekFrom::Start(start)).is_err() || file.read_to_end(&mut bytes).is_err() {
        return String::new();
    }
    let lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').skip(usize::from(start > 0)).collect();
    let mut text = Vec::new();
    for line in &lines[lines.len().saturating_sub(MAX_LOG_LINES)..] {
        if let Some(line) = logs::parse_line(line) {
            text.extend_from_slice(line.content);
            if !line.partial {
                text.push(b'\n');
            }
        }
    }
    let cut = text.len().saturating_sub(MAX_LOG_BYTES);
    String::from_utf8_lossy(&text[cut..]).into_owned()
}
