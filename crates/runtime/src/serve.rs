//! Serves an axum router over TCP or TLS: HTTP/1.1 (with upgrades) and HTTP/2, with graceful drain.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor, server::TlsStream};
use tokio_util::{either::Either, task::TaskTracker};
use tower::ServiceExt;

use crate::CancellationToken;
use crate::tls;

/// Time that open requests get to end after `stop`; watches and upgraded streams are cut then.
const DRAIN: Duration = Duration::from_secs(5);
/// Time that a client has to finish its TLS handshake or to send a request's head.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// Requests that one HTTP/2 connection may have open: watches of client-go share one connection.
const MAX_STREAMS: u32 = 2000;
/// Unread bytes of one request and of a whole connection: a body of the largest size at once, many of them together.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;
/// Bytes of one answer that wait to be sent.
const SEND_BUFFER: usize = 1 << 20;
/// Pause after a failed `accept` (out of file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who is at the other end of the connection; an extension of every request.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Common name of the verified client certificate; none without one.
    pub common_name: Option<String>,
    /// Where the connection comes from.
    pub address: SocketAddr,
}

/// The host name that the client gave in the TLS handshake; an extension of its requests, if it gave one.
#[derive(Debug, Clone)]
pub struct ServerName(pub Arc<str>);

/// Finds what a server shows to clients that ask for a host name.
pub trait ChooseTls: Send + Sync + 'static {
    /// The configuration for a host name; `None`: the client named none. It is asked within the time of a handshake.
    fn choose<'a>(
        &'a self,
        name: Option<&'a str>,
    ) -> Pin<Box<dyn Future<Output = Arc<rustls::ServerConfig>> + Send + 'a>>;
}

/// How connections begin.
#[derive(Clone)]
enum Begin {
    Plain,
    Tls(TlsAcceptor),
    Chosen(Arc<dyn ChooseTls>),
}

impl Begin {
    async fn handshake(&self, stream: TcpStream) -> std::io::Result<Either<TcpStream, TlsStream<TcpStream>>> {
        match self {
            Self::Plain => Ok(Either::Left(stream)),
            Self::Tls(acceptor) => acceptor.accept(stream).await.map(Either::Right),
            Self::Chosen(chooser) => {
                let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
                let config = chooser.choose(start.client_hello().server_name()).await;
                start.into_stream(config).await.map(Either::Right)
            }
        }
    }
}

/// Serves `app` on `listener` until `stop`, then lets open requests end (for five seconds at most).
///
/// # Errors
/// Never for a single connection; only if the listener's address can't be read.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    app: axum::Router,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let begin = tls.map_or(Begin::Plain, |tls| Begin::Tls(TlsAcceptor::from(tls)));
    serve_on(listener, begin, app, stop).await
}

/// The same over TLS, with what is shown chosen by the host name that a client asks for.
///
/// # Errors
/// As [`serve`].
pub async fn serve_chosen(
    listener: TcpListener,
    chooser: Arc<dyn ChooseTls>,
    app: axum::Router,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    serve_on(listener, Begin::Chosen(chooser), app, stop).await
}

async fn serve_on(
    listener: TcpListener,
    begin: Begin,
    app: axum::Router,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(%address, tls = !matches!(begin, Begin::Plain), "listening on {address}");
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                connections.spawn(connection(stream, address, begin.clone(), app.clone(), stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
        tracing::debug!(open = connections.len(), "cut {} connections that did not drain", connections.len());
    }
    Ok(())
}

async fn connection(stream: TcpStream, address: SocketAddr, begin: Begin, app: axum::Router, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "could not set TCP_NODELAY for {address}");
    }
    match tokio::time::timeout(HANDSHAKE, begin.handshake(stream)).await {
        Ok(Ok(Either::Left(stream))) => http(stream, Peer { common_name: None, address }, None, app, stop).await,
        Ok(Ok(Either::Right(stream))) => {
            let certificates = stream.get_ref().1.peer_certificates();
            let common_name = certificates.and_then(|c| c.first()).and_then(|c| tls::common_name(c));
            let server_name = stream.get_ref().1.server_name().map(|name| ServerName(name.into()));
            http(stream, Peer { common_name, address }, server_name, app, stop).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake with {address} failed: {error}"),
        Err(_) => tracing::debug!("TLS handshake with {address} took too long"),
    }
}

async fn http<S>(stream: S, peer: Peer, server_name: Option<ServerName>, app: axum::Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let address = peer.address;
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        if let Some(name) = &server_name {
            request.extensions_mut().insert(name.clone());
        }
        app.clone().oneshot(request.map(Body::new))
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        // Not adaptive: that sends a ping along with every body.
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(DRAIN, connection).await {
                Ok(result) => result,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection with {address} ended: {error}");
    }
}
