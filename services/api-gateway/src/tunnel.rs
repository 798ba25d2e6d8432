//! Upgraded connections (WebSocket, SPDY): after the 101 the gateway only moves bytes, both ways.

use crate::{
    Gateway,
    proxy::{settle, strip_hop},
    refusal::Refusal,
    upstream::Upstream,
};
use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderValue, StatusCode, header};
use hyper_util::rt::TokioIo;
use std::{sync::Arc, time::Duration};

/// True if the caller wants to leave HTTP on this connection.
pub(crate) fn is_asked_for(request: &Request) -> bool {
    let words = request.headers().get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let upgrade = words.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    upgrade && request.headers().contains_key(header::UPGRADE) && request.version() == http::Version::HTTP_11
}

/// Passes an upgrade on. If the service behind agrees, bytes flow until either side ends.
pub(crate) async fn open(
    gateway: &Arc<Gateway>,
    upstream: &Upstream,
    mut request: Request,
    answer: Duration,
) -> Result<Response, Refusal> {
    let client = hyper::upgrade::on(&mut request);
    let (mut parts, body) = request.into_parts();
    let protocol = parts.headers.get(header::UPGRADE).cloned();
    strip_hop(&mut parts.headers);
    restore(&mut parts.headers, protocol);
    parts.extensions.clear();
    let sent = tokio::time::timeout(answer, upstream.send_alone(Request::from_parts(parts, body))).await;
    let mut response = settle(sent)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        strip_hop(response.headers_mut());
        return Ok(response.map(Body::new));
    }
    let service = hyper::upgrade::on(&mut response);
    let stop = gateway.stop.clone();
    gateway.tunnels.spawn(async move {
        let (Ok(client), Ok(service)) = tokio::join!(client, service) else {
            tracing::debug!("an upgrade was not finished by both sides");
            return;
        };
        let (mut client, mut service) = (TokioIo::new(client), TokioIo::new(service));
        let copied = stop.run_until_cancelled(tokio::io::copy_bidirectional(&mut client, &mut service)).await;
        if let Some(Err(error)) = copied {
            tracing::debug!(%error, "a tunnel broke: {error}");
        }
    });
    let protocol = response.headers().get(header::UPGRADE).cloned();
    strip_hop(response.headers_mut());
    restore(response.headers_mut(), protocol);
    Ok(response.map(|_| Body::empty()))
}

fn restore(headers: &mut http::HeaderMap, protocol: Option<HeaderValue>) {
    if let Some(protocol) = protocol {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
}
