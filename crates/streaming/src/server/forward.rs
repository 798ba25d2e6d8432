//! Port-forward: pairs of SPDY streams, directly or inside a WebSocket.

use std::collections::HashMap;
use std::io;

use bytes::Bytes;
use http::Request;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role as SocketRole;
use tokio_util::sync::CancellationToken;

use super::tunnel;
use super::upgrade::{self, UpgradeError, Wanted};
use crate::session::PIECES;
use crate::spdy::{Connection, Incoming, Role, Stream};

const PROTOCOL: &str = "portforward.k8s.io";
const TUNNELLED: &str = "SPDY/3.1+portforward.k8s.io";
/// Forwards that wait for their second stream.
const MAX_HALVES: usize = 256;

/// Forwards whose answer is to be sent before their streams can come.
#[derive(Debug)]
pub struct PendingForwards {
    upgrade: OnUpgrade,
    tunnelled: bool,
}

/// The connections that a client makes to its local ports.
#[derive(Debug)]
pub struct Forwards {
    forwards: mpsc::Receiver<Forward>,
    /// Cancelled when the client is gone.
    pub closed: CancellationToken,
}

/// One connection of the client's, to be forwarded to `port` of the pod.
#[derive(Debug)]
pub struct Forward {
    /// The pod's port.
    pub port: u16,
    /// What the client sends; `None` at the end.
    pub from_client: mpsc::Receiver<Bytes>,
    /// Takes what the pod sends; drop it at the end.
    pub to_client: mpsc::Sender<Bytes>,
    failed: oneshot::Sender<String>,
}

impl Forward {
    /// Tells the client why the connection could not be made or broke.
    pub fn fail(self, message: impl Into<String>) {
        let _ = self.failed.send(message.into());
    }

    /// Splits it into the client's bytes, the way back, and the way to fail; drop that to end well.
    pub fn split(self) -> (mpsc::Receiver<Bytes>, mpsc::Sender<Bytes>, oneshot::Sender<String>) {
        (self.from_client, self.to_client, self.failed)
    }
}

impl Forwards {
    /// The next connection; `None` when the client has hung up.
    pub async fn next(&mut self) -> Option<Forward> {
        self.forwards.recv().await
    }
}

/// Agrees to an upgrade for port-forward: send the response, then call [`PendingForwards::accept`] in a task.
///
/// # Errors
/// If the request is no upgrade, or offers no protocol that is known here.
pub fn port_forward<B>(request: &mut Request<B>) -> Result<(http::Response<()>, PendingForwards), UpgradeError> {
    let (response, tunnelled) = match upgrade::wanted(request.headers())? {
        Wanted::Spdy { offered } => {
            let known = offered.is_empty() || offered.iter().any(|offered| offered == PROTOCOL);
            if !known {
                return Err(UpgradeError::no_protocol(&offered, &[PROTOCOL]));
            }
            (upgrade::switching_to_spdy(PROTOCOL), false)
        }
        Wanted::WebSocket { key, offered } => {
            let protocol = upgrade::choose(&offered, &[TUNNELLED])
                .ok_or_else(|| UpgradeError::no_protocol(&offered, &[TUNNELLED]))?;
            (upgrade::switching_to_websocket(&key, protocol), true)
        }
    };
    Ok((response, PendingForwards { upgrade: hyper::upgrade::on(request), tunnelled }))
}

impl PendingForwards {
    /// Waits for the upgrade.
    ///
    /// # Errors
    /// If the client goes away.
    pub async fn accept(self) -> io::Result<Forwards> {
        let io = TokioIo::new(self.upgrade.await.map_err(io::Error::other)?);
        let (connection, incoming) = if self.tunnelled {
            let config = Some(tunnel::limits());
            let socket = WebSocketStream::from_raw_socket(io, SocketRole::Server, config).await;
            Connection::start(tunnel::untunnel(socket), Role::Server)
        } else {
            Connection::start(io, Role::Server)
        };
        let closed = connection.closed();
        let (to, forwards) = mpsc::channel(PIECES);
        tokio::spawn(pair(connection, incoming, to));
        Ok(Forwards { forwards, closed })
    }
}

#[derive(Debug, Default)]
struct Halves {
    error: Option<Stream>,
    data: Option<Stream>,
}

/// Pairs error and data streams by their request id.
async fn pair(connection: Connection, mut incoming: Incoming, to: mpsc::Sender<Forward>) {
    let mut waiting: HashMap<String, Halves> = HashMap::new();
    while let Some(stream) = incoming.recv().await {
        let kind = stream.headers.get("streamType").unwrap_or_default().to_owned();
        let request = match stream.headers.get("requestID") {
            Some(id) if !id.is_empty() => id.to_owned(),
            // Old clients open the error stream first and the data stream right after it.
            _ => (if kind == "error" { stream.id } else { stream.id.saturating_sub(2) }).to_string(),
        };
        if waiting.len() >= MAX_HALVES && !waiting.contains_key(&request) {
            continue;
        }
        let halves = waiting.entry(request.clone()).or_default();
        match kind.as_str() {
            "error" => halves.error = Some(stream),
            "data" => halves.data = Some(stream),
            _ => continue,
        }
        if halves.error.is_none() || halves.data.is_none() {
            continue;
        }
        let Some(Halves { error: Some(error), data: Some(data) }) = waiting.remove(&request) else { continue };
        let Some(forward) = begin(error, data).await else { continue };
        if to.send(forward).await.is_err() {
            break;
        }
    }
    connection.close().await;
}

async fn begin(error: Stream, data: Stream) -> Option<Forward> {
    let text = data.headers.get("port").unwrap_or_default().to_owned();
    let Some(port) = text.parse::<u16>().ok().filter(|port| *port != 0) else {
        let message = format!("unable to parse port {text:?}");
        let _ = error.writer.write(Bytes::from(message)).await;
        error.writer.finish().await;
        data.writer.finish().await;
        return None;
    };
    let (client, from_client) = mpsc::channel(PIECES);
    let (to_client, mut pod) = mpsc::channel::<Bytes>(PIECES);
    let (failed, failure) = oneshot::channel::<String>();
    let (mut reader, writer) = (data.reader, data.writer);
    let input = tokio::spawn(async move {
        while let Some(piece) = reader.read().await {
            if client.send(piece).await.is_err() {
                break;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(piece) = pod.recv().await {
            if writer.write(piece).await.is_err() {
                break;
            }
        }
        if let Ok(message) = failure.await {
            let _ = error.writer.write(Bytes::from(message)).await;
        }
        error.writer.finish().await;
        writer.finish().await;
        input.abort();
    });
    Some(Forward { port, from_client, to_client, failed })
}
