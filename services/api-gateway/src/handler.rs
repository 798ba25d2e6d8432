//! One request's way through the gateway: route, authenticate, limit, pass on.

use crate::{
    auth::{AuthError, Authenticator, Caller},
    backend::{BackendError, Backends},
    limit::Limiter,
    metrics::{self, Labels, Metrics},
    reply::{Refusal, refuse},
    route::{Route, Service},
};
use axum::{Router, body::Body, extract::State, response::Response};
use domain::PRINCIPAL_HEADER;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::{sync::Arc, time::Instant};

/// Everything a request needs.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) auth: Authenticator,
    pub(crate) backends: Backends,
    pub(crate) limiter: Limiter,
    pub(crate) metrics: Metrics,
    pub(crate) body_bytes: u64,
}

/// All paths lead to one handler.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .fallback(handle)
        .with_state(gateway)
        .layer(axum::middleware::from_fn(runtime::request::identify))
}

async fn handle(State(gateway): State<Arc<Gateway>>, request: Request<Body>) -> Response {
    let started = Instant::now();
    let route = Route::of(request.uri().path());
    let method = metrics::method(request.method());
    let path = request.uri().path().to_owned();
    let response = gateway.answer(&route, request).await.unwrap_or_else(|refusal| refuse(route.form(), refusal));
    let code = response.status().as_u16();
    gateway.metrics.requests.get_or_create(&Labels { route: route.word(), method, code }).inc();
    gateway.metrics.seconds.observe(started.elapsed().as_secs_f64());
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    if code >= 500 || method != "GET" {
        tracing::info!(method, path, code, duration_ms, "{method} {path} {code}");
    } else {
        tracing::debug!(method, path, code, duration_ms, "{method} {path} {code}");
    }
    response
}

impl Gateway {
    async fn answer(&self, route: &Route, mut request: Request<Body>) -> Result<Response, Refusal> {
        let service = route.service().ok_or(Refusal::NotFound)?;
        let length = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > self.body_bytes) {
            return Err(Refusal::TooLarge(self.body_bytes));
        }
        let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let caller = self.auth.caller(authorization).await.map_err(refusal)?;
        request.headers_mut().remove(PRINCIPAL_HEADER);
        match caller {
            Caller::User(user) => {
                check_audience(route, user.principal.cluster_id.as_ref())?;
                if !self.limiter.take(&user.principal.user_id, Instant::now()) {
                    return Err(Refusal::TooManyRequests);
                }
                let headers = request.headers_mut();
                headers.remove(header::AUTHORIZATION);
                let value = HeaderValue::from_str(&user.header).expect("base64url is fit for a header");
                headers.insert(HeaderName::from_static(PRINCIPAL_HEADER), value);
            }
            Caller::ServiceAccount(cluster) => address_cluster(route, cluster.as_ref(), request.uri_mut())?,
        }
        self.pass_on(service, request).await
    }

    async fn pass_on(&self, service: Service, mut request: Request<Body>) -> Result<Response, Refusal> {
        let client = request.extensions_mut().remove::<OnUpgrade>();
        let upgrade = take_hop_headers(request.headers_mut());
        if let Some(protocol) = &upgrade {
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            request.headers_mut().insert(header::UPGRADE, protocol.clone());
        }
        request.headers_mut().remove(header::HOST);
        runtime::request::propagate(request.headers_mut());
        let mut response = self.backends.send(service, request).await.map_err(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "a backend did not answer: {error}");
            match error {
                BackendError::Away(name, _) => Refusal::Unavailable(name),
                BackendError::Slow(_) => Refusal::Timeout,
            }
        })?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let backend = hyper::upgrade::on(&mut response);
            if let Some(client) = client {
                tokio::spawn(tunnel(client, backend));
            }
        } else {
            take_hop_headers(response.headers_mut());
        }
        Ok(response.map(Body::new))
    }
}

