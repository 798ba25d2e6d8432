//! Tokens of `oci ce cluster generate-token`: base64url of the URL of a signed request that is never sent. No I/O.
//! Source: oci-cli, `containerengine_cli_extended.py`: `GET https://containerengine.<region>.oraclecloud.com/
//! cluster_request/<cluster>` with `date`, `(request-target)` and `host` signed, both headers as query parameters.

use crate::signature::{Head, SKEW, Signature, Wrong, unix_of};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::ClusterId;
use http::{HeaderMap, HeaderValue, Method, header};

/// The path that is signed, without the cluster.
const PATH: &str = "/cluster_request/";

/// What such a token says. Nothing is verified yet but its date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClusterRequest {
    /// The only cluster that the token is good for.
    pub(crate) cluster: ClusterId,
    /// Who says to have made it.
    pub(crate) signature: Signature,
    /// What that signature is over.
    pub(crate) message: Vec<u8>,
    /// Unix seconds after which it is too old. `oci` asks for a new one a minute earlier.
    pub(crate) expires: i64,
}

/// True if this may be such a token: a JWT has dots.
pub(crate) fn is_presigned(token: &str) -> bool {
    token.starts_with("aHR0cHM6Ly") && !token.contains('.')
}

/// Reads such a token at `now` (Unix seconds).
pub(crate) fn parse(token: &str, now: i64) -> Result<ClusterRequest, Wrong> {
    let url = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(|_| Wrong::Malformed)?;
    let url = String::from_utf8(url).map_err(|_| Wrong::Malformed)?;
    let (host, rest) = url.strip_prefix("https://").and_then(|rest| rest.split_once('/')).ok_or(Wrong::Malformed)?;
    let (path, query) = rest.split_once('?').ok_or(Wrong::Malformed)?;
    let target = format!("/{path}");
    let cluster = target.strip_prefix(PATH).and_then(|id| id.parse().ok()).ok_or(Wrong::Malformed)?;
    let parameter = |name: &str| {
        let found = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned()).ok_or(Wrong::Malformed)
    };
    let (authorization, date) = (parameter("authorization")?, parameter("date")?);
    let (scheme, parameters) = authorization.split_once(' ').ok_or(Wrong::Malformed)?;
    if !scheme.eq_ignore_ascii_case("signature") {
        return Err(Wrong::Malformed);
    }
    let signature = Signature::parse(parameters)?;
    let mut headers = HeaderMap::new();
    headers.insert(header::DATE, HeaderValue::try_from(&date).map_err(|_| Wrong::Date)?);
    let head = Head { method: &Method::GET, target: &target, host, headers: &headers };
    let message = signature.message(head, now)?;
    let expires = unix_of(&date).ok_or(Wrong::Date)?.saturating_add(SKEW);
    Ok(ClusterRequest { cluster, signature, message, expires })
}

#[cfg(test)]
mod tests;
