//! What a caller is told when its request does not get through, in the form of its path.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use problem::{kube, oci};

/// Why a request does not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("no valid credential")]
    Unauthenticated,
    #[error("no such path")]
    NoPath,
    #[error("no such cluster")]
    NoCluster,
    #[error("too many requests")]
    TooMany,
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
            Self::TooMany | Self::Down => drop(headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"))),
            Self::Unauthenticated => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"hako\""));
            }
            Self::NoPath | Self::NoCluster | Self::TooLarge | Self::Late => {}
        }
        response
    }

    fn kube(self) -> (StatusCode, Vec<u8>) {
        use kube::Status;
        let status = match self {
            Self::Unauthenticated => Status::unauthorized(),
            Self::NoPath | Self::NoCluster => Status::no_such_path(),
            Self::TooMany => Status::too_many_requests("too many requests of one user; retry after a second", 1),
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
                "the request has no valid bearer token: it is missing, expired, not for this service, or not signed \
                 by a registered API key",
            ),
            Self::NoPath | Self::NoCluster => Error::no_such_route("there is no such path"),
            Self::TooMany => Error::too_many_requests("too many requests of one user; retry after a second"),
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
