//! What is said to an identity provider, and what it answers.

use crate::{client, error::Error, session::Session};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Client;
use serde::{Deserialize, de::DeserializeOwned};
use std::{path::Path, time::Duration};

/// Longest time for one request.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Pause between two questions if the provider names none. Source: RFC 8628, 3.2.
const PAUSE_SECONDS: u64 = 5;

/// A provider, by its discovery document.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Provider {
    pub(crate) issuer: String,
    pub(crate) token_endpoint: String,
    device_authorization_endpoint: Option<String>,
}

/// What the caller is asked to do in a browser.
#[derive(Clone, Deserialize)]
pub(crate) struct Asked {
    pub(crate) device_code: String,
    pub(crate) user_code: String,
    pub(crate) verification_uri: String,
    pub(crate) verification_uri_complete: Option<String>,
    pub(crate) expires_in: u64,
    interval: Option<u64>,
}

impl Asked {
    /// Pause between two questions whether that was done.
    pub(crate) fn pause(&self) -> Duration {
        Duration::from_secs(self.interval.unwrap_or(PAUSE_SECONDS))
    }
}

/// What a provider gives at last.
#[derive(Clone, Deserialize)]
pub(crate) struct Granted {
    access_token: Option<String>,
    id_token: Option<String>,
    refresh_token: Option<String>,
}

impl Granted {
    /// The login that this makes of the one before.
    pub(crate) fn session(self, before: &Session) -> Result<Session, String> {
        // The token that names the user to whom the client id belongs; the other one is for the provider's own.
        let token = self.id_token.or(self.access_token).ok_or("the identity provider gave no token")?;
        let expires = end_of(&token).ok_or("the identity provider's token is no JWT that ends")?;
        let refresh_token = self.refresh_token.or_else(|| before.refresh_token.clone());
        Ok(Session { token, expires, refresh_token, ..before.clone() })
    }
}

/// Why a provider gives nothing. Source: RFC 6749, 5.2.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Refused {
    pub(crate) error: String,
    error_description: Option<String>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.error_description {
            Some(words) => write!(f, "{words} ({})", self.error),
            None => f.write_str(&self.error),
        }
    }
}

/// A caller of providers, which are known by the system's CAs or by the cloud's own.
pub(crate) fn http(ca: Option<&Path>) -> Result<Client, Error> {
    let mut builder = client::builder().timeout(TIMEOUT);
    if let Some(ca) = ca {
        builder = builder.tls_certs_merge(client::certificates(ca)?);
    }
    builder.build().map_err(Error::io("set up TLS"))
}

/// Reads the discovery document of a provider.
pub(crate) async fn discover(http: &Client, issuer: &str) -> Result<Provider, Error> {
    let issuer = issuer.trim_end_matches('/');
    is_private(issuer)?;
    let url = format!("{issuer}/.well-known/openid-configuration");
    let answer = http.get(&url).send().await.and_then(reqwest::Response::error_for_status);
    let answer = answer.map_err(|error| Error::Failed(format!("cannot read {url}: {}", client::innermost(&error))))?;
    let provider: Provider = read(answer, &url).await?;
    if provider.issuer.trim_end_matches('/') != issuer {
        return Err(Error::Failed(format!("{url} is the document of {}", provider.issuer)));
    }
    is_private(&provider.token_endpoint)?;
    Ok(provider)
}

/// Asks for a code that the caller enters in a browser.
pub(crate) async fn ask(http: &Client, provider: &Provider, client_id: &str, scope: &str) -> Result<Asked, Error> {
    let Some(url) = &provider.device_authorization_endpoint else {
        return Err(Error::Failed(format!("{} does not let devices log in (RFC 8628)", provider.issuer)));
    };
    is_private(url)?;
    match post(http, url, &[("client_id", client_id), ("scope", scope)]).await? {
        Ok(asked) => Ok(asked),
        Err(refused) => Err(Error::Failed(format!("the identity provider refused: {refused}"))),
    }
}

/// Asks for tokens.
pub(crate) async fn grant(http: &Client, url: &str, form: &[(&str, &str)]) -> Result<Result<Granted, Refused>, Error> {
    post(http, url, form).await
}

async fn post<T: DeserializeOwned>(
    http: &Client,
    url: &str,
    form: &[(&str, &str)],
) -> Result<Result<T, Refused>, Error> {
    let body = form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect::<Vec<_>>().join("&");
    let request = http.post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
    let answer = request.header("accept", "application/json").send().await;
    let answer = answer.map_err(|error| Error::Failed(format!("cannot ask {url}: {}", client::innermost(&error))))?;
    let status = answer.status();
    if status.is_success() {
        return read(answer, url).await.map(Ok);
    }
    let text = answer.text().await.unwrap_or_default();
    let refused = serde_json::from_str(&text);
    refused.map(Err).map_err(|_| Error::Failed(format!("{url} answered {status}")))
}

async fn read<T: DeserializeOwned>(answer: reqwest::Response, url: &str) -> Result<T, Error> {
    let text = answer.text().await.map_err(Error::io(format!("read what {url} answers")))?;
    serde_json::from_str(&text).map_err(Error::io(format!("read what {url} answers")))
}

/// Secrets go only over TLS, or to this very machine.
fn is_private(url: &str) -> Result<(), Error> {
    let is_local = |rest: &str| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        !host.contains('@') && matches!(name, "127.0.0.1" | "localhost" | "[::1]")
    };
    if url.starts_with("https://") || url.strip_prefix("http://").is_some_and(is_local) {
        return Ok(());
    }
    Err(Error::Misused(format!("the identity provider must be reached by https://, not {url:?}")))
}

/// A value of a form.
fn encoded(value: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Unix seconds at which a JWT ends; it is the cloud that verifies it.
fn end_of(token: &str) -> Option<i64> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Claims>(&payload).ok().map(|claims| claims.exp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_nowhere_else() {
        for good in ["https://a/b", "http://127.0.0.1:80/x", "http://localhost"] {
            assert!(is_private(good).is_ok(), "{good}");
        }
        for bad in
            ["http://a", "http://localhost.evil", "http://127.0.0.1.evil/", "http://127.0.0.1:1@evil/", "ftp://a"]
        {
            assert!(is_private(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn forms_are_encoded() {
        assert_eq!(encoded("a b:c/ü"), "a%20b%3Ac%2F%C3%BC");
    }
}
