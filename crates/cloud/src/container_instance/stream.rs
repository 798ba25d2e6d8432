//! Reaching into running containers: logs and exec, over the fleet's streams.

use super::{Container, Instance, pod::container_name};
use crate::{
    Cloud, Error,
    error::{invalid, not_found},
    rest::Params,
};
use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use fleet::Fleet;
use futures::StreamExt;
use http::{HeaderValue, StatusCode, header};
use problem::oci;
use proto::fleet::{Exec, Logs, Resize, StreamFrame, StreamOpen, stream_frame::Frame, stream_open::Kind};
use std::{pin::Pin, sync::Arc};
use streaming::{Outcome, RemoteCommandOptions, ServerSession, server};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Source: the SDK's documentation of RetrieveLogs: "the most recent 256 KB of logs".
const LAST_BYTES: usize = 256 << 10;
/// Lines among which those bytes are: even short ones fill them.
const LAST_LINES: i64 = 64 << 10;
/// Frames under way to a host.
const FRAMES: usize = 16;

type Answer = Pin<Box<dyn futures::Stream<Item = StreamFrame> + Send>>;

/// Both directions of a stream into a container. Dropped, it tells the host that nobody listens.
struct Wire {
    to_host: mpsc::Sender<StreamFrame>,
    from_host: Answer,
}

async fn open(fleet: &Fleet, uid: String, kind: Kind) -> Result<Wire, String> {
    let (to_host, frames) = mpsc::channel(FRAMES);
    let request_id = runtime::request::current().map(|id| id.as_str().to_owned()).unwrap_or_default();
    let open = StreamOpen { uid, kind: Some(kind), request_id, ..StreamOpen::default() };
    let answer = fleet.open_stream(open, ReceiverStream::new(frames)).await;
    let from_host = answer.map_err(|status| status.message().to_owned())?;
    Ok(Wire { to_host, from_host: Box::pin(from_host) })
}

/// The placement in which a container runs or ran.
fn uid(instance: &Instance) -> Result<String, Error> {
    let placed = instance.placed.as_ref().filter(|placed| placed.seen).map(|placed| placed.uid.clone());
    placed.ok_or_else(|| {
        let message = format!("the container instance is {}: no host has anything of its containers", instance.state);
        oci::Error::incorrect_state(message).into()
    })
}

fn refused(reason: &str, message: &str) -> Error {
    match reason {
        "NotFound" => not_found("log", message),
        "BadRequest" => oci::Error::incorrect_state(message).into(),
        _ => Error::Outside(message.to_owned()),
    }
}

/// A log's pieces, after the first of them; its refusal if there is none.
async fn begin(cloud: &Cloud, uid: String, logs: Logs) -> Result<(Wire, Bytes), Error> {
    let opened = open(&cloud.hosts.fleet, uid, Kind::Logs(logs)).await;
    let mut wire = opened.map_err(|text| refused("", &text))?;
    loop {
        match wire.from_host.next().await.and_then(|frame| frame.frame) {
            Some(Frame::Stdout(piece) | Frame::Stderr(piece)) => return Ok((wire, piece)),
            Some(Frame::End(end)) if !end.error.is_empty() => return Err(refused(&end.reason, &end.error)),
            Some(Frame::End(_)) | None => {
                let ended = Box::pin(futures::stream::empty());
                return Ok((Wire { from_host: ended, ..wire }, Bytes::new()));
            }
            Some(_) => {}
        }
    }
}

/// The next piece of a log, or why it breaks off; `None` at its end.
async fn next_piece(wire: &mut Wire) -> Option<Result<Bytes, std::io::Error>> {
    loop {
        match wire.from_host.next().await?.frame? {
            Frame::Stdout(piece) | Frame::Stderr(piece) => return Some(Ok(piece)),
            Frame::End(end) if end.error.is_empty() => return None,
            Frame::End(end) => return Some(Err(std::io::Error::other(end.error))),
            _ => {}
        }
    }
}

/// The end of a container's log.
pub(super) async fn last_logs(
    cloud: &Cloud,
    instance: &Instance,
    container: &Container,
    previous: bool,
) -> Result<Response, Error> {
    let logs =
        Logs { container: container_name(container).to_owned(), previous, tail_lines: LAST_LINES, ..Logs::default() };
    let (mut wire, first) = begin(cloud, uid(instance)?, logs).await?;
    let mut last = BytesMut::from(first);
    while let Some(piece) = next_piece(&mut wire).await {
        last.extend_from_slice(&piece.map_err(|error| refused("", &error.to_string()))?);
        // Not at every piece: what is kept is moved.
        if last.len() > 4 * LAST_BYTES {
            last = last.split_off(last.len() - LAST_BYTES);
        }
    }
    let cut = last.len().saturating_sub(LAST_BYTES);
    Ok(plain(Body::from(last.freeze().slice(cut..))))
}

