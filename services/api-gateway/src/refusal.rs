//! What a caller is told when its request does not get through, in the form of its path.

use crate::signature::{SKEW, Wrong};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use problem::{kube, oci};

/// Whose limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    User,
    Tenancy,
}

impl std::fmt::Display for Whose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Tenancy => "tenancy",
        })
    }
}

/// Why a request does not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("no valid credential")]
    Unauthenticated,
    #[error("no valid signature: {0}")]
    Signature(Wrong),
    #[error("no such path")]
    NoPath,
    #[error("no such cluster")]
    NoCluster,
    /// With the seconds to wait.
    #[error("too many requests of one {0}")]
    TooMany(Whose, u32),
    #[error("body too large")]
    TooLarge,
    #[error("the service behind does not answer")]
    Down,
    #[error("the service behind took too long")]
    Late,
}

impl Refusal {
    /// The answer, as a Kubernetes Status or as the cloud API's error.
    pub(crate) fn answer(self, kube: bool) -> Response {
        let (status, body) = if kube { self.kube() } else { self.oci() };
        let json = HeaderValue::from_static("application/json");
        let mut response = (status, [(header::CONTENT_TYPE, json)], Body::from(body)).into_response();
        let headers = response.headers_mut();
        match self {
            Self::TooMany(_, seconds) => drop(headers.insert(header::RETRY_AFTER, seconds.into())),
            Self::Down => drop(headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"))),
            Self::Unauthenticated | Self::Signature(_) => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"hako\""));
            }
            Self::NoPath | Self::NoCluster | Self::TooLarge | Self::Late => {}
        }
        response
    }

    fn kube(self) -> (StatusCode, Vec<u8>) {
        use kube::Status;
        let status = match self {
            Self::Unauthenticated | Self::Signature(_) => Status::unauthorized(),
            Self::NoPath | Self::NoCluster => Status::no_such_path(),
            Self::TooMany(whose, seconds) => Status::too_many_requests(&too_many(whose, seconds), seconds),
            Self::TooLarge => Status::too_large("the request's body is too large"),
            Self::Down => Status::unavailable("the API server does not answer at the moment; retry"),
            Self::Late => Status::timeout("the API server took too long to answer"),
        };
        (StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), status.to_json())
    }

    fn oci(self) -> (StatusCode, Vec<u8>) {
        use oci::Error;
        let error = match self {
            Self::Unauthenticated => Error::not_authenticated(
                "the request has no valid credential: its bearer token or signature is missing, or the token is \
                 expired, not for this service, or not of a registered API key or a known identity provider",
            ),
            Self::Signature(wrong) => Error::not_authenticated(unsigned(wrong)),
            Self::NoPath | Self::NoCluster => Error::no_such_route("there is no such path"),
            Self::TooMany(whose, seconds) => Error::too_many_requests(too_many(whose, seconds)),
            Self::TooLarge => Error::payload_too_large("the request's body is too large"),
            Self::Down => Error::unavailable("the service does not answer at the moment; retry"),
            Self::Late => Error {
                status: StatusCode::GATEWAY_TIMEOUT,
                ..Error::unavailable("the service took too long to answer; retry")
            },
        };
        (error.status, error.to_json())
    }
}

fn too_many(whose: Whose, seconds: u32) -> String {
    format!("too many requests of one {whose}; retry after {seconds} s")
}

/// Begins as OCI's own messages do, by which tools know them.
fn unsigned(wrong: Wrong) -> String {
    if wrong != Wrong::Skew {
        return format!(
            "The required information to complete authentication was not provided or was incorrect: {wrong}"
        );
    }
    let now = jiff::Timestamp::now();
    let at = |shift: i64| {
        let at = now.saturating_add(jiff::SignedDuration::from_secs(shift)).unwrap_or(now);
        at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    format!(
        "Date is not within allowed clock skew. Current '{}', valid datetime range: ['{}', '{}']",
        at(0),
        at(-SKEW),
        at(SKEW)
    )
}
