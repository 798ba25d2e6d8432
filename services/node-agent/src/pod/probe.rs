//! Probes: when to ask, what the answers mean, and asking.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Container, Probe};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::cri::Cri;
use crate::pod::check::Check;
use crate::pod::http::{self, Place};

/// The kinds of probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Must succeed before the others begin.
    Startup,
    /// Its failure restarts the container.
    Liveness,
    /// Its failure takes the pod out of Services.
    Readiness,
    /// A health check, by its number.
    Check(usize),
}

impl Kind {
    /// As events name it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
            Self::Check(_) => "Health check",
        }
    }
}

/// What a probe has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// One failed try, for the event.
    Failed(Kind, String),
    /// The settled result has changed (or is there for the first time).
    Settled(Kind, bool, String),
}

/// Counts results in a row against the thresholds. Source: the kubelet's `prober/worker.go`.
#[derive(Debug, Default)]
pub struct Counter {
    last: Option<bool>,
    streak: i32,
    settled: Option<bool>,
}

impl Counter {
    /// Takes one result; gives the settled result if it changed.
    pub fn record(&mut self, success: bool, probe: &Probe) -> Option<bool> {
        if self.last == Some(success) {
            self.streak = self.streak.saturating_add(1);
        } else {
            (self.last, self.streak) = (Some(success), 1);
        }
        let threshold =
            if success { probe.success_threshold.unwrap_or(1) } else { probe.failure_threshold.unwrap_or(3) };
        if self.streak < threshold.max(1) || self.settled == Some(success) {
            return None;
        }
        self.settled = Some(success);
        Some(success)
    }
}

/// One container to ask.
#[derive(Clone)]
pub struct Subject {
    /// For exec probes.
    pub cri: Cri,
    /// CRI id.
    pub id: String,
    /// Its definition.
    pub container: Container,
    /// Its health checks.
    pub checks: Vec<Check>,
    /// Where it is.
    pub place: Place,
    /// How long it has been running.
    pub running_for: Duration,
    /// It had started before this agent did.
    pub started: bool,
}

/// Asks until aborted: the startup probe first, then the others side by side.
pub async fn run(subject: Subject, reports: mpsc::Sender<(String, Report)>) {
    let container = &subject.container;
    if let Some(probe) = container.startup_probe.as_ref().filter(|_| !subject.started) {
        drive(&subject, Kind::Startup, probe, &reports).await;
    }
    let liveness = async {
        if let Some(probe) = &container.liveness_probe {
            drive(&subject, Kind::Liveness, probe, &reports).await;
        }
    };
    let readiness = async {
        if let Some(probe) = &container.readiness_probe {
            drive(&subject, Kind::Readiness, probe, &reports).await;
        }
    };
    let checks = subject.checks.iter().map(|check| drive(&subject, Kind::Check(check.number), &check.probe, &reports));
    tokio::join!(liveness, readiness, join_all(checks));
}

fn seconds(value: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(value.and_then(|v| u64::try_from(v).ok()).filter(|v| *v > 0).unwrap_or(default))
}

/// Runs one probe; a startup probe's ends with its first settled result.
async fn drive(subject: &Subject, kind: Kind, probe: &Probe, reports: &mpsc::Sender<(String, Report)>) {
    let period = seconds(probe.period_seconds, 10);
    let delay = seconds(probe.initial_delay_seconds, 0).saturating_sub(subject.running_for);
    sleep(delay).await;
    let mut counter = Counter::default();
    let mut next = Instant::now();
    let mut first = matches!(kind, Kind::Startup | Kind::Readiness);
    loop {
        next += period;
        let result = if first { eager(subject, probe, next).await } else { ask(subject, probe).await };
        first = false;
        let (success, message) = match result {
            Ok(message) => (true, message),
            Err(message) => (false, message),
        };
        if !success && reports.send((subject.id.clone(), Report::Failed(kind, message.clone()))).await.is_err() {
            return;
        }
        if let Some(settled) = counter.record(success, probe) {
            let report = Report::Settled(kind, settled, message);
            if reports.send((subject.id.clone(), report)).await.is_err() || kind == Kind::Startup {
                return;
            }
        }
        if next < Instant::now() {
            next = Instant::now();
        }
        sleep_until(next).await;
    }
}

/// Asks again and again, less and less often, until the first period is over, and counts all that as one result:
/// a container that needs a second to open its port is ready after that second, not after a whole period.
async fn eager(subject: &Subject, probe: &Probe, until: Instant) -> Result<String, String> {
    let mut pause = Duration::from_millis(if probe.exec.is_some() { 400 } else { 50 });
    loop {
        let result = ask(subject, probe).await;
        if result.is_ok() || Instant::now() + pause >= until {
            return result;
        }
        sleep(pause).await;
        pause *= 2;
    }
}

/// Asks once.
async fn ask(subject: &Subject, probe: &Probe) -> Result<String, String> {
    let timeout = seconds(probe.timeout_seconds, 1);
    let Subject { cri, id, container, place, .. } = subject;
    if let Some(exec) = &probe.exec {
        let command = exec.command.clone().unwrap_or_default();
        let run = cri.exec_sync(id, command.clone(), timeout);
        return match tokio::time::timeout(timeout + Duration::from_secs(1), run).await {
            Ok(Ok(out)) => {
                let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
                let text: String = text.chars().take(10 * 1024).collect();
                if out.exit_code == 0 { Ok(text) } else { Err(text) }
            }
            Ok(Err(status)) if status.code() != tonic::Code::DeadlineExceeded => Err(status.message().to_owned()),
            _ => Err(format!("command timed out: {command:?} timed out after {}s", timeout.as_secs())),
        };
    }
    if let Some(action) = &probe.http_get {
        let (status, body) = http::get(place, container, action, timeout).await?;
        let fine = (200..400).contains(&status);
        return if fine { Ok(body) } else { Err(format!("HTTP probe failed with statuscode: {status}")) };
    }
    if let Some(action) = &probe.tcp_socket {
        let port = http::port(container, &action.port)?;
        return http::dial(place, action.host.as_deref(), port, timeout).await.map(|_| String::new());
    }
    if let Some(action) = &probe.grpc {
        let port = u16::try_from(action.port).map_err(|_| "invalid port".to_owned())?;
        let service = action.service.clone().unwrap_or_default();
        return super::grpc_health::check(place, port, service, timeout).await.map(|()| String::new());
    }
    Err("missing probe handler".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(success: i32, failure: i32, results: &[bool], expected: &[Option<bool>]) {
        let probe = Probe { success_threshold: Some(success), failure_threshold: Some(failure), ..Default::default() };
        let mut counter = Counter::default();
        let got: Vec<_> = results.iter().map(|r| counter.record(*r, &probe)).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn thresholds_count_results_in_a_row() {
        check(
            1,
            3,
            &[false, false, true, false, false, false, false],
            &[None, None, Some(true), None, None, Some(false), None],
        );
        check(2, 1, &[true, true, false, true, true], &[None, Some(true), Some(false), None, Some(true)]);
    }
}