/// A container's log as it grows.
pub(super) async fn follow_logs(
    cloud: &Cloud,
    instance: &Instance,
    container: &Container,
    params: &Params,
) -> Result<Response, Error> {
    let flag = |name: &str| params.get(name) == Some("true");
    let tail = match params.get("tail").map(str::parse::<i64>) {
        None => -1,
        Some(Ok(lines)) if lines >= 0 => lines,
        Some(_) => return Err(invalid("tail must be a number of lines")),
    };
    let logs = Logs {
        container: container_name(container).to_owned(),
        follow: flag("follow"),
        previous: flag("isPrevious"),
        timestamps: flag("timestamps"),
        tail_lines: tail,
        ..Logs::default()
    };
    let uid = uid(instance)?;
    // A log in which nothing is yet must not keep the caller without an answer.
    let opened = open(&cloud.hosts.fleet, uid, Kind::Logs(logs)).await;
    let wire = opened.map_err(|text| refused("", &text))?;
    let pieces = futures::stream::unfold(wire, async |mut wire| {
        let piece = next_piece(&mut wire).await?;
        if piece.is_err() {
            // Nothing comes after it.
            wire.from_host = Box::pin(futures::stream::empty());
        }
        Some((piece, wire))
    });
    Ok(plain(Body::from_stream(pieces)))
}

fn plain(body: Body) -> Response {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    (StatusCode::OK, [(header::CONTENT_TYPE, kind)], body).into_response()
}

/// Agrees to run a command in a container; the caller's WebSocket carries its input and output.
pub(super) fn exec(
    cloud: &Arc<Cloud>,
    instance: &Instance,
    container: &Container,
    params: &Params,
    mut request: Request,
) -> Result<Response, Error> {
    let command: Vec<String> = params.all("command").map(str::to_owned).collect();
    if command.is_empty() {
        return Err(oci::Error::missing_parameter("query parameter command is required").into());
    }
    let [stdin, stdout, stderr, tty] =
        ["stdin", "stdout", "stderr", "tty"].map(|name| params.get(name) == Some("true"));
    let options = RemoteCommandOptions { stdin, stdout, stderr, tty };
    let kind =
        Kind::Exec(Exec { container: container_name(container).to_owned(), command, stdin, stdout, stderr, tty });
    let uid = uid(instance)?;
    let (answer, pending) =
        server::remote_command(&mut request, options).map_err(|error| invalid(error.message.clone()))?;
    let cloud = Arc::clone(cloud);
    tokio::spawn(runtime::request::carry(async move {
        let session = match pending.accept().await {
            Ok(session) => session,
            Err(error) => return tracing::debug!(%error, "a caller of exec went away: {error}"),
        };
        match open(&cloud.hosts.fleet, uid, kind).await {
            Ok(wire) => join(session, wire).await,
            Err(text) => session.finish(Outcome::internal(text)).await,
        }
    }));
    Ok(answer.map(|()| Body::empty()))
}

/// Passes everything both ways until the command ends or its caller hangs up.
async fn join(mut session: ServerSession, wire: Wire) {
    let Wire { to_host, from_host } = wire;
    let (_, no_input) = mpsc::channel(1);
    let (_, no_sizes) = mpsc::channel(1);
    let mut stdin = std::mem::replace(&mut session.stdin, no_input);
    let mut sizes = std::mem::replace(&mut session.resize, no_sizes);
    let send = async |frame: Frame| to_host.send(StreamFrame { frame: Some(frame) }).await.is_ok();
    let input = async {
        let pieces = async {
            while let Some(piece) = stdin.recv().await {
                if !send(Frame::Stdin(piece)).await {
                    return;
                }
            }
            send(Frame::StdinClosed(true)).await;
        };
        let sizes = async {
            while let Some(size) = sizes.recv().await {
                let size = Resize { width: size.width.into(), height: size.height.into() };
                if !send(Frame::Resize(size)).await {
                    return;
                }
            }
        };
        tokio::join!(pieces, sizes);
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

async fn pass_output(mut from_host: Answer, stdout: mpsc::Sender<Bytes>, stderr: mpsc::Sender<Bytes>) -> Outcome {
    while let Some(frame) = from_host.next().await {
        match frame.frame {
            Some(Frame::Stdout(piece)) => _ = stdout.send(piece).await,
            Some(Frame::Stderr(piece)) => _ = stderr.send(piece).await,
            Some(Frame::End(end)) if end.error.is_empty() => return Outcome::Exited(end.exit_code),
            Some(Frame::End(end)) => return Outcome::Failed { reason: end.reason, message: end.error },
            _ => {}
        }
    }
    Outcome::internal("the stream to the host broke before the command ended")
}
