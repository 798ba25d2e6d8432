//! Streams into pods: logs, exec, attach, port-forward and stats, each over one call of `Agents.Data`.

mod forward;
mod logs;
mod remote;
mod stats;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::fleet::agents_client::AgentsClient;
use proto::fleet::stream_frame::Frame;
use proto::fleet::stream_open::Kind;
use proto::fleet::{OpenStream, StreamEnd, StreamFrame, StreamOpen};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;
use tracing::Instrument;

use crate::agent::{Agent, Handle};
use crate::context::Shared;
use crate::cri::view::{ContainerView, State};
use crate::metrics;

/// Frames on their way to control: enough for a full window of 32 KiB pieces, little enough to notice a slow reader.
const FRAMES: usize = 16;

/// Why a stream could not do what it was for.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StreamError {
    /// Kubernetes Status reason.
    pub reason: &'static str,
    /// For the person who asked.
    pub message: String,
}

impl StreamError {
    fn not_found(message: impl Into<String>) -> Self {
        Self { reason: "NotFound", message: message.into() }
    }

    fn bad_request(message: impl Into<String>) -> Self {
        Self { reason: "BadRequest", message: message.into() }
    }

    fn internal(message: impl Into<String>) -> Self {
        Self { reason: "InternalError", message: message.into() }
    }
}

/// The two directions of one stream.
struct Wire {
    out: mpsc::Sender<StreamFrame>,
    input: Streaming<StreamFrame>,
}

impl Wire {
    /// Sends a frame; false when control has gone.
    async fn send(&self, frame: Frame) -> bool {
        self.out.send(StreamFrame { frame: Some(frame) }).await.is_ok()
    }
}

/// Answers one OpenStream from beginning to end.
pub async fn serve(context: Shared, agent: Arc<Agent>, channel: Channel, open: OpenStream) {
    let OpenStream { stream_id, request } = open;
    let request = request.unwrap_or_default();
    // The id of the caller's request: it is in the logs of all services that it went through.
    let span = tracing::info_span!("request", request.id = request.request_id);
    carry(context, agent, channel, stream_id, request).instrument(span).await;
}

async fn carry(context: Shared, agent: Arc<Agent>, channel: Channel, stream_id: String, request: StreamOpen) {
    let _open = metrics::OpenStream::new();
    tracing::info!(pod.uid = request.uid, stream.id = stream_id, "opening {} of pod {}", name(&request), request.uid);
    let (out, frames) = mpsc::channel(FRAMES);
    let first = StreamOpen { uid: request.uid.clone(), stream_id: stream_id.clone(), ..StreamOpen::default() };
    let _ = out.send(StreamFrame { frame: Some(Frame::Open(first)) }).await;
    let answered = AgentsClient::new(channel).data(ReceiverStream::new(frames)).await;
    let input = match answered {
        Ok(response) => response.into_inner(),
        Err(error) => return tracing::warn!(stream.id = stream_id, error = error.message(), "control took no stream"),
    };
    let mut wire = Wire { out, input };
    let end = match dispatch(&context, &agent, request, &mut wire).await {
        Ok(exit_code) => StreamEnd { exit_code, ..Default::default() },
        Err(error) => StreamEnd { exit_code: 0, error: error.message, reason: error.reason.to_owned() },
    };
    wire.send(Frame::End(end)).await;
    let Wire { out, mut input } = wire;
    drop(out);
    // Dropping the call at once could cancel it before the last frame is out.
    let drain = async { while let Ok(Some(_)) = input.message().await {} };
    let _ = tokio::time::timeout(Duration::from_secs(10), drain).await;
}

fn name(request: &StreamOpen) -> &'static str {
    match request.kind {
        Some(Kind::Logs(_)) => "logs",
        Some(Kind::Exec(_)) => "exec",
        Some(Kind::Attach(_)) => "attach",
        Some(Kind::PortForward(_)) => "port-forward",
        Some(Kind::Stats(_)) => "stats",
        None => "nothing",
    }
}

async fn dispatch(context: &Shared, agent: &Agent, request: StreamOpen, wire: &mut Wire) -> Result<i32, StreamError> {
    let pod = agent.worker(&request.uid).ok_or_else(|| StreamError::not_found("the pod is not on this host"))?;
    match request.kind {
        Some(Kind::Logs(request)) => logs::serve(context, &pod, &request, wire).await,
        Some(Kind::Exec(request)) => remote::exec(context, &pod, request, wire).await,
        Some(Kind::Attach(request)) => remote::attach(context, &pod, request, wire).await,
        Some(Kind::PortForward(request)) => forward::serve(&pod, &request, wire).await,
        Some(Kind::Stats(_)) => {
            let document = stats::pod_stats(context, &pod).await?;
            wire.send(Frame::Stdout(Bytes::from(document))).await;
            Ok(0)
        }
        None => Err(StreamError::bad_request("the stream does not say what it is for")),
    }
}

/// The container to work on: named, or the pod's only one (or its default).
fn container_name(pod: &Handle, wish: &str) -> Result<String, StreamError> {
    let desired = pod.desired();
    if wish.is_empty() {
        let annotations = desired.pod.metadata.annotations.as_ref();
        let default = annotations.and_then(|a| a.get("kubectl.kubernetes.io/default-container"));
        let first = desired.spec().containers.first().map(|c| &c.name);
        return default.or(first).cloned().ok_or_else(|| StreamError::bad_request("the pod has no containers"));
    }
    match desired.container(wish) {
        Some(container) => Ok(container.name.clone()),
        None => {
            Err(StreamError::bad_request(format!("container {wish} is not valid for pod {}", desired.placement.name)))
        }
    }
}

/// The container, if it runs.
fn running(pod: &Handle, wish: &str) -> Result<ContainerView, StreamError> {
    let name = container_name(pod, wish)?;
    let view = pod.live.view.lock();
    let current = view.current(&name).filter(|c| c.state == State::Running);
    current.cloned().ok_or_else(|| StreamError::not_found(format!("container not found (\"{name}\")")))
}