/// Copies bytes both ways until both sides have ended.
async fn tunnel(client: OnUpgrade, backend: OnUpgrade) {
    let (Ok(client), Ok(backend)) = tokio::join!(client, backend) else { return };
    let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut backend).await {
        tracing::debug!(%error, "an upgraded connection broke");
    }
}

fn refusal(error: AuthError) -> Refusal {
    tracing::debug!(%error, "a caller was not authenticated");
    match error {
        AuthError::Unavailable => Refusal::Unavailable("authentication"),
        AuthError::Missing => Refusal::Unauthenticated("a bearer token is required; see `hako` for profiles"),
        AuthError::Malformed | AuthError::UnknownKey | AuthError::Invalid(_) => {
            Refusal::Unauthenticated("the token is not valid, has expired, or its key is not registered")
        }
    }
}

/// A token made for one cluster is good for that cluster only.
fn check_audience(route: &Route, cluster: Option<&domain::ClusterId>) -> Result<(), Refusal> {
    match (route, cluster) {
        (_, None) => Ok(()),
        (Route::Cluster(asked), Some(allowed)) if asked == allowed => Ok(()),
        _ => Err(Refusal::Unauthenticated("the token is good for one cluster only, and not for this request")),
    }
}

/// A service account's request: only to its own cluster, which it need not name.
fn address_cluster(route: &Route, cluster: Option<&domain::ClusterId>, uri: &mut Uri) -> Result<(), Refusal> {
    let stranger = Refusal::Unauthenticated("the token is not valid, has expired, or its key is not registered");
    let cluster = cluster.ok_or(stranger)?;
    match route {
        Route::Cluster(asked) if asked == cluster => Ok(()),
        Route::InCluster => {
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            *uri = format!("/clusters/{cluster}{path}").parse().map_err(|_| Refusal::NotFound)?;
            Ok(())
        }
        _ => Err(stranger),
    }
}

/// Removes headers that are about one connection only; gives the protocol that an upgrade asks for.
/// Source: RFC 9110, section 7.6.1.
fn take_hop_headers(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let connection: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let upgrade = headers.get(header::UPGRADE).filter(|_| connection.iter().any(|name| name == "upgrade")).cloned();
    for name in connection {
        headers.remove(name);
    }
    for name in ["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "upgrade"] {
        headers.remove(name);
    }
    headers.remove(header::TRANSFER_ENCODING);
    upgrade
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ClusterId;

    #[test]
    fn a_service_account_reaches_only_its_own_cluster() {
        let (own, other) = (ClusterId::generate(), ClusterId::generate());
        let check = |path: &str| {
            let mut uri: Uri = path.parse().unwrap();
            address_cluster(&Route::of(path), Some(&own), &mut uri).map(|()| uri.to_string())
        };
        assert_eq!(check("/api/v1/pods?limit=1").unwrap(), format!("/clusters/{own}/api/v1/pods?limit=1"));
        assert!(check(&format!("/clusters/{own}/api/v1/pods")).is_ok());
        assert!(check(&format!("/clusters/{other}/api/v1/pods")).is_err());
        assert!(check("/20180222/clusters").is_err());
    }

    #[test]
    fn a_cluster_token_is_good_for_its_cluster_only() {
        let (own, other) = (ClusterId::generate(), ClusterId::generate());
        assert!(check_audience(&Route::Cluster(own.clone()), Some(&own)).is_ok());
        assert!(check_audience(&Route::Cluster(other), Some(&own)).is_err());
        assert!(check_audience(&Route::Cloud(Service::Control), Some(&own)).is_err());
        assert!(check_audience(&Route::Cloud(Service::Control), None).is_ok());
    }

    #[test]
    fn only_upgrades_keep_their_hop_headers() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive, Upgrade, x-mine"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
        headers.insert("x-mine", HeaderValue::from_static("1"));
        assert_eq!(take_hop_headers(&mut headers).unwrap(), "SPDY/3.1");
        assert!(headers.is_empty());
        headers.insert(header::UPGRADE, HeaderValue::from_static("h2c"));
        assert!(take_hop_headers(&mut headers).is_none());
    }
}
