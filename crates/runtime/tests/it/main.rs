//! The server over real sockets: identities, both HTTP versions, upgrades, drain, readiness.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
mod telemetry;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Extension;
use axum::routing::{any, get};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use runtime::tls::Identity;
use runtime::{CancellationToken, Health, Peer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A CA and certificates of it, in a directory that is removed at the end.
struct Pki {
    directory: PathBuf,
}

impl Pki {
    fn new(test: &str, names: &[&str]) -> Self {
        let directory = std::env::temp_dir().join(format!("hako-runtime-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(directory.join("ca.crt"), ca.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(ca, key);
        for name in names {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, *name);
            std::fs::write(directory.join(format!("{name}.crt")), params.signed_by(&key, &issuer).unwrap().pem())
                .unwrap();
            std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Self { directory }
    }

    fn identity(&self, name: &str) -> Identity {
        let file = |suffix: &str| self.directory.join(format!("{name}.{suffix}"));
        Identity { ca: self.directory.join("ca.crt"), certificate: file("crt"), key: file("key") }
    }

    fn ca(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }
}

impl Drop for Pki {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

async fn who(Extension(peer): Extension<Peer>) -> String {
    peer.common_name.unwrap_or_else(|| "nobody".into())
}

async fn echo_upgrade(mut request: Request<Body>) -> axum::response::Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.unwrap());
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    http::Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "upgrade")
        .header("upgrade", "echo")
        .body(Body::empty())
        .unwrap()
}

async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_millis(300)).await;
    "done"
}

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

async fn server(tls: Option<Arc<rustls::ServerConfig>>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let app = Router::new()
        .route("/who", get(who))
        .route("/slow", get(slow))
        .route("/upgrade", any(echo_upgrade))
        .layer(axum::middleware::from_fn(runtime::request::identify));
    let task = tokio::spawn(runtime::serve::serve(listener, tls, app, stop.clone()));
    Server { address, stop, task }
}

async fn tls(
    address: SocketAddr,
    config: Arc<rustls::ClientConfig>,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(config).connect(name, stream).await
}

fn with_alpn(config: &rustls::ClientConfig, protocol: &[u8]) -> Arc<rustls::ClientConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

fn anonymous(ca: &Path) -> Arc<rustls::ClientConfig> {
    let roots = runtime::tls::roots(ca).unwrap();
    Arc::new(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

fn request(path: &str) -> Request<Body> {
    Request::get(path).header("host", "localhost").body(Body::empty()).unwrap()
}

#[tokio::test]
async fn peer_is_known_by_its_certificate_over_http1_and_http2() {
    let pki = Pki::new("peer", &["control", "api-gateway"]);
    let server = server(Some(pki.identity("control").server().unwrap())).await;
    let client = pki.identity("api-gateway").client().unwrap();

    let stream = tls(server.address, with_alpn(&client, b"http/1.1")).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let answer = sender.send_request(request("/who")).await.unwrap();
    assert!(answer.headers().contains_key("opc-request-id"));
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "api-gateway");

    let stream = tls(server.address, with_alpn(&client, b"h2")).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let ask = Request::get("https://localhost/who").header("opc-request-id", "mine").body(Body::empty()).unwrap();
    let answer = sender.send_request(ask).await.unwrap();
    assert_eq!(answer.headers()["opc-request-id"], "mine");
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "api-gateway");
}

#[tokio::test]
async fn stranger_is_refused() {
    let pki = Pki::new("stranger", &["control"]);
    let other = Pki::new("stranger-other", &["api-gateway"]);
    let server = server(Some(pki.identity("control").server().unwrap())).await;
    for config in [anonymous(&pki.ca()), {
        let mut forged = other.identity("api-gateway");
        forged.ca = pki.ca();
        forged.client().unwrap()
    }] {
        // With TLS 1.3 the client learns of the refusal at its first read.
        let refused = match tls(server.address, config).await {
            Err(_) => true,
            Ok(mut stream) => {
                let _ = stream.write_all(b"GET /who HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
                stream.read(&mut [0; 16]).await.map_or(true, |n| n == 0)
            }
        };
        assert!(refused);
    }
}

#[tokio::test]
async fn optional_client_may_stay_nameless() {
    let pki = Pki::new("optional", &["control"]);
    let server = server(Some(pki.identity("control").server_optional_client().unwrap())).await;
    let stream = tls(server.address, anonymous(&pki.ca())).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let answer = sender.send_request(request("/who")).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "nobody");
}

#[tokio::test]
async fn connection_can_be_upgraded() {
    let server = server(None).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    let ask = Request::get("/upgrade").header("host", "x").header("connection", "upgrade").header("upgrade", "echo");
    let answer = sender.send_request(ask.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    stream.write_all(b"ping").await.unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).await.unwrap();
    assert_eq!(back, b"ping");
}

#[tokio::test]
async fn open_request_ends_before_the_server_does() {
    let server = server(None).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let answer = tokio::spawn(async move {
        let answer = sender.send_request(request("/slow")).await.unwrap();
        answer.into_body().collect().await.unwrap().to_bytes()
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop.cancel();
    assert_eq!(answer.await.unwrap(), "done");
    server.task.await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn readiness_follows_the_parts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (health, stop) = (Health::new(), CancellationToken::new());
    health.set_ready("database", false);
    tokio::spawn(runtime::ops::serve(listener, health.clone(), runtime::metrics::registry(), stop.clone()));
    let ask = async |path: &str| {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let answer = sender.send_request(request(path)).await.unwrap();
        let status = answer.status().as_u16();
        (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
    };
    assert_eq!(ask("/livez").await.0, 200);
    assert_eq!(ask("/readyz").await, (503, "not ready: database\n".into()));
    health.set_ready("database", true);
    assert_eq!(ask("/readyz").await.0, 200);
    assert!(ask("/metrics").await.1.ends_with("# EOF\n"));
    stop.cancel();
}
