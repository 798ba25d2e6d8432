//! OCI request signatures, version 1: what must be signed, and the text that is. No I/O.
//! Source: Oracle Cloud's documentation, "Request Signatures", after draft-cavage-http-signatures-08.

use base64::{Engine, engine::general_purpose::STANDARD};
use domain::{TenantId, UserId};
use http::{HeaderMap, Method};

/// Difference of clocks that is put up with, in seconds. Source: OCI's documentation; SDKs name it in their errors.
pub(crate) const SKEW: i64 = 5 * 60;
/// Headers of one signature at most; OCI's have three or six.
const MAX_HEADERS: usize = 32;
/// Longest `Authorization` header that is looked at: a 16384-bit signature and three OCIDs stay far below.
const MAX_BYTES: usize = 16 * 1024;
/// Longest fingerprint: 32 bytes in hexadecimal with colons.
const MAX_FINGERPRINT: usize = 95;
/// What is signed along with a body.
const OF_BODY: [&str; 3] = ["content-length", "content-type", "x-content-sha256"];
/// The methods whose body is signed.
const WITH_BODY: [Method; 3] = [Method::POST, Method::PUT, Method::PATCH];

/// Why a signature is no good. The owner of the key reads these: nothing tells whether a key exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("the Authorization header is not a signature of version 1")]
    Malformed,
    #[error("the algorithm must be rsa-sha256")]
    Algorithm,
    #[error("keyId must be <tenancy OCID>/<user OCID>/<key fingerprint>")]
    KeyId,
    #[error("{0} must be among the signed headers")]
    Unsigned(&'static str),
    #[error("a header that is said to be signed is not in the request")]
    Missing,
    #[error("the date is not an HTTP date")]
    Date,
    #[error("the date is not within allowed clock skew")]
    Skew,
    #[error("no key of that user verifies the signature")]
    Unknown,
    #[error("the body is not the one that was signed")]
    Body,
}

/// A signature as it was sent. Nothing is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    /// The tenancy that the caller says to be of.
    pub(crate) tenant: TenantId,
    /// The user that the caller says to be.
    pub(crate) user: UserId,
    /// Which of the user's keys it is.
    pub(crate) fingerprint: String,
    /// Over what [`Signature::message`] gives.
    pub(crate) bytes: Vec<u8>,
    headers: Vec<String>,
}

/// What of a request can be signed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) method: &'a Method,
    /// Path and query, as they were sent.
    pub(crate) target: &'a str,
    pub(crate) host: &'a str,
    pub(crate) headers: &'a HeaderMap,
}

impl Signature {
    /// Reads what stands after `Signature ` in an `Authorization` header.
    pub(crate) fn parse(parameters: &str) -> Result<Self, Wrong> {
        if parameters.len() > MAX_BYTES {
            return Err(Wrong::Malformed);
        }
        let pairs = parameters_of(parameters).ok_or(Wrong::Malformed)?;
        let get = |name: &str| pairs.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        if get("version").is_some_and(|version| version != "1") {
            return Err(Wrong::Malformed);
        }
        if !get("algorithm").is_some_and(|algorithm| algorithm.eq_ignore_ascii_case("rsa-sha256")) {
            return Err(Wrong::Algorithm);
        }
        let mut parts = get("keyId").ok_or(Wrong::KeyId)?.split('/');
        let mut part = || parts.next().ok_or(Wrong::KeyId);
        let (tenant, user, fingerprint) = (part()?, part()?, part()?);
        let is_fingerprint = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
        let fits = (1..=MAX_FINGERPRINT).contains(&fingerprint.len()) && fingerprint.bytes().all(is_fingerprint);
        if parts.next().is_some() || !fits {
            return Err(Wrong::KeyId);
        }
        let headers = get("headers").ok_or(Wrong::Malformed)?.split_ascii_whitespace();
        let headers: Vec<String> = headers.map(str::to_ascii_lowercase).collect();
        if headers.len() > MAX_HEADERS {
            return Err(Wrong::Malformed);
        }
        Ok(Self {
            tenant: tenant.parse().map_err(|_| Wrong::KeyId)?,
            user: user.parse().map_err(|_| Wrong::KeyId)?,
            fingerprint: fingerprint.to_ascii_lowercase(),
            bytes: STANDARD.decode(get("signature").ok_or(Wrong::Malformed)?).map_err(|_| Wrong::Malformed)?,
            headers,
        })
    }

    /// The text that was signed, if all that must be signed is, and it was signed about `now` (Unix seconds).
    pub(crate) fn message(&self, head: Head<'_>, now: i64) -> Result<Vec<u8>, Wrong> {
        let signs = |name: &str| self.headers.iter().any(|header| header == name);
        for name in ["(request-target)", "host"] {
            if !signs(name) {
                return Err(Wrong::Unsigned(name));
            }
        }
        let date = if signs("x-date") { "x-date" } else { "date" };
        if !signs(date) {
            return Err(Wrong::Unsigned("date"));
        }
        if WITH_BODY.contains(head.method)
            && let Some(name) = OF_BODY.into_iter().find(|name| !signs(name))
        {
            return Err(Wrong::Unsigned(name));
        }
        let mut message = Vec::with_capacity(512);
        for name in &self.headers {
            if !message.is_empty() {
                message.push(b'\n');
            }
            message.extend_from_slice(name.as_bytes());
            message.extend_from_slice(b": ");
            match name.as_str() {
                "(request-target)" => {
                    let method = head.method.as_str().to_ascii_lowercase();
                    message.extend_from_slice(format!("{method} {}", head.target).as_bytes());
                }
                "host" => message.extend_from_slice(head.host.as_bytes()),
                name => push_header(&mut message, head.headers, name)?,
            }
        }
        let at = head.headers.get(date).and_then(|value| value.to_str().ok()).and_then(unix_of).ok_or(Wrong::Date)?;
        if (at - now).abs() > SKEW { Err(Wrong::Skew) } else { Ok(message) }
    }
}

/// The SHA-256 that the body must have; `None`: there must be no body, because none was signed.
pub(crate) fn body_digest(method: &Method, headers: &HeaderMap) -> Result<Option<Vec<u8>>, Wrong> {
    if !WITH_BODY.contains(method) {
        return Ok(None);
    }
    let digest = headers.get("x-content-sha256").and_then(|value| STANDARD.decode(value.as_bytes()).ok());
    digest.filter(|digest| digest.len() == 32).map(Some).ok_or(Wrong::Body)
}

/// Unix seconds of an HTTP date. Source: RFC 9110, 5.6.7, the form that must be generated.
pub(crate) fn unix_of(date: &str) -> Option<i64> {
    let at = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(date.trim()).ok()?;
    Some(at.as_second())
}

/// The values of a header as they are signed: all of them, in order.
fn push_header(message: &mut Vec<u8>, headers: &HeaderMap, name: &str) -> Result<(), Wrong> {
    let mut values = headers.get_all(name).iter();
    message.extend_from_slice(values.next().ok_or(Wrong::Missing)?.as_bytes());
    for value in values {
        message.extend_from_slice(b", ");
        message.extend_from_slice(value.as_bytes());
    }
    Ok(())
}

/// The pairs of `a="x",b="y"`; none of OCI's values has a quote or a comma inside.
fn parameters_of(text: &str) -> Option<Vec<(&str, &str)>> {
    text.split(',')
        .map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            let value = value.strip_prefix('"').map_or(Some(value), |rest| rest.strip_suffix('"'))?;
            Some((name.trim(), value))
        })
        .collect()
}

#[cfg(test)]
mod tests;
