//! containerd, seen through its CRI socket: typed calls with timeouts, and a stream of "something happened".

pub mod view;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};

/// Types of `runtime.v1`, generated from `proto/vendor/cri`.
#[allow(missing_docs, clippy::all, rustdoc::all, unreachable_pub, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("runtime.v1");
}

/// Types of containerd's event service.
#[allow(missing_docs, clippy::all, unreachable_pub, reason = "generated code")]
mod events {
    tonic::include_proto!("containerd.services.events.v1");
}

use v1::image_service_client::ImageServiceClient;
use v1::runtime_service_client::RuntimeServiceClient;

/// Label that marks everything of ours in containerd; its value is the pod's uid.
pub const POD_UID_LABEL: &str = "hako.dev/pod-uid";
/// Label with the container's name in the pod.
pub const CONTAINER_NAME_LABEL: &str = "io.kubernetes.container.name";

/// Bound for calls that only read or write containerd's own state.
const QUICK: Duration = Duration::from_secs(20);
/// Bound for making a sandbox: CNI runs in it.
const SANDBOX: Duration = Duration::from_secs(120);
/// Bound for pulling one image.
const PULL: Duration = Duration::from_secs(1800);
/// containerd's limit is 16 MiB.
const MAX_MESSAGE: usize = 32 << 20;

/// A connection to containerd; clones share it. It reconnects by itself.
#[derive(Clone)]
pub struct Cri {
    runtime: RuntimeServiceClient<Channel>,
    image: ImageServiceClient<Channel>,
    events: events::events_client::EventsClient<Channel>,
}

fn request<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

