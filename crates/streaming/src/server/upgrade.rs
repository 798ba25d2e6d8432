//! The HTTP part of an upgrade: what the client asks for, and the answer.

use http::header::{CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};
use http::header::{SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{Response, StatusCode};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Header by which SPDY clients offer subprotocols and the server names its choice.
pub(crate) const STREAM_PROTOCOL: &str = "x-stream-protocol-version";
/// Name of the protocol in `Upgrade`.
pub(crate) const SPDY: &str = "SPDY/3.1";

/// Why a request can't be upgraded, for an answer in plain text.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct UpgradeError {
    /// Status of the answer.
    pub status: StatusCode,
    /// Its text.
    pub message: String,
}

impl UpgradeError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(crate) fn no_protocol(offered: &[String], accepted: &[&str]) -> Self {
        let message = format!(
            "unable to upgrade: unable to negotiate protocol: client supports {offered:?}, server accepts {accepted:?}"
        );
        Self::new(StatusCode::FORBIDDEN, message)
    }
}

/// What a client wants to speak.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Spdy { offered: Vec<String> },
    WebSocket { key: String, offered: Vec<String> },
}

pub(crate) fn wanted(headers: &HeaderMap) -> Result<Wanted, UpgradeError> {
    let upgrades = tokens(headers, UPGRADE.as_str());
    let asks = tokens(headers, CONNECTION.as_str()).iter().any(|token| token.eq_ignore_ascii_case("upgrade"));
    let has = |name: &str| asks && upgrades.iter().any(|token| token.eq_ignore_ascii_case(name));
    if has("websocket") {
        let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
        let key = key.ok_or_else(|| UpgradeError::new(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing"))?;
        return Ok(Wanted::WebSocket {
            key: key.to_owned(),
            offered: tokens(headers, SEC_WEBSOCKET_PROTOCOL.as_str()),
        });
    }
    if has(SPDY) {
        return Ok(Wanted::Spdy { offered: tokens(headers, STREAM_PROTOCOL) });
    }
    let message = format!("unable to upgrade: missing upgrade headers in request: {upgrades:?}");
    Err(UpgradeError::new(StatusCode::BAD_REQUEST, message))
}

fn tokens(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|token| token.trim().to_owned()).filter(|t| !t.is_empty()).collect()
}

/// The first of `accepted` that the client offers.
pub(crate) fn choose<'a>(offered: &[String], accepted: &[&'a str]) -> Option<&'a str> {
    accepted.iter().copied().find(|accepted| offered.iter().any(|offered| offered == accepted))
}

pub(crate) fn switching_to_spdy(protocol: &'static str) -> Response<()> {
    let mut response = switching(SPDY);
    if !protocol.is_empty() {
        response.headers_mut().insert(STREAM_PROTOCOL, HeaderValue::from_static(protocol));
    }
    response
}

pub(crate) fn switching_to_websocket(key: &str, protocol: &'static str) -> Response<()> {
    let mut response = switching("websocket");
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).expect("base64 is a header value");
    response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    if !protocol.is_empty() {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    response
}

fn switching(to: &'static str) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(to));
    response
}
