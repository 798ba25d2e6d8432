//! Errors of the gateway itself, in the form of the API that was asked.

use crate::route::Form;
use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};
use problem::{kube::Status, oci};

/// What the gateway refuses, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotFound,
    /// The text is for the caller; it says nothing of what would have been right.
    Unauthenticated(&'static str),
    TooManyRequests,
    TooLarge(u64),
    Unavailable(&'static str),
    Timeout,
}

/// Seconds after which a limited caller should try again.
const RETRY_AFTER: u32 = 1;

/// The answer for a refusal.
pub(crate) fn refuse(form: Form, refusal: Refusal) -> Response {
    let (code, body) = match form {
        Form::Kubernetes => kubernetes(refusal),
        Form::Oci => cloud(refusal),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match refusal {
        Refusal::TooManyRequests | Refusal::Unavailable(_) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
        }
        Refusal::Unauthenticated(_) => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Refusal::NotFound | Refusal::TooLarge(_) | Refusal::Timeout => {}
    }
    response
}

fn kubernetes(refusal: Refusal) -> (u16, Vec<u8>) {
    let status = match refusal {
        Refusal::NotFound => Status::no_such_path(),
        Refusal::Unauthenticated(_) => Status::unauthorized(),
        Refusal::TooManyRequests => Status::too_many_requests("too many requests, please slow down", RETRY_AFTER),
        Refusal::TooLarge(limit) => {
            Status::too_large(format!("Request entity too large: limit is {limit}"))
        }
        Refusal::Unavailable(what) => Status::unavailable(format!("{what} is not available; retry")),
        Refusal::Timeout => Status::timeout("the request did not complete in time; retry"),
    };
    (status.code(), status.to_json())
}

fn cloud(refusal: Refusal) -> (u16, Vec<u8>) {
    let error = match refusal {
        Refusal::NotFound => oci::Error::no_such_route("there is no such path; the cloud API begins with /20180222"),
        Refusal::Unauthenticated(why) => oci::Error::not_authenticated(why),
        Refusal::TooManyRequests => oci::Error::too_many_requests("too many requests of this user; slow down"),
        Refusal::TooLarge(limit) => {
            oci::Error::payload_too_large(format!("the body may have at most {limit} bytes"))
        }
        Refusal::Unavailable(what) => oci::Error::unavailable(format!("{what} is not available; retry")),
        Refusal::Timeout => oci::Error::unavailable("the request did not complete in time; retry"),
    };
    (error.status.as_u16(), error.to_json())
}