impl Cri {
    /// A client of the socket at `path`; it connects at the first call.
    pub fn new(path: &Path) -> Self {
        let path: PathBuf = path.to_owned();
        let connector = tower::service_fn(move |_: Uri| {
            let path = path.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
        });
        let channel = Endpoint::from_static("http://containerd").connect_with_connector_lazy(connector);
        Self {
            runtime: RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE),
            image: ImageServiceClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE),
            events: events::events_client::EventsClient::new(channel),
        }
    }

    /// Name and version of the runtime.
    pub async fn version(&self) -> Result<v1::VersionResponse, Status> {
        let message = v1::VersionRequest { version: "v1".to_owned() };
        Ok(self.runtime.clone().version(request(message, QUICK)).await?.into_inner())
    }

    /// All sandboxes and containers of ours, in any state.
    pub async fn list(&self) -> Result<(Vec<v1::PodSandbox>, Vec<v1::Container>), Status> {
        let (mut a, mut b) = (self.runtime.clone(), self.runtime.clone());
        let sandboxes = a.list_pod_sandbox(request(v1::ListPodSandboxRequest { filter: None }, QUICK));
        let containers = b.list_containers(request(v1::ListContainersRequest { filter: None }, QUICK));
        let (sandboxes, containers) = tokio::try_join!(sandboxes, containers)?;
        let mut sandboxes = sandboxes.into_inner().items;
        let mut containers = containers.into_inner().containers;
        sandboxes.retain(|s| s.labels.contains_key(POD_UID_LABEL));
        containers.retain(|c| c.labels.contains_key(POD_UID_LABEL));
        Ok((sandboxes, containers))
    }

    /// Sandboxes and containers of one pod.
    pub async fn list_pod(&self, uid: &str) -> Result<(Vec<v1::PodSandbox>, Vec<v1::Container>), Status> {
        let labels = HashMap::from([(POD_UID_LABEL.to_owned(), uid.to_owned())]);
        let filter = v1::PodSandboxFilter { label_selector: labels.clone(), ..Default::default() };
        let (mut a, mut b) = (self.runtime.clone(), self.runtime.clone());
        let sandboxes = a.list_pod_sandbox(request(v1::ListPodSandboxRequest { filter: Some(filter) }, QUICK));
        let filter = v1::ContainerFilter { label_selector: labels, ..Default::default() };
        let containers = b.list_containers(request(v1::ListContainersRequest { filter: Some(filter) }, QUICK));
        let (sandboxes, containers) = tokio::try_join!(sandboxes, containers)?;
        Ok((sandboxes.into_inner().items, containers.into_inner().containers))
    }

    /// Makes and starts a sandbox; gives its id.
    pub async fn run_sandbox(&self, config: v1::PodSandboxConfig, handler: &str) -> Result<String, Status> {
        let message = v1::RunPodSandboxRequest { config: Some(config), runtime_handler: handler.to_owned() };
        Ok(self.runtime.clone().run_pod_sandbox(request(message, SANDBOX)).await?.into_inner().pod_sandbox_id)
    }

    /// Status of a sandbox; `verbose` adds containerd's own description.
    pub async fn sandbox_status(&self, id: &str, verbose: bool) -> Result<v1::PodSandboxStatusResponse, Status> {
        let message = v1::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose };
        Ok(self.runtime.clone().pod_sandbox_status(request(message, QUICK)).await?.into_inner())
    }

    /// The network namespace of a running sandbox.
    pub async fn sandbox_netns(&self, id: &str) -> Result<PathBuf, Status> {
        let info = self.sandbox_status(id, true).await?.info;
        let info: serde_json::Value = info.get("info").and_then(|i| serde_json::from_str(i).ok()).unwrap_or_default();
        let namespaces = info.pointer("/runtimeSpec/linux/namespaces").and_then(|n| n.as_array());
        let network = namespaces.into_iter().flatten().find(|n| n["type"] == "network");
        let path = network.and_then(|n| n["path"].as_str()).map(PathBuf::from);
        path.ok_or_else(|| Status::not_found("the sandbox has no network namespace"))
    }

    /// Stops a sandbox and gives its network back; safe to repeat.
    pub async fn stop_sandbox(&self, id: &str) -> Result<(), Status> {
        let message = v1::StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        gone_is_fine(self.runtime.clone().stop_pod_sandbox(request(message, SANDBOX)).await)
    }

    /// Removes a sandbox and its containers; safe to repeat.
    pub async fn remove_sandbox(&self, id: &str) -> Result<(), Status> {
        let message = v1::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        gone_is_fine(self.runtime.clone().remove_pod_sandbox(request(message, SANDBOX)).await)
    }

    /// Makes a container; gives its id.
    pub async fn create_container(&self, message: v1::CreateContainerRequest) -> Result<String, Status> {
        Ok(self.runtime.clone().create_container(request(message, SANDBOX)).await?.into_inner().container_id)
    }

    /// Starts a container.
    pub async fn start_container(&self, id: &str) -> Result<(), Status> {
        let message = v1::StartContainerRequest { container_id: id.to_owned() };
        self.runtime.clone().start_container(request(message, SANDBOX)).await.map(|_| ())
    }

    /// Sends SIGTERM (or the image's stop signal), and SIGKILL after `grace`; returns when it is dead. Safe to repeat.
    pub async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), Status> {
        let message = v1::StopContainerRequest {
            container_id: id.to_owned(),
            timeout: i64::try_from(grace.as_secs()).unwrap_or(i64::MAX),
        };
        gone_is_fine(self.runtime.clone().stop_container(request(message, grace + SANDBOX)).await)
    }

    /// Removes a container; safe to repeat.
    pub async fn remove_container(&self, id: &str) -> Result<(), Status> {
        let message = v1::RemoveContainerRequest { container_id: id.to_owned() };
        gone_is_fine(self.runtime.clone().remove_container(request(message, QUICK)).await)
    }

    /// Status of a container.
    pub async fn container_status(&self, id: &str) -> Result<v1::ContainerStatus, Status> {
        let message = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        let response = self.runtime.clone().container_status(request(message, QUICK)).await?.into_inner();
        response.status.ok_or_else(|| Status::not_found("containerd gave no status"))
    }

    /// Runs a command to its end, at most `timeout`.
    pub async fn exec_sync(
        &self,
        id: &str,
        cmd: Vec<String>,
        timeout: Duration,
    ) -> Result<v1::ExecSyncResponse, Status> {
        let message = v1::ExecSyncRequest {
            container_id: id.to_owned(),
            cmd,
            timeout: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        };
        Ok(self.runtime.clone().exec_sync(request(message, timeout + QUICK)).await?.into_inner())
    }

    /// URL of containerd's streaming server for one exec.
    pub async fn exec(&self, message: v1::ExecRequest) -> Result<String, Status> {
        Ok(self.runtime.clone().exec(request(message, QUICK)).await?.into_inner().url)
    }

    /// URL of containerd's streaming server for one attach.
    pub async fn attach(&self, message: v1::AttachRequest) -> Result<String, Status> {
        Ok(self.runtime.clone().attach(request(message, QUICK)).await?.into_inner().url)
    }

    /// Makes containerd open the container's log path anew.
    pub async fn reopen_log(&self, id: &str) -> Result<(), Status> {
        let message = v1::ReopenContainerLogRequest { container_id: id.to_owned() };
        self.runtime.clone().reopen_container_log(request(message, QUICK)).await.map(|_| ())
    }

    /// Resource use of one pod's containers.
    pub async fn container_stats(&self, uid: &str) -> Result<Vec<v1::ContainerStats>, Status> {
        let labels = HashMap::from([(POD_UID_LABEL.to_owned(), uid.to_owned())]);
        let filter = v1::ContainerStatsFilter { label_selector: labels, ..Default::default() };
        let message = v1::ListContainerStatsRequest { filter: Some(filter) };
        Ok(self.runtime.clone().list_container_stats(request(message, QUICK)).await?.into_inner().stats)
    }

    /// Resource use of all containers.
    pub async fn all_container_stats(&self) -> Result<Vec<v1::ContainerStats>, Status> {
        let message = v1::ListContainerStatsRequest { filter: None };
        Ok(self.runtime.clone().list_container_stats(request(message, QUICK)).await?.into_inner().stats)
    }

    /// Resource use of a sandbox as a whole.
    pub async fn sandbox_stats(&self, id: &str) -> Result<Option<v1::PodSandboxStats>, Status> {
        let message = v1::PodSandboxStatsRequest { pod_sandbox_id: id.to_owned() };
        Ok(self.runtime.clone().pod_sandbox_stats(request(message, QUICK)).await?.into_inner().stats)
    }

    /// The image as present here, if it is.
    pub async fn image_status(&self, image: &str) -> Result<Option<v1::Image>, Status> {
        let spec = v1::ImageSpec { image: image.to_owned(), ..Default::default() };
        let message = v1::ImageStatusRequest { image: Some(spec), verbose: false };
        Ok(self.image.clone().image_status(request(message, QUICK)).await?.into_inner().image)
    }

    /// Pulls an image; gives its id.
    pub async fn pull_image(&self, image: &str, auth: Option<v1::AuthConfig>) -> Result<String, Status> {
        let spec = v1::ImageSpec { image: image.to_owned(), ..Default::default() };
        let message = v1::PullImageRequest { image: Some(spec), auth, sandbox_config: None };
        Ok(self.image.clone().pull_image(request(message, PULL)).await?.into_inner().image_ref)
    }

    /// All images here.
    pub async fn list_images(&self) -> Result<Vec<v1::Image>, Status> {
        let message = v1::ListImagesRequest { filter: None };
        Ok(self.image.clone().list_images(request(message, QUICK)).await?.into_inner().images)
    }

    /// Removes an image with all its names.
    pub async fn remove_image(&self, image: &str) -> Result<(), Status> {
        let spec = v1::ImageSpec { image: image.to_owned(), ..Default::default() };
        let message = v1::RemoveImageRequest { image: Some(spec) };
        self.image.clone().remove_image(request(message, QUICK)).await.map(|_| ())
    }

    /// Where images lie.
    pub async fn image_mountpoint(&self) -> Result<Option<PathBuf>, Status> {
        let response = self.image.clone().image_fs_info(request(v1::ImageFsInfoRequest {}, QUICK)).await?.into_inner();
        let first = response.image_filesystems.into_iter().next().and_then(|f| f.fs_id);
        Ok(first.map(|id| PathBuf::from(id.mountpoint)))
    }

    /// Calls `wake` at each start and end of a process in containerd, until the stream breaks.
    pub async fn watch_tasks(&self, wake: impl Fn()) -> Result<(), Status> {
        let filters =
            ["/tasks/exit", "/tasks/oom"].map(|topic| format!("namespace==k8s.io,topic==\"{topic}\"")).to_vec();
        let mut stream = self.events.clone().subscribe(events::SubscribeRequest { filters }).await?.into_inner();
        while stream.message().await?.is_some() {
            wake();
        }
        Ok(())
    }
}

fn gone_is_fine<T>(result: Result<T, Status>) -> Result<(), Status> {
    match result {
        Ok(_) => Ok(()),
        Err(status) if status.code() == tonic::Code::NotFound => Ok(()),
        Err(status) => Err(status),
    }
}
