//! One task per pod: looks at containerd, decides by [`diff`](super::diff), acts, and tells how the pod is.

mod billing;
mod health;
mod report;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::unix_ms;
use k8s_openapi::api::core::v1::PodStatus;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::context::Shared;
use crate::cri::view::{self, PodView, State};
use crate::placement::{Desired, Removal};
use crate::pod::act::{self, Done, Outcome, Subject};
use crate::pod::backoff::{Backoff, Failure};
use crate::pod::diff::{self, Action};
use crate::pod::http::Place;
use crate::pod::memory::{Ended, Memory, Target, Volumes};
use crate::pod::policy;
use crate::pod::probe::Report;
use crate::pod::storage::EVICTED;
use crate::usage::PlacementInfo;

/// How long something is left alone after stopping or removing it failed.
const HOLD_MS: i64 = 1_000;
/// How long to wait for a containerd that does not answer.
const RUNTIME_PAUSE: Duration = Duration::from_secs(1);

/// What others may see of a running worker.
#[derive(Default)]
pub struct Live {
    /// The pod in containerd, as of the last look.
    pub view: Mutex<PodView>,
    /// Where the pod is reached.
    pub place: Mutex<Option<Place>>,
    /// What was last said of the pod.
    pub status: Mutex<PodStatus>,
    /// Set from outside: why the pod must end, for its owner.
    pub evicted: Mutex<Option<String>>,
}

/// A pod's worker, before it runs.
pub struct Worker {
    context: Shared,
    desired: watch::Receiver<Arc<Desired>>,
    wake: Arc<Notify>,
    live: Arc<Live>,
    memory: Memory,
    status: PodStatus,
    said_generation: Option<u64>,
    probes: HashMap<String, AbortHandle>,
    reports: Reports,
    actions: JoinSet<Outcome>,
    /// Stops under way, which a shorter grace may cut short.
    stops: HashMap<Target, AbortHandle>,
    going: CancellationToken,
    removal: Option<Removal>,
    place: Option<(String, Place)>,
    billing: Billing,
    /// By what it is billed since it is.
    billed: Option<PlacementInfo>,
}

