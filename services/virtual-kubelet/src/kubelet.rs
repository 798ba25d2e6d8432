//! The kubelet API of our nodes: health, container logs, exec, attach, port-forward. Only control may call it; what it
//! asks for is passed to the pod's host through the fleet.

mod forward;
mod logs;
mod remote;

use crate::metrics;
use axum::{
    Extension, Router,
    extract::{Path, Request},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use bytes::Bytes;
use http::StatusCode;
use proto::fleet::{
    StreamFrame, StreamOpen, placements_client::PlacementsClient, stream_frame::Frame, stream_open::Kind,
};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Channel};

/// Frames on their way to a host: enough for a full window of 32 KiB pieces, little enough to slow a fast writer.
const FRAMES: usize = 16;

/// Finds pods by name.
pub(crate) trait PodIndex: Send + Sync {
    /// UID of a pod of a cluster.
    fn uid(&self, cluster: &str, namespace: &str, name: &str) -> Option<String>;
}

/// What the API needs.
pub(crate) struct Kubelet {
    placements: PlacementsClient<Channel>,
    pods: Arc<dyn PodIndex>,
}

/// Both directions of one stream into a pod.
struct Wire {
    to_host: mpsc::Sender<StreamFrame>,
    from_host: Streaming<StreamFrame>,
}

/// Sends a frame; false when the host is gone.
async fn send(to_host: &mpsc::Sender<StreamFrame>, frame: Frame) -> bool {
    to_host.send(StreamFrame { frame: Some(frame) }).await.is_ok()
}

/// Passes pieces on as standard input, and then its end.
async fn send_input(mut from: mpsc::Receiver<Bytes>, to_host: &mpsc::Sender<StreamFrame>) {
    while let Some(piece) = from.recv().await {
        if !send(to_host, Frame::Stdin(piece)).await {
            return;
        }
    }
    send(to_host, Frame::StdinClosed(true)).await;
}

impl Kubelet {
    pub(crate) fn new(placements: PlacementsClient<Channel>, pods: Arc<dyn PodIndex>) -> Self {
        Self { placements, pods }
    }

    /// UID of the pod that a path names; its namespace is `<cluster>:<namespace>`.
    fn uid(&self, namespace: &str, pod: &str) -> Result<String, Response> {
        let (cluster, namespace) = namespace.split_once(':').unwrap_or(("", namespace));
        let missing = || (StatusCode::NOT_FOUND, format!("pod {pod:?} is not on this node")).into_response();
        self.pods.uid(cluster, namespace, pod).ok_or_else(missing)
    }

    async fn open(&self, uid: String, kind: Kind) -> Result<Wire, tonic::Status> {
        let (to_host, frames) = mpsc::channel(FRAMES);
        let request_id = runtime::request::current().map(|id| id.as_str().to_owned()).unwrap_or_default();
        tracing::info!(pod.uid = uid, "opening {} of pod {uid}", kind_name(&kind));
        metrics::opened(kind_name(&kind));
        let open = StreamOpen { uid, kind: Some(kind), request_id, ..StreamOpen::default() };
        let _ = to_host.send(StreamFrame { frame: Some(Frame::Open(open)) }).await;
        let from_host = self.placements.clone().open(ReceiverStream::new(frames)).await?.into_inner();
        Ok(Wire { to_host, from_host })
    }
}

/// All paths. Source: the kubelet's own server, `pkg/kubelet/server/server.go`.
pub(crate) fn router(kubelet: Arc<Kubelet>) -> Router {
    Router::new()
        .route("/containerLogs/{namespace}/{pod}/{container}", get(logs::serve))
        .route("/exec/{namespace}/{pod}/{container}", any(remote::exec))
        .route("/attach/{namespace}/{pod}/{container}", any(remote::attach))
        .route("/portForward/{namespace}/{pod}", any(forward::serve))
        .layer(middleware::from_fn(only_control))
        // Tells nothing, and so is open to all.
        .route("/healthz", get(async || "ok"))
        .with_state(kubelet)
        .layer(middleware::from_fn(runtime::request::identify))
}

fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Logs(_) => "logs",
        Kind::Exec(_) => "exec",
        Kind::Attach(_) => "attach",
        Kind::PortForward(_) => "port-forward",
        Kind::Stats(_) => "stats",
    }
}

async fn only_control(peer: Option<Extension<runtime::Peer>>, request: Request, next: Next) -> Response {
    if peer.is_none_or(|peer| peer.common_name.as_deref() != Some("control")) {
        return (StatusCode::FORBIDDEN, "only control may call this").into_response();
    }
    next.run(request).await
}

type ContainerPath = Path<(String, String, String)>;

fn flag(query: &HashMap<String, String>, name: &str) -> bool {
    query.get(name).is_some_and(|value| value == "true" || value == "1")
}
