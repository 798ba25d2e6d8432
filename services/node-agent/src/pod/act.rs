//! Obeys a plan's actions. Each is safe to repeat, and ends in an outcome that the worker remembers.

use std::fs;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::cgroup;
use crate::context::Shared;
use crate::cri::v1;
use crate::cri::view::PodView;
use crate::placement::Desired;
use crate::pod::diff::Action;
use crate::pod::downward::Facts;
use crate::pod::http::Place;
use crate::pod::memory::Target;
use crate::pod::{container, hook, image, resources, sandbox, volume};

/// How an action ended.
#[derive(Debug)]
pub struct Outcome {
    /// What it worked on.
    pub target: Target,
    /// What to remember.
    pub result: Result<Done, Failed>,
}

/// What went well.
#[derive(Debug)]
pub enum Done {
    /// Volumes are there as of this generation.
    Volumes(u64),
    /// The volumes were taken away.
    VolumesGone,
    /// A sandbox runs.
    Sandbox,
    /// A container was started.
    Started(String),
    /// Nothing is left.
    Cleaned,
    /// Nothing to remember.
    Other,
}

/// What did not.
#[derive(Debug)]
pub struct Failed {
    /// Kubernetes' word.
    pub reason: &'static str,
    /// For the pod's owner.
    pub message: String,
}

impl Failed {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// One pod as an action finds it.
#[derive(Clone)]
pub struct Subject {
    /// What all share.
    pub context: Shared,
    /// What was asked.
    pub desired: std::sync::Arc<Desired>,
    /// What containerd had.
    pub view: PodView,
    /// Where the pod is reached, if it is.
    pub place: Option<Place>,
    /// Cancelled when the pod must go or has ended: nothing is pulled for it any more.
    pub going: CancellationToken,
}

/// Does one action.
pub async fn act(subject: Subject, action: Action) -> Outcome {
    let target = action.target();
    let result = match action {
        Action::PrepareVolumes => subject.prepare_volumes().await,
        Action::CreateSandbox { attempt } => subject.create_sandbox(attempt).await,
        Action::StopSandbox { id } => subject.stop_sandbox(&id).await,
        Action::Start { container, attempt } => subject.start(&container, attempt).await,
        Action::Stop { container, id, grace_seconds, reason, message } => {
            subject.event("Normal", reason, message, &container);
            subject.stop(&container, &id, grace_seconds).await
        }
        Action::Remove { id, .. } => subject.remove(&id).await,
        Action::RemoveVolumes => subject.remove_volumes().await,
        Action::Clean => subject.clean().await,
    };
    Outcome { target, result }
}

impl Subject {
    fn event(&self, kind: &str, reason: &str, message: impl Into<String>, container: &str) {
        self.context.event(self.desired.uid(), kind, reason, message, container);
    }

    fn facts(&self) -> Facts {
        let ip = self.view.ready_sandbox().map(|s| s.ip.clone());
        let expected = || self.desired.placement.attachment.as_ref().map(|a| a.address.clone());
        Facts { pod_ip: ip.or_else(expected).unwrap_or_default() }
    }

    async fn prepare_volumes(&self) -> Result<Done, Failed> {
        let (paths, desired, facts) = (self.context.paths.clone(), self.desired.clone(), self.facts());
        let generation = desired.placement.generation;
        let prepared = tokio::task::spawn_blocking(move || {
            fs::create_dir_all(paths.pod(desired.uid())).map_err(|e| e.to_string())?;
            volume::prepare(&paths, &desired, &facts).map_err(|e| e.to_string())
        });
        let prepared = prepared.await.map_err(|e| Failed::new("FailedMount", e.to_string()))?;
        prepared.map_err(|message| {
            self.event("Warning", "FailedMount", message.clone(), "");
            Failed::new("FailedMount", message)
        })?;
        Ok(Done::Volumes(generation))
    }

    async fn create_sandbox(&self, attempt: u32) -> Result<Done, Failed> {
        let result = self.try_create_sandbox(attempt).await;
        result.map_err(|message| {
            let message = format!("Failed to create pod sandbox: {message}");
            self.event("Warning", "FailedCreatePodSandBox", message.clone(), "");
            Failed::new("FailedCreatePodSandBox", message)
        })?;
        Ok(Done::Sandbox)
    }