/// What probes say, by CRI id.
type Reports = (mpsc::Sender<(String, Report)>, mpsc::Receiver<(String, Report)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Billing {
    Before,
    Running,
    Over,
}

impl Worker {
    /// A worker of the pod in `desired`.
    pub fn new(context: Shared, desired: watch::Receiver<Arc<Desired>>, wake: Arc<Notify>, live: Arc<Live>) -> Self {
        Self {
            context,
            desired,
            wake,
            live,
            memory: Memory::default(),
            status: PodStatus::default(),
            said_generation: None,
            probes: HashMap::new(),
            // Probes wait while the worker is busy looking; they have nothing better to do.
            reports: mpsc::channel(32),
            actions: JoinSet::new(),
            stops: HashMap::new(),
            going: CancellationToken::new(),
            removal: None,
            place: None,
            billing: Billing::Before,
            billed: None,
        }
    }

    /// Works until nothing of the pod is left, and gives its last status; or `None` when the agent stops.
    pub async fn run(mut self) -> Option<Bytes> {
        self.recall();
        let mut fresh = true;
        loop {
            let desired = self.desired.borrow_and_update().clone();
            let known = self.live.view.lock().clone();
            match view::observe(&self.context.cri, desired.uid(), &known).await {
                Ok(seen) => *self.live.view.lock() = seen,
                Err(error) => {
                    tracing::warn!(pod.uid = desired.uid(), error = error.message(), "containerd does not answer");
                    tokio::select! {
                        () = self.context.stop.cancelled() => return None,
                        () = tokio::time::sleep(RUNTIME_PAUSE) => continue,
                    }
                }
            }
            self.hurry(&desired);
            let view = self.live.view.lock().clone();
            if std::mem::take(&mut fresh) {
                let ended = self.memory.ended.take();
                self.memory = Memory { ended, ..Memory::rebuild(&view, unix_ms()) };
            }
            let wake_ms = self.step(&desired, view).await;
            if self.wait(wake_ms).await? {
                let last = serde_json::to_vec(&self.status).unwrap_or_default();
                return Some(last.into());
            }
        }
    }

    /// One look: remember, decide, tell, and begin what is to be done. Gives when to look again at the latest.
    async fn step(&mut self, desired: &Arc<Desired>, view: PodView) -> Option<i64> {
        self.find_place(desired, &view).await;
        self.hear_last_words(desired, &view);
        self.watch_health(desired, &view);
        let now_ms = unix_ms();
        if self.memory.ended.is_none() && desired.removal.is_none() {
            let refused = policy::refused(desired);
            let evicted = self.live.evicted.lock().take();
            self.memory.ended = match evicted {
                Some(message) => Some(Ended { phase: "Failed".into(), reason: EVICTED.into(), message }),
                None => diff::ended(desired, &view, refused.as_deref(), now_ms),
            };
            if self.memory.ended.is_some() {
                self.going.cancel();
            }
            if let Some(ended) = self.memory.ended.as_ref().filter(|e| !e.reason.is_empty()) {
                let (reason, message) = (ended.reason.clone(), ended.message.clone());
                self.context.event(desired.uid(), "Warning", &reason, message, "");
            }
        }
        self.bill(desired, &view, now_ms).await;
        let plan = diff::diff(desired, &view, &self.memory, now_ms);
        // While everything is taken away the view shows less and less; the pod ended as it was before.
        if !(desired.removal.is_some() && self.memory.busy.contains(&Target::Pod)) {
            self.tell(desired, &view, now_ms);
        }
        for action in plan.actions {
            self.begin(desired, &view, action, now_ms);
        }
        plan.wake_ms
    }

    fn begin(&mut self, desired: &Arc<Desired>, view: &PodView, action: Action, now_ms: i64) {
        if let Action::Start { container, attempt } = &action {
            let again = *attempt > 0 && !self.memory.failures.contains_key(container);
            if again && view.current(container).is_some_and(|c| c.state == State::Exited) {
                let before = self.memory.backoff.get(container).copied();
                self.memory.backoff.insert(container.clone(), Backoff::next(before, now_ms));
            }
        }
        if let Action::Start { container, .. } = &action
            && desired.container(container).and_then(|c| c.lifecycle.as_ref()).is_some_and(|l| l.post_start.is_some())
        {
            self.memory.starting.insert(container.clone());
        }
        tracing::debug!(pod.uid = desired.uid(), ?action, "begins");
        self.memory.busy.insert(action.target());
        let subject = Subject {
            context: self.context.clone(),
            desired: desired.clone(),
            view: view.clone(),
            place: self.place.as_ref().map(|(_, place)| place.clone()),
            going: self.going.clone(),
        };
        let stop = matches!(action, Action::Stop { .. }).then(|| action.target());
        let task = self.actions.spawn(self.context.tasks.track_future(act::act(subject, action)));
        if let Some(target) = stop {
            self.stops.insert(target, task);
        }
    }

    /// When the pod must go (or go faster), ends what would hold that up: pulls, and stops with a longer grace.
    fn hurry(&mut self, desired: &Desired) {
        if desired.removal == self.removal {
            return;
        }
        self.removal = desired.removal;
        self.going.cancel();
        for (target, stop) in self.stops.drain() {
            stop.abort();
            self.memory.busy.remove(&target);
        }
    }

    /// Waits for a reason to look again. `Some(true)`: nothing is left of the pod. `None`: the agent stops.
    async fn wait(&mut self, wake_ms: Option<i64>) -> Option<bool> {
        let pause = wake_ms.map_or(Duration::from_secs(60), |at| {
            Duration::from_millis(u64::try_from(at - unix_ms()).unwrap_or(0)) + Duration::from_millis(1)
        });
        tokio::select! {
            () = self.context.stop.cancelled() => return None,
            changed = self.desired.changed() => {
                if changed.is_err() {
                    return None;
                }
            }
            () = self.wake.notified() => {}
            Some(outcome) = self.actions.join_next(), if !self.actions.is_empty() => {
                if self.joined(outcome) {
                    return Some(true);
                }
            }
            Some((id, report)) = self.reports.1.recv() => self.take_report(&id, report),
            () = tokio::time::sleep(pause) => {}
        }
        while let Ok((id, report)) = self.reports.1.try_recv() {
            self.take_report(&id, report);
        }
        while let Some(outcome) = self.actions.try_join_next() {
            if self.joined(outcome) {
                return Some(true);
            }
        }
        Some(false)
    }

    /// True when the pod is gone.
    fn joined(&mut self, outcome: Result<Outcome, JoinError>) -> bool {
        match outcome {
            Ok(outcome) => self.remember(outcome),
            Err(error) if error.is_cancelled() => false,
            // A bug; the worker ends with it, the agent's log says where, and the next agent takes the pod up.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// True when the pod is gone.
    fn remember(&mut self, outcome: Outcome) -> bool {
        let Outcome { target, result } = outcome;
        let now_ms = unix_ms();
        self.memory.busy.remove(&target);
        self.stops.remove(&target);
        if let Target::Container(name) = &target {
            self.memory.starting.remove(name);
        }
        match result {
            Ok(Done::Cleaned) => return true,
            Ok(Done::Volumes(generation)) => self.memory.volumes = Volumes::Ready(generation),
            Ok(Done::VolumesGone) => self.memory.volumes = Volumes::Gone,
            Ok(Done::Sandbox) => self.memory.sandbox = None,
            Ok(Done::Started(name)) => _ = self.memory.failures.remove(&name),
            Ok(Done::Other) => _ = self.memory.held.remove(&target),
            Err(failed) => match (failed.reason, &target) {
                ("FailedMount", _) => {
                    let in_use = self.live.view.lock().running().next().is_some();
                    self.memory.volumes = self.memory.volumes.failed(failed.message, in_use, now_ms);
                }
                ("FailedCreatePodSandBox", _) => {
                    let before = self.memory.sandbox.as_ref();
                    self.memory.sandbox = Some(Failure::new(failed.reason, failed.message, before, now_ms));
                }
                ("FailedKillPod" | "FailedRemove" | "FailedUnmount", _) => {
                    tracing::warn!(?target, reason = failed.reason, "{}", failed.message);
                    self.memory.held.insert(target, now_ms + HOLD_MS);
                }
                (_, Target::Container(name)) => {
                    let before = self.memory.failures.get(name);
                    let failure = Failure::new(failed.reason, failed.message, before, now_ms);
                    self.memory.failures.insert(name.clone(), failure);
                }
                (_, Target::Pod | Target::Volumes) => _ = self.memory.held.insert(target, now_ms + HOLD_MS),
            },
        }
        false
    }

    async fn find_place(&mut self, desired: &Desired, view: &PodView) {
        let Some(sandbox) = view.ready_sandbox() else {
            self.place = None;
            *self.live.place.lock() = None;
            return;
        };
        if self.place.as_ref().is_some_and(|(id, _)| *id == sandbox.id) {
            return;
        }
        match self.context.cri.sandbox_netns(&sandbox.id).await {
            Ok(netns) => {
                let place = Place { netns, ip: sandbox.ip.clone() };
                *self.live.place.lock() = Some(place.clone());
                self.place = Some((sandbox.id.clone(), place));
            }
            Err(error) => tracing::warn!(pod.uid = desired.uid(), error = error.message(), "no network namespace"),
        }
    }

    fn hear_last_words(&mut self, desired: &Desired, view: &PodView) {
        for (name, all) in &view.containers {
            for container in all.iter().filter(|c| c.state == State::Exited) {
                if !self.memory.last_words.contains_key(&container.id) {
                    let words = health::last_words(&self.context, desired, name, container);
                    self.memory.last_words.insert(container.id.clone(), words);
                }
            }
        }
    }

    /// What the agent before this one said last.
    fn recall(&mut self) {
        let desired = self.desired.borrow().clone();
        let Ok(bytes) = std::fs::read(self.context.paths.status_file(desired.uid())) else { return };
        let Ok(status) = serde_json::from_slice::<PodStatus>(&bytes) else { return };
        if let Some(phase) = status.phase.clone().filter(|p| p == "Failed" || p == "Succeeded") {
            let (reason, message) =
                (status.reason.clone().unwrap_or_default(), status.message.clone().unwrap_or_default());
            self.memory.ended = Some(Ended { phase, reason, message });
            self.billing = Billing::Running;
        }
        self.status = status;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        for probe in self.probes.values() {
            probe.abort();
        }
    }
}
