//! The cloud API over HTTPS.

use crate::{config::Profile, error::Error, token};
use reqwest::{Certificate, ClientBuilder, Method, Response};
use serde_json::Value;
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Longest time for one request.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest time for a stream: as long as what it shows may run.
const STREAM_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);
/// Entries of one page.
const PAGE: &str = "1000";

/// Pauses before a request is repeated that the service could not answer: a part of it starts anew within these.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// Time after which nothing is repeated: a person waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// Parameters of a query; a name may come more than once.
pub(crate) type Query<'a> = &'a [(&'a str, &'a str)];

/// A request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: Query<'a>,
    pub(crate) headers: Query<'a>,
    pub(crate) body: Option<&'a Value>,
}

impl<'a> Ask<'a> {
    /// A request without a body.
    pub(crate) fn new(method: &'a Method, path: &'a str) -> Self {
        Self { method, path, query: &[], headers: &[], body: None }
    }
}

/// What the service says to a change.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The resource, where it is answered.
    pub(crate) body: Option<Value>,
    /// OCID of the work request that carries the change out, if it goes on.
    pub(crate) work_request: Option<String>,
}

/// A caller of the cloud API.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    /// Speaks only HTTP/1.1, in which a connection can become a WebSocket.
    http1: reqwest::Client,
    pub(crate) profile: Profile,
}

/// What all our connections have in common.
pub(crate) fn builder() -> ClientBuilder {
    // Another default provider would already be installed only by a bug; ours is the only caller.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().user_agent(concat!("hako/", env!("CARGO_PKG_VERSION")))
}

/// The certificates of a file.
pub(crate) fn certificates(file: &Path) -> Result<Vec<Certificate>, Error> {
    let wrong =
        |why: String| Error::Misused(format!("the CA {}: {why}; HAKO_CA or --ca names another file", file.display()));
    let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong("there is no certificate (PEM) in it".into()));
    }
    Ok(certificates)
}

impl Client {
    pub(crate) fn new(profile: Profile) -> Result<Self, Error> {
        let build = |builder: ClientBuilder| {
            let builder = match &profile.ca {
                Some(ca) => builder.tls_certs_only(certificates(ca)?),
                None => builder,
            };
            builder.build().map_err(Error::io("set up TLS"))
        };
        Ok(Self { http: build(builder().timeout(TIMEOUT))?, http1: build(builder().http1_only())?, profile })
    }

    /// OCID of the compartment to work in.
    pub(crate) fn compartment(&self) -> Result<&str, Error> {
        let wrong = || {
            let name = &self.profile.name;
            Error::Misused(format!(
                "profile {name:?} names no tenancy: --compartment or HAKO_COMPARTMENT says where to work"
            ))
        };
        Some(self.profile.compartment.as_str()).filter(|id| !id.is_empty()).ok_or_else(wrong)
    }

    /// OCID of the tenancy, where users and groups are.
    pub(crate) fn tenancy(&self) -> Result<&str, Error> {
        let wrong =
            || Error::Misused(format!("profile {:?} names no tenancy: HAKO_TENANCY says it", self.profile.name));
        Some(self.profile.tenancy.as_str()).filter(|id| !id.is_empty()).ok_or_else(wrong)
    }

    /// Sends a request; one that may be repeated is, while the service says that it can't answer at the moment.
    pub(crate) async fn send(&self, ask: Ask<'_>) -> Result<Response, Error> {
        // With a retry token a create that is sent twice happens once.
        let retry_token = (ask.method == Method::POST).then(retry_token);
        let started = Instant::now();
        let mut pauses =
            if ask.method == Method::GET || ask.method == Method::POST { PAUSES.iter() } else { [].iter() };
        loop {
            let sent = self.send_once(ask, retry_token.as_deref()).await;
            match (sent, pauses.next()) {
                (Err(error), Some(pause)) if error.is_refused_for_now() && started.elapsed() < PATIENCE => {
                    tokio::time::sleep(*pause).await;
                }
                (sent, _) => return sent,
            }
        }
    }

    async fn send_once(&self, ask: Ask<'_>, retry_token: Option<&str>) -> Result<Response, Error> {
        let (token, _) = token::bearer(&self.profile, None).await?;
        let url = format!("{}{}", self.profile.endpoint, ask.path);
        let mut request = self.http.request(ask.method.clone(), url).query(ask.query).bearer_auth(token);
        if let Some(body) = ask.body {
            request = request.json(body);
        }
        if let Some(retry_token) = retry_token {
            request = request.header("opc-retry-token", retry_token);
        }
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        self.answered(request.send().await).await
    }

    async fn answered(&self, sent: reqwest::Result<Response>) -> Result<Response, Error> {
        let endpoint = || self.profile.endpoint.clone();
        let response = sent.map_err(|error| Error::Unreachable { endpoint: endpoint(), cause: innermost(&error) })?;
        if response.status().is_success() || response.status().as_u16() == 101 {
            return Ok(response);
        }
        let mut refused = refusal(response).await;
        if let Error::Refused { status: 401, message, .. } = &mut refused {
            message.push_str(&format!("; {}", self.profile.whose()));
        }
        Err(refused)
    }

