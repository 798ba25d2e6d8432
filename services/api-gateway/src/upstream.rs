//! Connections to one service behind: a few HTTP/2 connections shared by all requests, and HTTP/1.1 ones for tunnels.

use anyhow::Context as _;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, Uri, uri::PathAndQuery};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use runtime::tls::Identity;
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(5);
/// Requests of one connection before another one is opened: one connection is one task, and so one core.
const SPREAD: usize = 16;
/// Connections over which requests are spread by load.
const SPREAD_CONNECTIONS: usize = 4;
/// Requests that one connection may carry; control allows 2000 streams each. Long watches fill them.
const FULL: usize = 1500;
/// Connections at most; 48,000 watches.
const MAX_CONNECTIONS: usize = 32;
/// Unread bytes of one answer and of a whole connection.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
/// Largest frame that is taken: a long list comes in a sixteenth of the default's pieces, each passed on at once.
const FRAME: u32 = 256 << 10;

/// Why a service behind could not be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    #[error("{name} at {address} cannot be reached: {reason}")]
    Connect { name: &'static str, address: String, reason: String },
    #[error("the request's body broke off or is too large")]
    Body,
    #[error("{name} did not answer: {reason}")]
    Answer { name: &'static str, reason: String },
}

/// One service behind.
pub(crate) struct Upstream {
    /// Name in its certificate.
    name: &'static str,
    /// `host:port`.
    address: String,
    server_name: ServerName<'static>,
    h2: TlsConnector,
    h1: TlsConnector,
    connections: Mutex<Vec<Connection>>,
    opening: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upstream({} at {})", self.name, self.address)
    }
}

#[derive(Clone)]
struct Connection {
    sender: http2::SendRequest<Body>,
    open: Arc<AtomicUsize>,
}

impl Upstream {
    /// A service behind that is not connected yet; `url` is `https://host:port`, `name` is in its certificate.
    ///
    /// # Errors
    /// If the certificates can't be read, or the URL is none.
    pub(crate) fn new(name: &'static str, url: &str, identity: &Identity) -> anyhow::Result<Arc<Self>> {
        let address = url.strip_prefix("https://").map(|rest| rest.trim_end_matches('/'));
        let address = address.filter(|address| address.contains(':') && !address.contains('/'));
        let address = address.with_context(|| format!("{name} must be https://host:port, not {url:?}"))?.to_owned();
        let with = |alpn: &[u8]| -> anyhow::Result<TlsConnector> {
            let mut config = ClientConfig::clone(&*identity.client()?);
            config.alpn_protocols = vec![alpn.to_vec()];
            Ok(TlsConnector::from(Arc::new(config)))
        };
        let (h2, h1) = (with(b"h2")?, with(b"http/1.1")?);
        let server_name = ServerName::try_from(name)?;
        let (connections, opening) = (Mutex::default(), tokio::sync::Mutex::default());
        Ok(Arc::new(Self { name, address, server_name, h2, h1, connections, opening }))
    }

