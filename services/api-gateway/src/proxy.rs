//! What happens to a request: route, authenticate, limit, pass on, answer.

use crate::{
    Gateway,
    authenticate::{Content, Passage, authenticate},
    config::AccessLog,
    host,
    refusal::Refusal,
    route::Route,
    signature::Wrong,
    tunnel,
    upstream::{Upstream, UpstreamError},
};
use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    body::{Body, HttpBody},
    extract::{Request, State},
    response::Response,
};
use domain::PRINCIPAL_HEADER;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use runtime::{Peer, ServerName, request};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Headers of one hop; what they say is renegotiated on the next.
const HOP: [&str; 11] = [
    "connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-authenticate",
    "proxy-authorization",
    "keep-alive",
    "proxy-connection",
    "http2-settings",
    // Answered here, once the body is read.
    "expect",
];
/// Headers with this prefix are ours: from outside they are not believed.
const OWN_PREFIX: &str = "x-hako-";
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// What of a body that is too large is read away before the answer, in bytes and in time.
const DRAIN_BYTES: usize = 32 << 20;
const DRAIN: Duration = Duration::from_secs(5);
/// A request that takes longer is logged whatever it is, unless it is meant to.
const SLOW: Duration = Duration::from_secs(1);

/// Serves one request.
pub(crate) async fn serve(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let started = Instant::now();
    let route = route(&gateway, &request);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut user = String::new();
    let (response, refusal) = match pass(&gateway, &route, request, &mut user).await {
        Ok(response) => (response, None),
        Err(refusal) => {
            gateway.metrics.refused(refusal);
            (refusal.answer(route.speaks_kube()), Some(refusal))
        }
    };
    let took = started.elapsed();
    gateway.metrics.answered(route.name(), &method, response.status(), took);
    let status = response.status().as_u16();
    let wanted = match gateway.access_log {
        AccessLog::All => true,
        AccessLog::Changes => {
            status >= 400 || took > SLOW || !matches!(method, Method::GET | Method::HEAD | Method::OPTIONS)
        }
        AccessLog::Errors => status >= 500,
    };
    if wanted {
        let ms = took.as_secs_f64() * 1000.0;
        let why = refusal.map(|refusal| format!(" ({refusal})")).unwrap_or_default();
        let user = if user.is_empty() { "-" } else { &user };
        tracing::info!(user, status, duration_ms = ms, "{method} {path} {status} in {ms:.1} ms{why}");
    }
    response
}

/// A cluster's own host name comes first, then the path. Clients that reach the gateway by its address name the cluster
/// in the TLS handshake only: that counts for paths that a cluster has, since others may share the connection.
fn route(gateway: &Gateway, request: &Request) -> Route {
    let by_path = || Route::of(request.uri().path());
    let Some(domain) = &gateway.cluster_domain else { return by_path() };
    let named = |host: &str| host::cluster(host, domain);
    if let Some(cluster) = host::of(request.uri(), request.headers()).and_then(named) {
        return Route::KubeAtHost(cluster);
    }
    match (by_path(), request.extensions().get::<ServerName>().and_then(|name| named(&name.0))) {
        (Route::InPod | Route::Nothing, Some(cluster)) => Route::KubeAtHost(cluster),
        (route, _) => route,
    }
}

async fn pass(
    gateway: &Arc<Gateway>,
    route: &Route,
    mut request: Request,
    user: &mut String,
) -> Result<Response, Refusal> {
    let upstream = match route {
        Route::Nothing => return Err(Refusal::NoPath),
        Route::Usage => &gateway.billing,
        Route::Kube(_) | Route::KubeAtHost(_) | Route::InPod | Route::Cloud | Route::NoCluster => &gateway.control,
    };
    let passage = authenticate(gateway, route, (request.method(), request.uri(), request.headers())).await?;
    match &passage {
        Passage::User(caller, _) => {
            caller.user.as_str().clone_into(user);
            caller.count(Instant::now())?;
        }
        Passage::ServiceAccount(cluster) => *user = format!("service account of {cluster}"),
    }
    if *route == Route::NoCluster {
        return Err(Refusal::NoCluster);
    }
    if let Err(refusal) = check_length(request.headers(), gateway.limits.body_bytes) {
        drain(request.into_body()).await;
        return Err(refusal);
    }
    let answer = Duration::from_secs(gateway.limits.answer_seconds);
    if let Passage::User(_, content) = &passage {
        let checked = check_content(request, content, gateway.limits.body_bytes);
        request = tokio::time::timeout(answer, checked).await.map_err(|_| Refusal::Late)??;
    }
    prepare(&mut request, &passage, route);
    if tunnel::is_asked_for(&request) {
        return tunnel::open(gateway, upstream, request, answer).await;
    }
    forward(upstream, request, gateway.limits.body_bytes, answer).await
}

