//! Errors of the cloud API: `{"code": ..., "message": ...}` with a status.
//! Source of codes and statuses: Oracle Cloud's documentation, "API Errors".

use http::StatusCode;
use serde::{Deserialize, Serialize};

/// An error as the cloud API's clients read it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Error {
    /// HTTP status.
    pub status: StatusCode,
    /// One of the documented codes.
    pub code: &'static str,
    /// For a person; says what to do.
    pub message: String,
}

/// The body on the wire.
#[derive(Debug, Serialize, Deserialize)]
pub struct Body {
    /// One of the documented codes.
    pub code: String,
    /// For a person; says what to do.
    pub message: String,
}

impl Error {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// 400: a value is missing or wrong.
    pub fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidParameter", message)
    }

    /// 400: the request cannot be parsed.
    pub fn cannot_parse(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "CannotParseRequest", message)
    }

    /// 400: a required parameter is missing.
    pub fn missing_parameter(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MissingParameter", message)
    }

    /// 400: a service limit or quota would be passed.
    pub fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "LimitExceeded", message)
    }

    /// 401: the caller did not prove who it is.
    pub fn not_authenticated(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "NotAuthenticated", message)
    }

    /// 404: it does not exist, or the caller may not know.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotAuthorizedOrNotFound", message)
    }

    /// 404: no such path.
    pub fn no_such_route(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    /// 405: the path exists, the method does not.
    pub fn method_not_allowed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    /// 409: the resource's state forbids it.
    pub fn incorrect_state(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "IncorrectState", message)
    }

    /// 409: the name is taken.
    pub fn already_exists(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message)
    }

    /// 409: something else is in the way.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "Conflict", message)
    }

    /// 409: the retry token was used with another request.
    pub fn invalidated_retry_token(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "InvalidatedRetryToken", message)
    }

    /// 412: `if-match` does not match.
    pub fn no_etag_match(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "NoEtagMatch", message)
    }

    /// 413: the body is too large.
    pub fn payload_too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge", message)
    }

    /// 429: slow down.
    pub fn too_many_requests(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
    }

    /// 500: our fault.
    pub fn internal() -> Self {
        let text = "an internal error occurred; retry, and if it persists report the opc-request-id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", text)
    }

    /// 501: one of OCI's operations that is not offered; the text says why.
    pub fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "MethodNotImplemented", message)
    }

    /// 503: a part is down; retry.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    }

    /// The JSON body.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let body = Body { code: self.code.to_owned(), message: self.message.clone() };
        serde_json::to_vec(&body).expect("two strings serialise")
    }
}
