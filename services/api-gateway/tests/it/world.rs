//! Certificates, keys, a gateway, and the servers behind it.

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use dashmap::DashMap;
use domain::{ClusterId, TenantId, UserId};
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper_util::rt::TokioIo;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use runtime::{CancellationToken, Peer, tls::Identity};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A user with an API key.
pub struct Key {
    pub user: UserId,
    kid: String,
    signing: EncodingKey,
    public: String,
}

impl Key {
    pub fn generate() -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let user = UserId::generate();
        Self {
            kid: user.unique()[..16].to_owned(),
            user,
            signing: EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap(),
            public: pair.public_key_pem(),
        }
    }

    /// A token with some claims changed.
    pub fn token(&self, change: Value) -> String {
        self.token_as(self, change)
    }

    /// A token that says it is `other`'s, but is signed with this key.
    pub fn token_as(&self, other: &Key, change: Value) -> String {
        let now = jiff::Timestamp::now().as_second();
        let mut claims = json!({"iss": "hako", "sub": other.user, "aud": "hako", "iat": now, "exp": now + 300});
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let head = Header { kid: Some(other.kid.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&head, &claims, &self.signing).unwrap()
    }
}

/// A token as control issues them for service accounts; the gateway looks at nothing but the cluster.
pub fn service_account_token(cluster: &ClusterId) -> String {
    let claims = json!({"iss": "https://gw", "hako.dev/cluster": cluster}).to_string();
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

/// A CA of its own, in a directory.
pub struct Authority {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(directory: &Path) -> Self {
        std::fs::create_dir_all(directory).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test CA");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.join("ca.pem"), certificate.pem()).unwrap();
        Self { directory: directory.to_owned(), issuer: Issuer::new(params, key) }
    }

    pub fn identity(&self, name: &str) -> Identity {
        let names = ["localhost", "127.0.0.1", "*.clusters.example", name].map(str::to_owned);
        let mut params = CertificateParams::new(names.to_vec()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |end: &str| self.directory.join(format!("{name}{end}"));
        std::fs::write(file(".pem"), certificate.pem()).unwrap();
        std::fs::write(file(".key"), key.serialize_pem()).unwrap();
        Identity { ca: self.directory.join("ca.pem"), certificate: file(".pem"), key: file(".key") }
    }
}

#[derive(Clone)]
struct Backend {
    service: &'static str,
    keys: Arc<DashMap<String, Value>>,
    go_on: Arc<Notify>,
}

pub struct World {
    address: SocketAddr,
    ops: SocketAddr,
    http: reqwest::Client,
    ca: PathBuf,
    keys: Arc<DashMap<String, Value>>,
    go_on: Arc<Notify>,
    stop: CancellationToken,
    stop_backends: CancellationToken,
    directory: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
        self.stop_backends.cancel();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl World {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts with these lines in the configuration's `limits`.
    ///
    /// Further tables may follow them.
    pub async fn start_with(limits: &str) -> Self {
        runtime::tls::install_provider();
        let unique = UserId::generate().unique()[..8].to_owned();
        let directory = std::env::temp_dir().join(format!("hako-gateway-{}-{unique}", std::process::id()));
        let authority = Authority::new(&directory);
        let (keys, go_on) = (Arc::new(DashMap::new()), Arc::new(Notify::new()));
        let (stop, stop_backends) = (CancellationToken::new(), CancellationToken::new());
        let mut addresses = Vec::new();
        for service in ["control", "billing"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            let backend = Backend { service, keys: Arc::clone(&keys), go_on: Arc::clone(&go_on) };
            let app = Router::new().fallback(answer).with_state(backend);
            let tls = authority.identity(service).server().unwrap();
            tokio::spawn(runtime::serve::serve(listener, Some(tls), app, stop_backends.clone()));
        }
        let identity = authority.identity("api-gateway");
        let shown = |path: &Path| path.display().to_string();
        let text = format!(
            "listen = '127.0.0.1:0'\nops_listen = '127.0.0.1:0'\ncertificate = '{}'\nkey = '{}'\n\
             control = 'https://{}'\nbilling = 'https://{}'\naccess_log = 'all'\n\
             cluster_domain = 'clusters.example'\n[identity]\nca = '{}'\ncertificate = '{}'\nkey = '{}'\n[limits]\n{limits}\n",
            shown(&identity.certificate),
            shown(&identity.key),
            addresses[0],
            addresses[1],
            shown(&identity.ca),
            shown(&identity.certificate),
            shown(&identity.key),
        );
        std::fs::write(directory.join("config.toml"), text).unwrap();
        let config: api_gateway::Config = runtime::config::load(&directory.join("config.toml")).unwrap();
        let public = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ops = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, ops_address) = (public.local_addr().unwrap(), ops.local_addr().unwrap());
        tokio::spawn(api_gateway::serve(config, public, ops, stop.clone()));
        let ca = reqwest::Certificate::from_pem(&std::fs::read(&identity.ca).unwrap()).unwrap();
        let http = reqwest::Client::builder().tls_certs_only([ca]).build().unwrap();
        Self { address, ops: ops_address, http, ca: identity.ca, keys, go_on, stop, stop_backends, directory }
    }

    /// Makes control know a key, in a tenancy of its own.
    pub fn register(&self, key: &Key) {
        self.register_in(&TenantId::generate(), key);
    }

    /// Makes control know a key.
    pub fn register_in(&self, tenant: &TenantId, key: &Key) {
        self.register_as(tenant, &key.user, &key.kid, &key.public);
    }

    /// Makes control know a key by its name.
    pub fn register_as(&self, tenant: &TenantId, user: &UserId, kid: &str, public: &str) {
        let owner = json!({
            "kid": kid, "tenantId": tenant, "userId": user, "userName": "admin",
            "groups": ["Administrators"], "publicKey": public,
        });
        self.keys.insert(format!("/internal/v1/keys/{kid}"), owner);
    }

    /// Makes control know a user by name, as it is in a query.
    pub fn register_user(&self, tenant: &TenantId, name: &str) {
        let user = json!({"tenantId": tenant, "userId": UserId::generate(), "userName": name, "groups": ["Everybody"]});
        let query = name.replace('@', "%40");
        self.keys.insert(format!("/internal/v1/tenancies/{tenant}/user?name={query}"), user);
    }

    /// The gateway's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client that finds the gateway under any host name.
    pub fn client_at(&self, host: &str) -> reqwest::Client {
        let ca = reqwest::Certificate::from_pem(&std::fs::read(&self.ca).unwrap()).unwrap();
        reqwest::Client::builder().tls_certs_only([ca]).resolve(host, self.address).build().unwrap()
    }

    /// A request without credentials.
    pub fn request(&self, method: http::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("https://localhost:{}{path}", self.address.port()))
    }

    pub fn get(&self, path: &str, token: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("https://localhost:{}{path}", self.address.port())).bearer_auth(token)
    }

    pub fn post(&self, path: &str, token: &str) -> reqwest::RequestBuilder {
        self.http.post(format!("https://localhost:{}{path}", self.address.port())).bearer_auth(token)
    }

    /// Makes control answer an internal path.
    pub fn know(&self, path: &str, answer: Value) {
        self.keys.insert(path.to_owned(), answer);
    }

    /// PEM of the authority of the shared certificate.
    pub fn authority(&self) -> String {
        std::fs::read_to_string(&self.ca).unwrap()
    }

    /// Lets a stream of the backend send its next piece.
    pub fn go_on(&self) {
        self.go_on.notify_one();
    }

    /// A bare TLS connection to the gateway.
    pub async fn raw(&self) -> TlsStream<TcpStream> {
        self.raw_as("localhost").await
    }

    /// The same with a server name in its handshake.
    pub async fn raw_as(&self, name: &str) -> TlsStream<TcpStream> {
        let config = rustls::ClientConfig::builder()
            .with_root_certificates(runtime::tls::roots(&self.ca).unwrap())
            .with_no_client_auth();
        let stream = TcpStream::connect(self.address).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(name.to_owned().try_into().unwrap(), stream).await.unwrap()
    }

    /// Status and text of a path of the operations listener.
    pub async fn operations(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("http://{}{path}", self.ops)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Waits until the gateway is ready, or is not.
    pub async fn ready(&self, ready: bool) -> String {
        for _ in 0..400 {
            let (status, text) = self.operations("/readyz").await;
            if (status == 200) == ready {
                return text;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("the gateway does not become ready={ready}");
    }

    /// Ends the services behind.
    pub async fn stop_backends(&self) {
        self.stop_backends.cancel();
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

/// Says what it saw; knows keys, a stream in two pieces, and an echo behind an upgrade.
async fn answer(State(backend): State<Backend>, mut request: Request) -> Response {
    let path = request.uri().path_and_query().unwrap().as_str().to_owned();
    if path.starts_with("/internal/v1/") {
        let owner = backend.keys.get(&path).map(|owner| owner.clone());
        return owner.map_or(StatusCode::NOT_FOUND.into_response(), |owner| Json(owner).into_response());
    }
    if path.ends_with("/stream") {
        let (send, receive) = tokio::sync::mpsc::channel::<&'static str>(1);
        tokio::spawn(async move {
            send.send("one\n").await.unwrap();
            backend.go_on.notified().await;
            send.send("two\n").await.unwrap();
            std::future::pending::<()>().await;
        });
        let frames = futures_of(receive);
        return Response::new(Body::new(StreamBody::new(frames)));
    }
    if path.ends_with("/echo") {
        let headers = request.headers().clone();
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let (mut from, mut to) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
            let _ = tokio::io::copy(&mut from, &mut to).await;
        });
        let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        for name in ["upgrade", "x-stream-protocol-version"] {
            response.headers_mut().insert(name, headers[name].clone());
        }
        return response;
    }
    let peer = request.extensions().get::<Peer>().and_then(|peer| peer.common_name.clone());
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let headers: serde_json::Map<String, Value> =
        request.headers().iter().map(|(name, value)| (name.to_string(), json!(text(value)))).collect();
    let principal = request.headers().get("x-hako-principal").map(|value| {
        let json = URL_SAFE_NO_PAD.decode(value.as_bytes()).or_else(|_| STANDARD.decode(value.as_bytes()));
        json.ok().and_then(|json| serde_json::from_slice::<Value>(&json).ok()).unwrap_or(json!("unreadable"))
    });
    let Ok(body) = request.into_body().collect().await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let seen = json!({
        "body": String::from_utf8_lossy(&body.to_bytes()),
        "service": backend.service, "path": path, "peer": peer, "principal": principal, "headers": headers,
    });
    Json(seen).into_response()
}

type Piece = Result<http_body::Frame<Bytes>, std::convert::Infallible>;

fn futures_of(receive: tokio::sync::mpsc::Receiver<&'static str>) -> impl futures::Stream<Item = Piece> {
    futures::stream::unfold(receive, |mut receive| async {
        let piece = receive.recv().await?;
        Some((Ok(http_body::Frame::data(Bytes::from_static(piece.as_bytes()))), receive))
    })
}