fn check_length(headers: &HeaderMap, limit: u64) -> Result<(), Refusal> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit) { Err(Refusal::TooLarge) } else { Ok(()) }
}

/// Reads the body of a signed request, and refuses it unless it is the one that was signed.
async fn check_content(request: Request, content: &Content, limit: u64) -> Result<Request, Refusal> {
    use http_body_util::BodyExt;
    if *content == Content::Any || (*content == Content::Empty && request.body().is_end_stream()) {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let limited = http_body_util::Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
    let bytes = limited.collect().await.map_err(|_| Refusal::TooLarge)?.to_bytes();
    let fits = match content {
        Content::Any => true,
        Content::Empty => bytes.is_empty(),
        Content::Digest(expected) => digest(&SHA256, &bytes).as_ref() == expected,
    };
    if fits { Ok(Request::from_parts(parts, Body::from(bytes))) } else { Err(Refusal::Signature(Wrong::Body)) }
}

/// Reads away what a caller goes on sending, within bounds. Many clients read the answer only once they have sent all of
/// their body, and report a broken connection if they can't.
async fn drain(body: Body) {
    use http_body_util::BodyExt;
    let mut body = http_body_util::Limited::new(body, DRAIN_BYTES);
    let read = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(DRAIN, read).await;
}

/// Makes the request what the service behind should see.
fn prepare(request: &mut Request, passage: &Passage, route: &Route) {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.address.ip().to_string());
    let headers = request.headers_mut();
    let own: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with(OWN_PREFIX)).cloned().collect();
    for name in own {
        headers.remove(name);
    }
    headers.remove(FORWARDED_FOR);
    if let Some(address) = peer.and_then(|address| HeaderValue::try_from(address).ok()) {
        headers.insert(FORWARDED_FOR, address);
    }
    request::propagate(headers);
    if let Passage::User(caller, _) = passage {
        headers.remove(header::AUTHORIZATION);
        headers.insert(PRINCIPAL_HEADER, caller.header.clone());
    }
    let prefixed = match (route, passage) {
        (Route::KubeAtHost(cluster), _) | (Route::InPod, Passage::ServiceAccount(cluster)) => cluster,
        _ => return,
    };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    if let Ok(uri) = format!("/clusters/{prefixed}{path}").parse::<Uri>() {
        *request.uri_mut() = uri;
    }
}

/// Removes what is meant for one hop only, and what `connection` names as such.
pub(crate) fn strip_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP {
        headers.remove(name);
    }
    for name in named {
        headers.remove(name);
    }
}

async fn forward(upstream: &Upstream, request: Request, limit: u64, answer: Duration) -> Result<Response, Refusal> {
    let (mut parts, body) = request.into_parts();
    strip_hop(&mut parts.headers);
    parts.headers.remove(header::HOST);
    parts.version = http::Version::HTTP_2;
    parts.extensions.clear();
    let bounded = Body::new(http_body_util::Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX)));
    let response = tokio::time::timeout(answer, upstream.send(Request::from_parts(parts, bounded))).await;
    let mut response = settle(response)?.map(Body::new);
    strip_hop(response.headers_mut());
    Ok(response)
}

/// Turns a failure to get an answer into what the caller is told.
pub(crate) fn settle<T>(response: Result<Result<T, UpstreamError>, tokio::time::error::Elapsed>) -> Result<T, Refusal> {
    match response {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(UpstreamError::Body)) => Err(Refusal::TooLarge),
        Ok(Err(error)) => {
            tracing::warn!(%error, "{error}");
            Err(Refusal::Down)
        }
        Err(_) => Err(Refusal::Late),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hop_headers_do_not_travel() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONNECTION, HeaderValue::from_static("close, X-Mine"));
        headers.insert("x-mine", HeaderValue::from_static("1"));
        headers.insert("x-other", HeaderValue::from_static("1"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        strip_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-other"]);
    }
}
