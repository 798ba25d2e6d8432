//! The cloud API over HTTPS.

use crate::{config::Profile, error::Error, token};
use reqwest::{Certificate, Method, Response};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Longest time for one request.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Entries of one page.
const PAGE: &str = "1000";

/// Pauses before a request is repeated that the service could not answer: a part of it starts anew within these.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// Time after which nothing is repeated: a person waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// A caller of the cloud API.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    pub(crate) profile: Profile,
}

impl Client {
    pub(crate) fn new(profile: Profile) -> Result<Self, Error> {
        // Another default provider would already be installed only by a bug; ours is the only caller.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder =
            reqwest::Client::builder().timeout(TIMEOUT).user_agent(concat!("hako/", env!("CARGO_PKG_VERSION")));
        if let Some(ca) = &profile.ca {
            let path = ca.display();
            let wrong =
                |why: String| Error::Misused(format!("the CA {path}: {why}; HAKO_CA or --ca names another file"));
            let pem = std::fs::read(ca).map_err(|error| wrong(error.to_string()))?;
            let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
            if certificates.is_empty() {
                return Err(wrong("there is no certificate (PEM) in it".into()));
            }
            builder = builder.tls_certs_only(certificates);
        }
        let http = builder.build().map_err(Error::io("set up TLS"))?;
        Ok(Self { http, profile })
    }

    /// OCID of the compartment to work in.
    pub(crate) fn compartment(&self) -> &str {
        &self.profile.compartment
    }

    /// Sends a request; one that may be repeated is, while the service says that it can't answer at the moment.
    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Response, Error> {
        // With a retry token a create that is sent twice happens once.
        let retry_token = (method == Method::POST).then(retry_token);
        let started = Instant::now();
        let mut pauses = if method == Method::GET || method == Method::POST { PAUSES.iter() } else { [].iter() };
        loop {
            let sent = self.send_once(&method, path, query, body, retry_token.as_deref()).await;
            match (sent, pauses.next()) {
                (Err(error), Some(pause)) if error.is_refused_for_now() && started.elapsed() < PATIENCE => {
                    tokio::time::sleep(*pause).await;
                }
                (sent, _) => return sent,
            }
        }
    }

    async fn send_once(
        &self,
        method: &Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
        retry_token: Option<&str>,
    ) -> Result<Response, Error> {
        let (token, _) = token::sign(&self.profile, None)?;
        let url = format!("{}{path}", self.profile.endpoint);
        let mut request = self.http.request(method.clone(), url).query(query).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(retry_token) = retry_token {
            request = request.header("opc-retry-token", retry_token);
        }
        let response = request.send().await.map_err(|error| Error::Unreachable {
            endpoint: self.profile.endpoint.clone(),
            cause: innermost(&error),
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let mut refused = refusal(response).await;
        if let Error::Refused { status: 401, message, .. } = &mut refused {
            let (name, file) = (&self.profile.name, self.profile.key_file.display());
            message.push_str(&format!("; profile {name:?} signs with {file}, and this machine's clock must be right"));
        }
        Err(refused)
    }

    /// One object.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Error> {
        body(self.send(Method::GET, path, &[], None).await?).await
    }

    /// All pages of a list.
    pub(crate) async fn list(&self, path: &str, query: &[(&str, &str)]) -> Result<Vec<Value>, Error> {
        let (mut all, mut page) = (Vec::new(), None::<String>);
        loop {
            let mut query = query.to_vec();
            query.push(("limit", PAGE));
            if let Some(page) = &page {
                query.push(("page", page));
            }
            let response = self.send(Method::GET, path, &query, None).await?;
            page = header(&response, "opc-next-page");
            match body(response).await? {
                Value::Array(items) => all.extend(items),
                Value::Object(mut object) => match object.remove("items") {
                    Some(Value::Array(items)) => all.extend(items),
                    _ => return Err(Error::Failed(format!("{path} did not answer a list"))),
                },
                _ => return Err(Error::Failed(format!("{path} did not answer a list"))),
            }
            if page.is_none() {
                return Ok(all);
            }
        }
    }

    /// A change; gives the OCID of the work request that carries it out.
    pub(crate) async fn change(&self, method: Method, path: &str, body: Option<&Value>) -> Result<String, Error> {
        let response = self.send(method, path, &[], body).await?;
        header(&response, "opc-work-request-id")
            .ok_or_else(|| Error::Failed("the service named no work request".into()))
    }

    /// The text that a POST answers.
    pub(crate) async fn post_for_text(&self, path: &str, body: &Value) -> Result<String, Error> {
        let response = self.send(Method::POST, path, &[], Some(body)).await?;
        response.text().await.map_err(Error::io("read the answer"))
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
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !id.is_empty() && id.bytes().all(fits) && !id.bytes().all(|byte| byte == b'.') {
        return Ok(id);
    }
    Err(Error::Misused(format!("{id:?} is not the OCID of a {kind}")))
}

fn header(response: &Response, name: &str) -> Option<String> {
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

fn innermost(error: &dyn std::error::Error) -> String {
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
        assert_eq!(segment("cluster", "ocid1.cluster.hako.local-1.a_b").unwrap(), "ocid1.cluster.hako.local-1.a_b");
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
