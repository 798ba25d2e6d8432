//! Exec and attach: `remotecommand` over SPDY (v1 to v4) and WebSocket (v4, v5).

mod socket;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role as SocketRole;

use super::tunnel;
use super::upgrade::{self, UpgradeError, Wanted};
use crate::session::{Ends, SizeReader, server_session};
use crate::spdy::{Connection, Incoming, Role, Stream, StreamReader, StreamWriter};
use crate::{RemoteCommandOptions, ServerSession, TerminalSize};

/// Subprotocols over SPDY, the preferred one first.
const SPDY_PROTOCOLS: [&str; 4] = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
/// Subprotocols over WebSocket, the preferred one first.
const SOCKET_PROTOCOLS: [&str; 3] = ["v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io"];
/// Time that a client has to open its streams. Source: kubelet's `streamCreationTimeout`.
const STREAMS: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Spdy(u8),
    Socket(u8),
}

/// A session whose answer is to be sent before its streams can come.
#[derive(Debug)]
pub struct PendingSession {
    upgrade: OnUpgrade,
    wire: Wire,
    options: RemoteCommandOptions,
}

/// Agrees to an upgrade for exec or attach: send the response, then call [`PendingSession::accept`] in a task.
///
/// # Errors
/// If the request is no upgrade, or offers no protocol that is known here.
pub fn remote_command<B>(
    request: &mut Request<B>,
    options: RemoteCommandOptions,
) -> Result<(http::Response<()>, PendingSession), UpgradeError> {
    let (response, wire) = match upgrade::wanted(request.headers())? {
        Wanted::Spdy { offered } if offered.is_empty() => (upgrade::switching_to_spdy(""), Wire::Spdy(1)),
        Wanted::Spdy { offered } => {
            let protocol = upgrade::choose(&offered, &SPDY_PROTOCOLS)
                .ok_or_else(|| UpgradeError::no_protocol(&offered, &SPDY_PROTOCOLS))?;
            (upgrade::switching_to_spdy(protocol), Wire::Spdy(version(protocol)))
        }
        Wanted::WebSocket { key, offered } => {
            let protocol = if offered.is_empty() { Some("") } else { upgrade::choose(&offered, &SOCKET_PROTOCOLS) };
            let protocol = protocol.ok_or_else(|| UpgradeError::no_protocol(&offered, &SOCKET_PROTOCOLS))?;
            (upgrade::switching_to_websocket(&key, protocol), Wire::Socket(version(protocol)))
        }
    };
    Ok((response, PendingSession { upgrade: hyper::upgrade::on(request), wire, options }))
}

/// `v4.channel.k8s.io` → 4; without a number 1.
fn version(protocol: &str) -> u8 {
    let number = protocol.strip_prefix('v').and_then(|rest| rest.split('.').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(1)
}

impl PendingSession {
    /// Waits for the upgrade and for the client's streams.
    ///
    /// # Errors
    /// If the client goes away or does not open its streams in time.
    pub async fn accept(self) -> io::Result<ServerSession> {
        let io = TokioIo::new(self.upgrade.await.map_err(io::Error::other)?);
        match self.wire {
            Wire::Spdy(version) => serve_spdy(io, version, self.options).await,
            Wire::Socket(version) => {
                let config = Some(tunnel::limits());
                let socket = WebSocketStream::from_raw_socket(io, SocketRole::Server, config).await;
                Ok(socket::serve(socket, version, self.options))
            }
        }
    }
}

#[derive(Debug, Default)]
struct Streams {
    error: Option<Stream>,
    stdin: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    resize: Option<Stream>,
}

impl Streams {
    async fn wait(incoming: &mut Incoming, version: u8, options: RemoteCommandOptions) -> io::Result<Self> {
        let resizes = options.tty && version >= 3;
        let asked = [true, options.stdin, options.stdout, options.stderr && !options.tty, resizes];
        let mut missing = asked.into_iter().filter(|asked| *asked).count();
        let mut streams = Self::default();
        while missing > 0 {
            let stream = incoming.recv().await.ok_or(io::ErrorKind::ConnectionReset)?;
            let slot = match stream.headers.get("streamType") {
                Some("error") => &mut streams.error,
                Some("stdin") => &mut streams.stdin,
                Some("stdout") => &mut streams.stdout,
                Some("stderr") => &mut streams.stderr,
                Some("resize") => &mut streams.resize,
                // Dropping the stream resets it.
                _ => continue,
            };
            if slot.is_none() {
                *slot = Some(stream);
                missing -= 1;
            }
        }
        Ok(streams)
    }
}

async fn serve_spdy<T>(io: T, version: u8, options: RemoteCommandOptions) -> io::Result<ServerSession>
where
    T: AsyncRead + AsyncWrite + Send + 'static,
{
    let (connection, mut incoming) = Connection::start(io, Role::Server);
    let streams = tokio::time::timeout(STREAMS, Streams::wait(&mut incoming, version, options)).await;
    let streams = streams.map_err(|_| io::Error::other("timed out waiting for client to create streams"))??;
    let (session, ends) = server_session(connection.closed());
    tokio::spawn(pump(connection, incoming, streams, ends, version));
    Ok(session)
}

/// Copies between streams and channels until the outcome is told.
///
/// Invariant: the halves by which this end could write on stdin and resize stay open to the end: clients take the end
/// of stdin's other half as the sign to stop sending.
async fn pump(connection: Connection, incoming: Incoming, streams: Streams, ends: Ends, version: u8) {
    let Streams { error, stdin, stdout, stderr, resize } = streams;
    let stdin = stdin.map(|stream| {
        tokio::spawn(read_stdin(stream.reader, ends.stdin));
        stream.writer
    });
    let resize = resize.map(|stream| {
        tokio::spawn(read_sizes(stream.reader, ends.resize));
        stream.writer
    });
    let stdout = copy_out(ends.stdout, stdout.map(|stream| stream.writer));
    let stderr = copy_out(ends.stderr, stderr.map(|stream| stream.writer));
    let outcome = tokio::select! {
        (_, _, outcome) = async { tokio::join!(stdout, stderr, ends.outcome) } => outcome,
        () = ends.closed.cancelled() => return,
    };
    let outcome = outcome.unwrap_or_else(|_| crate::Outcome::internal("the server gave the session up"));
    if let Some(error) = error {
        let _ = error.writer.write(Bytes::from(outcome.encode(version))).await;
        error.writer.finish().await;
    }
    for writer in [stdin, resize].into_iter().flatten() {
        writer.finish().await;
    }
    connection.close().await;
    drop(incoming);
    let _ = ends.done.send(());
}

async fn read_stdin(mut reader: StreamReader, to: mpsc::Sender<Bytes>) {
    while let Some(piece) = reader.read().await {
        if to.send(piece).await.is_err() {
            return;
        }
    }
}

async fn read_sizes(mut reader: StreamReader, to: mpsc::Sender<TerminalSize>) {
    let mut sizes = SizeReader::default();
    while let Some(piece) = reader.read().await {
        for size in sizes.push(&piece) {
            if to.send(size).await.is_err() {
                return;
            }
        }
    }
}

/// Copies until the senders are gone; without a stream or after it broke, discards.
async fn copy_out(mut from: mpsc::Receiver<Bytes>, to: Option<StreamWriter>) {
    let mut broken = false;
    while let Some(piece) = from.recv().await {
        if let Some(to) = &to
            && !broken
        {
            broken = to.write(piece).await.is_err();
        }
    }
    if let Some(to) = to {
        to.finish().await;
    }
}
