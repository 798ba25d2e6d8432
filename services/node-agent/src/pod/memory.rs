//! What a pod's worker remembers between looks at containerd. All of it may be lost: it is rebuilt or does no harm.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::cri::view::{PodView, State};
use crate::pod::backoff::{Backoff, Failure};

/// Something an action works on; one action at a time each.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// The sandbox, or the whole pod.
    Pod,
    /// The pod's volumes.
    Volumes,
    /// One container by name.
    Container(String),
}

/// Whether the pod's volumes are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Volumes {
    /// Not looked at by this process yet.
    #[default]
    Unknown,
    /// There, as of this generation of the placement.
    Ready(u64),
    /// They could not be made.
    Failed(Failure),
    /// They are there, but not all could be brought up to date: no reason to leave the pod alone.
    Stale(Failure),
    /// The pod has ended, and they were taken away.
    Gone,
}

/// What probes say about one container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// It has started: no startup probe, or it has succeeded.
    pub started: bool,
    /// No readiness probe, or it succeeds; counts only once started.
    pub ready: bool,
    /// A liveness or startup probe has failed for good: message, and the probe's own grace.
    pub unhealthy: Option<(String, Option<u32>)>,
    /// What is settled of its health checks, by their numbers: whether it is healthy, and what was heard last.
    pub checks: BTreeMap<usize, (bool, String)>,
}

/// Why a pod has ended before its containers did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// `Failed` or `Succeeded`.
    pub phase: String,
    /// `DeadlineExceeded`, `Unsupported` ... or empty.
    pub reason: String,
    /// For the pod's owner.
    pub message: String,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Restart delays by container.
    pub backoff: HashMap<String, Backoff>,
    /// Why a container could not be started, by container.
    pub failures: HashMap<String, Failure>,
    /// The pod's volumes.
    pub volumes: Volumes,
    /// Why there is no sandbox.
    pub sandbox: Option<Failure>,
    /// Until when something is left alone because stopping or removing it failed, Unix milliseconds.
    pub held: HashMap<Target, i64>,
    /// What probes say, by CRI id.
    pub health: HashMap<String, Health>,
    /// What ended containers left as their termination message, by CRI id.
    pub last_words: HashMap<String, String>,
    /// What is being worked on.
    pub busy: HashSet<Target>,
    /// Containers whose postStart hook may still run: until it is over they do not count as running.
    pub starting: HashSet<String>,
    /// The pod has ended; nothing starts it again.
    pub ended: Option<Ended>,
}

impl Volumes {
    /// After making them, or bringing them up to date, has failed. `in_use`: containers run on them already.
    pub fn failed(&self, message: String, in_use: bool, now_ms: i64) -> Self {
        let before = match self {
            Self::Failed(before) | Self::Stale(before) => Some(before),
            Self::Unknown | Self::Ready(_) | Self::Gone => None,
        };
        let failure = Failure::new("FailedMount", message, before, now_ms);
        let there = in_use || matches!(self, Self::Ready(_) | Self::Stale(_));
        if there { Self::Stale(failure) } else { Self::Failed(failure) }
    }
}

impl Memory {
    /// After the agent's own restart: restart delays as they must have been.
    pub fn rebuild(view: &PodView, now_ms: i64) -> Self {
        let mut memory = Self::default();
        for (name, all) in &view.containers {
            let Some(newest) = all.first().filter(|c| c.attempt > 0) else { continue };
            let since = newest.created_at / 1_000_000;
            let peaceful = newest.state == State::Running && now_ms - since > 600_000;
            if !peaceful {
                memory.backoff.insert(name.clone(), Backoff::after(newest.attempt, since));
            }
        }
        memory
    }
}
