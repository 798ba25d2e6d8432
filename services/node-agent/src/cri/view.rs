//! What containerd says about one pod, reduced to what decisions and statuses need.

use super::{CONTAINER_NAME_LABEL, Cri, v1};
use std::collections::HashMap;

/// Annotation with the hash of the container's definition it was made from.
pub const HASH_ANNOTATION: &str = "hako.dev/container-hash";

/// One pod in containerd.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodView {
    /// All sandboxes, newest first.
    pub sandboxes: Vec<SandboxView>,
    /// All containers by name, newest attempt first.
    pub containers: HashMap<String, Vec<ContainerView>>,
}

/// One sandbox.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SandboxView {
    /// CRI id.
    pub id: String,
    /// Counts the pod's sandboxes from 0.
    pub attempt: u32,
    /// Its pause process runs.
    pub ready: bool,
    /// The pod's address in it; empty when it is not ready.
    pub ip: String,
    /// Unix nanoseconds.
    pub created_at: i64,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Made, not started.
    #[default]
    Created,
    /// Running.
    Running,
    /// Ended.
    Exited,
    /// containerd lost sight of it.
    Unknown,
}

/// One container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerView {
    /// CRI id.
    pub id: String,
    /// The sandbox it is in.
    pub sandbox_id: String,
    /// Counts the starts of this container from 0: its restart count.
    pub attempt: u32,
    /// Where it is in its life.
    pub state: State,
    /// Unix nanoseconds; 0: not yet.
    pub created_at: i64,
    /// Unix nanoseconds; 0: not yet.
    pub started_at: i64,
    /// Unix nanoseconds; 0: not yet.
    pub finished_at: i64,
    /// Meaningful when exited.
    pub exit_code: i32,
    /// containerd's word for why it ended ("Completed", "Error", "OOMKilled").
    pub reason: String,
    /// containerd's words about the end.
    pub message: String,
    /// Image as asked for.
    pub image: String,
    /// Image as resolved.
    pub image_ref: String,
    /// From [`HASH_ANNOTATION`].
    pub hash: String,
}

impl PodView {
    /// The newest sandbox, if it is ready.
    pub fn ready_sandbox(&self) -> Option<&SandboxView> {
        self.sandboxes.first().filter(|s| s.ready)
    }

    /// The newest container named `name`.
    pub fn current(&self, name: &str) -> Option<&ContainerView> {
        self.containers.get(name).and_then(|all| all.first())
    }

    /// All containers that run, with their names.
    pub fn running(&self) -> impl Iterator<Item = (&str, &ContainerView)> {
        self.containers
            .iter()
            .flat_map(|(name, all)| all.iter().filter(|c| c.state == State::Running).map(move |c| (name.as_str(), c)))
    }

    /// Unix nanoseconds at which the first container was made.
    pub fn first_created(&self) -> Option<i64> {
        self.containers.values().flatten().map(|c| c.created_at).filter(|t| *t > 0).min()
    }

    /// The same of the newest sandbox, if it is ready.
    pub fn first_created_here(&self) -> Option<i64> {
        let sandbox = self.ready_sandbox()?;
        let here = self.containers.values().flatten().filter(|c| c.sandbox_id == sandbox.id);
        here.map(|c| c.created_at).filter(|t| *t > 0).min()
    }

    /// Unix nanoseconds at which the last container ended.
    pub fn last_finished(&self) -> Option<i64> {
        self.containers.values().flatten().map(|c| c.finished_at).filter(|t| *t > 0).max()
    }
}

/// Reads a pod's state from containerd. `known` is the last view: what has ended is not asked for again.
///
/// # Errors
/// If containerd does not answer.
pub async fn observe(cri: &Cri, uid: &str, known: &PodView) -> Result<PodView, tonic::Status> {
    let (sandboxes, containers) = cri.list_pod(uid).await?;
    let mut view = PodView::default();
    for sandbox in sandboxes {
        let ready = sandbox.state() == v1::PodSandboxState::SandboxReady;
        let old = known.sandboxes.iter().find(|s| s.id == sandbox.id);
        let mut ip = old.map(|s| s.ip.clone()).unwrap_or_default();
        if ready && ip.is_empty() {
            let status = cri.sandbox_status(&sandbox.id, false).await?.status;
            ip = status.and_then(|s| s.network).map(|n| n.ip).unwrap_or_default();
        }
        let attempt = sandbox.metadata.map_or(0, |m| m.attempt);
        view.sandboxes.push(SandboxView { id: sandbox.id, attempt, ready, ip, created_at: sandbox.created_at });
    }
    view.sandboxes.sort_by_key(|s| std::cmp::Reverse((s.attempt, s.created_at)));
    for container in containers {
        let Some(name) = container.labels.get(CONTAINER_NAME_LABEL).cloned() else { continue };
        let old = known.containers.get(&name).into_iter().flatten().find(|c| c.id == container.id);
        let seen = match old {
            Some(old) if old.state == State::Exited => old.clone(),
            _ => match cri.container_status(&container.id).await {
                Ok(status) => of_status(&container, status),
                Err(status) if status.code() == tonic::Code::NotFound => continue,
                Err(status) => return Err(status),
            },
        };
        view.containers.entry(name).or_default().push(seen);
    }
    for all in view.containers.values_mut() {
        all.sort_by_key(|c| std::cmp::Reverse((c.attempt, c.created_at)));
    }
    Ok(view)
}

fn of_status(container: &v1::Container, status: v1::ContainerStatus) -> ContainerView {
    let state = match status.state() {
        v1::ContainerState::ContainerCreated => State::Created,
        v1::ContainerState::ContainerRunning => State::Running,
        v1::ContainerState::ContainerExited => State::Exited,
        v1::ContainerState::ContainerUnknown => State::Unknown,
    };
    ContainerView {
        id: status.id,
        sandbox_id: container.pod_sandbox_id.clone(),
        attempt: status.metadata.map_or(0, |m| m.attempt),
        state,
        created_at: status.created_at,
        started_at: status.started_at,
        finished_at: status.finished_at,
        exit_code: status.exit_code,
        reason: status.reason,
        message: status.message,
        image: status.image.map(|i| i.image).unwrap_or_default(),
        image_ref: status.image_ref,
        hash: status.annotations.get(HASH_ANNOTATION).cloned().unwrap_or_default(),
    }
}