    async fn try_create_sandbox(&self, attempt: u32) -> Result<(), String> {
        let (context, desired) = (&self.context, &self.desired);
        let placement = &desired.placement;
        // What is left of sandboxes before this one: their network must be given back first.
        for old in &self.view.sandboxes {
            context.cri.stop_sandbox(&old.id).await.map_err(|s| s.message().to_owned())?;
        }
        if let Some(attachment) = &placement.attachment {
            context.network.expect(desired.uid(), attachment.clone()).await.map_err(|e| format!("{e:#}"))?;
        }
        let logs = context.paths.logs(&placement.namespace, &placement.name, desired.uid());
        fs::create_dir_all(&logs).map_err(|e| e.to_string())?;
        let cgroup = cgroup::pod_path(&context.config.cgroup_root, desired.uid());
        cgroup::create(&cgroup, &resources::pod(desired)).map_err(|e| format!("cgroup {cgroup}: {e}"))?;
        let config = sandbox::config(desired, &context.paths, &cgroup, &context.host_dns, attempt);
        let handler = match placement.runtime.as_str() {
            // Every containerd has runc as its default; the empty handler names it whatever the configuration calls it.
            "" | "runc" => "",
            other => other,
        };
        context.cri.run_sandbox(config, handler).await.map_err(|s| s.message().to_owned())?;
        Ok(())
    }

    async fn stop_sandbox(&self, id: &str) -> Result<Done, Failed> {
        let stopped = self.context.cri.stop_sandbox(id).await;
        stopped.map(|()| Done::Other).map_err(|s| Failed::new("FailedKillPod", s.message()))
    }

    async fn start(&self, name: &str, attempt: u32) -> Result<Done, Failed> {
        let result = self.try_start(name, attempt).await;
        if let Err(failed) = &result {
            let message = match failed.reason {
                "ErrImagePull" => {
                    let image = self.desired.container(name).and_then(|c| c.image.clone()).unwrap_or_default();
                    self.event(
                        "Warning",
                        "Failed",
                        format!("Failed to pull image {image:?}: {}", failed.message),
                        name,
                    );
                    "Error: ErrImagePull".to_owned()
                }
                "InvalidImageName" => {
                    self.event("Warning", "InspectFailed", failed.message.clone(), name);
                    "Error: InvalidImageName".to_owned()
                }
                "ErrImageNeverPull" => {
                    self.event("Warning", "ErrImageNeverPull", failed.message.clone(), name);
                    "Error: ErrImageNeverPull".to_owned()
                }
                _ => format!("Error: {}", failed.message),
            };
            self.event("Warning", "Failed", message, name);
        }
        result
    }

