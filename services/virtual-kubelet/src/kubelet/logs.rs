//! Container logs, as one body that streams.

use super::{ContainerPath, Kubelet, Wire, flag};
use axum::{
    body::Body,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use proto::fleet::{Logs, StreamFrame, stream_frame::Frame, stream_open::Kind};
use std::{collections::HashMap, sync::Arc};

fn wish(container: String, query: &HashMap<String, String>) -> Logs {
    let number = |name: &str| query.get(name).and_then(|value| value.parse::<i64>().ok());
    let since = number("sinceSeconds").map(|seconds| domain::unix_ms() - seconds * 1000);
    let time = query.get("sinceTime").and_then(|time| time.parse::<jiff::Timestamp>().ok());
    Logs {
        container,
        follow: flag(query, "follow"),
        previous: flag(query, "previous"),
        timestamps: flag(query, "timestamps"),
        tail_lines: number("tailLines").unwrap_or(-1),
        since_ms: since.or_else(|| time.map(jiff::Timestamp::as_millisecond)).unwrap_or(0),
        limit_bytes: number("limitBytes").unwrap_or(0),
    }
}

pub(super) async fn serve(
    State(kubelet): State<Arc<Kubelet>>,
    Path((namespace, pod, container)): ContainerPath,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let uid = match kubelet.uid(&namespace, &pod) {
        Ok(uid) => uid,
        Err(response) => return response,
    };
    match kubelet.open(uid, Kind::Logs(wish(container, &query))).await {
        Err(status) => (StatusCode::BAD_GATEWAY, status.message().to_owned()).into_response(),
        Ok(wire) => answered(wire).await,
    }
}

/// The log's bytes; if the first frame is an error, that.
async fn answered(mut wire: Wire) -> Response {
    let first = match wire.from_host.message().await {
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
    // The request's side stays open until the answer's ends: the wire is dropped with the body.
    let bytes = futures::stream::unfold((wire, first), async |(mut wire, mut next)| {
        loop {
            let frame = match next.take() {
                Some(frame) => frame,
                None => match wire.from_host.message().await {
                    Ok(frame) => frame?,
                    Err(status) => return Some((Err(status), (wire, None))),
                },
            };
            match frame.frame {
                Some(Frame::Stdout(bytes) | Frame::Stderr(bytes)) => return Some((Ok(bytes), (wire, None))),
                Some(Frame::End(_)) => return None,
                _ => {}
            }
        }
    });
    Body::from_stream(bytes).into_response()
}
