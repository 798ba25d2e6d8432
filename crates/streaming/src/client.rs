//! The calling end: remote commands over SPDY, as CRI streaming servers and kubelets serve them.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, UPGRADE};
use http::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::session::PIECES;
use crate::spdy::{Connection, Headers, Role, Stream, StreamReader, StreamWriter};
use crate::{Outcome, RemoteCommandOptions, Session, TerminalSize};

const PROTOCOL: &str = "v4.channel.k8s.io";
const STREAM_PROTOCOL: &str = "x-stream-protocol-version";
/// Time that a server has to take the connection, the request and each stream.
const ANSWER: Duration = Duration::from_secs(30);
/// Longest answer of the error stream that is read.
const MAX_STATUS: usize = 64 * 1024;

/// Why a remote command could not begin.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address can't be used.
    #[error("{0} is no http address")]
    Address(String),
    /// The connection could not be made or broke.
    #[error("could not reach the streaming server")]
    Io(#[source] io::Error),
    /// The server answered, but does not upgrade.
    #[error("the streaming server answered {status}: {text}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Start of its text.
        text: String,
    },
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<hyper::Error> for ClientError {
    fn from(error: hyper::Error) -> Self {
        Self::Io(io::Error::other(error))
    }
}

/// Begins a remote command at `url`, which a CRI `Exec` or `Attach` answered. `options` must be those of that call.
///
/// # Errors
/// If the server can't be reached or refuses.
pub async fn remote_command(url: &str, options: RemoteCommandOptions) -> Result<Session, ClientError> {
    let no_address = || ClientError::Address(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| no_address())?;
    let host = uri.host().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(no_address)?;
    let connect = TcpStream::connect((host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80)));
    let io = timely(connect).await??;
    io.set_nodelay(true)?;
    remote_command_over(io, &uri, options).await
}

/// The same over a connection that stands already.
///
/// # Errors
/// If the server refuses or the connection breaks.
pub async fn remote_command_over<T>(io: T, uri: &Uri, options: RemoteCommandOptions) -> Result<Session, ClientError>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let upgraded = timely(upgrade(io, uri)).await??;
    let (connection, _) = Connection::start(TokioIo::new(upgraded), Role::Client);
    let open = |kind: &'static str, wanted: bool| {
        let connection = connection.clone();
        async move {
            match wanted {
                true => timely(connection.open(Headers::new().with("streamType", kind))).await?.map(Some),
                false => Ok(None),
            }
        }
    };
    // The error stream comes first, as with kubectl.
    let error = open("error", true).await?.expect("it was wanted");
    let stdin = open("stdin", options.stdin).await?;
    let stdout = open("stdout", options.stdout).await?;
    let stderr = open("stderr", options.stderr && !options.tty).await?;
    let resize = open("resize", options.tty).await?;
    Ok(session(connection, error, [stdin, stdout, stderr, resize]))
}

async fn timely<F: Future>(work: F) -> io::Result<F::Output> {
    tokio::time::timeout(ANSWER, work).await.map_err(|_| io::ErrorKind::TimedOut.into())
}

async fn upgrade<T>(io: T, uri: &Uri) -> Result<hyper::upgrade::Upgraded, ClientError>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await?;
    tokio::spawn(connection.with_upgrades());
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let request = Request::builder()
        .method(Method::POST)
        .uri(target)
        .header(HOST, uri.authority().map_or("localhost", |authority| authority.as_str()))
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "SPDY/3.1")
        .header(STREAM_PROTOCOL, PROTOCOL)
        .header(CONTENT_LENGTH, 0)
        .body(String::new())
        .map_err(|_| ClientError::Address(uri.to_string()))?;
    let mut response = sender.send_request(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(hyper::upgrade::on(&mut response).await?);
    }
    let status = response.status();
    let mut text = Vec::new();
    let mut body = response.into_body();
    while let Some(Ok(frame)) = next_frame(&mut body).await {
        text.extend_from_slice(&frame);
        if text.len() > 1024 {
            text.truncate(1024);
            break;
        }
    }
    Err(ClientError::Refused { status, text: String::from_utf8_lossy(&text).trim().to_owned() })
}

async fn next_frame(body: &mut hyper::body::Incoming) -> Option<Result<Bytes, hyper::Error>> {
    use hyper::body::Body;
    use std::pin::Pin;
    let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
}

fn session(connection: Connection, error: Stream, streams: [Option<Stream>; 4]) -> Session {
    let [stdin, stdout, stderr, resize] = streams;
    let closed = connection.closed();
    let stdin = stdin.map(|stream| {
        let (to, from) = mpsc::channel(PIECES);
        tokio::spawn(send_stdin(from, stream));
        to
    });
    let resize = resize.map(|stream| {
        let (to, from) = mpsc::channel(PIECES);
        tokio::spawn(send_sizes(from, stream));
        to
    });
    let (stdout, stdout_task) = receive(stdout);
    let (stderr, stderr_task) = receive(stderr);
    let (told, outcome) = oneshot::channel();
    tokio::spawn(async move {
        let mut error = error;
        let status = error.reader.read_to_end(MAX_STATUS).await;
        // Output that came before the status is given on before the outcome is.
        let (out, err) = tokio::join!(stdout_task, stderr_task);
        let _ = told.send(Outcome::from_status(&status));
        // Not before the status was read: the server may have hung up by then, and to answer that loses what it said.
        for writer in [out, err].into_iter().flat_map(Result::ok).flatten().chain([error.writer]) {
            writer.finish().await;
        }
        connection.close().await;
    });
    Session { stdin, resize, stdout, stderr, outcome, closed }
}

async fn send_stdin(mut from: mpsc::Receiver<Bytes>, stream: Stream) {
    let Stream { mut reader, writer, .. } = stream;
    let sending = async {
        while let Some(piece) = from.recv().await {
            if writer.write(piece).await.is_err() {
                return;
            }
        }
    };
    // The server ends its half of stdin when the command is over.
    tokio::select! {
        () = sending => {}
        _ = reader.read() => {}
    }
    writer.finish().await;
}

async fn send_sizes(mut from: mpsc::Receiver<TerminalSize>, stream: Stream) {
    let writer: StreamWriter = stream.writer;
    while let Some(size) = from.recv().await {
        let mut text = serde_json::to_vec(&size).expect("two numbers are JSON");
        text.push(b'\n');
        if writer.write(text.into()).await.is_err() {
            break;
        }
    }
    writer.finish().await;
}

/// What the stream brings, and at its end its other half, to be finished.
fn receive(stream: Option<Stream>) -> (mpsc::Receiver<Bytes>, JoinHandle<Option<StreamWriter>>) {
    let (to, from) = mpsc::channel(PIECES);
    let task = tokio::spawn(async move {
        let Stream { mut reader, writer, .. } = stream?;
        copy(&mut reader, to).await;
        Some(writer)
    });
    (from, task)
}

async fn copy(reader: &mut StreamReader, to: mpsc::Sender<Bytes>) {
    while let Some(piece) = reader.read().await {
        if to.send(piece).await.is_err() {
            // Nobody listens: what still comes is dropped, so that the command is not held up.
            while reader.read().await.is_some() {}
        }
    }
}
