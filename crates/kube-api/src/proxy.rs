//! The way to a kubelet: plain streams, and upgraded connections whose bytes are copied as they are.

use crate::state::ApiState;
use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use problem::kube::Status;
use rustls_pki_types::ServerName;
use std::{sync::Arc, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long a kubelet may take to be reached.
const CONNECT: Duration = Duration::from_secs(10);
/// How long it may take to answer the head of a request: it may have to ask the host first.
const ANSWER: Duration = Duration::from_secs(60);
/// Longest text of a kubelet's failure that is passed on.
const FAILURE_BYTES: usize = 64 * 1024;
/// Name in the certificate of every kubelet of ours, whatever address it has.
const KUBELET_NAME: &str = "virtual-kubelet";

/// Where a kubelet listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kubelet {
    pub(crate) address: String,
    pub(crate) port: u16,
}

impl Kubelet {
    fn authority(&self) -> String {
        if self.address.contains(':') {
            format!("[{}]:{}", self.address, self.port)
        } else {
            format!("{}:{}", self.address, self.port)
        }
    }
}

async fn dial(state: &ApiState, kubelet: &Kubelet) -> Result<TlsStream<TcpStream>, Status> {
    let config = state.config.kubelet_tls.as_ref();
    let config = config.ok_or_else(|| Status::unavailable("this API server has no way to nodes"))?;
    let fail = |why: String| Status::internal(format!("error dialing backend: {why}"));
    let work = async {
        let stream = TcpStream::connect(kubelet.authority()).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(KUBELET_NAME).expect("the constant is a DNS name");
        TlsConnector::from(Arc::clone(config)).connect(name, stream).await
    };
    match tokio::time::timeout(CONNECT, work).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(fail(format!("dial tcp {}: {error}", kubelet.authority()))),
        Err(_) => Err(fail(format!("dial tcp {}: i/o timeout", kubelet.authority()))),
    }
}

type Answer = http::Response<hyper::body::Incoming>;

async fn send(state: &ApiState, kubelet: &Kubelet, request: http::Request<Body>) -> Result<Answer, Status> {
    let stream = dial(state, kubelet).await?;
    let fail = |error: hyper::Error| Status::internal(format!("error dialing backend: {error}"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(fail)?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to a kubelet ended: {error}");
        }
    });
    match tokio::time::timeout(ANSWER, sender.send_request(request)).await {
        Ok(answer) => answer.map_err(fail),
        Err(_) => Err(Status::timeout("the node did not answer in time")),
    }
}

fn request(
    kubelet: &Kubelet,
    method: http::Method,
    target: &str,
    headers: HeaderMap,
) -> Result<http::Request<Body>, Status> {
    let mut request = http::Request::new(Body::empty());
    *request.method_mut() = method;
    *request.uri_mut() =
        target.parse().map_err(|_| Status::bad_request("the request's parameters make no valid URL"))?;
    *request.headers_mut() = headers;
    let host =
        HeaderValue::try_from(kubelet.authority()).map_err(|_| Status::internal("a node has a malformed address"))?;
    request.headers_mut().insert(header::HOST, host);
    runtime::request::propagate(request.headers_mut());
    Ok(request)
}

/// Passes a plain `GET` on, and streams the answer back.
///
/// # Errors
/// 500 if the kubelet can't be reached; its own failures with its words.
pub(crate) async fn stream(
    state: &ApiState,
    kubelet: &Kubelet,
    target: &str,
    _request: Request,
) -> Result<Response, Status> {
    let forward = request(kubelet, http::Method::GET, target, HeaderMap::new())?;
    let answer = send(state, kubelet, forward).await?;
    if !answer.status().is_success() {
        return Err(failure(answer).await);
    }
    let (parts, body) = answer.into_parts();
    let mut response = Response::new(Body::new(body));
    let plain = HeaderValue::from_static("text/plain");
    let media = parts.headers.get(header::CONTENT_TYPE).cloned().unwrap_or(plain);
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    Ok(response)
}

/// Passes a request with an upgrade on (WebSocket or SPDY), and then copies bytes both ways until one side ends.
///
/// # Errors
/// 400 if the caller asked for no upgrade; 500 if the kubelet can't be reached; its own failures with its words.
pub(crate) async fn upgrade(
    state: &ApiState,
    kubelet: &Kubelet,
    target: &str,
    mut caller: Request,
) -> Result<Response, Status> {
    if !caller.headers().contains_key(header::UPGRADE) || caller.version() != Version::HTTP_11 {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let forward = request(kubelet, caller.method().clone(), target, passed_on(caller.headers()))?;
    let mut answer = send(state, kubelet, forward).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(failure(answer).await);
    }
    let far = hyper::upgrade::on(&mut answer);
    let near = hyper::upgrade::on(&mut caller);
    tokio::spawn(async move {
        let (near, far) = match tokio::try_join!(near, far) {
            Ok(both) => both,
            Err(error) => return tracing::debug!(%error, "an upgrade did not happen: {error}"),
        };
        let (mut near, mut far) = (TokioIo::new(near), TokioIo::new(far));
        if let Err(error) = tokio::io::copy_bidirectional(&mut near, &mut far).await {
            tracing::debug!(%error, "a tunnel to a kubelet broke: {error}");
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = passed_on(answer.headers());
    Ok(response)
}

/// The headers that make the upgrade; credentials stay here.
fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let wanted = |name: &HeaderName| {
        *name == header::CONNECTION
            || *name == header::UPGRADE
            || name.as_str().starts_with("sec-websocket-")
            || name.as_str() == "x-stream-protocol-version"
    };
    let mut passed = HeaderMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| wanted(name)) {
        // A bearer token may hide among the WebSocket subprotocols.
        let secret = value.as_bytes().windows(14).any(|window| window == b"bearer.authori");
        if !secret {
            passed.append(name, value.clone());
        }
    }
    passed
}

/// A kubelet's failure as a `Status`.
async fn failure(answer: Answer) -> Status {
    let code = answer.status().as_u16();
    let bytes =
        Limited::new(answer.into_body(), FAILURE_BYTES).collect().await.map(|all| all.to_bytes()).unwrap_or_default();
    let status = serde_json::from_slice::<serde_json::Value>(&bytes).ok().filter(|value| value["kind"] == "Status");
    let text = match &status {
        Some(value) => value["message"].as_str().unwrap_or_default().to_owned(),
        None => String::from_utf8_lossy(&bytes).trim().to_owned(),
    };
    let text = if text.is_empty() { format!("the node answered with status {code}") } else { text };
    match code {
        400 | 405 | 406 | 415 => Status::bad_request(text),
        403 => Status::new(403, "Forbidden", text),
        404 => Status::new(404, "NotFound", text),
        429 => Status::too_many_requests(&text, 1),
        503 => Status::unavailable(text),
        504 => Status::timeout(text),
        _ => Status::new(500, "InternalError", text),
    }
}
