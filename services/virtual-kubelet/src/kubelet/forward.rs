//! Port-forward: each connection that a client's kubectl takes is one stream to the pod's host.

use super::{Kubelet, Wire, send_input};
use axum::{
    body::Body,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use proto::fleet::{PortForward, StreamFrame, stream_frame::Frame, stream_open::Kind};
use runtime::request::carry;
use std::sync::Arc;
use streaming::server::{self, Forward, PendingForwards};
use tokio::{sync::mpsc, task::JoinSet};

pub(super) async fn serve(
    State(kubelet): State<Arc<Kubelet>>,
    Path((namespace, pod)): Path<(String, String)>,
    mut request: Request,
) -> Response {
    let uid = match kubelet.uid(&namespace, &pod) {
        Ok(uid) => uid,
        Err(response) => return response,
    };
    let (answer, pending) = match server::port_forward(&mut request) {
        Ok(agreed) => agreed,
        Err(error) => return (error.status, error.message).into_response(),
    };
    tokio::spawn(carry(forward_all(kubelet, uid, pending)));
    answer.map(|()| Body::empty())
}

/// Serves a client's connections until it hangs up; then all of them end.
async fn forward_all(kubelet: Arc<Kubelet>, uid: String, pending: PendingForwards) {
    let mut forwards = match pending.accept().await {
        Ok(forwards) => forwards,
        Err(error) => return tracing::debug!(%error, "a caller of port-forward went away: {error}"),
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            forward = forwards.next() => match forward {
                Some(forward) => _ = connections.spawn(carry(connect(Arc::clone(&kubelet), uid.clone(), forward))),
                None => return,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(kubelet: Arc<Kubelet>, uid: String, forward: Forward) {
    let kind = Kind::PortForward(PortForward { port: forward.port.into() });
    let wire = match kubelet.open(uid.clone(), kind).await {
        Ok(wire) => wire,
        Err(status) => return forward.fail(status.message()),
    };
    let port = forward.port;
    let (from_client, to_client, failed) = forward.split();
    if let Err(error) = join(wire, from_client, to_client).await {
        // The words of the kubelet.
        let _ = failed.send(format!("error forwarding port {port} to pod {uid}: {error}"));
    }
}

/// Passes bytes both ways until the pod's side ends.
async fn join(wire: Wire, from_client: mpsc::Receiver<Bytes>, to_client: mpsc::Sender<Bytes>) -> Result<(), String> {
    let Wire { to_host, mut from_host } = wire;
    let output = async {
        loop {
            match from_host.message().await {
                Ok(Some(StreamFrame { frame: Some(Frame::Stdout(piece)) })) => {
                    if to_client.send(piece).await.is_err() {
                        return Ok(());
                    }
                }
                Ok(Some(StreamFrame { frame: Some(Frame::End(end)) })) if !end.error.is_empty() => {
                    return Err(end.error);
                }
                Ok(Some(StreamFrame { frame: Some(Frame::End(_)) }) | None) => return Ok(()),
                Ok(Some(_)) => {}
                Err(status) => return Err(status.message().to_owned()),
            }
        }
    };
    let input = async {
        send_input(from_client, &to_host).await;
        // What the pod still has to say is waited for.
        std::future::pending().await
    };
    tokio::select! {
        result = output => result,
        () = input => Ok(()),
    }
}