    /// One object.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Error> {
        self.get_with(path, &[]).await
    }

    /// One object, asked for with parameters.
    pub(crate) async fn get_with(&self, path: &str, query: Query<'_>) -> Result<Value, Error> {
        body(self.send(Ask { query, ..Ask::new(&Method::GET, path) }).await?).await
    }

    /// All pages of a list.
    pub(crate) async fn list(&self, path: &str, query: Query<'_>) -> Result<Vec<Value>, Error> {
        let mut query = query.to_vec();
        query.push(("limit", PAGE));
        self.pages(Ask { query: &query, ..Ask::new(&Method::GET, path) }).await
    }

    /// What all pages of an answer hold, in order.
    pub(crate) async fn pages(&self, ask: Ask<'_>) -> Result<Vec<Value>, Error> {
        let (mut all, mut page) = (Vec::new(), None::<String>);
        loop {
            let mut query = ask.query.to_vec();
            query.extend(page.as_deref().map(|page| ("page", page)));
            let response = self.send(Ask { query: &query, ..ask }).await?;
            let next = header(&response, "opc-next-page");
            all.extend(
                items(body(response).await?)
                    .ok_or_else(|| Error::Failed(format!("{} did not answer a list", ask.path)))?,
            );
            // A page that names itself would never end.
            if next.is_none() || next == page {
                return Ok(all);
            }
            page = next;
        }
    }

    /// A change.
    pub(crate) async fn change(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Answer, Error> {
        Answer::read(self.send(Ask { body, ..Ask::new(method, path) }).await?).await
    }

    /// The text that a POST answers.
    pub(crate) async fn post_for_text(&self, path: &str, body: &Value) -> Result<String, Error> {
        let response = self.send(Ask { body: Some(body), ..Ask::new(&Method::POST, path) }).await?;
        response.text().await.map_err(Error::io("read the answer"))
    }

    /// An answer that comes bit by bit.
    pub(crate) async fn stream(&self, path: &str, query: Query<'_>) -> Result<Response, Error> {
        let (token, _) = token::bearer(&self.profile, None).await?;
        let url = format!("{}{path}", self.profile.endpoint);
        let request = self.http.get(url).query(query).bearer_auth(token).timeout(STREAM_TIMEOUT);
        self.answered(request.send().await).await
    }

    /// A connection that becomes a WebSocket of this subprotocol.
    pub(crate) async fn upgrade(
        &self,
        path: &str,
        query: Query<'_>,
        protocol: &str,
    ) -> Result<reqwest::Upgraded, Error> {
        let (token, _) = token::bearer(&self.profile, None).await?;
        let url = format!("{}{path}", self.profile.endpoint);
        let request = self.http1.get(url).query(query).bearer_auth(token);
        let request = request
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", tokio_tungstenite::tungstenite::handshake::client::generate_key())
            .header("sec-websocket-protocol", protocol);
        let response = self.answered(request.send().await).await?;
        if header(&response, "sec-websocket-protocol").as_deref() != Some(protocol) {
            return Err(Error::Failed(format!("the service does not speak {protocol}")));
        }
        response.upgrade().await.map_err(Error::io("make the connection a WebSocket"))
    }
}

impl Answer {
    /// Reads it.
    pub(crate) async fn read(response: Response) -> Result<Self, Error> {
        let work_request = header(&response, "opc-work-request-id");
        let text = response.text().await.map_err(Error::io("read the answer"))?;
        let body = if text.trim().is_empty() {
            None
        } else {
            Some(serde_json::from_str(&text).map_err(Error::io("read the answer"))?)
        };
        Ok(Self { body, work_request })
    }
}

/// The entries of one page, in either form.
fn items(page: Value) -> Option<Vec<Value>> {
    match page {
        Value::Array(items) => Some(items),
        Value::Object(mut object) => match object.remove("items") {
            Some(Value::Array(items)) => Some(items),
            _ => None,
        },
        _ => None,
    }
}

/// A fresh value of `opc-retry-token`.
fn retry_token() -> String {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).expect("the system gives random numbers");
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An id as a segment of a path. What is none must not reach another path.
pub(crate) fn segment<'a>(kind: &str, id: &'a str) -> Result<&'a str, Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
    if !id.is_empty() && id.bytes().all(fits) && !id.bytes().all(|byte| byte == b'.') {
        return Ok(id);
    }
    Err(Error::Misused(format!("{id:?} is not the OCID of a {kind}")))
}

/// A header of an answer.
pub(crate) fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

async fn body(response: Response) -> Result<Value, Error> {
    response.json().await.map_err(Error::io("read the answer"))
}

async fn refusal(response: Response) -> Error {
    let status = response.status().as_u16();
    let request_id = header(&response, "opc-request-id").unwrap_or_default();
    let body: Value = response.json().await.unwrap_or_default();
    let text = |name: &str, otherwise: &str| body[name].as_str().unwrap_or(otherwise).to_owned();
    let (code, message) = (text("code", "Unknown"), text("message", "the service gave no reason"));
    Error::Refused { status, code, message, request_id }
}

/// The first cause of an error: what comes above says only where it was seen.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_become_paths() {
        for good in ["ocid1.cluster.hako.local-1.a_b", "ab:cd"] {
            assert_eq!(segment("cluster", good).unwrap(), good);
        }
        for bad in ["", "a/logs", "a?b", "..", "a b", "%2f", "ä"] {
            assert_eq!(segment("cluster", bad).unwrap_err().exit_code(), 64, "{bad}");
        }
    }

    #[test]
    fn retry_tokens_differ() {
        assert_ne!(retry_token(), retry_token());
        assert_eq!(retry_token().len(), 32);
    }
}
