//! The kubelet API of our nodes. Only control may call it. So far: health and container logs.

use axum::{
    Extension, Router,
    body::Body,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::StreamExt;
use http::StatusCode;
use proto::fleet::{
    Logs, StreamFrame, StreamOpen, placements_client::PlacementsClient, stream_frame::Frame, stream_open::Kind,
};
use std::{collections::HashMap, sync::Arc};
use tonic::transport::Channel;

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

impl Kubelet {
    pub(crate) fn new(placements: PlacementsClient<Channel>, pods: Arc<dyn PodIndex>) -> Self {
        Self { placements, pods }
    }
}

/// All paths.
pub(crate) fn router(kubelet: Arc<Kubelet>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/containerLogs/{namespace}/{pod}/{container}", get(logs))
        .with_state(kubelet)
}

fn logs_wish(container: String, query: &HashMap<String, String>) -> Logs {
    let flag = |name: &str| query.get(name).is_some_and(|value| value == "true" || value == "1");
    let number = |name: &str| query.get(name).and_then(|value| value.parse::<i64>().ok());
    let since = number("sinceSeconds").map(|seconds| domain::unix_ms() - seconds * 1000);
    let time = query.get("sinceTime").and_then(|time| time.parse::<jiff::Timestamp>().ok());
    Logs {
        container,
        follow: flag("follow"),
        previous: flag("previous"),
        timestamps: flag("timestamps"),
        tail_lines: number("tailLines").unwrap_or(-1),
        since_ms: since.or_else(|| time.map(jiff::Timestamp::as_millisecond)).unwrap_or(0),
        limit_bytes: number("limitBytes").unwrap_or(0),
    }
}

async fn logs(
    State(kubelet): State<Arc<Kubelet>>,
    peer: Option<Extension<runtime::Peer>>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    if peer.is_none_or(|peer| peer.common_name.as_deref() != Some("control")) {
        return (StatusCode::FORBIDDEN, "only control may call this").into_response();
    }
    let (cluster, namespace) = namespace.split_once(':').unwrap_or(("", &namespace));
    let Some(uid) = kubelet.pods.uid(cluster, namespace, &pod) else {
        return (StatusCode::NOT_FOUND, format!("pod {pod:?} is not on this node")).into_response();
    };
    let open = StreamOpen { uid, kind: Some(Kind::Logs(logs_wish(container, &query))), ..StreamOpen::default() };
    let first = StreamFrame { frame: Some(Frame::Open(open)) };
    // The request's side stays open until the answer's ends.
    let frames = futures::stream::iter([first]).chain(futures::stream::pending());
    match kubelet.placements.clone().open(frames).await {
        Err(status) => (StatusCode::BAD_GATEWAY, status.message().to_owned()).into_response(),
        Ok(answer) => answered(answer.into_inner()).await,
    }
}

/// The log's bytes; if the first frame is an error, that.
async fn answered(mut frames: tonic::Streaming<StreamFrame>) -> Response {
    let first = match frames.message().await {
        Ok(Some(StreamFrame { frame: Some(Frame::End(end)) })) if !end.error.is_empty() => {
            let code = match end.reason.as_str() {
                "NotFound" => StatusCode::NOT_FOUND,
                "BadRequest" => StatusCode::BAD_REQUEST,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            return (code, end.error).into_response();
        }
        Ok(first) => first,
        Err(status) => return (StatusCode::BAD_GATEWAY, status.message().to_owned()).into_response(),
    };
    let bytes = futures::stream::iter(first.map(Ok)).chain(frames).filter_map(async |frame| match frame {
        Ok(StreamFrame { frame: Some(Frame::Stdout(bytes) | Frame::Stderr(bytes)) }) => Some(Ok(bytes)),
        Ok(_) => None,
        Err(status) => Some(Err(status)),
    });
    Body::from_stream(bytes).into_response()
}