    /// Sends a request whose URI has a path only, and gives the answer's head; the body streams.
    ///
    /// # Errors
    /// If the service cannot be reached or breaks off.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Result<Response<Counted>, UpstreamError> {
        self.address(&mut request)?;
        // A request that a dying connection did not take is given back: then it is safe to send it on another.
        for _ in 0..3 {
            let Connection { mut sender, open } = self.connection().await?;
            let guard = Guard::new(open);
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response.map(|inner| Counted { inner, _guard: guard })),
                Err(mut refused) => match refused.take_message() {
                    Some(again) => request = again,
                    None => return Err(self.broken(&refused.into_error())),
                },
            }
        }
        Err(self.unreachable("its connections break at once"))
    }

    /// True if there is a connection, or one could be opened just now.
    pub(crate) async fn is_reachable(&self) -> bool {
        self.connection().await.is_ok()
    }

    /// Open connections, and requests that wait or stream on them.
    pub(crate) fn load(&self) -> (usize, usize) {
        let connections = self.connections.lock();
        let open = connections.iter().filter(|connection| !connection.sender.is_closed());
        open.fold((0, 0), |(count, sum), connection| (count + 1, sum + connection.open.load(Ordering::Relaxed)))
    }

    /// Gives the request the service's authority.
    fn address(&self, request: &mut Request<Body>) -> Result<(), UpstreamError> {
        let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let uri = Uri::builder().scheme("https").authority(self.name).path_and_query(path).build();
        *request.uri_mut() = uri.map_err(|error| self.unreachable(error))?;
        Ok(())
    }

    fn unreachable(&self, reason: impl std::fmt::Display) -> UpstreamError {
        UpstreamError::Connect { name: self.name, address: self.address.clone(), reason: reason.to_string() }
    }

    fn broken(&self, error: &hyper::Error) -> UpstreamError {
        // The only user of the connection is the body that is being passed on.
        if error.is_user() {
            return UpstreamError::Body;
        }
        UpstreamError::Answer { name: self.name, reason: format!("{error:?}") }
    }

    /// The connection with the fewest requests, and how many connections there are.
    fn least(&self) -> (Option<Connection>, usize) {
        let mut connections = self.connections.lock();
        connections.retain(|connection| !connection.sender.is_closed());
        let least = connections.iter().min_by_key(|connection| connection.open.load(Ordering::Relaxed));
        (least.cloned(), connections.len())
    }

    async fn connection(&self) -> Result<Connection, UpstreamError> {
        let enough = |connection: &Connection, count: usize| {
            let open = connection.open.load(Ordering::Relaxed);
            open < SPREAD || (count >= SPREAD_CONNECTIONS && open < FULL) || count >= MAX_CONNECTIONS
        };
        if let (Some(connection), count) = self.least()
            && enough(&connection, count)
        {
            return Ok(connection);
        }
        let _alone = self.opening.lock().await;
        let (least, count) = self.least();
        if let Some(connection) = least.as_ref().filter(|connection| enough(connection, count)) {
            return Ok(connection.clone());
        }
        match (self.open().await, least) {
            (Ok(connection), _) => {
                self.connections.lock().push(connection.clone());
                Ok(connection)
            }
            // A busy connection is better than none.
            (Err(_), Some(connection)) => Ok(connection),
            (Err(error), None) => Err(error),
        }
    }

    async fn open(&self) -> Result<Connection, UpstreamError> {
        let stream = self.tls(&self.h2).await?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME)
            .keep_alive_interval(Duration::from_secs(15))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.unreachable(error))?;
        let name = self.name;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to {name} ended: {error}");
            }
        });
        Ok(Connection { sender, open: Arc::default() })
    }

    async fn tls(&self, connector: &TlsConnector) -> Result<TlsStream<TcpStream>, UpstreamError> {
        let connect = async {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            connector.connect(self.server_name.clone(), stream).await
        };
        match tokio::time::timeout(CONNECT, connect).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(self.unreachable(error)),
            Err(_) => Err(self.unreachable("no connection in time")),
        }
    }

    /// Sends a request on an HTTP/1.1 connection of its own, which may become a tunnel.
    ///
    /// # Errors
    /// If the service cannot be reached or breaks off.
    pub(crate) async fn send_alone(&self, mut request: Request<Body>) -> Result<Response<Incoming>, UpstreamError> {
        // HTTP/1.1 names the host in a header and the path alone in its first line.
        request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static(self.name));
        let stream = self.tls(&self.h1).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.unreachable(error))?;
        let name = self.name;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to {name} ended: {error}");
            }
        });
        sender.send_request(request).await.map_err(|error| self.broken(&error))
    }
}

/// Counts a request as open until it is dropped.
#[derive(Debug)]
struct Guard(Arc<AtomicUsize>);

impl Guard {
    fn new(open: Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer's body; its request counts as open until it ends.
#[derive(Debug)]
pub(crate) struct Counted {
    inner: Incoming,
    _guard: Guard,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