    async fn try_start(&self, name: &str, attempt: u32) -> Result<Done, Failed> {
        let (context, desired) = (&self.context, &self.desired);
        let cri = &context.cri;
        let Some(spec) = desired.container(name) else {
            return Err(Failed::new("CreateContainerConfigError", "the container is no longer part of its pod"));
        };
        let Some(seen) = self.view.ready_sandbox() else { return Ok(Done::Other) };
        let fetch = async {
            let turn = context.pulls.turn(&desired.placement.tenant_id);
            let image_name = spec.image.clone().unwrap_or_default();
            let pulling = || self.event("Normal", "Pulling", format!("Pulling image {image_name:?}"), name);
            image::ensure(cri, &desired.inputs, spec, turn, pulling).await
        };
        let Some(present) = self.going.run_until_cancelled(fetch).await else { return Ok(Done::Other) };
        let present = present.map_err(|e| Failed::new(e.reason, e.message))?;
        self.event("Normal", "Pulled", present.message, name);
        let facts = Facts { pod_ip: seen.ip.clone() };
        let (paths, wish, parts) = (context.paths.clone(), desired.clone(), spec.clone());
        let prepared = tokio::task::spawn_blocking(move || {
            container::config(&wish, &parts, attempt, &facts, &present.image, &paths)
        });
        let config = prepared
            .await
            .map_err(|e| Failed::new("CreateContainerConfigError", e.to_string()))?
            .map_err(|e| Failed::new("CreateContainerConfigError", e.0))?;
        let cgroup = cgroup::pod_path(&context.config.cgroup_root, desired.uid());
        let sandbox_config = sandbox::config(desired, &context.paths, &cgroup, &context.host_dns, seen.attempt);
        let message = v1::CreateContainerRequest {
            pod_sandbox_id: seen.id.clone(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        let created = cri.create_container(message).await;
        let id = created.map_err(|s| Failed::new("CreateContainerError", s.message()))?;
        self.event("Normal", "Created", format!("Created container: {name}"), name);
        if let Err(status) = cri.start_container(&id).await {
            // containerd keeps it as ended with StartError: from here on it is a container that failed.
            self.event("Warning", "Failed", format!("Error: {}", status.message()), name);
            return Ok(Done::Started(name.to_owned()));
        }
        self.event("Normal", "Started", format!("Started container {name}"), name);
        self.after_start(spec, &id).await;
        Ok(Done::Started(name.to_owned()))
    }

    /// A failed postStart hook kills the container.
    async fn after_start(&self, spec: &k8s_openapi::api::core::v1::Container, id: &str) {
        let Some(post) = spec.lifecycle.as_ref().and_then(|l| l.post_start.as_ref()) else { return };
        let limit = Duration::from_secs(3600);
        let cri = &self.context.cri;
        let ran = hook::run(cri, id, spec, self.place.as_ref(), post, limit);
        // A pod that must go does not wait for its hook.
        let Some(result) = self.going.run_until_cancelled(ran).await else { return };
        if let Err(message) = result {
            self.event("Warning", "FailedPostStartHook", format!("PostStartHook failed: {message}"), &spec.name);
            let _ = self.stop(&spec.name, id, self.desired.grace_seconds()).await;
        }
    }

    async fn stop(&self, name: &str, id: &str, grace_seconds: u32) -> Result<Done, Failed> {
        let begun = Instant::now();
        let grace = Duration::from_secs(u64::from(grace_seconds));
        let spec = self.desired.container(name);
        let pre = spec.and_then(|c| c.lifecycle.as_ref()).and_then(|l| l.pre_stop.as_ref());
        if let (Some(spec), Some(pre)) = (spec, pre.filter(|_| grace_seconds > 0)) {
            let ran = hook::run(&self.context.cri, id, spec, self.place.as_ref(), pre, grace);
            let ran = tokio::time::timeout(grace, ran).await.unwrap_or_else(|_| Err("timed out".to_owned()));
            if let Err(message) = ran {
                self.event("Warning", "FailedPreStopHook", format!("PreStopHook failed: {message}"), name);
            }
        }
        // However long the hook took, the container gets a moment: the kubelet's minimum of two seconds.
        let left =
            grace.saturating_sub(begun.elapsed()).max(Duration::from_secs(if grace_seconds > 0 { 2 } else { 0 }));
        let stopped = self.context.cri.stop_container(id, left.min(grace)).await;
        stopped.map(|()| Done::Other).map_err(|s| {
            let message = format!("error killing container: {}", s.message());
            self.event("Warning", "FailedKillPod", message.clone(), name);
            Failed::new("FailedKillPod", message)
        })
    }

    async fn remove(&self, id: &str) -> Result<Done, Failed> {
        let removed = self.context.cri.remove_container(id).await;
        removed.map(|()| Done::Other).map_err(|s| Failed::new("FailedRemove", s.message()))
    }

    async fn remove_volumes(&self) -> Result<Done, Failed> {
        let (paths, uid) = (self.context.paths.clone(), self.desired.uid().to_owned());
        let removed = tokio::task::spawn_blocking(move || volume::release(&paths, &uid)).await;
        let removed = removed.map_err(|e| Failed::new("FailedUnmount", e.to_string()))?;
        removed.map(|()| Done::VolumesGone).map_err(|e| Failed::new("FailedUnmount", e.to_string()))
    }

    async fn clean(&self) -> Result<Done, Failed> {
        let (context, placement) = (&self.context, &self.desired.placement);
        let uid = self.desired.uid();
        clean_runtime(context, uid, &self.view).await.map_err(|s| Failed::new("FailedKillPod", s.message()))?;
        context.network.forget(uid).await;
        cgroup::remove(&cgroup::pod_path(&context.config.cgroup_root, uid));
        let logs = context.paths.logs(&placement.namespace, &placement.name, uid);
        let (paths, owned) = (context.paths.clone(), uid.to_owned());
        let removed = tokio::task::spawn_blocking(move || {
            let _ = fs::remove_dir_all(logs);
            volume::remove(&paths, &owned)
        });
        let removed = removed.await.map_err(|e| Failed::new("FailedUnmount", e.to_string()))?;
        removed.map_err(|e| Failed::new("FailedUnmount", e.to_string()))?;
        Ok(Done::Cleaned)
    }
}

/// Takes everything of a pod out of containerd.
///
/// # Errors
/// If containerd does not do it.
pub async fn clean_runtime(context: &Shared, uid: &str, view: &PodView) -> Result<(), tonic::Status> {
    for container in view.containers.values().flatten() {
        context.cri.remove_container(&container.id).await?;
    }
    for sandbox in &view.sandboxes {
        context.cri.stop_sandbox(&sandbox.id).await?;
        context.cri.remove_sandbox(&sandbox.id).await?;
    }
    tracing::debug!(pod.uid = uid, "nothing of the pod is left in containerd");
    Ok(())
}
