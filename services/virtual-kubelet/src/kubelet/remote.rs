//! Exec and attach: what a client speaks on one side, the fleet's frames on the other.

use super::{ContainerPath, Kubelet, Wire, flag, send, send_input};
use axum::{
    extract::{Path, Query, Request, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use proto::fleet::{Attach, Exec, Resize, StreamFrame, stream_frame::Frame, stream_open::Kind};
use std::{collections::HashMap, sync::Arc};
use streaming::{Outcome, RemoteCommandOptions, ServerSession, TerminalSize, server};
use tokio::sync::mpsc;
use tonic::Streaming;

pub(super) async fn exec(
    State(kubelet): State<Arc<Kubelet>>,
    Path((namespace, pod, container)): ContainerPath,
    Query(words): Query<Vec<(String, String)>>,
    request: Request,
) -> Response {
    let command = words.iter().filter(|(key, _)| key == "command").map(|(_, word)| word.clone()).collect();
    let options = options(&words.into_iter().collect());
    let RemoteCommandOptions { stdin, stdout, stderr, tty } = options;
    let kind = Kind::Exec(Exec { container, command, stdin, stdout, stderr, tty });
    serve(kubelet, &namespace, &pod, kind, options, request)
}

pub(super) async fn attach(
    State(kubelet): State<Arc<Kubelet>>,
    Path((namespace, pod, container)): ContainerPath,
    Query(query): Query<HashMap<String, String>>,
    request: Request,
) -> Response {
    let options = options(&query);
    let RemoteCommandOptions { stdin, stdout, stderr, tty } = options;
    let kind = Kind::Attach(Attach { container, stdin, stdout, stderr, tty });
    serve(kubelet, &namespace, &pod, kind, options, request)
}

/// Which streams there are, in the kubelet's words.
fn options(query: &HashMap<String, String>) -> RemoteCommandOptions {
    let [stdin, stdout, stderr, tty] = ["input", "output", "error", "tty"].map(|name| flag(query, name));
    RemoteCommandOptions { stdin, stdout, stderr, tty }
}

fn serve(
    kubelet: Arc<Kubelet>,
    namespace: &str,
    pod: &str,
    kind: Kind,
    options: RemoteCommandOptions,
    mut request: Request,
) -> Response {
    let uid = match kubelet.uid(namespace, pod) {
        Ok(uid) => uid,
        Err(response) => return response,
    };
    let (answer, pending) = match server::remote_command(&mut request, options) {
        Ok(agreed) => agreed,
        Err(error) => return (error.status, error.message).into_response(),
    };
    tokio::spawn(runtime::request::carry(async move {
        let session = match pending.accept().await {
            Ok(session) => session,
            Err(error) => return tracing::debug!(%error, "a caller of exec or attach went away: {error}"),
        };
        match kubelet.open(uid, kind).await {
            Ok(wire) => join(session, wire).await,
            Err(status) => session.finish(Outcome::internal(status.message())).await,
        }
    }));
    answer.map(|()| axum::body::Body::empty())
}

/// Passes everything both ways until the command ends or its caller hangs up.
async fn join(mut session: ServerSession, wire: Wire) {
    let Wire { to_host, from_host } = wire;
    let (_, no_input) = mpsc::channel(1);
    let (_, no_sizes) = mpsc::channel(1);
    let stdin = std::mem::replace(&mut session.stdin, no_input);
    let sizes = std::mem::replace(&mut session.resize, no_sizes);
    let input = async {
        tokio::join!(send_input(stdin, &to_host), send_sizes(sizes, &to_host));
        // Without more input there may still be output.
        std::future::pending().await
    };
    let outcome = tokio::select! {
        outcome = pass_output(from_host, session.stdout.clone(), session.stderr.clone()) => outcome,
        () = input => return,
        // Dropping the wire tells the host.
        () = session.closed.cancelled() => return,
    };
    session.finish(outcome).await;
}

async fn pass_output(
    mut from_host: Streaming<StreamFrame>,
    stdout: mpsc::Sender<Bytes>,
    stderr: mpsc::Sender<Bytes>,
) -> Outcome {
    loop {
        match from_host.message().await {
            Ok(Some(StreamFrame { frame: Some(frame) })) => match frame {
                Frame::Stdout(piece) => _ = stdout.send(piece).await,
                Frame::Stderr(piece) => _ = stderr.send(piece).await,
                Frame::End(end) if end.error.is_empty() => return Outcome::Exited(end.exit_code),
                Frame::End(end) => return Outcome::Failed { reason: end.reason, message: end.error },
                _ => {}
            },
            Ok(Some(_)) => {}
            Ok(None) => return Outcome::internal("the stream to the host broke before the command ended"),
            Err(status) => return Outcome::internal(status.message()),
        }
    }
}

async fn send_sizes(mut from: mpsc::Receiver<TerminalSize>, to_host: &mpsc::Sender<StreamFrame>) {
    while let Some(size) = from.recv().await {
        let size = Resize { width: size.width.into(), height: size.height.into() };
        if !send(to_host, Frame::Resize(size)).await {
            return;
        }
    }
}
