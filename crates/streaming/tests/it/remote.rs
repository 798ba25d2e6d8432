use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use streaming::client::{ClientError, remote_command_over};
use streaming::server::remote_command;
use streaming::{Outcome, RemoteCommandOptions, ServerSession, TerminalSize};
use tokio_tungstenite::tungstenite::Message;

use crate::{serve, websocket};

const ALL: RemoteCommandOptions = RemoteCommandOptions { stdin: true, stdout: true, stderr: true, tty: false };

/// A command that copies its input to its output, prints terminal sizes on it, and ends with 3 at the end of input.
async fn command(mut session: ServerSession) {
    session.stderr.send(Bytes::from_static(b"warning")).await.unwrap();
    loop {
        tokio::select! {
            piece = session.stdin.recv() => match piece {
                Some(piece) => session.stdout.send(piece).await.unwrap(),
                None => break,
            },
            Some(TerminalSize { width, height }) = session.resize.recv() => {
                session.stdout.send(format!("{width}x{height}").into()).await.unwrap();
            }
        }
    }
    session.finish(Outcome::Exited(3)).await;
}

fn handler(options: RemoteCommandOptions) -> impl Fn(Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync + Clone {
    move |mut request| match remote_command(&mut request, options) {
        Ok((response, pending)) => {
            tokio::spawn(async move { command(pending.accept().await.unwrap()).await });
            response.map(|()| Full::default())
        }
        Err(error) => {
            let mut response = Response::new(Full::from(error.message));
            *response.status_mut() = error.status;
            response
        }
    }
}

async fn read_all(from: &mut tokio::sync::mpsc::Receiver<Bytes>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(piece) = from.recv().await {
        all.extend_from_slice(&piece);
    }
    all
}

#[tokio::test]
async fn spdy_client_and_server_agree() {
    let io = serve(handler(ALL));
    let mut session = remote_command_over(io, &Uri::from_static("http://host/exec/token"), ALL).await.unwrap();
    let payload: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    let (stdin, sent) = (session.stdin.take().unwrap(), Bytes::from(payload.clone()));
    tokio::spawn(async move {
        for piece in sent.chunks(10_000) {
            stdin.send(Bytes::copy_from_slice(piece)).await.unwrap();
        }
    });
    assert!(read_all(&mut session.stdout).await == payload);
    assert_eq!(read_all(&mut session.stderr).await, b"warning");
    assert_eq!(session.outcome().await, Outcome::Exited(3));
    session.closed.cancelled().await;
}

#[tokio::test]
async fn spdy_terminal_has_sizes_and_no_stderr() {
    let options = RemoteCommandOptions { tty: true, stderr: false, ..ALL };
    let io = serve(handler(options));
    let mut session = remote_command_over(io, &Uri::from_static("http://host/exec/token"), options).await.unwrap();
    session.resize.as_ref().unwrap().send(TerminalSize { width: 80, height: 24 }).await.unwrap();
    assert_eq!(session.stdout.recv().await.unwrap(), "80x24");
    drop(session.stdin.take());
    assert!(read_all(&mut session.stdout).await.is_empty());
    assert_eq!(session.outcome().await, Outcome::Exited(3));
}

#[tokio::test]
async fn refusals_carry_the_servers_text() {
    let io = serve(|_| {
        let mut response = Response::new(Full::from("no such token\n"));
        *response.status_mut() = http::StatusCode::NOT_FOUND;
        response
    });
    let error = remote_command_over(io, &Uri::from_static("http://host/x"), ALL).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { status, text } if status == 404 && text == "no such token"));
}

#[tokio::test]
async fn hanging_up_is_noticed() {
    let (told, heard) = tokio::sync::oneshot::channel();
    let told = std::sync::Arc::new(std::sync::Mutex::new(Some(told)));
    let io = serve(move |mut request| {
        let (response, pending) = remote_command(&mut request, ALL).unwrap();
        let told = told.lock().unwrap().take();
        tokio::spawn(async move {
            let session = pending.accept().await.unwrap();
            session.closed.cancelled().await;
            let _ = told.unwrap().send(());
        });
        response.map(|()| Full::default())
    });
    let session = remote_command_over(io, &Uri::from_static("http://host/x"), ALL).await.unwrap();
    session.closed.cancel();
    heard.await.unwrap();
}

/// Sends "hi", ends the input as the protocol allows, and gives what came on channels 1 to 3.
async fn over_websocket(protocols: &str) -> (String, [Vec<u8>; 3]) {
    let (mut socket, chosen) = websocket(serve(handler(ALL)), protocols).await.unwrap();
    socket.send(Message::Binary(Bytes::from_static(b"\x00hi"))).await.unwrap();
    socket.send(Message::Binary(Bytes::from_static(b"\x04{\"Width\":5,\"Height\":6}"))).await.unwrap();
    let mut channels: [Vec<u8>; 3] = Default::default();
    let mut ended = false;
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Binary(data) = message {
            channels[usize::from(data[0]) - 1].extend_from_slice(&data[1..]);
        }
        let complete = channels[0].len() == 5;
        if complete && !ended && chosen.starts_with("v5") {
            ended = true;
            socket.send(Message::Binary(Bytes::from_static(b"\xff\x00"))).await.unwrap();
        } else if complete && !chosen.starts_with("v5") {
            break;
        }
    }
    (chosen, channels)
}

#[tokio::test]
async fn websocket_v5_can_end_its_input() {
    let (chosen, [stdout, stderr, status]) = over_websocket("v5.channel.k8s.io, v4.channel.k8s.io").await;
    assert_eq!(chosen, "v5.channel.k8s.io");
    assert!(stdout == b"hi5x6" || stdout == b"5x6hi");
    assert_eq!(stderr, b"warning");
    assert_eq!(Outcome::from_status(&status), Outcome::Exited(3));
}

#[tokio::test]
async fn websocket_v4_works() {
    let (chosen, [stdout, ..]) = over_websocket("v4.channel.k8s.io").await;
    assert_eq!(chosen, "v4.channel.k8s.io");
    assert_eq!(stdout.len(), 5);
}

#[tokio::test]
async fn unknown_protocols_are_refused() {
    let error = websocket(serve(handler(ALL)), "v9.channel.k8s.io").await.unwrap_err();
    assert!(error.contains("403"), "{error}");
}
